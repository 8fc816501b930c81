"""Similarities between the samples of a batch: similarity-preserving and correlation congruence."""

import math

import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.fitting.distillation.base import DistillationLoss, unit


class Similarity(DistillationLoss):
    r"""Squared distance of the similarities that both networks see between samples.

    :math:`G = F F^\top` of the flattened features, each row scaled to length 1;
    :math:`\|G_S - G_T\|_F^2 / b^2`. Public code computes the same: there is one variant.

    Parameters are those of `DistillationLoss`.

    References
    ----------
    Tung and Mori, "Similarity-preserving knowledge distillation", ICCV 2019, Eqs. 1-4.

    Examples
    --------
    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> float(Similarity()(features, 7 * features.flip(1)))  # turned and scaled
    0.0
    """

    smallest_batch = 2

    def compare(self, student, teacher, index):
        """See `DistillationLoss.compare`.

        Parameters
        ----------
        student, teacher : tensor, (batch, ...)
            Features.
        index : object
            Not looked at.

        Returns
        -------
        tensor, ()
            The loss.
        """
        rows = [
            unit(features @ features.T) for features in (student.flatten(1), teacher.flatten(1))
        ]
        return (rows[0] - rows[1]).square().mean()


class Correlation(DistillationLoss):
    r"""Squared difference of the kernel correlations between samples.

    "paper": the Gaussian kernel of unit vectors by its Taylor expansion,
    :math:`k(x, y) = \sum_{p=0}^{P} e^{-2\gamma} (2\gamma)^p / p!\, (x \cdot y)^p`, and
    :math:`\|K_S - K_T\|_F^2 / b^2`. "released", as public collections have it, does without a
    kernel: the differences :math:`|f_S - f_T|` of each sample times those of the next, summed
    over the features, averaged over the neighbours; both features then need the same shape.

    Parameters
    ----------
    student_size, teacher_size : int, optional
        Not needed.
    variant : {"paper", "released"}
        Which of the two.
    gamma : float
        Of the kernel.
    order : int
        P, the last term of the expansion.

    Raises
    ------
    InputError
        If gamma is not positive or the order below 1.

    References
    ----------
    Peng et al., "Correlation congruence for knowledge distillation", ICCV 2019, Eqs. 5 and 9.

    Examples
    --------
    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> float(Correlation()(features, 7 * features.flip(1)))
    0.0
    """

    smallest_batch = 2

    def __init__(
        self, student_size=None, teacher_size=None, *, variant="paper", gamma=0.4, order=2
    ):
        super().__init__(student_size, teacher_size, variant=variant)
        if not gamma > 0 or order < 1:
            raise InputError(
                f"gamma={gamma}, order={order}",
                "give a kernel that is the same for all",
                "choose a positive gamma and an order of 1 or more",
            )
        terms = [math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p)
                 for p in range(order + 1)]  # fmt: skip
        self.terms = tuple(terms)

    def compare(self, student, teacher, index):
        """See `DistillationLoss.compare`.

        Parameters
        ----------
        student, teacher : tensor, (batch, ...)
            Features.
        index : object
            Not looked at.

        Returns
        -------
        tensor, ()
            The loss.

        Raises
        ------
        ShapeError
            If the variant compares features directly and their shapes differ.
        """
        if self.variant == "released":
            if student.shape != teacher.shape:
                raise ShapeError(
                    f"Correlation(variant='released'): student_features {tuple(student.shape)}, "
                    f"teacher_features {tuple(teacher.shape)}, expected the same shape in both"
                )
            gap = (student - teacher).abs().flatten(1)
            return (gap[:-1] * gap[1:]).sum(1).mean()
        kernels = [self._kernel(features.flatten(1)) for features in (student, teacher)]
        return (kernels[0] - kernels[1]).square().mean()

    def _kernel(self, features):
        cosines = unit(features) @ unit(features).T
        value = torch.full_like(cosines, self.terms[-1])
        for term in self.terms[-2::-1]:  # Horner's scheme
            value = value * cosines + term
        return value
