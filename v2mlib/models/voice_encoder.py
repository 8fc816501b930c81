"""The voice encoder: a log-mel matrix becomes one vector."""

import torch
from torch import nn

from v2mlib.checks import check_shape
from v2mlib.models.layers import norm_relu, pooled_over

CHANNELS = (256, 384, 576, 864)
N_MELS = 64
EMBEDDING_SIZE = 64


class VoiceEncoder(nn.Module):
    """Five strided convolutions over time, the mean over time, a vector of length 1.

    Fully convolutional: any number of frames gives one vector. The layers are numbered as in
    the released network, so that its weights load by position.

    Parameters
    ----------
    n_mels : int
        Mel bands of the input.
    channels : sequence of int
        Channels after each convolution but the last.
    embedding_size : int
        Length of the vector.

    References
    ----------
    Wen, Singh and Raj, "Face reconstruction from voice using generative adversarial networks",
    NeurIPS 2019; Wu et al., "Voice2Mesh", section 3.

    Examples
    --------
    >>> encoder = VoiceEncoder().eval()
    >>> encoder(torch.zeros(2, 300, 64)).shape
    torch.Size([2, 64])
    """

    def __init__(self, n_mels=N_MELS, channels=CHANNELS, embedding_size=EMBEDDING_SIZE):
        super().__init__()
        layers, width = [], n_mels
        for channel in channels:
            layers += [
                nn.Conv1d(width, channel, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm1d(channel),
                nn.ReLU(inplace=True),
            ]
            width = channel
        layers.append(nn.Conv1d(width, embedding_size, 3, stride=2, padding=1))
        self.layers = nn.Sequential(*layers)
        self.n_mels = n_mels

    def forward(self, log_mel, n_frames=None, *, normalise=True):
        """Embed utterances.

        Parameters
        ----------
        log_mel : tensor, (batch, frame, mel=64), standard deviations
            Normalised log-mel matrices.
        n_frames : tensor of int, (batch,), optional
            How many frames each utterance has, if some are padded at the end: what is there
            does not matter, the result is that of each utterance alone. Not for training, where
            batch normalisation would see the padding.
        normalise : bool
            Whether to scale each vector to length 1.

        Returns
        -------
        tensor, (batch, embedding=64)
            The mean over time, scaled.

        Raises
        ------
        ShapeError
            If the input has other axes.
        """
        check_shape(log_mel, {"batch": None, "frame": None, "mel": self.n_mels}, "log_mel")
        signal = log_mel.transpose(1, 2)
        if n_frames is None and self.training:
            embedding = pooled_over(self._channels_last(signal))
        elif n_frames is None:
            embedding = self.layers(signal).mean(dim=2)
        else:
            embedding = self._masked_mean(signal, n_frames.to(signal.device))
        return nn.functional.normalize(embedding) if normalise else embedding

    def _channels_last(self, signal):
        """The same layers over an image of one row, with its channels last in memory.

        That is the order in which log-mel matrices lie; training is faster by a tenth in single
        precision and by a fifth in half.
        """
        maps = signal[:, :, None]
        for layer in self.layers:
            if isinstance(layer, nn.Conv1d):
                weight = layer.weight[:, :, None].contiguous(memory_format=torch.channels_last)
                maps = nn.functional.conv2d(maps, weight, layer.bias, (1, 2), (0, 1))
            elif isinstance(layer, nn.BatchNorm1d):
                maps = norm_relu(layer, maps)  # with the ReLU that follows
        return maps

    def _masked_mean(self, signal, n_frames):
        """Mean over the true frames; zeros behind them, as the convolutions pad with zeros."""

        def mask():
            return torch.arange(signal.shape[2], device=signal.device) < n_frames[:, None, None]

        signal = signal * mask()
        for layer in self.layers:
            signal = layer(signal)
            if isinstance(layer, nn.Conv1d):
                n_frames = (n_frames + 1) // 2
            if isinstance(layer, nn.ReLU):
                signal = signal * mask()
        return (signal * mask()).sum(dim=2) / n_frames[:, None]


def perturb_embedding(embedding, noise=0.05, *, generator=None):
    """Move unit vectors a little and put them back on the sphere.

    Parameters
    ----------
    embedding : tensor, (batch, embedding)
        Voice embeddings of length 1.
    noise : float
        Standard deviation of what is added to each component.
    generator : torch.Generator, optional
        Source of the noise.

    Returns
    -------
    tensor, (batch, embedding)
        Of length 1.

    References
    ----------
    Wu et al., "Voice2Mesh", section 4.
    """
    drawn = torch.randn(
        embedding.shape, generator=generator, dtype=embedding.dtype, device=embedding.device
    )
    return nn.functional.normalize(embedding + noise * drawn)
