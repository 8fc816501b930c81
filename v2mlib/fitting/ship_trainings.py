"""Trainings behind what ships: worlds, pretrained encoder, generator, teacher, joint model.

What is there is reused, what was stopped goes on.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting.adversarial import AdversarialConfig, AdversarialTraining, train_adversarial
from v2mlib.fitting.baselines import praat_ridge
from v2mlib.fitting.image_check_training import ImageCheckTraining, train_image_check
from v2mlib.fitting.joint_losses import LessonConfig
from v2mlib.fitting.prediction import predict_world
from v2mlib.fitting.supervised import SupervisedConfig, train_supervised
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.teacher_training import TeacherTraining, train_teacher
from v2mlib.fitting.unsupervised import TUTORIAL, UnsupervisedTraining, train_unsupervised
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.phantom.sizes import Size

#: The tutorial's people and recordings, with more photographs of those that are learned from.
WORLD_SIZE = Size(960, 480, utterances=6, test_utterances=3, photos=12, test_photos=2)
#: Other people, many of them: who teaches must not have seen the people of the test.
TEACHER_SIZE = Size(4800, 800, utterances=1, test_utterances=1, photos=3, test_photos=3)
TEACHER_SEED = 4711
#: The paper's training made small: narrow networks, the phantom's short clips, fewer steps.
GENERATOR = AdversarialConfig(
    generator_width=0.25,
    critic_width=0.5,
    batch_size=64,
    crop=CropConfig(),
    engine=EngineConfig(n_steps=12_000, validate_every=200, checkpoint_every=200, keep_every=2000),
)
#: The joint training that goes on from it; its states are kept for the album. The teacher reads
#: the speakers' photographs: read off drawn images (Eq. 3), the student learns what is wrong
#: with them all, too.
UNSUPERVISED = dataclasses.replace(
    TUTORIAL,
    lessons=LessonConfig(truth="photographs"),
    adversarial=dataclasses.replace(
        TUTORIAL.adversarial,
        engine=dataclasses.replace(TUTORIAL.engine, keep_every=TUTORIAL.engine.n_steps // 4),
    ),
)
#: The same with the paper's truth: what the teacher reads off the drawn images (Eq. 3).
UNSUPERVISED_DRAWN = dataclasses.replace(UNSUPERVISED, lessons=LessonConfig(truth="drawn"))


class ImageTrainings(NamedTuple):
    """What the pipeline without paired faces consists of.

    Attributes
    ----------
    drawer : AdversarialTraining
        Generator and critic before the joint training, and the voice encoder.
    teacher : TeacherTraining
        Trained on photographs of other people.
    joint : UnsupervisedTraining
        Generator, critic and student after the joint training.
    joint_drawn : UnsupervisedTraining
        Likewise, by the paper's Eq. 3.
    checker : ImageCheckTraining
        The classifier that checks images, trained on photographs of other people.
    others : World
        The other people.
    """

    drawer: AdversarialTraining
    teacher: TeacherTraining
    joint: UnsupervisedTraining
    joint_drawn: UnsupervisedTraining
    checker: ImageCheckTraining
    others: object


def build_world_with_photos(work, *, seed=0, workers=None, progress=True):
    """Make the tutorial phantom with photographs, or find it made.

    Parameters
    ----------
    work : path
        Its folder is `world` in this one.
    seed : int
        Of the world.
    workers : int, optional
        Processes.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    World
        Recordings and true faces are those of the tutorial world with the same seed.
    """
    from v2mlib.phantom import make_world

    place = Path(work) / "world"
    return make_world(WORLD_SIZE, place, seed=seed, workers=workers, progress=progress)


def predict_voices(world, model, work, *, workers=None, progress=True):
    """Predict the test identities' faces with the methods that are not images.

    Parameters
    ----------
    world : World
        The data set.
    model : Voice2Mesh
        Supervised, end to end.
    work : path
        Folder of the trainings.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    tables : dict of str to DataFrame
        A row per utterance, the identity as index, a column per shape coefficient.
    encoder : VoiceEncoder
        Pretrained on the training names.
    """
    options = {"workers": workers, "progress": progress}
    config = SupervisedConfig(variant="pretrained")
    pretrained = train_supervised(world, out=Path(work) / "pretrained", config=config, **options)
    tables = {
        "supervised": predict_world(model, world, **options),
        "pretrained": predict_world(pretrained.model, world, **options),
        "ridge": praat_ridge(world, **options),
    }
    return tables, pretrained.model.encoder


def train_images(world, encoder, work, *, workers=None, progress=True):
    """Train all that has to do with images, or find it trained.

    Parameters
    ----------
    world : World
        Voices and photographs for the generator; its faces are not looked at.
    encoder : VoiceEncoder
        Pretrained on the world's training names.
    work : path
        Folder of the trainings and of the other people's world.
    workers : int, optional
        Processes.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    ImageTrainings
        Networks and histories.
    """
    from v2mlib.phantom import make_world

    work, options = Path(work), {"workers": workers, "progress": progress}
    drawer = train_adversarial(world, encoder, out=work / "generator", config=GENERATOR, **options)
    others = make_world(TEACHER_SIZE, work / "teacher_world", seed=TEACHER_SEED, **options)
    teacher = train_teacher(others, out=work / "teacher", progress=progress)
    reader = ImageToFace.load(work / "teacher" / "model.safetensors")
    joint, drawn = (
        train_unsupervised(
            world, encoder, reader, out=work / name, config=config,
            start_from=work / "generator", **options,
        )
        for name, config in (
            ("unsupervised", UNSUPERVISED), ("unsupervised_drawn", UNSUPERVISED_DRAWN),
        )
    )  # fmt: skip
    checker = train_image_check(others, out=work / "image_check", progress=progress)
    return ImageTrainings(drawer, teacher, joint, drawn, checker, others)
