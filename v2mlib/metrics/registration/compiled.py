"""Point-to-plane ICP, compiled.

The nearest vertex is exact, yet searched for only where it may have changed: a search that found
`nearest` at distance d also gives a bound L below which nothing else lies; as long as the point
has moved by at most L - d since, nothing can have come nearer. What remains of an iteration is
one pass that accumulates the six normal equations.

All functions that call each other live in this one file, because numba's cache looks at one file.
"""

from typing import NamedTuple

import numpy as np

from v2mlib.metrics.registration.preparing import compiled

#: Ends of a registration.
CONVERGED, CYCLING, EXHAUSTED, LOST, SINGULAR = range(5)

#: How far beyond the nearest vertex a search looks for the second one, in edges of a cube.
_SLACK = 0.1


class Grid(NamedTuple):
    """Vertices sorted by the cubes they lie in; rows of cubes run along x.

    Attributes
    ----------
    points, normals : ndarray of float64, (vertex, xyz=3)
        Sorted; points relative to the surface's centre, mm.
    inner : ndarray of bool, (vertex,)
        Whether a vertex may be a partner.
    order : ndarray of int64, (vertex,)
        The vertex that each sorted one was.
    start : ndarray of int32, (cube + 1,)
        Where each cube's vertices begin.
    low : ndarray of float64, (xyz=3,)
        Corner of the first cube.
    counts : ndarray of int64, (xyz=3,)
        Number of cubes.
    edge : float
        Of a cube, mm.
    """

    points: np.ndarray
    normals: np.ndarray
    inner: np.ndarray
    order: np.ndarray
    start: np.ndarray
    low: np.ndarray
    counts: np.ndarray
    edge: float


@compiled
def _search(x, y, z, begin, reach, slack, points, order, start, low, counts, edge):
    """Nearest vertex, its squared distance, and a bound below which no other one lies.

    `begin` is any vertex: its distance limits the search, and so does `reach`. Of vertices at
    the same distance the one of the lowest original number wins.
    """
    dx, dy, dz = x - points[begin, 0], y - points[begin, 1], z - points[begin, 2]
    best, nearest, second = dx * dx + dy * dy + dz * dz, begin, np.inf
    radius = min(np.sqrt(best), reach) + slack
    square = radius * radius
    nx, ny, nz = counts[0], counts[1], counts[2]
    inverse = 1.0 / edge
    cx, cy, cz = (x - low[0]) * inverse, (y - low[1]) * inverse, (z - low[2]) * inverse
    home_y, home_z = min(max(int(cy), 0), ny - 1), min(max(int(cz), 0), nz - 1)
    for way_z in (1, -1):  # from the home layer outwards, so that the radius shrinks early
        kz = home_z if way_z == 1 else home_z - 1
        while 0 <= kz < nz:
            gap = max(kz - cz, 0.0, cz - kz - 1.0) * edge
            gap_z = gap * gap
            if gap_z > square:
                break
            for way_y in (1, -1):
                ky = home_y if way_y == 1 else home_y - 1
                while 0 <= ky < ny:
                    gap = max(ky - cy, 0.0, cy - ky - 1.0) * edge
                    if gap_z + gap * gap > square:
                        break
                    half = radius * inverse
                    first, last = max(int(cx - half), 0), min(int(cx + half), nx - 1)
                    row = (kz * ny + ky) * nx
                    if first <= last:
                        for k in range(start[row + first], start[row + last + 1]):
                            dx, dy, dz = x - points[k, 0], y - points[k, 1], z - points[k, 2]
                            d = dx * dx + dy * dy + dz * dz
                            if d >= second or k == nearest:
                                continue
                            if d < best or (d == best and order[k] < order[nearest]):
                                second, best, nearest = best, d, k
                                radius = min(radius, np.sqrt(d) + slack)
                            else:
                                second = d
                            radius = min(radius, np.sqrt(second))
                            square = radius * radius
                    ky += way_y
            kz += way_z
    return nearest, best, radius


@compiled
def _mixed(i, partner):
    """A number that stands for a correspondence (splitmix64)."""
    h = np.uint64(i) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(partner + 2)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@compiled
def _solve(matrix, right):
    """Solve six equations by Cholesky; False if they do not determine the motion."""
    lower = np.zeros((6, 6))
    for j in range(6):
        rest = matrix[j, j]
        for k in range(j):
            rest -= lower[j, k] * lower[j, k]
        if not rest > 1e-10 * matrix[j, j]:
            return False, right
        lower[j, j] = np.sqrt(rest)
        for i in range(j + 1, 6):
            value = matrix[i, j]
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            lower[i, j] = value / lower[j, j]
    x = right.copy()
    for i in range(6):
        for k in range(i):
            x[i] -= lower[i, k] * x[k]
        x[i] /= lower[i, i]
    for i in range(5, -1, -1):
        for k in range(i + 1, 6):
            x[i] -= lower[k, i] * x[k]
        x[i] /= lower[i, i]
    return True, x


@compiled
def _turn(a, b, c):
    """Rotation by a about x, then b about y, then c about z: the step that Open3D makes."""
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    return np.array(
        [
            [cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa],
            [sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa],
            [-sb, cb * sa, cb * ca],
        ]
    )


@compiled
def _farthest(corners, pose, other):
    """How far apart two poses can put a point of a box."""
    most = 0.0
    for k in range(8):
        square = 0.0
        for j in range(3):
            apart = pose[j, 3] - other[j, 3]
            for i in range(3):
                apart += (pose[j, i] - other[j, i]) * corners[k, i]
            square += apart * apart
        most = max(most, square)
    return np.sqrt(most)


@compiled
def _corners(points):
    corners = np.empty((8, 3))
    for j in range(3):
        low, high = np.inf, -np.inf
        for i in range(len(points)):
            low, high = min(low, points[i, j]), max(high, points[i, j])
        for k in range(8):
            corners[k, j] = high if (k >> j) & 1 else low
    return corners


@compiled
def _accumulate(
    pose, points, normals, target, planes, inner, order, start, low, counts, edge,
    reach, cosine, nearest, partner, bound, known, distance, sums,
):  # fmt: skip
    """One pass: partners, distances and normal equations at a pose.

    `nearest` was last searched for when a point was at `known`; `bound` is what that left.
    Returns the sum of squares, the count, and the change of the sum that stands for all partners.
    """
    r00, r01, r02, t0 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    r10, r11, r12, t1 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    r20, r21, r22, t2 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    row, squares, kept, change = np.zeros(7), 0.0, 0, np.uint64(0)
    for i in range(len(points)):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        x = r00 * px + r01 * py + r02 * pz + t0
        y = r10 * px + r11 * py + r12 * pz + t1
        z = r20 * px + r21 * py + r22 * pz + t2
        q = nearest[i]
        dx, dy, dz = x - target[q, 0], y - target[q, 1], z - target[q, 2]
        d = dx * dx + dy * dy + dz * dz
        u, v, w = x - known[i, 0], y - known[i, 1], z - known[i, 2]
        sure = bound[i] - np.sqrt(u * u + v * v + w * w)
        if sure < reach and (sure < 0.0 or sure * sure < d):
            if i > 0:  # the neighbour's partner may be nearer by now: less to search
                p = nearest[i - 1]
                dx, dy, dz = x - target[p, 0], y - target[p, 1], z - target[p, 2]
                if dx * dx + dy * dy + dz * dz < d:
                    q = p
            q, d, bound[i] = _search(
                x, y, z, q, reach, _SLACK * edge, target, order, start, low, counts, edge
            )
            nearest[i] = q
            known[i, 0], known[i, 1], known[i, 2] = x, y, z
            dx, dy, dz = x - target[q, 0], y - target[q, 1], z - target[q, 2]
        a, b, c = planes[q, 0], planes[q, 1], planes[q, 2]
        u, v, w = normals[i, 0], normals[i, 1], normals[i, 2]
        agreement = (
            a * (r00 * u + r01 * v + r02 * w)
            + b * (r10 * u + r11 * v + r12 * w)
            + c * (r20 * u + r21 * v + r22 * w)
        )
        found = q if d <= reach * reach and inner[q] and agreement >= cosine else -1
        if found != partner[i]:
            change += _mixed(i, found) - _mixed(i, partner[i])
            partner[i] = found
        if found < 0:
            distance[i] = np.nan
            continue
        residual = dx * a + dy * b + dz * c
        distance[i] = residual
        squares += residual * residual
        kept += 1
        row[0], row[1], row[2] = y * c - z * b, z * a - x * c, x * b - y * a
        row[3], row[4], row[5], row[6] = a, b, c, residual
        for j in range(6):
            for k in range(j, 7):
                sums[j, k] += row[j] * row[k]
    return squares, kept, change


@compiled
def _advance(pose, sums, centre):
    """The next pose by Open3D's step, and whether the equations determine one."""
    matrix, right = np.empty((6, 6)), np.empty(6)
    for j in range(6):
        right[j] = -sums[j, 6]
        for k in range(6):
            matrix[j, k] = sums[min(j, k), max(j, k)]
    sound, x = _solve(matrix, right)
    turn = _turn(x[0], x[1], x[2])
    # The equations were set up about the centre, for their accuracy; the step turns about the
    # origin of the coordinates. Both have the same solution: shift = moved - angles x centre.
    shift = np.empty(3)
    shift[0] = x[3] - (x[1] * centre[2] - x[2] * centre[1])
    shift[1] = x[4] - (x[2] * centre[0] - x[0] * centre[2])
    shift[2] = x[5] - (x[0] * centre[1] - x[1] * centre[0])
    after = np.empty((3, 4))
    for j in range(3):
        after[j, 3] = shift[j] - centre[j]
        for k in range(3):
            after[j, 3] += turn[j, k] * (pose[k, 3] + centre[k])
            after[j, k] = 0.0
            for m in range(3):
                after[j, k] += turn[j, m] * pose[m, k]
    return after, sound


@compiled
def register_pair(
    points, normals, begin, target, planes, inner, order, start, low, counts, edge,
    centre, reach, cosine, tolerance, most,
):  # fmt: skip
    """Gauss-Newton on the distances to the planes of the nearest vertices.

    Parameters
    ----------
    points, normals : ndarray of float64, (vertex, xyz=3)
        The moving surface at the start, mm from the target's centre, and its unit normals.
    begin : ndarray of int64, (vertex,)
        A guess of each one's nearest target vertex.
    target, planes, inner, order, start, low, counts, edge : ndarray and float
        The fields of the target's `Grid`.
    centre : ndarray of float64, (xyz=3,)
        The target's centre in the caller's coordinates.
    reach, cosine, tolerance : float
        Largest distance (mm) and least cosine between normals of a correspondence; length of a
        last step (mm).
    most : int
        Most steps.

    Returns
    -------
    tuple
        The motion (3, 4), the signed distance (vertex,) there, NaN without a partner, the
        number of steps, the length of the last one, and how it ended.
    """
    n = len(points)
    corners, poses = _corners(points), np.empty((most + 1, 3, 4))
    poses[0] = np.eye(3, 4)
    errors, prints = np.empty(most + 1), np.empty(most + 1, np.uint64)
    nearest, partner = begin.copy(), np.full(n, -2, np.int64)
    bound, known = np.full(n, -1.0), np.zeros((n, 3))
    distance, label = np.empty(n), np.uint64(0)
    steps, now, end, length = 0, 0, EXHAUSTED, np.inf
    while True:
        sums = np.zeros((6, 7))
        squares, kept, change = _accumulate(
            poses[now], points, normals, target, planes, inner, order, start, low, counts, edge,
            reach, cosine, nearest, partner, bound, known, distance, sums,
        )  # fmt: skip
        label += change
        if kept < 6:
            end = LOST
        elif length <= tolerance:
            end = CONVERGED
        if kept < 6 or length <= tolerance or end == CYCLING or steps == most:
            break
        errors[steps], prints[steps] = squares / kept, label
        before = steps - 1
        while before >= 0 and prints[before] != label:
            before -= 1
        if 0 <= before < steps - 1 and prints[steps - 1] != label:
            # The same partners as before the last steps: these would be repeated for ever.
            end, now = CYCLING, before + 1
            for k in range(before + 1, steps + 1):
                if errors[k] < errors[now]:
                    now = k
        else:
            poses[steps + 1], sound = _advance(poses[steps], sums, centre)
            if not sound:
                end = SINGULAR
                break
            length = _farthest(corners, poses[steps + 1], poses[steps])
            steps += 1
            now = steps
    return poses[now].copy(), distance, steps, length, end
