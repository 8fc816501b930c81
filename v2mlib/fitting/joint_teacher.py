"""Teachers of the joint training: trained here, shipped, or the released 3DDFA-V2."""

from pathlib import Path

import torch

from v2mlib.faces.readers.slices import MICROMETRE
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.mobilenet_v2 import N_POSE
from v2mlib.photos.teacher import Teacher

_RELEASED = (".pth", ".npz")


def load_teacher(name_or_path):
    """Load an image-to-face network to learn from.

    Parameters
    ----------
    name_or_path : str or path
        A shipped name ("phantom"); a ``.safetensors`` file that `ImageToFace.save` wrote, or the
        folder of a `train_teacher`; or 3DDFA-V2's checkpoint or its folder, as
        `v2mlib.photos.Teacher.load` takes them.

    Returns
    -------
    ImageToFace
        In eval mode.

    Raises
    ------
    InputError
        If a file is missing or damaged; no code in any of them is run.
    """
    path = Path(name_or_path)
    if (path / "model.safetensors").is_file():
        path = path / "model.safetensors"
    if path.is_dir() or path.suffix in _RELEASED:
        return teacher_as_network(Teacher.load(path, runtime="torch"))
    return ImageToFace.load(path)


def teacher_as_network(teacher):
    """Turn 3DDFA-V2, with its whitening and face model, into one network.

    Parameters
    ----------
    teacher : Teacher
        Loaded.

    Returns
    -------
    ImageToFace
        It says standardised coefficients, as all networks here do, and poses from mm.
    """
    model, (mean, std) = teacher.face_model, (teacher.mean, teacher.std)
    network = ImageToFace(
        width=teacher.network.conv1.out_channels / 32,
        n_shape=model.n_shape,
        n_expression=model.n_expression,
    )
    network.network.load_state_dict(teacher.network.state_dict())
    turn = torch.tensor([1 / MICROMETRE] * 3 + [1.0], dtype=torch.float64).repeat(N_POSE // 4)
    unit = torch.cat([1 / turn, model.shape_std.double(), model.expression_std.double()])
    zero = torch.cat(
        [
            torch.zeros(N_POSE, dtype=torch.float64),
            model.shape_raw_mean.double(),
            model.expression_raw_mean.double(),
        ]
    )
    network.mean.copy_((torch.from_numpy(mean) - zero) / unit)
    network.std.copy_(torch.from_numpy(std) / unit)
    return network.eval()
