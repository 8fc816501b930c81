"""Probabilistic knowledge transfer: who is whose neighbour, as a distribution."""

import torch

from v2mlib.fitting.distillation.base import DistillationLoss, others, unit


class Probabilistic(DistillationLoss):
    r"""Divergence of the conditional probabilities of neighbours.

    :math:`K(a, b) = (\cos(a, b) + 1) / 2`,
    :math:`p_{i|j} = K(z_i, z_j) / \sum_{k \ne j} K(z_k, z_j)`, and the loss
    :math:`\sum_i \sum_{j \ne i} p^T_{j|i} \log(p^T_{j|i} / p^S_{j|i})` ("paper", Eqs. 4-6).
    "released", as Voice2Mesh's code: student and teacher swapped, the sample itself among its
    neighbours, and the mean over all :math:`b^2` instead of the sum.

    Parameters are those of `DistillationLoss`.

    References
    ----------
    Passalis and Tefas, "Learning deep representations with probabilistic knowledge transfer",
    ECCV 2018; Wu et al., "Voice2Mesh", Eqs. 4-6.

    Examples
    --------
    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> float(Probabilistic()(features, features.flip(1) * torch.tensor([[1.0], [2.0], [3.0]])))
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
        # Angles know no order; networks have the channels of their maps last in memory.
        rows = (features.movedim(1, -1).flatten(1) for features in (student, teacher))
        kernels = [self._kernel(features) for features in rows]
        if self.variant == "released":
            said, wanted = kernels[::-1]
        else:
            said, wanted = (others(kernel) for kernel in kernels)
        said, wanted = (kernel / kernel.sum(1, keepdim=True) for kernel in (said, wanted))
        divergence = wanted * (wanted.log() - said.log())
        return divergence.mean() if self.variant == "released" else divergence.sum()

    @staticmethod
    def _kernel(features):
        directions = unit(features)
        # Of opposite vectors the kernel is zero, and its logarithm must not be infinite.
        smallest = torch.finfo(features.dtype).eps
        return ((directions @ directions.T + 1) / 2).clamp_min(smallest)
