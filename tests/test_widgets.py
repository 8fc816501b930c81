"""Faces on their way to the browser, the notebook widget without one, charts and pictures."""

import base64
import dataclasses
import io
import json
import re
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
import trimesh
from PIL import Image

import v2mlib as v2m
from v2mlib import plot_pictures, plots
from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import MorphableModel, rendering
from v2mlib.widgets import (
    bundle,
    mesh_figure,
    mesh_html,
    mesh_view,
    packing,
    sending,
    side_by_side,
    still,
)
from v2mlib.widgets.colouring import scalar_map


@pytest.fixture(scope="module")
def model():
    """A ball of a face: 642 vertices, 3 shape and 2 expression modes of known size."""
    ball = trimesh.creation.icosphere(3, 80.0)
    rng = np.random.default_rng(0)
    modes = rng.normal(size=(5, 1, 3)) * np.asarray(ball.vertices)[None] / 80.0
    return MorphableModel(
        mean=np.asarray(ball.vertices),
        shape_basis=np.moveaxis(modes[:3], 0, -1),
        expression_basis=np.moveaxis(modes[3:], 0, -1),
        shape_std=[6.0, 3.0, 1.0],
        expression_std=[2.0, 1.0],
        triangles=np.asarray(ball.faces),
        landmarks=np.r_[np.arange(67), -(2**31)],
        lines={"outer_interocular": (0, 1), "ear": (2, 3)},
        regions={"nose": np.arange(50)},
        colours=np.full((len(ball.vertices), 3), 0.6),
        topology="ball",
        name="ball",
    )


def browser_pose(payload, coefficients):
    """What mesh.js does with the numbers it gets, in the same order."""
    rest = packing.unpack_vertices(payload).astype(np.float32)
    modes = np.frombuffer(payload["modes"], "<i2").reshape(len(payload["mode_steps"]), -1, 3)
    factors = np.asarray(coefficients) * payload["mode_steps"]
    return rest + np.tensordot(factors, modes.astype(float), 1)


def test_browser_and_python_agree_on_the_vertices(model):
    view = v2m.MeshView(model)
    payload = view._packed()
    rng = np.random.default_rng(1)
    for _ in range(20):
        shape, expression = rng.uniform(-3, 3, 3), rng.uniform(-3, 3, 2)
        view.shape_coefficients, view.expression_coefficients = shape, expression
        error = np.abs(browser_pose(payload, [*shape, *expression]) - view.vertices).max()
        assert error <= packing.packing_error(payload) + 1e-4
    assert packing.packing_error(payload) < packing.MAX_ERROR_MM


def test_the_phantom_reaches_the_browser_within_the_stated_error():
    payload = v2m.MeshView(v2m.load_face_model("phantom"))._packed()
    assert packing.packing_error(payload) < packing.MAX_ERROR_MM
    assert len(payload["modes"]) == 50 * len(payload["vertices"])


def test_big_meshes_keep_their_vertex_numbers():
    for count, kind in ((65_535, "<u2"), (65_536, "<u4"), (400_000, "<u4")):
        corners = np.array([[0, 1, count - 1]])
        packed = packing.pack_triangles(corners, count)
        assert np.frombuffer(packed, kind).tolist() == [0, 1, count - 1]


def test_coefficients_follow_and_are_checked(model):
    view = v2m.MeshView(model, shape_coefficients=[1.0])
    assert view.shape_coefficients == [1.0, 0.0, 0.0]
    seen = []
    view.observe(lambda change: seen.append(change["new"]), "shape_coefficients")
    view.shape_coefficients = torch.tensor([0.0, 2.0, 0.0])
    assert seen == [[0.0, 2.0, 0.0]]
    expected = model.decode(torch.tensor([0.0, 2.0, 0.0])).numpy()
    np.testing.assert_allclose(view.vertices, expected, atol=1e-5)
    with pytest.raises(ShapeError, match=r"expected at most \(3,\)"):
        view.shape_coefficients = np.zeros(4)
    with pytest.raises(InputError, match="not finite"):
        view.shape_coefficients = [float("nan")]
    # What the browser's slider sends arrives the same way.
    view.set_state({"shape_coefficients": [0.5, 0, 0]})
    assert view.shape_coefficients == [0.5, 0.0, 0.0]


def test_names_that_the_face_lacks_are_refused(model):
    view = v2m.MeshView(model)
    view.selected_region = "nose"
    with pytest.raises(InputError, match=r"chin is not a region of this face: use one of"):
        view.selected_region = "chin"
    with pytest.raises(InputError, match="eyebrow is not a line"):
        view.lines = ["ear", "eyebrow"]
    with pytest.raises(InputError, match="back is not a camera preset"):
        view.camera = "back"
    with pytest.raises(InputError, match="colour is not a trait of MeshView"):
        v2m.MeshView(model, colour="red")
    with pytest.raises(InputError, match="a str is not a face"):
        v2m.MeshView("phantom.npz")
    ball = trimesh.creation.icosphere(0)
    with pytest.raises(ShapeError, match=r"12 vertices, the model 642"):
        v2m.MeshView((ball.vertices, ball.faces), model=model)


def test_any_kind_of_face_is_shown(model):
    ball = trimesh.Trimesh(model.mean.numpy(), model.triangles.numpy(), process=False)
    face = SimpleNamespace(vertices=model.mean, triangles=model.triangles)
    for shown in (ball, face, (model.mean, model.triangles)):
        view = v2m.MeshView(shown)
        assert view.vertices.shape == (642, 3)
        assert view.triangles.shape == (1280, 3)
        assert view.shape_coefficients == []


def test_missing_landmarks_are_not_drawn(model):
    view = v2m.MeshView(model, show_landmarks=True)
    assert len(view._packed()["landmarks"]) == 67
    view.picture((80, 80))


def test_colours_by_numbers(model, monkeypatch):
    view = v2m.MeshView(model)
    sent = []
    monkeypatch.setattr(view, "send", lambda content, buffers: sent.append((content, buffers)))
    view.colour_by(np.arange(642.0), name="height", limits=(0, 641))
    assert view._scalars["name"] == "height"
    assert sent[0][0] == {"kind": "scalars"}
    for numbers in (sent[0][1][0], view._packed()["values"]):
        assert np.frombuffer(numbers, "<f4")[7] == 7
    view.colour_by("displacement")
    assert view._scalars["live"]
    view.picture((60, 60))
    view.colour_by(None)
    assert view._scalars == {}
    with pytest.raises(ShapeError, match="3 numbers for 642 vertices"):
        view.colour_by([1.0, 2.0, 3.0])


def test_colour_maps_share_limits_and_show_gaps():
    low, high = scalar_map([np.array([0.0, 1.0]), np.array([2.0, np.nan])])
    assert (low.low, low.high) == (high.low, high.high) == (0.0, 2.0)
    np.testing.assert_allclose(high.colours()[1], 0.5)
    assert scalar_map(np.array([-3.0, 1.0])).low == -3.0
    with pytest.raises(InputError, match="are not in order"):
        scalar_map(np.arange(3.0), limits=(2, 1))


def test_the_stored_notebook_holds_a_picture_and_no_megabytes(model):
    view = v2m.MeshView(model, title="ball")
    bundled = view._repr_mimebundle_()
    data = bundled[0] if isinstance(bundled, tuple) else bundled
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.size == (420, 420)
    assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20
    state = {name: value for name, value in view.get_state().items() if name[:2] != "_e"}
    assert len(json.dumps(state, default=str)) < 60_000
    assert not any(isinstance(value, (bytes, memoryview)) for value in state.values())


def test_the_face_travels_as_messages_when_the_browser_asks(model, monkeypatch):
    view, sent = v2m.MeshView(model, shape_coefficients=[2.0]), []
    monkeypatch.setattr(view, "send", lambda content, buffers: sent.append((content, buffers)))
    view._handle_custom_msg({"kind": "want mesh"}, [])
    (face, parts), (modes, buffers) = sent
    # First what the picture needs, as the coefficients stand; the modes, which are large, later.
    assert sum(map(len, parts)) < 40 * len(model.mean)
    posed = face["mesh"]["posed"]
    found = packing.unpack_vertices({**posed, "vertices": parts[posed["vertices"]["buffer"]]})
    np.testing.assert_allclose(found, view.vertices, atol=packing.MAX_ERROR_MM)
    assert buffers[modes["modes"]["modes"]["buffer"]] == view._packed()["modes"]
    view._handle_custom_msg({"kind": "hello"}, [])
    assert len(sent) == 2


def test_modes_follow_what_a_reader_waits_for(model, monkeypatch):
    view, sent, later = v2m.MeshView(model), [], []
    monkeypatch.setattr(mesh_view, "soon", later.append)
    monkeypatch.setattr(view, "send", lambda content, buffers: sent.append(content["kind"]))
    view._repr_mimebundle_()
    assert set(sent) == {"mesh"}
    (act,) = later
    act()
    assert sent[-1] == "modes"
    called = threading.Event()
    sending.soon(called.set, 0.01)
    assert called.wait(60)
    v2m.MeshView((model.mean, model.triangles))._repr_mimebundle_()  # has none to send
    assert later == [act]


def test_expressions_keep_the_names_of_their_model(model):
    named = dataclasses.replace(model, expression_names=("jaw_open", "smile"))
    assert v2m.MeshView(named)._packed()["expression_names"] == ["jaw open", "smile"]
    assert v2m.MeshView(model)._packed()["expression_names"] == ["expression 1", "expression 2"]


def test_a_row_turns_together_and_leaves_one_picture(model):
    views = [v2m.MeshView(model, title=name) for name in ("true", "predicted")]
    row = side_by_side(views)
    assert views[0].link == views[1].link != ""
    bundled = row._repr_mimebundle_()
    data = bundled[0] if isinstance(bundled, tuple) else bundled
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size == (606, 300)
    with pytest.raises(InputError, match="is empty"):
        side_by_side([])


def test_the_still_picture_marks_what_the_camera_sees(model):
    plain = np.asarray(still(model.mean, model.triangles, size=(200, 200)), int)
    marked = np.asarray(
        still(
            model.mean, model.triangles, size=(200, 200), lines={"ear": (0, 1)}, camera="front",
            landmarks=[5], title="ball",
        ),
        int,
    )  # fmt: skip
    assert (np.abs(plain - marked).sum(-1) > 60).mean() > 0.01
    camera = rendering.frame(model.mean.numpy(), "front", size=(200, 200))
    column, row = rendering.project(model.mean[5].numpy(), camera, (200, 200)).round().astype(int)
    assert marked[row, column].sum() < 200  # a dark dot


def _parts(text):
    """The last figure's faces, and what figures have in common, in the order of the page."""
    scripts = re.findall(r"<script type=\"application/json\" class=\"(.*?)\">(.*?)</script>", text)
    found = [(css, json.loads(content)) for css, content in scripts]
    return found[-1][1], [content for css, content in found if css == "v2m-shared"]


def test_figures_of_a_page_write_what_they_share_once(model):
    face, common = ("x", model.mean.numpy(), model.triangles.numpy(), None), {}
    options = {"model": model, "height": 60, "pictures": False, "shared": common}
    first = mesh_figure([face], **options)
    second = mesh_figure([face, (*face[:3], np.arange(642.0))], **options)
    assert len(_parts(first)[1]) == 1
    packet, again = _parts(second)
    assert again == []
    written = _parts(first)[1][0]
    assert {key for one in packet["faces"] for key in one["shared"].values()} <= written.keys()
    assert packet["anatomy"] in written
    assert len(second) < len(first)


def test_html_is_whole_and_fetches_nothing(model):
    faces = [
        ("true </script>", model.mean.numpy(), model.triangles.numpy(), None),
        ("far", model.mean.numpy() + 1, model.triangles.numpy(), np.arange(642.0)),
        ("red", model.mean.numpy(), model.triangles.numpy(), np.full((642, 3), [1.0, 0, 0])),
    ]
    text = mesh_html(faces, model=model, page=True, title="A & B", height=60)
    assert not re.search(r"https?://|@import|src=\"[^d]", text)
    packet, common = _parts(text)
    assert [face["title"] for face in packet["faces"]] == ["true </script>", "far", "red"]
    assert len({face["shared"]["triangles"] for face in packet["faces"]}) == 1
    assert len(common[0]) == 5  # triangles, sky, the model's colours, red, anatomy
    assert text.count("<img") == 3
    assert "A &amp; B" in text


def test_html_refuses_what_it_cannot_show(model):
    corner, flat = np.eye(3), [[0, 1, 2]]
    with pytest.raises(InputError, match="faces is empty"):
        mesh_figure([])
    with pytest.raises(InputError, match="a face of type tuple is not understood"):
        mesh_figure([(corner, flat)])
    with pytest.raises(ShapeError, match="Transposed"):
        mesh_figure([("x", np.zeros((3, 8)), flat)])
    with pytest.raises(ShapeError, match="paint has shape"):
        mesh_figure([("x", corner, flat, np.zeros(5))])
    with pytest.raises(InputError, match="captions are 1 for 2 faces"):
        mesh_figure([("x", corner, flat)] * 2, captions=["one"])
    with pytest.raises(ShapeError, match="different topologies"):
        mesh_figure([("x", corner, flat)], model=model)


def test_the_viewer_is_one_module_without_imports():
    for entry in ("widget.js", "page.js"):
        text = bundle.script(entry)
        assert not re.search(r"^\s*import\s", text, re.M)
        assert "</script" not in text
        assert len(text) < 60_000
    assert len(re.findall(r"^export default", bundle.script("widget.js"), re.M)) == 1


@pytest.fixture(scope="module")
def table():
    frame = pd.DataFrame({"method": ["mean_face", "model"], "error": [0.03, 0.02]})
    frame["ci_low"], frame["ci_high"] = frame["error"] - 0.001, frame["error"] + 0.002
    return frame


@pytest.fixture(scope="module")
def figures(table):
    """One of each chart."""
    rng = np.random.default_rng(0)
    sound = rng.normal(size=16_000) * 0.1
    lines = pd.concat([table.assign(line=line) for line in ("ear", "cheek")])
    grid = pd.DataFrame(rng.normal(size=(2, 3)), index=["ear", "cheek"], columns=[1, 2, 3])
    return {
        "waveform": plots.waveform(sound, speech=np.arange(16_000) > 4_000),
        "log_mel": plots.log_mel(rng.normal(size=(98, 64)), frequencies_hz=np.arange(64) * 100),
        "errors": plots.errors(table, references={"ceiling": 0.018}),
        "skills": plots.skills(table.rename(columns={"error": "skill"})),
        "errors_by_line": plots.errors_by_line(lines),
        "coefficients": plots.coefficients({"predicted": [1.0, -1.0], "reference": [0.5, 0.0]}),
        "grid": plots.grid(grid, axis="change (mm per sd)"),
    }


def test_every_axis_of_every_chart_says_what_and_in_which_unit(figures):
    for name, figure in figures.items():
        titles = [figure.layout.xaxis.title.text, figure.layout.yaxis.title.text]
        bars = [trace.colorbar.title.text for trace in figure.data if trace.type == "heatmap"]
        words = " ".join(filter(None, [*titles, *bars]))
        assert "(" in words or "sd of" in words, f"{name} shows no unit: {words}"
        assert figure.layout.template.layout.colorway == plots.PALETTE


def test_charts_hold_the_numbers_they_were_given(figures, table):
    bar = figures["errors"].data[0]
    assert list(bar.x) == [0.03, 0.02]
    assert figures["errors"].layout.yaxis.type == "category"  # also where labels are numbers
    np.testing.assert_allclose(bar.error_x.array, [0.002, 0.002])
    np.testing.assert_allclose(bar.error_x.arrayminus, [0.001, 0.001])
    assert figures["errors"].layout.shapes[0].x0 == 0.018
    sound = np.zeros(16_000)
    sound[12_345] = 0.7
    wave = plots.waveform(sound).data[0]
    assert wave.y.max() == pytest.approx(0.7)  # thinning must not lose a click
    assert np.argmax(wave.y) * wave.dx == pytest.approx(12_345 / 16_000, abs=0.003)
    with pytest.raises(InputError, match="table lacks error: it has method"):
        plots.errors(table.rename(columns={"error": "mistake"}))
    with pytest.raises(ShapeError, match="matrix has shape"):
        plots.log_mel(np.zeros(64))


def test_roles_keep_their_colours(figures):
    assert figures["errors"].data[0].marker.color[1] == plots.ROLES["model"]
    assert figures["errors_by_line"].data[1].marker.color == plots.ROLES["model"]
    assert figures["coefficients"].data[1].marker.color == plots.ROLES["reference"]


def test_charts_can_be_drawn_without_a_browser(figures):
    for name, figure in figures.items():
        # As JSON first, which is how a stored notebook keeps it.
        spec = json.loads(figure.to_json())
        data = base64.b64decode(plot_pictures.picture_of_output(spec))
        image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
        assert image.shape[1] == 760, name
        assert (image < 200).mean() > 0.01, f"{name} is blank"
    with pytest.raises(InputError, match="a pie trace cannot be drawn here"):
        plot_pictures.draw(go.Figure(go.Pie(values=[1, 2])))
