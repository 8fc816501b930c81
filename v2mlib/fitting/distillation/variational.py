"""Variational information distillation: the teacher's features predicted from the student's."""

import math

import torch
from torch import nn

from v2mlib.checks import InputError, ShapeError
from v2mlib.fitting.distillation.base import DistillationLoss

_SMALLEST_VARIANCE = 1e-5


class Variational(DistillationLoss):
    r"""Negative log-likelihood of the teacher's features under a learned Gaussian.

    :math:`\sum_c [\log \sigma_c + (t_c - \mu_c(s))^2 / (2 \sigma_c^2)]` with
    :math:`\sigma_c^2 = \log(1 + e^{a_c}) + \epsilon`, averaged over batch and positions
    ("paper"; a constant is left out, and the paper sums over the positions). "released", as
    public collections have it, averages over the channels, too. The mean is a regressor of
    three 1 x 1 convolutions (linear layers for vectors); it and the variances are to be trained
    with the student.

    Parameters
    ----------
    student_size, teacher_size : int
        Channels of maps, or values of vectors.
    variant : {"paper", "released"}
        Which of the two.
    hidden_size : int, optional
        Channels inside the regressor; as many as the teacher has by default.
    variance : float
        At first, of every channel.

    Raises
    ------
    InputError
        If a size is missing, or the variance not above 1e-5.

    References
    ----------
    Ahn et al., "Variational information distillation for knowledge transfer", CVPR 2019,
    Eqs. 4-6.

    Examples
    --------
    >>> loss = Variational(6, 4)
    >>> loss(torch.zeros(2, 6, 8, 8), torch.zeros(2, 4, 8, 8)).shape
    torch.Size([])
    """

    def __init__(
        self,
        student_size=None,
        teacher_size=None,
        *,
        variant="paper",
        hidden_size=None,
        variance=5.0,
    ):
        super().__init__(student_size, teacher_size, variant=variant)
        if student_size is None or teacher_size is None:
            raise InputError(
                "Variational",
                "has a regressor, which needs the sizes of both features",
                "give student_size and teacher_size",
            )
        if not variance > _SMALLEST_VARIANCE:
            raise InputError(
                f"variance={variance}", "is too small", f"choose more than {_SMALLEST_VARIANCE}"
            )
        inside = hidden_size or teacher_size
        self.regressor = nn.Sequential(
            nn.Conv1d(student_size, inside, 1, bias=False),
            nn.ReLU(),
            nn.Conv1d(inside, inside, 1, bias=False),
            nn.ReLU(),
            nn.Conv1d(inside, teacher_size, 1, bias=False),
        )
        softened = math.log(math.expm1(variance - _SMALLEST_VARIANCE))
        self.log_scale = nn.Parameter(torch.full((teacher_size,), softened))

    @property
    def variance(self):
        """Variance of each of the teacher's channels: tensor, (channel,)."""
        return nn.functional.softplus(self.log_scale) + _SMALLEST_VARIANCE

    def compare(self, student, teacher, index):
        """See `DistillationLoss.compare`.

        Parameters
        ----------
        student, teacher : tensor, (batch, channel, ...)
            Maps with the same positions, or vectors.
        index : object
            Not looked at.

        Returns
        -------
        tensor, ()
            The loss.

        Raises
        ------
        ShapeError
            If channels or positions are not the expected ones.
        """
        sizes = (self.student_size, self.teacher_size)
        if (student.shape[1], teacher.shape[1]) != sizes or student.shape[2:] != teacher.shape[2:]:
            raise ShapeError(
                f"Variational: student_features {tuple(student.shape)}, teacher_features "
                f"{tuple(teacher.shape)}, expected {sizes[0]} and {sizes[1]} channels at the same "
                "positions"
            )
        student, teacher = (
            features.reshape(*features.shape[:2], -1) for features in (student, teacher)
        )
        gap = teacher - self.regressor(student)
        variance = self.variance[:, None]
        surprise = 0.5 * (variance.log() + gap.square() / variance)  # (batch, channel, position)
        each = surprise.mean((0, 2))
        return each.mean() if self.variant == "released" else each.sum()
