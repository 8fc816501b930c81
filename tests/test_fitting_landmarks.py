"""Fits to landmarks: exact recovery, a literal second implementation, honest uncertainty."""

import numpy as np
import pytest
import torch
from landmarks_made import (
    literal_coefficients,
    literal_energy,
    make,
    noisy,
    outline_landmarks,
)
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from v2mlib.faces import load_face_model
from v2mlib.faces.cameras import Camera
from v2mlib.fitting.landmarks import FitConfig, fit_landmarks, pose_angles, projected
from v2mlib.fitting.landmarks.basis import gram_matrices, landmark_basis, view_products

EXACT = FitConfig(noise_relative=1e-6, max_iterations=200)


@pytest.fixture(scope="module")
def model():
    """The phantom face."""
    return load_face_model("phantom")


@pytest.mark.parametrize("n_axes", [2, 3])
def test_recovers_faces_and_poses_exactly(model, n_axes):
    made = make(model, 40, n_axes)
    fit = fit_landmarks(made.landmarks, model, config=EXACT)
    assert fit.converged.all()
    assert fit.residual_px.max() < 1e-5
    for found, true in (
        (fit.shape_coefficients, made.shape),
        (fit.expression_coefficients, made.expression),
        (fit.rotation, made.rotation),
        (fit.scale, made.scale),
    ):
        torch.testing.assert_close(found, true, atol=2e-4, rtol=0)
    torch.testing.assert_close(fit.translation, made.translation, atol=1e-2, rtol=0)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_projected_landmarks_are_the_given_ones(model, n_axes):
    made = make(model, 3, n_axes)
    fit = fit_landmarks(made.landmarks, model, config=EXACT)
    seen = projected(fit, model, vertices=model.landmarks)
    torch.testing.assert_close(seen, made.landmarks, atol=1e-4, rtol=0)


def test_reaches_the_optimum_that_scipy_finds(model):
    made, noise = make(model, 2), 3.0
    landmarks = noisy(made, noise)
    config = FitConfig(noise=noise, precision="float64", tolerance=1e-9)
    fit = fit_landmarks(landmarks, model, config=config)
    vertices = model.landmarks
    mean = model.mean[vertices].double().numpy()
    basis = np.concatenate(
        [
            (model.shape_basis[vertices] * model.shape_std).double().numpy(),
            (model.expression_basis[vertices] * model.expression_std).double().numpy(),
        ],
        -1,
    )
    for face in range(2):
        goal = landmarks[face].numpy()

        def residuals(p, goal=goal):
            seen = np.exp(p[3]) * Rotation.from_rotvec(p[:3]).apply(mean + basis @ p[6:])
            off = goal - seen[:, :2] * (1, -1) - 100 * p[4:6]
            return np.concatenate([off.ravel() / noise, p[6:]])

        own = least_squares(residuals, np.r_[np.zeros(6), np.zeros(basis.shape[-1])], xtol=1e-12)
        found = torch.cat([fit.shape_coefficients[face], fit.expression_coefficients[face]])
        np.testing.assert_allclose(found, own.x[6:], atol=1e-4)
        np.testing.assert_allclose(float(fit.scale[face].log()), own.x[3], atol=1e-5)
        turn = Rotation.from_matrix(fit.rotation[face].numpy()).as_rotvec()
        np.testing.assert_allclose(turn, own.x[:3], atol=1e-5)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_objective_is_stationary(model, n_axes):
    made, noise = make(model, 1, n_axes), 3.0
    landmarks = noisy(made, noise)
    config = FitConfig(noise=noise, precision="float64", tolerance=1e-10)
    fit = fit_landmarks(landmarks, model, config=config)

    def energy(shape=0.0, turn=(0, 0, 0), scale=1.0, shift=0.0):
        moved = Rotation.from_rotvec(turn).as_matrix() @ fit.rotation[0].numpy()
        return literal_energy(
            model,
            landmarks[0].numpy(),
            noise,
            fit.shape_coefficients[0].numpy() + shape,
            fit.expression_coefficients[0].numpy(),
            moved,
            float(fit.scale[0]) * scale,
            fit.translation[0].numpy() + shift,
        )

    lowest = energy()
    first = np.eye(model.n_shape)[0]
    moves = [
        ({"shape": 0.01 * first}, {"shape": -0.01 * first}),
        ({"turn": (0, 1e-3, 0)}, {"turn": (0, -1e-3, 0)}),
        ({"turn": (1e-3, 0, 0)}, {"turn": (-1e-3, 0, 0)}),
        ({"scale": 1.001}, {"scale": 1 / 1.001}),
        ({"shift": 0.1}, {"shift": -0.1}),
    ]
    for ahead, back in moves:
        up, down = energy(**ahead) - lowest, energy(**back) - lowest
        assert min(up, down) > 0
        assert abs(up - down) < 0.02 * (up + down)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_shared_shape_solves_the_joint_normal_equations(model, n_axes):
    made, noise = make(model, 6, n_axes, n_identities=2), 3.0
    landmarks = noisy(made, noise)
    owners = np.array([7, 3] * 3)
    config = FitConfig(noise=noise, precision="float64", tolerance=1e-10)
    fit = fit_landmarks(landmarks, model, config=config, identities=owners)
    assert fit.identities.tolist() == [3, 7]
    assert fit.identity_rows.tolist() == [1, 0] * 3
    for row, owner in enumerate(fit.identities.tolist()):
        mine = owners == owner
        shape, expression = literal_coefficients(
            model,
            landmarks.numpy()[mine],
            noise,
            fit.rotation.numpy()[mine],
            fit.scale.numpy()[mine],
            fit.translation.numpy()[mine],
        )
        np.testing.assert_allclose(fit.shape_coefficients[row], shape, atol=1e-6)
        np.testing.assert_allclose(fit.expression_coefficients[mine], expression, atol=1e-6)


def test_shared_shape_is_recovered_and_surer(model):
    made = make(model, 24, n_identities=6)
    owners = torch.arange(24) % 6
    exact = fit_landmarks(made.landmarks, model, config=EXACT, identities=owners)
    torch.testing.assert_close(exact.shape_coefficients, made.shape[:6], atol=2e-4, rtol=0)
    landmarks, config = noisy(made, 3.0), FitConfig(noise=3.0)
    shared = fit_landmarks(landmarks, model, config=config, identities=owners)
    alone = fit_landmarks(landmarks, model, config=config)
    assert (shared.shape_standard_errors.mean(0) < alone.shape_standard_errors.mean(0)).all()
    both = (shared.shape_coefficients, alone.shape_coefficients[:6])
    off = [(found - made.shape[:6]).square().mean() for found in both]
    assert off[0] < 0.9 * off[1]


def test_one_photo_each_and_any_order_give_the_same(model):
    landmarks = noisy(make(model, 12), 3.0)
    config = FitConfig(noise=3.0, precision="float64", tolerance=1e-9)
    alone = fit_landmarks(landmarks, model, config=config)
    own = fit_landmarks(landmarks, model, config=config, identities=torch.arange(12))
    torch.testing.assert_close(own.shape_coefficients, alone.shape_coefficients, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        own.shape_standard_errors, alone.shape_standard_errors, atol=1e-6, rtol=0
    )
    owners, order = torch.arange(12) % 5, torch.randperm(12)
    straight = fit_landmarks(landmarks, model, config=config, identities=owners)
    small = FitConfig(noise=3.0, precision="float64", tolerance=1e-9, chunk=3)
    mixed = fit_landmarks(landmarks[order], model, config=small, identities=owners[order])
    torch.testing.assert_close(
        mixed.shape_coefficients, straight.shape_coefficients, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(mixed.scale, straight.scale[order], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("n_axes", [2, 3])
@pytest.mark.parametrize("shared", [False, True])
def test_intervals_cover(model, n_axes, shared):
    made = make(model, 200, n_axes, n_identities=50 if shared else None)
    owners = torch.arange(200) % 50 if shared else None
    config = FitConfig(noise=3.0)
    fit = fit_landmarks(noisy(made, 3.0), model, config=config, identities=owners)
    truth = made.shape[:50] if shared else made.shape
    for value, true, error in (
        (fit.shape_coefficients, truth, fit.shape_standard_errors),
        (fit.expression_coefficients, made.expression, fit.expression_standard_errors),
    ):
        inside = ((value - true).abs() < 1.96 * error).double().mean()
        assert 0.92 < inside < 0.975
        assert error.max() <= 1.001  # landmarks never tell less than nothing


def test_covariance_belongs_to_the_standard_errors(model):
    config = FitConfig(noise=3.0, covariance=True)
    fit = fit_landmarks(noisy(make(model, 3), 3.0), model, config=config)
    spread = fit.shape_covariance.diagonal(dim1=1, dim2=2).sqrt()
    torch.testing.assert_close(spread, fit.shape_standard_errors)
    plain = fit_landmarks(make(model, 3).landmarks, model, config=FitConfig(uncertainty=False))
    assert plain.shape_covariance is None
    assert plain.shape_standard_errors is None


@pytest.mark.parametrize("n_axes", [2, 3])
def test_many_faces_take_the_fast_road_to_the_same_place(model, n_axes):
    landmarks = noisy(make(model, 60, n_axes), 4.0)
    landmarks[3, 10] = torch.nan  # one that cannot
    fast = fit_landmarks(landmarks, model)
    double = FitConfig(precision="float64", tolerance=1e-8)
    exact = fit_landmarks(landmarks, model, config=double)
    assert fast.shape_coefficients.dtype == torch.float32
    assert fast.converged.all()
    for name in ("shape_coefficients", "expression_coefficients", "rotation", "residual_relative"):
        torch.testing.assert_close(
            getattr(fast, name).double(), getattr(exact, name), atol=3e-3, rtol=0
        )


def test_few_iterations_are_told_as_not_converged(model):
    landmarks = noisy(make(model, 60), 4.0)
    fit = fit_landmarks(landmarks, model, config=FitConfig(max_iterations=2))
    assert not fit.converged.any()
    assert (fit.iterations == 2).all()
    assert torch.isfinite(fit.shape_coefficients).all()


def test_gram_matrices_give_the_sum_over_landmarks(model):
    basis = landmark_basis(model, model.landmarks, torch.device("cpu"))
    weights = torch.rand(68, dtype=torch.float64)
    grams = gram_matrices(basis, weights)
    view = torch.nn.functional.normalize(torch.randn(3, dtype=torch.float64), dim=0)
    plane = torch.eye(3, dtype=torch.float64) - torch.outer(view, view)
    direct = torch.einsum("l,alx,xy,bly->ab", weights, basis.basis, plane, basis.basis)
    fast = grams.total.flatten() - view_products(view[None])[0] @ grams.pairs
    torch.testing.assert_close(fast.reshape(direct.shape), direct)


def test_missing_landmarks_are_left_out(model):
    made = make(model, 4)
    landmarks = made.landmarks.clone()
    landmarks[:, 20:28] = torch.nan
    weights = torch.ones(68)
    weights[20:28] = 0
    config = FitConfig(precision="float64", tolerance=1e-9)
    missing = fit_landmarks(landmarks, model, config=config)
    assert missing.residual_px.isfinite().all()
    full = made.landmarks.clone()
    full[:, 20:28] += 1000
    ignored = fit_landmarks(full, model, config=config, weights=weights)
    torch.testing.assert_close(missing.shape_coefficients, ignored.shape_coefficients)


def test_robust_weights_resist_slips(model):
    made = make(model, 30)
    landmarks = noisy(made, 1.0)
    landmarks[:, [5, 30, 50]] += 60
    off = {}
    for robust in (None, 2.0):
        config = FitConfig(noise=1.0, robust=robust)
        fit = fit_landmarks(landmarks, model, config=config)
        off[robust] = float((fit.shape_coefficients - made.shape).square().mean())
    assert off[2.0] < 0.5 * off[None]


@pytest.mark.parametrize("focal", [1500.0, None])
def test_perspective_camera_is_recovered(model, focal):
    made = make(model, 8)
    points = model.to(dtype=torch.float64).decode(made.shape, made.expression)
    points = points[:, model.landmarks] @ made.rotation.mT
    place = torch.tensor([20.0, -30.0, -800.0], dtype=torch.float64)
    seen = points + place
    centre = torch.tensor([320.0, 240.0])
    flip = torch.tensor([1.0, -1.0])
    landmarks = 1500 * seen[..., :2] * flip / -seen[..., 2:] + centre
    config = FitConfig(
        camera="perspective", focal_px=focal, noise_relative=1e-6, max_iterations=200
    )
    fit = fit_landmarks(landmarks, model, config=config, principal_points=centre)
    assert fit.residual_px.max() < 1e-3
    torch.testing.assert_close(fit.shape_coefficients, made.shape, atol=2e-2, rtol=0)
    torch.testing.assert_close(
        fit.focal_px, torch.full_like(fit.focal_px, 1500.0), rtol=2e-3, atol=0
    )
    torch.testing.assert_close(fit.translation, place.expand(8, 3), rtol=2e-3, atol=0.5)
    again = projected(fit, model, vertices=model.landmarks, principal_points=centre)
    torch.testing.assert_close(again, landmarks, atol=1e-2, rtol=0)


def test_rigid_fits_keep_millimetres(model):
    made = make(model, 5, 3)
    landmarks = (made.landmarks - made.translation[:, None]) / made.scale[:, None, None]
    config = FitConfig(noise_relative=1e-6, rigid=True)
    fit = fit_landmarks(landmarks, model, config=config)
    torch.testing.assert_close(fit.scale, torch.ones_like(fit.scale))
    torch.testing.assert_close(fit.shape_coefficients, made.shape, atol=2e-4, rtol=0)


def test_sliding_contour_keeps_the_pose_beyond_thirty_degrees(model):
    for yaw in (45, 60):
        drawn, _, shape = outline_landmarks(model, 24, yaw)
        off = {}
        for slides in (False, True):
            config = FitConfig(slide_contour=slides, noise=1.5)
            fit = fit_landmarks(drawn, model, config=config)
            assert fit.converged.double().mean() > 0.9
            angle = pose_angles(fit.rotation)[:, 0].abs()
            wrong = (fit.shape_coefficients - shape).square().mean().sqrt()
            off[slides] = float((angle - yaw).abs().mean()), float(wrong)
        assert off[True][0] < 0.4 * off[False][0]
        assert off[True][1] < 0.75 * off[False][1]
        own = fit.contour_vertices == model.landmarks[:17]
        assert not own.all(1).any()


def test_pose_angles_are_those_of_the_cameras():
    for angles in ((20.0, -10.0, 5.0), (-70.0, 30.0, -100.0)):
        found = pose_angles(Camera(*angles).axes)
        np.testing.assert_allclose(found, angles, atol=1e-9)


def test_gpu_agrees(model):
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    landmarks = noisy(make(model, 60), 3.0)
    here = fit_landmarks(landmarks, model)
    there = fit_landmarks(landmarks, model, device="cuda")
    assert there.shape_coefficients.is_cuda
    torch.testing.assert_close(
        there.shape_coefficients.cpu(), here.shape_coefficients, atol=5e-3, rtol=0
    )
