"""What the training engine is given: a task, and the settings of a run."""

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from v2mlib.checks import InputError, V2MError
from v2mlib.fitting.engine_speed import SpeedReport

PRECISIONS = ("auto", "32-true", "bf16-mixed")


class TrainingError(V2MError):
    """A training went wrong; its last good state is on disk."""


@dataclasses.dataclass(frozen=True)
class EngineConfig:
    """How a training is run, whatever is trained.

    Attributes
    ----------
    n_steps : int
        Updates.
    validate_every : int
        Updates between looks at the validation identities.
    patience : int
        Looks without a better result after which to stop; 0 never stops early.
    checkpoint_every : int
        Updates between saved states.
    clip_norm : float
        Longest gradient; longer ones are scaled down. 0 leaves them.
    precision : {"auto", "32-true", "bf16-mixed"}
        Of the arithmetic; see `arithmetic`.
    device : {"auto", "cpu", "cuda", ...}
        Where to train, as Lightning Fabric names it.
    n_devices : int
        Processes that share each batch, one per device.
    seed : int
        Of everything random.
    keep_every : int
        Updates between states of the networks that are kept for good, as ``kept/<step>.pt``;
        0 keeps none.
    tensorboard : bool or None
        Whether to write a log for TensorBoard; None writes it where TensorBoard is installed.
    profile : bool
        Whether to measure the speed, see `Training.speed`; costs one step in the end.
    """

    n_steps: int = 600
    validate_every: int = 50
    patience: int = 0
    checkpoint_every: int = 50
    clip_norm: float = 0.0
    precision: str = "auto"
    device: str = "auto"
    n_devices: int = 1
    seed: int = 0
    keep_every: int = 0
    tensorboard: bool | None = None
    profile: bool = False

    def __post_init__(self):
        """Refuse settings that cannot be."""
        for name in ("n_steps", "validate_every", "checkpoint_every", "n_devices"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}", "is too few", "choose 1 or more")
        for name in ("patience", "clip_norm", "keep_every", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name)}", "is negative", "choose 0 or more")
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision {self.precision!r}", "is unknown", f"choose from {PRECISIONS}"
            )


class Task:
    """What is trained; a base to derive from.

    Attributes
    ----------
    networks : dict of str to torch.nn.Module
        All networks. The engine replaces them by wrapped ones that work on several devices.
    frozen : tuple of str
        Networks that are not trained: they stay in eval mode, so that neither their parameters
        nor their buffers change.
    monitor : str
        The validation figure that decides which state is best; smaller is better.
    autocast : callable
        Gives the context of the training's arithmetic, for what is not called through
        `networks` or is frozen. The engine sets it.
    gather : callable
        Joins all processes' shares of a tensor (share, ...) to that of the batch, in the order
        of one process, with gradients: to be applied to all that a loss couples across the
        batch. With one process it does nothing. The engine sets it.
    own : callable
        Takes this process's share of a tensor (batch, ...): random numbers are the same in all
        processes, so that what is drawn per sample is drawn for the whole batch and shared.
        The engine sets it.

    Notes
    -----
    Losses that are means over the samples of a process, and losses of gathered features, give
    with several processes the gradients of one process, to rounding, as long as networks do not
    look across samples. Batch normalisation in training mode does: each process normalises its
    own share, and running means are the first process's.
    """

    networks: dict
    frozen: tuple = ()
    monitor: str = "loss"
    autocast = nullcontext

    @staticmethod
    def gather(tensor):
        """Join the shares of one process: none but its own.

        Parameters
        ----------
        tensor : tensor, (share, ...)
            This process's share.

        Returns
        -------
        tensor, (batch, ...)
            The same.
        """
        return tensor

    @staticmethod
    def own(tensor):
        """Take the share of the only process.

        Parameters
        ----------
        tensor : tensor, (batch, ...)
            Of all samples.

        Returns
        -------
        tensor, (share, ...)
            The same.
        """
        return tensor

    @property
    def batch_size(self):
        """Samples per step, over all processes.

        Returns
        -------
        int
            What the task's `config` says; 0 if it does not.
        """
        return getattr(getattr(self, "config", None), "batch_size", 0)

    def drawn(self, number):
        """Name what the batch of a step was drawn from, for the report of a training gone wrong.

        Parameters
        ----------
        number : int
            The step, from 0.

        Returns
        -------
        dict of str to list of str
            Names of samples by kind; those under "not finite" hold NaN or infinity themselves.
        """
        return {}

    def optimisers(self):
        """Make the optimisers.

        Returns
        -------
        dict of str to torch.optim.Optimizer
            By the names that `step` uses.
        """
        raise NotImplementedError

    def rate(self, step):
        """Give the factor on the learning rates at a step.

        Parameters
        ----------
        step : int
            From 0.

        Returns
        -------
        float
            1 by default.
        """
        return 1.0

    def prepare(self, device):
        """Put data on the device; called once, before the first step.

        Parameters
        ----------
        device : torch.device
            Where the networks are.
        """

    def step(self, number, update, share):
        """Work out losses and update networks.

        Parameters
        ----------
        number : int
            The step, from 0.
        update : callable
            `update(loss, name)` makes one step of the named optimiser.
        share : tuple of int
            This process's number and the number of processes.

        Returns
        -------
        dict of str to tensor
            Losses to report, detached or not.
        """
        raise NotImplementedError

    def validate(self):
        """Judge the networks, which are in eval mode, without gradients.

        Returns
        -------
        dict of str to float
            Figures, `monitor` among them.
        """
        raise NotImplementedError


class Training(NamedTuple):
    """What came of a training.

    Attributes
    ----------
    history : pandas.DataFrame
        A row per look at the validation identities: `step`, `seconds`, `rate`, the mean of each
        loss since the row before, the validation figures after "validation_", `is_best`.
    best_step : int
        Updates after which the kept networks were taken.
    folder : pathlib.Path
        Where the run lies.
    speed : SpeedReport or None
        What it cost, if `EngineConfig.profile` asks for it and steps were made.
    """

    history: pd.DataFrame
    best_step: int
    folder: Path
    speed: SpeedReport | None = None


def arithmetic(config):
    """Choose the arithmetic of a training on this machine.

    Parameters
    ----------
    config : EngineConfig
        Its `precision`, and the `device` that "auto" looks at.

    Returns
    -------
    {"32-true", "bf16-mixed"}
        For "auto" bfloat16 where the hardware multiplies it, which about halves the time of a
        step; elsewhere it would be emulated, and slower than single precision.

    Examples
    --------
    >>> arithmetic(EngineConfig(precision="32-true"))
    '32-true'
    """
    if config.precision != "auto":
        return config.precision
    if config.device in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        known = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        known = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16-mixed" if known else "32-true"
