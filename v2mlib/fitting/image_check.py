"""The paper's check of generated images: an independent classifier looks for the voice's sex.

Everything that the generator could please is left out of it: the classifier is another network
than critic and student, and learns from photographs of other people
(`v2mlib.fitting.image_check_training`).
"""

import numpy as np
import pandas as pd
import torch
from scipy.stats import beta, rankdata

from v2mlib.checks import InputError, ShapeError


def judge_photos(network, photos, *, batch_size=256):
    """Log odds of a man in each photograph.

    Parameters
    ----------
    network : ImageSexClassifier
        In eval mode.
    photos : ResidentPhotos
        Of 64 pixels, on the network's device.
    batch_size : int
        Photographs at a time.

    Returns
    -------
    tensor of float32, (photo,)
        Above 0 for a man.
    """
    numbers = torch.arange(len(photos), device=photos.pixels.device)
    return judge_images(network, (photos.images(part) for part in numbers.split(batch_size)))


def judge_images(network, parts):
    """Log odds of a man in each image.

    Parameters
    ----------
    network : ImageSexClassifier
        In eval mode.
    parts : iterable of tensor, (batch, rgb=3, row=64, column=64)
        Images in [-1, 1], some at a time.

    Returns
    -------
    tensor of float32, (image,)
        Above 0 for a man.
    """
    with torch.no_grad():
        return torch.cat([network(images).float() for images in parts])


def sex_accuracy(log_odds, sex, *, n_dealings=4000, seed=0, level=0.95):
    """How often the sex of a voice is seen in the images drawn for it.

    Parameters
    ----------
    log_odds : array_like, (identity, image)
        Above 0 where a man is seen, from `judge_images`.
    sex : sequence of str, (identity,)
        "m" or "f".
    n_dealings : int
        Random dealings of voices to identities, for the null.
    seed : int
        Of the dealings.
    level : float
        Coverage of the interval and of the null's range.

    Returns
    -------
    dict of str to float
        `accuracy`; `ci_low` and `ci_high` after Clopper and Pearson with an identity as one
        trial, which is never too narrow however alike a person's images are; `accuracy_m`,
        `accuracy_f`; `auc`, how often a man's image has the higher odds of two, which no shift
        of all odds changes; `null`, `null_low`, `null_high`: the same accuracy where each identity
        has somebody's images at random; `n_identities`, `n_images`.

    Raises
    ------
    ShapeError
        If the two disagree on the number of identities.
    InputError
        If a sex is not "m" or "f", or one of them is missing.

    References
    ----------
    Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26, 1934.

    Examples
    --------
    >>> found = sex_accuracy([[1, 2], [3, -1], [-1, -1], [-2, -3]], ["m", "m", "f", "f"])
    >>> found["accuracy"], found["accuracy_m"], round(found["ci_low"], 2)
    (0.875, 0.75, 0.28)
    """
    odds = np.asarray(log_odds, dtype=float)
    seen = odds > 0
    male = np.asarray(sex) == "m"
    if seen.ndim != 2 or len(seen) != len(male):
        raise ShapeError(f"log_odds has shape {seen.shape}, expected (identity={len(male)}, image)")
    if set(np.asarray(sex).tolist()) != {"m", "f"}:
        raise InputError("sex", "does not hold m and f, and nothing else", "give both sexes")
    as_male = seen.mean(1)  # share of an identity's images that show a man
    hits = np.where(male, as_male, 1 - as_male)
    n, rate, tail = len(hits), float(hits.mean()), (1 - level) / 2
    rng = np.random.default_rng(seed)
    dealt = rng.permuted(np.tile(as_male, (n_dealings, 1)), axis=1)  # (dealing, identity)
    null = np.where(male, dealt, 1 - dealt).mean(1)
    return {
        "accuracy": rate,
        "ci_low": float(beta.ppf(tail, n * rate, n * (1 - rate) + 1)) if rate else 0.0,
        "ci_high": float(beta.ppf(1 - tail, n * rate + 1, n * (1 - rate))) if rate < 1 else 1.0,
        "accuracy_m": float(hits[male].mean()),
        "accuracy_f": float(hits[~male].mean()),
        "auc": _area(odds, np.repeat(male, odds.shape[1])),
        "null": float(null.mean()),
        "null_low": float(np.quantile(null, tail)),
        "null_high": float(np.quantile(null, 1 - tail)),
        "n_identities": n,
        "n_images": int(seen.size),
    }


def image_check(network, images, sex, *, batch_size=256):
    """Check generated images of several methods.

    Parameters
    ----------
    network : ImageSexClassifier
        Trained on photographs of other people, in eval mode.
    images : dict of str to tensor, (identity, image, rgb=3, row=64, column=64)
        By method; in [-1, 1].
    sex : sequence of str, (identity,)
        Of the voices.
    batch_size : int
        Images at a time.

    Returns
    -------
    DataFrame
        A row per method: `method` and what `sex_accuracy` gives.

    Raises
    ------
    ShapeError
        If identities are missing.

    References
    ----------
    Wu et al., "Voice2Mesh", section 4: 94.86 % on the baseline's images, 95.32 % on the
    unsupervised model's.
    """
    rows = []
    for method, drawn in images.items():
        odds = judge_images(network, drawn.flatten(0, 1).split(batch_size))
        found = sex_accuracy(odds.reshape(drawn.shape[:2]).cpu().numpy(), sex)
        rows.append({"method": method} | found)
    return pd.DataFrame(rows)


def _area(odds, male):
    """Area under the receiver operating characteristic."""
    ranks, n = rankdata(odds)[male], int(male.sum())
    return float((ranks.sum() - n * (n + 1) / 2) / (n * (len(male) - n)))
