"""Relational distillation beside the form that public code has: vectors between all pairs.

Both give the same loss and gradient (checked here before anything is timed), at the size of the
joint training: pooled features of MobileNetV2 and MobileNetV1.
"""

import torch
from harness import Row
from torch import nn

from v2mlib.fitting.distillation import METHODS

BATCH, STUDENT, TEACHER = 64, 1280, 1024


def naive(student, teacher):
    """Distances and angles from the differences of all pairs of samples."""
    parts = []
    for features in (student, teacher):
        apart = features[None] - features[:, None]  # (sample, sample, feature)
        distance = (apart.square().sum(2) + 1e-24).sqrt()
        around = nn.functional.normalize(apart, dim=2)
        parts.append((distance / distance[distance > 1e-6].mean(), around @ around.mT))
    distances, angles = (
        nn.functional.smooth_l1_loss(one, other) for one, other in zip(*parts, strict=True)
    )
    return 25 * distances + 50 * angles


def with_gradient(loss, student, teacher):
    """Value and gradient to the student."""
    student = student.detach().requires_grad_()
    value = loss(student, teacher)
    value.backward()
    return value.detach(), student.grad


def rows():
    """One row: loss and gradient of a batch."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(BATCH, STUDENT, generator=generator)
    teacher = torch.randn(BATCH, TEACHER, generator=generator)
    ours = METHODS["rkd"](variant="released")
    for one, other in zip(
        with_gradient(ours, student, teacher), with_gradient(naive, student, teacher), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    yield Row(
        f"relational distillation (RKD), batch of {BATCH}",
        lambda: with_gradient(ours, student, teacher),
        lambda: with_gradient(naive, student, teacher),
        "vectors between all pairs",
        BATCH,
        "samples",
    )
