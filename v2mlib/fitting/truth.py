"""Reference faces from several photographs per person: which photographs count, and how sure.

One photograph's shape is hardly better than the mean face. So all photographs of a person are
fitted with one shape; those that do not belong (a blurred face, a profile, a detector's slip,
another person) are rejected with a reason before the last fit; and each coefficient and each
measured line leaves with its standard deviation.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from v2mlib.checks import InputError, check_shape
from v2mlib.fitting.landmarks import FitConfig, fit_landmarks
from v2mlib.fitting.truth_lines import line_uncertainties, measure_lines
from v2mlib.fitting.truth_offsets import estimate_offsets
from v2mlib.fitting.truth_rules import (
    TruthConfig,
    describe,
    reject_at_sight,
    reject_poor_fits,
    reject_strangers,
    reject_unfit,
    require_some,
)
from v2mlib.fitting.truth_shapes import (
    Noise,
    blocks,
    estimate_noise,
    fit_shared,
    judge_people,
    refine_singly,
    singles_from,
)
from v2mlib.fitting.truth_views import Views

_FIRST_NOISE = Noise(0.01)  # of the residuals that photographs are judged by


class ReferenceFaces(NamedTuple):
    """Faces fitted to photographs, and how far they can be trusted.

    Attributes
    ----------
    identities : pandas.DataFrame
        One row per identity, in order of first appearance, also those without a usable
        photograph: `identity`, `n_photos`, `n_used`, `usable` (bool), `reason` (why not; empty
        otherwise), `shape_sd` (root mean square standard deviation of the coefficients; 1 would
        be a guess), `determined` (share of the population's shape variance, in mm², that the
        photographs settle: 0 is the mean face, 1 the truth).
    photos : pandas.DataFrame
        The table given, its columns first, with `used` (bool), `reason` (empty where used),
        `rule` (one word per kind of reason: "landmarks", "size", "blur", "yaw", "residual",
        "person", "majority", "unfit"; empty where used), `residual_px` and `residual_relative`
        (root mean square distance, also relative to the face's size), `yaw_deg`, `face_px`,
        `n_landmarks`, `log_odds_same_person` (natural logarithm; NaN for somebody's only one).
    lines : pandas.DataFrame
        One row per usable identity, line and measure: `identity`, `line`, `measure` ("length_mm"
        or "ratio"), `value`, `sd`, `population_sd`, `determined` (1 - sd² / population_sd²).
    shape_coefficients : ndarray, (identity, shape), standard deviations
        Posterior means, aligned with `identities`; NaN for those not usable.
    shape_covariance : ndarray of float32, (identity, shape, shape)
        Of the posterior; NaN for those not usable.
    views : Views
        Expression, rotation, scale, translation and inverse distance of the photographs used,
        in the order of `photos`; `v2mlib.fitting.truth_views.project_views` draws with them.
    noise_relative : float
        Standard deviation of a landmark's coordinate that the uncertainties assume, relative to
        the face's size; see `v2mlib.fitting.truth_shapes.estimate_noise`.
    noise_constant_share : float
        Share of its variance that all photographs of a person have in common: no number of
        photographs removes it.
    landmark_offsets : ndarray, (landmark=68, xyz=3), mm
        Where the detector sees each landmark, relative to the model's vertex; 0 where there
        were too few people to tell.
    """

    identities: pd.DataFrame
    photos: pd.DataFrame
    lines: pd.DataFrame
    shape_coefficients: np.ndarray
    shape_covariance: np.ndarray
    views: Views
    noise_relative: float
    noise_constant_share: float
    landmark_offsets: np.ndarray


def reference_faces(photos, landmarks, model, *, config=None, fit_config=None):
    """Fit one face per person to all of the person's photographs that count.

    Each photograph is fitted on its own; those that break a rule of `config` are rejected with
    a reason; the others are fitted again with one shape per person and a posterior covariance.
    The camera's distance is a nuisance of each photograph, because perspective fitted as shape
    would put the same error into all of a person's photographs.

    Parameters
    ----------
    photos : pandas.DataFrame
        One row per photograph: `identity`, and what else it has (`path`); `sharpness`, if given,
        is tested.
    landmarks : array_like, (photo, landmark=68, 2 or 3), pixels or mm
        Aligned with `photos`: column and row, y down (or three axes in the model's directions).
        NaN where a landmark was not found; a photograph without a face is all NaN.
    model : MorphableModel
        The face model.
    config : TruthConfig, optional
        When a photograph counts.
    fit_config : v2mlib.fitting.landmarks.FitConfig, optional
        How each photograph is fitted at first.

    Returns
    -------
    ReferenceFaces
        Faces, photographs with the reasons of those rejected, and uncertainties. Nobody is
        dropped: identities without a usable photograph are listed with the reason.

    Raises
    ------
    InputError
        If the table lacks `identity`, or no photograph at all is usable.
    ShapeError
        If the landmarks are not one row of 68 per photograph.

    Notes
    -----
    A detector's landmarks are not quite the model's vertices, in everybody alike. Where
    photographs differ from the population in ways that photographs of one person do not differ
    from each other, and there are `TruthConfig.calibrate_from` people or more, these offsets
    are estimated, on the assumption that the people's mean face is the model's; else they go
    into the shapes.

    The standard deviations say how well the photographs settle a line *if the face model is
    right*. Of lines that no landmark touches (the ears), they rest on what the model's
    population knows of the rest of the face.
    """
    config = config or TruthConfig()
    landmarks = _checked(photos, landmarks)
    codes, people = pd.factorize(photos["identity"])
    table = describe(photos, landmarks, model)
    reject_at_sight(table, config)
    singles, rows = _fit_singly(table, landmarks, model, fit_config)
    reject_poor_fits(table, config)
    singles, kept = _still_kept(table, singles, rows)
    singles, noise = _calibrate(singles, codes[kept], config)
    stranger, log_odds = judge_people(singles, codes[kept], noise, config.mislabelled_share)
    table.loc[kept, "log_odds_same_person"] = log_odds
    reject_strangers(table, codes, kept[stranger])
    singles, kept = _still_kept(table, singles, kept)
    faces = fit_shared(singles, codes[kept], len(people), noise)
    table["used"] = table["rule"] == ""
    table.loc[kept, "residual_px"] = faces.residual
    table.loc[kept, "residual_relative"] = faces.residual / table["face_px"].to_numpy()[kept]
    identities = _identities(table, codes, people, faces, model)
    usable = identities["usable"].to_numpy()
    lines = line_uncertainties(
        identities.loc[usable, "identity"], faces.coefficients[usable], faces.covariance[usable],
        model,
    )  # fmt: skip
    return ReferenceFaces(
        identities, table, lines, faces.coefficients, faces.covariance.astype(np.float32),
        faces.views, noise.relative, noise.constant_share, singles.offsets,
    )  # fmt: skip


def line_measures(faces, landmarks, model, *, fit_config=None):
    """Make a function that fits groups of photographs and measures their lines.

    It is what `v2mlib.stats.split_half` asks for: each half of a person's photographs is fitted
    with a shape of its own.

    Parameters
    ----------
    faces : ReferenceFaces
        Says which photographs count, and their noise.
    landmarks : array_like, (photo, landmark=68, 2 or 3), pixels or mm
        As given to `reference_faces`.
    model : MorphableModel
        The face model.
    fit_config : v2mlib.fitting.landmarks.FitConfig, optional
        As given to `reference_faces`.

    Returns
    -------
    callable
        Takes group numbers (photo used,), -1 for none, aligned with the rows of `faces.photos`
        that are `used`; returns a DataFrame with a row per group and a column per measure
        (``"ear_length_mm"``, ``"ear_ratio"`` ...).
    """
    landmarks = _checked(faces.photos, landmarks)[faces.photos["used"].to_numpy()]
    fit_config = dataclasses.replace(fit_config or FitConfig(), uncertainty=False)
    fit = fit_landmarks(landmarks, model, config=fit_config)
    singles = singles_from(landmarks, fit, model, np.arange(len(landmarks)))
    singles = singles._replace(offsets=faces.landmark_offsets)

    noise = Noise(faces.noise_relative, faces.noise_constant_share)

    def measure(groups):
        rows = np.flatnonzero(np.asarray(groups) >= 0)
        codes = np.asarray(groups)[rows]
        shapes = fit_shared(singles.take(rows), codes, codes.max() + 1, noise)
        table = measure_lines(shapes.coefficients, model)
        return table.set_axis([f"{line}_{kind}" for line, kind in table.columns], axis=1)

    return measure


def _checked(photos, landmarks):
    if "identity" not in photos:
        known = ", ".join(map(str, photos.columns))
        raise InputError("photos", "lacks identity", f"it has {known}")
    if photos["identity"].isna().any():
        row = int(np.flatnonzero(photos["identity"].isna())[0])
        raise InputError(f"photos, row {row}", "says of nobody whose it is", "leave it out")
    landmarks = np.asarray(landmarks, dtype=float)
    axes = landmarks.shape[-1] if landmarks.ndim == 3 and landmarks.shape[-1] in (2, 3) else 2
    check_shape(landmarks, {"photo": len(photos), "landmark": 68, "axis": axes}, "landmarks")
    return np.where(np.isfinite(landmarks).all(-1, keepdims=True), landmarks, np.nan)


def _fit_singly(table, landmarks, model, fit_config):
    """Fit every photograph that may count on its own; fill in its pose and residual."""
    require_some(table)
    rows = np.flatnonzero(table["rule"] == "")
    fit_config = fit_config or FitConfig()
    fit_config = dataclasses.replace(fit_config, refuse_degenerate=False, uncertainty=False)
    fit = fit_landmarks(landmarks[rows], model, config=fit_config)
    fitted = torch.isfinite(fit.shape_coefficients).all(1).cpu().numpy()
    singles = singles_from(landmarks[rows], fit, model, np.flatnonzero(fitted))
    reject_unfit(table, dict(zip(rows[~fitted], np.array(fit.problem)[~fitted], strict=True)))
    require_some(table)
    rows = rows[fitted]
    residual = np.concatenate(
        [
            refine_singly(singles.take(part), _FIRST_NOISE)[2]
            for part in blocks(np.arange(len(rows)))
        ]
    )
    forward = singles.views.rotation[:, :, 2]  # where the face looks, in the camera's axes
    table.loc[rows, "yaw_deg"] = np.degrees(np.arctan2(forward[:, 0], forward[:, 2]))
    table.loc[rows, "residual_px"] = residual
    table["residual_relative"] = table["residual_px"] / table["face_px"]
    return singles, rows


def _calibrate(singles, codes, config):
    """Learn the landmarks' noise and, where it has a constant part, the detector's offsets."""
    noise = estimate_noise(singles, codes)
    enough = len(np.unique(codes)) >= config.calibrate_from
    if enough and noise.constant_share > 0:
        singles = singles._replace(offsets=estimate_offsets(singles, codes, noise))
    return singles, noise


def _still_kept(table, singles, rows):
    """Leave out photographs that have been rejected since; `rows` are those of `singles`."""
    require_some(table)
    kept = (table["rule"] == "").to_numpy()[rows]
    return singles.take(np.flatnonzero(kept)), rows[kept]


def _identities(table, codes, people, faces, model):
    used = table["used"].to_numpy()
    n_photos, n_used = np.bincount(codes, minlength=len(people)), np.bincount(codes, used)
    rules = table[~used].groupby(codes[~used])["rule"].agg(_count_words)
    rules = rules.reindex(range(len(people)), fill_value="")
    reason = np.where(n_used > 0, "", "all photographs rejected: " + rules)
    variance = np.diagonal(faces.covariance, axis1=1, axis2=2)
    gram = _shape_gram(model)
    settled = 1 - np.einsum("ist,ts->i", faces.covariance, gram) / np.trace(gram)
    return pd.DataFrame(
        {
            "identity": people, "n_photos": n_photos, "n_used": n_used, "usable": n_used > 0,
            "reason": reason, "shape_sd": np.sqrt(variance.mean(1)), "determined": settled,
        }
    )  # fmt: skip


def _count_words(rules):
    return ", ".join(f"{count} by {rule}" for rule, count in rules.value_counts().items())


def _shape_gram(model):
    """Squared displacement of all vertices by pairs of coefficients, (shape, shape), mm²."""
    basis = (model.shape_basis * model.shape_std).reshape(-1, model.n_shape)
    return (basis.T @ basis).double().cpu().numpy()
