"""Coefficients of the Basel face model as data sets state them: 199 of shape, 29 of expression.

300W-LP, AFLW2000 and Voxceleb-3D state raw coefficients: the shape on the 199 modes of BFM 2009,
expressions on 29 modes derived from FaceWarehouse. The 40 + 10 modes of 3DDFA and 3DDFA-V2 are
the first of these.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces.model import Coefficients
from v2mlib.faces.readers.arrays import read_mat, read_npy
from v2mlib.faces.storage import read_npz

N_SHAPE, N_EXPRESSION = 199, 29
_SHAPE_NAMES = ("Shape_Para", "shape", "shp", "alpha_shp", "shape_para", "id")
_EXPRESSION_NAMES = ("Exp_Para", "expression", "exp", "alpha_exp", "exp_para")
_SMALLEST_RAW = 100.0  # the largest raw coefficient of a face is of the order 1e5


class RawParameters(NamedTuple):
    """Coefficients of one face in the raw units of BFM.

    Attributes
    ----------
    shape : ndarray of float64, (shape=199,)
        On the modes of BFM 2009.
    expression : ndarray of float64, (expression=29,), or None
        On the modes of 300W-LP; None where the file has none.
    """

    shape: np.ndarray
    expression: np.ndarray | None


def read_parameters(path, expression_path=None):
    """Read the coefficients of one face.

    Parameters
    ----------
    path : path
        A ``.npy`` of 199 numbers (the shape) or 228 (then the expression), or a ``.npz`` or
        ``.mat`` with the two by name, as ``Shape_Para`` and ``Exp_Para``.
    expression_path : path, optional
        A ``.npy`` of the 29 numbers of the expression, where they lie in a file of their own.

    Returns
    -------
    RawParameters
        In raw units.

    Raises
    ------
    InputError
        If a file is absent or damaged, holds Python objects, other counts of numbers, NaN or
        infinity, or coefficients that cannot be raw.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        shape, expression = _split(path, read_npy(path))
    elif suffix == ".npz":
        shape, expression = _by_name(path, read_npz(path))
    elif suffix == ".mat":
        names = (*_SHAPE_NAMES, *_EXPRESSION_NAMES)
        shape, expression = _by_name(path, read_mat(path, (), optional=names))
    else:
        raise InputError(path, "is not a file of coefficients", "expected .npy, .npz or .mat")
    if expression_path is not None:
        expression = read_npy(expression_path)
    return check_parameters(path, shape, expression)


def check_parameters(path, shape, expression=None):
    """Refuse numbers that cannot be raw coefficients of a face.

    Parameters
    ----------
    path : path
        Named in errors.
    shape : array_like
        199 numbers, in any layout.
    expression : array_like, optional
        29 numbers, in any layout.

    Returns
    -------
    RawParameters
        The same numbers, flat.

    Raises
    ------
    InputError
        If their counts are others, or they are not finite or far too small.
    """
    parts = []
    for name, numbers, count in (
        ("shape", shape, N_SHAPE),
        ("expression", expression, N_EXPRESSION),
    ):
        if numbers is None:
            parts.append(None)
            continue
        if np.size(numbers) != count or np.asarray(numbers).dtype.kind not in "fiu":
            problem = f"holds {name} coefficients of shape {np.shape(numbers)}"
            raise InputError(path, problem, f"expected {count} numbers")
        # Neutral expressions may be stored as bytes.
        numbers = np.asarray(numbers, dtype=np.float64).ravel()
        if not np.isfinite(numbers).all():
            raise InputError(path, f"holds NaN or infinity in the {name}", "leave the face out")
        parts.append(numbers)
    if 0 < np.abs(parts[0]).max() < _SMALLEST_RAW:
        raise InputError(
            path,
            f"holds shape coefficients of at most {np.abs(parts[0]).max():.3g}, too small to be "
            "raw",
            "if they count standard deviations, multiply by those of BFM 2009 (shapeEV)",
        )
    return RawParameters(*parts)


def standardised(model, shape, expression=None):
    """Coefficients on the modes of a loaded Basel model, in standard deviations.

    Modes that the model does not have are left out. That costs little of the shape: 40 of 199
    modes carry nearly all of it.

    Parameters
    ----------
    model : MorphableModel
        A Basel model; see `v2mlib.faces.readers.read_bfm`.
    shape : array_like, (..., shape=199), raw units
        On the modes of BFM 2009.
    expression : array_like, (..., expression=29), raw units, optional
        On the modes of 300W-LP.

    Returns
    -------
    Coefficients
        float64 tensors ``(..., shape)`` and ``(..., expression)``; the expression None where none
        was given or the model has none. They count from the population's mean parameters, which
        are not 0 in the forms of 3DDFA.

    Raises
    ------
    InputError
        If the model is not a Basel model.

    References
    ----------
    Zhu et al., "Face Alignment Across Large Poses: A 3D Solution", CVPR 2016.
    """
    if not model.topology.startswith("bfm-") or not 0 < model.n_shape <= N_SHAPE:
        raise InputError(
            f"face model {model.name!r}",
            "has other modes than BFM 2009",
            "these coefficients mean a face on a Basel model only: load one with read_bfm",
        )
    shape = np.asarray(shape, dtype=np.float64)
    _check_last(shape, N_SHAPE, "shape")
    shape = shape[..., : model.n_shape]
    if expression is None or not model.n_expression:
        return Coefficients(model.from_raw(shape).shape, None)
    expression = np.asarray(expression, dtype=np.float64)
    _check_last(expression, N_EXPRESSION, "expression")
    return model.from_raw(shape, expression[..., : model.n_expression])


def _check_last(numbers, count, name):
    if numbers.shape[-1:] != (count,):
        raise ShapeError(f"{name} has shape {numbers.shape}, expected (..., {name}={count})")


def _split(path, numbers):
    if numbers.size == N_SHAPE:
        return numbers, None
    if numbers.size == N_SHAPE + N_EXPRESSION:
        return numbers.ravel()[:N_SHAPE], numbers.ravel()[N_SHAPE:]
    raise InputError(
        path,
        f"holds {numbers.size} numbers in an array of {numbers.shape}",
        f"expected {N_SHAPE} of the shape, or {N_SHAPE + N_EXPRESSION} with the expression",
    )


def _by_name(path, stored):
    shape, expression = (
        next((stored[name] for name in names if name in stored), None)
        for names in (_SHAPE_NAMES, _EXPRESSION_NAMES)
    )
    if shape is None:
        raise InputError(path, f"lacks {_SHAPE_NAMES[0]}", "expected a file like 300W-LP's")
    return shape, expression
