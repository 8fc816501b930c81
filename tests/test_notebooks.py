"""The stored book: executed in order, small, readable without a kernel, built on one plan."""

import importlib.util
from pathlib import Path

import nbformat
import pytest

from v2mlib import plots

_ROOT = Path(__file__).resolve().parents[1]
STORED = sorted((_ROOT / "notebooks").glob("[0-9]*.ipynb"))
_WIDGET = "application/vnd.jupyter.widget-view+json"
_PLOTLY = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def tool():
    """The module that `make notebooks` runs."""
    spec = importlib.util.spec_from_file_location("tool", _ROOT / "tools/execute_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=STORED, ids=lambda path: path.stem)
def stored(request):
    return request.param, nbformat.read(request.param, as_version=4)


def outputs_of(notebook):
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


def test_stored_notebooks_are_clean_and_small(stored, tool):
    path, notebook = stored
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert tool.complaints(notebook, path.stat().st_size) == []
    assert "widgets" not in notebook.metadata
    assert not any("execution" in cell.metadata for cell in code)  # times of day


def test_stored_faces_and_charts_are_seen_without_a_kernel(stored):
    _, notebook = stored
    found = [out.get("data", {}) for out in outputs_of(notebook)]
    assert sum("image/png" in data for data in found) >= 5
    for data in found:
        assert _WIDGET not in data
        assert _PLOTLY not in data or "image/png" in data


def test_notebooks_follow_the_plan(stored):
    path, notebook = stored
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert prose[0].startswith("# ")
    assert prose[0].splitlines()[0].endswith("?"), "the title is a question"
    for part in ("**Question.**", "**Answer.**", "**Needs.**", "interval"):
        assert part in prose[0], f"{path.name} lacks {part}"
    for heading in ("## Takeaway", "## Checks", "## Explore"):
        assert any(heading in text for text in prose), f"{path.name} lacks {heading}"
    steps = [line for text in prose for line in text.splitlines() if line[:4].strip("# ").isdigit()]
    assert 4 <= len(steps) <= 8
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert max(len(source.splitlines()) for source in code) <= 15
    assert any("assert " in source for source in code)


def test_the_tool_keeps_pictures_and_says_what_is_wrong(tool, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    spec = plots.coefficients({"predicted": [1.0, 2.0]}).to_plotly_json()
    view = nbformat.v4.new_output("display_data", {_WIDGET: {}, "image/png": "abc"})
    chart = nbformat.v4.new_output("display_data", {_PLOTLY: spec})
    for output in (view, chart):
        tool._keep_readable(output)
    assert view.data == {"image/png": "abc"}
    assert len(chart.data["image/png"]) > 1000
    noise = nbformat.v4.new_output("stream", name="stderr", text="FutureWarning")
    notebook.cells[0].outputs = [noise, nbformat.v4.new_output("error", ename="E", evalue="")]
    assert tool.complaints(notebook, 2_000_000) == [
        "it stores an error",
        "it stores warnings or progress on stderr",
        "it has 2.00 MB, more than 1",
    ]


def test_the_tool_leaves_a_notebook_that_fails_as_it_was(tool, tmp_path, capsys):
    path = tmp_path / "00_broken.ipynb"
    cells = [nbformat.v4.new_code_cell("raise ValueError('no face')")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, path)
    before = path.read_bytes()
    assert tool.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "no face" in capsys.readouterr().out
