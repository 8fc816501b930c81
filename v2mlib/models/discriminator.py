"""The face embedder, and what judges by it: is this a photograph, and whose?"""

from typing import NamedTuple

import torch
from torch import nn

from v2mlib.checks import InputError, check_shape
from v2mlib.models.voice_encoder import EMBEDDING_SIZE

CHANNELS = (32, 64, 128, 256, 512)
"""Channels of the face embedder after each convolution but the last."""

IMAGE_SIZE = 64
"""Rows and columns of the images that are judged."""


class FaceEmbedder(nn.Module):
    """Convolutions that halve an image four times: an image of a face becomes one vector.

    The layers are numbered as in the released network, so that its weights load by position.

    Parameters
    ----------
    channels : sequence of int
        Channels after each convolution but the last.
    embedding_size : int
        Length of the vector.
    n_colours : int
        Channels of the image.

    References
    ----------
    Wen, Singh and Raj, "Face reconstruction from voice using generative adversarial networks",
    NeurIPS 2019; Wu et al., "Voice2Mesh", section 3.2.

    Examples
    --------
    >>> FaceEmbedder()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 64])
    """

    def __init__(self, channels=CHANNELS, embedding_size=EMBEDDING_SIZE, n_colours=3):
        super().__init__()
        layers, width = [], n_colours
        for number, channel in enumerate(channels):
            kernel, stride, padding = (4, 2, 1) if number else (1, 1, 0)
            layers += [
                nn.Conv2d(width, channel, kernel, stride, padding),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            width = channel
        layers.append(nn.Conv2d(width, embedding_size, 4))
        self.layers = nn.Sequential(*layers)
        self.n_colours = n_colours

    def forward(self, images):
        """Embed images of faces.

        Parameters
        ----------
        images : tensor, (batch, colour=3, row=64, column=64)
            In [-1, 1].

        Returns
        -------
        tensor, (batch, embedding=64)
            Of any length.

        Raises
        ------
        ShapeError
            If the images have another size.
        """
        axes = {"batch": None, "colour": self.n_colours, "row": IMAGE_SIZE, "column": IMAGE_SIZE}
        check_shape(images, axes, "images")
        return self.layers(images).flatten(1)


class Verdict(NamedTuple):
    """What a critic says of images.

    Attributes
    ----------
    real : tensor, (batch,)
        Log odds that an image is a photograph.
    identity : tensor, (batch, identity)
        Logits of whom it shows.
    """

    real: torch.Tensor
    identity: torch.Tensor


class Critic(nn.Module):
    """Discriminator and identity classifier: two linear layers on one face embedder.

    Parameters
    ----------
    n_identities : int
        People to tell apart.
    channels : sequence of int
        Of the face embedder.
    embedding_size : int
        Of the face embedder.

    Raises
    ------
    InputError
        If there is nobody to tell apart.

    References
    ----------
    Wu et al., "Voice2Mesh", section 3.2.

    Examples
    --------
    >>> verdict = Critic(924)(torch.zeros(2, 3, 64, 64))
    >>> verdict.real.shape, verdict.identity.shape
    (torch.Size([2]), torch.Size([2, 924]))
    """

    def __init__(self, n_identities, channels=CHANNELS, embedding_size=EMBEDDING_SIZE):
        super().__init__()
        if n_identities < 1:
            raise InputError(f"n_identities={n_identities}", "is too few", "choose 1 or more")
        self.embedder = FaceEmbedder(channels, embedding_size)
        self.discriminator = nn.Linear(embedding_size, 1, bias=False)
        self.classifier = nn.Linear(embedding_size, n_identities, bias=False)

    def forward(self, images):
        """Judge images; the embedding is worked out once for both questions.

        Parameters
        ----------
        images : tensor, (batch, colour=3, row=64, column=64)
            In [-1, 1].

        Returns
        -------
        Verdict of tensor
            Logits.
        """
        embedding = self.embedder(images)
        return Verdict(self.discriminator(embedding)[:, 0], self.classifier(embedding))


def judge_without_learning(critic, images):
    """Let a critic judge so that gradients reach the images but not the critic.

    Parameters
    ----------
    critic : Critic
        Its weights count as constants: their gradients are neither needed nor worked out.
    images : tensor, (batch, colour=3, row=64, column=64)
        In [-1, 1].

    Returns
    -------
    Verdict of tensor
        Logits.
    """
    constants = {name: tensor.detach() for name, tensor in critic.named_parameters()}
    return torch.func.functional_call(critic, constants, (images,))
