"""The history of a run as TensorBoard shows it."""

import importlib.util
import math
import time

from v2mlib.checks import InputError


class EventLog:
    """Scalars of a run for TensorBoard, in its folder `tensorboard`.

    A run that goes on writes its whole history anew, from its checkpoint: what a killed run had
    logged after that checkpoint is gone, and nothing is there twice.

    Parameters
    ----------
    folder : path
        Of the run.
    wanted : bool or None
        Whether to write; None writes where TensorBoard is installed.
    history : list of dict
        Rows up to now.
    seconds : float, s
        How long the run has taken up to now.

    Raises
    ------
    InputError
        If it is wanted and TensorBoard is not installed.
    """

    def __init__(self, folder, wanted, history, seconds):
        self.writer = None
        is_there = importlib.util.find_spec("tensorboard") is not None
        if wanted and not is_there:
            raise InputError(
                "TensorBoard", "is not installed", "pip install tensorboard, or switch the log off"
            )
        if wanted is False or not is_there:
            return
        from torch.utils.tensorboard import SummaryWriter

        place = folder / "tensorboard"
        old = list(place.glob("events.out.tfevents.*"))
        # A reader that is open drops what it had read from step 0 on.
        self.writer = SummaryWriter(str(place), purge_step=0)
        for path in old:
            path.unlink(missing_ok=True)
        self.start = time.time() - seconds
        for row in history:
            self.add(row)

    def add(self, row):
        """Log one row of the history.

        Parameters
        ----------
        row : dict
            See `Training.history`.
        """
        if self.writer is None:
            return
        for name, value in row.items():
            if name in ("step", "seconds", "is_best") or not math.isfinite(value):
                continue
            group, _, short = name.rpartition("validation_")
            tag = f"validation/{short}" if _ else f"training/{group or short}"
            moment = self.start + row["seconds"]
            self.writer.add_scalar(tag, value, row["step"], walltime=moment)
        self.writer.flush()

    def close(self):
        """Write what is waiting and let the file go."""
        if self.writer is not None:
            self.writer.close()
