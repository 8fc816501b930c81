"""Normals, areas, alignment and mirror maps, by construction and against other libraries."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import torch
import trimesh
from faces_made import small_model
from scipy.spatial.transform import Rotation

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import geometry, require_same_topology
from v2mlib.faces.topologies import MAPS, TOPOLOGIES


@pytest.fixture(scope="module")
def ball():
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=50.0)
    return mesh.vertices * (1.0, 1.3, 0.8), np.asarray(mesh.faces)


def test_normals_and_areas_agree_with_trimesh(ball):
    vertices, triangles = ball
    mesh = trimesh.Trimesh(vertices, triangles, process=False)
    assert np.allclose(geometry.triangle_areas(vertices, triangles), mesh.area_faces)
    ours = geometry.vertex_normals(vertices, triangles)
    theirs = trimesh.geometry.weighted_vertex_normals(
        len(vertices), triangles, mesh.face_normals, np.repeat(mesh.area_faces[:, None], 3, 1)
    )
    assert np.abs(ours - theirs).max() < 1e-9
    assert (np.einsum("vx,vx->v", ours, vertices) > 0).all()


def test_normals_take_tensors_and_batches(ball):
    vertices, triangles = ball
    batch = torch.tensor(np.stack([vertices, vertices * 2, vertices[:, [1, 2, 0]]]))
    normals = geometry.vertex_normals(batch, torch.tensor(triangles))
    single = geometry.vertex_normals(vertices, triangles)
    assert isinstance(normals, torch.Tensor)
    assert isinstance(single, np.ndarray)
    assert np.allclose(normals[0], single)
    assert np.allclose(normals[1], single)
    assert np.allclose(normals[2], single[:, [1, 2, 0]])  # an even permutation is a rotation
    alone = np.concatenate([vertices, np.zeros((1, 3))])
    assert (geometry.vertex_normals(alone, triangles)[-1] == 0).all()


@pytest.mark.parametrize("scale", [False, True])
def test_alignment_gives_a_known_transform_back(scale):
    random = np.random.default_rng(0)
    source = random.normal(size=(4, 30, 3)) * 40
    rotations = Rotation.random(4, rng=1).as_matrix()
    sizes = np.array([0.5, 1.0, 1.2, 3.0]) if scale else np.ones(4)
    shifts = random.normal(size=(4, 3)) * 100
    target = sizes[:, None, None] * (source @ rotations.swapaxes(1, 2)) + shifts[:, None]
    found = geometry.align(source, target, scale=scale)
    assert np.allclose(found.rotation, rotations)
    assert np.allclose(found.scale, sizes)
    assert np.allclose(found.translation, shifts)
    assert np.allclose(found.aligned, target)
    as_tensors = geometry.align(torch.tensor(source), torch.tensor(target), scale=scale)
    assert torch.allclose(as_tensors.aligned, torch.tensor(target))


def test_alignment_is_the_least_squares_one():
    random = np.random.default_rng(3)
    source, target = random.normal(size=(2, 25, 3)) * 30
    weights = random.uniform(0, 2, 25)
    found = geometry.align(source, target, weights=weights)
    centres = [np.average(cloud, axis=0, weights=weights) for cloud in (source, target)]
    rotation, _ = Rotation.align_vectors(target - centres[1], source - centres[0], weights)
    assert np.allclose(found.rotation, rotation.as_matrix())


def test_alignment_with_scale_is_the_minimum_that_an_optimiser_finds():
    random = np.random.default_rng(3)
    source = random.normal(size=(25, 3)) * 30
    target = source * 1.3 + random.normal(size=(25, 3)) * 20

    def residuals(unknowns):
        rotation = Rotation.from_rotvec(unknowns[:3]).as_matrix()
        return (np.exp(unknowns[3]) * source @ rotation.T + unknowns[4:] - target).ravel()

    best = scipy.optimize.least_squares(residuals, np.zeros(7), xtol=1e-12, ftol=1e-12)
    ours = geometry.align(source, target, scale=True)
    assert np.isclose(((ours.aligned - target) ** 2).sum(), 2 * best.cost)
    assert np.isclose(ours.scale, np.exp(best.x[3]), rtol=1e-5)
    rigid = geometry.align(source, target)
    assert ((rigid.aligned - target) ** 2).sum() > 2 * best.cost


def test_alignment_never_mirrors_nor_rescales_unasked():
    random = np.random.default_rng(4)
    source = random.normal(size=(20, 3)) * 30
    mirrored = source * (-1, 1, 1)
    for scale in (False, True):
        found = geometry.align(source, mirrored, scale=scale)
        assert np.isclose(np.linalg.det(found.rotation), 1.0)
        assert np.abs(found.aligned - mirrored).max() > 1
    assert geometry.align(source, 2 * source).scale == 1.0


def test_alignment_of_flat_points_is_determined_and_of_a_line_is_not():
    flat = np.random.default_rng(5).normal(size=(10, 3)) * (1, 1, 0)
    turn = Rotation.from_rotvec([0.2, 0.3, -0.5]).as_matrix()
    found = geometry.align(flat, flat @ turn.T)
    assert np.allclose(found.rotation, turn)
    line = np.outer(np.arange(5.0), (1, 2, 3))
    with pytest.raises(InputError, match="lie on one line"):
        geometry.align(line, line)
    with pytest.raises(InputError, match="NaN"):
        geometry.align(flat, flat * np.nan)
    with pytest.raises(ShapeError, match=r"target has shape \(9, 3\), expected \(\.\.\., point=10"):
        geometry.align(flat, flat[:9])


def test_mirror_map_finds_the_other_side():
    right = np.random.default_rng(6).uniform(1, 50, size=(40, 3))
    face = np.concatenate([right, right * (-1, 1, 1), [[0, 5, 5]]])
    index, distance = geometry.mirror_map(face)
    assert index.tolist() == [*range(40, 80), *range(40), 80]
    assert distance.max() == 0
    shifted = face + np.array([0.5, 0, 0])
    assert np.allclose(geometry.mirror_map(shifted).distance.max(), 1.0)


def test_winding_is_turned_outwards(ball):
    vertices, triangles = ball
    flipped = triangles[:, ::-1]
    for given in (triangles, flipped):
        outward = geometry.wind_outward(vertices, given)
        normals = geometry.triangle_normals(vertices, outward)
        assert (np.einsum("tx,tx->t", normals, vertices[outward[:, 0]]) > 0).all()
    front = triangles[vertices[triangles][..., 2].min(1) > 0]  # an open face area
    for given in (front, front[:, ::-1]):
        outward = geometry.wind_outward(vertices[vertices[:, 2] >= 0], _renumber(vertices, given))
        kept = vertices[vertices[:, 2] >= 0]
        assert (geometry.triangle_normals(kept, outward)[:, 2] > 0).all()


def _renumber(vertices, triangles):
    numbers = np.cumsum(vertices[:, 2] >= 0) - 1
    return numbers[triangles]


def test_different_topologies_are_refused_with_counts_and_map():
    ict, face = small_model(topology="ict-26719"), small_model(topology="ict-9409")
    other = SimpleNamespace(topology="surrey-3448", vertices=np.zeros((2, 3448, 3)))
    require_same_topology(face, face)
    with pytest.raises(ShapeError, match=r"'ict-26719' with 90.*keep the first 9409 vertices"):
        require_same_topology(face, ict)
    with pytest.raises(ShapeError, match=r"90 vertices.*3448\. No map between them is known"):
        require_same_topology(face, other)


def test_vertices_of_another_face_are_refused():
    face = SimpleNamespace(n_vertices=9409, name="ict", topology="ict-9409")
    with pytest.raises(ShapeError, match=r"predicted have 26719 vertices.*keep the first 9409"):
        geometry.require_vertices(np.zeros((2, 26719, 3)), face, "predicted")
    with pytest.raises(ShapeError, match="Transposed"):
        geometry.require_vertices(np.zeros((3, 9409)), face)
    geometry.require_vertices(torch.zeros(4, 2, 9409, 3), face)


def test_maps_join_known_topologies():
    assert {name for pair in MAPS for name in pair} <= TOPOLOGIES.keys()
    assert all(TOPOLOGIES[larger] > TOPOLOGIES[smaller] for larger, smaller in MAPS)
