"""What readers see: the viewer on a page, and notebooks in a real JupyterLab."""

import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
import trimesh
from browser import (
    PATIENCE_S,
    browser_page,
    jupyter_lab,
    open_notebook,
    run_all,
    wait_until_drawn,
    wait_until_said,
)
from PIL import Image

import v2mlib as v2m
from v2mlib.widgets import bundle, mesh_html, packing

BOOK = Path(__file__).resolve().parents[1] / "notebooks"
STORED = sorted(BOOK.glob("[0-9]*.ipynb"))

LIVE = """
import v2mlib as v2m
from v2mlib.widgets import side_by_side
model = v2m.load_face_model("phantom")
view = v2m.MeshView(model, title="live", height=300)
view
#
ears = [v2m.MeshView(model, title=name, height=200, sliders=False) for name in "ab"]
side_by_side(ears)
#
print([round(c, 2) for c in view.shape_coefficients[:2]], view.selected_region or "none")
"""


def pixels(locator):
    """Screenshot of an element, (row, column, rgb)."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), int)


def is_blank(picture):
    """No face: hardly any colour besides the background's."""
    background = np.median(picture.reshape(-1, 3), axis=0)
    return (np.abs(picture - background).sum(-1) > 40).mean() < 0.05


def change(before, after):
    """Share of the pixels that differ."""
    return (np.abs(before - after).sum(-1) > 24).mean()


def wait_for_change(page, locator, before, share):
    """Wait until more than a share of an element's pixels differ; return how it looks then."""
    for _ in range(10 * PATIENCE_S):
        page.wait_for_timeout(100)
        found = change(before, after := pixels(locator))
        if found > share:
            return after
    raise AssertionError(f"only {found:.3f} of the pixels changed, expected more than {share}")


@pytest.fixture(scope="module")
def page():
    with browser_page() as page:
        yield page


@pytest.fixture
def faces():
    model = v2m.load_face_model("phantom")
    triangles = model.triangles.numpy()
    moved = model.decode(2 * model.shape_std.new_ones(model.n_shape) / 3).numpy()
    far = np.linalg.norm(moved - model.mean.numpy(), axis=1)
    return model, [
        ("mean", model.mean.numpy(), triangles, None),
        ("moved", moved, triangles, far),
    ]


def test_faces_on_a_page_turn_together(page, faces, tmp_path):
    model, entries = faces
    path = tmp_path / "faces.html"
    path.write_text(mesh_html(entries, model=model, page=True, theme="light"), encoding="utf-8")
    page.complaints.clear()
    page.goto(path.as_uri())
    canvases = page.locator("canvas")
    canvases.nth(1).wait_for()
    wait_until_drawn(page)
    assert canvases.count() == 2
    first = [pixels(canvases.nth(k)) for k in range(2)]
    assert not any(is_blank(picture) for picture in first)
    box = canvases.first.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 90, middle[1], steps=4)
    page.mouse.up()
    for k in range(2):
        wait_for_change(page, canvases.nth(k), first[k], 0.1)
    canvases.first.press("0")
    canvases.first.press("2")
    wait_until_drawn(page)
    again = [pixels(canvases.nth(k)) for k in range(2)]
    assert change(again[1], first[1]) < 0.01  # the keys lead back to the first view
    for _ in range(3):
        canvases.first.press("+")
    wait_for_change(page, canvases.nth(1), again[1], 0.1)
    page.get_by_role("button", name="Show the triangles").first.click()
    page.get_by_role("combobox", name="Show lines").first.select_option("ear")
    page.get_by_role("combobox", name="Highlight a region").first.select_option("nose")
    wait_for_change(page, canvases.first, again[0], 0.1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").first.click()
    assert download.value.suggested_filename == "mean.png"
    assert not is_blank(np.asarray(Image.open(download.value.path()).convert("RGB"), int))
    assert page.complaints == []


def test_the_browser_decodes_as_python_does(page):
    model = v2m.load_face_model("phantom")
    view = v2m.MeshView(model)
    rng = np.random.default_rng(0)
    view.shape_coefficients = rng.uniform(-3, 3, model.n_shape)
    view.expression_coefficients = rng.uniform(-1, 1, model.n_expression)
    page.goto("about:blank")
    code = bundle.script("page.js") + "\nglobalThis.Mesh = Mesh;"
    page.add_script_tag(content=code, type="module")
    page.wait_for_function("globalThis.Mesh !== undefined")
    payload = packing.as_text(view._packed())
    found = page.evaluate(
        "([payload, c]) => { const m = new Mesh(payload); m.pose(c); return [...m.positions]; }",
        [payload, [*view.shape_coefficients, *view.expression_coefficients]],
    )
    error = np.abs(np.reshape(found, (-1, 3)) - view.vertices).max()
    assert error < packing.MAX_ERROR_MM, f"{error} mm"


def test_a_mesh_of_400_000_vertices_is_drawn(page, tmp_path):
    ball = trimesh.creation.icosphere(8, 90.0)
    count = min(len(ball.vertices), 655_362)
    assert count > 400_000
    path = tmp_path / "big.html"
    entry = ("big", np.asarray(ball.vertices), np.asarray(ball.faces), None)
    path.write_text(mesh_html([entry], page=True, pictures=False, occlusion=False))
    page.goto(path.as_uri())
    page.locator("canvas").wait_for()
    wait_until_drawn(page)
    assert not is_blank(pixels(page.locator("canvas")))


@pytest.mark.parametrize("fault", ["refused", "lost"])
def test_without_webgl_the_processor_draws(page, faces, tmp_path, fault):
    path = tmp_path / "plain.html"
    path.write_text(mesh_html(faces[1][:1], page=True, pictures=False), encoding="utf-8")
    context = page.context.browser.new_context()
    other = context.new_page()
    if fault == "refused":
        other.add_init_script(
            """const given = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
              return kind === "webgl2" ? null : given.call(this, kind, ...more);
            };"""
        )
    other.goto(path.as_uri())
    canvas = other.locator("canvas")
    canvas.wait_for()
    wait_until_drawn(other)
    gpu = "globalThis[Symbol.for('v2mlib.viewer.2')]"
    if fault == "lost":
        other.evaluate(f"{gpu}.gl.getExtension('WEBGL_lose_context').loseContext()")
    assert other.evaluate(f"{gpu}.ready") is False
    before = pixels(canvas)
    assert not is_blank(before)
    canvas.press("3")
    turned = wait_for_change(other, canvas, before, 0.1)
    wait_until_drawn(other)
    assert not is_blank(turned)
    assert not is_blank(pixels(canvas))
    context.close()


def test_a_lost_context_that_comes_back_is_used_again(page, faces, tmp_path):
    path = tmp_path / "plain.html"
    path.write_text(mesh_html(faces[1][:1], page=True, pictures=False), encoding="utf-8")
    page.goto(path.as_uri())
    page.locator("canvas").wait_for()
    wait_until_drawn(page)
    before = pixels(page.locator("canvas"))
    page.evaluate(
        """async () => {
          const { gl, canvas } = globalThis[Symbol.for("v2mlib.viewer.2")];
          const lose = gl.getExtension("WEBGL_lose_context");
          const heard = (name) => new Promise((then) => canvas.addEventListener(name, then));
          let said = heard("webglcontextlost");
          lose.loseContext();
          await said;
          await new Promise((then) => setTimeout(then, 0));  // once every listener has heard it
          said = heard("webglcontextrestored");
          lose.restoreContext();
          await said;
        }"""
    )
    wait_until_drawn(page)
    assert page.evaluate("globalThis[Symbol.for('v2mlib.viewer.2')].ready") is True
    assert change(pixels(page.locator("canvas")), before) < 0.005


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab that serves copies of the stored notebooks and one live notebook."""
    folder, state = tmp_path_factory.mktemp("book"), tmp_path_factory.mktemp("state")
    for path in STORED:
        (folder / path.name).write_bytes(path.read_bytes())
    live = nbformat.v4.new_notebook()
    live.cells = [nbformat.v4.new_code_cell(text.strip()) for text in LIVE.split("\n#\n")]
    live.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(live, folder / "live.ipynb")
    with jupyter_lab(folder, state) as address:
        yield address


@pytest.mark.parametrize("name", [path.name for path in STORED])
def test_a_stored_notebook_shows_its_faces(page, lab, name):
    page.complaints.clear()
    open_notebook(page, lab, name)
    stored = nbformat.read(BOOK / name, as_version=4)
    outputs = [out for cell in stored.cells for out in cell.get("outputs", [])]
    expected = sum("image/png" in out.get("data", {}) for out in outputs)
    images = page.locator(".jp-OutputArea-output img")
    assert expected > 3
    images.nth(expected - 1).wait_for()
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    assert images.count() == expected
    widths = images.evaluate_all("nodes => nodes.map((node) => node.naturalWidth)")
    assert min(widths) > 100
    assert "Error displaying widget" not in page.content()
    assert page.complaints == []


def test_sliders_move_the_face_and_python_follows(page, lab):
    page.complaints.clear()
    page.set_viewport_size({"width": 1280, "height": 1600})
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    open_notebook(page, lab, "live.ipynb")
    run_all(page)
    canvas = page.locator("canvas").first
    page.locator("canvas").nth(2).wait_for()
    wait_until_drawn(page)
    before = pixels(canvas)
    assert not is_blank(before)
    slider = page.get_by_role("slider", name="shape 1, standard deviations")
    slider.focus()
    sent.clear()
    for _ in range(20):
        slider.press("ArrowRight")
    shaped = wait_for_change(page, canvas, before, 0.02)
    for _ in range(10 * PATIENCE_S):
        if sent:
            break
        page.wait_for_timeout(100)
    assert 1 <= len(sent) <= 20  # at most one message a step
    assert max(map(len, sent)) <= 4096
    wait_until_said(page, "[1.0, 0.0] none")
    page.get_by_role("combobox", name="Highlight a region").first.select_option("nose")
    canvas.focus()
    canvas.press("3")  # a heading in JupyterLab's command mode, a profile here
    wait_for_change(page, canvas, shaped, 0.12)
    assert page.locator(".jp-Notebook .jp-CodeCell").count() == 3
    other = page.locator("canvas").nth(2)
    still = pixels(other)
    page.get_by_role("button", name="Profile view").nth(1).click()
    wait_for_change(page, other, still, 0.1)  # views of a row are linked
    wait_until_said(page, "[1.0, 0.0] nose")
    assert page.complaints == []
