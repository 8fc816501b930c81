"""Voice to image: a generator learns to draw the faces of voices, against a critic."""

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.resident_photos import FaceCrop, ResidentPhotos
from v2mlib.datasets.torch_datasets import CropConfig, ResidentUtterances
from v2mlib.fitting.data import embed_all, split_names
from v2mlib.fitting.engine import fit
from v2mlib.fitting.task import EngineConfig, Task, Training
from v2mlib.models import discriminator, generator
from v2mlib.models.discriminator import Critic, judge_without_learning
from v2mlib.models.generator import Generator
from v2mlib.models.voice_encoder import VoiceEncoder, perturb_embedding


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
        "adversarial": dataclasses.asdict(config),
        "world": world.config,
        "encoder": _digest(encoder),
    }
    training = fit(task, out, config=config.engine, made_from=made_from, progress=progress)
    networks = {name: network.cpu() for name, network in task.networks.items()}
    return AdversarialTraining(**networks, training=training)


class AdversarialTask(Task):
    """Generator against critic, on voices and photographs of the same people.

    Parameters
    ----------
    world : World
        The data set.
    store : LogMelStore
        Its features.
    encoder : VoiceEncoder
        Pretrained; stays as it is.
    config : AdversarialConfig
        How.
    progress : bool
        Whether to show a progress bar while photographs are read.
    """

    monitor = "steps_left"
    frozen = ("encoder",)

    def __init__(self, world, store, encoder, config, *, progress=True):
        self.world, self.store, self.config, self.progress = world, store, config, progress
        self.names = {
            split: seen_and_heard(world, store, split) for split in ("train", "validation")
        }
        self.steps_left = config.engine.n_steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.engine.seed)
            drawer = Generator(
                encoder.layers[-1].out_channels,
                _scaled(generator.CHANNELS, config.generator_width),
            )
            critic = Critic(
                len(self.names["train"]), _scaled(discriminator.CHANNELS, config.critic_width)
            )
        self.networks = {  # convolutions are faster with the channels last in memory
            "encoder": encoder,
            "generator": drawer.to(memory_format=torch.channels_last),
            "critic": critic.to(memory_format=torch.channels_last),
        }

    def optimisers(self):
        """Make an Adam for each of the opponents.

        Returns
        -------
        dict of str to torch.optim.Optimizer
            Under "generator" and "critic".
        """
        return {
            name: torch.optim.Adam(
                self.networks[name].parameters(),
                lr=self.config.learning_rate,
                betas=self.config.betas,
            )
            for name in ("generator", "critic")
        }

    def prepare(self, device):
        """Put features and photographs on the device.

        Parameters
        ----------
        device : torch.device
            Where the networks are.
        """
        self.voices, self.photos = {}, {}
        for split, names in self.names.items():
            self.voices[split] = ResidentUtterances(self.store, names, device=device)
            self.photos[split] = ResidentPhotos(
                self.world, names, crop=self.config.face, device=device, progress=self.progress
            )

    def step(self, number, update, share):
        """Make one update of the critic, then one of the generator.

        Parameters
        ----------
        number : int
            The step.
        update : callable
            See `Task.step`.
        share : tuple of int
            This process's number and the number of processes.

        Returns
        -------
        dict of str to tensor
            Losses in nats: `critic_real_loss`, `critic_fake_loss`, `critic_identity_loss`,
            `generator_real_loss`, `generator_identity_loss`; and `recognised`, the share of
            generated images in which the classifier sees the speaker.
        """
        config = self.config
        drawn = {"seed": config.engine.seed, "rank": share[0], "n_ranks": share[1]}
        voice = self.voices["train"].sample(number, config.batch_size, crop=config.crop, **drawn)
        photo = self.photos["train"].sample(number, config.batch_size, flip=config.flip, **drawn)
        fakes = self.draw(voice.log_mel)

        # Both kinds in one batch: nothing in the critic looks across images.
        verdict = self.networks["critic"](torch.cat([photo.images, fakes.detach()]))
        real, fake = verdict.real.split(len(fakes))
        judged = {
            "critic_real_loss": _says(real, 1.0),
            "critic_fake_loss": _says(fake, 0.0),
            "critic_identity_loss": nn.functional.cross_entropy(
                verdict.identity[: len(photo.identity)], photo.identity
            ),
        }
        update(sum(judged.values()), "critic")

        with self.autocast():
            verdict = judge_without_learning(_bare(self.networks["critic"]), fakes)
        identity = verdict.identity.float()
        pleased = {
            "generator_real_loss": _says(verdict.real.float(), 1.0),
            "generator_identity_loss": nn.functional.cross_entropy(identity, voice.identity),
        }
        update(sum(pleased.values()), "generator")
        self.steps_left = config.engine.n_steps - number - 1
        recognised = (identity.argmax(1) == voice.identity).float().mean()
        return judged | pleased | {"recognised": recognised}

    def draw(self, log_mel):
        """Draw faces for voices as in training, with noise on the embeddings.

        Parameters
        ----------
        log_mel : tensor, (batch, frame, mel=64), standard deviations
            Crops of voices.

        Returns
        -------
        tensor of float32, (batch, rgb=3, row=64, column=64)
            With gradients to the generator only.
        """
        with torch.no_grad(), self.autocast():
            embedding = self.networks["encoder"](log_mel).float()
        return self.networks["generator"](perturb_embedding(embedding, self.config.noise)).float()

    def validate(self):
        """Look at images of people whom neither generator nor critic has met.

        Returns
        -------
        dict of str to float
            `real_believed` and `fake_believed`: shares of photographs and of generated images
            that the critic takes for photographs; `spread`: standard deviation of generated
            images over voices as a share of that of photographs; `steps_left`.
        """
        voices, photos = self.voices["validation"], self.photos["validation"]
        embeddings = embed_all(
            self.networks["encoder"], voices, minimum_frames=self.config.crop.frames[0]
        )
        fakes = self.networks["generator"](embeddings).float()
        reals = photos.images(torch.arange(len(photos), device=fakes.device))
        believed = {
            f"{name}_believed": (self.networks["critic"](images).real > 0).float().mean()
            for name, images in (("real", reals), ("fake", fakes))
        }
        spread = fakes.std(0).mean() / reals.std(0).mean()
        return {**believed, "spread": spread, "steps_left": float(self.steps_left)}


def seen_and_heard(world, store, split):
    """Identities of a split with a usable recording and a photograph with a face.

    Parameters
    ----------
    world : World
        The data set.
    store : LogMelStore
        Its features.
    split : {"train", "validation", "test"}
        Which.

    Returns
    -------
    list of str
        In the order of the world.

    Raises
    ------
    InputError
        If there are none.
    """
    names = split_names(world, split)
    heard = set(store.index.loc[store.index["n_frames"] > 0, "identity"])
    seen = set(world.photos["identity"][np.isfinite(world.landmarks).all((1, 2))])
    found = [name for name in names if name in heard and name in seen]
    if not found:
        raise InputError(
            world.folder,
            f"has no {split} identity with both a recording and a photograph",
            "make the world with photographs (v2m data phantom --photos 6)",
        )
    return found


def _says(logits, answer):
    """Cross entropy of the critic's answers with one answer for all."""
    return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))


def _bare(network):
    """Take a network out of the engine's wrapper."""
    return getattr(network, "module", network)


def _scaled(channels, width):
    return tuple(max(1, round(channel * width)) for channel in channels)


def _digest(network):
    """Tell pretrained networks apart."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
