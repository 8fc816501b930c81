"""The real teacher gives what its authors' code gives; ONNX Runtime what PyTorch gives."""

import numpy as np
import pytest
import torch

from v2mlib.checks import InputError
from v2mlib.faces import load_face_model
from v2mlib.models.checkpoints import convert
from v2mlib.models.mobilenet_v1 import MobileNetV1
from v2mlib.photos import Teacher, landmark_error, load_engine
from v2mlib.photos.crops import (
    crop_regions,
    region_of_box,
    region_of_landmarks,
    resize_bilinear,
)
from v2mlib.photos.face_boxes import FaceBoxes, FaceDetector
from v2mlib.photos.runtime import onnx_graph, onnx_predictor


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("V2M_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["onnx", "torch"])
def teacher(request, real_data):
    return Teacher.load(real_data / "tddfa_v2" / "mb05_120x120.pth", runtime=request.param)


def whitened(teacher, parameters):
    return (parameters - teacher.mean) / teacher.std


def test_teacher_reproduces_the_reference_on_aflw2000(teacher, real_data):
    folder = real_data / "faces_aflw2000"
    stored = np.load(folder / "teacher_mb05_reference.npz", allow_pickle=False)
    names = sorted(name[:-4] for name in stored.files if name.endswith("_roi"))
    photos = [folder / f"{name}.jpg" for name in names]
    truth = [face.points for face in load_engine("files").detect(photos)]
    found = teacher.predict(photos, regions=[stored[f"{name}_roi"] for name in names])
    for face, name in zip(found, names, strict=True):
        expected = whitened(teacher, stored[f"{name}_param"])
        np.testing.assert_allclose(face.whitened[0], expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(
            face.landmarks[0], stored[f"{name}_landmarks"].T, rtol=0, atol=1e-2
        )
    # The reference's regions come from the landmarks as MATLAB counts them, from 1.
    regions = region_of_landmarks(np.stack(truth)[..., :2] + 1)
    np.testing.assert_allclose(regions, [stored[f"{name}_roi"] for name in names], atol=1e-3)
    errors = [landmark_error(f.landmarks[0], t) for f, t in zip(found, truth, strict=True)]
    assert 0.030 < np.mean(errors) < 0.040  # 3.6 % of the face's size


def test_teacher_finds_and_reproduces_several_faces(teacher, real_data):
    folder = real_data / "faces_demo"
    stored = np.load(folder / "teacher_mb05_reference.npz", allow_pickle=False)
    for name, n_faces in (("aflw-test-grid3x3", 9), ("prnet_3", 1)):
        (found,) = teacher.predict([folder / f"{name}.jpg"])  # the detector looks
        assert len(found.whitened) == n_faces
        boxes = stored[f"{name}_boxes"]
        np.testing.assert_allclose(np.c_[found.boxes, found.scores], boxes, rtol=0, atol=5e-3)
        np.testing.assert_allclose(found.regions, stored[f"{name}_roi"], rtol=0, atol=5e-3)
        expected = whitened(teacher, stored[f"{name}_params"])
        np.testing.assert_allclose(found.whitened, expected, rtol=0, atol=1e-3)
        points = stored[f"{name}_landmarks"].transpose(0, 2, 1)
        np.testing.assert_allclose(found.landmarks, points, rtol=0, atol=0.1)
        (given,) = teacher.predict([folder / f"{name}.jpg"], [boxes[:, :4]])
        np.testing.assert_allclose(given.landmarks, points, rtol=0, atol=0.1)


def test_coefficients_decode_to_the_landmarks(real_data):
    teacher = Teacher.load(real_data / "tddfa_v2")
    (face,) = teacher.predict([real_data / "faces_demo" / "JianzhuGuo.jpg"])
    model = teacher.face_model
    # Written out as the authors do, in the model's raw units.
    raw = face.whitened[0] * teacher.std + teacher.mean
    basis = np.load(real_data / "bfm_derived_noncommercial" / "bfm_landmark68_basis.npz")
    vertices = basis["u_base"] + basis["w_shp_base"] @ raw[12:52] + basis["w_exp_base"] @ raw[52:]
    decoded = model.decode(face.shape_coefficients[0], face.expression_coefficients[0])
    np.testing.assert_allclose(decoded.numpy(), vertices / 1000, atol=1e-3)
    np.testing.assert_allclose(face.pose[0].ravel(), raw[:12], rtol=1e-6)


def test_other_forms_of_the_weights_give_the_same(real_data, tmp_path):
    photo = real_data / "faces_demo" / "prnet_3.jpg"
    folder, box = real_data / "tddfa_v2", [[27, 27, 200, 200]]
    convert(folder / "mb05_120x120.pth", "tddfa_width_half", tmp_path / "teacher.safetensors")
    basis = real_data / "bfm_derived_noncommercial" / "bfm_landmark68_basis.npz"
    faces = [
        Teacher.load(weights, statistics=statistics, face_model=basis).predict([photo], box)[0]
        for weights, statistics in (
            (folder / "mb05_120x120.pth", folder / "param_mean_std_62d_120x120.pkl"),
            (folder / "mb05_120x120_state.npz", folder / "param_mean_std_62d_120x120.npz"),
            (tmp_path / "teacher.safetensors", folder / "param_mean_std_62d_120x120.npz"),
        )
    ]
    for face in faces[1:]:
        assert np.array_equal(face.landmarks, faces[0].landmarks)


def test_photos_without_faces_give_empty_results(real_data):
    teacher = Teacher.load(real_data / "tddfa_v2")
    wall = np.full((300, 300, 3), 128, np.uint8)
    photo = real_data / "faces_demo" / "prnet_3.jpg"
    first, second = teacher.predict([wall, photo])
    assert first.landmarks.shape == (0, 68, 3)
    assert second.landmarks.shape == (1, 68, 3)
    assert teacher.predict([]) == []
    engine = load_engine("teacher", weights=real_data / "tddfa_v2")
    assert engine.detect([wall, photo])[0] is None


def test_engine_gives_the_largest_face(real_data):
    engine = load_engine("teacher", weights=real_data / "tddfa_v2")
    photo = real_data / "faces_demo" / "aflw-test-grid3x3.jpg"
    faces, face = engine.detect_all([photo])[0], engine.detect([photo])[0]
    sides = [np.prod(f.box[2:] - f.box[:2]) for f in faces]
    assert sides == sorted(sides, reverse=True)
    np.testing.assert_array_equal(face.points, faces[0].points)


# Without real data.


def random_network(width=0.5):
    """A network whose normalisations do something, as after training."""
    torch.manual_seed(0)
    network = MobileNetV1(width)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.05, 0.2)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, 0, 0.2)
    network.eval()
    with torch.no_grad():  # outputs of the size that the released networks give
        network.fc.weight /= network(torch.rand(8, 3, 120, 120) * 2 - 1).std()
    return network


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_onnx_gives_what_pytorch_gives(width):
    network = random_network(width)
    images = torch.rand(5, 3, 120, 120, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected = network(images).numpy()
    assert 0.3 < expected.std() < 3
    predict = onnx_predictor(network)
    np.testing.assert_allclose(predict(images.numpy()), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(predict(images[:1].numpy()), expected[:1], rtol=0, atol=1e-5)


def test_graph_is_kept_by_checksum_and_mended():
    network = random_network()
    path = onnx_graph(network)
    written = path.stat().st_mtime_ns
    assert onnx_graph(network) == path
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:1000])
    assert onnx_predictor(network)(np.zeros((1, 3, 120, 120), np.float32)).shape == (1, 62)
    with torch.no_grad():
        network.fc.bias[0] += 1
    assert onnx_graph(network) != path
    with pytest.raises(InputError, match="training mode"):
        onnx_graph(network.train())


def test_resizing_is_opencvs_to_the_last_bit():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for rows, columns in [*rng.integers(1, 400, (40, 2)), (240, 240), (120, 120), (1, 1)]:
        image = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        expected = cv2.resize(image, (120, 100), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(resize_bilinear(image, (100, 120)), expected)


def test_crops_beyond_the_border_are_black():
    image = np.full((50, 60, 3), 200, np.uint8)
    crop = crop_regions(image, [[-60, 0, 60, 120], [500, 500, 620, 620]], 120)
    assert (crop[0, :50, 60:] == 200).all()
    assert (crop[0, 50:] == 0).all()
    assert (crop[0, :, :60] == 0).all()
    assert (crop[1] == 0).all()


def test_region_grows_and_sinks():
    # 100 + 120 wide and high: side 110, region 173.8 -> 173, centre lowered by 15.4.
    np.testing.assert_allclose(
        region_of_box([10.0, 20.0, 110.0, 140.0]), [-26.5, 8.9, 146.5, 181.9]
    )


def test_detector_refuses_other_weights(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "FaceBoxesProd.pth")
    with pytest.raises(InputError, match="has unknown a"):
        FaceDetector(tmp_path / "FaceBoxesProd.pth")
    torch.save(FaceBoxes().state_dict(), tmp_path / "FaceBoxesProd.pth")
    boxes, scores = FaceDetector(tmp_path / "FaceBoxesProd.pth", confidence=0.99).detect(
        np.zeros((40, 50, 3), np.uint8)
    )
    assert boxes.shape == (len(scores), 4)


def test_another_face_model_is_refused():
    zeros = np.zeros(62)
    with pytest.raises(InputError, match=r"not the Basel face model.*bfm_noneck_v3.pkl"):
        Teacher(random_network(), (zeros, zeros + 1), load_face_model("phantom"))


def test_runtimes_and_missing_detector(real_data):
    folder = real_data / "tddfa_v2"
    with pytest.raises(InputError, match="runtime 'tpu' is unknown: choose onnx or torch"):
        Teacher.load(folder, runtime="tpu")
    teacher = Teacher.load(folder)
    teacher.detector = None
    with pytest.raises(InputError, match=r"no detector: put FaceBoxesProd\.pth of 3DDFA-V2 beside"):
        teacher.predict([real_data / "faces_demo" / "prnet_3.jpg"])
    with pytest.raises(InputError, match="are both given"):
        teacher.predict([np.zeros((50, 50, 3), np.uint8)], [[0, 0, 9, 9]], regions=[[0, 0, 9, 9]])


def test_the_face_model_may_be_named_by_its_folder(real_data):
    weights, slices = real_data / "tddfa_v2", real_data / "bfm_derived_noncommercial"
    engine = load_engine("teacher", weights=weights, face_model=slices)
    assert engine.teacher.face_model.topology == "bfm-landmarks-68"
    with pytest.raises(InputError, match="is a folder without a face model"):
        load_engine("teacher", weights=weights, face_model=weights)


def test_files_that_are_missing_are_named(tmp_path):
    with pytest.raises(InputError, match=r"lacks \*120x120.pth or"):
        Teacher.load(tmp_path)
    with pytest.raises(InputError, match=r"mb1_120x120.pth does not exist"):
        Teacher.load(tmp_path / "mb1_120x120.pth")
    (tmp_path / "mb1_120x120.pth").touch()
    with pytest.raises(InputError, match=r"lacks param_mean_std_62d_120x120.pkl"):
        Teacher.load(tmp_path)
    (tmp_path / "mb05_120x120.pth").touch()
    with pytest.raises(InputError, match=r"several networks .*: name one"):
        Teacher.load(tmp_path)
