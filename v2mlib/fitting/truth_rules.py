"""Rules by which photographs are rejected, and the reasons given; each writes into one table.

The table has a row per photograph with the columns that `v2mlib.fitting.ReferenceFaces.photos`
describes. The first rule that a photograph breaks names it.
"""

import dataclasses

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.model import MISSING_LANDMARK

#: Residuals are never held to differ less between photographs than this (natural logarithm).
_LEAST_SPREAD = 0.1


@dataclasses.dataclass(frozen=True)
class TruthConfig:
    """When a photograph counts.

    Attributes
    ----------
    max_yaw_deg : float, degrees
        Faces turned further to the side are rejected: half of their landmarks are guesses.
    min_landmarks : int
        Landmarks that must have been found, of 68.
    min_face_px : float, pixels
        Side of the square as large as the box around the landmarks, at least.
    min_sharpness : float
        Least value of the column `sharpness`, where the table has one; see
        `v2mlib.photos.sharpness`. Measured: 0.14 and more for photographs in focus, below 0.09
        for the same blurred by a twentieth of the face.
    residual_sds : float, standard deviations
        Residuals further above the population's are rejected; a robust z-score (median and
        median absolute deviation) of their logarithm.
    mislabelled_share : float, 0 to 1
        How many photographs are expected to show somebody else. One is rejected as another
        person when, starting from this share, that is the likelier explanation.
    calibrate_from : int
        People from whom on a detector's own offsets are estimated (see
        `v2mlib.fitting.truth_offsets`). Fewer people's mean says more of them than of the
        detector.
    """

    max_yaw_deg: float = 55.0
    min_landmarks: int = 40
    min_face_px: float = 40.0
    min_sharpness: float = 0.09
    residual_sds: float = 5.0
    mislabelled_share: float = 0.01
    calibrate_from: int = 100

    def __post_init__(self):
        """Refuse rules that no photograph, or every photograph, would pass."""
        ranges = {
            "max_yaw_deg": (0, 90),
            "min_landmarks": (10, 68),
            "min_face_px": (0, 10_000),
            "min_sharpness": (0, np.inf),
            "residual_sds": (1, np.inf),
            "mislabelled_share": (0, 0.5),
            "calibrate_from": (2, np.inf),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name}={value}", "is not possible", f"choose {low} to {high}")


def describe(photos, landmarks, model):
    """Start the table: what the landmarks show before anything is fitted.

    Parameters
    ----------
    photos : pandas.DataFrame
        One row per photograph.
    landmarks : ndarray, (photo, landmark=68, 2 or 3), pixels
        NaN where there is none.
    model : MorphableModel
        Says which landmarks are of use.

    Returns
    -------
    pandas.DataFrame
        With `face_px` and `n_landmarks`; nothing rejected yet.
    """
    lacking = model.landmarks.cpu().numpy() == MISSING_LANDMARK
    found = ~np.isnan(landmarks[..., 0]) & ~lacking
    some = np.where(found[..., None], landmarks, 0.0)[..., :2]
    low = np.where(found[..., None], some, np.inf).min(1)
    high = np.where(found[..., None], some, -np.inf).max(1)
    face_px = np.sqrt(np.clip(high - low, 0, None).prod(-1))
    table = photos.reset_index(drop=True).assign(
        used=False, reason="", rule="", residual_px=np.nan, residual_relative=np.nan,
        yaw_deg=np.nan, face_px=face_px, n_landmarks=found.sum(1), log_odds_same_person=np.nan,
    )  # fmt: skip
    return table


def reject_at_sight(table, config):
    """Reject what the landmarks alone rule out: none, too few, too small, blurred.

    Parameters
    ----------
    table : pandas.DataFrame
        From `describe`; written into.
    config : TruthConfig
        The limits.
    """
    found, least_px = table["n_landmarks"], config.min_face_px
    _reject(table, found == 0, "landmarks", lambda row: "no face was found")
    _reject(
        table, found < config.min_landmarks, "landmarks",
        lambda row: f"{row.n_landmarks} landmarks, fewer than {config.min_landmarks}",
    )  # fmt: skip
    _reject(
        table, table["face_px"] < least_px, "size",
        lambda row: f"face of {row.face_px:.0f} pixels, less than {least_px:g}",
    )  # fmt: skip
    if "sharpness" in table:
        _reject(
            table, table["sharpness"].astype(float) < config.min_sharpness, "blur",
            lambda row: f"sharpness {row.sharpness:.2g}, less than {config.min_sharpness:g}",
        )  # fmt: skip


def reject_unfit(table, problems):
    """Reject photographs that no face could be fitted to.

    Parameters
    ----------
    table : pandas.DataFrame
        Written into.
    problems : dict of int to str
        Row number to what was wrong.
    """
    _reject(
        table, table.index.isin(list(problems)), "unfit",
        lambda row: f"no face can be fitted: {problems[row.Index] or 'the fit diverged'}",
    )  # fmt: skip


def reject_poor_fits(table, config):
    """Reject profiles, and residuals far above the population's.

    Parameters
    ----------
    table : pandas.DataFrame
        With `yaw_deg` and `residual_relative`; written into.
    config : TruthConfig
        The limits.
    """
    _reject(
        table, table["yaw_deg"].abs() > config.max_yaw_deg, "yaw",
        lambda row: f"turned by {abs(row.yaw_deg):.0f} degrees, more than {config.max_yaw_deg:g}",
    )  # fmt: skip
    log = np.log(table["residual_relative"].clip(lower=1e-6))
    middle = log[table["rule"] == ""].median()
    spread = 1.4826 * (log - middle)[table["rule"] == ""].abs().median()
    _reject(
        table, log - middle > config.residual_sds * max(spread, _LEAST_SPREAD), "residual",
        lambda row: f"landmarks {row.residual_relative:.1%} of the face's size off the fit, "
        f"{row.residual_relative / np.exp(middle):.1f} times the usual",
    )  # fmt: skip


def reject_strangers(table, codes, rows):
    """Reject another person's photographs, and everything of people whose majority is gone.

    Parameters
    ----------
    table : pandas.DataFrame
        With `log_odds_same_person`; written into.
    codes : ndarray of int, (photo,)
        Whose photograph it is said to be.
    rows : ndarray of int
        Which are strangers'.
    """
    stranger = table.index.isin(rows)
    _reject(
        table, stranger, "person",
        lambda row: "probably another person: odds "
        f"{np.exp(min(-row.log_odds_same_person, 99.0)):.3g} to 1",
    )  # fmt: skip
    kept, gone = np.bincount(codes, table["rule"] == ""), np.bincount(codes, stranger)
    tie = (gone > 0) & (gone >= kept)
    _reject(
        table, tie[codes], "majority",
        lambda row: "no majority: this person's photographs show different people",
    )  # fmt: skip


def require_some(table):
    """Refuse a table all of whose photographs have been rejected.

    Parameters
    ----------
    table : pandas.DataFrame
        With the rules that were broken.

    Raises
    ------
    InputError
        If none is left, with the commonest reason.
    """
    if (table["rule"] == "").any():
        return
    counts = table["reason"].value_counts()
    remedy = f"most often: {counts.index[0]}" if len(counts) else "the table is empty"
    raise InputError("photos", "hold no usable face", remedy)


def _reject(table, which, rule, say):
    """Give photographs a reason, unless they have one already."""
    rows = table.index[(table["rule"] == "") & np.asarray(which)]
    if len(rows):
        table.loc[rows, "reason"] = [say(row) for row in table.loc[rows].itertuples()]
        table.loc[rows, "rule"] = rule
