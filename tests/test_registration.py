"""Registration: known motions and displacements come back, and what cannot be told is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import v2mlib as v2m
from v2mlib.checks import InputError, ShapeError
from v2mlib.faces.geometry import vertex_normals
from v2mlib.metrics import point_to_plane_rmse
from v2mlib.metrics.registration import DIRECTIONS, RegistrationConfig, distance_map, register

TURN = Rotation.from_rotvec([0.4, -0.7, 0.2]).as_matrix()
SHIFT = np.array([30.0, -12.0, 80.0])


@pytest.fixture(scope="module")
def model():
    return v2m.load_face_model("phantom")


@pytest.fixture(scope="module")
def faces(model):
    """Four people (face, vertex, xyz), mm."""
    coefficients = np.random.default_rng(3).normal(size=(4, model.n_shape))
    return model.decode(coefficients).double().numpy()


@pytest.mark.parametrize("region", ["whole", *v2m.faces.REGIONS])
def test_a_face_beside_itself_has_no_error(model, faces, region):
    moved = faces[0] @ TURN.T + SHIFT
    found = register(moved, faces[0], model, region)
    assert found.converged
    assert found.rmse_mm < 1e-9
    np.testing.assert_allclose(found.rotation, TURN.T, atol=1e-10)
    np.testing.assert_allclose(found.moved(moved), faces[0], atol=1e-8)
    assert point_to_plane_rmse(moved, faces[0], model, region, direction="both") < 1e-9


def test_the_pose_of_the_prediction_does_not_matter_but_its_size_does(model, faces):
    plain = point_to_plane_rmse(faces[1:], faces[0], model, "mouth")
    moved = point_to_plane_rmse(faces[1:] @ TURN.T + SHIFT, faces[0], model, "mouth")
    np.testing.assert_allclose(moved, plain, rtol=1e-9)
    # The other way steps are made in the prediction's frame, on which a cycle's end may depend.
    way = DIRECTIONS[1]
    plain = point_to_plane_rmse(faces[1:], faces[0], model, "mouth", direction=way)
    moved = point_to_plane_rmse(faces[1:] @ TURN.T + SHIFT, faces[0], model, "mouth", direction=way)
    np.testing.assert_allclose(moved, plain, rtol=1e-3)
    larger = point_to_plane_rmse(1.05 * faces[0], faces[0], model, "whole")
    assert larger > 0.5
    resized = RegistrationConfig(scale=True)
    found = register(1.05 * faces[0], faces[0], model, "whole", config=resized)
    assert found.rmse_mm < 1e-9
    assert found.scale == pytest.approx(1 / 1.05)
    assert register(faces[1], faces[0], model, "nose").scale == 1.0


@pytest.mark.parametrize("direction", DIRECTIONS[:2])
def test_the_motion_is_the_one_whose_error_is_reported(model, faces, direction):
    posed = faces[1] @ TURN.T + SHIFT
    found = register(posed, faces[0], model, "nose", direction=direction)
    left = distance_map(
        found.moved(posed), faces[0], model, "nose", direction=direction, registered=False
    )
    assert np.sqrt(np.nanmean(left**2)) == pytest.approx(found.rmse_mm, rel=1e-9)


def test_it_never_mirrors(model, faces):
    mirrored = faces[0] * (-1.0, 1.0, 1.0)
    free = RegistrationConfig(max_angle_deg=180, max_distance_mm=np.inf)
    found = register(mirrored, faces[0], model, "left_eye", config=free)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)
    assert found.rmse_mm > 0.5


def test_a_known_displacement_is_recovered():
    """A surface displaced along its own normals by known amounts."""
    sheet, model = corrugated()
    normals = vertex_normals(sheet, model.triangles.numpy())
    known = 0.05 * np.sin(sheet[:, :1] / 5) * np.cos(sheet[:, 1:2] / 7)
    displaced = sheet + known * normals
    still = distance_map(displaced, sheet, model, registered=False)
    inside = np.isfinite(still)
    rim = (np.abs(sheet[:, :2] + 0.5) > 19).any(1)
    np.testing.assert_array_equal(inside, ~rim)  # the rim has no partners
    np.testing.assert_allclose(still[inside], known[inside, 0], atol=1e-12)
    turned = displaced @ TURN.T + SHIFT
    rmse = point_to_plane_rmse(turned, sheet, model)
    assert 0.9 < rmse / np.sqrt((known[inside] ** 2).mean()) <= 1  # a motion explains little of it
    found = distance_map(turned, sheet, model)
    assert np.corrcoef(found[inside], known[inside, 0])[0, 1] > 0.99


def corrugated(n=40):
    """An egg-box of n x n vertices, and a model that knows its triangles."""
    x, y = np.meshgrid(np.arange(n) - n / 2, np.arange(n) - n / 2)
    z = np.cos(x * np.pi / 4) + np.cos(y * np.pi / 4)
    sheet = np.stack([x, y, z], -1).reshape(-1, 3).astype(float)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    quads = corner[:, None] + [0, 1, n + 1, n]
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return sheet, sheet_model(sheet, triangles)


def sheet_model(sheet, triangles):
    phantom = v2m.load_face_model("phantom")
    n = len(sheet)
    return dataclasses.replace(
        phantom,
        mean=torch.tensor(sheet), shape_basis=torch.zeros(n, 3, 1, dtype=torch.float64),
        expression_basis=torch.zeros(n, 3, 1, dtype=torch.float64),
        shape_std=torch.ones(1), expression_std=torch.ones(1), triangles=triangles,
        landmarks=np.arange(68), lines={}, published_lines={}, substitute_lines={},
        regions={"left": np.arange(n // 2)}, colours=None, topology="sheet", name="sheet",
        shape_raw_mean=None, expression_raw_mean=None, expression_names=(), extras={},
    )  # fmt: skip


def test_both_directions_are_symmetric_and_one_is_not(model, faces):
    a, b = faces[:2]
    there, back = (
        point_to_plane_rmse(a, b, model, "nose", direction=way) for way in DIRECTIONS[:2]
    )
    assert there != pytest.approx(back, rel=1e-4)
    assert point_to_plane_rmse(b, a, model, "nose", direction=DIRECTIONS[1]) == pytest.approx(there)
    both = point_to_plane_rmse(a, b, model, "nose", direction="both")
    assert both == pytest.approx(np.sqrt((there**2 + back**2) / 2))
    assert point_to_plane_rmse(b, a, model, "nose", direction="both") == pytest.approx(both)


def test_trimming_leaves_out_the_largest(model, faces):
    a, b = faces[:2]
    distance = distance_map(a, b, model, "nose")
    squares = np.sort(distance[np.isfinite(distance)] ** 2)
    trimmed = point_to_plane_rmse(a, b, model, "nose", trim=0.2)
    assert trimmed == pytest.approx(np.sqrt(squares[: len(squares) - len(squares) // 5].mean()))
    assert trimmed < point_to_plane_rmse(a, b, model, "nose", trim=0.0)
    assert point_to_plane_rmse(a, b, model, "nose", trim=0.0) == pytest.approx(
        np.sqrt(squares.mean())
    )


def test_batches_kinds_and_threads_give_the_same_numbers(model, faces):
    grid = point_to_plane_rmse(faces[:2, None], faces[None, 2:], model, "left_eye")
    assert grid.shape == (2, 2)
    assert grid.dtype == np.float64
    for i in range(2):
        for j in range(2):
            one = point_to_plane_rmse(faces[i], faces[2 + j], model, "left_eye")
            assert one.shape == ()
            assert one == grid[i, j]
    tensors = torch.tensor(faces)
    found = point_to_plane_rmse(tensors[:2, None], tensors[None, 2:], model, "left_eye")
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), grid)
    threads = torch.get_num_threads()
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            again = point_to_plane_rmse(faces[:2, None], faces[None, 2:], model, "left_eye")
            np.testing.assert_array_equal(again, grid)
    finally:
        torch.set_num_threads(threads)


def test_what_counts_as_a_correspondence(model, faces):
    a, b = faces[:2]
    default = register(a, b, model, "mouth")
    counts = {
        name: int(register(a, b, model, "mouth", config=config).n_correspondences)
        for name, config in {
            "all": RegistrationConfig(np.inf, 180, reject_boundary=False),
            "rim": RegistrationConfig(np.inf, 180),
            "angle": RegistrationConfig(np.inf, 20, reject_boundary=False),
            "near": RegistrationConfig(0.8, 180, reject_boundary=False, least_share=0.05),
        }.items()
    }
    assert counts["all"] == len(model.region("mouth"))
    assert max(counts["rim"], counts["angle"], counts["near"]) < counts["all"]
    assert default.n_correspondences <= counts["rim"]
    assert np.isfinite(distance_map(a, b, model, "mouth")).sum() == default.n_correspondences


def test_steps_that_do_not_suffice_are_told(model, faces):
    short = register(faces[0], faces[1], model, "nose", config=RegistrationConfig(max_iterations=2))
    assert not short.converged
    assert short.iterations == 2
    assert short.step_mm > 1e-3


def test_bad_input_is_refused(model, faces):
    a, b = faces[:2]
    with pytest.raises(ShapeError, match=r"9409 vertices.*14377"):
        point_to_plane_rmse(np.zeros((9409, 3)), b, model)
    with pytest.raises(InputError, match=r"has no region 'chin'.*left_eye, right_eye.*whole"):
        point_to_plane_rmse(a, b, model, "chin")
    torn = a.copy()
    torn[7, 1] = np.nan
    with pytest.raises(InputError, match="hold NaN or infinity"):
        point_to_plane_rmse(torn, b, model, "nose")
    with pytest.raises(InputError, match="lie on one line"):
        point_to_plane_rmse(a * [0, 1, 0], b, model, "nose")
    with pytest.raises(InputError, match="keeps 0 of 1017 correspondences"):
        point_to_plane_rmse(a, b, model, "nose", config=RegistrationConfig(max_distance_mm=1e-6))
    with pytest.raises(InputError, match=r"of 1017 correspondences within 0\.3 mm"):
        point_to_plane_rmse(a, b, model, "nose", config=RegistrationConfig(max_distance_mm=0.3))
    empty = dataclasses.replace(model, regions={**model.regions, "nose": np.array([], int)})
    with pytest.raises(InputError, match="region 'nose' of face model 'phantom' has 0 vertices"):
        point_to_plane_rmse(a, b, empty, "nose")
    with pytest.raises(InputError, match="has vertex numbers from 3 to 20000, the mesh has 14377"):
        register(a, b, model, [3, 4, 5, 6, 7, 8, 20000])
    with pytest.raises(InputError, match="direction 'sideways' is unknown"):
        point_to_plane_rmse(a, b, model, direction="sideways")
    with pytest.raises(InputError, match="not one motion"):
        register(a, b, model, direction="both")
    with pytest.raises(InputError, match=r"trim 1\.5 is not a share"):
        point_to_plane_rmse(a, b, model, trim=1.5)
    for wrong in ({"max_distance_mm": 0}, {"max_angle_deg": 200}, {"least_share": 1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            RegistrationConfig(**wrong)


def test_a_flat_surface_slides_and_is_refused():
    sheet, model = corrugated(12)
    flat = sheet * (1, 1, 0)
    with pytest.raises(InputError, match="is it flat"):
        point_to_plane_rmse(flat, flat, model)
