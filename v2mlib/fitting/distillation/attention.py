"""Attention transfer: where a network looks."""

import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.fitting.distillation.base import DistillationLoss, unit


class Attention(DistillationLoss):
    r"""Distance of normalised attention maps.

    A map's attention is :math:`Q = \sum_c |A_c|^p` at each position, scaled to length 1 over
    the positions. "paper" is :math:`\|Q_S - Q_T\|_2`, averaged over the batch; "released", as
    the authors' code, the mean over batch and positions of the squared differences. Channels
    may differ in number and order. Features without positions (vectors) count as maps of one
    channel: each entry is a position.

    Parameters
    ----------
    student_size, teacher_size : int, optional
        Not needed.
    variant : {"paper", "released"}
        Which of the two.
    power : float
        p, at least 1.

    Raises
    ------
    InputError
        If the power is below 1.

    References
    ----------
    Zagoruyko and Komodakis, "Paying more attention to attention", ICLR 2017, Eq. 2.

    Examples
    --------
    >>> looks_left = torch.tensor([[[1.0, 0.0], [2.0, 0.0]]])  # (sample, channel, position)
    >>> looks_right = torch.tensor([[[0.0, 3.0]]])
    >>> round(float(Attention()(looks_left, looks_right)) ** 2, 6)
    2.0
    """

    def __init__(self, student_size=None, teacher_size=None, *, variant="paper", power=2.0):
        super().__init__(student_size, teacher_size, variant=variant)
        if not power >= 1:
            raise InputError(f"power={power}", "is below 1", "choose 1 or more")
        self.power = power

    def compare(self, student, teacher, index):
        """See `DistillationLoss.compare`.

        Parameters
        ----------
        student, teacher : tensor, (batch, channel, ...) or (batch, position)
            Maps with the same positions.
        index : object
            Not looked at.

        Returns
        -------
        tensor, ()
            The loss.

        Raises
        ------
        ShapeError
            If the positions differ.
        """
        maps = [features[:, None] if features.ndim == 2 else features
                for features in (student, teacher)]  # fmt: skip
        if maps[0].shape[2:] != maps[1].shape[2:]:
            raise ShapeError(
                f"Attention: positions {tuple(maps[0].shape[2:])} of the student's maps and "
                f"{tuple(maps[1].shape[2:])} of the teacher's, expected the same"
            )
        looked = [unit(m.abs().pow(self.power).sum(1).flatten(1)) for m in maps]
        gap = looked[0] - looked[1]
        if self.variant == "released":
            return gap.square().mean()
        return torch.linalg.vector_norm(gap, dim=1).mean()
