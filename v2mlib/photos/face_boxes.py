"""FaceBoxes, the detector that 3DDFA-V2 comes with: where faces are in a photograph.

The layers carry the names of the released network, so that its public weights load.
"""

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from v2mlib.checks import InputError
from v2mlib.models.checkpoints import read_arrays
from v2mlib.models.weights import load_exactly
from v2mlib.photos.crops import resize_bilinear

WEIGHTS = "FaceBoxesProd.pth"

_LARGEST = (720, 1080)  # rows and columns; larger photographs are reduced to fit
_MEAN_BGR = (104.0, 117.0, 123.0)
_ANCHORS = (  # step of the map, then (side, anchors per step and axis); all in pixels
    (32, ((32, 4), (64, 2), (128, 1))),
    (64, ((256, 1),)),
    (128, ((512, 1),)),
)
_VARIANCES = (0.1, 0.2)  # units of the predicted shifts and logarithms of sizes
_CANDIDATE = 0.05  # least confidence of boxes that compete
_OVERLAP = 0.3  # intersection over union from which the lesser box gives way


class _Convolution(nn.Module):
    """Convolution and normalisation, then a ReLU of the result, or of it and its negative."""

    def __init__(self, before, after, size, stride=1, padding=0, *, both_signs=False):
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after)
        self.both_signs = both_signs

    def forward(self, maps):
        maps = self.bn(self.conv(maps))
        return torch.relu(torch.cat([maps, -maps], 1) if self.both_signs else maps)


class _Inception(nn.Module):
    """Four branches of 32 channels that see 1, 3 (averaged), 3 and 5 pixels."""

    def __init__(self):
        super().__init__()
        self.branch1x1 = _Convolution(128, 32, 1)
        self.branch1x1_2 = _Convolution(128, 32, 1)
        self.branch3x3_reduce = _Convolution(128, 24, 1)
        self.branch3x3 = _Convolution(24, 32, 3, padding=1)
        self.branch3x3_reduce_2 = _Convolution(128, 24, 1)
        self.branch3x3_2 = _Convolution(24, 32, 3, padding=1)
        self.branch3x3_3 = _Convolution(32, 32, 3, padding=1)

    def forward(self, maps):
        averaged = functional.avg_pool2d(maps, 3, 1, 1)
        twice = self.branch3x3_2(self.branch3x3_reduce_2(maps))
        branches = [
            self.branch1x1(maps),
            self.branch1x1_2(averaged),
            self.branch3x3(self.branch3x3_reduce(maps)),
            self.branch3x3_3(twice),
        ]
        return torch.cat(branches, 1)


class FaceBoxes(nn.Module):
    """A single-shot detector of faces from about 20 pixels.

    References
    ----------
    Zhang et al., "FaceBoxes: A CPU Real-time Face Detector with High Accuracy", IJCB 2017.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = _Convolution(3, 24, 7, 4, 3, both_signs=True)
        self.conv2 = _Convolution(48, 64, 5, 2, 2, both_signs=True)
        self.inception1, self.inception2, self.inception3 = (_Inception() for _ in range(3))
        self.conv3_1 = _Convolution(128, 128, 1)
        self.conv3_2 = _Convolution(128, 256, 3, 2, 1)
        self.conv4_1 = _Convolution(256, 128, 1)
        self.conv4_2 = _Convolution(128, 256, 3, 2, 1)
        per_place = [sum(number**2 for _, number in sides) for _, sides in _ANCHORS]
        channels = list(zip((128, 256, 256), per_place, strict=True))
        self.loc = nn.ModuleList(nn.Conv2d(c, 4 * n, 3, padding=1) for c, n in channels)
        self.conf = nn.ModuleList(nn.Conv2d(c, 2 * n, 3, padding=1) for c, n in channels)

    def forward(self, images):
        """Score all anchors.

        Parameters
        ----------
        images : tensor, (batch, bgr=3, row, column)
            Levels of 0 to 255 less the training images' mean.

        Returns
        -------
        shifts : tensor, (batch, anchor, 4)
            What to do to the anchors; see `anchors`.
        confidence : tensor, (batch, anchor)
            From 0 to 1.
        """
        maps = functional.max_pool2d(self.conv1(images), 3, 2, 1)
        maps = functional.max_pool2d(self.conv2(maps), 3, 2, 1)
        small = self.inception3(self.inception2(self.inception1(maps)))
        medium = self.conv3_2(self.conv3_1(small))
        large = self.conv4_2(self.conv4_1(medium))
        sources = (small, medium, large)
        shifts = _per_anchor(self.loc, sources, 4)
        return shifts, _per_anchor(self.conf, sources, 2).softmax(-1)[..., 1]


def _per_anchor(heads, sources, width):
    found = [head(maps).permute(0, 2, 3, 1) for head, maps in zip(heads, sources, strict=True)]
    return torch.cat([f.reshape(len(f), -1, width) for f in found], 1)


def anchors(rows, columns):
    """Squares that the network starts from.

    Parameters
    ----------
    rows, columns : int, pixels
        Size of the picture.

    Returns
    -------
    ndarray of float64, (anchor, x y side), pixels
        Centres and sides; small squares stand closer than the map's positions.

    Examples
    --------
    >>> anchors(32, 32).shape
    (23, 3)
    """
    found = []
    for step, sides in _ANCHORS:
        places = itertools.product(range(-(-rows // step)), range(-(-columns // step)))
        cell = []  # of the place in the corner
        for side, number in sides:
            offsets = (np.arange(number) / number if number > 1 else np.array([0.5])) * step
            y, x = np.meshgrid(offsets, offsets, indexing="ij")
            cell.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, side)], axis=1))
        corners = np.array([(column * step, row * step, 0) for row, column in places])
        found.append((corners[:, None] + np.concatenate(cell)).reshape(-1, 3))
    return np.concatenate(found)


class FaceDetector:
    """Finds faces with FaceBoxes.

    Parameters
    ----------
    path : path
        The released weights ``FaceBoxesProd.pth``, read as arrays only.
    confidence : float
        Least score of a face.
    device : str
        Where to compute.

    Raises
    ------
    InputError
        If the weights are missing, damaged or another network's, or the confidence impossible.
    """

    def __init__(self, path, *, confidence=0.5, device="cpu"):
        if not _CANDIDATE <= confidence < 1:
            raise InputError(
                f"confidence={confidence}", "is not possible", f"choose {_CANDIDATE} to 1"
            )
        network, stored = FaceBoxes(), read_arrays(path)
        state = {name.removeprefix("module."): tensor for name, tensor in stored.items()}
        for name, tensor in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                state.setdefault(name, tensor)
        self.network = load_exactly(network, state, Path(path)).eval().to(device)
        self.confidence, self.device = confidence, device

    @torch.inference_mode()
    def detect(self, image):
        """Find the faces of a photograph.

        Parameters
        ----------
        image : ndarray of uint8, (row, column, rgb=3)
            The photograph.

        Returns
        -------
        boxes : ndarray of float64, (face, x_low y_low x_high y_high), pixels
            From forehead to chin, the surest first.
        scores : ndarray of float64, (face,)
            Confidence.
        """
        rows, columns = image.shape[:2]
        scale = min(1.0, _LARGEST[0] / rows, _LARGEST[1] / columns)
        size = (max(round(rows * scale), 1), max(round(columns * scale), 1))
        small = image if scale == 1 else resize_bilinear(image, size)
        levels = torch.from_numpy(small[..., ::-1].astype(np.float32)) - torch.tensor(_MEAN_BGR)
        shifts, confidence = self.network(levels.permute(2, 0, 1)[None].to(self.device))
        scores = confidence[0].cpu().double().numpy()
        kept = np.flatnonzero(scores > _CANDIDATE)
        start, shifts = anchors(*size)[kept], shifts[0].cpu().double().numpy()[kept]
        centre = start[:, :2] + shifts[:, :2] * _VARIANCES[0] * start[:, 2:]
        half = start[:, 2:] * np.exp(shifts[:, 2:] * _VARIANCES[1]) / 2
        boxes, scores = np.concatenate([centre - half, centre + half], axis=1), scores[kept]
        chosen = [
            face for face in _without_overlap(boxes, scores) if scores[face] > self.confidence
        ]
        return boxes[chosen] / scale, scores[chosen]


def _without_overlap(boxes, scores):
    """Take boxes from the surest on, each removing those it overlaps; pixels count inclusively."""
    area = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
    waiting, taken = np.argsort(-scores, kind="stable"), []
    while waiting.size:
        best, waiting = waiting[0], waiting[1:]
        taken.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[waiting, :2])
        high = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = np.prod(np.maximum(high - low + 1, 0), axis=1)
        waiting = waiting[shared / (area[best] + area[waiting] - shared) <= _OVERLAP]
    return taken
