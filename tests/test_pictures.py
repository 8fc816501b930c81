"""Pictures for paper and for readers without a kernel: theme, export, stored notebooks."""

import base64
import copy
import importlib
import inspect
import io
import itertools
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from browser import browser_page
from nbconvert import HTMLExporter, LatexExporter
from PIL import Image

import v2mlib as v2m
from v2mlib import plot_pictures, plots
from v2mlib.checks import InputError
from v2mlib.widgets import compare
from v2mlib.widgets.colouring import scalar_map

BOOK = Path(__file__).resolve().parents[1] / "notebooks"

# How people without one kind of cone see linear RGB (Machado, Oliveira and Fernandes,
# IEEE TVCG 15, 2009, Table 1, severity 1).
SIGHT = {
    "all cones": np.eye(3),
    "no long-wave cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle-wave cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short-wave cones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def cielab(srgb, sight):
    """L*, a*, b* of sRGB colours (colour, 3) from 0 to 1 as somebody sees them."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(SIGHT[sight]), 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear @ np.transpose(to_xyz) / (0.9505, 1.0, 1.089)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def rgb_of(colours):
    return np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in colours])


def nearest_pair(colours, sight):
    """Smallest difference of two colours, CIE 1976; about 2 can just be told apart side by side."""
    seen = cielab(rgb_of(colours), sight)
    pairs = itertools.combinations(range(len(seen)), 2)
    return min((float(np.linalg.norm(seen[a] - seen[b])), colours[a], colours[b]) for a, b in pairs)


@pytest.mark.parametrize("sight", SIGHT)
def test_every_pair_of_the_palette_is_told_apart(sight):
    assert nearest_pair(plots.PALETTE, sight)[0] > 12
    assert set(plots.ROLES.values()) <= set(plots.PALETTE)


def test_the_check_of_colours_can_fail():
    reds_and_greens = ("#b05a00", "#6a8a00")
    assert nearest_pair(reds_and_greens, "all cones")[0] > 30
    assert nearest_pair(reds_and_greens, "no middle-wave cones")[0] < 12


@pytest.mark.parametrize("sight", SIGHT)
def test_colour_maps_of_faces_are_read_by_everybody(sight):
    from_zero = cielab(np.array(scalar_map(np.arange(3.0)).stops) / 255, sight)
    assert (np.diff(from_zero[:, 0]) > 0).all()  # the lighter, the more
    signed = cielab(np.array(scalar_map(np.array([-1.0, 1.0])).stops) / 255, sight)
    assert np.linalg.norm(signed[0] - signed[-1]) > 25  # inwards is not outwards
    assert signed[len(signed) // 2, 0] > signed[[0, -1], 0].max() + 30


def plot_modules():
    folder = Path(plots.__file__).parent
    names = sorted(path.stem for path in folder.glob("plot*.py"))
    return [importlib.import_module(f"v2mlib.{name}") for name in names]


def test_every_axis_that_the_library_names_has_a_unit():
    """Defaults of ``axis`` and ``unit`` options, and axis titles written out in the code."""
    named = []
    for module in plot_modules():
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                options = inspect.signature(function).parameters
                found = [options[key].default for key in ("axis", "unit") if key in options]
                named += [(f"{module.__name__}.{name}", text) for text in found if text]
        titles = re.findall(r'(?:title_text|_title)="([^"]+)"', inspect.getsource(module))
        named += [(module.__name__, text) for text in titles]
    named = [(where, text) for where, text in named if isinstance(text, str)]
    assert len(named) >= 6
    unit = re.compile(r"\(.+\)|\bsd\b|share|ratio|%|number|count|probability|correlation|R²")
    assert [pair for pair in named if not unit.search(pair[1])] == []


UNIT = re.compile(
    r"\(.+\)|%|\b(sd|mm|ratio|share|bits|skill|loss|accuracy|probability|count|correlation|ARE)\b"
)


def charts_of_the_book():
    """Every chart that a stored notebook holds, as plotly reads it."""
    for path in sorted(BOOK.glob("[0-9]*.ipynb")):
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
            for output in cell.get("outputs", []):
                spec = output.get("data", {}).get("application/vnd.plotly.v1+json")
                if spec:
                    yield f"{path.name}, cell {number}", plot_pictures.figure_of_output(spec)


def without_words(figure):
    """Numeric axes of a chart that do not say what they count."""
    for letter in "xy":
        for number, trace in enumerate(figure.data):
            values = [v for v in np.ravel(getattr(trace, letter, None)) if v is not None]
            axis = figure.layout[f"{letter}axis"]
            ticked = axis.tickvals is not None or axis.type == "category"
            if values and not isinstance(values[0], str) and not ticked and not axis.title.text:
                yield f"{letter} of trace {number}"


def test_every_chart_of_the_book_names_its_axes_and_a_unit():
    found = list(charts_of_the_book())
    assert len(found) > 15
    for where, figure in found:
        assert list(without_words(figure)) == [], where
        titles = [figure.layout.xaxis.title.text, figure.layout.yaxis.title.text]
        titles += [trace.colorbar.title.text for trace in figure.data if "colorbar" in trace]
        assert any(UNIT.search(text) for text in titles if text), (where, titles)


@pytest.fixture(scope="module")
def chart():
    table = pd.DataFrame({"method": ["mean_face", "model"], "error": [0.03, 0.02]})
    return plots.errors(table.assign(ci_low=0.01, ci_high=0.04), title="Errors")


@pytest.fixture(scope="module")
def model():
    return v2m.load_face_model("phantom")


def test_charts_for_papers_have_the_size_and_keep_their_letters(chart, tmp_path):
    png = plot_pictures.save_figure(chart, tmp_path / "a.png", width_mm=85)
    with Image.open(png) as image:
        assert image.size[0] == pytest.approx(85 / 25.4 * 300, abs=2)
        assert image.info["dpi"][0] == pytest.approx(300, abs=0.1)
    svg = plot_pictures.save_figure(chart, tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "Errors</text>" in svg.replace("\n", "")
    assert "<image" not in svg
    pdf = plot_pictures.save_figure(chart, tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Subtype /Image" not in pdf  # lines, not dots
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png", "a.svg"]


def test_faces_for_papers_have_as_many_dots_as_they_need(model, tmp_path):
    view = v2m.MeshView(model, title="mean", lines=["ear"], theme="light")
    png = plot_pictures.save_figure(view, tmp_path / "face.png", width_mm=50)
    with Image.open(png) as image:
        assert image.size == pytest.approx((591, 591), abs=1)
    pair = compare({"a": model, "b": (model.mean + 1, model.triangles)}, model=model)
    pdf = plot_pictures.save_figure(pair, tmp_path / "pair.pdf", width_mm=80, dpi=150).read_bytes()
    assert b"/Subtype /Image" in pdf
    with pytest.raises(InputError, match=r"face.jpg is no picture's name: end it in .png"):
        plot_pictures.save_figure(view, tmp_path / "face.jpg")
    with pytest.raises(InputError, match="give positive numbers"):
        plot_pictures.save_figure(view, tmp_path / "face.png", width_mm=0)


def test_the_picture_shows_what_the_view_shows(model):
    def shown(**traits):
        picture = v2m.MeshView(model, camera="front", **traits).picture((200, 200))
        return np.asarray(picture, int)

    plain = shown()

    def changed(**traits):
        return (np.abs(shown(**traits) - plain).sum(-1) > 24).mean()

    assert changed(wireframe=True) > 0.2
    assert changed(theme="dark") > 0.3
    assert changed(selected_region="nose") > 0.005
    assert changed(show_landmarks=True) > 0.005
    assert changed(lines=["ear"]) > 0.005
    assert changed(shape_coefficients=[3.0]) > 0.02
    assert changed(title="a title") > 0.005
    assert changed() == 0
    view = v2m.MeshView(model, camera="front").colour_by("displacement")
    numbers = np.asarray(view.picture((200, 200)), int)
    view.selected_region = "nose"
    assert (np.abs(np.asarray(view.picture((200, 200)), int) - numbers).sum(-1) > 24).mean() > 0.005
    large = view.picture((840, 840)).resize((420, 420))
    small = np.asarray(view.picture((420, 420)), float)
    assert np.abs(np.asarray(large, float) - small).mean() < 4  # letters grow with the picture


def test_a_chart_in_a_notebook_leaves_a_picture(chart):
    before = pio.renderers.default
    try:
        plot_pictures.in_notebooks()
        data = pio.renderers["v2mlib"].to_mimebundle(chart.to_dict())
        other = pio.renderers["v2mlib"].to_mimebundle(go.Figure(go.Pie(values=[1, 2])).to_dict())
    finally:
        pio.renderers.default = before
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.size[0] == 760
    assert "application/vnd.plotly.v1+json" in data
    assert "image/png" not in other


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(BOOK / "01_morphable_face.ipynb", as_version=4)


def pictures_in(notebook):
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return [out.data["image/png"] for out in outputs if "image/png" in out.get("data", {})]


def test_exported_pages_show_the_faces_without_a_kernel_or_a_network(stored, tmp_path):
    expected = len(pictures_in(stored))
    body, _ = HTMLExporter().from_notebook_node(stored)
    path = tmp_path / "book.html"
    path.write_text(body, encoding="utf-8")
    with browser_page() as page:
        page.context.set_offline(True)
        page.goto(path.as_uri(), wait_until="load")
        widths = page.locator("img").evaluate_all("all => all.map((one) => one.naturalWidth)")
        assert len(widths) == expected >= 5
        assert min(widths) > 100
        pdf = page.pdf()  # what `jupyter nbconvert --to webpdf` does
    assert pdf.count(b"/Subtype /Image") >= expected


def test_exported_paper_takes_the_pictures(stored):
    notebook = copy.deepcopy(stored)  # without prose, whose conversion needs pandoc
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    body, resources = LatexExporter().from_notebook_node(notebook)
    assert body.count("adjustimage") >= len(pictures_in(stored))
    assert len(resources["outputs"]) >= len(pictures_in(stored))


def test_a_notebook_saved_with_its_widgets_stays_small(model):
    """What JupyterLab adds to the file for each widget when asked to save widgets."""
    view = v2m.MeshView(model, title="face").colour_by(model.mean[:, 1])
    pair = compare({"a": model, "b": (model.mean + 1, model.triangles)}, model=model)
    for widget in (view, pair):
        widget._repr_mimebundle_()
        state = json.dumps(widget.get_state(), default=lambda data: bytes(data).hex())
        assert len(state) < 40_000, f"{len(state)} bytes"
