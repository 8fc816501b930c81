"""MobileNetV2 as an image-to-face network: the student of the unsupervised pipeline.

The body's layers carry the names of the public networks, so that their weights load.
"""

import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.models.layers import Depthwise, norm_relu, pooled_over
from v2mlib.models.mobilenet_v1 import ImageFeatures

_STAGES = (  # widening inside a block, channels after, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_FIRST, _LAST = 32, 1280
_MAP = 8  # the released code compares the map after nine of nineteen layers, 8 x 8 positions
N_POSE = 12
"""Numbers of a scaled pose, 3 x 4."""


class MobileNetV2(nn.Module):
    """Seventeen inverted residual blocks, an average over the image, a linear layer per part.

    Parameters
    ----------
    n_shape, n_expression : int
        Coefficients of the face model.
    n_pose : int
        Numbers of the pose; 0 for a network that predicts the face only.
    width : float
        Factor on all channels (the last layer's only if above 1), rounded to multiples of 8.
    dropout : float
        Before the linear layers, while training.

    Raises
    ------
    InputError
        If the width is not positive or there is nothing to predict.

    References
    ----------
    Sandler et al., "MobileNetV2", CVPR 2018, Table 2; Wu et al., "Voice2Mesh", section 3.2.

    Examples
    --------
    >>> network = MobileNetV2().eval()
    >>> network(torch.zeros(2, 3, 120, 120)).shape
    torch.Size([2, 62])
    """

    def __init__(self, n_shape=40, n_expression=10, n_pose=N_POSE, *, width=1.0, dropout=0.2):
        super().__init__()
        if not width > 0 or n_shape + n_expression + n_pose < 1:
            raise InputError(
                f"MobileNetV2(width={width})",
                "has no channels or no outputs",
                "choose a positive width and something to predict",
            )
        channels = _whole(_FIRST * width)
        layers = [_Layer(nn.Conv2d(3, channels, 3, 2, 1, bias=False))]
        for widening, after, n_blocks, stride in _STAGES:
            for number in range(n_blocks):
                block = _Inverted(
                    channels, _whole(after * width), widening, 1 if number else stride
                )
                layers.append(block)
                channels = _whole(after * width)
        last = _whole(_LAST * max(1.0, width))
        layers.append(_Layer(nn.Conv2d(channels, last, 1, bias=False)))
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(last, size)
                for name, size in (
                    ("pose", n_pose),
                    ("shape", n_shape),
                    ("expression", n_expression),
                )
                if size
            }
        )

    def forward(self, images):
        """Predict from images.

        Parameters
        ----------
        images : tensor, (batch, bgr=3, row=120, column=120)
            As `v2mlib.models.mobilenet_v1.whiten` gives them; other sizes work too.

        Returns
        -------
        tensor, (batch, output=62)
            Whitened pose, shape and expression, one after the other.
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
            The outputs, the pooled feature of 1,280 channels, and a map of ``64 width``
            channels at 8 x 8 positions.
        """
        maps = self.layers[: _MAP + 1](images)
        pooled = pooled_over(self.layers[_MAP + 1 :](maps))
        hidden = self.dropout(pooled)
        outputs = torch.cat([head(hidden) for head in self.heads.values()], dim=1)
        return ImageFeatures(outputs, pooled, maps)


class _Inverted(nn.Module):
    """Widen by a 1 x 1 convolution, convolve each channel, narrow again, add the input."""

    def __init__(self, before, after, widening, stride):
        super().__init__()
        inside = before * widening
        layers = [_Layer(nn.Conv2d(before, inside, 1, bias=False))] if widening != 1 else []
        layers += [
            _Layer(Depthwise(inside, stride)),
            nn.Conv2d(inside, after, 1, bias=False),
            nn.BatchNorm2d(after),
        ]
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and before == after

    def forward(self, maps):
        return maps + self.conv(maps) if self.adds else self.conv(maps)


class _Layer(nn.Sequential):
    """A convolution, batch normalisation and a ReLU6."""

    def __init__(self, convolution):
        super().__init__(convolution, nn.BatchNorm2d(convolution.out_channels))

    def forward(self, maps):
        return norm_relu(self[1], self[0](maps), 6.0)


def _whole(channels):
    """Round to a multiple of 8, but never down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


_HEADS = {"classifier_ori": "pose", "classifier_shape": "shape", "classifier_exp": "expression"}


def released_student_state(stored):
    """Give a released state dict the names it has here.

    Parameters
    ----------
    stored : dict of str to tensor
        As SynergyNet and the released Voice2Mesh store it: perhaps ``module.`` and
        ``backbone.`` before each name, the body under ``features`` (and once more, in two
        parts, under ``features_first`` and ``features_second``), a dropout and a linear layer
        per part; those for texture and size are of no use here.

    Returns
    -------
    dict of str to tensor
        For `MobileNetV2`.

    Examples
    --------
    >>> names = ["module.backbone.features.0.0.weight", "classifier_exp.1.bias",
    ...          "features_first.0.0.weight", "classifier_texture.1.bias"]
    >>> sorted(released_student_state(dict.fromkeys(names)))
    ['heads.expression.bias', 'layers.0.0.weight']
    """
    state = {}
    for name, tensor in stored.items():
        name = name.removeprefix("module.").removeprefix("backbone.")
        part, _, rest = name.partition(".")
        if part == "features":
            state[f"layers.{rest}"] = tensor
        elif part in _HEADS:
            state[f"heads.{_HEADS[part]}.{rest.removeprefix('1.')}"] = tensor
    return state
