"""Which measured lines survive a mirror: a line between mirrored points does, a slanted one not."""

import numpy as np
import torch

from v2mlib.faces.geometry import mirror_map, require_vertices

_MIRROR = (-1.0, 1.0, 1.0)


def mirrored(vertices, model):
    """Faces seen in a mirror, with left and right vertices swapped.

    Each vertex takes the mirrored place of the one that is nearest to its own mirror image on
    the mean face: exact where the topology is symmetric (phantom, ICT-FaceKit), approximate
    elsewhere (`line_asymmetry` says by how much).

    Parameters
    ----------
    vertices : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology.
    model : MorphableModel
        Whose mean face tells which vertices are partners.

    Returns
    -------
    tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the same topology.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    """
    require_vertices(vertices, model)
    partner = mirror_map(model.mean.cpu().numpy()).index
    return vertices[..., partner, :] * _sign(vertices)


def line_asymmetry(vertices, model, definition="corrected"):
    """How far each measured line is from being its own mirror image, in mm.

    For a width the distance between one end and the mirror image of the other; for a line on
    the midline the larger distance of its ends from their own images. The smaller of the two,
    since a line's name does not say which it is. 0 if a mirrored face keeps the line.

    Parameters
    ----------
    vertices : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology.
    model : MorphableModel
        Names the vertices.
    definition : {"corrected", "published", "published_substitute"}
        Which vertex pairs.

    Returns
    -------
    dict of str to tensor or ndarray, (...,), mm
        By line name.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    InputError
        If the definition is unknown.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> face = np.array([[-43.0, 0, 0], [43, 0, 0], [45, -16, 0], [0, 50, 0]])
    >>> pairs = {"level": (0, 1), "slanted": (0, 2)}
    >>> made = SimpleNamespace(name="made", topology="made", n_vertices=4,
    ...     line_names=lambda definition: tuple(pairs), line=lambda name, definition: pairs[name])
    >>> {name: round(float(miss), 1) for name, miss in line_asymmetry(face, made).items()}
    {'level': 0.0, 'slanted': 16.1}
    """
    require_vertices(vertices, model)
    sign = _sign(vertices)
    least, most = (
        (torch.minimum, torch.maximum)
        if isinstance(vertices, torch.Tensor)
        else (np.minimum, np.maximum)
    )

    def apart(first, second):
        return ((first - second) ** 2).sum(-1) ** 0.5

    found = {}
    for name in model.line_names(definition):
        ends = [vertices[..., end, :] for end in model.line(name, definition)]
        crossed = apart(ends[0] * sign, ends[1])
        itself = most(*(apart(end * sign, end) for end in ends))
        found[name] = least(crossed, itself)
    return found


def _sign(vertices):
    if isinstance(vertices, torch.Tensor):
        return vertices.new_tensor(_MIRROR)
    return np.array(_MIRROR, dtype=np.asarray(vertices).dtype)
