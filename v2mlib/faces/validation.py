"""Checks of a face model as a whole: shapes, finite numbers, indices, unit."""

import torch

from v2mlib.checks import InputError, ShapeError, check_shape
from v2mlib.faces.named import DEFINITIONS, MISSING_LANDMARK


def check_model(model):
    """Refuse a face model whose arrays do not fit together.

    Parameters
    ----------
    model : MorphableModel
        All fields set.

    Raises
    ------
    ShapeError
        If the arrays do not fit together.
    InputError
        If an array holds NaN or infinity, an index points outside the mesh, a standard
        deviation is not positive, or the unit is not mm.
    """
    vertex, shape, expression = model.n_vertices, model.n_shape, model.n_expression
    expected = {
        "mean": {"vertex": vertex, "xyz": 3},
        "shape_basis": {"vertex": vertex, "xyz": 3, "shape": shape},
        "expression_basis": {"vertex": vertex, "xyz": 3, "expression": expression},
        "shape_std": {"shape": shape},
        "shape_raw_mean": {"shape": shape},
        "expression_std": {"expression": expression},
        "expression_raw_mean": {"expression": expression},
        "triangles": {"triangle": None, "corner": 3},
        "landmarks": {"landmark": 68},
    }
    if model.colours is not None:
        expected["colours"] = {"vertex": vertex, "rgb": 3}
    label = f"face model {model.name!r}"
    for field, axes in expected.items():
        array = getattr(model, field)
        check_shape(array, axes, f"{label}: {field}")
        if array.is_floating_point() and not torch.isfinite(array).all():
            raise InputError(label, f"has NaN or infinity in {field}", "read its source again")
    for field in ("shape_std", "expression_std"):
        if not (getattr(model, field) > 0).all():
            raise InputError(label, f"has a {field} that is not positive", "drop that mode")
    if model.expression_names and len(model.expression_names) != expression:
        raise ShapeError(
            f"{label} has {len(model.expression_names)} expression_names for {expression} modes"
        )
    known = model.landmarks[model.landmarks != MISSING_LANDMARK]
    pairs = [pair for field in DEFINITIONS.values() for pair in getattr(model, field).values()]
    indices = {"triangles": model.triangles, "landmarks": known}
    indices["lines"] = torch.tensor(pairs, dtype=torch.int64)
    indices.update((f"region {name}", region) for name, region in model.regions.items())
    for what, index in indices.items():
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= vertex):
            raise InputError(
                label,
                f"has {what} that point outside its {vertex} vertices",
                "check that all its files belong to one topology (and count from 0)",
            )
    if model.unit != "mm":
        raise InputError(label, f"is in {model.unit!r}", "convert it to mm first")
