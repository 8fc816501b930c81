"""What the training engine is given: a task, and the settings of a run."""

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from v2mlib.checks import InputError, V2MError

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

    def __post_init__(self):
        """Refuse settings that cannot be."""
        for name in ("n_steps", "validate_every", "checkpoint_every", "n_devices"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}", "is too few", "choose 1 or more")
        for name in ("patience", "clip_norm", "seed"):
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
    """

    networks: dict
    frozen: tuple = ()
    monitor: str = "loss"
    autocast = nullcontext

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
    """

    history: pd.DataFrame
    best_step: int
    folder: Path


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
