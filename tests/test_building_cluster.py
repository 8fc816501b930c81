"""Builds spread over a Dask cluster whose workers die: the result is the same in every byte."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import building_made as made
import dask
import pytest

from v2mlib.building.cluster import Workers, workers
from v2mlib.building.photographs import measure_photos
from v2mlib.checks import InputError, V2MError


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers, each a process of its own; yields address and processes."""
    card = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    environment = os.environ | {"DASK_LOGGING__DISTRIBUTED": "error"}
    start = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(card)]
    scheduler = subprocess.Popen([sys.executable, "-m", "dask", "scheduler", *words], **start)
    children = []
    try:
        deadline = time.monotonic() + 300
        while not card.exists() or not card.read_text():
            assert time.monotonic() < deadline
            assert scheduler.poll() is None
            time.sleep(0.05)
        address = json.loads(card.read_text())["address"]
        words = ["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        for _ in range(2):
            children.append(subprocess.Popen([sys.executable, "-m", "dask", *words], **start))
        yield address, children
    finally:
        for child in [*children, scheduler]:
            child.kill()
            child.wait()


def test_one_of_two_workers_of_a_cluster_is_killed(tmp_path, cluster, made_once, monkeypatch):
    (address, children), raw = cluster, made.made_raw(tmp_path, made_once)
    made.build(raw, tmp_path / "undisturbed")
    answered = []
    spread = Workers._spread

    def watched(self, function, jobs):
        for answer in spread(self, function, jobs):
            answered.append(answer)
            if len(answered) == 2:
                os.kill(children[0].pid, signal.SIGKILL)
            yield answer

    monkeypatch.setattr(Workers, "_spread", watched)
    done = made.build(raw, tmp_path / "data", scheduler=address, files_per_task=2)
    assert children[0].wait(60) == -signal.SIGKILL
    assert children[1].poll() is None
    assert done.voices.files == 24
    assert len(answered) > 20
    assert made.digests(tmp_path / "data") == made.digests(tmp_path / "undisturbed")
    # What a job refuses on a worker arrives as it was raised there.
    with (
        workers(tmp_path, scheduler=address) as pool,
        pytest.raises(InputError, match="choose mediapipe, fan"),
    ):
        list(pool.run(measure_photos, [{"engine": {"name": "x"}, "paths": []}]))


def test_clusters_that_cannot_serve_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("v2mlib.building.cluster._ANSWER_S", 1)
    with (
        pytest.raises(InputError, match=r"scheduler tcp://127.0.0.1:9 does not answer"),
        workers(tmp_path, scheduler="tcp://127.0.0.1:9"),
    ):
        pass


def _die(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_file_that_kills_workers_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where they find this function
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),  # restarts take seconds
        workers(tmp_path, n_workers=2) as pool,
        pytest.raises(V2MError, match=r"died again and again on the files from a.wav to b.wav"),
    ):
        list(pool.run(_die, [{"paths": ["a.wav", "b.wav"]}]))


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(InputError, match="workers are 0"), workers(tmp_path, n_workers=0):
        pass


def test_workers_that_end_at_once_are_not_waited_for(tmp_path, monkeypatch):
    def fail(*args):
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])

    monkeypatch.setattr("v2mlib.building.cluster._start_workers", fail)
    with (
        pytest.raises(V2MError, match=r"workers ended; .*workers.log says more"),
        workers(tmp_path, n_workers=2),
    ):
        pass
