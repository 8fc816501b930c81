"""Faces packed small for the journey to the browser, with a stated error.

Vertices become 16-bit steps of the bounding box (error below 0.003 mm for a head), modes 16-bit
steps of each mode's largest displacement, twice where once would be too coarse. `packing_error`
says what is lost: less than `MAX_ERROR_MM` for every face model.
"""

import base64

import numpy as np

from v2mlib.checks import check_shape

MAX_ERROR_MM = 0.05


def pack_vertices(vertices):
    """Quantise vertices to 16 bits.

    Parameters
    ----------
    vertices : array_like, (vertex, xyz=3), mm
        A face.

    Returns
    -------
    dict
        ``vertices`` (bytes of little-endian uint16), ``offset`` (3 mm) and ``step`` (mm):
        position = offset + step * number.

    Raises
    ------
    ShapeError
        If there are not three columns.

    Examples
    --------
    >>> packed = pack_vertices([[0.0, 0.0, 0.0], [10.0, 0.0, 655.35]])
    >>> round(packed["step"], 6), unpack_vertices(packed).round(3).tolist()
    (0.01, [[0.0, 0.0, 0.0], [10.0, 0.0, 655.35]])
    """
    vertices = check_shape(np.asarray(vertices, float), {"vertex": None, "xyz": 3}, "vertices")
    low = vertices.min(0)
    step = max(float((vertices - low).max()) / 65535, 1e-9)
    number = np.round((vertices - low) / step).astype("<u2")
    return {"vertices": number.tobytes(), "offset": low.tolist(), "step": step}


def unpack_vertices(packed):
    """Invert `pack_vertices`, as the browser does it.

    Parameters
    ----------
    packed : dict
        From `pack_vertices`.

    Returns
    -------
    ndarray, (vertex, xyz=3), mm
        The face, within half a step.
    """
    number = np.frombuffer(packed["vertices"], "<u2").reshape(-1, 3)
    return np.asarray(packed["offset"]) + packed["step"] * number


def pack_triangles(triangles, n_vertices):
    """Triangles as the smallest unsigned integers that hold them.

    Parameters
    ----------
    triangles : array_like of int, (triangle, 3)
        Vertex numbers.
    n_vertices : int
        Size of the mesh; up to 65,535 vertices go in 16 bits.

    Returns
    -------
    bytes
        Little-endian.
    """
    triangles = check_shape(np.asarray(triangles), {"triangle": None, "corner": 3}, "triangles")
    return triangles.astype("<u2" if n_vertices <= 65535 else "<u4").tobytes()


def pack_colours(colours):
    """Colours or shares from 0 to 1 as bytes.

    Parameters
    ----------
    colours : array_like, (vertex, 3) or (vertex,), or None
        sRGB, or a share of the sky.

    Returns
    -------
    bytes or None
        One byte per number.
    """
    if colours is None:
        return None
    return np.round(np.clip(np.asarray(colours, float), 0, 1) * 255).astype(np.uint8).tobytes()


def pack_modes(basis, *, room=0.8 * MAX_ERROR_MM, reach=3.0):
    """Quantise displacement modes to 16 bits, each with its own step.

    Parameters
    ----------
    basis : array_like, (vertex, xyz=3, mode), mm
        Displacement per unit of each coefficient.
    room : float, mm
        Where the worst error would be larger, what the first 16 bits leave is sent in another 16.
    reach : float, standard deviations
        Size of every coefficient at once in the worst case.

    Returns
    -------
    dict
        ``modes`` (bytes of little-endian int16, mode by mode, then the remainders in the same
        order where they are needed) and ``mode_steps`` (mm, one per 16-bit mode).
    """
    left = np.moveaxis(np.asarray(basis, np.float32), -1, 0)
    numbers, steps = [], []
    while len(left):
        step = np.abs(left).max(axis=(1, 2), initial=1e-9) / 32767
        number = np.round(left / step[:, None, None]).astype("<i2")
        numbers.append(number.tobytes())
        steps += step.tolist()
        if reach * step.sum() / 2 <= room:
            break
        left = left - step[:, None, None] * number
    return {"modes": b"".join(numbers), "mode_steps": steps}


def packing_error(payload, reach=3.0):
    """Largest position error that packing can cause.

    Parameters
    ----------
    payload : dict
        With the numbers of `pack_vertices` and, for a morphable face, of `pack_modes`.
    reach : float, standard deviations
        Size of every coefficient at once, the worst case.

    Returns
    -------
    float, mm
        Bound on the error along one axis.
    """
    # Where a mode has a remainder, only the remainder's rounding is left.
    modes, steps = len(payload.get("shape_names", ())), payload.get("mode_steps", ())
    modes = modes + len(payload.get("expression_names", ())) or len(steps)
    return payload["step"] / 2 + reach * sum(steps[len(steps) - modes :]) / 2


def as_array(values):
    """Tensor or array as an array on the CPU.

    Parameters
    ----------
    values : tensor or array_like
        Any.

    Returns
    -------
    ndarray
        The numbers.
    """
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def known_landmarks(model):
    """Vertices of the landmarks that the topology has.

    Parameters
    ----------
    model : MorphableModel
        A model, whose missing landmarks are negative.

    Returns
    -------
    ndarray of int, (landmark,)
        In iBUG order, without the missing ones.
    """
    landmarks = as_array(model.landmarks)
    return landmarks[landmarks >= 0]


def pack_anatomy(model):
    """Landmarks, lines and regions by name.

    Parameters
    ----------
    model : MorphableModel or None
        A model of the mesh's topology.

    Returns
    -------
    dict
        Empty without a model.
    """
    if model is None:
        return {}
    return {
        "landmarks": known_landmarks(model).tolist(),
        "landmark_numbers": np.flatnonzero(as_array(model.landmarks) >= 0).tolist(),
        "lines": {name: [int(i) for i in ends] for name, ends in model.lines.items()},
        "regions": {
            name: as_array(region).astype("<u4").tobytes() for name, region in model.regions.items()
        },
    }


def gloss_of(model):
    """Strength of the highlights where a model knows it, such as on its eyes.

    Parameters
    ----------
    model : MorphableModel or None
        A model.

    Returns
    -------
    ndarray (vertex,) or None
        From 0 to 1.
    """
    gloss = (getattr(model, "extras", None) or {}).get("gloss")
    return None if gloss is None else as_array(gloss)


def as_text(payload):
    """Bytes as base64 all the way down, for JSON.

    Parameters
    ----------
    payload : object
        Nested dicts, lists, bytes and numbers.

    Returns
    -------
    object
        The same with text for bytes.

    Examples
    --------
    >>> as_text({"a": b"abc", "b": [1, b""]})
    {'a': 'YWJj', 'b': [1, '']}
    """
    if isinstance(payload, bytes):
        return base64.b64encode(payload).decode()
    if isinstance(payload, dict):
        return {name: as_text(value) for name, value in payload.items()}
    if isinstance(payload, (list, tuple)):
        return [as_text(value) for value in payload]
    return payload


def split_buffers(payload):
    """Take the bytes out of a payload, for a message with binary attachments.

    Parameters
    ----------
    payload : dict
        Nested dicts, lists, bytes and numbers.

    Returns
    -------
    content : dict
        With ``{"buffer": number}`` where bytes were.
    buffers : list of bytes
        In that order.

    Examples
    --------
    >>> split_buffers({"a": b"abc", "b": [1, b""]})
    ({'a': {'buffer': 0}, 'b': [1, {'buffer': 1}]}, [b'abc', b''])
    """
    buffers = []

    def walk(value):
        if isinstance(value, bytes):
            buffers.append(value)
            return {"buffer": len(buffers) - 1}
        if isinstance(value, dict):
            return {name: walk(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [walk(part) for part in value]
        return value

    return walk(payload), buffers
