"""Voice to image: a generator learns to draw the faces of voices, against a critic."""

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

from v2mlib.checks import InputError
from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.resident_photos import FaceCrop
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting.adversarial_task import AdversarialTask
from v2mlib.fitting.engine import fit
from v2mlib.fitting.task import EngineConfig, Training
from v2mlib.models import discriminator
from v2mlib.models.discriminator import Critic
from v2mlib.models.generator import Generator
from v2mlib.models.voice_encoder import VoiceEncoder


@dataclasses.dataclass(frozen=True)
class AdversarialConfig:
    """An adversarial training; the defaults are the paper's.

    Attributes
    ----------
    generator_width, critic_width : float
        Factors on the channels of the generator and of the face embedder.
    learning_rate : float
        Of Adam, for generator and critic.
    betas : tuple of float
        Of Adam.
    batch_size : int
        Voices per update, and as many photographs.
    noise : float
        Standard deviation of what is added to each component of a voice embedding.
    flip : bool
        Whether photographs are mirrored at random.
    crop : CropConfig
        Length of the crops of voices.
    face : FaceCrop
        How faces are cut out of photographs; of 64 pixels.
    engine : EngineConfig
        How the training is run.
    """

    generator_width: float = 1.0
    critic_width: float = 1.0
    learning_rate: float = 2e-4
    betas: tuple = (0.5, 0.999)
    batch_size: int = 128
    noise: float = 0.05
    flip: bool = True
    crop: CropConfig = dataclasses.field(default_factory=lambda: CropConfig(3.0, 8.0))
    face: FaceCrop = dataclasses.field(default_factory=FaceCrop)
    engine: EngineConfig = dataclasses.field(
        default_factory=lambda: EngineConfig(
            n_steps=50_000, validate_every=500, checkpoint_every=500
        )
    )

    def __post_init__(self):
        """Refuse settings that cannot be."""
        for name in ("generator_width", "critic_width", "learning_rate", "batch_size"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)}", "is not positive", "raise it")
        if self.noise < 0:
            raise InputError(f"noise={self.noise}", "is negative", "choose 0 or more")
        if self.face.size != discriminator.IMAGE_SIZE:
            raise InputError(
                f"images of {self.face.size} pixels",
                "do not fit the networks",
                f"crop faces to {discriminator.IMAGE_SIZE}",
            )


class AdversarialTraining(NamedTuple):
    """What came of an adversarial training.

    Attributes
    ----------
    generator : Generator
        As it was after the last step, in eval mode.
    critic : Critic
        Likewise.
    encoder : VoiceEncoder
        The one that was given, unchanged.
    training : Training
        Its history.
    """

    generator: Generator
    critic: Critic
    encoder: VoiceEncoder
    training: Training


def train_adversarial(world, encoder, *, out, config=None, workers=None, progress=True):
    """Train a generator of faces from voices on a world, or go on with a training.

    Voices and photographs of the split "train" are used, each drawn at random: no photograph
    is tied to an utterance, only both to their identity. Adversarial losses do not say which
    state is best, so the last one is kept.

    Parameters
    ----------
    world : World
        The data set, with photographs.
    encoder : VoiceEncoder
        Pretrained; frozen, parameters and buffers.
    out : path
        Folder of the run.
    config : AdversarialConfig, optional
        How.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    AdversarialTraining
        Networks and history.

    Raises
    ------
    InputError
        If a split has no identity with both voice and photograph, or the folder holds another
        training.
    TrainingError
        If a loss is not finite.

    References
    ----------
    Wen, Singh and Raj, "Face reconstruction from voice using generative adversarial networks",
    NeurIPS 2019; Wu et al., "Voice2Mesh", section 3.2.
    """
    config, out = config or AdversarialConfig(), Path(out)
    store = log_mel_store(world, workers=workers, progress=progress)
    task = AdversarialTask(world, store, encoder, config, progress=progress)
    made_from = {
        "adversarial": config,
        "world": world.config,
        "encoder": digest_of(encoder),
    }
    training = fit(task, out, config=config.engine, made_from=made_from, progress=progress)
    networks = {name: network.cpu() for name, network in task.networks.items()}
    return AdversarialTraining(**networks, training=training)


def digest_of(network):
    """Tell pretrained networks apart.

    Parameters
    ----------
    network : torch.nn.Module
        On any device.

    Returns
    -------
    str
        Of its parameters and buffers.
    """
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
