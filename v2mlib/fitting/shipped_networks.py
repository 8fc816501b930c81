"""Networks of the joint training that come with the package, to predict with and to go on from."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import v2mlib
from v2mlib.checks import InputError
from v2mlib.fitting.cascade import Cascade
from v2mlib.models.discriminator import Critic
from v2mlib.models.generator import Generator
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice_encoder import VoiceEncoder
from v2mlib.models.voice_to_image import VoiceToImage
from v2mlib.models.weights import load_exactly, read_weights, write_weights
from v2mlib.paths import shipped

KIND = "unsupervised"


class JointNetworks(NamedTuple):
    """A jointly trained generator, with what it was trained against and what looks at its images.

    Attributes
    ----------
    encoder : VoiceEncoder
        Frozen; the one that the untrained cascade has too.
    generator : Generator
        Draws faces for its embeddings.
    critic : Critic
        Of the images; its classifier knows the training identities.
    student : ImageToFace
        Tells faces from the images.
    card : dict
        What the networks are.
    """

    encoder: VoiceEncoder
    generator: Generator
    critic: Critic
    student: ImageToFace
    card: dict

    def cascade(self):
        """Put generator and student one behind the other.

        Returns
        -------
        Cascade
            What `v2mlib.fitting.predict_cascade` takes.
        """
        return Cascade(VoiceToImage(self.encoder, self.generator).eval(), self.student)


def save_joint(path, generator, critic, student, *, card=None, half=True):
    """Write the networks of a joint training and their card; the voice encoder is not among them.

    Parameters
    ----------
    path : path
        The ``.safetensors`` file; the card goes beside it with ``.json``.
    generator : Generator
        What draws.
    critic : Critic
        What judges.
    student : ImageToFace
        What tells faces.
    card : dict, optional
        What the weights are, as plain data.
    half : bool
        Whether to round the weights to half precision.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    networks = {"generator": generator, "critic": critic, "student": student}
    tensors = {
        f"{prefix}.{name}": tensor
        for prefix, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    architecture = {
        "generator_channels": _widths(generator.layers)[:-1],
        "critic_channels": _widths(critic.embedder.layers)[:-1],
        "n_identities": critic.classifier.out_features,
        "student": student.settings,
    }
    described = {"kind": KIND, "architecture": architecture, "version": v2mlib.__version__}
    write_weights(path, tensors, {**(card or {}), **described}, half=half)


def load_joint(name_or_path="phantom", *, voice_to_image="phantom"):
    """Load what `save_joint` wrote.

    Parameters
    ----------
    name_or_path : str or path
        The ``.safetensors`` file; or a shipped name ("phantom").
    voice_to_image : str or path
        Weights with the voice encoder, as of `VoiceToImage.load`.

    Returns
    -------
    JointNetworks
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
        raise InputError(path, f"holds a {card.get('kind')}, not an {KIND} model", "choose another")
    try:
        made = card["architecture"]
        networks = nn.ModuleDict(
            {
                "generator": Generator(channels=made["generator_channels"]),
                "critic": Critic(made["n_identities"], made["critic_channels"]),
                "student": ImageToFace(**made["student"]),
            }
        )
    except (KeyError, TypeError, InputError) as error:
        raise InputError(path, f"has an incomplete card ({error})", "copy it again") from None
    load_exactly(networks, tensors, path).eval()
    encoder = VoiceToImage.load(voice_to_image).encoder
    return JointNetworks(encoder, **networks, card=card)


def for_other_people(critic, n_identities, *, seed=0):
    """Give a critic an identity classifier for other people; the rest of it is kept.

    Parameters
    ----------
    critic : Critic
        Whose classifier knows the people it was trained on.
    n_identities : int
        How many other people there are.
    seed : int
        Of the new classifier's weights.

    Returns
    -------
    Critic
        A new one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        other = Critic(n_identities, _widths(critic.embedder.layers)[:-1])
    other.embedder.load_state_dict(critic.embedder.state_dict())
    other.discriminator.load_state_dict(critic.discriminator.state_dict())
    return other.eval()


def _widths(layers):
    """Channels after each convolution."""
    return [layer.out_channels for layer in layers if hasattr(layer, "out_channels")]
