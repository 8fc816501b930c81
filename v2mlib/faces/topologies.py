"""The topologies this package knows, and which of them are subsets of one another."""

TOPOLOGIES = {
    "bfm-53490": 53_490,
    "bfm-53215": 53_215,
    "bfm-38365": 38_365,
    "bfm-grid-4096": 4_096,
    "bfm-landmarks-68": 68,
    "ict-26719": 26_719,
    "ict-9409": 9_409,
    "surrey-3448": 3_448,
}
"""Vertices of each topology by name."""

MAPS = {
    ("ict-26719", "ict-9409"): "keep the first 9409 vertices: vertices[..., :9409, :]",
    ("bfm-53215", "bfm-38365"): (
        "keep the vertices that indices.npy of 3DDFA-V2 lists: vertices[..., indices, :] "
        "(model.extras['source_vertices'] of the smaller one, if it was read beside that file)"
    ),
    ("bfm-53490", "bfm-53215"): (
        "keep the vertices that trimIndex of 300W-LP's Model_Shape.mat lists (counting from 1)"
    ),
}
"""How a face of the first topology becomes one of the second."""


def topology_of(n_vertices):
    """Name of the known topology with so many vertices.

    Parameters
    ----------
    n_vertices : int
        Number of vertices.

    Returns
    -------
    str or None
        The name; None if no known topology has so many.
    """
    names = {count: name for name, count in TOPOLOGIES.items()}
    return names.get(n_vertices)


def map_between(a, b):
    """Say how faces of two topologies can meet.

    Parameters
    ----------
    a, b : str or None
        Topologies.

    Returns
    -------
    str
        A sentence: the map if one is known, else that there is none.

    Examples
    --------
    >>> map_between("ict-9409", "ict-26719")
    'Bring ict-26719 to ict-9409: keep the first 9409 vertices: vertices[..., :9409, :].'
    >>> map_between("ict-9409", "surrey-3448")
    'No map between them is known: decode both faces with one face model.'
    """
    for larger, smaller in ((a, b), (b, a)):
        if (larger, smaller) in MAPS:
            return f"Bring {larger} to {smaller}: {MAPS[larger, smaller]}."
    return "No map between them is known: decode both faces with one face model."
