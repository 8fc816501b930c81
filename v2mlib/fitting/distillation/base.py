"""What all distillation losses share: their call, their checks, unit vectors."""

import torch
from torch import nn

from v2mlib.checks import InputError, ShapeError

VARIANTS = ("paper", "released")
"""The formula of the method's paper, or what public code computes instead."""


class DistillationLoss(nn.Module):
    """How far a student's features are from a teacher's; a base to derive from.

    Parameters
    ----------
    student_size, teacher_size : int, optional
        Values per sample, or channels of maps. Only learned losses need them.
    variant : {"paper", "released"}
        See each method.

    Attributes
    ----------
    smallest_batch : int
        2 where samples are compared with each other.
    same_shape : bool
        Whether the features of both networks must have the same shape.

    Raises
    ------
    InputError
        If the variant is unknown or a size is not positive.
    """

    smallest_batch = 1
    same_shape = False

    def __init__(self, student_size=None, teacher_size=None, *, variant="paper"):
        super().__init__()
        if variant not in VARIANTS:
            raise InputError(f"variant {variant!r}", "is unknown", f"choose from {VARIANTS}")
        for name, size in (("student_size", student_size), ("teacher_size", teacher_size)):
            if size is not None and size < 1:
                raise InputError(f"{name}={size}", "is too few", "choose 1 or more")
        self.student_size, self.teacher_size = student_size, teacher_size
        self.variant = variant

    def forward(self, student_features, teacher_features, index=None):
        """Compare a batch of features.

        Parameters
        ----------
        student_features : tensor, (batch, ...)
            Of the network that learns.
        teacher_features : tensor, (batch, ...)
            Of the other; detach them, unless it is to learn too.
        index : tensor of int, (batch,), optional
            Numbers of the samples, for a loss with a memory; the others do not look at it.

        Returns
        -------
        tensor, ()
            In float32, or in float64 where both features are; of a learned loss in the
            precision of its parameters. Autocasting is off inside.

        Raises
        ------
        ShapeError
            If the shapes do not go together.
        InputError
            If the batch is too small for a loss that compares samples.
        """
        self._check(student_features, teacher_features)
        double = {student_features.dtype, teacher_features.dtype} == {torch.float64}
        kind = torch.float64 if double else torch.float32
        kind = next((own.dtype for own in self.parameters()), kind)
        with torch.autocast(student_features.device.type, enabled=False):
            return self.compare(student_features.to(kind), teacher_features.to(kind), index)

    def compare(self, student, teacher, index):
        """Work out the loss of features that have been checked.

        Parameters
        ----------
        student, teacher : tensor, (batch, ...)
            Features.
        index : tensor of int, (batch,), or None
            Numbers of the samples.

        Returns
        -------
        tensor, ()
            The loss.
        """
        raise NotImplementedError

    def _check(self, student, teacher):
        name = type(self).__name__
        shapes = f"student_features {tuple(student.shape)}, teacher_features {tuple(teacher.shape)}"
        if student.ndim < 2 or teacher.ndim < 2:
            raise ShapeError(f"{name}: {shapes}, expected (batch, ...) with at least two axes")
        if len(student) != len(teacher):
            raise ShapeError(f"{name}: {shapes}, expected one row per sample in both")
        if self.same_shape and student.shape != teacher.shape:
            raise ShapeError(f"{name}: {shapes}, expected the same shape in both")
        if len(student) < self.smallest_batch:
            raise InputError(
                f"{name} of a batch of {len(student)}",
                "has too few samples to compare",
                f"use batches of {self.smallest_batch} or more",
            )


def unit(vectors):
    """Scale vectors to length 1; zero vectors stay zero, without a gradient.

    Parameters
    ----------
    vectors : tensor, (..., feature)
        Any.

    Returns
    -------
    tensor, (..., feature)
        Of length 1 or 0.

    Examples
    --------
    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    return vectors / safe(torch.linalg.vector_norm(vectors, dim=-1, keepdim=True))


def safe(divisor):
    """Replace zeros by infinity, so that dividing by them gives zero and no gradient.

    Parameters
    ----------
    divisor : tensor
        Not negative.

    Returns
    -------
    tensor
        Of the same shape.

    Examples
    --------
    >>> safe(torch.tensor([0.5, 0.0])).tolist()
    [0.5, inf]
    """
    smallest = torch.finfo(divisor.dtype).tiny ** 0.5  # its square can still be told from zero
    return torch.where(divisor > smallest, divisor, torch.inf)


def others(values):
    """Leave out the diagonal of square matrices.

    Parameters
    ----------
    values : tensor, (sample, sample)
        What each sample is to each.

    Returns
    -------
    tensor, (sample, sample - 1)
        What each is to the others.

    Examples
    --------
    >>> others(torch.arange(9).view(3, 3)).tolist()
    [[1, 2], [3, 5], [6, 7]]
    """
    n = len(values)
    return values.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)


def huber(gap):
    """Quadratic up to 1, linear beyond: Huber's loss with its corner at 1.

    Parameters
    ----------
    gap : tensor
        Differences.

    Returns
    -------
    tensor
        Of the same shape.

    Examples
    --------
    >>> huber(torch.tensor([0.0, -0.5, 3.0])).tolist()
    [0.0, 0.125, 2.5]
    """
    return nn.functional.smooth_l1_loss(gap, torch.zeros_like(gap), reduction="none")
