"""Where the runs of an ablation start: the networks, and how much a distillation weighs.

The units of the methods' formulas are arbitrary: with one weight for all, some would rule the
student and others say nothing.
"""

import copy

import torch

from v2mlib.checks import InputError
from v2mlib.datasets.features import log_mel_store
from v2mlib.fitting.joint import JointTask
from v2mlib.fitting.joint_losses import Lessons
from v2mlib.fitting.joint_start import start_of
from v2mlib.models.generator import Generator

N_BATCHES = 4
"""Over how many batches gradients are averaged."""


def generator_of(state):
    """Make the generator that a state dict is of.

    Parameters
    ----------
    state : dict of str to tensor
        Of a `Generator` of any width.

    Returns
    -------
    Generator
        In eval mode.

    Examples
    --------
    >>> generator_of(Generator(8, (16, 8)).state_dict()).layers[2].weight.shape
    torch.Size([16, 8, 4, 4])
    """
    shapes = [tensor.shape for name, tensor in state.items() if name.endswith("weight")]
    channels = [shape[1] for shape in shapes]
    generator = Generator(shapes[0][0], channels[:-1], channels[-1])
    generator.load_state_dict(state)
    return generator.eval()


def equal_weights(world, encoder, teacher, config, *, start_from=None):
    """Find the weights that give each distillation as much to say as Eq. 3 has, at the start.

    The lengths of the gradients to the student's parameters are averaged over a few batches
    before any training, with the generator that training starts from and the first seed's
    student: all methods see the same images.

    Parameters
    ----------
    world : World
        The data set.
    encoder : VoiceEncoder
        Pretrained.
    teacher : ImageToFace
        Pretrained.
    config : AblationConfig
        Whose methods.
    start_from : path, optional
        Folder of the adversarial training that the generator comes from.

    Returns
    -------
    dict of str to float
        By method: length of Eq. 3's gradient over that of the distillation's. 1 for a method
        that adds nothing to Eq. 3.

    Raises
    ------
    InputError
        If a method gives no gradient at all.
    """
    store = log_mel_store(world, progress=False)
    start = None if start_from is None else start_of(start_from, encoder)
    encoder, teacher = copy.deepcopy(encoder), copy.deepcopy(teacher)
    trainings = {m: config.training_of(m, config.seeds[0]) for m in config.methods}
    base = config.training_of("vanilla", config.seeds[0])
    task = JointTask(world, store, encoder, teacher, base, start=start, progress=False)
    student = task.networks["student"]
    with torch.random.fork_rng(devices=[]):
        lessons = {}
        for method, training in trainings.items():
            if training.lessons.distilled:
                torch.manual_seed(base.engine.seed)
                lessons[method] = Lessons(
                    training.lessons, student.eval(), teacher.eval(), n_samples=len(store.index)
                )
        task.prepare(torch.device("cpu"))
        for name, network in task.networks.items():
            network.train(name not in task.frozen)
        lengths = dict.fromkeys(("eq3", *lessons), 0.0)
        for number in range(N_BATCHES):
            for name, length in _lengths(task, lessons, base, number).items():
                lengths[name] += length
    if silent := [name for name in lessons if not lengths[name] > 0]:
        raise InputError(
            f"method {silent[0]}", "gives the student no gradient", "leave it out, or weigh all 1"
        )
    return {
        method: lengths["eq3"] / lengths[method] if method in lessons else 1.0
        for method in config.methods
    }


def _lengths(task, lessons, config, number):
    """Lengths of the losses' gradients to the student, for one batch."""
    adversarial, networks = config.adversarial, task.networks
    voice = task.voices["train"].sample(
        number, adversarial.batch_size, crop=adversarial.crop, seed=config.engine.seed
    )
    with torch.no_grad():
        images = task.enlarge(*task.draw(voice.log_mel))
        wanted = networks["teacher"](images)
    found = networks["student"](images)
    parameters = [p for p in networks["student"].parameters() if p.requires_grad]

    def length(loss):
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        return float(sum(g.square().sum() for g in gradients if g is not None).sqrt())

    lengths = {"eq3": length(task.lessons(found, wanted)[1]["coefficient_loss"])}
    for name, lesson in lessons.items():
        parts = lesson(found, wanted, task.place[voice.utterance])[1]
        lengths[name] = length(parts["distillation_loss"])
    return lengths
