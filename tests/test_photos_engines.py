"""Landmark engines: one interface, their accuracy, what they say when something is missing."""

import hashlib
import importlib.util
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image

from v2mlib.checks import InputError, ShapeError
from v2mlib.commands import landmark_weights
from v2mlib.faces import load_face_model
from v2mlib.models.mobilenet_v1 import MobileNetV1
from v2mlib.phantom.photos import PhotoConfig, Photographer
from v2mlib.photos import Landmarks, landmark_error, load_engine, read_landmarks
from v2mlib.photos import engine_fan as fan_module
from v2mlib.photos.engine_mediapipe import MESH_POINTS
from v2mlib.photos.fan_weights import WeightsFile, fan_files, fetch_fan_files
from v2mlib.photos.landmark_files import write_landmarks
from v2mlib.photos.runtime import onnx_available, onnx_predictor

needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="MediaPipe is not installed"
)
needs_fan = pytest.mark.skipif(
    importlib.util.find_spec("face_alignment") is None, reason="face-alignment is not installed"
)


def points(n_axes=2, seed=0):
    return np.random.default_rng(seed).uniform(10, 100, (68, n_axes)).astype(np.float32)


@pytest.fixture(scope="module")
def phantoms():
    """Rendered faces and their landmarks."""
    model, rng = load_face_model("phantom"), np.random.default_rng(3)
    photographer = Photographer(model, 0, PhotoConfig(size=128))
    return [photographer.take(rng.standard_normal(model.n_shape), row, 0) for row in range(6)]


def test_unknown_engines_and_options_are_refused():
    with pytest.raises(InputError, match="choose mediapipe, fan, teacher, files"):
        load_engine("dlib")
    with pytest.raises(InputError, match="takes no folder: it takes no options"):
        load_engine("mediapipe", folder=".")
    with pytest.raises(InputError, match="takes no weights: it takes folder"):
        load_engine("files", weights="x")
    with pytest.raises(InputError, match="needs the weights of 3DDFA-V2: give the folder with"):
        load_engine("teacher")


# MediaPipe


@needs_mediapipe
def test_mediapipe_finds_rendered_faces(phantoms):
    engine = load_engine("mediapipe")
    found = engine.detect([np.asarray(photo.image) for photo in phantoms])
    assert all(isinstance(face, Landmarks) for face in found)
    errors = landmark_error(
        [face.points for face in found], [photo.landmarks for photo in phantoms]
    )
    assert errors.max() < 0.05  # of the face's size; on average 2.5 %
    eyes = slice(36, 48)
    offset = np.mean([face.points[eyes, :2] for face in found], (0, 1)) - np.mean(
        [photo.landmarks[eyes] for photo in phantoms], (0, 1)
    )
    assert np.abs(offset).max() < 0.6  # pixels, of the eyes: no half pixel is lost
    nose_tip, jaw = (np.mean([face.points[i, 2] for face in found]) for i in (30, 0))
    assert nose_tip > jaw + 20  # depth grows towards the camera


@needs_mediapipe
def test_mediapipe_finds_the_face_in_a_box(phantoms):
    sheet = np.full((400, 300, 3), 200, np.uint8)
    for number, photo in enumerate(phantoms[:2]):
        sheet[200 * number : 200 * number + 128, 100:228] = np.asarray(photo.image)
    boxes = [[100, 200 * n, 228, 200 * n + 128] for n in (0, 1)] + [[0, 0, 40, 40]]
    faces = load_engine("mediapipe").detect_all([sheet], [boxes])[0]
    for number in (0, 1):
        expected = phantoms[number].landmarks + np.array([100, 200 * number])
        assert landmark_error(faces[number].points, expected) < 0.05
    engine = load_engine("mediapipe")
    assert engine.detect([np.full((128, 128, 3), 90, np.uint8)]) == [None]
    assert engine.detect([np.full((128, 128, 3), 90, np.uint8)], [[10, 10, 90, 90]]) == [None]


def test_mesh_points_mirror():
    """Landmarks that mirror each other have depths that do: a slip in the table would not."""
    assert MESH_POINTS.shape == (68, 2)
    assert MESH_POINTS.max() < 468
    mirror = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    mirror += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    mirror += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    model = load_face_model("phantom")
    vertices = model.mean[model.landmarks].numpy()
    np.testing.assert_allclose(vertices[mirror] * [-1, 1, 1], vertices, atol=0.5)
    if importlib.util.find_spec("mediapipe") is None:
        pytest.skip("MediaPipe is not installed")
    photo = Photographer(model, 0, PhotoConfig(256, 1e-6, 1e-6, 1e-6, 0)).take(np.zeros(40), 0, 0)
    (face,) = load_engine("mediapipe").detect([np.asarray(photo.image)])
    width = np.ptp(face.points[:, 0])
    middle = face.points[[27, 28, 30, 33, 51, 57, 62, 66, 8], 0].mean()
    flipped = face.points[mirror][:, :2] * [-1, 1] + [2 * middle, 0]
    assert np.abs(flipped - face.points[:, :2]).max() < 0.06 * width


@needs_mediapipe
def test_mediapipe_keeps_quiet(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "p.png")
    code = (
        "from v2mlib.photos import load_engine; "
        f"print(load_engine('mediapipe').detect([r'{tmp_path / 'p.png'}']))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[None]\n"
    assert done.stderr == ""


def test_missing_engines_name_the_extra(monkeypatch):
    found = importlib.util.find_spec
    missing = ("mediapipe", "face_alignment", "onnxruntime")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in missing else found(name, *a)
    )
    monkeypatch.setattr(sys, "version_info", (3, 12, 0))
    with pytest.raises(InputError, match=r'pip install "v2mlib\[photos\]"'):
        load_engine("mediapipe")
    with pytest.raises(InputError, match=r'pip install "v2mlib\[fan\]"'):
        load_engine("fan")
    assert not onnx_available()  # the teacher then computes with PyTorch
    with pytest.raises(
        InputError, match=r'pip install "v2mlib\[photos\]", or choose runtime="torch"'
    ):
        onnx_predictor(MobileNetV1(0.5).eval())
    monkeypatch.setattr(
        sys, "version_info", type("V", (tuple,), {"major": 3, "minor": 13})((3, 13))
    )
    with pytest.raises(InputError, match=r"no wheel for Python 3\.13: use Python 3\.11 or 3\.12"):
        load_engine("mediapipe")


# FAN


@needs_fan
def test_fan_never_fetches_and_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"fetched on request only: run `v2m data landmark-wei"):
        load_engine("fan")
    assert list(tmp_path.iterdir()) == []
    for file in fan_files():
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"damaged \(its SHA-256 does not begin with 619a316812"):
        load_engine("fan")


@needs_fan
def test_weights_are_fetched_checked_and_kept(tmp_path, monkeypatch, capsys):
    source, content = tmp_path / "source.pth", b"weights"
    source.write_bytes(content)
    target = tmp_path / "hub" / "w.pth"
    right = WeightsFile(source.as_uri(), target, hashlib.sha256(content).hexdigest()[:10])
    monkeypatch.setattr("v2mlib.photos.fan_weights.fan_files", lambda: [right])
    landmark_weights.run(None)
    assert capsys.readouterr().out == f"{target}\n"
    assert target.read_bytes() == content
    source.unlink()
    fetch_fan_files()  # it is there already
    target.unlink()
    with pytest.raises(InputError, match=r"cannot be fetched .* copy it to .*w\.pth"):
        fetch_fan_files(progress=False)
    source.write_bytes(b"something else")
    with pytest.raises(InputError, match="sent something else"):
        fetch_fan_files(progress=False)
    assert not target.exists()


@needs_fan
def test_fan_passes_boxes_and_points_on(monkeypatch):
    class Network:
        def __init__(self, kind, device, compile):
            assert (kind.name, device, compile) == ("TWO_HALF_D", "cpu", False)

        def get_landmarks_from_image(self, image, detected_faces, return_bboxes):
            if detected_faces is None:
                return None, None, None
            return [points(3, seed) for seed in (0, 1)], None, detected_faces

    monkeypatch.setattr("face_alignment.FaceAlignment", Network)
    monkeypatch.setattr(fan_module, "check_fan_files", lambda: None)
    engine, image = load_engine("fan"), np.zeros((99, 99, 3), np.uint8)
    assert engine.detect([image]) == [None]
    (faces,) = engine.detect_all([image], [[[0, 0, 9, 9], [5, 5, 20, 20]]])
    np.testing.assert_array_equal(faces[1].points, points(3, 1)[:, :2])
    np.testing.assert_array_equal(faces[1].box, [5, 5, 20, 20])


# Files


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pts", ".csv"])
@pytest.mark.parametrize("n_axes", [2, 3])
def test_files_come_back_as_written(tmp_path, suffix, n_axes):
    expected = points(n_axes)
    write_landmarks(tmp_path / f"p{suffix}", expected)
    found = read_landmarks(tmp_path / f"p{suffix}")
    kept = expected[:, :2] if suffix == ".pts" else expected
    np.testing.assert_allclose(found, kept, rtol=0, atol=1e-4)


def test_conventions_of_other_files(tmp_path):
    expected = points(3)
    lines = "\n".join(f"{x + 1} {y + 1}" for x, y in expected[:, :2].tolist())  # iBUG: from 1
    (tmp_path / "p.pts").write_text(f"version: 1\nn_points:  68\n{{\n{lines}\n}}\n")
    np.testing.assert_allclose(read_landmarks(tmp_path / "p.pts"), expected[:, :2], atol=1e-4)
    face = {"Shape_Para": np.zeros((199, 1)), "Exp_Para": np.zeros((29, 1)),
            "Pose_Para": np.array([[0, 0, 0, 0, 0, 0, 1e-3]])}  # fmt: skip
    scipy.io.savemat(tmp_path / "p.mat", face | {"pt3d_68": (expected + np.array([1, 1, 0])).T})
    np.testing.assert_allclose(read_landmarks(tmp_path / "p.mat"), expected, atol=1e-4)
    scipy.io.savemat(tmp_path / "p.mat", face | {"pt2d": expected.T[:2] + 1})
    np.testing.assert_allclose(read_landmarks(tmp_path / "p.mat"), expected[:, :2], atol=1e-4)
    scipy.io.savemat(tmp_path / "p.mat", face | {"pt2d": expected.T[:2, :21]})
    with pytest.raises(InputError, match="no 68 landmarks: expected pt3d_68"):
        read_landmarks(tmp_path / "p.mat")
    np.save(tmp_path / "p.npy", expected.T)
    np.testing.assert_array_equal(read_landmarks(tmp_path / "p.npy"), expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.pts", b"no braces", "not a sound .pts file: expected 68 lines"),
        ("p.csv", b"u,v\n1,2\n", "columns u, v.*expected columns x, y"),
        ("p.csv", b"x,y\n1,2\n", r"shape \(1, 2\).*expected \(landmark=68"),
        ("p.csv", b"x,y\n" + b"a,b\n" * 68, r"object.*expected \(landmark=68|cannot be read"),
        ("p.npy", b"", "not a sound .npy"),
        ("p.npz", b"PK", "cannot be read as .npz"),
        ("p.mat", b"MATLAB", "not a sound .mat"),
        ("p.txt", b"", "not a file of landmarks: use one of .npy"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} .*{message}"):
        read_landmarks(tmp_path / name)


def test_files_are_found_beside_or_in_a_folder(tmp_path):
    photo = tmp_path / "faces" / "Ann" / "01.jpg"  # never opened
    photo.parent.mkdir(parents=True)
    assert load_engine("files").detect([photo]) == [None]
    write_landmarks(photo.with_suffix(".npy"), points(seed=1))
    folder = tmp_path / "landmarks"
    write_landmarks(folder / "01.pts", points(seed=2))
    assert landmark_error(load_engine("files").detect([str(photo)])[0].points, points(seed=1)) == 0
    found = load_engine("files", folder=folder).detect([photo])[0]
    np.testing.assert_allclose(found.points, points(seed=2), atol=1e-4)
    write_landmarks(folder / "Ann" / "01.csv", points(seed=3))  # people's photos share names
    found = load_engine("files", folder=folder).detect([photo])[0]
    np.testing.assert_allclose(found.points, points(seed=3), atol=1e-4)
    assert np.isnan(found.score)
    np.testing.assert_allclose(found.box[:2], points(seed=3).min(0), atol=1e-4)
    with pytest.raises(InputError, match="finds landmarks by path: give paths"):
        load_engine("files").detect([np.zeros((20, 20, 3), np.uint8)])
    with pytest.raises(InputError, match="is not a folder"):
        load_engine("files", folder=photo)


def test_a_phantom_worlds_truth_is_found(tmp_path):
    names = ["faces/Ann/0.jpg", "faces/Bea/0.jpg"]
    (tmp_path / "truth").mkdir()
    (tmp_path / "world.json").write_text("{}")
    pd.DataFrame({"path": names}).to_parquet(tmp_path / "truth/photos.parquet")
    truth = np.stack([points(seed=n) for n in (1, 2)])
    np.save(tmp_path / "truth/landmarks.npy", truth)
    for engine in (load_engine("files", folder=tmp_path), load_engine("files")):
        found = engine.detect([tmp_path / name for name in reversed(names)])
        np.testing.assert_array_equal([face.points for face in found], truth[::-1])
        assert engine.detect([tmp_path / "faces/Cay/0.jpg"]) == [None]
    (tmp_path / "truth/landmarks.npy").write_bytes(b"")
    with pytest.raises(InputError, match="without sound landmarks"):
        load_engine("files", folder=tmp_path).detect([tmp_path / names[0]])


# Boxes and errors


@needs_mediapipe
def test_boxes_that_do_not_fit_are_refused():
    engine, image = load_engine("mediapipe"), np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="are 2 for 1 images"):
        engine.detect([image], [None, None])
    with pytest.raises(InputError, match="encloses nothing"):
        engine.detect([image], [[5, 5, 5, 9]])
    with pytest.raises(ShapeError, match=r"boxes of an image has shape \(1, 3\)"):
        engine.detect([image], [[5, 5, 5]])


def test_error_leaves_out_what_is_unknown_and_ignores_depth():
    reference = points()
    reference[:2] = (0, 0), (200, 50)
    size = np.sqrt(200 * np.ptp(reference[:, 1]))
    found = np.concatenate([reference + np.array([3, 4]), np.full((68, 1), 1e6)], axis=1)
    found[5] = np.nan
    assert landmark_error(found, reference) == pytest.approx(5 / size)
    with pytest.raises(ShapeError, match="Transposed"):
        landmark_error(found[:, :2].T, reference)
