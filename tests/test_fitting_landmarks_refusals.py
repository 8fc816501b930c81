"""What a fit to landmarks refuses, and real landmark sets."""

import numpy as np
import pytest
import torch
from faces_made import small_model
from landmarks_made import make

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import MISSING_LANDMARK, load_face_model
from v2mlib.fitting.landmarks import FitConfig, fit_landmarks, pose_angles, projected


@pytest.fixture(scope="module")
def model():
    """The phantom face."""
    return load_face_model("phantom")


@pytest.fixture(scope="module")
def landmarks(model):
    """Six faces' landmarks without noise."""
    return make(model, 6).landmarks


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"camera": "fisheye"}, "is not 'weak_perspective' or 'perspective'"),
        ({"precision": "half"}, "is not 'auto'"),
        ({"noise": 0.0}, "noise=0.0 is not positive"),
        ({"noise_relative": float("nan")}, "is not positive"),
        ({"shape_prior": -1.0}, "shape_prior=-1.0 is not possible"),
        ({"max_iterations": 0}, "max_iterations=0 is too few"),
        ({"focal_px": 1000.0}, 'set camera="perspective" too'),
        ({"slide_contour": True, "camera": "perspective"}, "weak perspective only"),
    ],
)
def test_refuses_impossible_settings(settings, match):
    with pytest.raises(InputError, match=match):
        FitConfig(**settings)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((4, 5, 2), "five points of a face detector"),
        ((4, 98, 2), "WFLW"),
        ((4, 478, 3), "MediaPipe"),
        ((4, 67, 2), r"expected \(face, landmark=68"),
        ((4, 2, 68), "Transposed?"),
        ((4, 3, 68), "Transposed?"),
        ((68, 2), r"landmarks\[None\]"),
        ((4, 68, 4), "expected"),
    ],
)
def test_refuses_other_shapes(model, shape, match):
    with pytest.raises(ShapeError, match=match):
        fit_landmarks(np.zeros(shape), model)


def _all_nan(face):
    face[:] = np.nan


def _infinite(face):
    face[3] = np.inf


def _coincident(face):
    face[:] = 100.0


def _collinear(face):
    face[:] = np.arange(68)[:, None] * (1.0, 2.0)


def _too_few(face):
    face[5:] = np.nan


def _y_up(face):
    face[:, 1] *= -1


def _swapped(face):
    face[:] = face[:, ::-1].copy()


SPOILERS = {
    _all_nan: r"no landmark at all \(all NaN\)",
    _infinite: "holds infinite coordinates",
    _coincident: "all landmarks in one place",
    _collinear: "all landmarks on one line",
    _too_few: "fewer than 6 landmarks",
    _y_up: "an axis points the wrong way",
    _swapped: "columns and rows are swapped",
}


@pytest.mark.parametrize("spoil", SPOILERS)
def test_names_the_faces_that_cannot_be_fitted(model, landmarks, spoil):
    given = landmarks.numpy().copy()
    spoil(given[2])
    spoil(given[4])
    with pytest.raises(InputError, match=f"face 2, 4 .*{SPOILERS[spoil]}"):
        fit_landmarks(given, model)
    marked = fit_landmarks(given, model, config=FitConfig(refuse_degenerate=False))
    assert [bool(text) for text in marked.problem] == [face in (2, 4) for face in range(6)]
    assert not marked.converged[[2, 4]].any()
    assert marked.converged[[0, 1, 3, 5]].all()
    for part in (marked.shape_coefficients, marked.residual_px, marked.scale, marked.rotation):
        assert part[[2, 4]].isnan().all()
        assert part[[0, 1, 3, 5]].isfinite().all()


def test_one_bad_photo_does_not_spoil_its_identity(model, landmarks):
    given = landmarks.clone()
    given[2] = torch.nan
    owners = torch.tensor([0, 0, 0, 1, 1, 2])
    config = FitConfig(refuse_degenerate=False)
    fit = fit_landmarks(given, model, config=config, identities=owners)
    rest = torch.tensor([0, 1, 3, 4, 5])
    alone = fit_landmarks(given[rest], model, config=config, identities=owners[rest])
    torch.testing.assert_close(fit.shape_coefficients, alone.shape_coefficients)
    owners[2] = 9  # an identity without a usable photo
    fit = fit_landmarks(given, model, config=config, identities=owners)
    assert fit.identities.tolist() == [0, 1, 2, 9]
    assert fit.shape_coefficients[3].isnan().all()
    assert fit.shape_standard_errors[3].isnan().all()


def test_tells_mirrored_depth(model):
    given = make(model, 2, 3).landmarks
    given[1, :, 2] *= -1
    with pytest.raises(InputError, match="face 1 is seen from behind or mirrored"):
        fit_landmarks(given, model)


def test_refuses_a_contour_that_cannot_slide(landmarks):
    points = torch.arange(68)
    points[3] = MISSING_LANDMARK
    jawless, config = small_model(landmarks=points), FitConfig(slide_contour=True)
    with pytest.raises(InputError, match="lacks landmarks of the jaw: its contour cannot slide"):
        fit_landmarks(landmarks, jawless, config=config)
    bare = small_model(triangles=np.empty((0, 3)))
    with pytest.raises(InputError, match="has no mesh, only landmarks: its contour cannot slide"):
        fit_landmarks(landmarks, bare, config=config)


def test_refuses_what_the_camera_lacks(model, landmarks):
    config = FitConfig(camera="perspective")
    with pytest.raises(InputError, match="give principal_points"):
        fit_landmarks(landmarks, model, config=config)
    with pytest.raises(ShapeError, match="principal_points have shape"):
        fit_landmarks(landmarks, model, config=config, principal_points=[1, 2, 3])
    solid = make(model, 2, 3).landmarks
    with pytest.raises(InputError, match="is for two-dimensional landmarks"):
        fit_landmarks(solid, model, config=config)
    with pytest.raises(InputError, match="is for three-dimensional landmarks"):
        fit_landmarks(landmarks, model, config=FitConfig(rigid=True))


def test_refuses_weights_and_identities_that_do_not_fit(model, landmarks):
    with pytest.raises(ShapeError, match="weights have shape"):
        fit_landmarks(landmarks, model, weights=np.ones(5))
    with pytest.raises(InputError, match="negative or non-finite"):
        fit_landmarks(landmarks, model, weights=-np.ones(68))
    with pytest.raises(ShapeError, match="one per face"):
        fit_landmarks(landmarks, model, identities=np.zeros(5, dtype=int))
    with pytest.raises(ShapeError, match="one per face"):
        fit_landmarks(landmarks, model, identities=np.zeros(6))
    with pytest.raises(InputError, match="not integers: number them"):
        fit_landmarks(landmarks, model, identities=list("aabbcc"))


def test_refuses_a_model_with_hardly_any_landmark(landmarks):
    few = torch.full((68,), MISSING_LANDMARK)
    few[:4] = torch.arange(4)
    with pytest.raises(InputError, match="has only 4 landmarks"):
        fit_landmarks(landmarks, small_model(landmarks=few))


def test_fits_a_face_without_modes(model, landmarks):
    rigid = model.truncated(n_shape=0, n_expression=0)
    fit = fit_landmarks(landmarks, rigid)
    assert fit.converged.all()
    assert fit.shape_coefficients.shape == (6, 0)


def test_no_faces_are_no_error(model):
    fit = fit_landmarks(np.zeros((0, 68, 2)), model)
    assert fit.shape_coefficients.shape == (0, model.n_shape)
    assert fit.problem == ()


@pytest.fixture(scope="module")
def aflw(real_data):
    """Every eighth of 2,000 real 3D landmark sets, y up."""
    path = real_data / "faces_aflw2000" / "aflw2000_landmarks.npz"
    with np.load(path, allow_pickle=False) as file:
        points = file["pts68_3d"].astype(np.float64).transpose(0, 2, 1)
    return points * (1, -1, 1)


@pytest.mark.real_data
def test_fits_real_landmarks_with_bfm(aflw, real_data):
    bfm = load_face_model(real_data / "bfm_derived_noncommercial" / "bfm_landmark68_basis.npz")
    fit = fit_landmarks(aflw[::8], bfm)
    assert fit.converged.all()
    assert fit.residual_relative.median() < 0.013  # 1.1 %: the data are fits of the whole BFM
    assert fit.residual_relative.max() < 0.03


@pytest.mark.real_data
def test_finds_the_one_face_of_aflw2000_that_looks_backwards(aflw, real_data):
    bfm = load_face_model(real_data / "bfm_derived_noncommercial" / "bfm_landmark68_basis.npz")
    with pytest.raises(InputError, match="face 2 is seen from behind or mirrored"):
        fit_landmarks(aflw[1900:1910], bfm)


@pytest.mark.real_data
def test_fits_a_model_of_fifty_landmarks(aflw, real_data):
    surrey = load_face_model(real_data / "surrey_sfm_noncommercial" / "sfm_3448.npz")
    flat = aflw[::20, :, :2] * (1, -1)
    fit = fit_landmarks(flat, surrey)
    assert fit.converged.double().mean() > 0.98
    has = surrey.landmarks >= 0
    assert int(has.sum()) == 50
    seen = projected(fit, surrey, vertices=surrey.landmarks[has]).double()
    off = (seen - torch.from_numpy(flat)[:, has]).square().sum(-1).mean(1).sqrt()
    torch.testing.assert_close(off, fit.residual_px.double(), atol=2e-3, rtol=1e-3)
    solid = pose_angles(fit_landmarks(aflw[::20], surrey).rotation)[:, 0]
    assert (pose_angles(fit.rotation)[:, 0] - solid).abs().median() < 4
