"""A named control cage: half a head, placed by hand in mm, mirrored about the midline."""

import itertools

import numpy as np

from v2mlib.checks import InputError

MIDLINE_MM = 1e-9


class HalfCage:
    """The subject's left half of a polygon cage, with a name for every vertex.

    Vertices on the midline have ``x = 0`` and are shared by both halves. Names of the mirrored
    vertices end in ``'`` (the subject's right side).

    Attributes
    ----------
    points : dict of str to tuple
        Target position of every half vertex, mm.
    polygons : list of tuple of str
        Triangles, quads or larger, in any winding; `orient` makes it consistent.
    tags : dict of str to set of str
        Named sets of vertices ("feature" vertices are interpolated exactly, ...).
    """

    def __init__(self):
        self.points, self.polygons, self.tags = {}, [], {}

    def add(self, name, point, *tags):
        """Place a vertex.

        Parameters
        ----------
        name : str
            Unique.
        point : tuple of float, (xyz=3), mm
            Where the surface should pass.
        *tags : str
            Sets to join.

        Returns
        -------
        str
            The name.

        Raises
        ------
        InputError
            If the name is taken or the point lies on the other side.
        """
        if name in self.points:
            raise InputError(name, "is placed twice", "names are unique")
        if point[0] < 0:
            raise InputError(name, "lies on the subject's right", "place the left half only")
        self.points[name] = tuple(float(value) for value in point)
        for tag in tags:
            self.tags.setdefault(tag, set()).add(name)
        return name

    def ring(self, name, table, *tags):
        """Place a row of vertices ``name.0, name.1, ...``.

        Parameters
        ----------
        name : str
            Prefix.
        table : sequence of tuple, mm
            Positions in order.
        *tags : str
            Sets to join.

        Returns
        -------
        list of str
            The names.
        """
        return [self.add(f"{name}.{k}", point, *tags) for k, point in enumerate(table)]

    def strip(self, first, second, *, closed=False):
        """Join two rows of equally many vertices by quads.

        Parameters
        ----------
        first, second : sequence of str
            Names.
        closed : bool
            Whether the rows are rings.
        """
        if len(first) != len(second):
            raise InputError(
                f"strip {first[0]} - {second[0]}",
                f"has {len(first)} and {len(second)} vertices",
                "rows must match",
            )
        count = len(first)
        for k in range(count if closed else count - 1):
            n = (k + 1) % count
            self.polygons.append((first[k], first[n], second[n], second[k]))

    def grid(self, rows):
        """Join several rows of equally many vertices by quads.

        Parameters
        ----------
        rows : sequence of sequence of str
            Names; None marks a hole.
        """
        for first, second in itertools.pairwise(rows):
            for k in range(len(first) - 1):
                corners = (first[k], first[k + 1], second[k + 1], second[k])
                if None not in corners:
                    self.polygons.append(corners)

    def mirrored(self):
        """Whole cage.

        Returns
        -------
        names : list of str
            Left half first, then the mirrored vertices (with ``'``).
        points : ndarray, (vertex, xyz=3), mm
            Positions.
        polygons : list of tuple of int
            Consistently wound, outwards.
        mirror : ndarray of int, (vertex,)
            Index of each vertex's mirror image (its own on the midline).
        """
        left = list(self.points)
        right = [name for name in left if self.points[name][0] > MIDLINE_MM]
        names = left + [name + "'" for name in right]
        index = {name: k for k, name in enumerate(names)}
        other = {name: index.get(name + "'", index[name]) for name in left}
        points = np.array([self.points[name.rstrip("'")] for name in names])
        points[len(left) :, 0] *= -1
        polygons = [tuple(index[name] for name in polygon) for polygon in self.polygons]
        polygons += [tuple(other[name] for name in polygon)[::-1] for polygon in self.polygons]
        mirror = np.arange(len(names))
        for name in right:
            mirror[index[name]], mirror[index[name + "'"]] = index[name + "'"], index[name]
        return names, points, orient(polygons, points), mirror


def orient(polygons, points):
    """Wind polygons consistently, and outwards where a part encloses a volume.

    Parameters
    ----------
    polygons : sequence of tuple of int
        In any winding.
    points : ndarray, (vertex, xyz=3), mm
        Positions.

    Returns
    -------
    list of tuple of int
        Same order, wound counter-clockwise seen from outside.

    Raises
    ------
    InputError
        If an edge belongs to more than two polygons, or no consistent winding exists.
    """
    edges = {}
    for number, polygon in enumerate(polygons):
        for a, b in _edges(polygon):
            edges.setdefault((min(a, b), max(a, b)), []).append((number, a < b))
    crowded = [edge for edge, users in edges.items() if len(users) > 2]
    if crowded:
        raise InputError("cage", f"has {len(crowded)} edges with more than two polygons", "")
    neighbours = [[] for _ in polygons]
    for users in edges.values():
        if len(users) == 2:
            (p, forward), (q, other) = users
            neighbours[p].append((q, forward == other))
            neighbours[q].append((p, forward == other))
    flip, part = [None] * len(polygons), [0] * len(polygons)
    count = 0
    for start in range(len(polygons)):
        if flip[start] is not None:
            continue
        flip[start], queue = False, [start]
        while queue:
            p = queue.pop()
            part[p] = count
            for q, same in neighbours[p]:
                wanted = flip[p] ^ same
                if flip[q] is None:
                    flip[q] = wanted
                    queue.append(q)
                elif flip[q] != wanted:
                    raise InputError("cage", "cannot be wound consistently", "look for a twist")
        count += 1
    wound = [p[::-1] if turned else p for p, turned in zip(polygons, flip, strict=True)]
    for number in range(count):
        members = [k for k in range(len(wound)) if part[k] == number]
        used = np.unique(np.concatenate([wound[k] for k in members]))
        centre = points[used].mean(0)
        volume = sum(_cone_volume(points[list(wound[k])] - centre) for k in members)
        if volume < 0:
            for k in members:
                wound[k] = wound[k][::-1]
    return wound


def _edges(polygon):
    return zip(polygon, (*polygon[1:], polygon[0]), strict=True)


def _cone_volume(corners):
    total = 0.0
    for k in range(1, len(corners) - 1):
        total += np.linalg.det(corners[[0, k, k + 1]])
    return total
