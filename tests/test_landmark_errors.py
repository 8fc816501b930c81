"""Normalised mean error, lengths, vertex distances, symmetry: loops, known moves, invariances."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from faces_made import small_model
from scipy.spatial.transform import Rotation

from v2mlib import metrics
from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import load_face_model
from v2mlib.faces.lines import DIVISOR, RATIO_LINES
from v2mlib.faces.readers.slices import read_slice
from v2mlib.metrics.correspondence import added_lines, coefficient_rmse
from v2mlib.metrics.scoring import RMSE, coefficient_errors
from v2mlib.paths import shipped

DEFINITIONS = ("mean", "published")


@pytest.fixture(scope="module")
def phantom():
    return load_face_model("phantom")


def slanted_model():
    """The published divisor joins other vertices than the corrected one."""
    model = small_model()
    pairs = {name: (60 + k, 89 - 3 * k) for k, name in enumerate((DIVISOR, *RATIO_LINES))}
    return small_model(published_lines=pairs, lines=model.lines)


def faces(model, n, seed=0, sd=6.0):
    noise = np.random.default_rng(seed).normal(size=(n, model.n_vertices, 3)) * sd
    return model.mean.numpy().astype(np.float64) + noise


def nme_by_loops(predicted, reference, model, definition):
    """Written out from the formula, point by point."""
    found = []
    for face, truth in zip(predicted, reference, strict=True):
        width = max(p[0] for p in truth) - min(p[0] for p in truth)
        height = max(p[1] for p in truth) - min(p[1] for p in truth)
        scale = 1.0
        if definition == "published":
            a, b = model.published_lines["outer_interocular"]
            scale = math.dist(truth[a], truth[b]) / math.dist(face[a], face[b])
        distances = []
        for vertex in model.landmarks.tolist():
            moved = [scale * float(x) for x in face[vertex]]
            distances.append(math.dist(moved, truth[vertex]))
        error = sum(distances) / 68
        if definition == "published":
            error = math.sqrt(sum(d * d for d in distances))
        found.append(error / math.sqrt(width * height))
    return found


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_nme_agrees_with_plain_loops(definition):
    model = slanted_model()
    predicted, reference = faces(model, 5), faces(model, 5, seed=1)
    expected = nme_by_loops(predicted, reference, model, definition)
    arrays = metrics.normalised_mean_error(predicted, reference, model, definition)
    tensors = metrics.normalised_mean_error(
        torch.tensor(predicted), torch.tensor(reference), model, definition=definition
    )
    assert isinstance(arrays, np.ndarray)
    assert isinstance(tensors, torch.Tensor)
    assert arrays == pytest.approx(expected, rel=1e-12)
    assert tensors.numpy() == pytest.approx(expected, rel=1e-12)


def test_the_two_nme_differ_by_what_the_formula_says():
    """All landmarks 3 mm off along z, the divisor untouched: sqrt(68) apart."""
    model = small_model(landmarks=np.arange(20, 88))
    face = faces(model, 1)[0]
    moved = face.copy()
    moved[20:88, 2] += 3.0
    width, height = np.ptp(face[:, 0]), np.ptp(face[:, 1])
    mean, published = (
        float(metrics.normalised_mean_error(moved, face, model, name)) for name in DEFINITIONS
    )
    assert mean == pytest.approx(3 / math.sqrt(width * height))
    assert published / mean == pytest.approx(math.sqrt(68))


def test_box_is_that_of_all_reference_vertices():
    model = small_model(landmarks=np.arange(68))
    reference = faces(model, 1)[0]
    predicted = reference + 1.0
    before = metrics.normalised_mean_error(predicted, reference, model)
    reference[89, 0] = reference[:, 0].min() - 3 * np.ptp(reference[:, 0])  # not a landmark
    after = metrics.normalised_mean_error(predicted, reference, model)
    assert float(after / before) == pytest.approx(0.5)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("definition", DEFINITIONS)
def test_identical_faces_have_no_error(phantom, definition, align):
    face = phantom.mean.double()
    assert float(metrics.normalised_mean_error(face, face, phantom, definition, align)) < 1e-14
    assert float(metrics.vertex_rmse(face, face, phantom, align=align)) < 1e-10
    assert max(float(e) for e in metrics.line_length_error(face, face, phantom).values()) == 0
    assert float(metrics.absolute_ratio_error(face, face, phantom)["mean"]) == 0


def test_published_nme_depends_on_where_the_origin_lies(phantom):
    """Both faces move together: a distance between faces must not change. One does."""
    predicted, reference = phantom.decode(torch.eye(phantom.n_shape)[:2] * 2).double()
    shift = torch.tensor([0.0, 0.0, 100.0], dtype=torch.float64)

    def nme(definition, by):
        return float(
            metrics.normalised_mean_error(predicted + by, reference + by, phantom, definition)
        )

    assert nme("mean", shift) == pytest.approx(nme("mean", 0 * shift), rel=1e-12)
    near, far = nme("published", 0 * shift), nme("published", shift)
    assert abs(far / near - 1) > 0.05
    # Scaled about the origin, the error is that of s (p + t) - (r + t) = (s p - r) + (s - 1) t.
    first, second = phantom.line(DIVISOR, "published")
    scale = (reference[first] - reference[second]).norm()
    scale = scale / (predicted[first] - predicted[second]).norm()
    apart = scale * predicted - reference + (scale - 1) * shift
    expected = apart[phantom.landmarks].norm()
    expected = expected / float(np.prod(np.ptp(reference[:, :2].numpy(), axis=0))) ** 0.5
    assert far == pytest.approx(float(expected), rel=1e-9)


def test_scale_leaves_the_published_nme_and_changes_the_mean_one(phantom):
    predicted, reference = phantom.decode(torch.eye(phantom.n_shape)[:2] * 2).double()
    for definition, unchanged in (("published", True), ("mean", False)):
        before = metrics.normalised_mean_error(predicted, reference, phantom, definition)
        after = metrics.normalised_mean_error(1.1 * predicted, reference, phantom, definition)
        assert (abs(float(after / before) - 1) < 1e-9) == unchanged


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_alignment_gives_a_rigid_move_back_and_never_mirrors(phantom, definition):
    face = phantom.decode(torch.randn(phantom.n_shape, generator=torch.Generator().manual_seed(0)))
    face = face.numpy().astype(np.float64)
    turn = Rotation.from_euler("xyz", [20, -35, 10], degrees=True).as_matrix()
    moved = face @ turn.T + (30, -5, 12)
    assert metrics.normalised_mean_error(moved, face, phantom, definition) > 0.05
    assert metrics.normalised_mean_error(moved, face, phantom, definition, align=True) < 1e-6
    assert metrics.vertex_rmse(moved, face, phantom) > 10
    assert metrics.vertex_rmse(moved, face, phantom, align=True) < 1e-6
    reflected = face * (-1, 1, 1)  # without swapping vertices: a mirror would undo it
    assert metrics.normalised_mean_error(reflected, face, phantom, definition, align=True) > 0.05
    assert metrics.vertex_rmse(reflected, face, phantom, align=True) > 10


def test_aligned_errors_agree_with_scipy():
    model = slanted_model()
    predicted, reference = faces(model, 4), faces(model, 4, seed=1)
    nme = metrics.normalised_mean_error(predicted, reference, model, align=True)
    rmse = metrics.vertex_rmse(predicted, reference, model, align=True)
    for k, (face, truth) in enumerate(zip(predicted, reference, strict=True)):
        for rows, found in ((model.landmarks.numpy(), nme), (np.arange(90), rmse)):
            goals = truth[rows] - truth[rows].mean(0)
            points = face[rows] - face[rows].mean(0)
            rotation, _ = Rotation.align_vectors(goals, points)
            distance = np.linalg.norm(rotation.apply(points) - goals, axis=1)
            size = math.sqrt(np.ptp(truth[:, 0]) * np.ptp(truth[:, 1]))
            expected = distance.mean() / size if found is nme else np.sqrt((distance**2).mean())
            assert found[k] == pytest.approx(expected, rel=1e-7)


def test_vertex_rmse_is_that_of_the_coefficients(phantom):
    predicted, reference = np.random.default_rng(0).normal(size=(2, 6, phantom.n_shape))
    expected = coefficient_errors(predicted, reference, phantom)[RMSE]
    decoded = [phantom.decode(torch.tensor(c, dtype=torch.float32)) for c in (predicted, reference)]
    assert metrics.vertex_rmse(*decoded, phantom).numpy() == pytest.approx(expected, rel=1e-5)
    nose = phantom.region("nose")
    by_hand = (decoded[0] - decoded[1])[:, nose].square().sum(-1).mean(-1).sqrt()
    assert torch.allclose(metrics.vertex_rmse(*decoded, phantom, "nose"), by_hand)


@pytest.mark.parametrize("align", [False, True])
def test_distances_follow_from_coefficients_without_decoding(phantom, align):
    predicted, reference = np.random.default_rng(0).normal(size=(2, 6, phantom.n_shape))
    predicted[3] = reference[3]
    exact = phantom.to(dtype=torch.float64)
    faces = [exact.decode(torch.tensor(c)) for c in (predicted, reference)]
    expected = metrics.vertex_rmse(*faces, exact, align=align).numpy()
    found = coefficient_rmse(predicted, reference, phantom, align=align)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-4)
    # Far apart the best motion without a check could be a mirror.
    wild = small_model(n_vertices=12, landmarks=np.zeros(68)).to(dtype=torch.float64)
    predicted, reference = np.random.default_rng(1).normal(size=(2, 50, 5)) * 40
    faces = [wild.decode(torch.tensor(c)) for c in (predicted, reference)]
    expected = metrics.vertex_rmse(*faces, wild, align=align).numpy()
    found = coefficient_rmse(predicted, reference, wild, align=align)
    assert found == pytest.approx(expected, rel=1e-9)


def test_line_errors_are_differences_of_lengths(phantom):
    face = phantom.mean.double().numpy()
    error = metrics.line_length_error(1.1 * face, face, phantom)
    lengths = metrics.line_lengths(face, phantom)
    assert set(error) == set(lengths) - set(RATIO_LINES) == set(added_lines(phantom))
    assert {"menton_sellion", "nose_projection", "chin_height", DIVISOR} <= set(error)
    for name, value in error.items():
        assert float(value) == pytest.approx(0.1 * lengths[name])
    longer = face.copy()
    longer[phantom.line("menton_sellion")[1], 1] -= 7.0
    only = metrics.line_length_error(longer, face, phantom, ["menton_sellion"])
    assert list(only) == ["menton_sellion"]
    assert float(only["menton_sellion"]) == pytest.approx(7.0, rel=0.02)


def test_batches_broadcast_and_gradients_flow(phantom):
    generator = torch.Generator().manual_seed(0)
    references = phantom.decode(torch.randn(2, 3, phantom.n_shape, generator=generator))
    shape = torch.zeros(phantom.n_shape, requires_grad=True)
    for align in (False, True):
        for definition in DEFINITIONS:
            error = metrics.normalised_mean_error(
                phantom.decode(shape), references, phantom, definition, align
            )
            assert error.shape == (2, 3)
            (gradient,) = torch.autograd.grad(error.sum(), shape)
            assert torch.isfinite(gradient).all()
            assert gradient.abs().max() > 0
        rmse = metrics.vertex_rmse(phantom.decode(shape), references, phantom, align=align)
        (gradient,) = torch.autograd.grad(rmse.sum(), shape)
        assert rmse.shape == (2, 3)
        assert gradient.abs().max() > 0
    # Identical faces: a derivative of sqrt would be infinite here, and nan after it.
    face = phantom.mean.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        metrics.normalised_mean_error(face, phantom.mean, phantom), face
    )
    assert torch.isfinite(gradient).all()
    one = metrics.normalised_mean_error(phantom.mean, references[1, 2], phantom)
    assert one.shape == ()


def test_read_only_and_mirrored_views_are_taken():
    model = slanted_model()
    face = faces(model, 1)[0]
    face.setflags(write=False)
    assert float(metrics.vertex_rmse(face[..., ::-1], face[..., ::-1], model)) == 0


def test_refusals(phantom):
    face = phantom.mean
    with pytest.raises(InputError, match="definition 'median' is unknown: choose from mean, pub"):
        metrics.normalised_mean_error(face, face, phantom, "median")
    with pytest.raises(ShapeError, match=r"reference have 9409 vertices, face model .* has 14377"):
        metrics.normalised_mean_error(face, face[:9409], phantom)
    with pytest.raises(InputError, match="two kinds"):
        metrics.normalised_mean_error(face, face.numpy(), phantom)
    broken = face.clone()
    broken[5, 1] = torch.nan
    with pytest.raises(InputError, match=r"predicted faces hold NaN or infinity \(1 of 2 faces\)"):
        metrics.normalised_mean_error(torch.stack([face, broken]), face, phantom)
    with pytest.raises(InputError, match="reference faces have a width or height of 0"):
        metrics.normalised_mean_error(face, face * torch.tensor([0.0, 1, 1]), phantom)
    for error in (metrics.normalised_mean_error, metrics.vertex_rmse, metrics.line_length_error):
        with pytest.raises(InputError, match=r"reference faces are shrunk to a point \(1 of 2 f"):
            error(face, torch.stack([face, 0 * face]), phantom)
    without_eyes = face.clone()
    without_eyes[phantom.line(DIVISOR, "published")[0]] = face[
        phantom.line(DIVISOR, "published")[1]
    ]
    with pytest.raises(InputError, match="predicted faces have an outer interocular"):
        metrics.normalised_mean_error(without_eyes, face, phantom, "published")
    with pytest.raises(ShapeError, match=r"batch axes \(2,\), reference \(3,\)"):
        metrics.vertex_rmse(face.expand(2, -1, -1), face.expand(3, -1, -1), phantom)
    with pytest.raises(InputError, match="has no region 'chin'"):
        metrics.vertex_rmse(face, face, phantom, "chin")
    empty = small_model(regions={"nose": []})
    with pytest.raises(InputError, match="region 'nose' of face model 'made' has 0 vertices"):
        metrics.vertex_rmse(empty.mean, empty.mean, empty, "nose")
    few = small_model(landmarks=np.where(np.arange(68) < 60, np.arange(68), -(2**31)))
    with pytest.raises(InputError, match=r"has no vertex for landmarks \[60, "):
        metrics.normalised_mean_error(few.mean, few.mean, few)


# --- mirrors -------------------------------------------------------------------------------------


def changes_in_a_mirror(model, n=40):
    """Largest change of each line's length, mm, by definition; and the largest ARE of a mirror."""
    generator = torch.Generator().manual_seed(0)
    people = model.decode(torch.randn(n, model.n_shape, generator=generator))
    seen = metrics.mirrored(people, model)
    found = {}
    for definition in ("corrected", "published"):
        before, after = (metrics.line_lengths(f, model, definition) for f in (people, seen))
        found[definition] = {k: float((before[k] - after[k]).abs().max()) for k in before}
    return found


def test_a_mirror_keeps_corrected_lines_of_the_phantom_not_published_ones(phantom):
    changes = changes_in_a_mirror(phantom)
    assert max(changes["corrected"].values()) < 1e-4
    assert changes["published"][DIVISOR] > 0.01  # phantom people are themselves nearly symmetric
    assert changes["published"]["midline"] > 0.01
    twice = metrics.mirrored(metrics.mirrored(phantom.mean, phantom), phantom)
    assert torch.equal(twice, phantom.mean)
    assert max(float(m) for m in metrics.line_asymmetry(phantom.mean, phantom).values()) < 1e-3
    for definition in ("corrected", "published"):
        found = [metrics.line_asymmetry(face, phantom, definition)
                 for face in (phantom.mean, phantom.mean.numpy())]  # fmt: skip
        assert found[1] == pytest.approx({name: float(miss) for name, miss in found[0].items()})
    miss = found[1]
    assert miss[DIVISOR] > 10
    assert miss["midline"] > 5


def test_a_mirror_keeps_corrected_lines_of_ict(real_data):
    model = load_face_model(real_data / "ict_facekit" / "ict_face_f32.npz")
    changes = changes_in_a_mirror(model)
    assert max(changes["corrected"].values()) < 1e-4
    assert changes["published"][DIVISOR] > 1.0


def test_asymmetry_of_the_basel_model_is_reported(real_data):
    model = load_face_model(real_data / "bfm_derived_noncommercial" / "bfm_mean_topology.npz")
    corrected = metrics.line_asymmetry(model.mean, model)
    published = metrics.line_asymmetry(model.mean, model, "published")
    lengths = {d: metrics.line_lengths(model.mean, model, d) for d in ("corrected", "published")}
    assert float(lengths["published"][DIVISOR]) == pytest.approx(94.0, abs=0.05)
    assert float(lengths["corrected"][DIVISOR]) == pytest.approx(86.3, abs=0.05)
    assert float(published[DIVISOR]) > 12
    assert 0 < float(max(corrected.values())) < 2.5  # near-mirror pairs, not exact ones
    assert float(published["midline"]) == pytest.approx(11, abs=1)


def test_faces_that_lack_what_is_asked_for_are_refused(real_data):
    folder = real_data / "bfm_derived_noncommercial" / "bfm_mean_topology.npz"
    small = read_slice(folder, topology="bfm-38365")
    face = small.mean
    with pytest.raises(InputError, match=r"has no published ear line: .*published_substitute"):
        metrics.absolute_ratio_error(face, face, small, "published")
    assert metrics.absolute_ratio_error(face, face, small, "published_substitute")["mean"] == 0
    assert metrics.absolute_ratio_error(face, face, small)["mean"] == 0
    whole = load_face_model(folder)
    with pytest.raises(ShapeError, match=r"53215 vertices.* 38365 .*keep the vertices"):
        metrics.normalised_mean_error(whole.mean, face, small)
    (surrey,) = (real_data / "surrey_sfm_noncommercial").glob("*.npz")
    surrey = load_face_model(surrey)
    with pytest.raises(InputError, match="has no corrected ear line: its mesh ends in front"):
        metrics.absolute_ratio_error(surrey.mean, surrey.mean, surrey)
    with pytest.raises(InputError, match="has no vertex for landmarks"):
        metrics.normalised_mean_error(surrey.mean, surrey.mean, surrey)


# --- the two definitions of the lines ------------------------------------------------------------


def test_effect_of_the_definition_by_hand():
    model = slanted_model()
    predicted, reference = faces(model, 30), faces(model, 30, seed=1)
    found = metrics.definition_effect(predicted, reference, model).set_index("line")
    errors = {d: metrics.absolute_ratio_error(predicted, reference, model, d)
              for d in ("corrected", "published")}  # fmt: skip
    for line in (*RATIO_LINES, "mean"):
        means = {d: float(errors[d][line].mean()) for d in errors}
        row = found.loc[line]
        assert row["corrected"] == pytest.approx(means["corrected"])
        assert row["quotient"] == pytest.approx(means["published"] / means["corrected"])
        assert row["quotient_ci_low"] < row["quotient"] < row["quotient_ci_high"]
    # The cheek over the published divisor, point by point.
    (a, b), (c, d) = model.line("cheek"), model.line(DIVISOR, "published")
    ratios = [
        [math.dist(f[a], f[b]) / math.dist(f[c], f[d]) for f in batch]
        for batch in (predicted, reference)
    ]
    mixed = np.mean([abs(p - r) for p, r in zip(*ratios, strict=True)])
    assert found.loc["cheek", "divisor_swapped"] == pytest.approx(
        mixed / found.loc["cheek", "corrected"]
    )


def test_stored_figures_of_real_faces_are_those_of_the_real_faces(real_data):
    stored = json.loads(shipped("line_definitions.json").read_text())
    basel = read_slice(real_data / "bfm_derived_noncommercial" / "bfm_mean_topology.npz")
    ict = load_face_model(real_data / "ict_facekit" / "ict_face_f32.npz")
    for name, model in (("bfm-53215", basel), ("ict-9409", ict)):
        known = pd.DataFrame(stored["lines"][name]).set_index("line")
        found = metrics.line_table(model).set_index("line")
        assert found.to_numpy() == pytest.approx(known.to_numpy(), abs=1e-3)
    divisor = stored["lines"]["bfm-53215"][0]
    assert divisor["line"] == DIVISOR
    assert divisor["published_mm"] == pytest.approx(94.0, abs=0.05)
    assert divisor["corrected_mm"] == pytest.approx(86.3, abs=0.05)
