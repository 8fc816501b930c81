"""Several processes that share a batch learn what one process learns."""

import functools
import os
import socket
import subprocess
import sys
from pathlib import Path

import engine_made
import pytest
import torch

PROGRAM = Path(engine_made.__file__)


def launched(words):
    """Run a program of several processes to its end."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    lost = ("LT_", "LOCAL_", "RANK", "WORLD_SIZE", "GROUP_", "TORCHELASTIC", "PYTEST")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(lost)}
    environment |= {"MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    words = [port if word == "PORT" else str(word) for word in words]
    process = subprocess.Popen(
        [sys.executable, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        text, _ = process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
    assert process.returncode == 0, text
    return text


def state(folder):
    return torch.load(folder / "last.pt", weights_only=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    engine_made.run(folder, 1)
    return state(folder)


WAYS = {
    "started by the engine": (2, [PROGRAM, "OUT", 2, "still"]),
    "torchrun": (
        2,
        ["-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-port", "PORT",
         PROGRAM, "OUT", 1, "still", "moving"],
    ),
    "fabric run": (
        3,
        ["-m", "lightning_fabric.cli", "--accelerator", "cpu", "--devices", 3,
         "--main-port", "PORT", PROGRAM, "OUT", 1, "still"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Run a program in one of the ways, once: gives what it said, and its folder."""

    @functools.cache
    def run(way):
        out = tmp_path_factory.mktemp("shared")
        return launched([out if word == "OUT" else word for word in WAYS[way][1]]), out

    return run


@pytest.mark.parametrize("way", WAYS)
def test_processes_learn_what_one_learns(alone, shared, way):
    n_processes, (text, out) = WAYS[way][0], shared(way)
    for number in range(n_processes):
        assert f"process {number} of {n_processes} drew" in text
    together = state(out / "still")
    for name, tensor in alone["networks"]["student"].items():
        torch.testing.assert_close(tensor, together["networks"]["student"][name], msg=f"{name}")
    for one, other in zip(alone["run"]["history"], together["run"]["history"], strict=True):
        for name in one.keys() - {"seconds"}:
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), name


def test_batch_normalisation_in_training_mode_is_of_each_process(shared, tmp_path):
    """The documented difference: a process normalises its own share of the batch."""
    engine_made.run(tmp_path, 1, still=False)
    folders = tmp_path, shared("torchrun")[1] / "moving"
    one, other = (state(folder)["networks"]["student"] for folder in folders)
    assert not torch.allclose(one["0.weight"], other["0.weight"], atol=1e-5)
    assert torch.allclose(one["1.running_mean"], other["1.running_mean"], atol=0.3)
