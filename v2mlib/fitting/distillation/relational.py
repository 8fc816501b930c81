"""Relational distillation: distances and angles between samples."""

import torch

from v2mlib.fitting.distillation.base import DistillationLoss, huber, others, safe


class Relational(DistillationLoss):
    r"""Huber's loss on the distances of pairs and on the angles of triplets.

    Distances are divided by their mean over the pairs :math:`i \ne j`, so that neither scale
    nor rotation counts; the angle at j of the triplet (i, j, k) enters by its cosine. Each part
    is averaged over the tuples of distinct samples ("paper"), or over all, also those that
    repeat a sample and hold nothing but zeros ("released": the denominators are b^2 and b^3).

    Both parts follow from the inner products of the samples, in double precision: the vectors
    between all pairs, a batch times larger than the features, are never formed.

    Parameters
    ----------
    student_size, teacher_size : int, optional
        Not needed.
    variant : {"paper", "released"}
        Which of the two.
    distance_weight, angle_weight : float
        Of the two parts.

    References
    ----------
    Park et al., "Relational knowledge distillation", CVPR 2019, Eqs. 5-10.

    Examples
    --------
    >>> corner = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    >>> straight = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    >>> bool(Relational()(corner, 3 * corner + 1) < 1e-12), bool(Relational()(corner, straight) > 1)
    (True, True)
    """

    smallest_batch = 2

    def __init__(
        self,
        student_size=None,
        teacher_size=None,
        *,
        variant="paper",
        distance_weight=25.0,
        angle_weight=50.0,
    ):
        super().__init__(student_size, teacher_size, variant=variant)
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

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
        b, kind = len(student), student.dtype
        products, distances = zip(
            *(_geometry(features.flatten(1).double()) for features in (student, teacher)),
            strict=True,
        )
        scaled = [d / safe(others(d).mean()) for d in distances]
        distance = huber(scaled[0] - scaled[1]).sum()
        cosines = [p / safe(d)[:, :, None] / safe(d)[:, None, :]
                   for p, d in zip(products, distances, strict=True)]  # fmt: skip
        angle = huber(self._between_others(cosines[0] - cosines[1])).sum()
        if self.variant == "released":
            n_pairs, n_triplets = b**2, b**3
        else:
            n_pairs, n_triplets = b * (b - 1), max(b * (b - 1) * (b - 2), 1)
        loss = self.distance_weight * distance / n_pairs + self.angle_weight * angle / n_triplets
        return loss.to(kind)

    @staticmethod
    def _between_others(values):
        """Leave out the angles between a vector and itself, whose cosine is 1 or nothing."""
        same = torch.eye(len(values), dtype=torch.bool, device=values.device)
        return values.masked_fill(same[None], 0.0)


def _geometry(features):
    """Inner products of the vectors from each sample to all pairs of others, and distances.

    Returns
    -------
    products : tensor, (corner, sample, sample)
        ``(x_i - x_j) . (x_k - x_j)`` at ``[j, i, k]``.
    distances : tensor, (sample, sample)
        Zero, without a gradient, where two samples are the same.
    """
    features = features - features.mean(0).detach()  # no difference changes, rounding does
    gram = features @ features.T
    size = gram.diagonal()
    squared = size[:, None] + size[None] - 2 * gram
    apart = squared > 1e-13 * (size[:, None] + size[None])  # below it is rounding
    distances = torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)
    products = gram[None] - gram[:, :, None] - gram[:, None, :] + size[:, None, None]
    return products, distances
