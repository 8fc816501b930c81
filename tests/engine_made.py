"""A training whose loss couples the whole batch, run as a program by several processes.

`python tests/engine_made.py OUT N_DEVICES STATISTICS...`, or the same under torchrun; STATISTICS is
"still" (batch normalisation in eval mode) or "moving", each trained in a folder of its name in OUT.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from v2mlib.fitting.engine import fit
from v2mlib.fitting.task import EngineConfig, Task

N_STEPS, BATCH = 8, 12


def pairwise(student, teacher):
    """Distances between all pairs divided by their mean, as relational distillation has them."""

    def relative(features):
        distances = torch.cdist(features, features)
        return distances / distances.sum() * len(features) * (len(features) - 1)

    return (relative(student) - relative(teacher)).square().mean()


def probabilities(student, teacher):
    """Divergence of probabilities of neighbours over the batch, as probabilistic transfer has."""

    def given(features):
        unit = nn.functional.normalize(features)
        kernel = ((unit @ unit.T + 1) / 2) * (1 - torch.eye(len(unit)))
        return kernel / kernel.sum(1, keepdim=True) + 1e-7

    wanted = given(teacher)
    return (wanted * (wanted / given(student)).log()).sum(1).mean()


def similarity(student, teacher):
    """Normalised inner products over the batch, as similarity-preserving distillation has them."""

    def rows(features):
        return nn.functional.normalize(features @ features.T)

    return (rows(student) - rows(teacher)).square().sum() / len(student) ** 2


class Coupled(Task):
    """A student learns from a frozen teacher, sample by sample and in relations."""

    frozen = ("teacher",)

    def __init__(self, *, still=True):
        self.still = still
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.networks = {
                "student": nn.Sequential(
                    nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 5)
                ),
                "teacher": nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)),
            }

    def optimisers(self):
        return {"all": torch.optim.SGD(self.networks["student"].parameters(), 0.05)}

    def step(self, number, update, share):
        if self.still:
            self.networks["student"].eval()
        generator = torch.Generator().manual_seed(number)
        inputs = torch.randn(BATCH, 6, generator=generator)[share[0] :: share[1]]
        self.drew = (*share, len(inputs))
        inputs = inputs + 0.1 * self.own(torch.randn(BATCH, 6))  # of the step's own stream
        student, teacher = self.networks["student"](inputs), self.networks["teacher"](inputs)
        losses = {"own_loss": (student - teacher).square().mean()}
        student, teacher = self.gather(student), self.gather(teacher)
        for coupled in (pairwise, probabilities, similarity):
            losses[f"{coupled.__name__}_loss"] = coupled(student, teacher)
        update(sum(losses.values()), "all")
        return losses

    def validate(self):
        inputs = torch.linspace(-1, 1, 60).view(10, 6)
        gap = self.networks["student"](inputs) - self.networks["teacher"](inputs)
        return {"loss": gap.square().mean()}


def run(out, n_devices, *, still=True, **changes):
    """Train, with as many processes as asked for."""
    config = EngineConfig(
        n_steps=N_STEPS, validate_every=4, checkpoint_every=4, device="cpu",
        precision="32-true", n_devices=n_devices, tensorboard=False, **changes,
    )  # fmt: skip
    task = Coupled(still=still)
    fit(task, out, config=config, progress=False)
    return task.drew


if __name__ == "__main__":
    for statistics in sys.argv[3:]:
        drew = run(Path(sys.argv[1]) / statistics, int(sys.argv[2]), still=statistics == "still")
        print("process {} of {} drew {} samples".format(*drew), flush=True)
