"""From the press of Control-Enter on a notebook's cell to the first picture in JupyterLab.

``python tests/benchmarks/widgets_display.py [--rounds N]``: each viewer shows the mesh of
`bench_widgets` in a kernel of its own, where the setup cell has imported the package and loaded
the mesh; then the same cell is run again. A picture counts when a canvas gets a draw call that
can hold a face and two frames have passed. `bench_widgets` shows the medians in its table.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

SETUP = """
import numpy as np
import v2mlib as v2m
{imports}
model = v2m.MorphableModel.load({path!r})
vertices = model.mean.numpy().astype(np.float32)
triangles = model.triangles.numpy().astype(np.uint32)
print("ready")
"""
SHOW = {
    "ours": ("", 'v2m.MeshView(model, title="bench", camera="front")'),
    "plotly": (
        "import plotly.graph_objects as go",
        """
x, y, z = vertices.T
i, j, k = triangles.T
mesh = go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color="#cca38c")
go.FigureWidget(mesh, layout={"width": 420, "height": 420})
""",
    ),
    "k3d": (
        "import k3d",
        """
plot = k3d.plot(height=420, grid_visible=False)
plot += k3d.mesh(vertices, triangles, color=0xCCA38C)
plot
""",
    ),
}
# Long draw calls of WebGL, and large pictures put on a canvas.
_WATCH = """
  globalThis.watchFrom = () => { globalThis.pressed = Date.now(); globalThis.shown = null; };
  addEventListener("keydown", (event) => { if (event.key === "Enter") watchFrom(); }, true);
  const drawn = (large) => {
    if (!large || !globalThis.pressed || globalThis.shown) return;
    globalThis.shown = "soon";
    requestAnimationFrame(() => requestAnimationFrame(() => { globalThis.shown = Date.now(); }));
  };
  const wrap = (type, name, large) => {
    const given = type.prototype[name];
    type.prototype[name] = function (...more) {
      const result = given.apply(this, more);
      drawn(large(this, more));
      return result;
    };
  };
  for (const type of [WebGLRenderingContext, WebGL2RenderingContext]) {
    wrap(type, "drawElements", (_, [, count]) => count > 50000);
    wrap(type, "drawArrays", (_, [, , count]) => count > 50000);
  }
  const large = ({ canvas }) => canvas.isConnected && canvas.width > 200 && canvas.height > 200;
  for (const name of ["putImageData", "drawImage"]) wrap(CanvasRenderingContext2D, name, large);
"""


def _notebook(path, imports, show, mesh):
    notebook = nbformat.v4.new_notebook()
    setup = SETUP.format(imports=imports, path=str(mesh))
    notebook.cells = [nbformat.v4.new_code_cell(text.strip()) for text in (setup, show)]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)


def _shown(page, cell):
    """Run a cell; ms until its picture is there."""
    from browser import run_cell

    run_cell(page, cell)
    page.wait_for_function("typeof globalThis.shown === 'number'")
    return page.evaluate("shown - pressed")


def measure(model, rounds=3, names=tuple(SHOW), picture=None):
    """Times to the first picture of a kernel and to the next.

    Parameters
    ----------
    model : MorphableModel
        What is shown.
    rounds : int
        Fresh kernels per viewer.
    names : sequence of str
        Viewers, of `SHOW`.
    picture : Path, optional
        Folder for a screenshot per viewer, for a look at what was timed.

    Returns
    -------
    dict of str to (list of float, list of float)
        Per viewer, ms for the first and for the second display.
    """
    from browser import browser_page, end_kernels, jupyter_lab, wait_for_kernel

    times = {name: ([], []) for name in names}
    with browser_page() as page, tempfile.TemporaryDirectory() as folder:
        book, state = Path(folder) / "book", Path(folder) / "state"
        book.mkdir()
        state.mkdir()
        model.save(Path(folder) / "mesh.npz")
        page.add_init_script(_WATCH)
        with jupyter_lab(book, state) as address:
            for k in range(rounds):
                for name in names:
                    path = book / f"{name}_{k}.ipynb"
                    _notebook(path, *SHOW[name], Path(folder) / "mesh.npz")
                    page.goto(f"{address}/doc/tree/{path.name}")
                    page.wait_for_selector(".jp-Notebook .jp-Cell")
                    wait_for_kernel(page)
                    cells = page.locator(".jp-Notebook .jp-CodeCell")
                    cells.first.locator(".cm-content").click()
                    page.keyboard.press("Control+Enter")
                    page.get_by_text("ready", exact=True).wait_for()
                    for found in times[name]:
                        page.wait_for_timeout(1500)
                        found.append(_shown(page, cells.nth(1)))
                    if picture:
                        page.screenshot(path=str(picture / f"display_{name}.png"))
                    end_kernels(address)
    return times


def main(argv=None):
    """Print the medians and all rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=tuple(SHOW), help="one viewer")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    options = parser.parse_args(argv)
    from bench_widgets import dense_model

    names = (options.only,) if options.only else tuple(SHOW)
    before = os.getloadavg()[0]
    times = measure(dense_model(), options.rounds, names, options.pictures)
    print(f"load {before:.1f} to {os.getloadavg()[0]:.1f}; ms from Control-Enter to the picture")
    for name, (first, again) in times.items():
        print(
            f"{name:8} first {statistics.median(first):6.0f}  again {statistics.median(again):6.0f}"
            f"   {first} {again}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
