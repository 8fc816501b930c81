"""Triplets: an utterance, another of the same speaker, and one of another speaker."""

from typing import NamedTuple

import numpy as np
import torch

from v2mlib.checks import InputError


class Triplets(NamedTuple):
    """Partners of some utterances, as positions among a `ResidentUtterances`.

    Attributes
    ----------
    anchor : tensor of int64, (batch,)
        The utterances themselves.
    positive : tensor of int64, (batch,)
        Another utterance of the same identity; the anchor itself where there is no other.
    negative : tensor of int64, (batch,)
        An utterance of another identity.
    has_positive : tensor of bool, (batch,)
        Whether the positive is another utterance.
    """

    anchor: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor
    has_positive: torch.Tensor


def draw_triplets(utterances, batch, *, step, seed=0):
    """Draw partners for the utterances of a batch.

    Positives are never the anchor's own utterance (if its speaker has another), negatives never
    the anchor's speaker. Every other speaker is equally likely.

    Parameters
    ----------
    utterances : ResidentUtterances
        From which the batch was drawn.
    batch : Batch
        The whole batch, or one process's share of it.
    step : int
        Number of the batch.
    seed : int
        Of the draws.

    Returns
    -------
    Triplets
        Positions, to be cut by `ResidentUtterances.crops`.

    Raises
    ------
    InputError
        If there is but one identity.
    """
    n_identities = len(utterances.identities)
    if n_identities < 2:
        raise InputError("one identity", "has nobody to differ from", "use a larger world")
    device = batch.identity.device
    place = torch.zeros(int(utterances.utterance.max()) + 1, dtype=torch.int64, device=device)
    place[utterances.utterance] = torch.arange(len(utterances), device=device)
    anchor, own = place[batch.utterance], batch.identity
    count = torch.bincount(utterances.identity, minlength=n_identities)
    first = count.cumsum(0) - count

    # By utterance, so that the draws are the same however a batch is shared.
    state = np.random.SeedSequence((seed, 3, step)).generate_state(1, np.uint64)[0]
    shares = torch.rand(3, len(utterances), generator=torch.Generator().manual_seed(int(state)))
    further, whom, which = shares.to(device)[:, anchor]

    others = count[own] - 1
    ahead = 1 + (further * others).long().clamp_max((others - 1).clamp_min(0))
    positive = first[own] + (anchor - first[own] + ahead) % count[own]
    skip = 1 + (whom * (n_identities - 1)).long().clamp_max(n_identities - 2)
    other = (own + skip) % n_identities
    negative = first[other] + (which * count[other]).long().clamp_max(count[other] - 1)
    return Triplets(anchor, positive, negative, others > 0)
