"""What `v2mlib.models.layers.norm_relu` does with rows of bfloat16 numbers, compiled.

Sums run over a few rows in float32, as vector instructions, and over all of them in float64. What
a ReLU lets through is worked out again from the rows, which is faster than to read its outputs
once more.
"""

import numpy as np

from v2mlib.models.bfloat16 import halved, kernel, wide

_ROWS = 128  # in a sum of float32
_ZERO = np.float32(0)


@kernel
def _passed(gradient, normalised, ceiling):
    """The gradient, where the ReLU's output is above 0 and below a ceiling."""
    output = wide(halved(normalised))
    return wide(gradient) if _ZERO < output < ceiling else _ZERO


@kernel
def _moments(rows, shift, totals):
    """Sums of shifted values and of their squares."""
    n_rows, n_channels = rows.shape
    first, second = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    for start in range(0, n_rows, _ROWS):
        first[:], second[:] = 0, 0
        for number in range(start, min(start + _ROWS, n_rows)):
            row = rows[number]
            for channel in range(n_channels):
                value = wide(row[channel]) - shift[channel]
                first[channel] += value
                second[channel] += value * value
        for channel in range(n_channels):
            totals[0, channel] += first[channel]
            totals[1, channel] += second[channel]


@kernel
def forward(rows, weight, bias, eps, ceiling, into, mean, variance):
    """Normalise rows by their own statistics; scale, shift and cut them to [0, ceiling].

    Parameters
    ----------
    rows : ndarray of uint16, (position, channel)
        Bits of bfloat16.
    weight, bias : ndarray of float32, (channel,)
        Scale and shift.
    eps : float
        Added to the variance.
    ceiling : float32
        May be infinite.
    into : ndarray of uint16, (position, channel)
        Written: the bits of the results.
    mean, variance : ndarray of float64, (channel,)
        Written: statistics of the rows; the variance is that of these very numbers.
    """
    n_rows, n_channels = rows.shape
    shift = np.empty(n_channels, np.float32)  # so that squares lose no digits
    for channel in range(n_channels):
        shift[channel] = wide(rows[0, channel])
    totals = np.zeros((2, n_channels))
    _moments(rows, shift, totals)
    factor, offset = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    for channel in range(n_channels):
        moved = totals[0, channel] / n_rows
        mean[channel] = moved + shift[channel]
        variance[channel] = totals[1, channel] / n_rows - moved * moved
        if variance[channel] < 0:
            variance[channel] = 0
        factor[channel] = weight[channel] / np.sqrt(variance[channel] + eps)
        offset[channel] = bias[channel] - mean[channel] * factor[channel]
    for number in range(n_rows):
        row, to = rows[number], into[number]
        for channel in range(n_channels):
            value = wide(row[channel]) * factor[channel] + offset[channel]
            value = _ZERO if value < _ZERO else value
            to[channel] = halved(ceiling if value > ceiling else value)


@kernel
def _gradient_moments(rows, gradients, factor, offset, ceiling, centre, totals):
    """Sums of gradients before the ReLU, and of their products with values less their mean."""
    n_rows, n_channels = rows.shape
    first, second = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    for start in range(0, n_rows, _ROWS):
        first[:], second[:] = 0, 0
        for number in range(start, min(start + _ROWS, n_rows)):
            row, given = rows[number], gradients[number]
            for channel in range(n_channels):
                value = wide(row[channel])
                normalised = value * factor[channel] + offset[channel]
                passed = _passed(given[channel], normalised, ceiling)
                first[channel] += passed
                second[channel] += passed * (value - centre[channel])
        for channel in range(n_channels):
            totals[0, channel] += first[channel]
            totals[1, channel] += second[channel]


@kernel
def backward(rows, weight, bias, eps, ceiling, mean, variance, gradients, into, of_weight, of_bias):
    """Work out the gradients of `forward`.

    Parameters
    ----------
    rows, weight, bias, eps, ceiling, mean, variance : object
        What it was given and found.
    gradients : ndarray of uint16, (position, channel)
        Of its results: bits of bfloat16.
    into : ndarray of uint16, (position, channel)
        Written: the gradient of the rows.
    of_weight, of_bias : ndarray of float32, (channel,)
        Written: theirs.
    """
    n_rows, n_channels = rows.shape
    factor, offset = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    centre = np.empty(n_channels, np.float32)
    for channel in range(n_channels):
        factor[channel] = weight[channel] / np.sqrt(variance[channel] + eps)
        offset[channel] = bias[channel] - mean[channel] * factor[channel]
        centre[channel] = mean[channel]
    totals = np.zeros((2, n_channels))
    _gradient_moments(rows, gradients, factor, offset, ceiling, centre, totals)
    slope, rest = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    for channel in range(n_channels):
        inverse = 1 / np.sqrt(variance[channel] + eps)
        of_weight[channel] = totals[1, channel] * inverse
        of_bias[channel] = totals[0, channel]
        slope[channel] = -factor[channel] * inverse * inverse * totals[1, channel] / n_rows
        rest[channel] = -factor[channel] * totals[0, channel] / n_rows
        rest[channel] -= slope[channel] * mean[channel]
    for number in range(n_rows):
        row, given, to = rows[number], gradients[number], into[number]
        for channel in range(n_channels):
            value = wide(row[channel])
            normalised = value * factor[channel] + offset[channel]
            passed = _passed(given[channel], normalised, ceiling)
            result = passed * factor[channel] + value * slope[channel] + rest[channel]
            to[channel] = halved(result)
