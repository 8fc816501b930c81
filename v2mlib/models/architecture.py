"""What the networks of a Voice2Mesh are built from."""

import dataclasses

from v2mlib.models.generator import Generator
from v2mlib.models.heads import CoefficientHeads
from v2mlib.models.image_heads import ImageHeads
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice_encoder import VoiceEncoder


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What the networks of a Voice2Mesh are built from.

    Attributes
    ----------
    n_mels : int
        Mel bands.
    channels : tuple of int
        Of the voice encoder.
    embedding_size : int
        Of the voice encoder.
    n_shape, n_expression : int
        Of the heads; those of the face model.
    dropout : float
        Before the heads, while training.
    minimum_frames : int
        Shorter utterances are repeated until they have as many frames of 10 ms.
    generator_channels : tuple of int
        Of a generator whose images are read, instead of linear heads; empty for those.
    image_to_face : dict
        Then what reads them: `network`, `width`, `image_size` of an `ImageToFace`.
    """

    n_mels: int = 64
    channels: tuple = (256, 384, 576, 864)
    embedding_size: int = 64
    n_shape: int = 40
    n_expression: int = 10
    dropout: float = 0.0
    minimum_frames: int = 200
    generator_channels: tuple = ()
    image_to_face: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Take lists for tuples, as JSON has them."""
        for name in ("channels", "generator_channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def described(self):
        """Tell it as plain data.

        Returns
        -------
        dict
            What `Architecture` takes; without what linear heads have no use for.
        """
        return {
            name: value for name, value in dataclasses.asdict(self).items() if value not in ((), {})
        }

    def build(self):
        """Build the networks, freshly initialised.

        Returns
        -------
        tuple of (VoiceEncoder, CoefficientHeads or ImageHeads)
            In training mode.
        """
        encoder = VoiceEncoder(self.n_mels, self.channels, self.embedding_size)
        if self.generator_channels:
            coefficients = {"n_shape": self.n_shape, "n_expression": self.n_expression}
            return encoder, ImageHeads(
                Generator(self.embedding_size, self.generator_channels),
                ImageToFace(**{**self.image_to_face, **coefficients}),
            )
        heads = CoefficientHeads(
            self.n_shape,
            self.n_expression,
            embedding_size=self.embedding_size,
            dropout=self.dropout,
        )
        return encoder, heads
