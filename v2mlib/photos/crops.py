"""Crop a face as 3DDFA-V2 does: from a box to a square region, from that to 120 x 120 pixels.

The network has learnt its crops: what differs from them costs accuracy. The region's corners are
not whole pixels; the crop is of the rounded ones, while the landmarks are put back with the
others, and the reduced picture is not smoothed. All that is kept.
"""

import functools

import numpy as np

from v2mlib.models.mobilenet_v1 import IMAGE_SIZE

_ENLARGED = 1.58  # side of the region over the mean side of a detector's box
_LOWERED = 0.14  # of that side, because detectors' boxes begin at the forehead
_BITS = 11  # of the fixed-point weights in OpenCV's bilinear resizing


def region_of_box(boxes):
    """Square region around a detector's box.

    Parameters
    ----------
    boxes : array_like, (..., x_low y_low x_high y_high), pixels
        As a face detector gives them (forehead to chin).

    Returns
    -------
    ndarray of float64, (..., 4), pixels
        ``x_low, y_low, x_high, y_high``.

    References
    ----------
    Guo et al., "Towards Fast, Accurate and Stable 3D Dense Face Alignment", ECCV 2020, code.

    Examples
    --------
    >>> region_of_box([0.0, 0.0, 100.0, 100.0]).tolist()
    [-29.0, -15.0, 129.0, 143.0]
    """
    boxes = np.asarray(boxes, dtype=float)
    side = (boxes[..., 2:] - boxes[..., :2]).mean(-1, keepdims=True)
    centre = (boxes[..., 2:] + boxes[..., :2]) / 2 + side * [0, _LOWERED]
    low = centre - np.trunc(side * _ENLARGED) / 2
    return np.concatenate([low, low + np.trunc(side * _ENLARGED)], axis=-1)


def region_of_landmarks(points):
    """Square region around known landmarks.

    Parameters
    ----------
    points : array_like, (..., landmark=68, xy or xyz), pixels
        NaN marks unknown points.

    Returns
    -------
    ndarray of float64, (..., 4), pixels
        ``x_low, y_low, x_high, y_high``; its side is that of the landmarks' square box times
        the square root of 2.

    Examples
    --------
    >>> region_of_landmarks([[0.0, 10.0], [100.0, 50.0]]).round(1).tolist()
    [-20.7, -40.7, 120.7, 100.7]
    """
    points = np.asarray(points, dtype=float)[..., :2]
    low, high = np.nanmin(points, axis=-2), np.nanmax(points, axis=-2)
    centre = (low + high) / 2
    half = (high - low).max(-1, keepdims=True) / np.sqrt(2)
    return np.concatenate([centre - half, centre + half], axis=-1)


def crop_regions(image, regions, size=IMAGE_SIZE):
    """Cut regions out of a photograph and bring them to one size.

    Parameters
    ----------
    image : ndarray of uint8, (row, column, rgb=3)
        The photograph. What lies beyond its borders is black.
    regions : array_like, (face, 4), pixels
        ``x_low, y_low, x_high, y_high``; rounded here.
    size : int, pixels
        Rows and columns of the result.

    Returns
    -------
    ndarray of uint8, (face, row, column, rgb=3)
        The crops.
    """
    regions = np.asarray(regions, dtype=float)
    crops = np.zeros((len(regions), size, size, 3), np.uint8)
    for crop, region in zip(crops, regions, strict=True):  # faces of one photo: a handful
        crop[:] = resize_bilinear(_cut(image, region), (size, size))
    return crops


def _cut(image, region):
    x_low, y_low, x_high, y_high = np.rint(region).astype(int)
    height, width = max(y_high - y_low, 1), max(x_high - x_low, 1)
    cut = np.zeros((height, width, 3), np.uint8)
    rows = slice(max(y_low, 0), max(min(y_low + height, image.shape[0]), 0))
    columns = slice(max(x_low, 0), max(min(x_low + width, image.shape[1]), 0))
    seen = image[rows, columns]
    if seen.size:
        row, column = rows.start - y_low, columns.start - x_low
        cut[row : row + seen.shape[0], column : column + seen.shape[1]] = seen
    return cut


def resize_bilinear(image, size):
    """Resize without smoothing, to the last bit as OpenCV's ``INTER_LINEAR`` does.

    Weights of 11 bits, products cut to 16: other libraries' bilinear resizing differs by one
    grey level here and there, by which the network's outputs move up to 0.03 standard deviations.

    Parameters
    ----------
    image : ndarray of uint8, (row, column, colour)
        The picture.
    size : tuple of int, (rows, columns)
        Of the result.

    Returns
    -------
    ndarray of uint8, (row, column, colour)
        The resized picture.

    Examples
    --------
    >>> resize_bilinear(np.array([[[0], [200]]], np.uint8), (1, 4))[0, :, 0].tolist()
    [0, 50, 150, 200]
    """
    top, bottom, *shares_down = _taps(image.shape[0], size[0])
    *columns, left_shares, right_shares = _taps(image.shape[1], size[1])
    n_colours = image.shape[2]
    # Rows that are needed, colours of a pixel side by side: many times faster than by pixel.
    rows = image.take(np.concatenate([top, bottom]), 0).reshape(2 * len(top), -1)
    left, right = ((c[:, None] * n_colours + np.arange(n_colours)).ravel() for c in columns)
    across = rows.take(left, 1) * left_shares.repeat(n_colours)
    across += rows.take(right, 1) * right_shares.repeat(n_colours)
    across >>= 4
    halves = across.reshape(2, len(top), -1) * np.stack(shares_down)[..., None]
    halves >>= 16
    return ((halves.sum(0, dtype=np.int32) + 2) >> 2).astype(np.uint8).reshape(*size, n_colours)


@functools.lru_cache(maxsize=256)
def _taps(length, size):
    """Neighbours of each new pixel's centre, and their weights in units of 2^-11."""
    place = ((np.arange(size) + 0.5) * (length / size) - 0.5).astype(np.float32)
    low = np.floor(place)
    share = place - low
    neighbours = (np.clip(low + step, 0, length - 1).astype(np.intp) for step in (0, 1))
    unit = np.float32(1 << _BITS)
    weights = (np.rint((1 - share) * unit), np.rint(share * unit))
    return *neighbours, *(weight.astype(np.int32) for weight in weights)
