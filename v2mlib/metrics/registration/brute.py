"""Exact nearest vertices by comparing all with all, on tensors: what a graphics card is good at."""

import torch

#: Distances held at once: half a gigabyte in single precision.
_ELEMENTS = 2**27
_GROUP, _KEPT = 64, 4


def nearest_vertices(points, target):
    """Nearest vertex of each point, and how far away any other is at least.

    Single precision picks the few groups of vertices that can hold it, double precision decides
    among them; where that leaves a doubt, everything is compared in double precision.

    Parameters
    ----------
    points : tensor of float64, (point, xyz=3), mm
        Where to look from.
    target : tensor of float64, (vertex, xyz=3), mm
        Among what, near the origin.

    Returns
    -------
    nearest : tensor of int64, (point,)
        The vertex; of several at the same distance the first.
    bound : tensor of float64, (point,), mm
        No other vertex is nearer than this.
    """
    n_groups = -(-len(target) // _GROUP)
    if n_groups <= _KEPT + 1:
        return _by_part(_decide_all, points, target, len(target))
    return _by_part(_decide_among_groups, points, target, n_groups * _GROUP)


def _by_part(decide, points, target, width):
    rows = max(1, _ELEMENTS // width)
    parts = [decide(part, target) for part in points.split(rows)]
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _decide(square, index):
    """Smallest of each row by value, then by index; and the smallest of the rest."""
    best = square.amin(1, keepdim=True)
    last = torch.iinfo(torch.int64).max
    nearest = torch.where(square == best, index, last).amin(1)
    second = square.masked_fill(index == nearest[:, None], torch.inf).amin(1)
    return nearest, best[:, 0], second


def _decide_all(points, target):
    square = sum((points[:, None, j] - target[:, j]) ** 2 for j in range(3))
    nearest, _, second = _decide(square, torch.arange(len(target), device=points.device)[None])
    return nearest, second.sqrt()


def _decide_among_groups(points, target):
    n_groups = -(-len(target) // _GROUP)
    rough, own = target.float(), (points**2).sum(1)
    score = torch.addmm((rough**2).sum(1)[None], points.float(), rough.T, alpha=-2.0)
    padding = n_groups * _GROUP - len(target)
    score = torch.nn.functional.pad(score, (0, padding), value=torch.inf)
    lowest, group = (
        score.unflatten(1, (n_groups, _GROUP)).amin(2).topk(_KEPT + 1, dim=1, largest=False)
    )
    # Rounding in single precision grows with the squares of the coordinates.
    margin = 2e-6 * (own + (target**2).sum(1).amax())
    beyond = lowest[:, -1].double() + own - margin
    index = group[:, :_KEPT, None] * _GROUP + torch.arange(_GROUP, device=points.device)
    index = index.flatten(1)
    inside = target[index.clamp(max=len(target) - 1)]
    square = ((points[:, None] - inside) ** 2).sum(2)
    square = square.masked_fill(index >= len(target), torch.inf)
    nearest, best, second = _decide(square, index)
    bound = torch.minimum(second, beyond).clamp(min=0).sqrt()
    doubt = (best > beyond).nonzero()[:, 0]
    if len(doubt):
        nearest[doubt], bound[doubt] = _by_part(_decide_all, points[doubt], target, len(target))
    return nearest, bound
