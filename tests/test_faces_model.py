"""The morphable model: decoding against a plain loop, raw units, its file, its refusals."""

import json

import numpy as np
import pytest
import torch
from faces_made import small_model

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import MISSING_LANDMARK, MorphableModel


def by_loops(model, shape, expression):
    """Eq. 1 one number at a time, in float64."""
    faces = np.zeros((len(shape), model.n_vertices, 3))
    for b in range(len(shape)):
        for v in range(model.n_vertices):
            for x in range(3):
                value = float(model.mean[v, x])
                for k in range(model.n_shape):
                    raw = float(model.shape_std[k]) * shape[b, k]
                    value += float(model.shape_basis[v, x, k]) * raw
                for k in range(model.n_expression):
                    raw = float(model.expression_std[k]) * expression[b, k]
                    value += float(model.expression_basis[v, x, k]) * raw
                faces[b, v, x] = value
    return faces


def test_decode_is_equation_1():
    model = small_model(n_vertices=70, n_shape=3, n_expression=2)
    random = np.random.default_rng(1)
    shape, expression = random.normal(size=(2, 3)), random.normal(size=(2, 2))
    expected = by_loops(model, shape, expression)
    assert np.abs(model.decode(shape, expression).numpy() - expected).max() < 1e-4
    assert torch.equal(model.decode(torch.zeros(3)), model.mean)


def test_batch_axes_broadcast():
    model = small_model()
    shape = torch.randn(4, 2, 5)
    expression = torch.randn(3)
    faces = model.decode(shape, expression)
    assert faces.shape == (4, 2, 90, 3)
    one = model.decode(shape[2, 1], expression)
    assert torch.allclose(faces[2, 1], one, atol=1e-4)


def test_some_vertices_are_those_of_the_whole_face():
    model = small_model()
    shape, expression = torch.randn(6, 5), torch.randn(6, 3)
    whole = model.decode(shape, expression)
    some = model.decode(shape, expression, vertices=[3, 80, 3])
    assert torch.allclose(some, whole[:, [3, 80, 3]], atol=1e-4)


def test_decode_is_differentiable():
    model = small_model(n_vertices=70, n_shape=3, n_expression=2).to(dtype=torch.float64)
    shape = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    expression = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.decode, (shape, expression))


@pytest.mark.parametrize("sizes", [(4, 3), (6, 3), (5, 2)])
def test_wrong_number_of_coefficients_is_refused(sizes):
    with pytest.raises(ShapeError, match=r"expects \(\.\.\., (shape=5|expression=3)\)"):
        small_model().decode(torch.zeros(2, sizes[0]), torch.zeros(2, sizes[1]))


def test_too_few_coefficients_point_to_truncated():
    with pytest.raises(ShapeError, match=r"model\.truncated\(n_shape=\.\.\.\)"):
        small_model().decode(torch.zeros(4))


def test_truncated_model_is_the_model_with_zeros_after():
    model = small_model(extras={"sex_direction": np.arange(5.0), "other": np.ones(5)})
    short = model.truncated(2, 1)
    shape = torch.randn(3, 2)
    padded = torch.cat([shape, torch.zeros(3, 3)], 1)
    assert torch.allclose(short.decode(shape), model.decode(padded), atol=1e-4)
    assert short.extras["sex_direction"].tolist() == [0.0, 1.0]
    assert short.extras["other"].shape == (5,)
    with pytest.raises(ShapeError, match="cannot keep 9 shape"):
        model.truncated(9)


def test_raw_units_round_trip_where_the_population_mean_is_not_zero():
    random = np.random.default_rng(2)
    means = {"shape_raw_mean": random.normal(size=5) * 3e5, "expression_raw_mean": [1, -2, 0.5]}
    model = small_model(shape_std=random.uniform(1e4, 6e5, 5), **means)
    raw = random.normal(size=(7, 5)) * 4e5
    there = model.from_raw(raw, raw[:, :3])
    back = model.to_raw(there.shape, there.expression)
    assert np.allclose(back.shape, raw, rtol=1e-14, atol=0)
    assert np.allclose(back.expression, raw[:, :3], rtol=1e-14, atol=0)
    assert torch.allclose(model.to_raw(torch.zeros(5)).shape, model.shape_raw_mean.double())
    assert model.from_raw(raw).expression is None
    neutral = model.to_raw(None, model.neutral_expression).expression
    assert neutral.abs().max() < 1e-6


def test_file_holds_everything(tmp_path):
    model = small_model(
        colours=np.full((90, 3), 0.5),
        expression_names=("a", "b", "c"),
        substitute_lines={"ear": (1, 2)},
        absences={"published ear": "gone"},
        shape_raw_mean=np.arange(5.0),
        extras={"sex_direction": np.arange(5.0)},
        landmarks=[*range(67), MISSING_LANDMARK],
    )
    path = tmp_path / "new" / "model.npz"
    model.save(path)
    again = MorphableModel.load(path)
    for name in ("mean", "shape_basis", "expression_basis", "shape_std", "expression_std"):
        assert torch.equal(getattr(again, name), getattr(model, name))
    for name in ("lines", "published_lines", "substitute_lines", "absences", "expression_names"):
        assert getattr(again, name) == getattr(model, name)
    assert torch.equal(again.landmarks, model.landmarks)
    assert torch.equal(again.colours, model.colours)
    assert torch.equal(again.shape_raw_mean, model.shape_raw_mean)
    assert torch.equal(again.extras["sex_direction"], model.extras["sex_direction"])
    assert torch.equal(again.regions["nose"], model.regions["nose"])
    assert (again.topology, again.name, again.unit) == ("made-90", "made", "mm")
    assert [file.name for file in path.parent.iterdir()] == ["model.npz"]
    with np.load(path, allow_pickle=False) as stored:
        assert json.loads(str(stored["card"]))["n_vertices"] == 90


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "model.npz"
    small_model().save(path)
    whole = path.read_bytes()
    with pytest.raises(InputError, match=r"absent\.npz does not exist"):
        MorphableModel.load(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="is a folder"):
        MorphableModel.load(tmp_path)
    for damaged in (b"", whole[: len(whole) // 2], b"PK\3\4" + whole[100:], b"not an npz"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"model\.npz cannot be read as \.npz .*convert"):
            MorphableModel.load(path)
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 255
    path.write_bytes(middle)
    with pytest.raises(InputError, match=r"model\.npz"):
        MorphableModel.load(path)


def test_npz_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, mean=np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"other\.npz is not a face model .*v2m faces add"):
        MorphableModel.load(path)
    np.savez(path, card=np.array({"format": "v2mlib face model 1"}, dtype=object))
    with pytest.raises(InputError, match=r"other\.npz cannot be read"):
        MorphableModel.load(path)
    np.savez(path, card=np.array(json.dumps({"format": "v2mlib face model 1"})))
    with pytest.raises(InputError, match=r"other\.npz is not a sound face model"):
        MorphableModel.load(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mean": np.zeros((89, 3))}, r"shape_basis has shape \(90, 3, 5\)"),
        ({"mean": np.full((90, 3), np.nan)}, "NaN or infinity in mean"),
        ({"shape_std": [1, 1, 0, 1, 1.0]}, "shape_std that is not positive"),
        ({"triangles": [[0, 1, 90]]}, "triangles that point outside its 90 vertices"),
        ({"landmarks": np.arange(68) - 1}, "landmarks that point outside"),
        ({"lines": {"ear": (0, 90)}}, "lines that point outside"),
        ({"regions": {"nose": [90]}}, "region nose that point outside"),
        ({"expression_names": ("one",)}, "1 expression_names for 3 modes"),
        ({"unit": "cm"}, "convert it to mm"),
        ({"colours": np.zeros((90, 4))}, r"colours has shape \(90, 4\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(fields, message):
    with pytest.raises((ShapeError, InputError), match=message):
        small_model(**fields)


def test_missing_landmarks_raise_however_they_are_asked_for():
    model = small_model(landmarks=[*range(66), MISSING_LANDMARK, MISSING_LANDMARK])
    assert model.landmark_vertices([0, 36]).tolist() == [0, 36]
    with pytest.raises(InputError, match=r"no vertex for landmarks \[66, 67\]"):
        model.landmark_vertices()
    with pytest.raises(IndexError):
        model.mean[model.landmarks]
    with pytest.raises(IndexError):
        model.mean.numpy()[model.landmarks.numpy()]


def test_lines_and_regions_by_name():
    absent = {"published ear": "the ear was cut away; ask for another"}
    pairs = {"outer_interocular": (0, 1)}
    model = small_model(published_lines=pairs, absences=absent)
    assert model.line("ear") == (2, 3)
    with pytest.raises(InputError, match="no published ear line: the ear was cut away"):
        model.line("ear", "published")
    with pytest.raises(InputError, match="the ear was cut away"):
        model.line("ear", "published_substitute")
    with pytest.raises(InputError, match=r"'smile'.*it has: outer_interocular, ear"):
        model.line("smile")
    with pytest.raises(InputError, match="definition 'paper' is unknown: choose from corrected"):
        model.line("ear", "paper")
    instead = small_model(published_lines=pairs, absences=absent, substitute_lines={"ear": (4, 5)})
    assert instead.line("ear", "published_substitute") == (4, 5)
    assert instead.line("outer_interocular", "published_substitute") == (0, 1)
    assert model.region("nose").tolist() == [1, 2, 3]
    assert len(model.region("whole")) == 90
    with pytest.raises(InputError, match="no region 'ear': it has: nose, whole"):
        model.region("ear")


def test_precision_changes_without_touching_indices():
    model = small_model(extras={"ids": torch.arange(3)}).to(dtype=torch.float64)
    assert model.decode(torch.zeros(5)).dtype == torch.float64
    for indices in (model.triangles, model.regions["nose"], model.extras["ids"]):
        assert indices.dtype == torch.int64
