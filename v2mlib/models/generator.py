"""The generator: a voice embedding becomes a 64 x 64 image of a face."""

import torch
from torch import nn

from v2mlib.models.voice_encoder import EMBEDDING_SIZE

CHANNELS = (1024, 512, 256, 128, 64)
_FEW = 16  # positions of a small image


class Generator(nn.Module):
    """Transposed convolutions that double an image's size four times.

    The layers are numbered as in the released network. Its last one is a transposed convolution
    of size 1, which is an ordinary one with its weights stored the other way round.

    Parameters
    ----------
    embedding_size : int
        Length of the voice embedding.
    channels : sequence of int
        Channels of the growing image.
    n_colours : int
        Channels of the result.

    References
    ----------
    Wu et al., "Voice2Mesh", section 3.2.

    Examples
    --------
    >>> Generator()(torch.zeros(2, 64)).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, embedding_size=EMBEDDING_SIZE, channels=CHANNELS, n_colours=3):
        super().__init__()
        layers, width = [], embedding_size
        for number, channel in enumerate(channels):
            stride, padding = (2, 1) if number else (1, 0)
            layers += [
                _Transposed(width, channel, 4, stride, padding),
                nn.ReLU(inplace=True),
            ]
            width = channel
        layers.append(_Transposed(width, n_colours, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, embedding):
        """Draw faces.

        Parameters
        ----------
        embedding : tensor, (batch, embedding=64)
            Voice embeddings of length 1.

        Returns
        -------
        tensor, (batch, colour=3, row=64, column=64)
            Images in about [-1, 1]; nothing forces them into that range.
        """
        return self.layers(embedding[:, :, None, None])


class _Transposed(nn.ConvTranspose2d):
    """A transposed convolution whose bias is added apart.

    On a CPU the convolution's own gradient of a bias was measured to take as long as those of
    image and weights together. In bfloat16 one matrix product replaces the convolution there
    where that was measured to be faster: for one position or few with many channels, where the
    weights are what takes time; and for weights of one position, whose gradient would otherwise
    come back with the channels first in memory, which is slow for the layers before.
    """

    def forward(self, maps):
        bias = self.bias[:, None, None]
        if not (maps.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
            return self._convolve(maps).add_(bias)
        bias = bias.to(torch.get_autocast_dtype("cpu"))
        grown = self._as_product(maps)
        if grown is None:
            return self._convolve(maps).add_(bias)
        return grown + bias  # of a view, which is not changed in place: gradients would be copied

    def _convolve(self, maps):
        return nn.functional.conv_transpose2d(maps, self.weight, None, self.stride, self.padding)

    def _as_product(self, maps):
        """Multiply every position by all taps, and add up what falls together; or None."""
        size, n_positions = self.kernel_size, maps.shape[2] * maps.shape[3]
        doubles = size == (4, 4) and self.stride == (2, 2) and n_positions <= _FEW
        single = n_positions == 1 and self.padding == (0, 0)
        if not (doubles or single or size == (1, 1)):
            return None
        taps = self.weight.movedim(1, 3)
        products = maps.movedim(1, 3) @ taps.flatten(1)
        if size == (1, 1):
            return products.movedim(3, 1)
        products = products.unflatten(3, taps.shape[1:])  # batch, row, column, tap y, tap x, ...
        if not doubles:
            return products[:, 0, 0].movedim(3, 1)
        rows = _interleave(products.unbind(3), 1)
        return _interleave(rows.unbind(3), 2).movedim(3, 1)


def _interleave(taps, axis):
    """Lay four taps, at twice the positions -1, 0, 1 and 2 of theirs, over each other."""
    before, even, odd, after = taps
    return torch.stack(
        (even + _moved(after, axis, 1), odd + _moved(before, axis, -1)), axis + 1
    ).flatten(axis, axis + 1)


def _moved(tensor, axis, by):
    """Move along an axis by one, zeros coming in."""
    length = tensor.shape[axis]
    zero = torch.zeros_like(tensor.narrow(axis, 0, 1))
    if by > 0:
        return torch.cat((zero, tensor.narrow(axis, 0, length - 1)), axis)
    return torch.cat((tensor.narrow(axis, 1, length - 1), zero), axis)
