"""Lines, ratios and the absolute ratio error: by construction, by plain loops, by invariance."""

import math

import numpy as np
import pytest
import torch
from faces_made import small_model
from scipy.spatial.transform import Rotation

from v2mlib import metrics
from v2mlib.checks import InputError, ShapeError
from v2mlib.faces.lines import DIVISOR, RATIO_LINES

LINES = (DIVISOR, *RATIO_LINES)


def lying_face():
    """A model whose five lines lie along x (even lines) or y, 100 mm and more."""
    mean = np.zeros((68, 3))
    for k in range(5):
        mean[2 * k + 1, k % 2] = 100.0 + 10 * k
    mean[2:10:4] += 7.0
    mean[3:10:4] += 7.0
    lines = {name: (2 * k, 2 * k + 1) for k, name in enumerate(LINES)}
    zeros = {"shape_basis": np.zeros((68, 3, 1)), "expression_basis": np.zeros((68, 3, 0))}
    stds = {"shape_std": [1.0], "expression_std": []}
    return small_model(mean=mean, lines=lines, n_vertices=68, **zeros, **stds)


def are_by_loops(predicted, reference, model, definition):
    """The released rule, written out: no arrays, no broadcasting."""
    table = {name: [] for name in (*RATIO_LINES, "mean")}
    pairs = model.lines if definition == "corrected" else model.published_lines
    for face, truth in zip(predicted, reference, strict=True):
        total = 0.0
        for name in RATIO_LINES:
            ratios = []
            for points in (face, truth):
                lengths = []
                for line in (name, "outer_interocular"):
                    first, second = pairs[line]
                    squares = [(float(points[first][x]) - float(points[second][x])) ** 2
                               for x in range(3)]  # fmt: skip
                    lengths.append(math.sqrt(sum(squares)))
                ratios.append(lengths[0] / lengths[1])
            table[name].append(abs(ratios[0] - ratios[1]))
            total += table[name][-1]
        table["mean"].append(total / 4)
    return table


@pytest.mark.parametrize("definition", ["corrected", "published"])
def test_error_agrees_with_plain_loops(definition):
    model = small_model(published_lines={name: (k, 60 - k) for k, name in enumerate(LINES)})
    random = np.random.default_rng(0)
    predicted, reference = model.mean.numpy() + random.normal(size=(2, 6, 90, 3)) * 5
    expected = are_by_loops(predicted, reference, model, definition)
    arrays = metrics.absolute_ratio_error(predicted, reference, model, definition)
    tensors = metrics.absolute_ratio_error(
        torch.tensor(predicted), torch.tensor(reference), model, definition=definition
    )
    assert list(arrays) == [*RATIO_LINES, "mean"] == list(tensors)
    for name, values in expected.items():
        assert arrays[name].shape == (6,)
        assert np.allclose(arrays[name], values, rtol=1e-6)
        assert isinstance(arrays[name], np.ndarray)
        assert isinstance(tensors[name], torch.Tensor)
        assert np.allclose(tensors[name], values, rtol=1e-6)


def test_no_error_for_the_same_face_wherever_and_however_large_it_is():
    model = small_model()
    face = model.mean.numpy().astype(np.float64)
    turn = Rotation.from_euler("xyz", [20, -35, 10], degrees=True).as_matrix()
    moved = 1.7 * face @ turn.T + (10, -30, 200)
    error = metrics.absolute_ratio_error(np.stack([face, moved]), face, model)
    assert (error["mean"][0]) == 0
    assert error["mean"][1] < 1e-12
    other = face + np.random.default_rng(1).normal(size=face.shape)
    near = metrics.absolute_ratio_error(face, other, model)
    far = metrics.absolute_ratio_error(moved, 0.3 * other @ turn, model)
    assert all(np.isclose(near[name], far[name]) and near[name] > 0 for name in near)


def test_a_face_ten_percent_wider():
    """Lines along x grow with the divisor and keep their ratio; lines along y lose 1 / 1.1."""
    model = lying_face()
    face = model.mean.numpy().astype(np.float64)
    error = metrics.absolute_ratio_error(face * (1.1, 1, 1), face, model)
    lengths = dict(zip(LINES, (100, 110, 120, 130, 140), strict=True))
    expected = {
        name: 0.0 if k % 2 == 0 else lengths[name] / 100 * (1 - 1 / 1.1)
        for k, name in enumerate(LINES)
    }
    assert all(np.isclose(error[name], expected[name], atol=1e-12) for name in RATIO_LINES)
    assert np.isclose(error["mean"], sum(expected.values()) / 4)
    ratios = metrics.line_ratios(face, model)
    assert np.allclose([ratios[name] for name in RATIO_LINES], [1.1, 1.2, 1.3, 1.4])
    measured = metrics.line_lengths(face, model)
    assert all(np.isclose(measured[name], lengths[name]) for name in LINES)


def test_one_mean_face_against_many():
    model = small_model()
    references = model.decode(torch.randn(3, 4, 5))
    error = metrics.absolute_ratio_error(model.mean, references, model)
    assert error["mean"].shape == (3, 4)
    one = metrics.absolute_ratio_error(model.mean, references[1, 2], model)
    assert one["cheek"].shape == ()
    assert torch.isclose(one["cheek"], error["cheek"][1, 2])


def test_errors_name_what_is_wrong():
    model = small_model(published_lines={}, absences={"published ear": "it was cut away"})
    face = model.mean
    with pytest.raises(ShapeError, match=r"reference have 89 vertices, face model 'made' has 90"):
        metrics.absolute_ratio_error(face, face[:89], model)
    with pytest.raises(InputError, match="it was cut away"):
        metrics.absolute_ratio_error(face, face, model, definition="published")
    with pytest.raises(InputError, match="two kinds"):
        metrics.absolute_ratio_error(face, face.numpy(), model)
    with pytest.raises(InputError, match="predicted faces hold NaN"):
        metrics.absolute_ratio_error(face * torch.nan, face, model)
    with pytest.raises(InputError, match=r"reference faces are shrunk to a point \(1 of 1 faces"):
        metrics.absolute_ratio_error(face.numpy(), np.zeros((90, 3)), model)
    a, b = model.line(DIVISOR)
    closed = face.numpy().copy()
    closed[a] = closed[b]
    with pytest.raises(InputError, match="predicted faces have an outer interocular distance of 0"):
        metrics.absolute_ratio_error(closed, face.numpy(), model)
    off_the_lines = face.clone()
    measured = {vertex for name in LINES for vertex in model.line(name)}
    off_the_lines[min(set(range(90)) - measured)] = torch.nan
    with pytest.raises(InputError, match=r"hold NaN or infinity \(1 of 1 faces\)"):
        metrics.absolute_ratio_error(face, off_the_lines, model)
    with pytest.raises(ShapeError, match=r"batch axes \(2,\), reference \(3,\)"):
        metrics.absolute_ratio_error(face.expand(2, -1, -1), face.expand(3, -1, -1), model)
    with pytest.raises(InputError, match="predicted holds object, not numbers: give vertices"):
        metrics.absolute_ratio_error(face.numpy().astype(object), face.numpy(), model)


def test_half_precision_is_not_calculated_in():
    model = small_model()
    stored = model.decode(torch.randn(20, 5)).half()
    error = metrics.absolute_ratio_error(model.mean.half(), stored, model)["mean"]
    exact = metrics.absolute_ratio_error(model.mean.half().double(), stored.double(), model)["mean"]
    assert error.dtype == torch.float32
    assert torch.allclose(error.double(), exact, atol=1e-6)


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("at_mean", [False, True])
def test_jacobian_is_that_of_autograd(ratio, at_mean):
    model = small_model().to(dtype=torch.float64)
    at = torch.zeros(5, dtype=torch.float64)
    if not at_mean:
        at = torch.randn(5, dtype=torch.float64)
    names = RATIO_LINES if ratio else model.line_names()
    measure = metrics.line_ratios if ratio else metrics.line_lengths

    def measured(shape):
        return torch.stack([*measure(model.decode(shape), model, names=names).values()])

    expected = torch.autograd.functional.jacobian(measured, at)
    found = metrics.line_jacobian(model, ratio=ratio, at=None if at_mean else at)
    assert found.shape == (len(names), 5)
    assert torch.allclose(found, expected)
    one = metrics.line_jacobian(model, ["cheek"], ratio=ratio, at=at)
    assert torch.allclose(one, expected[[list(names).index("cheek")]])


def test_shipped_phantom_has_every_line_and_region():
    from v2mlib.faces import REGIONS, load_face_model
    from v2mlib.faces.anatomy import LINES as ANATOMY

    model = load_face_model("phantom")
    assert set(ANATOMY) <= set(model.line_names())
    assert set(LINES) <= set(model.line_names("published"))
    assert set(REGIONS) <= set(model.regions)
    shape = torch.randn(8, model.n_shape, generator=torch.Generator().manual_seed(0))
    for definition in ("corrected", "published"):
        error = metrics.absolute_ratio_error(model.mean, model.decode(shape), model, definition)
        assert (error["mean"] > 0).all()
        assert (error["mean"] < 0.5).all()
