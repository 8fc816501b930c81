"""Positives are other utterances of the same speaker, negatives are other speakers'."""

import dataclasses

import fitting_made
import pytest
import torch

from v2mlib.checks import InputError
from v2mlib.datasets.torch_datasets import CropConfig, ResidentUtterances
from v2mlib.datasets.triplets import draw_triplets

CROP = CropConfig(0.3, 0.4)


@pytest.fixture(scope="module")
def utterances():
    world, store = fitting_made.made_world(n_train=6, n_validation=1, n_test=1)
    index = store.index.copy()
    lost = (index["identity"] == "id00002") & (index["utterance"] > 0)
    index.loc[lost, "n_frames"] = 0  # somebody with a single utterance
    store = dataclasses.replace(store, index=index)
    return ResidentUtterances(store, world.identities["identity"].tolist()[:6][::-1])


def test_partners_are_who_they_should_be(utterances):
    positives, negatives = set(), set()
    for step in range(60):
        batch = utterances.sample(step, 6, crop=CROP)
        found = draw_triplets(utterances, batch, step=step)
        assert torch.equal(utterances.utterance[found.anchor], batch.utterance)
        assert torch.equal(utterances.identity[found.positive], batch.identity)
        assert torch.equal(found.positive != found.anchor, found.has_positive)
        single = torch.tensor([utterances.identities[i] == "id00002" for i in batch.identity])
        assert torch.equal(found.has_positive, ~single)
        assert (utterances.identity[found.negative] != batch.identity).all()
        other = utterances.identity[found.negative].tolist()
        positives |= set(zip(found.anchor.tolist(), found.positive.tolist(), strict=True))
        negatives |= set(zip(batch.identity.tolist(), other, strict=True))
    assert len(positives) == 5 * 3 * 2 + 1  # all ordered pairs, and the single one with itself
    assert len(negatives) == 6 * 5


def test_draws_are_repeatable_and_shared(utterances):
    whole = draw_triplets(utterances, utterances.sample(4, 6, crop=CROP), step=4)
    again = draw_triplets(utterances, utterances.sample(4, 6, crop=CROP), step=4)
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
    share = utterances.sample(4, 6, crop=CROP, rank=1, n_ranks=2)
    part = draw_triplets(utterances, share, step=4)
    assert all(torch.equal(a[1::2], b) for a, b in zip(whole, part, strict=True))


def test_one_speaker_alone_is_refused(utterances):
    world, store = fitting_made.made_world(n_train=2, n_validation=1, n_test=1)
    alone = ResidentUtterances(store, world.identities["identity"].tolist()[:1])
    with pytest.raises(InputError, match="one identity has nobody to differ from"):
        draw_triplets(alone, alone.sample(0, 2, crop=CROP), step=0)
