"""Load a built data set: features, reference faces and splits of real or synthetic people."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.datasets import world as worlds

MARKER = "dataset.json"
MANIFEST = "manifest.parquet"
INDEX = "features/index.parquet"
FRAMES = "features/log_mel.npy"
FEATURES = "features/features.json"
IDENTITIES = "truth/identities.parquet"
LINES = "truth/lines.parquet"
COEFFICIENTS = "truth/coefficients.npz"
LANDMARKS = "truth/landmarks.npy"
PHOTO_COEFFICIENTS = "truth/photo_coefficients.npy"
"""Raw shape coefficients of each photograph, in place of landmarks, where faces came fitted."""

SOURCES = "sources.parquet"
_AGAIN = "build it again: `v2m data voxceleb3d` goes on where it stopped"


class Dataset(NamedTuple):
    """Recordings and reference faces of the same people.

    It has the fields of a `World` that training and prediction take; what only a synthetic world
    knows (the law, the ceiling) is not there.

    Attributes
    ----------
    folder : pathlib.Path
        Where it lies. Paths in the tables are absolute.
    identities : pandas.DataFrame
        Those in the data set: `identity`, `name`, `sex`, `split` ("train", "validation",
        "test"), `n_utterances`, `n_photos`, `n_used`, `shape_sd`, `determined`.
    utterances : pandas.DataFrame
        All that have features: `identity`, `utterance` (number), `video`, `clip`, `path`,
        `split` ("none" where the person, or the video, is in no split), `duration_s`,
        `speech_s`.
    photos : pandas.DataFrame
        All photographs, used or not: rows of the manifest.
    landmarks : ndarray of float32, (photo, landmark=68, column and row)
        Pixels, aligned with `photos`; NaN where there are none, as where faces came fitted.
    reference_coefficients : ndarray of float32, (identity, shape)
        Faces fitted to photographs, aligned with `identities`; standardised.
    reference_sd : ndarray of float32, (identity, shape)
        Standard deviation of each coefficient, given the photographs.
    reference_covariance : ndarray of float32, (identity, shape, shape)
        The same with correlations.
    lines : pandas.DataFrame
        Measured lines of each identity with their standard deviations; see
        `v2mlib.fitting.truth.ReferenceFaces`.
    manifest : pandas.DataFrame
        A row per file, also of those rejected, with the reason; see
        `v2mlib.datasets.manifest`.
    face_model : str
        Name or path of the face model.
    features : str
        Digest of the features that belong to the data set.
    config : dict
        How it was built: `build` (a `BuildConfig`), `made_from` (digest of files and settings).
    """

    folder: Path
    identities: pd.DataFrame
    utterances: pd.DataFrame
    photos: pd.DataFrame
    landmarks: np.ndarray
    reference_coefficients: np.ndarray
    reference_sd: np.ndarray
    reference_covariance: np.ndarray
    lines: pd.DataFrame
    manifest: pd.DataFrame
    face_model: str
    features: str
    config: dict


def load_dataset(folder):
    """Load a built data set.

    Parameters
    ----------
    folder : path
        Written by `v2m data voxceleb3d`.

    Returns
    -------
    Dataset
        Tables and coefficients; features stay on disk, see `v2mlib.datasets.log_mel_store`.

    Raises
    ------
    InputError
        If the folder holds no data set, or one that is not finished, or damaged, or fitted
        with another version of the face model.
    """
    folder = Path(folder).expanduser()
    marker = read_dataset_marker(folder)
    if marker is None:
        raise InputError(
            folder, "holds no built data set", "build one: `v2m data voxceleb3d --out FOLDER`"
        )
    if not marker["complete"]:
        raise InputError(folder, "holds a data set that is not finished", _AGAIN)
    missing = missing_files(folder, marker)
    if missing:
        raise InputError(folder, f"is damaged: {missing[0]} is missing or cut short", _AGAIN)
    try:
        tables = {
            name: pd.read_parquet(folder / path)
            for name, path in (("manifest", MANIFEST), ("index", INDEX), ("lines", LINES),
                               ("identities", IDENTITIES))
        }  # fmt: skip
        with np.load(folder / COEFFICIENTS, allow_pickle=False) as truth:
            reference, sd, covariance = (
                truth[name] for name in ("reference", "reference_sd", "reference_covariance")
            )
        features = json.loads((folder / FEATURES).read_text("utf-8"))["digest"]
        photos = (tables["manifest"]["kind"] == "photo") & tables["manifest"]["identity"].ne("")
        if LANDMARKS in marker["files"]:
            landmarks = np.load(folder / LANDMARKS, allow_pickle=False)
        else:
            landmarks = np.full((photos.sum(), 68, 2), np.nan, np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from error
    _refuse_other_face(folder, marker)
    people, manifest = tables["identities"], tables["manifest"]
    chosen = people["accepted"].to_numpy(bool)
    return Dataset(
        folder=folder,
        identities=people[chosen].drop(columns=["accepted", "reason"]).reset_index(drop=True),
        utterances=tables["index"].drop(columns=["start", "n_frames", "problem"]),
        photos=manifest[photos].reset_index(drop=True),
        landmarks=landmarks,
        reference_coefficients=reference,
        reference_sd=sd,
        reference_covariance=covariance,
        lines=tables["lines"],
        manifest=manifest,
        face_model=marker["build"]["face_model"],
        features=features,
        config={"build": marker["build"], "made_from": marker["made_from"]},
    )


def load_data(folder):
    """Load whatever training can learn from.

    Parameters
    ----------
    folder : path
        A world (`v2m data phantom`) or a built data set (`v2m data voxceleb3d`).

    Returns
    -------
    World or Dataset
        By the marker that lies in the folder.

    Raises
    ------
    InputError
        If it is neither, or is not whole.
    """
    folder = Path(folder).expanduser()
    if (folder / MARKER).exists():
        return load_dataset(folder)
    if not (folder / worlds.MARKER).exists():
        raise InputError(
            folder,
            "holds neither a world nor a built data set",
            "make one: `v2m data phantom` or `v2m data voxceleb3d`",
        )
    return worlds.load_world(folder)


def read_dataset_marker(folder):
    """Read what a data set was built with.

    Parameters
    ----------
    folder : path
        Where one may lie.

    Returns
    -------
    dict or None
        `complete`; and if it is: `build`, `keys`, `made_from`, `face`, `features`, `files`,
        `counts`, `version`. None where there is no data set.

    Raises
    ------
    InputError
        If the marker cannot be read.
    """
    path = Path(folder) / MARKER
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
        if not marker["complete"]:
            return {"complete": False}
        names = ("complete", "build", "keys", "made_from", "face", "features", "files",
                 "counts", "version")  # fmt: skip
        return {name: marker[name] for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def missing_files(folder, marker):
    """Files of a finished data set that are gone or have another size.

    Parameters
    ----------
    folder : path
        The data set.
    marker : dict
        Its marker.

    Returns
    -------
    list of str
        Relative paths; empty if all is well.
    """
    missing = []
    for name, known in marker["files"].items():
        path = Path(folder) / name
        if not path.is_file() or path.stat().st_size != known["size_bytes"]:
            missing.append(name)
    return missing


def _refuse_other_face(folder, marker):
    from v2mlib.faces import load_face_model

    name = marker["build"]["face_model"]
    try:
        model = load_face_model(name)
    except InputError:
        return  # the recordings are of use without it; who needs the faces will be told
    if not worlds.same_fingerprint(worlds.fingerprint(model), marker["face"]):
        raise InputError(
            folder, f"was fitted with another version of the face model {name}", _AGAIN
        )


def _damaged(path, error):
    return InputError(path, f"cannot be read ({type(error).__name__})", "delete it and build again")
