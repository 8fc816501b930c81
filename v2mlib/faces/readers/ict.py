"""ICT-FaceKit: the raw ``FaceXModel`` folder of OBJ files, and converted ``.npz`` files."""

import json
import re
from pathlib import Path

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.geometry import triangulate
from v2mlib.faces.readers.assembly import assemble
from v2mlib.faces.storage import read_npz

N_FACE = 9_409
N_HEAD = 26_719
N_IDENTITIES = 100
_NARROW_FACE = 6_706  # upstream's area from the hairline to the chin, without ears and neck
_CM = 10.0  # mm

_NEUTRAL = "generic_neutral_mesh.obj"
_INDICES = "vertex_indices.json"
_CHECKOUT = "check out https://github.com/ICT-VGL/ICT-FaceKit again and give its FaceXModel folder"

# First vertices of the see-through layers over the eyes (tears, shadows, lashes): rendering aids
# whose triangles would cover the eyes; their vertices stay, so that the topology is upstream's.
_FIRST_EYE_LAYER = 24_591
_PARTS = {
    "gums": (14_062, 17_039, (0.66, 0.36, 0.35)),
    "teeth": (17_039, 21_451, (0.90, 0.87, 0.80)),
    "eyeballs": (21_451, 24_591, (0.93, 0.92, 0.90)),
}
_SKIN = (0.80, 0.64, 0.55)


def read_ict(path):
    """Read an ICT-FaceKit model.

    Identity coefficients are standard normal, so they are standardised already; expressions are
    blendshape weights in [0, 1] with 0 the neutral face, and keep that unit (`expression_std` 1).

    Parameters
    ----------
    path : path
        A checkout, its ``FaceXModel`` folder, or an ``.npz`` of the face area (9,409 vertices) or
        of the whole head (26,719). A folder may hold the leading identity shapes only; where it
        also holds a converted ``.npz``, the one with more of them is read.

    Returns
    -------
    MorphableModel
        Topology ``ict-9409`` or ``ict-26719``, whose first 9,409 vertices are the same. A folder
        with fewer than 100 identities says so in the model's name.

    Raises
    ------
    InputError
        If files are absent, damaged or do not fit together, naming the file and the remedy.

    References
    ----------
    Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020.
    """
    path = Path(path)
    if not path.is_dir():
        return _read_npz(path)
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    converted = sorted(folder.glob("ict*.npz"), key=lambda file: file.stat().st_size)
    if not (folder / _NEUTRAL).is_file():
        if converted:
            return _read_npz(converted[-1])
        raise InputError(path, f"holds no {_NEUTRAL}", _CHECKOUT)
    n_raw = len(list(folder.glob("identity*.obj")))
    if n_raw < N_IDENTITIES and converted:
        return _read_npz(converted[-1])
    return _read_folder(folder)


def _read_npz(path):
    stored = read_npz(path)
    try:
        polygons = stored["quads"] if "quads" in stored else stored["polygons"]
        return _model(
            path,
            neutral=stored["neutral"],
            polygons=polygons,
            identity=stored["identity"],
            expression=stored["expression"],
            expression_names=[str(name) for name in stored["expression_names"]],
            landmarks=stored["landmarks68"],
        )
    except KeyError as error:
        raise InputError(
            path, f"lacks {error}, which an ICT-FaceKit .npz holds", _CHECKOUT
        ) from None


def _read_folder(folder):
    indices = _read_indices(folder / _INDICES)
    neutral, polygons = _read_obj(folder / _NEUTRAL, with_polygons=True)
    identities = [folder / f"identity{number:03d}.obj" for number in range(N_IDENTITIES)]
    found = [file for file in identities if file.is_file()]
    if not found or found != identities[: len(found)]:
        gap = next(file for file in identities if not file.is_file())
        raise InputError(folder, f"lacks {gap.name}", _CHECKOUT)
    names = [name for name in indices["expressions"] if (folder / f"{name}.obj").is_file()]

    def deltas(files):
        stack = np.empty((len(files), *neutral.shape), dtype=np.float32)
        for row, file in zip(stack, files, strict=True):
            target, _ = _read_obj(file)
            if target.shape != neutral.shape:
                raise InputError(
                    file, f"has {len(target)} vertices, {_NEUTRAL} has {len(neutral)}", _CHECKOUT
                )
            row[:] = target - neutral
        return stack

    return _model(
        folder,
        neutral=neutral,
        polygons=polygons,
        identity=deltas(found),
        expression=deltas([folder / f"{name}.obj" for name in names]),
        expression_names=names,
        landmarks=indices["idx_to_landmark_verts"],
    )


def _read_indices(path):
    try:
        indices = json.loads(path.read_text(encoding="utf-8"))
        if len(indices["idx_to_landmark_verts"]) == 68 and indices["expressions"]:
            return indices
        problem = "does not list 68 landmarks and the expressions"
    except OSError:
        problem = "is absent or unreadable"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"is not the index file of ICT-FaceKit ({error})"
    raise InputError(path, problem, _CHECKOUT)


_VERTEX_BLOCK = re.compile(rb"(?:^v [^\n]*\n)+", re.MULTILINE)
_POLYGON = re.compile(rb"^f ([^\n]*)", re.MULTILINE)


def _read_obj(path, *, with_polygons=False):
    """Vertices (vertex, 3) and polygons (polygon, 4; -1 pads) of an OBJ file."""
    try:
        text = path.read_bytes().replace(b"\r\n", b"\n")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", _CHECKOUT) from None
    block = _VERTEX_BLOCK.search(text)
    try:
        rows = block.group().replace(b"v ", b"").split() if block else []
        vertices = np.array(rows, dtype=np.float64).reshape(-1, 3)
        corners = []
        if with_polygons:
            for polygon in _POLYGON.findall(text):
                corners.append([int(corner.split(b"/")[0]) - 1 for corner in polygon.split()])
            corners = [[*corner, -1][:4] for corner in corners]
    except ValueError as error:
        raise InputError(path, f"is not a sound OBJ file ({error})", _CHECKOUT) from None
    if len(vertices) not in (N_FACE, N_HEAD):
        raise InputError(path, f"has {len(vertices)} vertices, ICT-FaceKit has {N_HEAD}", _CHECKOUT)
    return vertices, np.array(corners, dtype=np.int64).reshape(-1, 4)


def _model(source, *, neutral, polygons, identity, expression, expression_names, landmarks):
    vertex = len(neutral)
    if vertex not in (N_FACE, N_HEAD):
        raise InputError(source, f"has {vertex} vertices, ICT-FaceKit has {N_HEAD}", _CHECKOUT)
    triangles = triangulate(polygons)
    whole = {"whole": np.arange(_NARROW_FACE)}
    colours = None
    if vertex == N_HEAD:
        triangles = triangles[(triangles < _FIRST_EYE_LAYER).all(1)]
        colours = _colours(np.asarray(neutral, dtype=np.float64))
    name = "ICT-FaceKit"
    if len(identity) < N_IDENTITIES:
        name += f" ({len(identity)} of {N_IDENTITIES} identities)"
    return assemble(
        source,
        topology=f"ict-{vertex}",
        name=name,
        neutral=neutral,
        shape_basis=np.moveaxis(np.asarray(identity, dtype=np.float32), 0, -1),
        shape_std=np.ones(len(identity), dtype=np.float32),
        expression_basis=np.moveaxis(np.asarray(expression, dtype=np.float32), 0, -1),
        expression_names=tuple(expression_names),
        triangles=triangles,
        landmarks=landmarks,
        unit_mm=_CM,
        skin=np.arange(N_FACE),
        regions=whole,
        colours=colours,
    )


def _colours(neutral):
    """Plain colours of the head's parts (vertex, rgb=3), with an iris and a pupil."""
    colours = np.tile(_SKIN, (len(neutral), 1))
    for first, last, colour in _PARTS.values():
        colours[first:last] = colour
    first, last, _ = _PARTS["eyeballs"]
    for eye in np.split(np.arange(first, last), 2):
        pole = eye[neutral[eye, 2].argmax()]
        from_axis = np.linalg.norm(neutral[eye, :2] - neutral[pole, :2], axis=1) * _CM
        colours[eye[from_axis < 5.8]] = (0.34, 0.26, 0.20)
        colours[eye[from_axis < 2.2]] = (0.04, 0.04, 0.04)
    return colours
