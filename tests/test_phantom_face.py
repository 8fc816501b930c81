"""The phantom face: soundness, anatomy, and its population beside the surveys."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from v2mlib.checks import InputError
from v2mlib.faces import load_face_model
from v2mlib.faces.phantom import (
    CONTROL_NAMES,
    EXPRESSIONS,
    anatomy,
    build,
    loading,
    phantom_model,
    population,
    soundness,
    subdivision,
)
from v2mlib.faces.phantom.cage import HalfCage, orient
from v2mlib.faces.phantom.head import head
from v2mlib.faces.phantom.measurements import anthropometry_table
from v2mlib.paths import shipped


@pytest.fixture(scope="module")
def model():
    return phantom_model()


@pytest.fixture(scope="module")
def triangles(model):
    return model.triangles.numpy()


@pytest.fixture(scope="module")
def mesh(triangles):
    return soundness.edges(triangles)


def defects(vertices, triangles, mesh):
    vertices = np.asarray(vertices, dtype=float)
    folded = soundness.folds(vertices, triangles)
    return len(folded) + len(soundness.crossings(vertices, triangles, mesh))


def test_size_and_contents(model):
    assert model.n_vertices >= 6000
    assert (model.n_shape, model.n_expression) == (40, 10)
    assert len(CONTROL_NAMES) >= 30
    assert len(EXPRESSIONS) == 10
    assert shipped("phantom_face.npz").stat().st_size < 2e6
    assert load_face_model("phantom") is model
    assert set(model.regions) >= {"left_eye", "right_eye", "nose", "mouth", "left_cheek"}
    assert len(torch.unique(model.landmarks)) == 68


def test_the_artefact_is_what_the_build_makes():
    made = build.arrays()
    with np.load(shipped("phantom_face.npz"), allow_pickle=False) as stored:
        assert set(stored.files) == {*made, "format"}
        for name, array in made.items():
            # Rounding differs between linear algebra libraries.
            tolerance = 2.0 if stored[name].dtype == np.uint8 else 2e-3
            assert stored[name].shape == array.shape, name
            assert np.abs(stored[name].astype(float) - array).max() <= tolerance, name


def test_another_version_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "phantom_face.npz"
    np.savez(path, format=np.array("something else"))
    monkeypatch.setattr(loading, "shipped", lambda name: path)
    with pytest.raises(InputError, match="written by another version"):
        loading.phantom_model.__wrapped__()


def test_manifold(model, triangles, mesh):
    assert mesh.worst == 2
    assert mesh.opposed
    assert len(np.unique(triangles)) == model.n_vertices
    corner = model.mean.numpy()[triangles]
    area = np.linalg.norm(
        np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1
    )
    assert area.min() > 1e-4
    # Skin encloses a volume outwards: a head of about four litres.
    volume = np.einsum("ti,ti->t", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])).sum() / 6
    assert 3e6 < volume < 6e6


def test_mean_is_mirror_symmetric(model):
    mean = model.mean.double().numpy()
    distance, other = cKDTree(mean).query(mean * [-1, 1, 1])
    assert distance.max() < 1e-3
    assert (np.sort(other) == np.arange(len(mean))).all()


def test_nothing_folds_or_crosses(model, triangles, mesh):
    # A short form; tools/prove_phantom_face.py does 1,000 people.
    shapes = [torch.zeros(1, 40), 2 * torch.eye(40)[:6], -2 * torch.eye(40)[:6]]
    shapes.append(torch.randn(24, 40, generator=torch.Generator().manual_seed(1)))
    for face in model.decode(torch.cat(shapes)):
        assert defects(face, triangles, mesh) == 0
    for number, name in enumerate(EXPRESSIONS):
        face = model.decode(torch.zeros(40), 2 * torch.eye(10)[number])
        assert defects(face, triangles, mesh) == 0, name


def test_defects_are_found(model, triangles, mesh):
    # Break the face on purpose: an eyeball pushed through its lids, a vertex pulled through.
    vertices = model.mean.double().numpy().copy()
    ball = np.array([name.startswith("ball") for name in head().names])
    moved = vertices + (head().matrix @ ball)[:, None] * [0, 0, 4.0]
    assert len(soundness.crossings(moved, triangles, mesh)) > 20
    tip = head().index("nose.tip.0")
    vertices[tip, 2] -= 230
    assert len(soundness.crossings(vertices, triangles, mesh)) > 0
    square = np.array([[0, 0, 0], [1, 0, 0], [0.2, 0.2, 0], [0, 1, 0]], float)
    square[2] = [-0.5, -0.5, 0]
    assert len(soundness.folds(square, np.array([[0, 1, 2], [0, 2, 3]]))) == 0
    square[3] = [1.0, 0.2, 0.0]
    assert len(soundness.folds(square, np.array([[0, 1, 2], [0, 2, 3]]))) == 1


def test_population_matches_the_surveys():
    table = anthropometry_table()
    surveyed = table[table.status != "assumed"]
    for sex in ("female", "male"):
        gap = surveyed[f"{sex}_mean_mm"] - surveyed[f"{sex}_target_mm"]
        assert gap.abs().max() < 0.75
    computed = table[table.status == "computed"]
    assert (computed.sd_mm / computed.sd_target_mm).between(0.9, 1.05).all()
    assert (table.sd_mm / table.sd_target_mm).between(0.8, 1.1).all()
    assert (table.difference_mm - table.difference_target_mm).abs().max() < 0.8


def test_coefficients_are_standardised(model):
    # The law behind the modes: total covariance identity, a sex difference inside it.
    sex = model.extras["sex_direction"].numpy()
    assert 0.5 < np.linalg.norm(sex) < 1
    modes = population.shape_modes(head())
    assert modes.explained > 0.97
    assert modes.sex_direction == pytest.approx(sex, abs=2e-3)
    flat = population.lift(head(), modes.basis).reshape(-1, 40)
    assert np.linalg.matrix_rank(flat) == 40


def test_a_control_moves_its_own_length(model):
    # +1 sd of one length by its coefficients: the length follows, unrelated ones hardly do.
    control = list(CONTROL_NAMES).index("mouth_width")
    step = model.extras["controls_to_coefficients"][:, control]
    right, left = (model.lines["mouth_width"], model.lines["bizygomatic"])

    def length(shape, pair):
        ends = model.decode(shape, vertices=pair)
        return float((ends[0] - ends[1]).norm())

    zero = torch.zeros(40)
    sd = anthropometry_table().loc["mouth_width", "sd_target_mm"]
    assert length(step, right) - length(zero, right) == pytest.approx(sd, rel=0.12)
    assert abs(length(step, left) - length(zero, left)) < 0.5


def test_sexes_differ_as_people_do(model):
    sex = model.extras["sex_direction"]
    table = anthropometry_table().difference_mm
    for larger_in_men in ("jaw_width", "brow_ridge", "nose_width", "chin_width", "neck_breadth"):
        assert table[larger_in_men] > 1
    for larger_in_women in ("upper_vermilion", "brow_height", "nose_tip_rise"):
        assert table[larger_in_women] < -0.4
    male, female = model.decode(torch.stack([sex, -sex]))
    assert float(male[:, 1].max() - male[:, 1].min()) > float(
        female[:, 1].max() - female[:, 1].min()
    )


def test_landmarks_and_lines(model):
    points = model.mean[model.landmarks].numpy()
    assert (points[:8, 0] < 0).all()
    assert (points[9:17, 0] > 0).all()
    mirrored = points * [-1, 1, 1]
    swap = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43,
            42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64,
            63, 62, 61, 60, 67, 66, 65]  # fmt: skip
    assert np.abs(mirrored[swap] - points).max() < 1e-3
    assert model.lines["outer_interocular"] == tuple(model.landmarks[[36, 45]].tolist())
    for name in ("outer_interocular", "ear", "forehead", "midline", "cheek", "jaw_width"):
        right, left = model.mean[list(model.lines[name])].numpy()
        assert np.abs(right * [-1, 1, 1] - left).max() < 1e-3
        assert right[0] < 0 < left[0]
    # The upper lid covers the top of the iris, the lower lid touches it.
    ball = model.mean[head().index("ball.pupil.0")].numpy()
    upper, lower = (model.mean[head().index(f"eye.margin.{k}")].numpy() for k in (3, 9))
    assert 3.0 < upper[1] - ball[1] < 5.9
    assert 5.0 < ball[1] - lower[1] < 7.0


def test_published_lines_keep_their_faults(model):
    def ends(name, which):
        return model.mean[list(getattr(model, which)[name])].numpy()

    right, left = ends("outer_interocular", "published_lines")
    assert left[1] - right[1] == pytest.approx(-16, abs=1.5)
    exact = np.linalg.norm(np.diff(ends("outer_interocular", "lines"), axis=0))
    assert np.linalg.norm(left - right) / exact == pytest.approx(94.0 / 86.3, abs=0.02)
    right, left = ends("midline", "published_lines")
    assert np.linalg.norm(right * [-1, 1, 1] - left) == pytest.approx(11, abs=1.5)
    assert model.published_lines["ear"] == model.lines["ear"]


def test_regions_lie_where_they_should(model):
    assert model.landmarks[30] in model.regions["nose"]
    assert model.landmarks[51] in model.regions["mouth"]
    assert model.landmarks[45] in model.regions["left_eye"]
    assert model.landmarks[36] in model.regions["right_eye"]
    whole = set(model.regions["whole"].tolist())
    names = [name for name in model.regions if name != "whole"]
    for name in names:
        members = set(model.regions[name].tolist())
        assert members <= whole
        for other in names:
            assert other == name or not members & set(model.regions[other].tolist())
    assert len(model.regions["left_cheek"]) == len(model.regions["right_cheek"])
    assert anatomy.LINES.keys() == model.lines.keys()


def test_subdivision_of_a_cube():
    # The limit of Catmull-Clark on a cube is smooth, convex and centred; rows sum to one.
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    matrix, triangles = subdivision.surface(quads, 8, np.zeros(6, bool))
    assert np.asarray(matrix.sum(1)).ravel() == pytest.approx(np.ones(matrix.shape[0]))
    assert triangles.shape == (192, 3)
    points = matrix @ corners
    # The limit of a corner, (9 corner + 4 neighbours + opposite) / 24, is half the corner.
    assert points[:8] == pytest.approx(corners / 2)
    coarse, fewer = subdivision.surface(quads, 8, np.array([True] * 3 + [False] * 3))
    found = soundness.edges(fewer)
    assert found.worst == 2
    assert len(found.pairs) == len(found.ends)  # closed although fine meets coarse
    assert coarse.shape[0] < matrix.shape[0]


def test_cage_refusals():
    cage = HalfCage()
    cage.add("a", (0, 0, 0))
    with pytest.raises(InputError, match="placed twice"):
        cage.add("a", (1, 0, 0))
    with pytest.raises(InputError, match="subject's right"):
        cage.add("b", (-1, 0, 0))
    with pytest.raises(InputError, match="1 and 2 vertices"):
        cage.strip(["a"], ["a", "b"])
    with pytest.raises(InputError, match="more than two polygons"):
        orient([(0, 1, 2), (0, 1, 3), (0, 1, 4)], np.eye(5, 3))
