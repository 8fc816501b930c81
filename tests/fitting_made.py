"""A world of noise, in which each voice has a tune of its own that tells the face."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from v2mlib.datasets.features import LogMelStore

N_SHAPE = 40


def made_world(n_train=24, n_validation=8, n_test=8, *, n_utterances=3, noise=0.5, seed=0):
    """People whose coefficients are a linear function of the mean level of their bands.

    Normalised log-mels have no level: here the tune is a pattern over time and bands instead,
    which repeats every 16 frames.
    """
    rng = np.random.default_rng(seed)
    splits = ["train"] * n_train + ["validation"] * n_validation + ["test"] * n_test
    n_people = len(splits)
    names = [f"id{number:05d}" for number in range(1, n_people + 1)]
    identities = pd.DataFrame(
        {"identity": names, "sex": np.where(np.arange(n_people) % 2, "m", "f"), "split": splits}
    )
    traits = rng.standard_normal((n_people, 2))
    coefficients = 0.2 * rng.standard_normal((n_people, N_SHAPE))
    coefficients[:, :8] += traits @ rng.standard_normal((2, 8))
    patterns = rng.standard_normal((2, 16, 64))
    rows, parts, start = [], [], 0
    for person in range(n_people):
        for number in range(n_utterances):
            length = int(rng.integers(90, 130))
            tune = np.einsum("t,tfm->fm", traits[person], patterns)[np.arange(length) % 16]
            part = tune + noise * rng.standard_normal((length, 64))
            rows.append((names[person], number, splits[person], start, length, ""))
            parts.append(part.astype(np.float16))
            start += length
    columns = ["identity", "utterance", "split", "start", "n_frames", "problem"]
    index = pd.DataFrame(rows, columns=columns)
    world = SimpleNamespace(
        folder="made",
        identities=identities,
        utterances=index[["identity", "utterance", "split"]],
        reference_coefficients=coefficients.astype(np.float32),
        face_model="phantom",
        config={"law": "made", "seed": seed},
    )
    return world, LogMelStore(np.concatenate(parts), index)
