"""What the best possible predictor reaches: the ceiling, beside the baselines.

The best predictor of a face from a voice is E[coefficients | vocal anatomy, sex], which the law
gives exactly. Its errors are measured on simulated people (with their Monte Carlo error) or on
the very identities a model is scored on; for the ratios they also follow in closed form, with
lines linearised at the mean face.
"""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from v2mlib.checks import InputError
from v2mlib.faces.lines import RATIO_LINES
from v2mlib.faces.model import MISSING_LANDMARK
from v2mlib.phantom.attributes import session_noise_ratio
from v2mlib.phantom.law_table import realised_link
from v2mlib.phantom.lines import line_frame

#: In the order of knowledge: nothing, the sex, the voice in noisy sessions, the voice's anatomy.
METHODS = ("mean_face", "sex_mean_face", "listener", "ceiling")
_BLOCK = 2_000


class Ceiling(NamedTuple):
    """Errors of the best predictor and of the baselines.

    Attributes
    ----------
    errors : pandas.DataFrame
        One row per method and measure: `method` ("mean_face", "sex_mean_face", "ceiling", and
        "listener" where utterances were asked for),
        `measure` ("ear", "forehead", "midline", "cheek" and "mean": absolute ratio errors by the
        corrected lines; the same after "published_"; "landmark_mm": mean distance over the
        landmarks; "vertex_rmse_mm"; "linked_squared_error": squared coefficients along the
        ratios' directions), `error` (mean over people), `se` (its standard error), `closed_form`
        (expected value with lines linearised; NaN where there is none).
    r_squared : pandas.DataFrame
        One row per corrected line and quantity: `line`, `quantity` ("ratio" or "length"),
        `r_squared` (share of the variance within a sex explained by the ceiling's prediction),
        `r_squared_total` (sex included).
    n_people : int
        Over how many people.
    """

    errors: pd.DataFrame
    r_squared: pd.DataFrame
    n_people: int


def ceiling(population, *, identities=None, n_utterances=None, n_people=20_000, seed=0):
    """Measure what can be reached.

    Parameters
    ----------
    population : Population
        Its law and face model are used.
    identities : array_like of str, or str, optional
        Score on these identities of the population ("test" or another split's name takes all of
        that split), as a model is; by default on simulated people of the same law.
    n_utterances : int, optional
        Add the "listener", who hears the attributes exactly as they are in this many sessions:
        session noise keeps any model on sound below the ceiling.
    n_people : int
        Simulated people, half of them men.
    seed : int
        Of the simulation; other people than the population's.

    Returns
    -------
    Ceiling
        Errors with standard errors, and explained shares.

    Raises
    ------
    InputError
        If an identity is not in the population, or there are fewer than two people.
    """
    law, model = population.law, population.face_model
    if identities is None:
        if n_people < 2:
            raise InputError(f"n_people={n_people}", "is too few", "choose 2 or more")
        key = np.random.SeedSequence(seed, spawn_key=(0xCE11,))
        sex, voice, reference = law.draw(n_people, key)
        voice_sex = sex if law.world != "null" else np.random.default_rng(key).permutation(sex)
        noise = np.random.default_rng(key.spawn(1)[0]).standard_normal(voice.shape)
    else:
        rows = _rows(population, identities)
        sex = np.where(population.identities["sex"].iloc[rows] == "m", 1.0, -1.0)
        reference = population.shape_coefficients[rows].astype(float)
        voice, voice_sex = np.split(population.latents_as_features(0)[rows, 0], [4], axis=1)
        voice_sex = voice_sex[:, 0]
        noise = np.random.default_rng([seed, 0xCE11]).standard_normal(voice.shape)
    best = law.conditional_mean(voice_sex, voice)
    predictions = {
        "mean_face": np.zeros_like(reference),
        "sex_mean_face": np.outer(sex, law.half_difference),
        "ceiling": best,
    }
    if n_utterances:
        heard = voice + noise * session_noise_ratio() / np.sqrt(n_utterances)
        predictions["listener"] = law.conditional_mean(
            voice_sex, heard * _reliability(n_utterances)
        )
    measures = _measures(model)
    rows = []
    for method in [method for method in METHODS if method in predictions]:
        known = closed_form_errors(law, method, n_utterances=n_utterances)
        for measure, values in measures(predictions[method], reference).items():
            se = float(np.std(values, ddof=1) / np.sqrt(len(values)))
            error, expected = float(np.mean(values)), known.get(measure, np.nan)
            rows.append((method, measure, error, se, expected))
    columns = ["method", "measure", "error", "se", "closed_form"]
    return Ceiling(
        pd.DataFrame(rows, columns=columns), _shares(law, sex, best, reference), len(reference)
    )


def closed_form_errors(law, method, *, n_utterances=None):
    """Expected errors with the lines linearised at the mean face.

    Parameters
    ----------
    law : Law
        Of the population.
    method : {"mean_face", "sex_mean_face", "listener", "ceiling"}
        What predicts.
    n_utterances : int, optional
        Sessions that the listener hears.

    Returns
    -------
    dict of str to float
        Absolute ratio errors by line and "mean", and "linked_squared_error".

    Examples
    --------
    The mean of `|x|` over a standard normal variable is sqrt(2 / pi):

    >>> round(float(_folded_mean(0.0, 1.0)), 4)
    0.7979
    """
    jacobian = law.frame.ratio_jacobian()
    axes = np.linalg.svd(jacobian, full_matrices=False)[2]  # (4, shape)

    def moments(directions):
        # Mean difference (of either sign) and variance of the error along directions.
        whitened = directions @ law.within_root
        variance = (whitened**2).sum(1)
        shift = np.zeros(len(directions))
        if method == "mean_face" or (law.world == "null" and method != "sex_mean_face"):
            shift = directions @ law.half_difference
        elif method != "sex_mean_face":
            known = 1.0 if method == "ceiling" else _reliability(n_utterances)
            variance = variance - ((whitened @ law.voice_link) ** 2 * known).sum(1)
        return shift, variance

    shift, variance = moments(jacobian)
    by_line = dict(zip(RATIO_LINES, _folded_mean(shift, np.sqrt(variance)).tolist(), strict=True))
    shift, variance = moments(axes)
    return by_line | {
        "mean": float(np.mean(list(by_line.values()))),
        "linked_squared_error": float((shift**2 + variance).sum()),
    }


def _reliability(n_utterances):
    """Share of the variance of heard attributes that is the person's."""
    return 1 / (1 + session_noise_ratio() ** 2 / n_utterances)


def _folded_mean(mean, sd):
    """E|x| of a normal variable; the same for a mixture of means +mean and -mean."""
    ratio = mean / sd
    return 2 * sd * norm.pdf(ratio) + mean * (1 - 2 * norm.cdf(-ratio))


def _rows(population, identities):
    if isinstance(identities, str) and identities in set(population.identities["split"]):
        rows = np.flatnonzero(population.identities["split"] == identities)
    else:
        wanted = [identities] if isinstance(identities, str) else identities
        rows = np.array([population.row(identity) for identity in wanted], dtype=int)
    if len(rows) < 2:
        raise InputError(f"{len(rows)} identities", "are too few", "choose 2 or more")
    return rows


def _measures(model):
    """Build the function that compares predicted with reference coefficients."""
    frames = {"": line_frame(model)}
    if all(name in model.published_lines for name in (*RATIO_LINES, "outer_interocular")):
        frames["published_"] = line_frame(model, "published")
    axes = np.linalg.svd(frames[""].ratio_jacobian(), full_matrices=False)[2]
    basis = (model.shape_basis * model.shape_std).double().numpy()  # (vertex, xyz, shape)
    flat = basis.reshape(-1, basis.shape[-1])
    gram = flat.T @ flat / len(basis)  # mean squared vertex distance is a quadratic form
    landmarks = basis[model.landmarks[model.landmarks != MISSING_LANDMARK].numpy()]

    def measure(predicted, reference):
        errors = {}
        for prefix, frame in frames.items():
            gap = np.abs(frame.ratios(predicted) - frame.ratios(reference))
            errors |= {prefix + line: gap[:, k] for k, line in enumerate(RATIO_LINES)}
            errors[prefix + "mean"] = gap.mean(1)
        difference = predicted - reference
        errors["landmark_mm"] = _by_block(functools.partial(_mean_distance, landmarks), difference)
        errors["vertex_rmse_mm"] = np.sqrt(((difference @ gram) * difference).sum(1))
        errors["linked_squared_error"] = ((difference @ axes.T) ** 2).sum(1)
        return errors

    return measure


def _mean_distance(landmarks, difference):
    moved = difference @ landmarks.reshape(-1, landmarks.shape[-1]).T
    return np.linalg.norm(moved.reshape(len(difference), -1, 3), axis=2).mean(1)


def _by_block(function, rows):
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    return np.concatenate([function(block) for block in blocks])


def _shares(law, sex, best, reference):
    """Shares of the lines' variance explained by the best prediction."""
    tables = []
    for quantity, names, values in (
        ("ratio", RATIO_LINES, law.frame.ratios),
        ("length", law.frame.names, law.frame.lengths),
    ):
        true, guess = values(reference), values(best)
        within = [
            realised_link(sex, guess[:, [k]], true[:, [k]])[0][0] if np.ptp(guess[:, k]) else 0.0
            for k in range(len(names))
        ]
        total = 1 - ((true - guess) ** 2).mean(0) / true.var(0)
        tables.append(
            pd.DataFrame(
                {
                    "line": names,
                    "quantity": quantity,
                    "r_squared": within,
                    "r_squared_total": total,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
