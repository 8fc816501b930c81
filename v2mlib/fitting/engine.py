"""The one training engine: any task, on a CPU, a GPU or many, stopped and resumed at will.

A run lives in a folder: `config.json`, `history.csv`, `last.pt` (all that the next step depends
on) and `best.pt` (the networks that did best on the validation identities). All randomness
follows from the seed and the step's number, so a run that was killed goes on to the identical
result on the same machine.
"""

import dataclasses
import json
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

import v2mlib
from v2mlib.checks import InputError
from v2mlib.files import atomic
from v2mlib.fitting.task import EngineConfig, Training, TrainingError, arithmetic
from v2mlib.staging import only_one


def fit(task, out, *, config=None, made_from=None, progress=True):
    """Train a task's networks, or go on with a training that was stopped.

    Parameters
    ----------
    task : Task
        What to train. In the end its networks hold the best state and are in eval mode.
    out : path
        Folder of the run.
    config : EngineConfig, optional
        How.
    made_from : dict, optional
        Whatever else the result depends on, as plain data; a folder that was made from
        something else is refused.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    Training
        History and folder.

    Raises
    ------
    InputError
        If the folder holds another training or cannot be written.
    TrainingError
        If a loss is not finite; the state before it stays on disk.
    """
    config, out = config or EngineConfig(), Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _claim(out, {"engine": dataclasses.asdict(config), **(made_from or {})})
        fabric = _fabric(config)
        with only_one(out, "another training") if fabric.is_global_zero else nullcontext():
            return _Run(task, out, config, fabric).go(progress)
    except OSError as error:
        raise InputError(
            out, f"cannot be written ({error.strerror})", "free space, or choose another folder"
        ) from error


class _Run:
    """One process's part in a training."""

    def __init__(self, task, out, config, fabric):
        self.task, self.out, self.config, self.fabric = task, out, config, fabric
        for name, network in task.networks.items():
            if name in task.frozen:
                task.networks[name] = network.requires_grad_(False).to(fabric.device).eval()
            else:
                task.networks[name] = fabric.setup_module(network)
        self.optimisers = {
            name: fabric.setup_optimizers(optimiser)
            for name, optimiser in task.optimisers().items()
        }
        self.base_rates = {
            name: [group["lr"] for group in optimiser.param_groups]
            for name, optimiser in self.optimisers.items()
        }
        task.autocast = fabric.autocast
        task.prepare(fabric.device)
        self.step, self.seconds, self.history = 0, 0.0, []
        self.best, self.best_step, self.stale = float("inf"), 0, 0
        self.first_bad = torch.full((), -1, device=fabric.device)
        self.sums = {}

    def go(self, progress):
        """Train from where the folder stands to the end."""
        self._resume()
        config = self.config
        check_every = 1 if self.fabric.device.type == "cpu" else 25
        start = time.perf_counter() - self.seconds
        bar = tqdm(
            total=config.n_steps,
            initial=self.step,
            desc=self.out.name,
            unit="step",
            disable=not (progress and self.fabric.is_global_zero),
        )
        devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        with bar, torch.random.fork_rng(devices):
            while self.step < config.n_steps and not self._is_stale():
                self._one_step()
                at_end = self.step == config.n_steps
                if self.step % check_every == 0 or at_end:
                    self._require_finite()
                if self.step % config.validate_every == 0 or at_end:
                    self.seconds = time.perf_counter() - start
                    self._look()
                    bar.set_postfix(self._figures(), refresh=False)
                if self.step % config.checkpoint_every == 0 or at_end or self._is_stale():
                    self.seconds = time.perf_counter() - start
                    self._save()
                bar.update()
        return self._finish()

    def _one_step(self):
        config, task = self.config, self.task
        key = (config.seed, self.step, self.fabric.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
        for name, network in task.networks.items():
            network.train(name not in task.frozen)
        factor = task.rate(self.step)
        for name, optimiser in self.optimisers.items():
            for group, base in zip(optimiser.param_groups, self.base_rates[name], strict=True):
                group["lr"] = base * factor
        share = (self.fabric.global_rank, self.fabric.world_size)
        losses = task.step(self.step, self._update, share)
        for name, loss in losses.items():
            loss = loss.detach().float()
            count, total = self.sums.get(name, (0, torch.zeros_like(loss)))
            self.sums[name] = (count + 1, total + loss)
            is_first = ~torch.isfinite(loss) & (self.first_bad < 0)
            self.first_bad = torch.where(is_first, self.step, self.first_bad)
        self.step += 1

    def _update(self, loss, name):
        optimiser = self.optimisers[name]
        optimiser.zero_grad()
        self.fabric.backward(loss)
        if self.config.clip_norm:
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        optimiser.step()

    def _require_finite(self):
        bad = int(self.first_bad)
        if bad < 0:
            return
        kept = self.out / "last.pt"
        state = f"the state before it is kept in {kept}" if kept.exists() else "no state was saved"
        raise TrainingError(
            f"the loss is not finite at step {bad + 1}: {state}; "
            "train again in a new folder with a lower learning rate"
        )

    def _look(self):
        """Judge the networks on the validation identities; keep them if they are the best."""
        for network in self.task.networks.values():
            network.eval()
        with torch.no_grad():
            figures = {name: float(value) for name, value in self.task.validate().items()}
        figures = self.fabric.broadcast(figures)
        is_best = figures[self.task.monitor] < self.best
        row = {"step": self.step, "seconds": self.seconds, "rate": self.task.rate(self.step - 1)}
        row |= {name: float(total) / count for name, (count, total) in self.sums.items()}
        row |= {f"validation_{name}": value for name, value in figures.items()}
        self.history.append(row | {"is_best": is_best})
        self.sums = {}
        self.stale = 0 if is_best else self.stale + 1
        if is_best:
            self.best, self.best_step = figures[self.task.monitor], self.step
            self._write("best.pt", self._networks())

    def _is_stale(self):
        return bool(self.config.patience) and self.stale >= self.config.patience

    def _figures(self):
        row = self.history[-1]
        shown = {name: row[name] for name in row if name.endswith("loss")}
        return {
            name.replace("validation_", "val_"): f"{value:.3f}" for name, value in shown.items()
        }

    def _networks(self):
        return {name: network.state_dict() for name, network in self.task.networks.items()}

    def _save(self):
        self._write(
            "last.pt",
            {
                "networks": self._networks(),
                "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
                "run": {
                    name: getattr(self, name)
                    for name in ("step", "seconds", "history", "best", "best_step", "stale")
                },
                # Losses since the last look at the validation identities.
                "sums": {
                    name: (n, torch.as_tensor(total)) for name, (n, total) in self.sums.items()
                },
            },
        )
        if self.fabric.is_global_zero and self.history:
            with atomic(self.out / "history.csv") as partial:
                pd.DataFrame(self.history).to_csv(partial, index=False)

    def _write(self, name, state):
        if self.fabric.is_global_zero:
            with atomic(self.out / name) as partial:
                torch.save(state, partial)

    def _resume(self):
        if not (self.out / "last.pt").exists():
            return
        state = self._read("last.pt")
        try:
            for name, network in self.task.networks.items():
                network.load_state_dict(state["networks"][name])
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            for name, value in state["run"].items():
                setattr(self, name, value)
            self.sums = {
                name: (n, total.to(self.fabric.device))
                for name, (n, total) in state["sums"].items()
            }
        except (KeyError, RuntimeError, ValueError, AttributeError) as error:
            raise _damaged(self.out / "last.pt") from error

    def _finish(self):
        self.fabric.barrier()
        best = self._read("best.pt") if (self.out / "best.pt").exists() else {}
        for name, network in self.task.networks.items():
            if name in best:
                network.load_state_dict(best[name])
            unwrapped = network if name in self.task.frozen else network.module
            self.task.networks[name] = unwrapped.eval()
        return Training(pd.DataFrame(self.history), self.best_step, self.out)

    def _read(self, name):
        path = self.out / name
        try:
            return torch.load(path, map_location=self.fabric.device, weights_only=True)
        except Exception as error:  # torch raises whatever the damage makes it stumble over
            raise _damaged(path) from error


def _claim(out, made_from):
    """Write down what a run is made from, or see that it is the same."""
    made_from = json.loads(json.dumps({**made_from, "version": v2mlib.__version__}))
    path = out / "config.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        with atomic(path) as partial:
            partial.write_text(json.dumps(made_from, indent=1) + "\n", "utf-8")
        return
    except ValueError:
        raise _damaged(path) from None
    for name, was, wanted in _differences(found, made_from):
        raise InputError(
            out,
            f"holds another training: its {name} is {was}, not {wanted}",
            "choose another folder, or delete this one",
        )


def _differences(one, other, prefix=""):
    """Names and values in which two trees of plain data differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _differences(one.get(key), other.get(key), f"{prefix}.{key}".lstrip("."))
    elif one != other:
        yield prefix, one, other


def _fabric(config):
    from lightning_fabric import Fabric

    precision = arithmetic(config)
    fabric = Fabric(accelerator=config.device, devices=config.n_devices, precision=precision)
    fabric.launch()
    return fabric


def _damaged(path):
    return InputError(path, "is damaged", "delete the folder and train again")
