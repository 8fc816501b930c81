"""The viewer beside plotly and k3d in one headless Chromium: redraws a second, bytes an update.

``python tests/benchmarks/bench_widgets.py [--seconds S] [--rounds N] [--displays N] [--json FILE]``
prints the table; `rows` hands the redraws to the harness. All three show the same mesh of 38,000
vertices in 420 x 420 pixels under software rendering. Ours is moved by its own sliders in the
browser; the peers get the vertices that Python would send, already unpacked, which flatters
them. The first display is that of `widgets_display`: in JupyterLab, from Control-Enter.
"""

import argparse
import atexit
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
_FACES = 8  # different sets of vertices that take turns
_VERTICES = 38_000


def dense_model():
    """The phantom face with its front subdivided, all 50 modes kept."""
    import trimesh

    import v2mlib as v2m

    model = v2m.load_face_model("phantom")
    basis = np.concatenate([model.shape_basis, model.expression_basis], -1)
    flat = {"basis": basis.reshape(len(basis), -1), "colours": model.colours.numpy()}
    triangles = model.triangles.numpy()
    depth = model.mean.numpy()[triangles].mean(1)[:, 2]
    chosen = np.argsort(-depth)[: int(0.55 * len(triangles))]
    vertices, corners, more = trimesh.remesh.subdivide(
        model.mean.numpy(), triangles, face_index=chosen, vertex_attributes=flat
    )
    basis = more["basis"].reshape(len(vertices), 3, -1)
    return v2m.MorphableModel(
        mean=vertices,
        shape_basis=basis[..., : model.n_shape],
        expression_basis=basis[..., model.n_shape :],
        shape_std=model.shape_std,
        expression_std=model.expression_std,
        triangles=corners,
        landmarks=model.landmarks,
        lines=model.lines,
        regions=model.regions,
        colours=more["colours"],
        topology="bench",
        name="bench",
    )


def _processor_seconds():
    """Processor time of the browser and all its processes: what a busy machine cannot stretch."""
    import psutil

    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(t.user + t.system for t in times)


class Pages:
    """One page per viewer; `start` says how many ms the first picture took."""

    def __init__(self, model, browser, folder):
        from v2mlib.widgets import MeshView

        self.model, self.browser, self.folder = model, browser, Path(folder)
        self.view = MeshView(model, title="bench", camera="front")
        rng = np.random.default_rng(0)
        shapes = rng.uniform(-2, 2, (_FACES, model.n_shape))
        decoded = model.decode(model.mean.new_tensor(shapes)).numpy()
        self.faces = decoded.astype(np.float32)
        self.first_ms, self.bytes_per_update, self.pages = {}, {}, {}

    def _open(self, name, html):
        path = self.folder / f"{name}.html"
        path.write_text(html, encoding="utf-8")
        page = self.browser.new_page(viewport={"width": 800, "height": 620})
        page.goto(path.as_uri(), wait_until="load")
        for script in (HERE.parent / "stand_in.js", HERE / "bench_widgets_page.js"):
            page.add_script_tag(content=script.read_text(encoding="utf-8"))
        self.pages[name] = page
        return page

    def ours(self):
        """Our widget with a stand-in for the kernel."""
        from browser import widget_state

        from v2mlib.widgets import bundle, packing

        page = self._open(
            "ours",
            f"<!DOCTYPE html><style>{bundle.style()}</style>"
            '<div id="place" style="width:700px"></div>',
        )
        code = bundle.script("widget.js").replace("export default", "globalThis.factory =")
        page.add_script_tag(content=code, type="module")
        page.wait_for_function("globalThis.factory !== undefined")
        state = widget_state(self.view)
        payload = packing.as_text(self.view._packed())
        page.evaluate("p => { globalThis.payload = p; }", payload)
        self.first_ms["ours"] = page.evaluate("s => startOurs(factory, payload, s)", state)
        self.bytes_per_update["ours"] = page.evaluate("drive(3)")

    def _send_faces(self, page):
        # As float32 in base64: what the page does with them is not timed.
        import base64

        texts = [base64.b64encode(face.tobytes()).decode() for face in self.faces]
        page.evaluate(
            "t => { globalThis.faces = t.map(s => new Float32Array("
            "Uint8Array.from(atob(s), c => c.charCodeAt(0)).buffer)); }",
            texts,
        )

    def plotly(self):
        """``Plotly.restyle`` of x, y and z, which is what a FigureWidget calls."""
        import plotly
        import plotly.graph_objects as go

        source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        page = self._open("plotly", '<!DOCTYPE html><div id="place"></div>')
        page.add_script_tag(path=str(source))
        self._send_faces(page)
        (x, y, z), (i, j, k) = self.faces[0].T, self.model.triangles.numpy().T
        mesh = go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color="#cca38c")
        margin = {"l": 0, "r": 0, "t": 0, "b": 0}
        figure = go.Figure(mesh, layout={"width": 420, "height": 420, "margin": margin})
        self.first_ms["plotly"] = page.evaluate(
            """async (figure) => {
              const begun = performance.now(), n = faces[0].length / 3;
              const column = (v, k) => Float32Array.from({ length: n }, (_, i) => v[3 * i + k]);
              const split = (v) => [0, 1, 2].map((k) => column(v, k));
              globalThis.columns = faces.map(split);
              await Plotly.newPlot("place", figure.data, figure.layout);
              await nextFrame();
              const restyle = ([x, y, z]) =>
                Plotly.restyle("place", { x: [x], y: [y], z: [z] }, [0]);
              startPeer(columns, restyle);
              return performance.now() - begun;
            }""",
            json.loads(figure.to_json()),
        )
        self.bytes_per_update["plotly"] = self.faces[0].nbytes

    def k3d(self):
        """New vertices for a k3d mesh, as its widget takes them."""
        import k3d

        plot = k3d.plot(height=420, grid_visible=False, menu_visibility=False)
        corners = self.model.triangles.numpy().astype(np.uint32)
        mesh = k3d.mesh(self.faces[0], corners, color=0xCCA38C)
        plot += mesh
        html = plot.get_snapshot().replace("width: 100%;", "width: 420px;", 1)
        html = html.replace("height: 100%;\n            position", "height: 420px;\n position", 1)
        page = self._open("k3d", html)
        begun = time.perf_counter()
        page.wait_for_function("globalThis.K3DInstance !== undefined")
        page.evaluate("async () => { globalThis.k3dPlot = await K3DInstance; await nextFrame(); }")
        self.first_ms["k3d"] = 1000 * (time.perf_counter() - begun)
        self._send_faces(page)
        page.evaluate(
            """() => startPeer(faces, async (data) => {
              const objects = k3dPlot.getWorld().ObjectsListJson, id = Object.keys(objects)[0];
              const vertices = { data, shape: [data.length / 3, 3] };
              await k3dPlot.reload({ ...objects[id], vertices }, { vertices });
              k3dPlot.render();
            })"""
        )
        self.bytes_per_update["k3d"] = len(zlib.compress(self.faces[0].tobytes(), 1))

    def drive(self, name, count):
        """Make ``count`` updates, each drawn."""
        page = self.pages[name]
        page.bring_to_front()
        page.evaluate(f"drive({count})")

    def picture(self, name, path):
        """Keep a screenshot, for a look at what was timed."""
        page = self.pages[name]
        page.bring_to_front()
        page.screenshot(path=path)


@contextlib.contextmanager
def opened():
    """All three viewers, each on its page."""
    from browser import browser_page

    with browser_page() as page, tempfile.TemporaryDirectory() as folder:
        pages = Pages(dense_model(), page.context.browser, folder)
        for name in ("ours", "plotly", "k3d"):
            with contextlib.suppress(ImportError):
                getattr(pages, name)()
        yield pages


def rows():
    """Rows for the harness: 30 updates of each viewer."""
    from harness import Row

    context = opened()
    pages = context.__enter__()
    atexit.register(context.__exit__, None, None, None)
    for peer in [name for name in pages.pages if name != "ours"]:
        yield Row(
            f"redraw {len(pages.faces[0]):,} vertices",
            lambda: pages.drive("ours", 30),
            lambda peer=peer: pages.drive(peer, 30),
            f"{peer}, new vertices",
            30,
            "redraw",
        )


def main(argv=None):
    """Measure in turns and print the best and the median of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--displays", type=int, default=3, help="fresh kernels; 0: no JupyterLab")
    parser.add_argument("--only", default="", help="one viewer")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args(argv)
    rates, costs, loads = {}, {}, []
    with opened() as pages:
        names = [name for name in pages.pages if options.only in name]
        for _ in range(options.rounds):
            loads.append(os.getloadavg()[0])
            for name in names:
                pages.drive(name, 5)  # warm
                begun, busy, count = time.perf_counter(), _processor_seconds(), 0
                while time.perf_counter() - begun < options.seconds:
                    pages.drive(name, 10)
                    count += 10
                costs.setdefault(name, []).append((_processor_seconds() - busy) / count)
                rates.setdefault(name, []).append(count / (time.perf_counter() - begun))
        if options.pictures:
            for name in names:
                pages.picture(name, str(options.pictures / f"bench_{name}.png"))
        n_vertices = len(pages.faces[0])
        results = [
            {
                "viewer": name,
                "redraws_per_s_best": round(max(rates[name]), 1),
                "redraws_per_s_median": round(statistics.median(rates[name]), 1),
                "processor_ms_per_redraw": round(1000 * min(costs[name]), 1),
                "bytes_per_update": pages.bytes_per_update.get(name),
                "first_picture_ms": round(pages.first_ms.get(name, float("nan"))),
            }
            for name in names
        ]
        model = pages.model
    if options.displays:
        from widgets_display import measure

        displays = measure(model, options.displays, names)
        for result in results:
            first, again = displays[result["viewer"]]
            result["first_display_ms"] = round(statistics.median(first))
            result["next_display_ms"] = round(statistics.median(again))
    loads.append(os.getloadavg()[0])
    print(f"{n_vertices:,} vertices, 420 x 420 pixels, load {min(loads):.1f} to {max(loads):.1f}")
    heads = ["viewer", "redraws/s best", "median", "processor ms", "bytes/update",
             "in browser ms", "first display ms", "next ms"]  # fmt: skip
    print("  ".join(heads[: len(results[0])]))
    for result in results:
        cells = [f"{number:,}" for number in list(result.values())[1:]]
        print(
            "  ".join(
                text.rjust(len(head))
                for text, head in zip([result["viewer"], *cells], heads, strict=False)
            )
        )
    if options.json:
        from harness import machine

        stamp = {"machine": machine(), "load": loads, "vertices": n_vertices, "viewers": results}
        options.json.write_text(json.dumps(stamp, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
