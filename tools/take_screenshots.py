"""Screenshots of each notebook's main moments, and of the widgets in a live JupyterLab.

    python tools/take_screenshots.py [notebook ...] [--only stored|lab|app]

Pictures go to ``figures/``. Stored notebooks are shown as nbconvert renders them, without a
kernel; a moment is a cell with its code and what came out. A cell tagged ``moment`` is taken;
where none is, the tool takes the first faces, the last chart before the takeaway, and the last
faces. ``app.png`` is what a visitor of ``v2m app`` sees. Needs Chromium (``tests/browser.py``).
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
FIGURES = ROOT / "figures"
_PLOTLY = "application/vnd.plotly.v1+json"
_WIDTH = 1000  # pixels of the page

LIVE = {
    "lab_sliders": """
import v2mlib as v2m
model = v2m.load_face_model("phantom")
view = v2m.MeshView(model, title="50 numbers make a face", lines=["outer_interocular", "jaw_width"])
view.shape_coefficients = [1.5, -1.0, 1.0]
view.colour_by("displacement", limits=(0, 15))
""",
    "lab_compare": """
people = v2m.phantom.Population(6, seed=3)
faces = {f"person {k}": model.decode(people.shape_coefficients[k]) for k in range(3)}
v2m.compare({"mean face": model.mean, **faces}, model=model, mode="difference", height=260)
""",
    "lab_wipe": """
v2m.compare({"mean face": model.mean, **faces}, model=model, mode="wipe", theme="dark")
""",
    "voice_to_face": """
said = {f"utterance {k + 1}": people.speak(2, k) for k in range(2)}
v2m.VoiceToFace(recordings=said, height=240)
""",
}


def kind_of(cell):
    """``faces``, ``chart`` or nothing: what a reader sees below a stored cell."""
    found = [out.get("data", {}) for out in cell.get("outputs", [])]
    if any(_PLOTLY in data for data in found):
        return "chart"
    return "faces" if any("image/png" in data for data in found) else None


def moments(notebook):
    """Numbers of the cells worth a screenshot, in their order."""
    tagged = [k for k, c in enumerate(notebook.cells) if "moment" in c.metadata.get("tags", ())]
    if tagged:
        return tagged
    kinds = [kind_of(cell) for cell in notebook.cells]
    takeaway = next(
        (k for k, cell in enumerate(notebook.cells) if "## Takeaway" in cell.source), len(kinds)
    )
    faces = [k for k, kind in enumerate(kinds) if kind == "faces"]
    charts = [k for k, kind in enumerate(kinds[:takeaway]) if kind == "chart"]
    return sorted({*faces[:1], *charts[-1:], *faces[-1:]})


def save(png, path):
    """Write a screenshot with 256 colours, a third of the bytes."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    palette = image.quantize(256, kmeans=2)
    image = image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    image.save(path, "png", optimize=True)
    print(f"{path.name}: {image.width} x {image.height}, {path.stat().st_size / 1e3:.0f} KB")


def of_stored(page, path, folder):
    """The main moments of one stored notebook."""
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    body, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    html = folder / f"{path.stem}.html"
    html.write_text(body, encoding="utf-8")
    page.goto(html.as_uri(), wait_until="load")
    for old in FIGURES.glob(f"{path.stem}_*.png"):
        old.unlink()
    cells = page.locator(".jp-Cell")
    for number, index in enumerate(moments(notebook), start=1):
        save(cells.nth(index).screenshot(), FIGURES / f"{path.stem}_{number}.png")


def of_lab(page, folder):
    """The widgets in a JupyterLab with a kernel."""
    from browser import jupyter_lab, open_notebook, run_all, wait_until_drawn

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(text.strip()) for text in LIVE.values()]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (folder / "book").mkdir()
    nbformat.write(notebook, folder / "book" / "live.ipynb")
    page.set_viewport_size({"width": _WIDTH + 120, "height": 2900})
    with jupyter_lab(folder / "book", folder / "state") as address:
        open_notebook(page, address, "live.ipynb")
        run_all(page)
        page.locator(".v2m canvas").nth(5).wait_for()
        page.locator(".v2m-voice .v2m-stage canvas").nth(3).wait_for()
        wait_until_drawn(page)
        page.mouse.move(2, 2)  # no button under the pointer
        page.add_style_tag(content=".jp-cell-toolbar, .jp-Collapser { visibility: hidden }")
        for name, cell in zip(LIVE, page.locator(".jp-CodeCell").all(), strict=True):
            save(cell.screenshot(), FIGURES / f"{name}.png")


def of_app(page, folder):
    """The web page after a visitor has sent two recordings, in the dark."""
    import soundfile
    from browser import wait_until_drawn
    from test_app import running

    from v2mlib.phantom import Population

    people, files = Population(6, seed=3), []
    for k in range(2):
        files.append(folder / f"monday {k + 1}.wav")
        soundfile.write(files[-1], people.speak(4, k), 16_000)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": _WIDTH, "height": 1420})
    with running(folder) as (address, _, _):
        page.goto(f"{address}/", wait_until="commit")
        page.locator(".v2m-voice").wait_for()
        page.locator("input[type=file]").set_input_files(files)
        page.locator(".v2m-stage canvas").nth(3).wait_for()
        wait_until_drawn(page)
        page.mouse.move(2, 2)
        save(page.screenshot(full_page=True), FIGURES / "app.png")


def main(argv=None):
    """Take the screenshots of the notebooks named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--only", choices=("stored", "lab", "app"), help="one kind; default: all")
    options = parser.parse_args(argv)
    from browser import browser_page

    FIGURES.mkdir(exist_ok=True)
    paths = options.notebooks or sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    with browser_page((_WIDTH, 1200)) as page, tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        page.context.set_offline(True)  # nothing is fetched: what is seen is in the file
        for path in paths if options.only in (None, "stored") else ():
            of_stored(page, path, folder)
        page.context.set_offline(False)
        if options.only in (None, "lab"):
            (folder / "state").mkdir()
            of_lab(page, folder)
        if options.only in (None, "app"):
            of_app(page, folder)
    total = sum(path.stat().st_size for path in FIGURES.glob("*.png"))
    print(f"figures/: {total / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
