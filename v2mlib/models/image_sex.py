"""A network that tells the sex of whom an image shows: the judge of generated images."""

from pathlib import Path

from torch import nn

import v2mlib
from v2mlib.checks import InputError, check_shape
from v2mlib.models.discriminator import IMAGE_SIZE
from v2mlib.models.mobilenet_v1 import MobileNetV1, whiten
from v2mlib.models.weights import load_exactly, read_weights, write_weights
from v2mlib.paths import shipped

KIND = "image_sex"


class ImageSexClassifier(nn.Module):
    """A small MobileNetV1 with one output.

    Parameters
    ----------
    width : float
        Factor on its channels.

    References
    ----------
    Wu et al., "Voice2Mesh", section 4: an independent image gender classifier checks the images.

    Examples
    --------
    >>> import torch
    >>> ImageSexClassifier().eval()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2])
    """

    def __init__(self, width=0.25):
        super().__init__()
        self.settings = {"width": width}
        self.network = MobileNetV1(width, 1)

    def forward(self, images):
        """Judge images.

        Parameters
        ----------
        images : tensor, (batch, rgb=3, row=64, column=64)
            In [-1, 1].

        Returns
        -------
        tensor, (batch,)
            Log odds that a man is shown.

        Raises
        ------
        ShapeError
            If the images have another size.
        """
        axes = {"batch": None, "rgb": 3, "row": IMAGE_SIZE, "column": IMAGE_SIZE}
        check_shape(images, axes, "images")
        return self.network(whiten(127.5 * (images + 1)))[:, 0]

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
        ImageSexClassifier
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
