"""What one step of the joint training is: the adversarial one, and a student's lessons."""

import functools

import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.datasets.torch_datasets import identity_mean
from v2mlib.datasets.triplets import draw_triplets
from v2mlib.faces import load_face_model
from v2mlib.fitting.adversarial_task import AdversarialTask
from v2mlib.fitting.data import embed_all
from v2mlib.fitting.joint_losses import Lessons
from v2mlib.fitting.schedules import warm_cosine
from v2mlib.models.folding import folded
from v2mlib.models.image_to_face import ImageToFace


class JointTask(AdversarialTask):
    """A generator against its critic, and a student that learns to read its images.

    Parameters
    ----------
    world : World
        The data set; of its faces' truth nothing is read.
    store : LogMelStore
        Its features.
    encoder : VoiceEncoder
        Pretrained; stays as it is.
    teacher : ImageToFace
        Pretrained; stays as it is.
    config : UnsupervisedConfig
        How.
    start : Start, optional
        Generator, critic and their optimisers' states to begin with.
    progress : bool
        Whether to show a progress bar while photographs are read.
    """

    frozen = ("encoder", "teacher")

    def __init__(self, world, store, encoder, teacher, config, *, start=None, progress=True):
        super().__init__(world, store, encoder, config.adversarial, progress=progress)
        self.joint = config
        self.start = start
        lessons = config.lessons
        on_meshes = lessons.weights.vertices or lessons.weights.triplet
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.engine.seed + 1)
            student = student_of(teacher, config.student_width, lessons.align_corners)
            self.lessons = Lessons(
                lessons,
                student.eval(),
                teacher.eval(),
                face_model=load_face_model(world.face_model) if on_meshes else None,
                n_samples=self._n_utterances(store),
            )
        self.networks["teacher"] = teacher.to(memory_format=torch.channels_last)
        self.networks["student"] = student.to(memory_format=torch.channels_last)
        for name, state in (start.networks if start else {}).items():
            _load(self.networks[name], state, name)
        if self.lessons.learns:
            self.networks["lessons"] = self.lessons

    def _n_utterances(self, store):
        usable = store.index[store.index["n_frames"] > 0]
        return int(usable["identity"].isin(self.names["train"]).sum())

    def optimisers(self):
        """Make an Adam for the critic, and one for all that works against it.

        Returns
        -------
        dict of str to torch.optim.Optimizer
            Under "generator" (with the student, and what a distillation loss learns) and
            "critic".
        """
        made, config = super().optimisers(), self.config
        for name, state in (self.start.optimisers if self.start else {}).items():
            made[name].load_state_dict(state)
            for group in made[name].param_groups:
                group.update(lr=config.learning_rate, betas=config.betas)
        for name in ("student", "lessons"):
            if name in self.networks:
                parameters = list(self.networks[name].parameters())
                rate = config.learning_rate * self.joint.student_rate
                made["generator"].add_param_group({"params": parameters, "lr": rate})
        return made

    def rate(self, step):
        """Give the factor on the learning rates.

        Parameters
        ----------
        step : int
            From 0.

        Returns
        -------
        float
            1, or half a cosine.
        """
        return warm_cosine(step, self.config.engine.n_steps, 0) if self.joint.decay else 1.0

    def prepare(self, device):
        """Put features and photographs on the device.

        Parameters
        ----------
        device : torch.device
            Where the networks are.
        """
        super().prepare(device)
        self.lessons.to(device)
        utterances = self.voices["train"].utterance
        place = torch.zeros(int(utterances.max()) + 1, dtype=torch.int64, device=device)
        place[utterances] = torch.arange(len(utterances), device=device)
        self.place = place
        if self.joint.lessons.truth == "photographs":
            self.truth = self._read_photographs()

    @torch.no_grad()
    def _read_photographs(self):
        """Average over each speaker's photographs what the teacher says of them."""
        photos, teacher = self.photos["train"], self.networks["teacher"]
        parts = torch.arange(len(photos), device=photos.identity.device).split(256)
        said = [teacher(self.enlarge(photos.images(part))) for part in parts]
        return tuple(
            identity_mean(
                torch.cat([getattr(part, name).float() for part in said]),
                photos.identity,
                len(photos.identities),
            )
            for name in ("shape", "expression")
        )

    def partners(self, number, voice):
        """Choose other utterances of the same speakers, and of other speakers.

        Parameters
        ----------
        number : int
            The step.
        voice : Batch
            The batch's voices.

        Returns
        -------
        tuple of tensor, (batch, frame, mel=64)
            Crops of both, if the losses ask for them.
        """
        if not self.joint.lessons.weights.triplet:
            return ()
        utterances, drawn = self.voices["train"], self._triplets(number, voice)
        return tuple(
            utterances.crops(
                clips,
                voice.log_mel.shape[1],
                self.own(torch.rand(self.config.batch_size, device=clips.device)),
            )
            for clips in (drawn.positive, drawn.negative)
        )

    def _triplets(self, number, voice):
        seed = self.config.engine.seed
        return draw_triplets(self.voices["train"], voice, step=number, seed=seed)

    def teach(self, number, voice, fakes, partners=()):
        """Let the student learn from what the teacher says of drawn images.

        Parameters
        ----------
        number : int
            The step.
        voice : Batch
            Voices.
        fakes : tensor, (batch, rgb=3, row=64, column=64)
            Images drawn for them, with gradients to the generator.
        partners : list of tensor
            Likewise, for `partners`.

        Returns
        -------
        total : tensor, ()
            Weighted sum of the losses.
        parts : dict of str to tensor
            See `Lessons`.
        """
        config = self.joint.lessons
        images, *others = (
            self.enlarge(drawn if config.to_generator else drawn.detach())
            for drawn in (fakes, *partners)
        )
        with torch.set_grad_enabled(config.through_teacher), self.autocast():
            halved = torch.is_autocast_enabled(images.device.type)
            wanted = (self._folded_teacher if halved else self.networks["teacher"])(images)
        if config.truth == "photographs":
            shape, expression = (part[voice.identity] for part in self.truth)
            wanted = wanted._replace(shape=shape, expression=expression)
        found = self.networks["student"](images)
        said = [self.networks["student"](image) for image in others]
        who = (*said, self._triplets(number, voice).has_positive) if said else None
        lessons = self.networks.get("lessons", self.lessons)
        return lessons(found, wanted, self.place[voice.utterance], who, self.gather)

    @functools.cached_property
    def _folded_teacher(self):
        """The teacher in fewer passes over its maps; made when its weights have been loaded."""
        return folded(self.networks["teacher"])

    def enlarge(self, fakes):
        """Bring drawn images to the teacher's size, once for both networks.

        Parameters
        ----------
        fakes : tensor, (batch, rgb=3, row, column)
            Of any range.

        Returns
        -------
        tensor, (batch, rgb=3, row, column)
            Cut to [-1, 1], the range of a picture.
        """
        size = self.networks["teacher"].settings["image_size"]
        return nn.functional.interpolate(
            fakes.clamp(-1, 1),
            (size, size),
            mode="bilinear",
            align_corners=self.joint.lessons.align_corners,
        )

    def validate(self):
        """Look at images of people whom nothing here has met; of their faces nothing is known.

        Returns
        -------
        dict of str to float
            Beside those of the adversarial training: `disagreement`, the mean squared
            difference of whitened shape coefficients between student and teacher, as a share of
            the teacher's variance over voices.
        """
        figures = super().validate()
        encoder, voices = self.networks["encoder"], self.voices["validation"]
        embeddings = embed_all(encoder, voices, minimum_frames=self.config.crop.frames[0])
        said = {"student": [], "teacher": []}
        for part in embeddings.split(256):
            images = self.enlarge(self.networks["generator"](part).float())
            for name, rows in said.items():
                rows.append(self.networks[name](images).shape.float())
        std = self.lessons.std[: said["teacher"][0].shape[1]]
        found, wanted = (torch.cat(rows) / std for rows in said.values())
        spread = (wanted - wanted.mean(0)).square().mean()
        return figures | {"disagreement": (found - wanted).square().mean() / spread}


def _load(network, state, name):
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise InputError(
            f"the {name} to start from",
            "is of other width, or for other people",
            f"set {name}_width as in that run's config.json, and give the same world",
        ) from None


def student_of(teacher, width, align_corners=False):
    """Make a fresh student that predicts what a teacher predicts.

    Parameters
    ----------
    teacher : ImageToFace
        Whose parameters' mean and spread, and whose size of images, it takes over.
    width : float
        Factor on its channels.
    align_corners : bool
        How it enlarges images.

    Returns
    -------
    ImageToFace
        A MobileNetV2, at first saying about the mean for every image.
    """
    settings = {name: teacher.settings[name] for name in ("n_shape", "n_expression", "image_size")}
    student = ImageToFace("mobilenet_v2", width=width, align_corners=align_corners, **settings)
    student.mean.copy_(teacher.mean)
    student.std.copy_(teacher.std)
    return student
