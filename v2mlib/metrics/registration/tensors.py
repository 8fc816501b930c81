"""Registration of many pairs at once on tensors: the compiled loop again, for a graphics card.

Decisions and sums are in double precision, so that both ways agree; the comments on the method
are in `v2mlib.metrics.registration.compiled`.
"""

import numpy as np
import torch

from v2mlib.faces.geometry import vertex_normals
from v2mlib.metrics.registration.brute import nearest_vertices
from v2mlib.metrics.registration.compiled import CONVERGED, CYCLING, EXHAUSTED, LOST, SINGULAR
from v2mlib.metrics.registration.searching import Fit

#: Vertices of all pairs in work at once: about 2 GB.
_VERTICES = 2**22


def fit_batch(pairs, patch, which, starts, direction, config, motion):
    """Register pairs on the device of the faces.

    Parameters
    ----------
    pairs : FacePairs
        The faces.
    patch : Patch
        What is registered.
    which : ndarray of int64, (pair, 2)
        Rows of the faces.
    starts : sequence of Start
        Where each pair begins.
    direction : str
        Whose vertices look for the other's planes.
    config : RegistrationConfig
        Which correspondences count.
    motion : bool
        Whether to move at all.

    Returns
    -------
    list of Fit
        One per pair, of the moving surface.
    """
    size = max(1, _VERTICES // len(patch.vertices))
    fits = []
    for k in range(0, len(which), size):
        rows = slice(k, k + size)
        block = _Block(pairs, patch, which[rows], starts[rows], direction, config)
        fits += block.run(config.max_iterations if motion else 0)
    return fits


class _Block:
    """Pairs in work: axes (pair, vertex, xyz); the target's centre is the origin."""

    def __init__(self, pairs, patch, which, starts, direction, config):
        device = pairs.predicted.device
        self.config, self.cosine = config, float(np.cos(np.radians(config.max_angle_deg)) - 1e-12)
        scale = torch.tensor([start.scale for start in starts], device=device, dtype=torch.float64)
        turn = torch.tensor(np.stack([start.rotation for start in starts]), device=device)
        shift = torch.tensor(np.stack([start.translation for start in starts]), device=device)
        around = torch.as_tensor(patch.around, device=device)
        predicted = scale[:, None, None] * pairs.predicted[which[:, 0]][:, around]
        reference = pairs.reference[which[:, 1]][:, around]
        if direction == "predicted_to_reference":
            faces = predicted @ turn.mT + shift[:, None], reference
        else:
            faces = (reference - shift[:, None]) @ turn, predicted
        n_vertices = len(patch.vertices)
        normals = [vertex_normals(face, patch.triangles)[:, :n_vertices] for face in faces]
        moving, target = (face[:, :n_vertices] for face in faces)
        self.centre = target.mean(1)
        self.target, self.planes = target - self.centre[:, None], normals[1]
        self.points, self.normals = moving - self.centre[:, None], normals[0]
        inner = torch.as_tensor(patch.inner | (not config.reject_boundary), device=device)
        self.partners = inner & self.planes.any(-1)
        batch = self.points.shape[:2]
        self.nearest = torch.arange(n_vertices, device=device).repeat(batch[0], 1)
        self.bound = torch.full(batch, -1.0, device=device, dtype=torch.float64)
        self.known = torch.zeros_like(self.points)
        random = torch.Generator().manual_seed(0)
        codes = torch.randint(-(2**62), 2**62, (n_vertices,), generator=random)
        self.codes = codes.to(device)
        low, high = self.points.amin(1), self.points.amax(1)
        ends = torch.stack([low, high], 1)  # (pair, end, xyz)
        picks = torch.tensor([[c >> j & 1 for j in range(3)] for c in range(8)], device=device)
        self.corners = ends[:, picks, torch.arange(3, device=device)]

    def run(self, most):
        """Steps until every pair has ended."""
        n_pairs = len(self.points)
        pose = torch.eye(3, 4, device=self.points.device, dtype=torch.float64).repeat(n_pairs, 1, 1)
        histories, results = [_History() for _ in range(n_pairs)], [None] * n_pairs
        active = list(range(n_pairs))
        while active:
            a = torch.tensor(active, device=pose.device)
            distance, sums, count, label = self._measure(a, pose[a])
            after, sound = _advance(pose[a], sums, self.centre[a])
            gone = self._farthest(a, after, pose[a])
            facts = zip(
                *(
                    x.tolist()
                    for x in (sums[:, 6, 6] / count.clamp(min=1), count, label, sound, gone)
                ),
                strict=True,
            )
            remaining = []
            for k, (i, fact) in enumerate(zip(active, facts, strict=True)):
                history = histories[i]
                verdict = history.judge(fact, pose[i], self.config.tolerance_mm, most)
                if verdict == "step":
                    pose[i] = after[k]
                    history.length = fact[4]
                elif verdict == "return":
                    pose[i] = history.best
                else:
                    results[i] = self._result(i, pose[i], distance[k], history)
                    continue
                remaining.append(i)
            active = remaining
        return results

    def _measure(self, a, pose):
        turn, shift = pose[..., :3], pose[..., 3]
        moved = self.points[a] @ turn.mT + shift[:, None]
        self._search(a, moved)
        nearest = self.nearest[a]
        pick = nearest[..., None].expand(-1, -1, 3)
        planes = self.planes[a].gather(1, pick)
        apart = moved - self.target[a].gather(1, pick)
        agreement = ((self.normals[a] @ turn.mT) * planes).sum(-1)
        kept = (apart**2).sum(-1) <= self.config.max_distance_mm**2
        kept &= self.partners[a].gather(1, nearest) & (agreement >= self.cosine)
        residual = (apart * planes).sum(-1)
        rows = torch.cat([torch.linalg.cross(moved, planes), planes, residual[..., None]], -1)
        rows = rows * kept[..., None]
        label = (self.codes * (torch.where(kept, nearest, -1) + 2)).sum(1)
        distance = torch.where(kept, residual, torch.nan)
        return distance, rows.mT @ rows, kept.sum(1), label

    def _search(self, a, moved):
        """Look again where a nearer vertex may have come, pair by pair."""
        reach = self.config.max_distance_mm
        pick = self.nearest[a][..., None].expand(-1, -1, 3)
        own = torch.linalg.vector_norm(moved - self.target[a].gather(1, pick), dim=-1)
        sure = self.bound[a] - torch.linalg.vector_norm(moved - self.known[a], dim=-1)
        stale = sure < own.clamp(max=reach)
        for k in stale.any(1).nonzero()[:, 0].tolist():
            i, rows = a[k], stale[k].nonzero()[:, 0]
            points = moved[k, rows]
            self.nearest[i, rows], self.bound[i, rows] = nearest_vertices(points, self.target[i])
            self.known[i, rows] = points

    def _farthest(self, a, pose, other):
        apart = pose - other
        moved = self.corners[a] @ apart[..., :3].mT + apart[:, None, :, 3]
        return torch.linalg.vector_norm(moved, dim=-1).amax(1)

    def _result(self, i, pose, distance, history):
        turn, shift = pose[:, :3], pose[:, 3]
        centre = self.centre[i]
        arrays = (turn, shift + centre - turn @ centre, distance)
        arrays = (x.cpu().numpy() for x in arrays)
        return Fit(*arrays, len(history.poses) - 1, history.length, history.end)


class _History:
    """What one registration has been through, and what follows from it."""

    def __init__(self):
        self.errors, self.labels, self.poses = [], [], []
        self.length, self.end, self.best = float("inf"), EXHAUSTED, None

    def judge(self, fact, pose, tolerance, most):
        """Say "step", "return" (to the best pose of a cycle) or "stop"."""
        error, count, label, sound, _ = fact
        if self.end == CYCLING:
            return "stop"
        self.errors.append(error)
        self.labels.append(label)
        self.poses.append(pose.clone())
        steps = len(self.poses) - 1
        if count < 6:
            self.end = LOST
        elif self.length <= tolerance:
            self.end = CONVERGED
        if self.end != EXHAUSTED or steps == most:
            return "stop"
        before = max((k for k in range(steps) if self.labels[k] == label), default=-1)
        if 0 <= before < steps - 1:
            self.end = CYCLING
            round_trip = range(before + 1, steps + 1)
            self.best = self.poses[min(round_trip, key=self.errors.__getitem__)]
            return "return"
        if not sound:
            self.end = SINGULAR
            return "stop"
        return "step"


def _advance(pose, sums, centre):
    """The next poses by Open3D's step, and whether the equations determine them."""
    matrix, right = sums[:, :6, :6], -sums[:, :6, 6]
    size = matrix.diagonal(dim1=1, dim2=2).sqrt().clamp(min=1e-300)
    lower, info = torch.linalg.cholesky_ex(matrix / (size[:, :, None] * size[:, None]))
    sound = (info == 0) & (lower.diagonal(dim1=1, dim2=2).amin(1) ** 2 > 1e-10)
    lower = torch.where(sound[:, None, None], lower, torch.eye(6).to(lower))
    x = torch.cholesky_solve((right / size)[..., None], lower)[..., 0] / size
    turn = _turn(x[:, :3])
    shift = x[:, 3:] - torch.linalg.cross(x[:, :3], centre)
    offset = (turn @ (pose[..., 3] + centre)[..., None])[..., 0] + shift - centre
    return torch.cat([turn @ pose[..., :3], offset[..., None]], -1), sound


def _turn(angles):
    cosine, sine = angles.cos(), angles.sin()
    one, zero = torch.ones_like(angles[:, 0]), torch.zeros_like(angles[:, 0])
    (ca, cb, cc), (sa, sb, sc) = cosine.T, sine.T
    rows = [
        [one, zero, zero, zero, ca, -sa, zero, sa, ca],
        [cb, zero, sb, zero, one, zero, -sb, zero, cb],
        [cc, -sc, zero, sc, cc, zero, zero, zero, one],
    ]
    about_x, about_y, about_z = (torch.stack(r, 1).reshape(-1, 3, 3) for r in rows)
    return about_z @ about_y @ about_x
