"""What every test shares: where the real data is, and a quiet, small machine."""

import os
from pathlib import Path

import pytest
import torch

_REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real recordings and faces; skips where they are not."""
    folder = Path(os.environ.get("V2M_REAL_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set V2M_REAL_DATA to the folder that holds it")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    # Several test processes share the machine; more threads each would only make them wait.
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
