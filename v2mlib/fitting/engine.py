"""The one training engine: any task, on a CPU, a GPU or many, stopped and resumed at will.

A run lives in a folder: `config.json`, `history.parquet`, `last.pt` (all that the next step
depends on), `best.pt` (the networks that did best on the validation identities) and the log
`tensorboard`. All randomness, that of the batches included, follows from the seed and the step's
number, so a run that was killed goes on to the identical result on the same machine.
"""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from v2mlib.checks import InputError
from v2mlib.fitting import engine_processes as processes
from v2mlib.fitting.engine_folder import RunFolder, damaged
from v2mlib.fitting.engine_health import Health
from v2mlib.fitting.engine_log import EventLog
from v2mlib.fitting.engine_memory import keeping_freed_memory
from v2mlib.fitting.engine_signals import TrainingInterrupted, listening
from v2mlib.fitting.engine_speed import Stopwatch, count_operations, speed_report
from v2mlib.fitting.task import EngineConfig, Training, arithmetic
from v2mlib.staging import only_one

_CHECK_EVERY = 25  # steps on an accelerator, which would have to be waited for more often
_GIVE_BACK_EVERY = 100  # steps on a CPU; the next one takes the memory it needs anew


def fit(task, out, *, config=None, made_from=None, progress=True):
    """Train a task's networks, or go on with a training that was stopped.

    Started by ``torchrun`` or ``fabric run``, the processes share each batch.

    Parameters
    ----------
    task : Task
        What to train. In the end its networks hold the best state and are in eval mode.
    out : path
        Folder of the run.
    config : EngineConfig, optional
        How.
    made_from : dict, optional
        Whatever else the result depends on: plain data and config dataclasses; a folder that
        was made from something else is refused. Settings that were not there when the folder
        was made count as their default.
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
        If a loss or a weight is not finite; the state before it stays on disk.
    TrainingInterrupted
        On Ctrl-C or SIGTERM, once the step is done and saved; the same call goes on from there.
    """
    config, out = config or EngineConfig(), Path(out)
    try:
        folder = RunFolder(out)
        folder.claim({"engine": config, **(made_from or {})})
        fabric = processes.start(config)
        folder.writes = fabric.is_global_zero
        with only_one(out, "another training") if folder.writes else nullcontext():
            return _Run(task, folder, config, fabric).go(progress)
    except OSError as error:
        raise InputError(
            out, f"cannot be written ({error.strerror})", "free space, or choose another folder"
        ) from error


class _Run:
    """One process's part in a training."""

    def __init__(self, task, folder, config, fabric):
        self.task, self.folder, self.config, self.fabric = task, folder, config, fabric
        for name, network in task.networks.items():
            if name in task.frozen:
                task.networks[name] = network.requires_grad_(False).to(fabric.device).eval()
            else:
                task.networks[name] = fabric.setup_module(network)
        self.optimisers = {
            name: fabric.setup_optimizers(optimiser)
            for name, optimiser in task.optimisers().items()
        }
        self._fuse()
        self.base_rates = {
            name: [group["lr"] for group in optimiser.param_groups]
            for name, optimiser in self.optimisers.items()
        }
        task.autocast = fabric.autocast
        task.gather, task.own = processes.gathered(fabric), processes.own_share(fabric)
        task.prepare(fabric.device)
        self.step, self.seconds, self.history = 0, 0.0, []
        self.best, self.best_step, self.stale = float("inf"), 0, 0
        self.health, self.sums = Health(task, folder, fabric), {}
        self.watch, self.shown_s = Stopwatch(), 0.0

    def _fuse(self):
        for optimiser in self.optimisers.values():
            processes.fuse(optimiser)

    def go(self, progress):
        """Train from where the folder stands to the end."""
        self._resume()
        speed = None
        devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        if self.step < self.config.n_steps and not self._is_stale():
            memory = keeping_freed_memory(self.fabric.device)
            with torch.random.fork_rng(devices), memory as give_back:
                with listening() as request:
                    self._train(progress, request, give_back)
                if self.config.profile:
                    speed = self._measure()
        return self._finish(speed)

    def _train(self, progress, request, give_back):
        config = self.config
        check_every = 1 if self.fabric.device.type == "cpu" else _CHECK_EVERY
        wanted = config.tensorboard if self.folder.writes else False
        self.log = EventLog(self.folder.path, wanted, self.history, self.seconds)
        bar = tqdm(
            total=config.n_steps,
            initial=self.step,
            desc=self.folder.path.name,
            unit="step",
            disable=not (progress and self.folder.writes),
        )
        start = self.watch.now() - self.seconds
        with bar:
            try:
                while self.step < config.n_steps and not self._is_stale():
                    self._one_step()
                    bar.update()
                    if self.step % _GIVE_BACK_EVERY == 0:
                        give_back()
                    look, save = (
                        self._due(config.validate_every),
                        self._due(config.checkpoint_every),
                    )
                    stop = 0
                    if self.step % check_every == 0 or look or save:
                        stop = self.health.check(self.step, request.number)
                        self.watch.lap(self.step)
                        self.seconds = self.watch.now() - start
                        self._show(bar)
                    if look:
                        with self.watch.aside():
                            self._look()
                    if save or self._is_stale() or stop:
                        with self.watch.aside():
                            self._save()
                    if config.keep_every and self.step % config.keep_every == 0:
                        self.folder.write(f"kept/{self.step:06d}.pt", self._learned())
                    if stop and self.step < config.n_steps:
                        kept = self.folder.path / "last.pt"
                        raise TrainingInterrupted(stop, self.step, config.n_steps, kept)
            finally:
                self.log.close()

    def _due(self, every):
        return self.step % every == 0 or self.step == self.config.n_steps

    def _one_step(self):
        task = self.task
        self._seed(self.step)
        for name, network in task.networks.items():
            network.train(name not in task.frozen)
        factor = task.rate(self.step)
        for name, optimiser in self.optimisers.items():
            for group, base in zip(optimiser.param_groups, self.base_rates[name], strict=True):
                group["lr"] = base * factor
        losses = task.step(self.step, self._update, self._share())
        for name, loss in losses.items():
            loss = loss.detach().float()
            count, total = self.sums.get(name, (0, torch.zeros_like(loss)))
            self.sums[name] = (count + 1, total + loss)
            self.health.note(name, loss, self.step)
        self.step += 1

    def _seed(self, step):
        """Draw the step's random numbers from its own seed, the same in all processes."""
        key = np.random.SeedSequence((self.config.seed, step, 0))
        torch.manual_seed(int(key.generate_state(1, np.uint64)[0]))

    def _share(self):
        return self.fabric.global_rank, self.fabric.world_size

    def _update(self, loss, name):
        optimiser = self.optimisers[name]
        optimiser.zero_grad()
        self.fabric.backward(loss)
        if self.config.clip_norm:
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        optimiser.step()

    def _look(self):
        """Judge the networks on the validation identities; keep them if they are the best."""
        for network in self.task.networks.values():
            network.eval()
        with torch.no_grad():
            figures = {name: float(value) for name, value in self.task.validate().items()}
        figures = self.fabric.broadcast(figures)
        is_best = figures[self.task.monitor] < self.best
        row = {"step": self.step, "seconds": self.seconds, "rate": self.task.rate(self.step - 1)}
        row |= self._means()
        row |= {f"validation_{name}": value for name, value in figures.items()}
        self.history.append(row | {"is_best": is_best})
        self.log.add(self.history[-1])
        self.sums = {}
        self.stale = 0 if is_best else self.stale + 1
        if is_best:
            self.best, self.best_step = figures[self.task.monitor], self.step
            self.folder.write("best.pt", self._networks())

    def _means(self):
        """Losses since the last look, averaged over steps and processes."""
        means = {name: total / count for name, (count, total) in self.sums.items()}
        if self.fabric.world_size > 1:
            means = {name: self.fabric.all_reduce(mean) for name, mean in means.items()}
        return {name: float(mean) for name, mean in means.items()}

    def _show(self, bar):
        """Losses since the last look and the figures found then, beside rate and time left."""
        if bar.disable or self.watch.now() < self.shown_s + 1:
            return
        self.shown_s = self.watch.now()
        shown = {name: float(total) / count for name, (count, total) in self.sums.items()}
        shown = {
            name.removesuffix("_loss"): value for name, value in shown.items() if "loss" in name
        }
        if self.history:
            monitor = self.task.monitor
            shown[f"validation {monitor}"] = self.history[-1][f"validation_{monitor}"]
        bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)

    def _is_stale(self):
        return bool(self.config.patience) and self.stale >= self.config.patience

    def _networks(self):
        return {name: network.state_dict() for name, network in self.task.networks.items()}

    def _learned(self):
        """States of what is trained."""
        states = self._networks()
        return {name: state for name, state in states.items() if name not in self.task.frozen}

    def _save(self):
        self.health.require_finite_weights(self.step)
        self.folder.write(
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
        self.folder.write_history(self.history)

    def _resume(self):
        if "last.pt" not in self.folder:
            return
        state = self.folder.read("last.pt", self.fabric.device)
        try:
            for name, network in self.task.networks.items():
                network.load_state_dict(state["networks"][name])
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            self._fuse()  # whatever the state's device was
            for name, value in state["run"].items():
                setattr(self, name, value)
            self.sums = {
                name: (n, total.to(self.fabric.device))
                for name, (n, total) in state["sums"].items()
            }
        except (KeyError, RuntimeError, ValueError, AttributeError) as error:
            raise damaged(self.folder.path / "last.pt") from error

    def _measure(self):
        """Sum up the speed; the operations are counted in one more step that changes nothing."""
        before = {
            name: {key: tensor.clone() for key, tensor in state.items()}
            for name, state in self._networks().items()
        }

        def update(loss, name):
            self.optimisers[name].zero_grad()
            self.fabric.backward(loss)

        self._seed(self.step)
        step = self.step - 1
        operations = count_operations(lambda: self.task.step(step, update, self._share()))
        for name, network in self.task.networks.items():
            network.load_state_dict(before[name])
        report = speed_report(
            self.watch,
            self.config,
            self.fabric,
            batch_size=self.task.batch_size,
            operations=operations,
            precision=arithmetic(self.config),
        )
        self.folder.write_plain("speed.json", report._asdict())
        return report

    def _finish(self, speed):
        self.fabric.barrier()
        device = self.fabric.device
        best = self.folder.read("best.pt", device) if "best.pt" in self.folder else {}
        for name, network in self.task.networks.items():
            if name in best:
                network.load_state_dict(best[name])
            unwrapped = network if name in self.task.frozen else network.module
            self.task.networks[name] = unwrapped.eval()
        if "history.parquet" not in self.folder:  # of a run that an older version has finished
            self.folder.write_history(self.history)
        return Training(pd.DataFrame(self.history), self.best_step, self.folder.path, speed)
