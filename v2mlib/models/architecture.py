"""What the networks of a Voice2Mesh are built from."""

import dataclasses

from v2mlib.models.heads import CoefficientHeads
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
    """

    n_mels: int = 64
    channels: tuple = (256, 384, 576, 864)
    embedding_size: int = 64
    n_shape: int = 40
    n_expression: int = 10
    dropout: float = 0.0
    minimum_frames: int = 200

    def __post_init__(self):
        """Take lists for tuples, as JSON has them."""
        object.__setattr__(self, "channels", tuple(self.channels))

    def build(self):
        """Build the networks, freshly initialised.

        Returns
        -------
        tuple of (VoiceEncoder, CoefficientHeads)
            In training mode.
        """
        encoder = VoiceEncoder(self.n_mels, self.channels, self.embedding_size)
        heads = CoefficientHeads(
            self.n_shape,
            self.n_expression,
            embedding_size=self.embedding_size,
            dropout=self.dropout,
        )
        return encoder, heads
