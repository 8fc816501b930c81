"""Load a world: a folder laid out as the real data, with the truth beside it."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError

MARKER = "world.json"
OWN_FACE_MODEL = "truth/face_model.npz"
LANDMARKS = "truth/landmarks.npy"
_AGAIN = "make it again: `v2m data phantom` goes on where it stopped"


class World(NamedTuple):
    """Recordings, photographs and the truth about a population.

    Attributes
    ----------
    folder : pathlib.Path
        Where it lies; paths in the tables are relative to it.
    identities : pandas.DataFrame
        `identity`, `name`, `sex` ("m" or "f"), `split` ("train", "validation", "test").
    utterances : pandas.DataFrame
        `identity`, `utterance` (number), `path`, `split`, `duration_s`, and the session:
        `sentences`, `pitch_hz` ... as it was meant.
    photos : pandas.DataFrame
        `identity`, `photo` (number), `path`, `split`, and the pose; empty if there are none.
    landmarks : ndarray of float32, (photo, landmark=68, column and row)
        Pixels, aligned with `photos`.
    voices : pandas.DataFrame
        Latent attributes per identity; see `v2mlib.phantom.Population`.
    reference_coefficients : ndarray of float32, (identity, shape)
        The true faces, aligned with `identities`; standardised.
    ceiling_coefficients : ndarray of float32, (identity, shape)
        What the best predictor gives that hears the voice's attributes without noise.
    sex_mean_coefficients : ndarray of float32, (identity, shape)
        The mean face of each person's sex.
    law : pandas.DataFrame
        Which lines are linked to the voice; see `v2mlib.phantom.Law.table`.
    face_model : str
        Name or path of the face model.
    config : dict
        What the world was made with: `n_identities`, `seed`, `world`, `law`, `coupling` ...
    """

    folder: Path
    identities: pd.DataFrame
    utterances: pd.DataFrame
    photos: pd.DataFrame
    landmarks: np.ndarray
    voices: pd.DataFrame
    reference_coefficients: np.ndarray
    ceiling_coefficients: np.ndarray
    sex_mean_coefficients: np.ndarray
    law: pd.DataFrame
    face_model: str
    config: dict


def load_world(folder):
    """Load a complete world.

    Parameters
    ----------
    folder : path
        Written by `v2mlib.phantom.make_world`.

    Returns
    -------
    World
        Tables and truth; recordings and photographs stay on disk.

    Raises
    ------
    InputError
        If the folder holds no world, an incomplete or damaged one, or one of another version of
        the face model.
    """
    folder = Path(folder).expanduser()
    marker = read_marker(folder)
    if marker is None:
        raise InputError(folder, "holds no world", "make one: `v2m data phantom --out FOLDER`")
    if not marker["complete"]:
        raise InputError(folder, "holds a world that is not finished", _AGAIN)
    missing = what_is_missing(folder)
    if missing:
        raise InputError(
            folder, f"lacks {len(missing)} of its files, for instance {missing[0]}", _AGAIN
        )
    tables = {
        name: _read_table(folder, name)
        for name in ("identities", "voices", "law", "utterances", "photos")
    }
    try:
        landmarks = np.load(folder / LANDMARKS, allow_pickle=False)
        with np.load(folder / "truth/coefficients.npz", allow_pickle=False) as truth:
            coefficients = {name: truth[name] for name in ("reference", "ceiling", "sex_mean")}
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from error
    world = World(
        folder=folder,
        landmarks=landmarks,
        reference_coefficients=coefficients["reference"],
        ceiling_coefficients=coefficients["ceiling"],
        sex_mean_coefficients=coefficients["sex_mean"],
        face_model=face_model_path(folder, marker["config"]["face_model"]),
        config=marker["config"],
        **tables,
    )
    _refuse_other_face(world, marker["made_from"]["face_model"])
    return world


def read_marker(folder):
    """Read what a world was made with.

    Parameters
    ----------
    folder : path
        Where a world may lie.

    Returns
    -------
    dict or None
        `config`, `made_from`, `version`, `complete`; None where there is no world.

    Raises
    ------
    InputError
        If the marker cannot be read.
    """
    path = Path(folder) / MARKER
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
        return {key: marker[key] for key in ("config", "made_from", "version", "complete")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def what_is_missing(folder):
    """Files of a complete world that are no longer there.

    Parameters
    ----------
    folder : path
        A world whose marker says complete.

    Returns
    -------
    list of str
        Relative paths; empty if all is well.
    """
    folder = Path(folder)
    names = ("identities", "voices", "law", "utterances", "photos")
    files = [f"truth/{name}.parquet" for name in names]
    files += [LANDMARKS, "truth/coefficients.npz", "vox1_meta.csv"]
    missing = [path for path in files if not (folder / path).exists()]
    if missing:
        return missing
    for name in ("utterances", "photos"):
        paths = _read_table(folder, name)["path"]
        missing += [path for path in paths if not (folder / path).exists()]
    return missing


def fingerprint(model):
    """Numbers by which two face models can be told apart.

    Parameters
    ----------
    model : MorphableModel
        The face model.

    Returns
    -------
    list of float
        Vertices, modes, and weighted sums over three faces (mm). Coefficients mean the same
        faces only where `same_fingerprint`; a checksum would tell processors apart, too.
    """
    mode = np.arange(model.n_shape)
    faces = model.decode(np.stack([0 * mode, np.sin(mode + 1), np.cos(mode + 1)])).double().numpy()
    weights = np.cos(np.arange(1, model.n_vertices + 1))
    sums = np.einsum("fvx,v->fx", faces, weights).ravel()
    return [float(model.n_vertices), float(model.n_shape), *np.round(sums, 3).tolist()]


def same_fingerprint(one, other):
    """Compare two fingerprints.

    Parameters
    ----------
    one, other : list of float
        From `fingerprint`.

    Returns
    -------
    bool
        Whether they agree to round-off.

    Examples
    --------
    >>> same_fingerprint([2.0, 1.0, 10.001], [2.0, 1.0, 10.0])
    True
    >>> same_fingerprint([2.0, 1.0, 10.5], [2.0, 1.0, 10.0])
    False
    """
    return len(one) == len(other) and bool(np.allclose(one, other, rtol=0, atol=0.05))


def face_model_path(folder, name):
    """Name by which a world's face model can be loaded.

    Parameters
    ----------
    folder : path
        The world.
    name : str
        As its config has it.

    Returns
    -------
    str
        The name, or the path of the model that lies in the world itself.
    """
    return str(Path(folder) / name) if name == OWN_FACE_MODEL else name


def _refuse_other_face(world, wanted):
    from v2mlib.faces import load_face_model

    try:
        model = load_face_model(world.face_model)
    except InputError:
        return  # the recordings are of use without it; who needs the faces will be told
    if not same_fingerprint(fingerprint(model), wanted):
        raise InputError(
            world.folder,
            f"was made with another version of the face model {world.face_model}",
            "delete it and make it again",
        )


def _read_table(folder, name):
    path = folder / f"truth/{name}.parquet"
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path, error):
    return InputError(
        path, f"cannot be read ({type(error).__name__})", "delete the world and make it again"
    )
