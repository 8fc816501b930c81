"""Notebooks that run: a real JupyterLab with a kernel, its restart, large meshes, stored books."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from browser import (
    PATIENCE_S,
    browser_page,
    end_kernels,
    jupyter_lab,
    open_notebook,
    restart_kernel,
    run_all,
    wait_until_drawn,
    wait_until_said,
)
from test_notebooks_in_browser import change, is_blank, pixels, wait_for_change

BOOK = Path(__file__).resolve().parents[1] / "notebooks"
RUN = ("01_morphable_face.ipynb", "09_coherence.ipynb")
GIB = 2**30

RESTARTED = """
import v2mlib as v2m
from v2mlib.widgets import compare
model = v2m.load_face_model("phantom")
view = v2m.MeshView(model, title="live", height=260, camera="front")
view
#
far = model.decode(2 * model.shape_std.new_ones(model.n_shape) / 3)
pair = compare({"mean": model.mean, "far": far}, model=model, camera="front", height=220)
pair
#
people = v2m.phantom.Population(2, seed=1)
voice = v2m.VoiceToFace(recordings={"one": people.speak(0)}, height=200)
voice
#
print(view.shape_coefficients[0], pair.mode, pair.camera, voice.shown)
"""

LARGE = """
import numpy as np
import v2mlib as v2m
n = 640
turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
up, around = np.meshgrid(np.linspace(0.02, 3.12, n), turn, indexing="ij")
ball = np.stack([np.sin(up) * np.cos(around), np.cos(up), np.sin(up) * np.sin(around)], -1)
ball[..., 0] *= 0.5  # an egg: its turns are seen
number = np.arange(n * n).reshape(n, n)
corners = [number[:-1], np.roll(number, -1, 1)[:-1], number[1:], np.roll(number, -1, 1)[1:]]
a, b, c, d = (corner.ravel() for corner in corners)
triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
v2m.MeshView((90 * ball.reshape(-1, 3), triangles), height=300, camera="front", title="large")
"""


def write(folder, name, cells):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(text.strip()) for text in cells.split("\n#\n")]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / name)


@pytest.fixture(scope="module")
def page():
    with browser_page() as page:
        yield page


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    for name in RUN:
        (folder / name).write_bytes((BOOK / name).read_bytes())
    write(folder, "restarted.ipynb", RESTARTED)
    write(folder, "large.ipynb", LARGE)
    return folder


@pytest.fixture(scope="module")
def server(book, tmp_path_factory):
    with jupyter_lab(book, tmp_path_factory.mktemp("state"), save_widgets=True) as address:
        yield address


@pytest.fixture
def lab(server, page):
    page.complaints.clear()
    yield server
    page.goto("about:blank")
    end_kernels(server)


def test_a_restart_of_the_kernel_is_told_and_the_cell_works_again(page, lab, book):
    open_notebook(page, lab, "restarted.ipynb")
    run_all(page)
    canvases = page.locator(".v2m-stage canvas")
    canvases.nth(5).wait_for()  # one, a pair, and the voice's beside the mean face
    wait_until_drawn(page)
    notices = page.get_by_text("The kernel was restarted")
    assert not notices.first.is_visible()
    slider = page.get_by_role("slider", name="shape 1, standard deviations")
    slider.fill("1.5")
    page.get_by_role("button", name="Difference of the faces").click()
    page.get_by_role("button", name="Profile view").nth(1).click()
    page.get_by_role("button", name="Show: expected error").click()
    wait_until_said(page, "1.5 difference profile error")

    before = pixels(canvases.first)
    restart_kernel(page)
    notices.nth(1).wait_for(state="visible")
    assert notices.count() == 2
    assert change(before, pixels(canvases.first)) < 0.01  # the face stays
    canvases.first.press("3")
    before = wait_for_change(page, canvases.first, before, 0.1)
    slider.fill("-3")  # the sliders act in the browser, without a kernel
    wait_for_change(page, canvases.first, before, 0.01)

    run_all(page, again=True)
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.v2m-notice')].some((n) => n.offsetParent)",
    )
    canvases.nth(5).wait_for()
    wait_until_drawn(page)
    assert canvases.count() == 6
    wait_until_said(page, "0.0 side_by_side front face")
    slider.fill("2")
    wait_until_said(page, "2.0 side_by_side front face")

    # Saved with its widgets, as a user may set it, the file stays small.
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_text(re.compile(r"^Save Notebook$")).first.click()
    path = book / "restarted.ipynb"
    for _ in range(5 * PATIENCE_S):
        page.wait_for_timeout(200)
        stored = json.loads(path.read_text(encoding="utf-8"))
        if "widgets" in stored["metadata"]:
            break
    state = json.dumps(stored["metadata"]["widgets"])
    assert "MeshView" in state
    assert "VoiceToFace" in state
    assert len(state) < 160_000  # three pictures; no mesh, no voice, no viewer
    assert path.stat().st_size < 500_000
    assert page.complaints == []


def memory(name):
    """Bytes that this test's processes of one name hold."""
    found = [p for p in psutil.Process().children(recursive=True) if name in p.name()]
    return sum(p.memory_info().rss for p in found)


def test_a_mesh_of_400_000_vertices_turns_in_a_notebook(page, lab):
    open_notebook(page, lab, "large.ipynb")
    before = memory("chrom")
    run_all(page)
    canvas = page.locator(".v2m canvas")
    canvas.wait_for()
    wait_until_drawn(page)
    picture = pixels(canvas)
    assert not is_blank(picture)
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "3"):
        canvas.press(key)
    wait_for_change(page, canvas, picture, 0.05)
    wait_until_drawn(page)
    assert memory("chrom") - before < 2.5 * GIB
    assert page.complaints == []


@pytest.mark.parametrize("name", RUN)
def test_a_stored_notebook_runs(page, lab, name):
    open_notebook(page, lab, name)
    run_all(page)
    assert page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0
    errors = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert errors.all_inner_texts() == []
    faces = page.locator(".v2m-stage canvas")
    assert faces.count() >= 3
    wait_until_drawn(page)
    blank = [k for k in range(faces.count()) if is_blank(pixels(faces.nth(k)))]
    assert blank == []
    slider = page.get_by_role("slider", name=re.compile("standard deviations"))
    if slider.count():
        face = page.locator(".v2m", has=slider.first).locator("canvas").first
        still = np.copy(pixels(face))
        slider.first.fill("3")
        wait_for_change(page, face, still, 0.01)
    assert page.complaints == []
