"""Unsupervised Voice2Mesh: voices, photographs of their speakers, and a teacher for images."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from v2mlib.checks import InputError
from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.faces import load_face_model
from v2mlib.fitting.adversarial import AdversarialConfig, digest_of
from v2mlib.fitting.cascade import MINIMUM_FRAMES, Cascade
from v2mlib.fitting.data import world_kind
from v2mlib.fitting.engine import fit
from v2mlib.fitting.joint import JointTask
from v2mlib.fitting.joint_losses import LessonConfig, LossWeights
from v2mlib.fitting.joint_start import Start, start_of
from v2mlib.fitting.task import EngineConfig, Training
from v2mlib.models.architecture import Architecture
from v2mlib.models.discriminator import Critic
from v2mlib.models.generator import Generator
from v2mlib.models.image_heads import ImageHeads
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice2mesh import Voice2Mesh
from v2mlib.models.voice_encoder import VoiceEncoder
from v2mlib.models.voice_to_image import VoiceToImage


@dataclasses.dataclass(frozen=True)
class UnsupervisedConfig:
    """A joint training; the defaults are the paper's.

    Attributes
    ----------
    adversarial : AdversarialConfig
        The generator against its critic, the batches, and how the training is run.
    lessons : LessonConfig
        What the student learns from the teacher; every deviation of the released code is an
        option there, and `RELEASED` switches them all on.
    student_width : float
        Factor on the student's channels.
    student_rate : float
        Factor on the student's learning rate.
    decay : bool
        Whether all learning rates fall to 0, along half a cosine: opponents circle each other
        at any constant rate, and so do the images' mean and the student that reads them.
    """

    adversarial: AdversarialConfig = dataclasses.field(default_factory=AdversarialConfig)
    lessons: LessonConfig = dataclasses.field(default_factory=LessonConfig)
    student_width: float = 1.0
    student_rate: float = 1.0
    decay: bool = False

    def __post_init__(self):
        """Refuse settings that cannot be."""
        for name in ("student_width", "student_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)}", "is not positive", "raise it")

    @property
    def engine(self):
        """How the training is run.

        Returns
        -------
        EngineConfig
            That of `adversarial`.
        """
        return self.adversarial.engine

    @property
    def distillation(self):
        """Name of the distillation method.

        Returns
        -------
        str
            That of `lessons`.
        """
        return self.lessons.distillation


#: All deviations of the released code from the paper that do not spoil a training.
RELEASED = UnsupervisedConfig(
    adversarial=AdversarialConfig(batch_size=64),
    lessons=LessonConfig(
        variant="released",
        features=("pooled", "map"),
        weights=LossWeights(coefficients=0.0, distillation=1e4, vertices=0.5, triplet=1.5),
        scaled_vertices=True,
        through_teacher=True,
        align_corners=True,
    ),
)


#: The paper's training made small: narrow networks, short clips, few steps.
TUTORIAL = UnsupervisedConfig(
    adversarial=AdversarialConfig(
        generator_width=0.25,
        critic_width=0.5,
        batch_size=64,
        crop=CropConfig(),
        engine=EngineConfig(n_steps=1000, validate_every=100, checkpoint_every=100),
    ),
    student_width=0.5,
    student_rate=5.0,
    decay=True,
)
SIZES = {
    "tiny": UnsupervisedConfig(
        adversarial=AdversarialConfig(
            generator_width=1 / 32,
            critic_width=1 / 8,
            batch_size=16,
            crop=CropConfig(),
            engine=EngineConfig(n_steps=40, validate_every=20, checkpoint_every=20),
        ),
        student_width=0.25,
        student_rate=5.0,
    ),
    "tutorial": TUTORIAL,
    "paper": UnsupervisedConfig(),
}


class UnsupervisedTraining(NamedTuple):
    """What came of a joint training.

    Attributes
    ----------
    generator : Generator
        As it was after the last step, in eval mode.
    critic : Critic
        Likewise.
    student : ImageToFace
        Likewise.
    encoder : VoiceEncoder
        The one that was given, unchanged.
    training : Training
        Its history.
    """

    generator: Generator
    critic: Critic
    student: ImageToFace
    encoder: VoiceEncoder
    training: Training

    @property
    def cascade(self):
        """What predicts faces, with what `v2mlib.fitting.predict_cascade` needs.

        Returns
        -------
        Cascade
            Of the encoder with the generator, and the student.
        """
        return Cascade(VoiceToImage(self.encoder, self.generator).eval(), self.student)


def train_unsupervised(
    world,
    encoder,
    teacher,
    *,
    out,
    config=None,
    start_from=None,
    workers=None,
    progress=True,
):
    """Train generator and student together on a world, or go on with a training.

    Voices and photographs of the split "train" are used; of the true faces nothing is. The
    state after the last step is kept: nothing is chosen, by 3D truth or otherwise. What
    `validate` looks at are voices and photographs of validation identities, and how far student
    and teacher agree on images drawn for them.

    Parameters
    ----------
    world : World
        The data set, with photographs.
    encoder : VoiceEncoder
        Pretrained; frozen, parameters and buffers.
    teacher : ImageToFace
        Pretrained; frozen, parameters and buffers.
    out : path
        Folder of the run. The model is written there as `model.safetensors`.
    config : UnsupervisedConfig, optional
        How.
    start_from : path or Start, optional
        Generator, critic and optimisers to begin with, or the folder of a finished
        `train_adversarial` with this encoder and these widths; by default fresh ones.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    UnsupervisedTraining
        Networks and history.

    Raises
    ------
    InputError
        If a split has no identity with both voice and photograph, the folder holds another
        training, or what to start from does not fit.
    TrainingError
        If a loss is not finite.

    References
    ----------
    Wu et al., "Voice2Mesh", section 3.2 and Eqs. 3-7.
    """
    config, out = config or UnsupervisedConfig(), Path(out)
    store = log_mel_store(world, workers=workers, progress=progress)
    start = start_from
    if start is not None and not isinstance(start, Start):
        start = start_of(start, encoder)
    task = JointTask(world, store, encoder, teacher, config, start=start, progress=progress)
    made_from = {
        "unsupervised": config,
        "world": world.config,
        "encoder": digest_of(encoder),
        "teacher": digest_of(teacher),
        "start": None if start is None else digest_of(task.networks["generator"]),
    }
    training = fit(task, out, config=config.engine, made_from=made_from, progress=progress)
    networks = {
        name: task.networks[name].cpu() for name in ("generator", "critic", "student", "encoder")
    }
    trained = UnsupervisedTraining(**networks, training=training)
    model_of(trained, world, config).save(out / "model.safetensors", half=False)
    return trained


def model_of(trained, world, config):
    """Put a joint training's networks into one model that predicts from recordings.

    Parameters
    ----------
    trained : UnsupervisedTraining
        Its result.
    world : World
        What it was trained on.
    config : UnsupervisedConfig
        How.

    Returns
    -------
    Voice2Mesh
        With the same predictions as `UnsupervisedTraining.cascade`.
    """
    student, encoder = trained.student, trained.encoder
    architecture = Architecture(
        n_mels=encoder.n_mels,
        channels=_channels(encoder),
        embedding_size=encoder.layers[-1].out_channels,
        n_shape=student.settings["n_shape"],
        n_expression=student.settings["n_expression"],
        minimum_frames=MINIMUM_FRAMES,
        generator_channels=_channels(trained.generator),
        image_to_face=student.settings,
    )
    last = trained.training.history.iloc[-1]
    card = {
        "data": {"kind": world_kind(world), "world": world.config},
        "training": {"unsupervised": dataclasses.asdict(config), "steps": int(last["step"])},
        "metrics": {
            name: float(last[name]) for name in last.index if name.startswith("validation_")
        },
    }
    return Voice2Mesh(
        encoder,
        ImageHeads(trained.generator, student),
        load_face_model(world.face_model),
        architecture,
        card=card,
    )


def _channels(network):
    """Channels after each convolution but the last."""
    return tuple(layer.out_channels for layer in network.layers if hasattr(layer, "stride"))[:-1]
