"""The generator: a voice embedding becomes a 64 x 64 image of a face."""

from torch import nn

from v2mlib.models.voice_encoder import EMBEDDING_SIZE

CHANNELS = (1024, 512, 256, 128, 64)


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
    >>> import torch
    >>> Generator()(torch.zeros(2, 64)).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, embedding_size=EMBEDDING_SIZE, channels=CHANNELS, n_colours=3):
        super().__init__()
        layers, width = [], embedding_size
        for number, channel in enumerate(channels):
            stride, padding = (2, 1) if number else (1, 0)
            layers += [
                nn.ConvTranspose2d(width, channel, 4, stride, padding),
                nn.ReLU(inplace=True),
            ]
            width = channel
        layers.append(nn.ConvTranspose2d(width, n_colours, 1))
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
