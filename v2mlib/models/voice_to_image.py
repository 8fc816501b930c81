"""Voice to image: the frozen voice encoder and the generator that was trained with it."""

from pathlib import Path

from torch import nn

import v2mlib
from v2mlib.checks import InputError
from v2mlib.models.generator import Generator
from v2mlib.models.voice_encoder import VoiceEncoder, perturb_embedding
from v2mlib.models.weights import load_exactly, read_weights, write_weights
from v2mlib.paths import shipped

KIND = "voice_to_image"


class VoiceToImage(nn.Module):
    """A voice encoder and a generator, one after the other.

    Parameters
    ----------
    encoder : VoiceEncoder
        Pretrained.
    generator : Generator
        Trained on this encoder's embeddings.

    References
    ----------
    Wen, Singh and Raj, "Face reconstruction from voice using generative adversarial networks",
    NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> networks = VoiceToImage(VoiceEncoder(), Generator(channels=[8] * 5)).eval()
    >>> networks(torch.zeros(2, 300, 64)).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, encoder, generator):
        super().__init__()
        self.encoder, self.generator = encoder, generator

    def forward(self, log_mel, n_frames=None, *, noise=0.0):
        """Draw a face for each voice.

        Parameters
        ----------
        log_mel : tensor, (batch, frame, mel=64), standard deviations
            Normalised log-mel matrices.
        n_frames : tensor of int, (batch,), optional
            How many frames each utterance has, if some are padded.
        noise : float
            Standard deviation of what is added to the embeddings; 0.05 while training.

        Returns
        -------
        tensor, (batch, rgb=3, row=64, column=64)
            Cut to [-1, 1], the range of a picture.
        """
        return self.draw(self.encoder(log_mel, n_frames), noise=noise)

    def draw(self, embedding, *, noise=0.0):
        """Draw a face for each embedding.

        Parameters
        ----------
        embedding : tensor, (batch, embedding=64)
            Of length 1.
        noise : float
            Standard deviation of what is added.

        Returns
        -------
        tensor, (batch, rgb=3, row=64, column=64)
            Cut to [-1, 1].
        """
        if noise:
            embedding = perturb_embedding(embedding, noise)
        return self.generator(embedding).clamp(-1, 1)

    def save(self, path, *, card=None, half=True):
        """Write the weights and their card.

        Parameters
        ----------
        path : path
            The ``.safetensors`` file; the card goes beside it with ``.json``.
        card : dict, optional
            What the weights are, as plain data.
        half : bool
            Whether to round the weights to half precision.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        architecture = {
            f"{name}_channels": [
                layer.out_channels for layer in network.layers if hasattr(layer, "out_channels")
            ][:-1]
            for name, network in (("encoder", self.encoder), ("generator", self.generator))
        }
        described = {
            "kind": KIND,
            "architecture": architecture,
            "version": v2mlib.__version__,
        }
        write_weights(path, self.state_dict(), {**(card or {}), **described}, half=half)

    @classmethod
    def load(cls, name_or_path):
        """Load what `save` wrote.

        Parameters
        ----------
        name_or_path : str or path
            The ``.safetensors`` file; or a shipped name ("phantom").

        Returns
        -------
        VoiceToImage
            In eval mode.

        Raises
        ------
        InputError
            If the name is unknown, or the files are missing, damaged or hold something else.
        """
        path = Path(name_or_path)
        if not path.suffix and not path.exists():
            path = shipped(f"{name_or_path}_{KIND}.safetensors")
        tensors, card = read_weights(path)
        if card.get("kind") != KIND:
            raise InputError(path, f"holds a {card.get('kind')}, not a {KIND}", "choose another")
        try:
            architecture = card["architecture"]
            networks = cls(
                VoiceEncoder(channels=architecture["encoder_channels"]),
                Generator(channels=architecture["generator_channels"]),
            )
        except (KeyError, TypeError) as error:
            raise InputError(path, f"has an incomplete card ({error})", "copy it again") from None
        return load_exactly(networks, tensors, path).eval()
