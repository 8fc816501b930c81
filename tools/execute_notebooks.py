"""Run the book from fresh kernels and store what comes out, small enough for a repository.

    python tools/execute_notebooks.py [notebook ...]

Stored notebooks must be readable where nothing runs: every widget and chart leaves a picture,
and no output that needs a kernel stays behind.
"""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from v2mlib.files import atomic
from v2mlib.plot_pictures import picture_of_output

BOOK = Path(__file__).resolve().parents[1] / "notebooks"
MAX_BYTES = 1_000_000
_WIDGET, _PLOTLY = "application/vnd.jupyter.widget-view+json", "application/vnd.plotly.v1+json"


def execute(path, *, timeout_s=600):
    """Run one notebook and return it with its outputs made fit for storing."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        for output in cell.get("outputs", []):
            _keep_readable(output)
    notebook.metadata.pop("widgets", None)  # the pictures stay, the widgets' state need not
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3", "language": "python", "name": "python3",
    }  # fmt: skip
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _keep_readable(output):
    data = output.get("data", {})
    if _WIDGET in data and "image/png" in data:
        # Without its kernel a widget is a line of text; the picture is the face.
        del data[_WIDGET]
    if _PLOTLY in data and "image/png" not in data:
        data["image/png"] = picture_of_output(data[_PLOTLY])


def complaints(notebook, size_bytes):
    """What a stored notebook must not contain, as sentences."""
    found = []
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    if any(out.output_type == "error" for out in outputs):
        found.append("it stores an error")
    if any(out.get("name") == "stderr" for out in outputs):
        found.append("it stores warnings or progress on stderr")
    if size_bytes > MAX_BYTES:
        found.append(f"it has {size_bytes / 1e6:.2f} MB, more than {MAX_BYTES / 1e6:.0f}")
    return found


def main(argv=None):
    """Execute the notebooks named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    paths = parser.parse_args(argv).notebooks or sorted(BOOK.glob("[0-9]*.ipynb"))
    failures = 0
    for path in paths:
        started = time.perf_counter()
        try:
            notebook = execute(path.resolve())
        except CellExecutionError as error:
            print(f"{path.name}: stopped, the stored notebook is left as it was\n{error}")
            failures += 1
            continue
        text = nbformat.writes(notebook) + "\n"
        problems = complaints(notebook, len(text.encode()))
        with atomic(path) as partial:
            partial.write_text(text, encoding="utf-8")
        took = time.perf_counter() - started
        print(f"{path.name}: {took:.0f} s, {len(text) / 1e3:.0f} KB", *problems, sep="\n  ")
        failures += bool(problems)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
