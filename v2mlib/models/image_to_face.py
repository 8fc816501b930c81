"""Image to face: an image of any size becomes pose and coefficients of a face model."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import v2mlib
from v2mlib.checks import InputError, check_shape
from v2mlib.models.mobilenet_v1 import IMAGE_SIZE, MobileNetV1, whiten
from v2mlib.models.mobilenet_v2 import N_POSE, MobileNetV2
from v2mlib.models.weights import load_exactly, read_weights, write_weights
from v2mlib.paths import shipped

KIND = "image_to_face"
NETWORKS = ("mobilenet_v1", "mobilenet_v2")


class ImageToFaceOutput(NamedTuple):
    """What a network says of images.

    Attributes
    ----------
    pose : tensor, (batch, 12)
        Scaled pose, 3 x 4 row by row: face model's axes (mm) to the image's right and up.
    shape : tensor, (batch, shape)
        Shape coefficients.
    expression : tensor, (batch, expression)
        Expression coefficients.
    pooled : tensor, (batch, channel)
        The feature from which all of it is predicted linearly.
    map : tensor, (batch, channel, row=8, column=8)
        An intermediate map.
    """

    pose: torch.Tensor
    shape: torch.Tensor
    expression: torch.Tensor
    pooled: torch.Tensor
    map: torch.Tensor


class ImageToFace(nn.Module):
    """A MobileNet, with the scaling of what goes in and of what comes out.

    Parameters
    ----------
    network : {"mobilenet_v1", "mobilenet_v2"}
        The teacher's or the student's.
    width : float
        Factor on its channels.
    n_shape, n_expression : int
        Coefficients of the face model.
    image_size : int, pixels
        Images are brought to this size (bilinearly) before they go in.
    align_corners : bool
        Whether corner pixels stay in the corners then, as in the released code.

    Attributes
    ----------
    mean, std : tensor, (output,)
        Parameters are the network's outputs times `std` plus `mean`.

    Raises
    ------
    InputError
        If the network is unknown.

    References
    ----------
    Guo et al., "Towards Fast, Accurate and Stable 3D Dense Face Alignment", ECCV 2020;
    Wu et al., "Voice2Mesh", section 3.2.

    Examples
    --------
    >>> found = ImageToFace(width=0.25).eval()(torch.zeros(2, 3, 64, 64))
    >>> found.pose.shape, found.shape.shape, found.expression.shape
    (torch.Size([2, 12]), torch.Size([2, 40]), torch.Size([2, 10]))
    """

    def __init__(
        self,
        network="mobilenet_v1",
        *,
        width=1.0,
        n_shape=40,
        n_expression=10,
        image_size=IMAGE_SIZE,
        align_corners=False,
    ):
        super().__init__()
        self.settings = {
            "network": network,
            "width": width,
            "n_shape": n_shape,
            "n_expression": n_expression,
            "image_size": image_size,
        }
        if align_corners:  # a card that says nothing of it stays true
            self.settings["align_corners"] = True
        n_outputs = N_POSE + n_shape + n_expression
        if network == "mobilenet_v1":
            self.network = MobileNetV1(width, n_outputs)
        elif network == "mobilenet_v2":
            self.network = MobileNetV2(n_shape, n_expression, width=width)
        else:
            raise InputError(f"network {network!r}", "is unknown", f"choose from {NETWORKS}")
        self.register_buffer("mean", torch.zeros(n_outputs))
        self.register_buffer("std", torch.ones(n_outputs))

    def forward(self, images):
        """Predict faces from images.

        Parameters
        ----------
        images : tensor, (batch, rgb=3, row, column)
            In [-1, 1].

        Returns
        -------
        ImageToFaceOutput of tensor
            Parameters and features.

        Raises
        ------
        ShapeError
            If the images have other axes.
        """
        check_shape(images, {"batch": None, "rgb": 3, "row": None, "column": None}, "images")
        size = self.settings["image_size"]
        if images.shape[2:] != (size, size):
            corners = self.settings.get("align_corners", False)
            images = nn.functional.interpolate(
                images, (size, size), mode="bilinear", align_corners=corners
            )
        found = self.network.features(whiten(127.5 * (images + 1)))
        parameters = found.outputs.float() * self.std + self.mean
        n_shape = self.settings["n_shape"]
        sizes = (N_POSE, n_shape, self.settings["n_expression"])
        return ImageToFaceOutput(*parameters.split(sizes, 1), found.pooled, found.map)

    def save(self, path, *, card=None, half=True):
        """Write the weights and their card.

        Parameters
        ----------
        path : path
            The ``.safetensors`` file; the card goes beside it with ``.json``.
        card : dict, optional
            What the weights are, as plain data.
        half : bool
            Whether to round the weights to half precision.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        described = {"kind": KIND, "architecture": self.settings, "version": v2mlib.__version__}
        write_weights(path, self.state_dict(), {**(card or {}), **described}, half=half)

    @classmethod
    def load(cls, name_or_path):
        """Load what `save` wrote.

        Parameters
        ----------
        name_or_path : str or path
            The ``.safetensors`` file; or a shipped name ("phantom").

        Returns
        -------
        ImageToFace
            In eval mode.

        Raises
        ------
        InputError
            If the name is unknown, or the files are missing, damaged or hold something else.
        """
        path = Path(name_or_path)
        if not path.suffix and not path.exists():
            path = shipped(f"{name_or_path}_{KIND}.safetensors")
        tensors, card = read_weights(path)
        if card.get("kind") != KIND:
            raise InputError(path, f"holds a {card.get('kind')}, not a {KIND}", "choose another")
        try:
            network = cls(**card["architecture"])
        except (KeyError, TypeError, InputError) as error:
            raise InputError(path, f"has an incomplete card ({error})", "copy it again") from None
        return load_exactly(network, tensors, path).eval()
