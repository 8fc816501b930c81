"""The networks of Voice2Mesh, layer for layer as released."""

import torch
from torch import nn
from torch.nn import functional as F

from v2mlib.checks import check_shape

EMBEDDING_SIZE = 64


class VoiceEncoder(nn.Module):
    """Log-mel frames in, one unit-norm voice embedding out.

    Five convolutions (kernel 3, stride 2, padding 1), the mean over time, L2 normalisation.
    The size of the clip is free; the receptive field is 63 frames.

    Parameters
    ----------
    n_mels : int
        Mel bands of the input.
    channels : tuple of int
        Output channels of the four normalised convolutions.
    embedding_size : int
        Output channels of the fifth.

    References
    ----------
    Wen et al., "Face reconstruction from voice using generative adversarial networks", 2019;
    Wu et al., "Voice2Mesh", Fig. S1.
    """

    def __init__(self, n_mels=64, channels=(256, 384, 576, 864), embedding_size=EMBEDDING_SIZE):
        super().__init__()
        self.settings = {
            "n_mels": n_mels,
            "channels": list(channels),
            "embedding_size": embedding_size,
        }
        layers, size = [], n_mels
        for width in channels:
            layers += [
                nn.Conv1d(size, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            size = width
        layers.append(nn.Conv1d(size, embedding_size, 3, stride=2, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, log_mel, n_frames=None):
        """Embed a batch of clips.

        Parameters
        ----------
        log_mel : tensor, (clip, frame, mel)
            Clips, padded at the end to a common length.
        n_frames : tensor of int, (clip,), optional
            True length of each clip; all frames count by default. What lies beyond has no
            influence: a padded batch gives what its clips give one by one.

        Returns
        -------
        tensor, (clip, embedding)
            Rows of length 1.

        Raises
        ------
        ShapeError
            If the number of mel bands is not the encoder's.
        """
        expected = {"clip": None, "frame": None, "mel": self.settings["n_mels"]}
        hidden = check_shape(log_mel, expected, "log_mel").transpose(1, 2)
        for layer in self.layers:
            if n_frames is not None and isinstance(layer, nn.Conv1d):
                hidden = hidden * _inside(n_frames, hidden)  # beyond the end: as if padded with 0
                n_frames = (n_frames - 1) // 2 + 1
            hidden = layer(hidden)
        if n_frames is None:
            pooled = hidden.mean(-1)
        else:
            pooled = (hidden * _inside(n_frames, hidden)).sum(-1) / n_frames[:, None]
        return F.normalize(pooled.float())


def _inside(n_frames, hidden):
    return (torch.arange(hidden.shape[-1], device=hidden.device) < n_frames[:, None])[:, None]


class CoefficientHeads(nn.Module):
    """One linear layer each from the voice embedding to shape and expression coefficients.

    Parameters
    ----------
    n_shape, n_expression : int
        Coefficients of the face model.
    embedding_size : int
        Size of the voice embedding.
    dropout : float
        Share of the embedding dropped before each layer in training (0.2 as released).
    scale : bool
        The released code's third head, a scale that no metric uses: kept so that its
        checkpoints convert without loss.

    References
    ----------
    Wu et al., "Voice2Mesh", Sec. 3.2 and Fig. S1.
    """

    def __init__(
        self,
        n_shape=40,
        n_expression=10,
        *,
        embedding_size=EMBEDDING_SIZE,
        dropout=0.2,
        scale=False,
    ):
        super().__init__()
        self.settings = {
            "n_shape": n_shape,
            "n_expression": n_expression,
            "embedding_size": embedding_size,
            "dropout": dropout,
            "scale": scale,
        }
        self.dropout = nn.Dropout(dropout)
        self.shape = nn.Linear(embedding_size, n_shape)
        self.expression = nn.Linear(embedding_size, n_expression)
        self.scale = nn.Linear(embedding_size, 1) if scale else None

    def forward(self, voice_embedding):
        """Coefficients from embeddings.

        Parameters
        ----------
        voice_embedding : tensor, (clip, embedding)
            Unit-norm rows.

        Returns
        -------
        shape : tensor, (clip, shape), standard deviations
            Shape coefficients.
        expression : tensor, (clip, expression), standard deviations
            Expression coefficients.
        """
        return (
            self.shape(self.dropout(voice_embedding)),
            self.expression(self.dropout(voice_embedding)),
        )


class VoiceToCoefficients(nn.Module):
    """Encoder and heads in one: what supervised training trains.

    Parameters
    ----------
    encoder : VoiceEncoder
        From log-mel to embedding.
    heads : CoefficientHeads
        From embedding to coefficients.
    """

    def __init__(self, encoder, heads):
        super().__init__()
        self.encoder = encoder
        self.heads = heads

    def forward(self, log_mel, n_frames=None):
        """Coefficients from clips.

        Parameters
        ----------
        log_mel : tensor, (clip, frame, mel)
            Clips, padded at the end.
        n_frames : tensor of int, (clip,), optional
            True lengths.

        Returns
        -------
        tuple of tensor
            Shape (clip, shape) and expression (clip, expression), in standard deviations.
        """
        return self.heads(self.encoder(log_mel, n_frames))


class Generator(nn.Module):
    """A 64x64 face image from a voice embedding.

    Parameters
    ----------
    embedding_size : int
        Size of the voice embedding.
    channels : tuple of int
        Channels of the five transposed convolutions.

    References
    ----------
    Wen et al., "Face reconstruction from voice using generative adversarial networks", 2019.
    """

    def __init__(self, embedding_size=EMBEDDING_SIZE, channels=(1024, 512, 256, 128, 64)):
        super().__init__()
        self.settings = {"embedding_size": embedding_size, "channels": list(channels)}
        layers, size = [], embedding_size
        for number, width in enumerate(channels):
            step = (4, 1, 0) if number == 0 else (4, 2, 1)
            layers += [nn.ConvTranspose2d(size, width, *step), nn.ReLU()]
            size = width
        layers.append(nn.ConvTranspose2d(size, 3, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, voice_embedding):
        """Images from embeddings.

        Parameters
        ----------
        voice_embedding : tensor, (clip, embedding)
            Unit-norm rows.

        Returns
        -------
        tensor, (clip, rgb=3, row=64, column=64)
            Nominally in [-1, 1]; nothing squashes it.
        """
        return self.layers(voice_embedding[:, :, None, None])
