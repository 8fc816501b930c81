"""Fitted faces of 300W-LP and AFLW2000: their three frames, against the landmarks stored beside."""

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from v2mlib.checks import InputError, ShapeError
from v2mlib.datasets.mat_files import IMAGE_SIZE, project, read_fitted_face, rotation
from v2mlib.faces.readers import read_bfm, standardised


def made(**changes):
    random = np.random.default_rng(0)
    stored = {
        "Shape_Para": random.normal(scale=1e5, size=(199, 1)),
        "Exp_Para": np.zeros((29, 1), np.uint8),  # as AFLW2000 stores neutral ones
        "Pose_Para": np.array([[0.1, -0.2, 0.3, 225, 200, -66, 1e-3]], np.float32),
        "Color_Para": np.ones((1, 7), np.float32),
        "pt3d_68": random.uniform(100, 350, size=(3, 68)).astype(np.float32),
        "pt2d": np.array([[10.0, -1, 30], [20.0, -1, 40]]),
        "roi": np.zeros((1, 4), np.int16),
    }
    return {name: value for name, value in {**stored, **changes}.items() if value is not None}


@pytest.fixture
def mat(tmp_path):
    def write(**changes):
        scipy.io.savemat(tmp_path / "image.mat", made(**changes))
        return tmp_path / "image.mat"

    return write


def test_fields_in_our_conventions(mat):
    face, stored = read_fitted_face(mat()), made()
    assert face.shape.shape == (199,)
    assert face.expression.tolist() == [0.0] * 29
    assert np.allclose(face.pose, stored["Pose_Para"][0])
    # MATLAB's first pixel is 1, ours 0; depth is no pixel
    assert np.allclose(face.landmarks_3d, stored["pt3d_68"].T - [1, 1, 0])
    assert np.array_equal(face.landmarks_2d, [[9, 19], [np.nan] * 2, [29, 39]], equal_nan=True)
    assert face.colour.tolist() == [1.0] * 7
    bare = read_fitted_face(mat(pt3d_68=None, pt2d=None, Color_Para=None))
    assert (bare.landmarks_3d, bare.landmarks_2d, bare.colour) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Shape_Para": None, "Pose_Para": None}, r"lacks Shape_Para, Pose_Para: expected a face"),
        ({"Shape_Para": np.zeros((40, 1))}, r"shape coefficients of shape \(40, 1\): expected 199"),
        ({"Pose_Para": np.ones((1, 6))}, r"Pose_Para of shape \(1, 6\): expected 7 numbers"),
        ({"Pose_Para": np.zeros((1, 7))}, "has a pose of scale 0"),
        ({"Pose_Para": np.full((1, 7), np.nan)}, "NaN or infinity in Pose_Para"),
        ({"pt3d_68": np.ones((68, 3))}, r"pt3d_68 of shape \(68, 3\): expected 3 x 68"),
        ({"pt2d": np.ones((3, 68))}, r"pt2d of shape \(3, 68\): expected 2 x n"),
        ({"Exp_Para": np.array([["a"]], dtype=object)}, "lacks Exp_Para"),
    ],
)
def test_other_contents_are_refused(mat, changes, message):
    with pytest.raises(InputError, match=r"image\.mat .*" + message):
        read_fitted_face(mat(**changes))


def test_files_of_another_kind_are_refused(mat, tmp_path):
    path = mat()
    content = path.read_bytes()
    newer = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)
    for damage, message in (
        (content[: len(content) // 2], "is not a sound .mat file"),
        (b"hello", "is not a sound .mat file"),
        (b"", "is not a sound .mat file"),
        (newer, "is a MATLAB 7.3 file"),
    ):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=message):
            read_fitted_face(path)
    with pytest.raises(InputError, match="does not exist"):
        read_fitted_face(tmp_path / "none.mat")


def test_rotation_against_scipy():
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, size=(50, 3))
    expected = Rotation.from_euler("XYZ", -angles).as_matrix()
    assert np.allclose(rotation(angles), expected)
    assert np.allclose(np.linalg.det(rotation(angles)), 1)


def test_directions_of_the_pose():
    nose, crown, left = np.array([0, 0, 100.0]), np.array([0, 120.0, 0]), np.array([70.0, 0, 0])

    def shift(point, *angles):
        pose = [*np.radians(angles), 225, 225, 0, 1e-3]
        return (project([point, [0, 0, 0]], pose)[0] - project([[0, 0, 0]] * 2, pose)[0])[:2]

    assert shift(left, 0, 0, 0).tolist() == [70, 0]  # the subject's left is on our right
    assert shift(crown, 0, 0, 0).tolist() == [0, -120]  # rows count downwards
    assert shift(nose, 20, 0, 0)[1] < -30  # pitch: the nose rises
    assert shift(nose, 0, 20, 0)[0] < -30  # yaw: to the subject's right, our left
    assert shift(crown, 0, 0, 20)[0] > 30  # roll: onto the left shoulder, our right


def test_first_and_last_pixel():
    corners = project([[0.0, 0, 0]], [0, 0, 0, 1, IMAGE_SIZE, 5, 1e-3])
    assert corners.tolist() == [[0, 0, 5]]
    assert project([[0.0, 0, 0]], [0, 0, 0, 450, 1, 0, 1e-3]).tolist() == [[449, 449, 0]]
    with pytest.raises(ShapeError, match=r"shapes \(68, 2\) and \(7,\)"):
        project(np.zeros((68, 2)), np.ones(7))


@pytest.fixture(scope="module")
def fitted(real_data):
    """Real faces, and their landmarks decoded from the first 40 + 10 coefficients."""
    model = read_bfm(real_data / "bfm_derived_noncommercial" / "bfm_landmark68_basis.npz")
    files = sorted((real_data / "faces_aflw2000").glob("*.mat"))
    faces = {file.stem: read_fitted_face(file) for file in files}
    shape, expression = standardised(
        model,
        np.stack([face.shape for face in faces.values()]),
        np.stack([face.expression for face in faces.values()]),
    )
    pose = np.stack([face.pose for face in faces.values()])
    points = project(model.decode(shape, expression).double().numpy(), pose)
    return faces, dict(zip(faces, points, strict=True))


def residual(points, landmarks):
    """Root mean square distance in pixels, and relative to the root of the box's area."""
    rms = np.sqrt(np.square(points - landmarks).sum(-1).mean())
    return rms, rms / np.sqrt(np.prod(np.ptp(landmarks[:, :2], axis=0)))


def test_posed_faces_lie_on_the_stored_landmarks(fitted):
    """The landmarks come from 199 + 29 modes, ours from 40 + 10: close, not equal."""
    faces, points = fitted
    relative = {}
    for name, face in faces.items():
        if face.landmarks_3d is not None:
            relative[name] = residual(points[name][:, :2], face.landmarks_3d[:, :2])[1]
            assert residual(points[name], face.landmarks_3d)[1] < 0.02  # depth too
    assert len(relative) == 8
    assert max(relative.values()) < 0.016
    assert np.mean(list(relative.values())) < 0.010


def test_pixels_count_from_the_right_corner(fitted):
    """One face has no expression: only 159 small modes are missing, and a pixel would show."""
    faces, points = fitted
    landmarks, ours = faces["image00516"].landmarks_3d, points["image00516"]
    assert residual(ours[:, :2], landmarks[:, :2])[0] < 0.35
    assert np.abs((ours - landmarks).mean(0)).max() < 0.1
    for shift in ([1, 0], [0, 1], [0, -1], [-1, 0]):
        assert residual(ours[:, :2] + shift, landmarks[:, :2])[0] > 0.9


def test_marked_points_of_300w_lp(fitted):
    """Its 68 points were marked on the photograph: inner ones agree, the cheek's contour slides."""
    faces, points = fitted
    marked = faces["IBUG_image_008_1_0"].landmarks_2d
    distance = np.linalg.norm(points["IBUG_image_008_1_0"][:, :2] - marked, axis=1)
    assert np.median(distance[17:]) < 6
    assert np.median(distance[:17]) > 10  # the head is turned by 44 degrees
    upside_down = points["IBUG_image_008_1_0"][:, :2] * [1, -1] + [0, IMAGE_SIZE]
    assert np.median(np.linalg.norm(upside_down - marked, axis=1)[17:]) > 50
