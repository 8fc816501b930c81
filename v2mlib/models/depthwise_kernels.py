"""What `v2mlib.models.layers.Depthwise` does with bfloat16 maps, compiled.

Maps are the bits of bfloat16 numbers with the channels last; positions outside are zeros. Sums
are float32's: vector instructions over channels.
"""

import numpy as np

from v2mlib.models.bfloat16 import halved, kernel, wide

_TAPS = 3


@kernel
def forward(maps, weight, bias, stride, into):
    """Convolve each channel by itself with 3 x 3 weights.

    Parameters
    ----------
    maps : ndarray of uint16, (batch, row, column, channel)
        Bits of bfloat16.
    weight : ndarray of float32, (row=3, column=3, channel)
        Taps.
    bias : ndarray of float32, (channel,)
        Added.
    stride : int
        Step between the middles of the windows.
    into : ndarray of uint16, (batch, row, column, channel)
        Written: the bits of the results, for every stride-th row and column.
    """
    n_maps, height, width, n_channels = maps.shape
    total = np.empty(n_channels, np.float32)
    for number in range(n_maps):
        for y in range(into.shape[1]):
            for x in range(into.shape[2]):
                total[:] = bias
                for tap_y in range(_TAPS):
                    row = stride * y + tap_y - 1
                    if not 0 <= row < height:
                        continue
                    for tap_x in range(_TAPS):
                        column = stride * x + tap_x - 1
                        if not 0 <= column < width:
                            continue
                        seen, factor = maps[number, row, column], weight[tap_y, tap_x]
                        for channel in range(n_channels):
                            total[channel] += wide(seen[channel]) * factor[channel]
                to = into[number, y, x]
                for channel in range(n_channels):
                    to[channel] = halved(total[channel])


@kernel
def backward_maps(gradients, weight, stride, into):
    """Work out the gradient of the maps.

    Parameters
    ----------
    gradients : ndarray of uint16, (batch, row, column, channel)
        Of the results of `forward`: bits of bfloat16.
    weight, stride : object
        What it was given.
    into : ndarray of uint16, (batch, row, column, channel)
        Written: the gradient, for every position of the maps.
    """
    n_maps, height, width, n_channels = into.shape
    total = np.empty(n_channels, np.float32)
    for number in range(n_maps):
        for row in range(height):
            for column in range(width):
                total[:] = 0
                for tap_y in range((row + 1) % stride, _TAPS, stride):
                    y = (row + 1 - tap_y) // stride
                    if not 0 <= y < gradients.shape[1]:
                        continue
                    for tap_x in range((column + 1) % stride, _TAPS, stride):
                        x = (column + 1 - tap_x) // stride
                        if not 0 <= x < gradients.shape[2]:
                            continue
                        given, factor = gradients[number, y, x], weight[tap_y, tap_x]
                        for channel in range(n_channels):
                            total[channel] += wide(given[channel]) * factor[channel]
                to = into[number, row, column]
                for channel in range(n_channels):
                    to[channel] = halved(total[channel])


@kernel
def backward_weight(maps, gradients, stride, into):
    """Work out the gradient of the weights.

    Parameters
    ----------
    maps : ndarray of uint16, (batch, row, column, channel)
        As for `forward`.
    gradients : ndarray of uint16, (batch, row, column, channel)
        Of its results: bits of bfloat16.
    stride : int
        As for `forward`.
    into : ndarray of float64, (row=3, column=3, channel)
        Zeros; written: the gradient. Within a row of results sums are float32's.
    """
    n_maps, height, width, n_channels = maps.shape
    part = np.empty((_TAPS, _TAPS, n_channels), np.float32)
    for number in range(n_maps):
        for y in range(gradients.shape[1]):
            part[:] = 0
            for x in range(gradients.shape[2]):
                given = gradients[number, y, x]
                for tap_y in range(_TAPS):
                    row = stride * y + tap_y - 1
                    if not 0 <= row < height:
                        continue
                    for tap_x in range(_TAPS):
                        column = stride * x + tap_x - 1
                        if not 0 <= column < width:
                            continue
                        seen, to = maps[number, row, column], part[tap_y, tap_x]
                        for channel in range(n_channels):
                            to[channel] += wide(given[channel]) * wide(seen[channel])
            into += part
