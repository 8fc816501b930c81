"""MobileNetV1 as 3DDFA-V2 uses it: a photo of a face becomes pose and coefficients.

Its attributes carry the names of the released network, so that the public checkpoint loads.
"""

from typing import NamedTuple

import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.models.layers import Depthwise, norm_relu, pooled_over

IMAGE_SIZE = 120
"""Rows and columns of the images that the released networks were trained on."""

N_OUTPUTS = 62
"""3 x 4 numbers of scaled pose, 40 of shape and 10 of expression."""

_STAGES = {  # name -> channels before, channels after at width 1, stride
    "dw2_1": (32, 64, 1),
    "dw2_2": (64, 128, 2),
    "dw3_1": (128, 128, 1),
    "dw3_2": (128, 256, 2),
    "dw4_1": (256, 256, 1),
    "dw4_2": (256, 512, 2),
    **{f"dw5_{number}": (512, 512, 1) for number in range(1, 6)},
    "dw5_6": (512, 1024, 2),
    "dw6": (1024, 1024, 1),
}
_MAP = "dw5_5"  # the last stage of 8 x 8 positions


class ImageFeatures(NamedTuple):
    """What a network sees in images, at three depths.

    Attributes
    ----------
    outputs : tensor, (batch, output)
        What calling the network gives.
    pooled : tensor, (batch, channel)
        The last map averaged over the image; the outputs are linear in it.
    map : tensor, (batch, channel, row, column)
        An intermediate map.
    """

    outputs: torch.Tensor
    pooled: torch.Tensor
    map: torch.Tensor


class _Separable(nn.Module):
    """A 3 x 3 convolution of each channel by itself, then a 1 x 1 one that mixes them."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv_dw = Depthwise(before, stride)
        self.bn_dw = nn.BatchNorm2d(before)
        self.conv_sep = nn.Conv2d(before, after, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(after)

    def forward(self, maps):
        maps = norm_relu(self.bn_dw, self.conv_dw(maps))
        return norm_relu(self.bn_sep, self.conv_sep(maps))


class MobileNetV1(nn.Module):
    """Thirteen depthwise separable convolutions, an average over the image, a linear layer.

    Parameters
    ----------
    width : float
        Factor on all channels; 1 and 0.5 are released.
    n_outputs : int
        Numbers to predict.

    Raises
    ------
    InputError
        If a layer would be empty.

    References
    ----------
    Howard et al., "MobileNets", 2017; Guo et al., "Towards Fast, Accurate and Stable 3D Dense
    Face Alignment", ECCV 2020.

    Examples
    --------
    >>> network = MobileNetV1(width=0.5).eval()
    >>> network(torch.zeros(2, 3, 120, 120)).shape
    torch.Size([2, 62])
    """

    def __init__(self, width=1.0, n_outputs=N_OUTPUTS):
        super().__init__()
        if not width * 32 >= 1 or n_outputs < 1:
            raise InputError(
                f"MobileNetV1(width={width}, n_outputs={n_outputs})",
                "has layers without channels",
                "choose a width of at least 1/32 and at least one output",
            )
        first, last = int(32 * width), int(1024 * width)
        self.conv1 = nn.Conv2d(3, first, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        for name, (before, after, stride) in _STAGES.items():
            setattr(self, name, _Separable(int(before * width), int(after * width), stride))
        self.fc = nn.Linear(last, n_outputs)

    def forward(self, images):
        """Predict from images.

        Parameters
        ----------
        images : tensor, (batch, bgr=3, row=120, column=120)
            Faces as `whiten` gives them; other sizes work too, if less well.

        Returns
        -------
        tensor, (batch, output=62)
            Whitened parameters: times their standard deviation plus their mean they are a
            3 x 4 scaled pose (row by row), 40 of shape and 10 of expression.
        """
        return self.features(images).outputs

    def features(self, images):
        """Predict, and keep what distillation compares.

        Parameters
        ----------
        images : tensor, (batch, bgr=3, row=120, column=120)
            As for `forward`.

        Returns
        -------
        ImageFeatures of tensor
            The outputs, the pooled feature of ``1024 width`` channels, and a map of
            ``512 width`` channels at 8 x 8 positions.
        """
        maps = norm_relu(self.bn1, self.conv1(images))
        intermediate = None
        for name in _STAGES:
            maps = getattr(self, name)(maps)
            intermediate = maps if name == _MAP else intermediate
        pooled = pooled_over(maps)
        return ImageFeatures(self.fc(pooled), pooled, intermediate)


def whiten(images):
    """Bring photographs into the range and channel order of the released networks.

    Parameters
    ----------
    images : tensor, (batch, rgb=3, row, column)
        In 0 to 255.

    Returns
    -------
    tensor, (batch, bgr=3, row, column)
        In about -1 to 1: ``(x - 127.5) / 128``.

    Examples
    --------
    >>> whiten(torch.tensor([255.0, 127.5, 0.0]).view(1, 3, 1, 1)).flatten().tolist()
    [-0.99609375, 0.0, 0.99609375]
    """
    return (images.flip(1) - 127.5) / 128
