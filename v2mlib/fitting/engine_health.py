"""A training that goes wrong: what was not finite, at which step, from which samples."""

import torch

from v2mlib.fitting.task import TrainingError

_NAMED = 4  # samples in the message; all of them are in a file


class Health:
    """Watches losses and weights, in all processes alike.

    Parameters
    ----------
    task : Task
        What is trained.
    folder : RunFolder
        Where the last good state is, and where samples are named.
    fabric : lightning_fabric.Fabric
        The processes.
    """

    def __init__(self, task, folder, fabric):
        self.task, self.folder, self.fabric = task, folder, fabric
        self.first_bad = {}

    def note(self, name, loss, step):
        """Remember the first step at which a loss is not finite, without waiting for it.

        Parameters
        ----------
        name : str
            Of the loss.
        loss : tensor, ()
            Its value.
        step : int
            From 0.
        """
        never = torch.full_like(loss, torch.inf)
        first = self.first_bad.get(name, never)
        self.first_bad[name] = torch.where(torch.isfinite(loss), first, first.clamp_max(step))

    def check(self, step, stop):
        """See whether all went well in all processes, and whether one was asked to stop.

        Parameters
        ----------
        step : int
            Steps made so far.
        stop : int
            Number of the signal that asked this process to stop, or 0.

        Returns
        -------
        int
            The same of whichever process was asked.

        Raises
        ------
        TrainingError
            If a loss was not finite, in whichever process.
        """
        names = list(self.first_bad)
        found = torch.stack([-first for first in self.first_bad.values()])
        found = torch.cat([found, found.new_tensor([stop])])
        if self.fabric.world_size > 1:
            found = self.fabric.all_reduce(found, reduce_op="max")
        *first, stop = found.tolist()
        bad = {name: -int(at) for name, at in zip(names, first, strict=True) if at > -torch.inf}
        if bad:
            at = min(bad.values())
            which = ", ".join(name for name in names if bad.get(name) == at)
            raise self._error(f"{which} is not finite", at)
        return int(stop)

    def require_finite_weights(self, step):
        """Refuse to save weights that are not finite: the state before them stays.

        Parameters
        ----------
        step : int
            Steps made so far.

        Raises
        ------
        TrainingError
            If there are such weights.
        """
        for name, network in self.task.networks.items():
            floats = [
                tensor.detach()
                for tensor in network.state_dict().values()
                if tensor.is_floating_point() and tensor.numel()
            ]
            if floats and not bool(torch.stack([t.isfinite().all() for t in floats]).all()):
                raise self._error(f"a weight of the {name} is not finite", step - 1)

    def _error(self, what, step):
        """Say what, when, from which samples, and where the last good state is."""
        drawn = {kind: list(names) for kind, names in self.task.drawn(step).items() if names}
        samples = ""
        if drawn:
            self.folder.write_plain("not_finite.json", {"step": step + 1, "what": what, **drawn})
            samples = f"; drawn were {_listed(drawn)} (all in {self.folder.path}/not_finite.json)"
        kept = self.folder.path / "last.pt"
        state = f"the state before it is kept in {kept}" if kept.exists() else "no state was saved"
        advice = "train again in a new folder with a lower learning rate"
        if "not finite" in drawn:
            advice = "mend or remove the samples that hold NaN or infinity"
        return TrainingError(f"{what} at step {step + 1}{samples}; {state}; {advice}")


def _listed(drawn):
    parts = []
    for kind, names in drawn.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        parts.append(f"{kind} {', '.join(names[:_NAMED])}{more}")
    return "; ".join(parts)
