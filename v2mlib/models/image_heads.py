"""Heads that draw an image of the face first, and read the coefficients off it."""

import torch
from torch import nn

from v2mlib.faces.model import Coefficients


class ImageHeads(nn.Module):
    """A generator and an image-to-face network, in place of linear heads.

    Parameters
    ----------
    generator : Generator
        Draws a face for a voice embedding.
    image_to_face : ImageToFace
        Reads images as drawn.

    References
    ----------
    Wu et al., "Voice2Mesh", section 3.2.

    Examples
    --------
    >>> from v2mlib.models import Generator, ImageToFace
    >>> heads = ImageHeads(Generator(channels=[8] * 5), ImageToFace(width=0.25)).eval()
    >>> heads(torch.zeros(2, 64)).shape.shape
    torch.Size([2, 40])
    """

    def __init__(self, generator, image_to_face):
        super().__init__()
        self.generator, self.image_to_face = generator, image_to_face

    def forward(self, embedding):
        """Predict coefficients.

        Parameters
        ----------
        embedding : tensor, (batch, embedding=64)
            Voice embeddings.

        Returns
        -------
        Coefficients of tensor, (batch, shape) and (batch, expression), standard deviations
            Standardised, in the units of the face model.
        """
        said = [self.image_to_face(self.draw(part)) for part in embedding.split(256)]
        return Coefficients(*(torch.cat([getattr(part, name) for part in said])
                              for name in ("shape", "expression")))  # fmt: skip

    def draw(self, embedding):
        """Draw the images that are read.

        Parameters
        ----------
        embedding : tensor, (batch, embedding=64)
            Voice embeddings.

        Returns
        -------
        tensor, (batch, rgb=3, row=64, column=64)
            Cut to [-1, 1].
        """
        return self.generator(embedding).clamp(-1, 1)
