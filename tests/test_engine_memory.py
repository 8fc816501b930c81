"""Memory of freed tensors is kept while a training goes on, and given back afterwards."""

import json
import subprocess
import sys

import pytest
import torch
from test_fitting_engine import Toy, config

from v2mlib.fitting import engine, engine_memory
from v2mlib.fitting.engine import fit
from v2mlib.fitting.engine_memory import keeping_freed_memory

PROGRAM = """
import json, resource, torch
from v2mlib.fitting.engine_memory import keeping_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def taken():
    counts = []
    for _ in range(8):
        before = faults()
        bytes([45]) * (64 << 20)
        counts.append(faults() - before)
    return min(counts)

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) << 10

usual, before = taken(), resident()
with keeping_freed_memory(torch.device("cpu")) as give_back:
    kept, held = taken(), resident()
    give_back()
    in_between = resident()
    taken()
print(json.dumps([usual, kept, held - before, held - in_between, held - resident()]))
"""


@pytest.mark.skipif(engine_memory._gnu() is None, reason="needs the GNU C library")
def test_freed_memory_is_kept_and_in_the_end_given_back():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    usual, kept, grown, given_back, *in_the_end = json.loads(ran.stdout)
    assert 4 * kept < usual  # pages may be large ones, and so few
    assert min(grown, given_back, *in_the_end) > 60 << 20


class Library:
    """Notes what a C library is told."""

    def __init__(self):
        self.options, self.trimmed = {}, 0

    def mallopt(self, option, value):
        self.options[option] = value

    def malloc_trim(self, left):
        self.trimmed += 1


class Watched(Toy):
    """Notes in each step whether mapped memory is allowed."""

    def step(self, number, update, share):
        self.allowed = [*getattr(self, "allowed", []), engine_memory._gnu().options[-4]]
        return super().step(number, update, share)


@pytest.mark.parametrize("stop_at", [None, 2])
def test_trainings_keep_memory_until_they_end_or_fail(tmp_path, monkeypatch, stop_at):
    library, task = Library(), Watched(stop_at=stop_at)
    monkeypatch.setattr(engine_memory, "_gnu", lambda: library)
    monkeypatch.setattr(engine, "_GIVE_BACK_EVERY", 2)
    try:
        fit(task, tmp_path / "run", config=config(n_steps=3), progress=False)
    except KeyboardInterrupt:
        assert stop_at is not None
    assert task.allowed == [0, 0, 0]
    assert library.options[-4] > 0
    assert library.trimmed == 2  # after two steps and in the end


def test_other_systems_and_devices_are_left_alone(monkeypatch):
    library = Library()
    monkeypatch.setattr(engine_memory, "_gnu", lambda: library)
    with keeping_freed_memory(torch.device("cuda")) as give_back:
        give_back()
    monkeypatch.setattr(engine_memory, "_gnu", lambda: None)
    with keeping_freed_memory(torch.device("cpu")) as give_back:
        give_back()
    assert library.options == {}
    assert library.trimmed == 0
