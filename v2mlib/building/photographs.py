"""Photographs of a chunk: landmarks of the face, and how good the picture is."""

import functools
import time

import numpy as np

from v2mlib.building.chunks import examine, write_chunk
from v2mlib.building.config import FITTED
from v2mlib.building.threads import one_thread
from v2mlib.checks import InputError

RECIPE = 1
"""Raised whenever what is measured changes; chunks of another recipe are not taken."""

N_LANDMARKS = 68
N_COEFFICIENTS = 199


@one_thread()
def measure_photos(job):
    """Work on a chunk of photographs, or of faces that come fitted; runs on a worker.

    Parameters
    ----------
    job : dict
        `file` for the results, `paths` of the photographs, `engine` (see `engine_of`).

    Returns
    -------
    dict
        `files`, `seconds` (processor time) and `amount` (photographs).
    """
    if job["engine"]["name"] == FITTED:
        return _measure_fitted(job)
    engine = engine_of(job["engine"])
    began = time.process_time()
    rows = []
    landmarks = np.full((len(job["paths"]), N_LANDMARKS, 2), np.nan, np.float32)
    for number, path in enumerate(job["paths"]):
        row, found = examine(path, functools.partial(measure_photo, engine=engine))
        rows.append(row)
        if found is not None:
            landmarks[number] = found
    write_chunk(job["file"], rows, landmarks=landmarks)
    spent = time.process_time() - began
    return {"files": len(rows), "seconds": spent, "amount": len(rows)}


def _measure_fitted(job):
    import v2mlib.faces.readers  # noqa: F401  before the clock starts

    began = time.process_time()
    rows = []
    coefficients = np.full((len(job["paths"]), N_COEFFICIENTS), np.nan, np.float32)
    for number, path in enumerate(job["paths"]):
        row, found = examine(path, measure_fitted_face)
        rows.append(row)
        if found is not None:
            coefficients[number] = found
    write_chunk(job["file"], rows, coefficients=coefficients)
    return {"files": len(rows), "seconds": time.process_time() - began, "amount": len(rows)}


def measure_fitted_face(path):
    """Read the shape of a face that comes fitted.

    Parameters
    ----------
    path : path
        Its coefficients; see `v2mlib.faces.readers.read_parameters`.

    Returns
    -------
    measurements : dict
        Empty: nothing is known of the photograph.
    coefficients : ndarray of float32, (shape=199), raw units
        On the modes of BFM 2009.

    Raises
    ------
    InputError
        If the file cannot be used.
    """
    from v2mlib.faces.readers import read_parameters

    return {}, read_parameters(path).shape.astype(np.float32)


def engine_of(options):
    """Load a landmark engine, once per process.

    Parameters
    ----------
    options : dict
        `name`, and what else `v2mlib.photos.load_engine` takes.

    Returns
    -------
    engine
        See `v2mlib.photos.load_engine`.

    Raises
    ------
    InputError
        If it is not installed or lacks its files.
    """
    return _engine(tuple(sorted(options.items())))


@functools.lru_cache(maxsize=2)
def _engine(options):
    from v2mlib.photos import load_engine

    options = dict(options)
    return load_engine(options.pop("name"), **options)


def measure_photo(path, engine):
    """Describe one photograph.

    Parameters
    ----------
    path : path
        The photograph.
    engine : engine
        What finds landmarks.

    Returns
    -------
    measurements : dict
        `width_px`, `height_px`, `score` (the engine's confidence, None where it has none),
        `sharpness` (see `v2mlib.photos.sharpness`).
    landmarks : ndarray of float32, (landmark=68, xy), pixels
        Of the largest face.

    Raises
    ------
    InputError
        If the photograph cannot be used, or no face is found.
    """
    from v2mlib.photos import read_photo, sharpness

    image = read_photo(path)
    # Precomputed landmarks are found by the photograph's name.
    (found,) = engine.detect([path if engine.name == "files" else image])
    if found is None:
        raise InputError(path, f"shows no face that {engine.name} finds", "leave it out")
    measured = {
        "height_px": image.shape[0],
        "width_px": image.shape[1],
        "score": round(float(found.score), 4) if np.isfinite(found.score) else None,
        "sharpness": round(float(sharpness(image, found.points)), 4),
    }
    return measured, np.asarray(found.points, np.float32)[:, :2]
