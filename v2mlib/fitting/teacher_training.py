"""The phantom's teacher: an image-to-face network trained on photographs of known faces."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.datasets.resident_photos import FaceCrop, ResidentPhotos
from v2mlib.faces import load_face_model
from v2mlib.fitting.data import split_names
from v2mlib.fitting.engine import fit
from v2mlib.fitting.schedules import warm_cosine
from v2mlib.fitting.task import EngineConfig, Task, Training
from v2mlib.fitting.teacher_truth import TEACHER_CROP, PhotoTruth, shapes_of, shrunk
from v2mlib.models.discriminator import IMAGE_SIZE as DRAWN_SIZE
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.mobilenet_v2 import N_POSE


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """A training of an image-to-face network.

    Attributes
    ----------
    network : {"mobilenet_v1", "mobilenet_v2"}
        Which.
    width : float
        Factor on its channels.
    learning_rate : float
        Highest, of AdamW.
    weight_decay : float
        Of AdamW.
    warmup : int
        Updates until the highest learning rate.
    batch_size : int
        Photographs per update.
    coarse_share : float, 0 to 1
        Share of the photographs that are shrunk to the 64 pixels of generated images first.
    pose_weight, expression_weight : float
        Of their squared errors beside that of the shape, all whitened.
    face : FaceCrop
        How faces are cut out.
    engine : EngineConfig
        How the training is run.
    """

    network: str = "mobilenet_v1"
    width: float = 0.5
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: int = 100
    batch_size: int = 64
    coarse_share: float = 0.5
    pose_weight: float = 0.2
    expression_weight: float = 0.2
    face: FaceCrop = TEACHER_CROP
    engine: EngineConfig = dataclasses.field(
        default_factory=lambda: EngineConfig(n_steps=1500, validate_every=100, checkpoint_every=50)
    )

    def __post_init__(self):
        """Refuse settings that cannot be."""
        for name in ("width", "learning_rate", "batch_size"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)}", "is not positive", "raise it")
        if not 0 <= self.coarse_share <= 1:
            raise InputError(f"coarse_share={self.coarse_share}", "is no share", "choose 0 to 1")


class TeacherTraining(NamedTuple):
    """What came of training a teacher.

    Attributes
    ----------
    network : ImageToFace
        The best one on the validation identities, in eval mode.
    training : Training
        Its history.
    """

    network: ImageToFace
    training: Training


def train_teacher(world, *, out, config=None, progress=True):
    """Train an image-to-face network on a phantom world's photographs, or go on with it.

    Parameters
    ----------
    world : World
        A phantom world with photographs, of people whom nothing else is tested on: a teacher
        that had seen the test identities' faces would know them.
    out : path
        Folder of the run. The network is written there as `model.safetensors`.
    config : TeacherConfig, optional
        How.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    TeacherTraining
        Network and history; `validation_loss` is the squared error of whitened shape
        coefficients from one photograph of 64 pixels: 1 is about that of the mean face.

    Raises
    ------
    InputError
        If a split has no photograph, or the folder holds another training.
    TrainingError
        If the loss is not finite.

    References
    ----------
    Guo et al., "Towards Fast, Accurate and Stable 3D Dense Face Alignment", ECCV 2020.
    """
    config, out = config or TeacherConfig(), Path(out)
    task = TeacherTask(world, config, progress=progress)
    made_from = {"teacher": config, "world": world.config}
    training = fit(task, out, config=config.engine, made_from=made_from, progress=progress)
    network = task.networks["network"].cpu()
    card = {
        "data": {"kind": "phantom", "world": world.config},
        "training": {"teacher": dataclasses.asdict(config), "best_step": training.best_step},
    }
    network.save(out / "model.safetensors", card=card, half=False)
    return TeacherTraining(network, training)


class TeacherTask(Task):
    """Regression of pose and coefficients on photographs.

    Parameters
    ----------
    world : World
        A phantom world with photographs.
    config : TeacherConfig
        How.
    progress : bool
        Whether to show a progress bar while photographs are read.
    """

    def __init__(self, world, config, *, progress=True):
        self.world, self.config, self.progress = world, config, progress
        self.names = {split: split_names(world, split) for split in ("train", "validation")}
        model = load_face_model(world.face_model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.engine.seed)
            network = ImageToFace(
                config.network,
                width=config.width,
                n_shape=model.n_shape,
                n_expression=model.n_expression,
                image_size=config.face.size,
            )
        self.networks = {"network": network.to(memory_format=torch.channels_last)}
        self.truth = PhotoTruth.of(world, model)

    def optimisers(self):
        """Make one AdamW.

        Returns
        -------
        dict of str to torch.optim.Optimizer
            Under "all".
        """
        parameters = self.networks["network"].parameters()
        return {
            "all": torch.optim.AdamW(
                parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay
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
        """Put photographs on the device, and learn the parameters' mean and spread.

        Parameters
        ----------
        device : torch.device
            Where the network is.
        """
        self.photos, self.rows = {}, {}
        for split, names in self.names.items():
            photos = ResidentPhotos(
                self.world, names, crop=self.config.face, device=device, progress=self.progress
            )
            self.photos[split] = photos
            self.rows[split] = torch.from_numpy(photos.row).to(device)
        self.truth = PhotoTruth(*(part.to(device) for part in self.truth))
        photos, rows = self.photos["train"], self.rows["train"]
        squares = photos.squares(torch.arange(len(photos), device=device))
        found = self.truth.parameters(rows, squares, self.config.face.size)
        spread = found.std(0)
        network = self.networks["network"]
        network = getattr(network, "module", network)
        network.mean.copy_(found.mean(0))
        network.std.copy_(torch.where(spread > 1e-6, spread, 1.0))
        self.mean, self.std = network.mean, network.std
        sizes = (N_POSE, self.truth.shape.shape[1], self.truth.expression.shape[1])
        weights = (self.config.pose_weight, 1.0, self.config.expression_weight)
        self.weights = torch.cat(
            [torch.full((n,), w / n, device=device) for n, w in zip(sizes, weights, strict=True)]
        )
        self.sizes = sizes

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
            `loss`, and `shape_loss`, the whitened shape coefficients' mean squared error.
        """
        config = self.config
        batch = self.photos["train"].sample(
            number, config.batch_size, seed=config.engine.seed, rank=share[0], n_ranks=share[1]
        )
        size = config.face.size
        coarse = torch.rand(len(batch.images), device=batch.images.device) < config.coarse_share
        blurred = nn.functional.interpolate(shrunk(batch.images), (size, size), mode="bilinear")
        images = torch.where(coarse[:, None, None, None], blurred, batch.images)
        wanted = self.truth.parameters(self.rows["train"][batch.photo], batch.square, size)
        found = torch.cat(self.networks["network"](images)[:3], 1)
        squared = ((found - wanted) / self.std).square().mean(0)
        loss = (squared * self.weights).sum()
        update(loss, "all")
        return {"loss": loss, "shape_loss": squared.split(self.sizes)[1].mean()}

    def validate(self):
        """Judge the shape from single photographs of the validation identities.

        Returns
        -------
        dict of str to float
            `loss` at 64 pixels and `fine_loss` at full size: mean squared error of whitened
            shape coefficients.
        """
        photos = self.photos["validation"]
        wanted = self.truth.shape[self.rows["validation"]]
        std = self.std.split(self.sizes)[1]
        figures = {}
        for name, size in (("loss", DRAWN_SIZE), ("fine_loss", None)):
            found = shapes_of(self.networks["network"], photos, size=size)
            figures[name] = ((found - wanted) / std).square().mean()
        return figures
