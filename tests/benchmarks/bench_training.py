"""Training steps beside a literal port of the published loops: same batches, same losses.

Both steps have the same gradients, which is asserted here before anything is timed, as a share of
the length of each network's gradients: in double precision at full width to a millionth; in
single precision on narrow networks to 1e-5. At full width the joint step's gradients are
ill-conditioned: in single precision either loop is several per cent away from double precision.

"float32" does the same work. "bfloat16" is what training does by default where the hardware
multiplies it: not the same gradients, the peer stays in float32. Networks have the paper's
widths; crops are of 5.5 s, as the paper's are on average. Batches are the published ones: 128,
and 64 in the released joint training. The peer has a process of its own, with memory as the
system manages it; ours keeps freed memory between its steps, as the engine does on a CPU. All
takes a quarter of an hour.
"""

import atexit
import copy
import dataclasses
import multiprocessing
import sys
import tempfile
from pathlib import Path

import literal_training as literal
import torch
from harness import Row
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import fitting_made
import photos_made

from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.faces import load_face_model
from v2mlib.fitting import engine_processes
from v2mlib.fitting.adversarial import AdversarialConfig
from v2mlib.fitting.adversarial_task import AdversarialTask
from v2mlib.fitting.engine import _Run
from v2mlib.fitting.engine_folder import RunFolder
from v2mlib.fitting.engine_memory import keeping_freed_memory
from v2mlib.fitting.joint import JointTask
from v2mlib.fitting.supervised import SupervisedConfig, SupervisedTask
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.unsupervised import RELEASED
from v2mlib.models import ImageToFace, VoiceEncoder

CROP = CropConfig(5.5, 5.5)
TOLERANCE = 1e-5
#: (name, samples per step of the row)
KINDS = {"supervised": 128, "adversarial": 128, "joint": 64}


@dataclasses.dataclass(frozen=True)
class Widths:
    """Factors on channels, sides of images."""

    encoder: tuple = ()
    generator: float = 1.0
    critic: float = 1.0
    student: float = 1.0
    teacher: float = 1.0
    image: int = 120


NARROW = Widths((16, 16, 16, 16), generator=1 / 32, critic=1 / 8, student=1 / 8, teacher=1 / 8,
                image=48)  # fmt: skip


def made_task(kind, folder, *, batch, widths, crop=CROP, precision="32-true"):
    """A task of the published losses on made-up people, with fresh networks."""
    engine = EngineConfig(
        n_steps=10_000,
        device="cpu",
        precision=precision,
        tensorboard=False,
        checkpoint_every=10_000,
    )
    options = {"batch_size": batch, "crop": crop, "engine": engine}
    torch.manual_seed(5)
    encoder = VoiceEncoder(channels=widths.encoder) if widths.encoder else VoiceEncoder()
    if kind == "supervised":
        world, store = fitting_made.made_world()
        return SupervisedTask(world, store, SupervisedConfig(**options), encoder)
    world, store = photos_made.made_world_with_photos(Path(folder))
    config = AdversarialConfig(
        generator_width=widths.generator, critic_width=widths.critic, **options
    )
    if kind == "adversarial":
        return AdversarialTask(world, store, encoder.eval(), config, progress=False)
    teacher = ImageToFace(width=widths.teacher, image_size=widths.image).eval()
    config = dataclasses.replace(RELEASED, adversarial=config, student_width=widths.student)
    task = JointTask(world, store, encoder.eval(), teacher, config, progress=False)
    task.face_model = load_face_model(world.face_model)
    return task


def enliven(task, crop):
    """Let fresh networks tell people apart as trained ones do.

    Otherwise all drawn images are about one, and what batch normalisation makes of their
    differences is mostly rounding, which is no common ground to compare gradients on.
    """
    networks, batch = task.networks, task.config.batch_size
    if "generator" in networks:
        for layer in networks["generator"].layers:
            if hasattr(layer, "stride"):
                taps = layer.in_channels * layer.kernel_size[0] ** 2 / layer.stride[0] ** 2
                taps = layer.in_channels if layer.padding[0] == 0 else taps
                torch.nn.init.normal_(layer.weight, std=(2 / taps) ** 0.5)
    seen = {
        "encoder": torch.randn(4 * batch, crop.frames[0], 64),
        "teacher": torch.rand(4 * batch, 3, 64, 64) * 2 - 1,
        "student": torch.rand(4 * batch, 3, 64, 64) * 2 - 1,
    }
    for name, inputs in seen.items():
        if name in networks:
            norms = [m for m in networks[name].modules() if hasattr(m, "running_var")]
            for norm in norms:
                norm.momentum = None  # the statistics of these inputs alone
            networks[name].train()(inputs)
            for norm in norms:
                norm.momentum = 0.1
            networks[name].train(name not in task.frozen)


def hold_still(networks):
    """Keep the student's batch normalisation in eval mode, whatever mode it is asked for.

    In training mode it magnifies rounding through fifty layers, in either loop alike.
    """
    for module in networks["student"].modules():
        if hasattr(module, "running_var"):
            module.eval()
            module.train = lambda mode=True, module=module: module


class Ours:
    """The engine's own step."""

    def __init__(self, task, folder):
        config = task.config.engine
        self.task, self.gradients = task, {}
        self.run = _Run(task, RunFolder(Path(folder)), config, engine_processes.start(config))

    def __call__(self):
        self.run._one_step()

    def losses(self):
        """Losses and gradients of the next step."""
        update = self.run._update

        def kept(loss, name):
            update(loss, name)
            self.gradients |= gradients_of(self.run.optimisers[name].optimizer, name)

        self.run._update = kept
        before = {name: total for name, (_, total) in self.run.sums.items()}
        self()
        self.run._update = update
        return {name: total - before.get(name, 0) for name, (_, total) in self.run.sums.items()}


class Peer:
    """The literal step, on networks of its own with the channels first in memory."""

    def __init__(self, kind, task):
        steps = {"supervised": "supervised_step", "adversarial": "gan_step", "joint": "joint_step"}
        self.make, self.task, self.number = getattr(literal, steps[kind]), task, 0
        self.gradients = {}
        frozen = task.frozen
        self.networks = {
            name: plain(copy.deepcopy(network)).to(memory_format=torch.contiguous_format)
            for name, network in task.networks.items()
        }
        for name, network in self.networks.items():
            network.train(name not in frozen)
            if name in frozen:  # nothing keeps gradients away there
                network.requires_grad_(True)
        own, task.networks = task.networks, self.networks
        self.optimisers = task.optimisers()
        task.networks = own
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] *= task.rate(0)
            optimiser.register_step_post_hook(
                lambda optimiser, *_, name=name: self.gradients.update(
                    gradients_of(optimiser, name) if self.keeps else {}
                )
            )
        self.keeps = False

    def __call__(self, run=None):
        if run is not None:
            run._seed(self.number)
        losses = self.make(self.task, self.networks, self.optimisers, self.number)
        self.number += 1
        return losses


class Apart:
    """The literal step in another process."""

    def __init__(self, *args):
        processes = multiprocessing.get_context("spawn")
        self.pipe, end = processes.Pipe()
        processes.Process(target=serve, args=(end, *args), daemon=True).start()
        end.close()  # what the other process has of it closes when that ends
        self.pipe.recv()

    def __call__(self):
        self.pipe.send("step")
        self.pipe.recv()


def serve(pipe, kind, folder, batch):
    """Make the literal steps that are asked for, until nobody can ask any more."""
    torch.set_num_threads(1)
    _, peer = pair(kind, folder, batch=batch, widths=Widths())
    pipe.send("ready")
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        peer()
        pipe.send("done")


def plain(network):
    """Let every convolution be the framework's own."""
    for module in network.modules():
        for kind in (nn.Conv2d, nn.ConvTranspose2d):
            if isinstance(module, kind):
                module.__class__ = kind
    return network


def gradients_of(optimiser, name):
    """An optimiser's gradients, one vector per group of parameters."""
    return {
        f"{name}.{number}": torch.cat([p.grad.flatten() for p in group["params"]])
        for number, group in enumerate(optimiser.param_groups)
    }


def pair(kind, folder, *, batch, widths, crop=CROP, precision="32-true", comparable=False):
    """Both steps on equal networks, before the first one.

    Comparable joint steps have one layout of memory and still batch normalisation.
    """
    task = made_task(kind, folder, batch=batch, widths=widths, crop=crop, precision=precision)
    with torch.no_grad():
        enliven(task, crop)
    peer = Peer(kind, task)
    if comparable:
        for network in task.networks.values():
            network.to(memory_format=torch.contiguous_format)
    if comparable and kind == "joint":
        hold_still(peer.networks)
        hold_still(task.networks)
    return Ours(task, folder), peer


def compare(ours, peer):
    """Largest relative differences of losses and of gradients, in one step of both."""
    peer.keeps = True
    wanted = peer(ours.run)
    peer.keeps = False
    found = ours.losses()
    wanted = {name: float(loss.detach()) for name, loss in wanted.items()}
    losses = max(abs(float(found[name]) - loss) / abs(loss) for name, loss in wanted.items())
    gradients = max(
        float((ours.gradients[name] - gradient).norm() / gradient.norm())
        for name, gradient in peer.gradients.items()
    )
    return losses, gradients


class Double(TorchFunctionMode):
    """Do in double precision whatever is written for single precision."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call with tensors of double precision; asking for single precision gives double."""
        if function is torch.Tensor.float:
            return args[0].double()
        if function is torch.Tensor.double or function.__name__ in ("__get__", "__set__"):
            return function(*args, **(kwargs or {}))
        args, kwargs = tree_map(
            lambda value: value.double() if is_single(value) else value, (args, kwargs or {})
        )
        return function(*args, **kwargs)


def is_single(value):
    """Whether a value is a tensor of single precision."""
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def require_equal(kind, folder, widths):
    """Assert that both steps have the same losses and gradients.

    In double precision on networks of these widths, in single precision on narrow ones.
    """
    crop = CropConfig(1.0, 1.5)
    ours, peer = pair(kind, folder / "double", batch=8, widths=widths, crop=crop)
    for network in (*ours.task.networks.values(), *peer.networks.values()):
        network.double()
    with Double():
        double = compare(ours, peer)
    size = {"batch": 16, "widths": NARROW, "crop": CropConfig(0.4, 0.5)}
    single = compare(*pair(kind, folder / "single", comparable=True, **size))
    for (losses, gradients), tolerance in ((double, 1e-6), (single, TOLERANCE)):
        # Of the joint losses, those on meshes are differences of large numbers.
        assert losses < 5 * tolerance, f"{kind}: losses differ by {losses}"
        assert gradients < tolerance, f"{kind}: gradients differ by {gradients}"


def rows():
    """Supervised, adversarial and joint steps, in float32 and in bfloat16."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    widths = Widths()
    for kind, batch in KINDS.items():
        for precision, name in (("32-true", "float32"), ("bf16-mixed", "bfloat16")):
            place = Path(folder.name) / kind / name
            if precision == "32-true":
                require_equal(kind, place, widths)
            ours = pair(kind, place, batch=batch, widths=widths, precision=precision)[0]
            peer = Apart(kind, place / "peer", batch)
            with keeping_freed_memory(torch.device("cpu")):
                yield Row(
                    f"{kind} step, {name}", ours, peer, "literal port, float32", batch, "samples"
                )
            del ours, peer
