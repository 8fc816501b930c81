"""Point-to-plane ICP, compiled.

The nearest vertex is exact, yet searched for only where it may have changed: a search that found
`nearest` at distance d also gives a bound L below which nothing else lies; as long as the point
has moved by at most L - d since, nothing can have come nearer. Searches go through short lists
that the vertices of a cube share. What remains of an iteration is one pass that accumulates the
six normal equations.

All functions that call each other live in this one file, because numba's cache looks at one file.
"""

import numpy as np

from v2mlib.compiling import compiled
from v2mlib.metrics.registration.preparing import compiled_sum

#: Ends of a registration.
CONVERGED, CYCLING, EXHAUSTED, LOST, SINGULAR = range(5)

#: How much farther a list reaches than the farthest partner of its cube, in edges of a cube.
_SLACK = 0.1
#: Vertices in work at once.
_CHUNK = 512
#: Room in all lists together, for each vertex.
_ROOM = 24
#: Stands behind every distance: the bits of infinity.
_LARGEST = np.int64(0x7FF0000000000000)


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
def _apart(a, b, lo, hi, out):
    """Squared distances between points (xyz, vertex)."""
    ax, ay, az = a[0, lo:hi], a[1, lo:hi], a[2, lo:hi]
    bx, by, bz = b[0, lo:hi], b[1, lo:hi], b[2, lo:hi]
    for i in range(hi - lo):
        dx, dy, dz = ax[i] - bx[i], ay[i] - by[i], az[i] - bz[i]
        out[i] = dx * dx + dy * dy + dz * dz


@compiled
def _move(pose, points, moved, partners, known, bound, reach, square, stale, gone, lo, hi):
    """Move points; tell how far (squared) their partners are, and which may have changed."""
    x, y, z = points[0, lo:hi], points[1, lo:hi], points[2, lo:hi]
    for j in range(3):
        r0, r1, r2, t, out = pose[j, 0], pose[j, 1], pose[j, 2], pose[j, 3], moved[j, lo:hi]
        for i in range(hi - lo):
            out[i] = r0 * x[i] + r1 * y[i] + r2 * z[i] + t
    _apart(moved, partners, lo, hi, square[lo:hi])
    _apart(moved, known, lo, hi, gone)
    far, limits, out = square[lo:hi], bound[lo:hi], stale[lo:hi]
    for i in range(hi - lo):
        sure = limits[i] - np.sqrt(gone[i])
        out[i] = (sure < reach) & ((sure < 0.0) | (sure * sure < far[i]))


@compiled
def _cubes(x0, x1, low, edge, count):
    """First cube from x0, and the one behind the last up to x1, along an axis."""
    first = min(max(int((x0 - low) / edge), 0), count)
    behind = 0 if x1 < low else min(int((x1 - low) / edge), count - 1) + 1
    return first, max(behind, first)


@compiled
def _renew(
    blocks, stale, square, moved, known, bound, nearest, partners, reach, boxes, spans, used, near,
    columns, squared, target, planes, inner, order, start, low, counts, edge,
):  # fmt: skip
    """Search again for the partners that may have changed, cube by cube.

    The vertices of a cube share a list of all that lie in their box widened by a radius, which
    serves as long as it holds everything nearer than a vertex's partner. The nearest of a list
    is found by plain loops that become vector instructions. One function without slices,
    because numba counts references at each call and slice.
    """
    bits = squared.view(np.int64)
    for block in range(len(blocks) - 1):
        for i in range(blocks[block], blocks[block + 1]):
            if not stale[i]:
                continue
            x, y, z = moved[0, i], moved[1, i], moved[2, i]
            beyond = 0.0
            for j in range(3):
                p = moved[j, i]
                beyond = max(beyond, boxes[block, j] - p, p - boxes[block, j + 3])
            if not boxes[block, 6] - beyond > min(np.sqrt(square[i]), reach):
                beyond, widest = 0.0, 0.0
                x0, y0, z0, x1, y1, z1 = x, y, z, x, y, z
                for k in range(blocks[block], blocks[block + 1]):
                    widest = max(widest, square[k])
                    x0, x1 = min(x0, moved[0, k]), max(x1, moved[0, k])
                    y0, y1 = min(y0, moved[1, k]), max(y1, moved[1, k])
                    z0, z1 = min(z0, moved[2, k]), max(z1, moved[2, k])
                radius = min(np.sqrt(widest), reach) + _SLACK * edge
                boxes[block, 0], boxes[block, 1], boxes[block, 2] = x0, y0, z0
                boxes[block, 3], boxes[block, 4], boxes[block, 5] = x1, y1, z1
                x0, y0, z0 = x0 - radius, y0 - radius, z0 - radius
                x1, y1, z1 = x1 + radius, y1 + radius, z1 + radius
                if used > len(near) - len(target) - 1:  # no room: forget all lists so far
                    used = 0
                    for k in range(len(boxes)):
                        boxes[k, 6] = -1.0
                m = used
                first, last = _cubes(x0, x1, low[0], edge, counts[0])
                from_y, to_y = _cubes(y0, y1, low[1], edge, counts[1])
                from_z, to_z = _cubes(z0, z1, low[2], edge, counts[2])
                for kz in range(from_z, to_z):
                    for ky in range(from_y, to_y):
                        row = (kz * counts[1] + ky) * counts[0]
                        for k in range(start[row + first], start[row + last]):
                            u, v, w = target[k, 0], target[k, 1], target[k, 2]
                            near[m], columns[0, m], columns[1, m], columns[2, m] = k, u, v, w
                            inside = (u >= x0) & (u <= x1) & (v >= y0) & (v <= y1)
                            m += inside & (w >= z0) & (w <= z1)
                boxes[block, 6], spans[block, 0], spans[block, 1], used = radius, used, m - used, m
            known[0, i], known[1, i], known[2, i] = x, y, z
            bound[i] = boxes[block, 6] - beyond
            begin, n = np.uint64(spans[block, 0]), np.uint64(spans[block, 1])
            if n == 0:
                continue
            for k in range(n):
                c = begin + k
                u, v, w = x - columns[0, c], y - columns[1, c], z - columns[2, c]
                squared[k] = u * u + v * v + w * w
            best = _LARGEST
            for k in range(n):
                best = min(best, bits[k])
            second, place, same = _LARGEST, _LARGEST, 0
            for k in range(n):
                second = min(second, bits[k] if bits[k] > best else _LARGEST)
                place = min(place, np.int64(k) if bits[k] == best else _LARGEST)
                same += bits[k] == best
            q = near[begin + np.uint64(place)]
            if same > 1:
                second = best
                for k in range(n):
                    if bits[k] == best and order[near[begin + k]] < order[q]:
                        q = near[begin + k]
            bits[0] = second
            bound[i] = min(np.sqrt(squared[0]), bound[i])
            if q != nearest[i]:
                nearest[i] = q
                for j in range(3):
                    partners[j, i], partners[j + 3, i] = target[q, j], planes[q, j]
                partners[6, i] = 1.0 if inner[q] else 0.0
    return used


@compiled
def _rows(pose, moved, normals, partners, lo, hi, reach, cosine, work, rows):
    """Rows of the equations of a chunk of vertices, as columns; 0 for what does not count."""
    size, limit = hi - lo, reach * reach
    dx, dy, dz, square, agreement = work[0], work[1], work[2], work[3], work[4]
    for j in range(3):
        apart, x, t = work[j], moved[j, lo:hi], partners[j, lo:hi]
        for i in range(size):
            apart[i] = x[i] - t[i]
    for i in range(size):
        square[i] = dx[i] * dx[i] + dy[i] * dy[i] + dz[i] * dz[i]
    u, v, w = normals[0, lo:hi], normals[1, lo:hi], normals[2, lo:hi]
    agreement[:] = 0.0
    for j in range(3):
        plane, r0, r1, r2 = partners[j + 3, lo:hi], pose[j, 0], pose[j, 1], pose[j, 2]
        for i in range(size):
            agreement[i] += plane[i] * (r0 * u[i] + r1 * v[i] + r2 * w[i])
    keep, partnered = work[5], partners[6, lo:hi]
    for i in range(size):
        keep[i] = partnered[i] if (square[i] <= limit) & (agreement[i] >= cosine) else 0.0
    for j in range(3):
        plane, out = partners[j + 3, lo:hi], rows[j + 3]
        for i in range(size):
            out[i] = keep[i] * plane[i]
    for j in range(3):
        y, z = moved[(j + 1) % 3, lo:hi], moved[(j + 2) % 3, lo:hi]
        b, c, out = rows[3 + (j + 1) % 3], rows[3 + (j + 2) % 3], rows[j]
        for i in range(size):
            out[i] = y[i] * c[i] - z[i] * b[i]
    a, b, c, residual = rows[3], rows[4], rows[5], rows[6]
    for i in range(size):
        residual[i] = dx[i] * a[i] + dy[i] * b[i] + dz[i] * c[i]


@compiled_sum
def _product(a, b, size):
    total = 0.0
    for i in range(size):
        total += a[i] * b[i]
    return total


@compiled
def _accumulate(
    pose, points, normals, target, planes, inner, order, start, low, counts, edge, blocks,
    reach, cosine, nearest, partner, bound, known, distance, sums,
    moved, partners, square, stale, boxes, spans, used, near, columns, squared, work, rows,
):  # fmt: skip
    """One pass: partners, distances and normal equations at a pose.

    `nearest` was last searched for when a point was at `known`; `bound` is what that left.
    Returns the count, and the change of the sum that stands for all partners. Loops are short
    and plain, over chunks that stay in the processor's cache: they become vector instructions.
    """
    n, kept, change = len(nearest), 0, np.uint64(0)
    for lo in range(0, n, _CHUNK):
        hi = min(lo + _CHUNK, n)
        _move(pose, points, moved, partners, known, bound, reach, square, stale, work[0], lo, hi)
    used[0] = _renew(
        blocks, stale, square, moved, known, bound, nearest, partners, reach, boxes, spans,
        used[0], near, columns, squared, target, planes, inner, order, start, low, counts, edge,
    )  # fmt: skip
    for lo in range(0, n, _CHUNK):
        hi = min(lo + _CHUNK, n)
        _rows(pose, moved, normals, partners, lo, hi, reach, cosine, work, rows)
        for j in range(7):
            for k in range(j, 7):
                sums[j, k] += _product(rows[j], rows[k], hi - lo)
        for i in range(lo, hi):
            counted = work[5, i - lo] > 0.0
            found = nearest[i] if counted else -1
            distance[i] = rows[6, i - lo] if counted else np.nan
            kept += counted
            if found != partner[i]:
                change += _mixed(i, found) - _mixed(i, partner[i])
                partner[i] = found
    return kept, change


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
    points, normals, corners, target, planes, inner, order, start, low, counts, edge, blocks,
    centre, reach, cosine, tolerance, most,
):  # fmt: skip
    """Gauss-Newton on the distances to the planes of the nearest vertices.

    Parameters
    ----------
    points, normals : ndarray of float64, (xyz=3, vertex)
        The moving surface at the start, mm from the target's centre, and its unit normals; in
        the target's order, because vertices that share a number are near at the start.
    corners : ndarray of float64, (corner=8, xyz=3)
        Of a box around the moving surface.
    target, planes, inner, order, start, low, counts, edge, blocks : ndarray and float
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
    n = points.shape[1]
    poses = np.empty((most + 1, 3, 4))
    poses[0] = np.eye(3, 4)
    errors, prints = np.empty(most + 1), np.empty(most + 1, np.uint64)
    nearest, partner = np.arange(n), np.full(n, -2, np.int64)
    bound, known, partners = np.full(n, -1.0), np.zeros((3, n)), np.empty((7, n))
    for j in range(3):
        partners[j], partners[j + 3] = target[:, j], planes[:, j]
    partners[6] = np.where(inner, 1.0, 0.0)
    distance, label = np.empty(n), np.uint64(0)
    moved, square, stale = np.empty((3, n)), np.empty(n), np.empty(n, np.bool_)
    boxes, spans = np.full((len(blocks), 7), -1.0), np.zeros((len(blocks), 2), np.int64)
    squared, used = np.empty(len(target) + 1), np.zeros(1, np.int64)
    near = np.empty(_ROOM * n + len(target) + 1, np.int64)
    columns = np.empty((3, len(near)))
    work, rows = np.empty((6, _CHUNK)), np.empty((7, _CHUNK))
    steps, now, end, length = 0, 0, EXHAUSTED, np.inf
    while True:
        sums = np.zeros((7, 7))
        kept, change = _accumulate(
            poses[now], points, normals, target, planes, inner, order, start, low, counts, edge,
            blocks, reach, cosine, nearest, partner, bound, known, distance, sums,
            moved, partners, square, stale, boxes, spans, used, near, columns, squared, work, rows,
        )  # fmt: skip
        label += change
        if kept < 6:
            end = LOST
        elif length <= tolerance:
            end = CONVERGED
        if kept < 6 or length <= tolerance or end == CYCLING or steps == most:
            break
        errors[steps], prints[steps] = sums[6, 6] / kept, label
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
