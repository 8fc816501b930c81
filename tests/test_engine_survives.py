"""Runs that go wrong or are stopped, what they leave behind, and what they cost."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import fitting_made
import pandas as pd
import pytest
import torch
from test_fitting_engine import Toy, config, same, weights
from torch import nn

from v2mlib.checks import InputError
from v2mlib.fitting import supervised
from v2mlib.fitting.engine import fit
from v2mlib.fitting.engine_processes import fuse
from v2mlib.fitting.engine_signals import TrainingInterrupted
from v2mlib.fitting.engine_speed import card_peak
from v2mlib.fitting.supervised import SupervisedConfig, SupervisedTask
from v2mlib.fitting.task import EngineConfig, TrainingError


def events(folder):
    """What TensorBoard reads: (tag, step, value), in the order of the files."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.append((value.tag, event.step, value.tensor.float_val[0]))
    return found


class Stopped(Toy):
    """Sends itself a signal in mid-step."""

    def __init__(self, number, *, stop_at, twice=False):
        super().__init__()
        self.number, self.signal_at, self.twice = number, stop_at, twice

    def step(self, number, update, share):
        if number == self.signal_at:
            for _ in range(1 + self.twice):
                os.kill(os.getpid(), self.number)
        return super().step(number, update, share)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_asks_a_run_to_stop_is_told_how_it_goes_on(tmp_path, number):
    before = signal.getsignal(number)
    message = rf"stopped by {number.name} after step 6 of 12.*last\.pt.*goes on"
    with pytest.raises(TrainingInterrupted, match=message) as caught:
        fit(Stopped(number, stop_at=5), tmp_path / "cut", config=config(), progress=False)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert signal.getsignal(number) == before
    state = torch.load(tmp_path / "cut" / "last.pt", weights_only=True)
    assert state["run"]["step"] == 6  # between the checkpoints at 4 and 8
    whole, resumed = Toy(), Toy()
    fit(whole, tmp_path / "whole", config=config(), progress=False)
    fit(resumed, tmp_path / "cut", config=config(), progress=False)
    assert same(weights(whole), weights(resumed))


def test_the_second_request_stops_at_once(tmp_path):
    task = Stopped(signal.SIGINT, stop_at=5, twice=True)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(task, tmp_path, config=config(), progress=False)
    assert not isinstance(caught.value, TrainingInterrupted)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["run"]["step"] == 4


class Named(Toy):
    """Says what its batches were drawn from."""

    def drawn(self, number):
        return {"not finite": [], "utterances": [f"id{number}/{i}" for i in range(9)]}


def test_the_samples_of_a_bad_step_are_named(tmp_path):
    message = r"loss is not finite at step 7; drawn were utterances id6/0, .*id6/3 and 5 more"
    with pytest.raises(TrainingError, match=message):
        fit(Named(spoil_at=6), tmp_path, config=config(), progress=False)
    found = json.loads((tmp_path / "not_finite.json").read_text("utf-8"))
    assert found["step"] == 7
    assert found["utterances"] == [f"id6/{i}" for i in range(9)]


class Exploding(Toy):
    """A finite loss whose gradient is not: the weights go first."""

    def step(self, number, update, share):
        weight = self.networks["head"].module.weight
        loss = torch.sqrt((weight * 0.0).sum()) if number == 3 else weight.square().sum()
        update(loss, "all")
        return {"loss": loss}


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    settings = config(checkpoint_every=2)
    with pytest.raises(TrainingError, match="a weight of the head is not finite at step 4"):
        fit(Exploding(), tmp_path, config=settings, progress=False)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["run"]["step"] == 2
    assert all(t.isfinite().all() for t in state["networks"]["head"].values())


def test_a_recording_that_is_not_finite_is_named(tmp_path, monkeypatch):
    world, store = fitting_made.made_world(n_train=4, n_validation=2, n_test=1)
    row = store.index.query("split == 'train'").index[4]
    store.frames[store.index["start"][row] + 3] = float("nan")
    settings = SupervisedConfig(
        batch_size=4,
        crop=supervised.CropConfig(1.3, 1.4),  # whole utterances
        engine=config(n_steps=30, checkpoint_every=1, precision="32-true"),
    )
    task = SupervisedTask(world, store, settings)
    narrow = nn.Sequential(nn.Flatten(), nn.LazyLinear(64))
    monkeypatch.setattr(task.networks["encoder"], "forward", lambda x, *_: narrow(x[:, :128]))
    with pytest.raises(TrainingError) as caught:
        fit(task, tmp_path, config=settings.engine, progress=False)
    name = "{identity}/{utterance}".format(**store.index.loc[row])
    assert f"drawn were not finite {name}; utterances" in str(caught.value)
    assert "mend or remove the samples" in str(caught.value)


@pytest.mark.parametrize("stop", [5, 7, 10])
def test_the_log_holds_each_look_once_however_often_a_run_is_killed(tmp_path, stop):
    fit(Toy(), tmp_path / "whole", config=config(validate_every=2), progress=False)
    for _ in range(2):
        task = Toy(stop_at=stop)
        with pytest.raises(KeyboardInterrupt):
            fit(task, tmp_path / "cut", config=config(validate_every=2), progress=False)
    fit(Toy(), tmp_path / "cut", config=config(validate_every=2), progress=False)
    found = events(tmp_path / "cut")
    assert found == events(tmp_path / "whole")
    assert [step for tag, step, _ in found if tag == "validation/loss"] == [2, 4, 6, 8, 10, 12]
    assert {tag for tag, *_ in found} == {"training/loss", "training/rate", "validation/loss"}


def test_the_log_can_be_switched_off(tmp_path):
    fit(Toy(), tmp_path, config=config(tensorboard=False), progress=False)
    assert not (tmp_path / "tensorboard").exists()


def test_a_log_that_cannot_be_is_refused_if_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="TensorBoard is not installed: pip install"):
        fit(Toy(), tmp_path, config=config(tensorboard=True), progress=False)
    fit(Toy(), tmp_path, config=config(), progress=False)
    assert not (tmp_path / "tensorboard").exists()


def test_the_history_is_a_table_of_its_own(tmp_path):
    training = fit(Toy(), tmp_path, config=config(), progress=False)
    assert pd.read_parquet(tmp_path / "history.parquet").equals(training.history)
    (tmp_path / "history.parquet").unlink()  # as a run that an older version has finished
    fit(Toy(), tmp_path, config=config(), progress=False)
    assert pd.read_parquet(tmp_path / "history.parquet").equals(training.history)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of a run; `width` was added after the run was made."""

    rate: float = 0.1
    width: int = 3
    engine: EngineConfig = dataclasses.field(default_factory=lambda: config(seed=2))


def forget(folder, *names):
    """Make a run's description that of an older version."""
    path = folder / "config.json"
    found = json.loads(path.read_text("utf-8"))
    for name in names:
        *way, last = name.split(".")
        part = found
        for key in way:
            part = part[key]
        del part[last]
    path.write_text(json.dumps(found), "utf-8")


def test_a_setting_that_came_later_counts_as_its_default(tmp_path):
    fit(Toy(), tmp_path, config=config(), made_from={"settings": Settings()}, progress=False)
    forget(tmp_path, "settings.width", "settings.engine.patience", "engine.tensorboard")
    fit(Toy(), tmp_path, config=config(), made_from={"settings": Settings()}, progress=False)
    made_from = {"settings": Settings(width=4)}
    with pytest.raises(InputError, match=r"its settings\.width is 3, not 4"):
        fit(Toy(), tmp_path, config=config(), made_from=made_from, progress=False)
    forget(tmp_path, "settings.rate")
    made_from = {"settings": Settings(rate=0.2)}
    with pytest.raises(InputError, match=r"its settings\.rate is 0\.1, not 0\.2"):
        fit(Toy(), tmp_path, config=config(), made_from=made_from, progress=False)


def test_settings_without_effect_on_the_result_may_change(tmp_path):
    fit(Toy(), tmp_path, config=config(), progress=False)
    changed = config(checkpoint_every=2, tensorboard=False, profile=True)
    fit(Toy(), tmp_path, config=changed, progress=False)


def test_the_cost_of_a_run_is_reported_and_changes_nothing(tmp_path):
    plain, measured = Toy(), Toy()
    fit(plain, tmp_path / "plain", config=config(), progress=False)
    speed = fit(measured, tmp_path / "run", config=config(profile=True), progress=False).speed
    assert same(weights(plain), weights(measured))
    # Forward: 16 x 4 x 8, 16 x 8 x 8 and 16 x 8 x 2 products and sums; backward twice that
    # where weights learn, once more for what goes on to the layer before.
    fixed, body, head = 2 * 16 * 4 * 8, 2 * 16 * 8 * 8, 2 * 16 * 8 * 2
    assert speed.operations_per_step == fixed + 2 * body + 3 * head
    assert speed.steps == 11  # all but the first
    assert speed.share_of_peak != speed.share_of_peak  # no peak is known of this device
    assert speed.schedule_s > 12 / speed.steps_per_s
    assert "whole schedule of 12 steps" in speed.text()
    written = json.loads((tmp_path / "run" / "speed.json").read_text("utf-8"))
    assert written["device"] == "cpu"
    assert fit(Toy(), tmp_path / "run", config=config(profile=True), progress=False).speed is None


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10", 125),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
    ],
)
def test_peaks_are_found_by_whole_words(name, teraflops):
    assert card_peak(name) == teraflops * 1e12
    assert card_peak("NVIDIA L400") != card_peak("NVIDIA L400")


PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_fitting_engine import Toy, config
from v2mlib.fitting.engine import fit

class Killed(Toy):
    def step(self, number, update, share):
        if number == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(number, update, share)

fit(Killed(), sys.argv[2], config=config(), progress=False)
"""


def started(folder, kill_at):
    """Begin a run in a process of its own, which kills itself in mid-step."""
    words = [sys.executable, "-c", PROGRAM, os.path.dirname(__file__), str(folder), str(kill_at)]
    return subprocess.Popen(words, env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_a_run_whose_process_is_killed_goes_on_to_the_identical_end(tmp_path):
    process = started(tmp_path / "cut", 6)
    try:
        assert process.wait(120) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    for name in ("cut", "whole"):
        fit(Toy(), tmp_path / name, config=config(), progress=False)
    whole, cut = (torch.load(tmp_path / n / "last.pt", weights_only=True) for n in ("whole", "cut"))
    for name in ("body", "head"):
        assert same(whole["networks"][name], cut["networks"][name])
    for one, other in zip(whole["run"]["history"], cut["run"]["history"], strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


def test_optimisers_are_fused():
    optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(2))])
    fuse(optimiser)
    assert optimiser.param_groups[0]["fused"]
    fuse(torch.optim.Rprop([nn.Parameter(torch.zeros(2))]))  # has no such way


def test_fused_updates_take_sums_of_another_order_in_memory():
    torch.manual_seed(0)
    gradients, found = torch.randn(3, 4, 5, 3, 3), []
    for fused in (True, False):
        weight = nn.Parameter(torch.ones(4, 5, 3, 3))
        optimiser = torch.optim.Adam([weight])
        weight.grad = gradients[0].clone()
        optimiser.step()
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        if fused:
            fuse(optimiser)
        for gradient in gradients[1:]:
            weight.grad = gradient.contiguous(memory_format=torch.channels_last)
            optimiser.step()
        found.append(weight.detach())
    torch.testing.assert_close(*found, rtol=1e-6, atol=0)


def test_nothing_is_said_on_stderr_without_being_asked(tmp_path, capfd):
    fit(Toy(), tmp_path, config=config(precision="bf16-mixed"), progress=False)
    assert capfd.readouterr().err == ""
