"""What every test shares: where the real data is, and a quiet, small machine."""

import gc
import os
from pathlib import Path

import pytest
import torch

_REPOSITORY = Path(__file__).resolve().parents[1]

# Benchmarks are programs: to be collected for doctests, they would be imported in every process,
# with all peers that they compare with; one confines its process to a single processor.
collect_ignore = ["benchmarks"]

_PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real recordings and faces; skips where they are not."""
    folder = Path(os.environ.get("V2M_REAL_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set V2M_REAL_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Folder of what costs much and never changes, made by whichever test process comes first."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all processes of this run
    (folder / "made_once").mkdir(exist_ok=True)
    return folder / "made_once"


@pytest.fixture(scope="module")
def one_processor():
    """Let the library believe in a single processor: it starts no workers then.

    Each takes seconds to start, and the test processes are the parallelism.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
        yield


def pytest_collection_modifyitems(items):
    """Mark what drives a browser or a server: `make browser` runs few of them at a time."""
    for item in items:
        if item.path.name.endswith("_in_browser.py") or item.path.name == "test_app.py":
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for no garbage among what is imported to stay: each look would take half a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_finish():
    """Refuse modules whose import leaves a process of tests fewer processors than it had."""
    if _PROCESSORS is not None and os.sched_getaffinity(0) != _PROCESSORS:
        raise pytest.UsageError("what was imported confines all tests to some of the processors")


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    # Several test processes share the machine; more threads each would only make them wait.
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
