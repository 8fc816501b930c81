"""Two batches of faces that are to be compared: of one kind, one topology, sound."""

import numpy as np
import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces.geometry import require_vertices


def require_one_kind(predicted, reference):
    """Refuse a tensor beside an array: one of them would silently lose its gradient.

    Parameters
    ----------
    predicted, reference : tensor or ndarray
        The faces.

    Raises
    ------
    InputError
        If one is a tensor and the other is not.
    """
    if isinstance(predicted, torch.Tensor) != isinstance(reference, torch.Tensor):
        kinds = f"{type(predicted).__name__} and {type(reference).__name__}"
        raise InputError("predicted and reference", f"are of two kinds ({kinds})", "convert one")


def as_pair(predicted, reference, model):
    """Two batches of faces as tensors of one precision.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology; their batch axes must broadcast.
    model : MorphableModel
        Names the vertices.

    Returns
    -------
    predicted, reference : tensor, (..., vertex, xyz=3), mm
        The same faces, gradients kept.
    back : function
        Turns a result into the kind that was given: tensor or ndarray.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology, or their batch axes do not broadcast.
    InputError
        If they are of two kinds, no numbers, hold NaN or infinity, or are shrunk to a point.
    """
    is_tensor = isinstance(predicted, torch.Tensor)
    faces = {"predicted": predicted, "reference": reference}
    if not is_tensor and not isinstance(reference, torch.Tensor):
        # torch takes neither read-only arrays nor negative strides (a mirrored face has them).
        faces = {name: np.require(face, requirements=["C", "W"]) for name, face in faces.items()}
        for name, face in faces.items():
            if face.dtype.kind not in "fiu":
                raise InputError(name, f"holds {face.dtype}, not numbers", "give vertices in mm")
    require_one_kind(*faces.values())
    for name, face in faces.items():
        require_vertices(face, model, name)
        face = torch.as_tensor(face)
        faces[name] = face = face if face.is_floating_point() else face.double()
        _refuse(~torch.isfinite(face).flatten(-2).all(-1), name, "hold NaN or infinity")
        _refuse((face == face[..., :1, :]).flatten(-2).all(-1), name, "are shrunk to a point")
    predicted, reference = faces.values()
    dtype = torch.promote_types(predicted.dtype, reference.dtype)
    # Half precision stores a face, but a sum over its vertices is not to be taken in it.
    dtype = torch.promote_types(dtype, torch.float32)
    try:
        torch.broadcast_shapes(predicted.shape[:-2], reference.shape[:-2])
    except RuntimeError:
        raise ShapeError(
            f"predicted has batch axes {tuple(predicted.shape[:-2])}, reference "
            f"{tuple(reference.shape[:-2])}, which do not broadcast. A face for each reference?"
        ) from None
    return predicted.to(dtype), reference.to(dtype), _identity if is_tensor else _as_array


def _refuse(wrong, name, lack):
    if wrong.any():
        raise InputError(
            f"{name} faces",
            f"{lack} ({int(wrong.sum())} of {wrong.numel()} faces)",
            "leave out the faces that were not made",
        )


def _identity(result):
    return result


def _as_array(result):
    return result.numpy()
