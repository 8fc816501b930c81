"""Small networks and settings for joint trainings on made-up people."""

import dataclasses

import torch

from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting.adversarial import AdversarialConfig
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.unsupervised import LessonConfig, LossWeights, UnsupervisedConfig
from v2mlib.models import ImageToFace, VoiceEncoder

ENGINE = EngineConfig(
    n_steps=4, validate_every=2, checkpoint_every=2, device="cpu", precision="32-true"
)
ADVERSARIAL = AdversarialConfig(
    generator_width=1 / 64,
    critic_width=1 / 8,
    batch_size=6,
    crop=CropConfig(0.4, 0.5),
    engine=ENGINE,
)
CONFIG = UnsupervisedConfig(adversarial=ADVERSARIAL, student_width=1 / 8)
EVERYTHING = LossWeights(coefficients=1.0, distillation=1.0, vertices=0.01, triplet=0.01)


def with_lessons(config=CONFIG, **changes):
    return dataclasses.replace(config, lessons=LessonConfig(**changes))


def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return VoiceEncoder(channels=(8, 8, 8, 8))  # in training mode, as a careless caller's


def teacher():
    """A teacher of small images, in training mode, with statistics of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = ImageToFace(width=1 / 8, image_size=40)
        network.std.uniform_(0.5, 1.5)
        network.mean.normal_()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.data.fill_(3.0)  # fresh networks tell hardly anything apart
    return network


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
