"""``v2m train unsupervised``: voices and photographs, without paired faces."""

from v2mlib.commands import json_line, results_on_stdout, say

_METHODS = ("vanilla", "attention", "similarity", "correlation", "rkd", "crd", "vid", "pkt")
_SIZES = ("tiny", "tutorial", "paper")
#: What every training of the command is run with, by the engine's names.
_MACHINE = {
    "precision": "precision",
    "device": "device",
    "n_devices": "devices",
    "seed": "seed",
}


def add_parser(kinds):
    """Add the command's parser.

    Parameters
    ----------
    kinds : argparse subparsers action
        Of ``v2m train``.
    """
    parser = kinds.add_parser(
        "unsupervised",
        help="from voices and photographs, without paired faces",
        description=(
            "Train Voice2Mesh without reference faces: a generator learns to draw faces for "
            "voices against a critic that knows photographs of the speakers, and a student "
            "learns to read the drawn images from a frozen teacher. The state after the last "
            "step is kept; no true face is looked at. Stopped and started again, it goes on to "
            "the identical result."
        ),
    )
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="a world or data set with photographs")
    add("--out", required=True, metavar="DIR", help="folder of the run; model.safetensors in it")
    add("--size", default="tutorial", choices=_SIZES, help="networks and schedule (tutorial)")
    add(
        "--distillation",
        choices=_METHODS,
        metavar="NAME",
        help=f"how features are taught: {', '.join(_METHODS)} (pkt)",
    )
    add("--released", action="store_true", help="losses of the released code, not the paper's")
    add(
        "--truth",
        choices=("drawn", "photographs"),
        help="the teacher reads the drawn image (Eq. 3), or the speaker's photographs (drawn)",
    )
    add(
        "--teacher",
        default="phantom",
        metavar="M",
        help="image-to-face weights, or the folder of 3DDFA-V2 (phantom)",
    )
    add(
        "--encoder",
        metavar="M",
        help="a Voice2Mesh whose voice encoder to use; else it is pretrained on the data",
    )
    add("--start-from", metavar="RUN", help="a finished adversarial training to go on from")
    add(
        "--gan-steps",
        type=int,
        metavar="N",
        help="updates of generator and critic alone, first, in OUT/generator (0)",
    )
    add("--steps", type=int, metavar="N", help="updates of the joint training")
    add("--batch-size", type=int, metavar="N", help="voices per update")
    add("--learning-rate", type=float, metavar="X", help="of Adam")
    add("--precision", choices=("auto", "32-true", "bf16-mixed"), help="of the arithmetic")
    add("--device", metavar="D", help="auto, cpu, cuda, ... (auto)")
    add("--devices", type=int, metavar="N", help="how many (1)")
    add("--seed", type=int, metavar="N", help="of everything random (0)")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(options):
    """Run ``v2m train unsupervised``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from pathlib import Path

    from v2mlib.datasets import load_data
    from v2mlib.fitting.joint_teacher import load_teacher
    from v2mlib.fitting.unsupervised import train_unsupervised

    with results_on_stdout() as stdout:
        out, start = Path(options.out), options.start_from
        config, teacher = _config(options), load_teacher(options.teacher)
        world = load_data(options.data)
        encoder = _encoder(options, world, out)
        if options.gan_steps:
            start = _train_generator(options, world, encoder, config, out / "generator")
        trained = train_unsupervised(
            world, encoder, teacher, out=out, config=config, start_from=start
        )
        history, speed = trained.training.history, trained.training.speed
    if speed:
        say(speed.text())
    shown = {
        "weights": out / "model.safetensors",
        "distillation": config.distillation,
        "steps": int(history["step"].max()),
        "disagreement": float(history["validation_disagreement"].iloc[-1]),
    }
    if options.json:
        print(json_line(shown), file=stdout)
    else:
        for name, value in shown.items():
            print(f"{name}: {value}", file=stdout)


def _config(options):
    """Only what was asked for differs from the chosen size."""
    import dataclasses

    from v2mlib.checks import InputError
    from v2mlib.fitting.joint_start import AdversarialRun
    from v2mlib.fitting.unsupervised import RELEASED, SIZES

    if options.start_from and options.gan_steps:
        raise InputError(
            "--gan-steps", "begins a training, --start-from goes on from one", "choose one of them"
        )

    config = SIZES[options.size]
    adversarial, lessons = config.adversarial, config.lessons
    if options.start_from:
        widths = AdversarialRun.read(options.start_from).widths
        adversarial = dataclasses.replace(adversarial, **widths)
    engine = _given(options, n_steps="steps", **_MACHINE)
    adversarial = dataclasses.replace(
        adversarial,
        engine=dataclasses.replace(config.engine, profile=True, **engine),
        **_given(options, batch_size="batch_size", learning_rate="learning_rate"),
    )
    if options.released:
        lessons = RELEASED.lessons
    changes = _given(options, distillation="distillation", truth="truth")
    lessons = dataclasses.replace(lessons, **changes)
    return dataclasses.replace(config, adversarial=adversarial, lessons=lessons)


def _given(options, **names):
    """Settings that were asked for, by the configuration's names."""
    chosen = {name: getattr(options, option) for name, option in names.items()}
    return {name: value for name, value in chosen.items() if value is not None}


def _encoder(options, world, out):
    """The voice encoder: the one given, that of the run to go on from, or a fresh one."""
    import dataclasses

    from v2mlib.fitting.joint_start import AdversarialRun
    from v2mlib.fitting.pretraining import pretrain_encoder
    from v2mlib.fitting.supervised import SIZES
    from v2mlib.models import Voice2Mesh

    if options.encoder:
        return Voice2Mesh.load(options.encoder).encoder
    if options.start_from:
        return AdversarialRun.read(options.start_from).encoder
    config = SIZES[options.size].pretraining
    engine = dataclasses.replace(config.engine, **_given(options, **_MACHINE))
    config = dataclasses.replace(config, engine=engine)
    return pretrain_encoder(world, out=out / "encoder", config=config).encoder


def _train_generator(options, world, encoder, config, out):
    """Train generator and critic alone; the folder of the run."""
    import dataclasses

    from v2mlib.fitting.adversarial import train_adversarial

    engine = dataclasses.replace(config.engine, n_steps=options.gan_steps)
    adversarial = dataclasses.replace(config.adversarial, engine=engine)
    train_adversarial(world, encoder, out=out, config=adversarial)
    return out
