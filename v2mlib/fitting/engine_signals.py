"""Being asked to stop: finish the step, save, say how to go on."""

import contextlib
import signal
import threading


class TrainingInterrupted(KeyboardInterrupt):
    """A training was asked to stop; its state is on disk.

    Parameters
    ----------
    number : int
        Of the signal that asked.
    step, n_steps : int
        Steps made, of how many.
    path : path
        Where the state is saved.
    """

    def __init__(self, number, step, n_steps, path):
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step} of {n_steps}, which is "
            f"saved in {path}; the same command or call goes on from there"
        )


class StopRequest:
    """What has asked the training to stop.

    Attributes
    ----------
    number : int
        The signal's; 0 as long as nothing has.
    """

    def __init__(self):
        self.number = 0

    def __call__(self, number, frame):
        """Take note of a signal; at the second one give up at once."""
        if self.number:
            raise KeyboardInterrupt
        self.number = number


@contextlib.contextmanager
def listening():
    """Take note of Ctrl-C and of SIGTERM, which clusters send, instead of dying in mid-step.

    Only a process's main thread can listen; elsewhere nothing changes.

    Yields
    ------
    StopRequest
        To be looked at between steps.
    """
    request, before = StopRequest(), {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, request)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
