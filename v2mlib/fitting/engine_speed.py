"""How fast a training runs: rates, work, memory, and what the whole schedule would take."""

import contextlib
import re
import sys
import time
from typing import NamedTuple

import psutil
import torch

try:
    import resource
except ImportError:  # Windows
    resource = None

#: Dense bfloat16 peaks in operations per second, by words of the card's name, the makers' data
#: sheets; the first entry whose words are all in the name counts.
PEAKS = {
    ("B200",): 2250e12,
    ("H200",): 989e12,
    ("H100", "PCIe"): 756e12,
    ("H100", "NVL"): 835e12,
    ("H100",): 989e12,
    ("A100",): 312e12,
    ("L40S",): 362e12,
    ("L4",): 121e12,
    ("A10",): 125e12,
    ("RTX", "4090"): 165e12,
}


class SpeedReport(NamedTuple):
    """What a training cost, of the steps that this start of it made.

    Attributes
    ----------
    device : str
        Name of the card, or "cpu".
    n_processes : int
        Processes that shared each batch.
    precision : str
        Of the arithmetic.
    steps : int
        Steps that were timed: without the first ones, looks at validation identities and saving.
    steps_per_s : float
        Rate of those steps.
    samples_per_s : float
        The same in samples of the batch; NaN if the task does not say how many there are.
    operations_per_step : float
        Additions and multiplications of convolutions and matrix products, forward and
        backward, in all processes.
    share_of_peak : float
        Of the cards' dense bfloat16 peak; NaN where that is not known.
    peak_memory_bytes : int
        Largest amount that this process's tensors took on the card, or that the process took.
    schedule_steps : int
        Steps of the whole training.
    schedule_s : float
        What they take at that rate, with looks and saving as often as set, without preparation.
    """

    device: str
    n_processes: int
    precision: str
    steps: int
    steps_per_s: float
    samples_per_s: float
    operations_per_step: float
    share_of_peak: float
    peak_memory_bytes: int
    schedule_steps: int
    schedule_s: float

    def text(self):
        """Say it in a few lines.

        Returns
        -------
        str
            For people.
        """
        minutes = self.schedule_s / 60
        share = self.share_of_peak
        peak = "peak not known" if share != share else f"{100 * share:.1f} % of the bf16 peak"
        rate = self.operations_per_step * self.steps_per_s
        return (
            f"{self.device}, {self.n_processes} process(es), {self.precision}: "
            f"{self.steps_per_s:.3g} steps/s, {self.samples_per_s:.4g} samples/s\n"
            f"{self.operations_per_step:.3g} operations per step, {rate:.3g} per second ({peak}); "
            f"peak memory {self.peak_memory_bytes / 2**30:.2f} GiB\n"
            f"whole schedule of {self.schedule_steps} steps: {minutes:.1f} minutes"
        )


class Stopwatch:
    """Times steps apart from everything else.

    Attributes
    ----------
    steps, seconds : int, float
        Steps that were timed, and what they took.
    looks, aside_s : int, float
        Interruptions for other work, and what they took.
    """

    def __init__(self):
        self.steps, self.seconds, self.looks, self.aside_s = 0, 0.0, 0, 0.0
        self._last = None

    @staticmethod
    def now():
        """Read the clock.

        Returns
        -------
        float, s
            From any moment on.
        """
        return time.perf_counter()

    def lap(self, step):
        """Take the time where the device has done all steps; the first lap only warms up.

        Parameters
        ----------
        step : int
            Steps made so far.
        """
        now = self.now()
        if self._last is not None:
            began, since = self._last
            self.steps += step - began
            self.seconds += now - since
        self._last = (step, now)

    @contextlib.contextmanager
    def aside(self):
        """Leave out what happens inside the block.

        Yields
        ------
        None
            Nothing.
        """
        start = self.now()
        try:
            yield
        finally:
            spent = self.now() - start
            self.looks, self.aside_s = self.looks + 1, self.aside_s + spent
            if self._last is not None:
                self._last = (self._last[0], self._last[1] + spent)


def speed_report(watch, config, fabric, *, batch_size, operations, precision):
    """Sum up what was timed.

    Parameters
    ----------
    watch : Stopwatch
        Of this start of the training.
    config : EngineConfig
        Of the training.
    fabric : lightning_fabric.Fabric
        Its processes.
    batch_size : int
        Samples per step, over all processes; 0 if not known.
    operations : float
        Of one step in this process.
    precision : str
        Of the arithmetic.

    Returns
    -------
    SpeedReport
        With NaN where nothing was timed.
    """
    nan = float("nan")
    rate = watch.steps / watch.seconds if watch.steps else nan
    device, n_processes = fabric.device, fabric.world_size
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    peak = card_peak(name)
    aside = watch.aside_s / watch.steps if watch.steps else nan  # per step, as often as here
    return SpeedReport(
        device=name,
        n_processes=n_processes,
        precision=precision,
        steps=watch.steps,
        steps_per_s=rate,
        samples_per_s=rate * batch_size if batch_size else nan,
        operations_per_step=float(operations * n_processes),
        share_of_peak=operations * rate / peak,
        peak_memory_bytes=peak_memory(device),
        schedule_steps=config.n_steps,
        schedule_s=config.n_steps * (1 / rate + aside),
    )


def card_peak(name):
    """Dense bfloat16 peak of a card.

    Parameters
    ----------
    name : str
        As the driver calls it.

    Returns
    -------
    float, operations per second
        NaN if it is not known.

    Examples
    --------
    >>> card_peak("NVIDIA H100 80GB HBM3") / 1e12
    989.0
    >>> card_peak("cpu")
    nan
    """
    words = set(re.split(r"[\s-]+", name))
    found = (peak for known, peak in PEAKS.items() if words.issuperset(known))
    return next(found, float("nan"))


def peak_memory(device):
    """Most memory that was in use.

    Parameters
    ----------
    device : torch.device
        Of the training.

    Returns
    -------
    int, bytes
        By tensors on a card; elsewhere by the whole process.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if resource is None:
        return int(psutil.Process().memory_info().rss)
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def count_operations(step):
    """Count the additions and multiplications of a step.

    Parameters
    ----------
    step : callable
        Makes it.

    Returns
    -------
    int
        Of convolutions and matrix products; other work is not counted.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()
