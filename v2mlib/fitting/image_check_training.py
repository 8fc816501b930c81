"""Training of the classifier that checks generated images: it learns sex from photographs."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.datasets.resident_photos import FaceCrop, ResidentPhotos
from v2mlib.fitting.data import split_names
from v2mlib.fitting.engine import fit
from v2mlib.fitting.image_check import judge_photos
from v2mlib.fitting.schedules import warm_cosine
from v2mlib.fitting.task import EngineConfig, Task, Training
from v2mlib.models.discriminator import IMAGE_SIZE
from v2mlib.models.image_sex import ImageSexClassifier

#: How the classifier's photographs are cut.
CHECK_CROP = FaceCrop(IMAGE_SIZE, scale_jitter=0.08, shift_jitter=0.04)


@dataclasses.dataclass(frozen=True)
class ImageCheckConfig:
    """A training of the classifier that checks images.

    Attributes
    ----------
    width : float
        Factor on the channels of its MobileNetV1.
    learning_rate : float
        Highest, of AdamW.
    weight_decay : float
        Of AdamW.
    warmup : int
        Updates until the highest learning rate.
    batch_size : int
        Photographs per update.
    coarse_share : float, 0 to 1
        Share of the photographs that are shrunk to half their pixels first, as generated images
        are seldom sharp.
    face : FaceCrop
        How faces are cut out, of 64 pixels.
    engine : EngineConfig
        How the training is run.
    """

    width: float = 0.25
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: int = 50
    batch_size: int = 64
    coarse_share: float = 0.5
    face: FaceCrop = CHECK_CROP
    engine: EngineConfig = dataclasses.field(
        default_factory=lambda: EngineConfig(n_steps=2000, validate_every=100, checkpoint_every=100)
    )

    def __post_init__(self):
        """Refuse settings that cannot be."""
        for name in ("width", "learning_rate", "batch_size"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)}", "is not positive", "raise it")
        if not 0 <= self.coarse_share <= 1:
            raise InputError(f"coarse_share={self.coarse_share}", "is no share", "choose 0 to 1")
        if self.face.size != IMAGE_SIZE:
            raise InputError(
                f"images of {self.face.size} pixels",
                "are not what the generator draws",
                f"crop faces to {IMAGE_SIZE}",
            )


class ImageCheckTraining(NamedTuple):
    """What came of training the classifier.

    Attributes
    ----------
    network : ImageSexClassifier
        The best one on the validation identities, in eval mode.
    training : Training
        Its history.
    """

    network: ImageSexClassifier
    training: Training


def train_image_check(world, *, out, config=None, progress=True):
    """Train a classifier of sex on photographs, or go on with it.

    Parameters
    ----------
    world : World
        Photographs of people whom neither a generator learns from nor a test is made on.
    out : path
        Folder of the run.
    config : ImageCheckConfig, optional
        How.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    ImageCheckTraining
        Network and history.

    Raises
    ------
    InputError
        If a split has no photograph or its people are of one sex, or the folder holds another
        training.
    TrainingError
        If the loss is not finite.
    """
    config, out = config or ImageCheckConfig(), Path(out)
    task = ImageCheckTask(world, config, progress=progress)
    made_from = {"image_check": config, "world": world.config}
    training = fit(task, out, config=config.engine, made_from=made_from, progress=progress)
    return ImageCheckTraining(task.networks["network"].cpu(), training)


class ImageCheckTask(Task):
    """Logistic regression of sex on photographs.

    Parameters
    ----------
    world : World
        Photographs.
    config : ImageCheckConfig
        How.
    progress : bool
        Whether to show a progress bar while photographs are read.
    """

    def __init__(self, world, config, *, progress=True):
        self.world, self.config, self.progress = world, config, progress
        self.names = {split: split_names(world, split) for split in ("train", "validation")}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.engine.seed)
            network = ImageSexClassifier(config.width)
        self.networks = {"network": network.to(memory_format=torch.channels_last)}

    def optimisers(self):
        """Make one AdamW.

        Returns
        -------
        dict of str to torch.optim.Optimizer
            Under "all".
        """
        parameters = self.networks["network"].parameters()
        config = self.config
        return {
            "all": torch.optim.AdamW(
                parameters, lr=config.learning_rate, weight_decay=config.weight_decay
            )
        }

    def rate(self, step):
        """Give the factor on the learning rate.

        Parameters
        ----------
        step : int
            From 0.

        Returns
        -------
        float
            A rise, then half a cosine.
        """
        return warm_cosine(step, self.config.engine.n_steps, self.config.warmup)

    def prepare(self, device):
        """Put photographs on the device.

        Parameters
        ----------
        device : torch.device
            Where the network is.
        """
        self.photos, self.male = {}, {}
        sexes = self.world.identities.set_index("identity")["sex"]
        for split, names in self.names.items():
            photos = ResidentPhotos(
                self.world, names, crop=self.config.face, device=device, progress=self.progress
            )
            male = (sexes.loc[photos.identities] == "m").to_numpy()
            if male.all() or not male.any():
                raise InputError(
                    f"the {split} identities", "are all of one sex", "use a larger world"
                )
            self.photos[split] = photos
            self.male[split] = torch.tensor(male, dtype=torch.float32, device=device)

    def step(self, number, update, share):
        """Make one update.

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
            `loss`, in nats.
        """
        config = self.config
        batch = self.photos["train"].sample(
            number,
            config.batch_size,
            seed=config.engine.seed,
            rank=share[0],
            n_ranks=share[1],
            flip=True,
        )
        images = batch.images
        coarse = torch.rand(len(images), device=images.device) < config.coarse_share
        images = torch.where(coarse[:, None, None, None], _blurred(images), images)
        odds = self.networks["network"](images).float()
        loss = _cross_entropy(odds, self.male["train"][batch.identity])
        update(loss, "all")
        return {"loss": loss}

    def validate(self):
        """Judge single photographs of the validation identities.

        Returns
        -------
        dict of str to float
            `loss` in nats and `accuracy`.
        """
        photos = self.photos["validation"]
        odds = judge_photos(self.networks["network"], photos)
        male = self.male["validation"][photos.identity]
        return {
            "loss": _cross_entropy(odds, male),
            "accuracy": ((odds > 0) == (male > 0)).float().mean(),
        }


def _blurred(images):
    size = images.shape[-1]
    small = nn.functional.avg_pool2d(images, 2)
    return nn.functional.interpolate(small, (size, size), mode="bilinear")


def _cross_entropy(odds, male):
    return nn.functional.binary_cross_entropy_with_logits(odds, male)
