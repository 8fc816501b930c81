"""``v2m train``: weights from voices, and faces or photographs."""

from v2mlib.commands import json_line, results_on_stdout, say, train_unsupervised


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "train",
        help="train on voices with faces or photographs",
        description="Train on voices with reference faces, or with photographs of the speakers.",
    )
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    supervised = kinds.add_parser(
        "supervised",
        help="coefficients regressed on voices",
        description=(
            "Train Voice2Mesh with reference faces as teachers. Validation identities, drawn "
            "from the training names, decide which weights are kept; test identities are not "
            "touched. Stopped and started again, it goes on to the identical result."
        ),
    )
    add = supervised.add_argument
    add("--data", required=True, metavar="DIR", help="a world or data set that v2m data made")
    add("--out", required=True, metavar="DIR", help="folder of the run; model.safetensors in it")
    add(
        "--size",
        default="tutorial",
        choices=("tiny", "tutorial", "paper"),
        help="schedule: seconds / minutes / the paper's 50,000 updates of 128 crops (tutorial)",
    )
    add(
        "--variant",
        default="end_to_end",
        choices=("end_to_end", "pretrained", "finetuned"),
        help="encoder learns from faces / from identities, then frozen / then goes on (end_to_end)",
    )
    add(
        "--loss",
        choices=("coefficients", "ratios"),
        help="squared error of coefficients (Eq. 2) or mainly of the four ratios",
    )
    add("--steps", type=int, metavar="N", help="updates")
    add("--batch-size", type=int, metavar="N", help="crops per update")
    add("--learning-rate", type=float, metavar="X", help="highest learning rate")
    add("--precision", choices=("auto", "32-true", "bf16-mixed"), help="of the arithmetic")
    add("--device", metavar="D", help="auto, cpu, cuda, ... (auto)")
    add("--devices", type=int, metavar="N", help="how many (1)")
    add("--seed", type=int, metavar="N", help="of everything random (0)")
    add("--json", action="store_true", help="one JSON object on stdout")
    supervised.set_defaults(run=run_supervised)
    train_unsupervised.add_parser(kinds)


def run_supervised(options):
    """Run ``v2m train supervised``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.datasets import load_data
    from v2mlib.fitting import train_supervised

    with results_on_stdout() as stdout:
        config = _config(options)
        world = load_data(options.data)
        model, training = train_supervised(world, out=options.out, config=config)
    if training.speed:
        say(training.speed.text())
    shown = {
        "weights": training.folder / "model.safetensors",
        "variant": options.variant,
        "steps": int(training.history["step"].max()),
        "best_step": training.best_step,
        **model.card["metrics"],
    }
    if options.json:
        print(json_line(shown), file=stdout)
    else:
        for name, value in shown.items():
            print(f"{name}: {value}", file=stdout)


def _config(options):
    """Only what was asked for differs from the library's defaults."""
    import dataclasses

    from v2mlib.fitting.supervised import SIZES

    def given(**names):
        chosen = {name: getattr(options, option) for name, option in names.items()}
        return {name: value for name, value in chosen.items() if value is not None}

    config = SIZES[options.size]
    engine = given(
        n_steps="steps", precision="precision", device="device", n_devices="devices", seed="seed"
    )
    own = given(loss="loss", batch_size="batch_size", learning_rate="learning_rate")
    return dataclasses.replace(
        config,
        variant=options.variant,
        engine=dataclasses.replace(config.engine, profile=True, **engine),
        **own,
    )
