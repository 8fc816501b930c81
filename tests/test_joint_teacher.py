"""Teachers of the joint training, whatever file they come from."""

import joint_made
import numpy as np
import pytest
import torch
from joint_made import same, state

from v2mlib.checks import InputError
from v2mlib.fitting.joint_teacher import load_teacher
from v2mlib.models.mobilenet_v2 import N_POSE
from v2mlib.photos import Teacher


def test_the_released_teacher_says_as_a_network_what_it_says_of_photographs(real_data):
    folder = real_data / "tddfa_v2"
    path = folder / "mb05_120x120.pth" if (folder / "mb05_120x120.pth").exists() else folder
    network, teacher = load_teacher(path), Teacher.load(path, runtime="torch")
    photo = np.random.default_rng(0).integers(0, 256, (120, 120, 3)).astype(np.uint8)
    wanted = teacher.predict([photo], regions=[np.array([[0.0, 0.0, 120.0, 120.0]])])[0]
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        found = network(image)
    np.testing.assert_allclose(found.shape, wanted.shape_coefficients, atol=1e-3)
    np.testing.assert_allclose(found.expression, wanted.expression_coefficients, atol=1e-3)
    pose = found.pose.view(3, 4) * torch.tensor([1e-3, 1e-3, 1e-3, 1.0])  # pixels per um
    np.testing.assert_allclose(pose, wanted.pose[0], rtol=1e-3, atol=1e-6)
    assert bool((network.std[N_POSE:] > 0).all())


def test_teachers_trained_here_load_from_file_and_folder(tmp_path):
    joint_made.teacher().save(tmp_path / "model.safetensors", half=False)
    for place in (tmp_path, tmp_path / "model.safetensors"):
        assert same(state(load_teacher(place)), state(joint_made.teacher()))


def test_what_is_no_teacher_is_refused(tmp_path):
    with pytest.raises(InputError):
        load_teacher("nobody")
    with pytest.raises(InputError, match="lacks"):
        load_teacher(tmp_path)
