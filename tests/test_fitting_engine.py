"""The engine on a toy task: resumed runs, frozen networks, losses that are not finite."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.fitting.engine import fit
from v2mlib.fitting.task import EngineConfig, Task, TrainingError


class Toy(Task):
    """Regress noise on noise through a frozen layer, with dropout and batch normalisation."""

    monitor = "loss"

    def __init__(self, *, stop_at=None, spoil_at=None, learning_rate=0.05, worse=False):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.networks = {
                "fixed": nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)),
                "body": nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.3)),
                "head": nn.Linear(8, 2),
            }
        self.frozen = ("fixed",)
        self.stop_at, self.spoil_at, self.worse = stop_at, spoil_at, worse
        self.learning_rate, self.looks = learning_rate, 0

    def optimisers(self):
        parts = [self.networks[name].parameters() for name in ("body", "head")]
        return {"all": torch.optim.AdamW([p for part in parts for p in part], self.learning_rate)}

    def rate(self, step):
        return 1 / (1 + step)

    def step(self, number, update, share):
        if number == self.stop_at:
            raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(number)
        inputs, wanted = torch.randn(16, 4, generator=generator), torch.ones(16, 2)
        hidden = self.networks["fixed"](inputs)
        loss = (self.networks["head"](self.networks["body"](hidden)) - wanted).square().mean()
        update(loss * (float("nan") if number == self.spoil_at else 1.0), "all")
        return {"loss": loss * (float("nan") if number == self.spoil_at else 1.0)}

    def validate(self):
        assert not any(network.training for network in self.networks.values())
        self.looks += 1
        if self.worse:
            return {"loss": float(self.looks)}
        hidden = self.networks["fixed"](torch.ones(3, 4))
        return {"loss": (self.networks["head"](self.networks["body"](hidden)) - 1).square().mean()}


def config(**changes):
    settings = {"n_steps": 12, "validate_every": 3, "checkpoint_every": 4, "device": "cpu"}
    return EngineConfig(**settings | changes)


def weights(task):
    return {
        f"{name}.{key}": tensor.clone()
        for name, network in task.networks.items()
        for key, tensor in network.state_dict().items()
    }


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("stops", [[1], [6], [4, 5, 11]])
def test_a_killed_run_goes_on_to_the_identical_end(tmp_path, stops):
    whole, resumed = Toy(), None
    history = fit(whole, tmp_path / "whole", config=config(), progress=False).history
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            fit(Toy(stop_at=stop), tmp_path / "cut", config=config(), progress=False)
    resumed = Toy()
    again = fit(resumed, tmp_path / "cut", config=config(), progress=False)
    assert same(weights(whole), weights(resumed))
    columns = [name for name in history if name != "seconds"]
    assert history[columns].equals(again.history[columns])
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "cut")
    ]
    for part in ("body", "head"):
        assert same(*(state["networks"][part] for state in states))
    moments = [state["optimisers"]["all"]["state"] for state in states]
    assert all(torch.equal(moments[0][k]["exp_avg_sq"], moments[1][k]["exp_avg_sq"])
               for k in moments[0])  # fmt: skip


def test_training_changes_what_it_should_and_leaves_the_frozen(tmp_path):
    task = Toy()
    before, random_state = weights(task), torch.get_rng_state()
    training = fit(task, tmp_path, config=config(n_steps=40), progress=False)
    after = weights(task)
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("fixed"))
    assert not any(p.requires_grad for p in task.networks["fixed"].parameters())
    assert not torch.equal(before["body.1.running_mean"], after["body.1.running_mean"])
    assert training.history["validation_loss"].iloc[-1] < training.history["loss"].iloc[0]
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(network.training for network in task.networks.values())


def test_the_best_state_is_kept_and_the_run_stops_early(tmp_path):
    task = Toy(worse=True)
    training = fit(task, tmp_path, config=config(n_steps=100, patience=3), progress=False)
    assert training.best_step == 3
    assert training.history["step"].tolist() == [3, 6, 9, 12]
    assert training.history["is_best"].tolist() == [True, False, False, False]
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert same(best["body"], task.networks["body"].state_dict())
    again = Toy(worse=True)
    fit(again, tmp_path, config=config(n_steps=100, patience=3), progress=False)
    assert again.looks == 0
    assert same(weights(task), weights(again))


def test_a_loss_that_is_not_finite_is_named_and_the_state_before_it_kept(tmp_path):
    with pytest.raises(TrainingError, match=r"not finite at step 7; .*kept in .*last\.pt"):
        fit(Toy(spoil_at=6), tmp_path, config=config(), progress=False)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["run"]["step"] == 4
    assert all(torch.isfinite(t).all() for t in state["networks"]["body"].values())


def test_another_training_in_the_folder_is_refused(tmp_path):
    made_from = {"supervised": {"batch_size": 64}}
    fit(Toy(), tmp_path, config=config(), made_from=made_from, progress=False)
    with pytest.raises(InputError, match=r"its engine\.seed is 0, not 1: choose another folder"):
        fit(Toy(), tmp_path, config=config(seed=1), made_from=made_from, progress=False)
    made_from = {"supervised": {"batch_size": 32}}
    with pytest.raises(InputError, match=r"its supervised\.batch_size is 64, not 32"):
        fit(Toy(), tmp_path, config=config(), made_from=made_from, progress=False)


def test_what_was_run_is_written_down(tmp_path):
    fit(Toy(), tmp_path, config=config(), made_from={"data": "noise"}, progress=False)
    found = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert found["engine"]["n_steps"] == 12
    assert found["data"] == "noise"
    assert "version" in found
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert list(history) == ["step", "seconds", "rate", "loss", "validation_loss", "is_best"]


def test_a_damaged_state_is_refused(tmp_path):
    fit(Toy(), tmp_path, config=config(), progress=False)
    (tmp_path / "last.pt").write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"last\.pt is damaged"):
        fit(Toy(), tmp_path, config=config(), progress=False)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        fit(Toy(), tmp_path / "file" / "run", config=config(), progress=False)


def test_the_learning_rate_follows_the_task(tmp_path):
    history = fit(Toy(), tmp_path, config=config(), progress=False).history
    np.testing.assert_allclose(history["rate"], [1 / 3, 1 / 6, 1 / 9, 1 / 12])
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["optimisers"]["all"]["param_groups"][0]["lr"] == pytest.approx(0.05 / 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_steps": 0}, "n_steps=0 is too few"),
        ({"patience": -1}, "patience=-1 is negative"),
        ({"precision": "16"}, "precision '16' is unknown"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config(**changes)
