"""The head: all parts of the cage together, and the surface they control."""

import functools
import re
from typing import NamedTuple

import numpy as np
from scipy import sparse

from v2mlib.faces.phantom import ear, eye, mouth, nose, skull
from v2mlib.faces.phantom.cage import HalfCage
from v2mlib.faces.phantom.subdivision import surface

# Parts seen from afar or hardly at all are subdivided once only.
_COARSE_ROWS = ("F4", "F3", "F2", "crown", "N1", "N2")
_COARSE_PARTS = ("mouth.deep", "mouth.back", "ball", "teeth", "nostril.deep", "ear.back")
_EXACT = ("lid", "lip", "nostril")


class Head(NamedTuple):
    """A cage and its surface.

    Attributes
    ----------
    names : list of str
        Of the cage vertices.
    cage : ndarray, (cage vertex, xyz=3), mm
        Control points.
    mirror : ndarray of int, (cage vertex,)
        Index of the mirror image.
    polygons : list of tuple of int
        The cage's polygons.
    matrix : csr_matrix, (vertex, cage vertex)
        Vertices are ``matrix @ cage``; cage vertices keep their index.
    triangles : ndarray of int, (triangle, 3)
        Of the surface.
    """

    names: list
    cage: np.ndarray
    mirror: np.ndarray
    polygons: list
    matrix: sparse.csr_matrix
    triangles: np.ndarray

    def index(self, name):
        """Index of a named vertex, in the cage and in the surface.

        Parameters
        ----------
        name : str
            For instance ``"eye.margin.6"`` (the subject's left) or ``"eye.margin.6'"``.

        Returns
        -------
        int
            Vertex number.
        """
        return self.names.index(name)

    @property
    def vertices(self):
        """Surface, (vertex, xyz=3), mm."""
        return self.matrix @ self.cage


@functools.cache
def head():
    """Build the mean head.

    Returns
    -------
    Head
        About 0.5 s of work, cached.
    """
    half = HalfCage()
    eye.build(half)
    mouth.build(half)
    nose.build(half)
    skull.build(half)
    ear.build(half)
    _add_eyeball(half)
    _add_teeth(half)
    names, target, polygons, mirror = half.mirrored()
    coarse = np.array([_is_coarse([names[k] for k in polygon]) for polygon in polygons])
    matrix, triangles = surface(polygons, len(names), coarse)
    exact = {name for tag in _EXACT for name in half.tags.get(tag, ())}
    cage = _interpolate(target, matrix, np.array([n.rstrip("'") in exact for n in names]))
    return Head(names, cage, mirror, polygons, matrix, triangles)


def _interpolate(target, matrix, exact):
    """Control points whose surface passes through the exact targets and near the others.

    Interpolating everywhere makes the surface ripple, so the others get one damped step.
    """
    cage = target.copy()
    onto = matrix[: len(target)]
    cage += 0.6 * (target - onto @ cage)
    for _ in range(6):
        step = target - onto @ cage
        cage[exact] += 0.8 * step[exact]
    return cage


def _is_coarse(names):
    plain = [name.rstrip("'") for name in names]
    columns = [re.fullmatch(r"\w+\.c(\d+)", n) for n in plain]
    back = [c is not None and int(c[1]) >= 12 for c in columns]
    low = [n.startswith(_COARSE_ROWS) for n in plain]
    hidden = any(n.startswith(_COARSE_PARTS) for n in plain)
    return hidden or all(b or s for b, s in zip(back, low, strict=True))


def _add_eyeball(half):
    points, polygons, kinds = eye.eyeball()
    names = [
        half.add(f"ball.{kind}.{k}", p)
        for k, (p, kind) in enumerate(zip(points, kinds, strict=True))
    ]
    half.polygons += [tuple(names[k] for k in polygon) for polygon in polygons]


def _add_teeth(half):
    for part, upper in (("teeth.upper", True), ("teeth.lower", False)):
        rows = mouth.teeth(upper)
        half.grid([half.ring(f"{part}.{number}", row) for number, row in enumerate(rows)])
