"""The Basel face model of 2009 in the forms it is passed on.

======================== ======================================= ==========================
form                     files                                   topology
======================== ======================================= ==========================
3DDFA-V2                 ``bfm_noneck_v3.pkl`` (``tri.pkl``)     ``bfm-38365``
3DDFA, Voice2Mesh        ``u_shp u_exp w_shp_sim w_exp_sim       ``bfm-53215``
                         keypoints_sim .npy``, ``tri.mat``
BFM 2009                 ``01_MorphableModel.mat``               ``bfm-53490``; with
                                                                 ``model_info.mat`` beside
                                                                 it ``bfm-53215``
======================== ======================================= ==========================

Units are micrometres. Coefficients of the first two forms are raw, with a population mean that is
not 0; the statistics stand in a file of their own (``param_mean_std_62d_120x120.pkl``,
``param_whitening.pkl``), which must lie beside the model or be named.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.readers.arrays import read_mat, read_npy
from v2mlib.faces.readers.assembly import assemble, zero_based
from v2mlib.faces.readers.pickles import read_arrays
from v2mlib.faces.readers.slices import read_slice
from v2mlib.faces.readers.statistics import find_statistics

MICROMETRE = 1e-3  # mm
N_NECKLESS, N_TRIMMED, N_FULL = 38_365, 53_215, 53_490

_PICKLES = ("bfm_noneck_v3.pkl", "bfm_noneck.pkl", "bfm.pkl")
_MATLAB = "01_MorphableModel.mat"
_FAMILY = ("u_shp.npy", "u_exp.npy", "w_shp_sim.npy", "w_exp_sim.npy", "keypoints_sim.npy")
_TRIANGLES = ("tri.mat", "tri.npy", "tri.pkl")
_INFO = ("model_info.mat", "Model_Shape.mat")
_NEIGHBOURS = ("visualize", "configs", "train.configs", "")  # of a 3DDFA checkout


def read_bfm(path, *, statistics=None):
    """Read a Basel face model.

    Shape and expression modes beyond those with known statistics are left out, so that the model
    has at most 40 shape modes in the 3DDFA forms.

    Parameters
    ----------
    path : path
        A file of one of the forms, or the folder that holds it.
    statistics : path, optional
        Means and standard deviations of the parameters; by default looked for beside the model.
        Not used for ``01_MorphableModel.mat``, which holds its own.

    Returns
    -------
    MorphableModel
        Its `mean` is the population's mean face, whose expression is not quite neutral (see
        `MorphableModel.neutral_expression`). `to_raw` and `from_raw` convert to the parameters of
        3DDFA, 300W-LP and AFLW2000.

    Raises
    ------
    InputError
        If a file is absent, damaged, of another version, or a pickle that would run code.

    References
    ----------
    Paysan et al., "A 3D Face Model for Pose and Illumination Invariant Face Recognition", 2009;
    Guo et al., "Towards Fast, Accurate and Stable 3D Dense Face Alignment", ECCV 2020.
    """
    path = Path(path)
    if path.is_dir():
        path = _main_file(path)
    if path.suffix == ".npz":
        return read_slice(path, statistics=statistics)
    if path.suffix == ".mat":
        return _read_matlab(path)
    if path.suffix == ".npy":
        parts = _read_family(path.parent)
    elif path.suffix == ".pkl":
        parts = _read_pickle(path)
    else:
        raise InputError(path, "is not a form of BFM that is known", "give a .pkl, .npy or .mat")
    known = find_statistics(path, statistics)
    return _assemble(path, parts, known)


class _Parts(NamedTuple):
    """Arrays of a source as they are stored: rows of bases are x, y, z of each vertex in turn."""

    neutral: np.ndarray
    shape: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray
    keypoints: np.ndarray
    extras: dict


def _main_file(folder):
    for name in (*_PICKLES, _FAMILY[2], _MATLAB):
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join((*_PICKLES, _FAMILY[2], _MATLAB))
    raise InputError(folder, "holds no Basel face model", f"looked for {looked}")


def _assemble(path, parts, statistics):
    n_rows = parts.neutral.size
    vertex = n_rows // 3
    for name, basis in (("shape", parts.shape), ("expression", parts.expression)):
        if basis.ndim != 2 or basis.shape[0] != n_rows or n_rows % 3:
            raise InputError(
                path,
                f"has a mean of {n_rows} numbers and {name} modes of {basis.shape}",
                "expected (3 * vertex,) and (3 * vertex, mode): files of two versions?",
            )
    if vertex not in (N_NECKLESS, N_TRIMMED):
        raise InputError(
            path, f"has {vertex} vertices", f"expected {N_NECKLESS} (no neck) or {N_TRIMMED}"
        )
    # Keypoints number the rows of the mean: x, y and z of each landmark in turn.
    keypoints = np.asarray(parts.keypoints).astype(np.int64).ravel()
    if keypoints.size != 3 * 68 or (keypoints % 3 != np.tile([0, 1, 2], 68)).any():
        problem = f"has {keypoints.size} keypoints that are not x, y, z of 68 landmarks"
        raise InputError(path, problem, _AGAIN)
    n_shape = min(parts.shape.shape[1], len(statistics.shape_std))
    n_expression = min(parts.expression.shape[1], len(statistics.expression_std))
    return assemble(
        path,
        topology=f"bfm-{vertex}",
        name="Basel face model 2009 (3DDFA)",
        neutral=parts.neutral.reshape(vertex, 3),
        shape_basis=parts.shape[:, :n_shape].reshape(vertex, 3, n_shape),
        expression_basis=parts.expression[:, :n_expression].reshape(vertex, 3, n_expression),
        shape_std=statistics.shape_std[:n_shape],
        shape_raw_mean=statistics.shape_mean[:n_shape],
        expression_std=statistics.expression_std[:n_expression],
        expression_raw_mean=statistics.expression_mean[:n_expression],
        triangles=zero_based(parts.triangles, vertex),
        landmarks=keypoints[::3] // 3,
        unit_mm=MICROMETRE,
        extras=parts.extras,
    )


_AGAIN = "download the model again from its authors"


def _read_pickle(path):
    content = read_arrays(path)
    lacking = {"u", "w_shp", "w_exp", "keypoints"} - (
        content.keys() if isinstance(content, dict) else set()
    )
    if lacking:
        raise InputError(path, f"lacks {', '.join(sorted(lacking))}", "give bfm_noneck_v3.pkl")
    vertex = content["u"].size // 3
    triangles = _triangles_beside(path.parent, vertex)
    if triangles is None:
        triangles = content.get("tri")
    if triangles is None:
        raise InputError(path, "holds no triangles", "put tri.pkl of 3DDFA-V2 beside it")
    extras = {}
    indices = path.with_name("indices.npy")
    if indices.is_file():
        extras["source_vertices"] = read_npy(indices).ravel().astype(np.int64)
    return _Parts(
        content["u"].ravel(),
        content["w_shp"],
        content["w_exp"],
        triangles,
        content["keypoints"],
        extras,
    )


def _read_family(folder):
    u_shape, u_expression, shape, expression, keypoints = (
        read_npy(folder / name) for name in _FAMILY
    )
    if u_shape.size != u_expression.size:
        problem = f"has means of {u_shape.size} and {u_expression.size} numbers"
        raise InputError(folder, problem, "u_shp.npy and u_exp.npy are of two versions")
    triangles = _triangles_beside(folder, u_shape.size // 3)
    if triangles is None:
        remedy = f"put one of {', '.join(_TRIANGLES)} of 3DDFA beside the .npy files"
        raise InputError(folder, "holds no triangles", remedy)
    neutral = u_shape.ravel().astype(np.float64) + u_expression.ravel()
    return _Parts(neutral, shape, expression, triangles, keypoints, {})


def _triangles_beside(folder, vertex):
    """Triangles of a mesh of so many vertices, from the files of a checkout; None if absent."""
    for place in (folder, *(folder.parent / name for name in _NEIGHBOURS)):
        for file in (place / name for name in _TRIANGLES):
            if not file.is_file():
                continue
            if file.suffix == ".mat":
                triangles = read_mat(file, ("tri",))["tri"]
            elif file.suffix == ".npy":
                triangles = read_npy(file)
            else:
                triangles = read_arrays(file)
            if isinstance(triangles, np.ndarray) and zero_based(triangles, vertex).max() < vertex:
                return triangles
    return None


def _read_matlab(path):
    stored = read_mat(path, ("shapeMU", "shapePC", "shapeEV", "tl"))
    neutral, shape = stored["shapeMU"].ravel(), stored["shapePC"]
    vertex, triangles = neutral.size // 3, stored["tl"]
    if vertex != N_FULL or shape.shape[0] != neutral.size:
        raise InputError(
            path,
            f"has {vertex} vertices and modes of {shape.shape}",
            f"{_MATLAB} has {N_FULL} vertices",
        )
    shape = shape.reshape(vertex, 3, -1)
    neutral = neutral.reshape(vertex, 3)
    landmarks = np.full(68, -1)
    info = next((path.with_name(name) for name in _INFO if path.with_name(name).is_file()), None)
    if info is not None:
        trim = read_mat(info, ("trimIndex", "tri", "keypoints"))
        kept = trim["trimIndex"].ravel().astype(np.int64) - 1
        landmarks = trim["keypoints"].ravel().astype(np.int64) - 1
        triangles, shape, neutral = trim["tri"], shape[kept], neutral[kept]
        vertex = len(kept)
    return assemble(
        path,
        topology=f"bfm-{vertex}",
        name="Basel face model 2009",
        neutral=neutral,
        shape_basis=shape,
        shape_std=stored["shapeEV"].ravel(),
        triangles=zero_based(triangles, vertex),
        landmarks=landmarks,
        unit_mm=MICROMETRE,
    )
