"""Contrastive distillation: the same sample recognised among others, across the networks."""

import math

import torch
from torch import nn

from v2mlib.checks import InputError, ShapeError
from v2mlib.fitting.distillation.base import DistillationLoss, unit

_MEMORIES = ("student_memory", "teacher_memory")
_UNKNOWN = torch.finfo(torch.float32).min  # finite, as all weights of a sound training are


class Contrastive(DistillationLoss):
    r"""Noise-contrastive loss between both networks' projected features, with a memory.

    Features are projected linearly and scaled to length 1. With a student's sample as anchor,
    :math:`h(T, S) = e^{g_T \cdot g_S / \tau} / (e^{g_T \cdot g_S / \tau} + N / M)` should be 1
    for the teacher's feature of the same sample and 0 for N features of other samples from the
    memory of M: :math:`-\log h - \sum \log(1 - h)`, averaged over the batch; the same with the
    teacher's sample as anchor is added. Where the memory holds no more than `n_negatives`
    others, all of them are used. Afterwards, while training, the memory moves to what was seen.

    "released", as the authors' code: the positive, too, is taken from the memory, and
    exponentials are divided by M times their mean over the first batch.

    The projections are to be trained with the student; the memory is part of the state dict.
    With several processes, gather features and index before the call.

    Parameters
    ----------
    student_size, teacher_size : int
        Values per sample; of maps either all of them, or the channels, which are then averaged
        over the positions.
    variant : {"paper", "released"}
        Which of the two.
    n_samples : int, optional
        M: samples in the training set. By default the memory grows with the largest index seen.
    n_negatives : int
        N, at most.
    temperature : float
        :math:`\tau`.
    feature_size : int
        Of the projections.
    momentum : float
        Share of a remembered feature that stays when its sample is seen again.

    Attributes
    ----------
    student_memory, teacher_memory : tensor, (sample, feature)
        Of length 1; random until a sample is seen.

    Raises
    ------
    InputError
        If a size is missing or a setting cannot be.

    References
    ----------
    Tian, Krishnan and Isola, "Contrastive representation distillation", ICLR 2020, Eqs. 10-19.

    Examples
    --------
    >>> loss = Contrastive(6, 4, n_samples=10)
    >>> loss(torch.zeros(2, 6), torch.zeros(2, 4), index=torch.tensor([3, 8])).shape
    torch.Size([])
    """

    def __init__(
        self,
        student_size=None,
        teacher_size=None,
        *,
        variant="paper",
        n_samples=None,
        n_negatives=16_384,
        temperature=0.07,
        feature_size=128,
        momentum=0.5,
    ):
        super().__init__(student_size, teacher_size, variant=variant)
        if student_size is None or teacher_size is None:
            raise InputError(
                "Contrastive",
                "has projections, which need the sizes of both features",
                "give student_size and teacher_size",
            )
        if n_samples is not None and n_samples < 2:
            raise InputError(f"n_samples={n_samples}", "leaves no other samples", "use 2 or more")
        if not (n_negatives >= 1 and temperature > 0 and feature_size >= 1):
            raise InputError(
                f"n_negatives={n_negatives}, temperature={temperature}, "
                f"feature_size={feature_size}",
                "cannot be",
                "choose positive ones",
            )
        if not 0 <= momentum < 1:
            raise InputError(f"momentum={momentum}", "is not in [0, 1)", "choose 0.5")
        self.n_samples, self.n_negatives = n_samples, n_negatives
        self.temperature, self.momentum = temperature, momentum
        self.student_projection = nn.Linear(student_size, feature_size)
        self.teacher_projection = nn.Linear(teacher_size, feature_size)
        for name in _MEMORIES:
            self.register_buffer(name, torch.zeros(0, feature_size))
        self.register_buffer("log_partition", torch.full((2,), _UNKNOWN))
        self._grow(n_samples or 0)

    def compare(self, student, teacher, index):
        """See `DistillationLoss.compare`.

        Parameters
        ----------
        student, teacher : tensor, (batch, ...)
            Features of the announced sizes.
        index : tensor of int, (batch,)
            Numbers of the samples, from 0.

        Returns
        -------
        tensor, ()
            The loss.

        Raises
        ------
        ShapeError
            If features have other sizes, or the index is not one number per sample.
        InputError
            If the index is missing or beyond the memory, or there are no others in the memory.
        """
        index = self._checked(index, student)
        student = unit(self.student_projection(_flat(student, self.student_size, "student")))
        teacher = unit(self.teacher_projection(_flat(teacher, self.teacher_size, "teacher")))
        drawn = self._negatives(index)
        loss = self._contrast(0, student, teacher, self.teacher_memory, index, drawn)
        loss = loss + self._contrast(1, teacher, student, self.student_memory, index, drawn)
        if self.training:
            self._remember(index, student.detach(), teacher.detach())
        return loss

    def _contrast(self, direction, anchor, positive, memory, index, drawn):
        alike = anchor @ memory.T / self.temperature
        if self.variant == "released":
            positive = alike.gather(1, index[:, None])[:, 0]
        else:
            positive = (anchor * positive).sum(1) / self.temperature
        if drawn is None:
            own = torch.zeros_like(alike, dtype=torch.bool).scatter_(1, index[:, None], True)
            n_negatives = len(memory) - 1
            negative = alike.masked_fill(own, -torch.inf)
        else:
            n_negatives = self.n_negatives
            negative = alike.gather(1, drawn)
        threshold = math.log(n_negatives / len(memory))
        if self.variant == "released":
            threshold = threshold + self._partition(direction, positive, negative, n_negatives)
        softplus = nn.functional.softplus  # -log h and -log(1 - h), without their exponentials
        return (softplus(threshold - positive) + softplus(negative - threshold).sum(1)).mean()

    def _negatives(self, index):
        """Draw other samples from the memory, or None where all of them are used."""
        n_others = len(self.student_memory) - 1
        if n_others <= self.n_negatives:
            return None
        drawn = torch.randint(n_others, (len(index), self.n_negatives), device=index.device)
        return drawn + (drawn >= index[:, None])

    def _partition(self, direction, positive, negative, n_negatives):
        """Logarithm of M times the mean exponential, as of the first batch."""
        with torch.no_grad():
            both = torch.cat([positive[:, None], negative], 1)
            mean = both.logsumexp((0, 1)) - math.log(len(both) * (n_negatives + 1))
            known = self.log_partition[direction]
            now = torch.where(known == _UNKNOWN, mean + math.log(len(self.student_memory)), known)
            if self.training:
                self.log_partition[direction] = now
        return now

    @torch.no_grad()
    def _remember(self, index, *seen):
        seen_indices, place = index.unique(return_inverse=True)
        for name, features in zip(_MEMORIES, seen, strict=True):
            memory = getattr(self, name)
            # A sample that is twice in the batch counts with its mean.
            sums = torch.zeros_like(features[: len(seen_indices)]).index_add_(0, place, features)
            mean = sums / place.bincount(minlength=len(seen_indices))[:, None]
            kept = self.momentum * memory[seen_indices] + (1 - self.momentum) * mean
            # Not in place: the gradient of this step's loss still needs the memory as it was.
            setattr(self, name, memory.index_copy(0, seen_indices, unit(kept)))

    def _checked(self, index, features):
        if index is None:
            raise InputError(
                "Contrastive", "needs index, the numbers of the samples in the batch", "give it"
            )
        index = torch.as_tensor(index, device=features.device)
        if index.shape != (len(features),) or index.is_floating_point() or index.is_complex():
            raise ShapeError(
                f"index has shape {tuple(index.shape)} and type {index.dtype}, expected "
                f"(batch={len(features)},) whole numbers"
            )
        low, high = int(index.min()), int(index.max())
        if low < 0 or (self.n_samples is not None and high >= self.n_samples):
            raise InputError(
                f"index from {low} to {high}",
                f"is not within the memory of {self.n_samples or 'any number of'} samples",
                "number the samples from 0",
            )
        self._grow(high + 1)
        if len(self.student_memory) < 2:
            raise InputError("Contrastive", "knows no other sample yet", "use larger batches")
        return index.long()

    def _grow(self, n_samples):
        missing = n_samples - len(self.student_memory)
        if missing <= 0:
            return
        # From a source of its own: the same rows whatever else has been drawn.
        source = torch.Generator().manual_seed(len(self.student_memory))
        for name in _MEMORIES:
            memory = getattr(self, name)
            fresh = unit(torch.randn(missing, memory.shape[1], generator=source))
            setattr(self, name, torch.cat([memory, fresh.to(memory)]))

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        for name in _MEMORIES:
            stored = state_dict.get(prefix + name)
            if stored is not None and self.n_samples is None:  # as large as it had grown
                memory = getattr(self, name)
                setattr(self, name, memory.new_zeros(len(stored), memory.shape[1]))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _flat(features, size, whose):
    flat = features.flatten(1)
    if flat.shape[1] != size and features.ndim > 2:
        flat = features.flatten(2).mean(2)
    if flat.shape[1] != size:
        raise ShapeError(
            f"Contrastive: {whose}_features {tuple(features.shape)}, expected {size} values or "
            "channels per sample"
        )
    return flat
