"""Registration beside Open3D, beside plain scipy, and compiled code beside tensors."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

import v2mlib as v2m
from v2mlib.faces.geometry import align
from v2mlib.metrics.registration import DIRECTIONS, RegistrationConfig, register
from v2mlib.metrics.registration.brute import nearest_vertices
from v2mlib.metrics.registration.compiled import CONVERGED, CYCLING
from v2mlib.metrics.registration.pairs import face_pairs
from v2mlib.metrics.registration.registering import registrations
from v2mlib.metrics.registration.searching import fit, target_of
from v2mlib.metrics.registration.surfaces import Surface, patch_of

DISTANCE_ONLY = RegistrationConfig(
    max_distance_mm=8.0, max_angle_deg=180, reject_boundary=False, tolerance_mm=1e-9
)


def plain_normals(face, triangles):
    """Area-weighted unit normals, triangle by triangle."""
    normals = np.zeros_like(face)
    crossed = np.cross(face[triangles[:, 1]] - face[triangles[:, 0]],
                       face[triangles[:, 2]] - face[triangles[:, 0]])  # fmt: skip
    np.add.at(normals, triangles.ravel(), np.repeat(crossed, 3, axis=0))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def plain_registration(a, b, model, vertices, config, n_steps=60):
    """Point-to-plane ICP as in a textbook; returns every pose, and the partners at the last."""
    triangles = model.triangles.numpy()
    normals = [plain_normals(face, triangles)[vertices] for face in (a, b)]
    a, b = a[vertices], b[vertices]
    inside = np.isin(triangles, vertices).all(1)
    edges = np.sort(triangles[inside][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, counts = np.unique(edges, axis=0, return_counts=True)
    lonely = np.setdiff1d(vertices, triangles[inside])
    rim = np.isin(vertices, np.union1d(edges[counts == 1], lonely)) & config.reject_boundary
    tree, start = cKDTree(b), align(a, b)
    rotation, shift, poses = start.rotation, start.translation, []
    for _ in range(n_steps):
        poses.append((rotation, shift))
        moved = a @ rotation.T + shift
        distance, near = tree.query(moved)
        cosine = ((normals[0] @ rotation.T) * normals[1][near]).sum(1)
        kept = (distance <= config.max_distance_mm) & ~rim[near]
        kept &= cosine >= np.cos(np.radians(config.max_angle_deg)) - 1e-12
        p, n = moved[kept], normals[1][near[kept]]
        residual = ((p - b[near[kept]]) * n).sum(1)
        step = np.linalg.lstsq(np.hstack([np.cross(p, n), n]), -residual, rcond=None)[0]
        turn = Rotation.from_euler("xyz", step[:3]).as_matrix()
        rotation, shift = turn @ rotation, turn @ shift + step[3:]
    return poses, kept, residual


@pytest.fixture(scope="module")
def phantom():
    return v2m.load_face_model("phantom")


@pytest.fixture(scope="module")
def people(phantom):
    coefficients = np.random.default_rng(8).normal(size=(5, phantom.n_shape))
    return phantom.decode(coefficients).double().numpy()


@pytest.mark.parametrize("region", ["nose", "right_cheek", "whole"])
def test_it_goes_where_a_plain_implementation_goes(phantom, people, region):
    vertices = phantom.region(region).numpy()
    for a, b in ((people[0], people[1]), (people[2], people[3])):
        config = RegistrationConfig()
        poses, kept, residual = plain_registration(a, b, phantom, vertices, config, 12)
        for steps in (1, 4):
            limited = dataclasses.replace(config, max_iterations=steps)
            found = register(a, b, phantom, region, config=limited)
            if found.iterations == steps and found.step_mm > 0.02:  # not yet in a cycle
                np.testing.assert_allclose(found.rotation, poses[steps][0], atol=1e-9)
                np.testing.assert_allclose(found.translation, poses[steps][1], atol=1e-7)
        ended = register(a, b, phantom, region)
        if ended.converged and ended.iterations <= 10:
            assert ended.n_correspondences == kept.sum()
            assert ended.rmse_mm == pytest.approx(np.sqrt((residual**2).mean()), abs=1e-8)


def test_a_cycle_ends_at_its_smallest_error(phantom, people):
    """Partners may flip for ever; then the result is the best of the poses that recur."""
    vertices, config = phantom.region("nose").numpy(), RegistrationConfig()
    pairs = face_pairs(people[:, None], people[None], phantom)
    rows = registrations(pairs, patch_of(phantom, "nose"), DIRECTIONS[0], config)
    ends = {row.end for row in rows}
    assert ends == {CONVERGED, CYCLING}
    k = next(k for k, row in enumerate(rows) if row.end == CYCLING and row.steps < 20)
    a, b = people[k // 5], people[k % 5]
    poses, _, _ = plain_registration(a, b, phantom, vertices, config, 60)
    nearest = min(abs(rows[k].rotation - rotation).max() for rotation, _ in poses)
    assert nearest < 1e-9
    assert np.median([row.step_mm for row in rows]) < 0.05


@pytest.mark.parametrize("direction", DIRECTIONS[:2])
def test_tensors_take_the_same_steps(phantom, people, direction):
    pairs = face_pairs(people[:2, None], people[None, 2:4], phantom)
    for region, config in (("nose", None), ("left_cheek", DISTANCE_ONLY)):
        patch = patch_of(phantom, region)
        compiled = registrations(pairs, patch, direction, config)
        tensors = registrations(pairs, patch, direction, config, engine="tensors")
        for one, other in zip(compiled, tensors, strict=True):
            assert (one.end, one.steps) == (other.end, other.steps)
            np.testing.assert_allclose(one.rotation, other.rotation, atol=1e-10)
            np.testing.assert_allclose(one.distance, other.distance, atol=1e-8)  # NaN alike


def test_nearest_vertices_are_exact():
    random = np.random.default_rng(0)
    target = random.normal(size=(1500, 3)) * (60, 90, 5)
    points = np.concatenate([random.normal(size=(300, 3)) * 80, target[:50]])
    distance, index = cKDTree(target).query(points, k=2)
    nearest, bound = nearest_vertices(torch.tensor(points), torch.tensor(target))
    np.testing.assert_array_equal(nearest, index[:, 0])
    assert (bound.numpy() <= distance[:, 1] + 1e-9).all()
    assert (bound.numpy() >= distance[:, 0] - 1e-9).mean() > 0.99


def test_nearest_vertices_are_exact_where_single_precision_is_blind():
    random = np.random.default_rng(1)
    target = 3000 + random.normal(size=(700, 3)) * 0.3
    points = 3000 + random.normal(size=(60, 3)) * 0.3
    nearest, _ = nearest_vertices(torch.tensor(points), torch.tensor(target))
    np.testing.assert_array_equal(nearest, cKDTree(target).query(points)[1])


@pytest.mark.parametrize("shift", [(0.5, 0.5, 0.25), (0.3, -0.2, 4.0), (9.0, -70.0, 40.0)])
@pytest.mark.parametrize(("reach", "steps"), [(4.125, 0), (np.inf, 0), (np.inf, 3)])
def test_partners_are_the_nearest_wherever_the_search_begins(shift, reach, steps):
    """Ties go to the lowest number; far away the lists outgrow their room and are made anew."""
    x, y = np.meshgrid(np.arange(-20, 20.0), np.arange(-20, 20.0))
    sheet = np.stack([x, y, (x % 4) / 8 + (y % 8) / 16], -1).reshape(-1, 3)
    sheet[:, 2] -= sheet[:, 2].mean()
    sheet = sheet[np.random.default_rng(0).permutation(len(sheet))]
    planes = np.random.default_rng(1).normal(size=sheet.shape)
    planes /= np.linalg.norm(planes, axis=1, keepdims=True)
    moving = sheet + shift
    config = RegistrationConfig(reach, 180, reject_boundary=False)
    target = target_of(Surface(sheet, planes), np.ones(len(sheet), bool))
    found = fit(Surface(moving, planes), target, config, steps)
    if steps:
        moving = moving @ found.rotation.T + found.translation
    square = ((moving[:, None] - sheet) ** 2).sum(2)
    near = square.argmin(1)
    expected = ((moving - sheet[near]) * planes[near]).sum(1)
    expected[square.min(1) > reach**2] = np.nan
    np.testing.assert_allclose(found.distance, expected, atol=1e-9)


@pytest.fixture(scope="module")
def real(real_data):
    """Real people's shape space, and a region of about 3,000 vertices in it."""
    model = v2m.load_face_model(real_data / "ict_facekit" / "ict_face_f32.npz")
    distance = (model.mean - model.mean[model.landmark_vertices([30])]).norm(dim=1)
    middle = distance.argsort()[:3000].sort().values
    model = dataclasses.replace(model, regions={**model.regions, "middle": middle})
    coefficients = np.random.default_rng(5).normal(size=(6, model.n_shape)) * 0.5
    return model, model.decode(coefficients).double().numpy()


@pytest.mark.parametrize("region", [None, "middle"])
def test_open3d_arrives_at_the_same_place(real, region):
    o3d = pytest.importorskip("open3d")
    model, people = real
    vertices = np.arange(model.n_vertices) if region is None else model.region(region).numpy()
    icp = o3d.pipelines.registration
    plane, n_converged = icp.TransformationEstimationPointToPlane(), 0
    for a, b in zip(people[:3], people[3:], strict=True):
        found = register(a, b, model, region, config=DISTANCE_ONLY)
        start, clouds = np.eye(4), []
        for face in (a, b):
            cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(face[vertices]))
            normals = plain_normals(face, model.triangles.numpy())[vertices]
            cloud.normals = o3d.utility.Vector3dVector(normals)
            clouds.append(cloud)
        aligned = align(a[vertices], b[vertices])
        start[:3, :3], start[:3, 3] = aligned.rotation, aligned.translation
        # Its own stopping rule ends early: relative changes of 1e-6.
        for limit, ours in (
            (3, register(a, b, model, region,
                         config=dataclasses.replace(DISTANCE_ONLY, max_iterations=3))),
            (int(found.iterations), found),
        ):  # fmt: skip
            if ours is found and not found.converged:
                continue
            n_converged += ours is found
            theirs = icp.registration_icp(
                *clouds, 8.0, start, plane, icp.ICPConvergenceCriteria(0.0, 0.0, limit)
            )
            matrix = theirs.transformation
            np.testing.assert_allclose(ours.rotation, matrix[:3, :3], atol=1e-9)
            np.testing.assert_allclose(ours.translation, matrix[:3, 3], atol=1e-7)
            # Its inlier_rmse is point to point: the planes' distances are summed here.
            i, j = np.asarray(theirs.correspondence_set).T
            moved = a[vertices][i] @ matrix[:3, :3].T + matrix[:3, 3]
            gap = ((moved - b[vertices][j]) * np.asarray(clouds[1].normals)[j]).sum(1)
            assert ours.n_correspondences == len(i)
            assert ours.rmse_mm == pytest.approx(np.sqrt((gap**2).mean()), abs=1e-8)
    assert n_converged >= 1
