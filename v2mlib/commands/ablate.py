"""``v2m ablate``: all distillation methods over several seeds (Table 5)."""

from v2mlib.commands import json_line, results_on_stdout, say


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "ablate",
        help="compare the distillation methods over several seeds",
        description=(
            "Train generator and student jointly with every distillation method and every seed, "
            "from the same start, and judge them on the test identities beside the mean faces, "
            "the cascade that was never joined, and voices dealt to others: Table 5 with "
            "intervals, and tests whether the methods differ at all. Stopped and started again, "
            "it goes on."
        ),
    )
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="a world or data set with photographs")
    add("--out", required=True, metavar="DIR", help="folder of the runs, tables and figures")
    add("--start", metavar="DIR", help="finished adversarial training to start all runs from")
    add("--teacher", default="phantom", metavar="M", help="image-to-face weights (phantom)")
    add("--methods", metavar="LIST", help="of vanilla,attention,similarity,... (all eight)")
    add("--seeds", type=int, default=3, metavar="N", help="how many: 0 to N-1 (3)")
    add("--steps", type=int, metavar="N", help="joint updates of each run (600)")
    add("--batch-size", type=int, metavar="N", help="voices per update (32)")
    add("--student-width", type=float, metavar="X", help="factor on the student's channels (0.5)")
    add(
        "--weighting",
        choices=("equal", "one"),
        help="each method's gradient as long as Eq. 3's at the start, or factor 1 (equal)",
    )
    add("--workers", type=int, default=1, metavar="N", help="processes here (1)")
    add("--scheduler", metavar="ADDRESS", help="of a Dask cluster, tcp://HOST:8786")
    add("--keep", action="store_true", help="keep the networks of finished runs")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(options):
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from pathlib import Path

    from v2mlib.ablation_output import ablation_text, write_ablation_tables
    from v2mlib.checks import InputError
    from v2mlib.datasets import load_data
    from v2mlib.fitting.ablation import run_ablation
    from v2mlib.models.image_to_face import ImageToFace
    from v2mlib.predicting import prepare_folder

    with results_on_stdout() as stdout:
        if options.seeds < 1 or options.workers < 1:
            raise InputError("--seeds and --workers", "are 1 or more", "raise them")
        config, world = _config(options), load_data(options.data)
        out = Path(prepare_folder(options.out)[0])
        encoder = _encoder(world, out / "encoder", options.start)
        found = run_ablation(
            world,
            encoder,
            ImageToFace.load(options.teacher),
            out=out,
            config=config,
            start_from=options.start,
            workers=options.workers,
            spread=_spread(out, options.scheduler) if options.scheduler else None,
        )
        data = f"{_named(world)}, {config.training.engine.n_steps} joint steps"
        written = write_ablation_tables(out, found, config.methods, data=data)
        say(f"{out}: {', '.join(written['files'])}")
    if options.json:
        shown = {"data": options.data, "label": data, "out": out}
        shown |= {"methods": config.methods, "seeds": config.seeds}
        tables = {name: written[name].to_dict("records") for name in ("tests", "pairs", "summary")}
        print(json_line(shown | tables), file=stdout)
    else:
        print(ablation_text(written["summary"], written["tests"], data=data), file=stdout)


def _config(options):
    """Only what was asked for differs from the library's defaults."""
    import dataclasses

    from v2mlib.fitting.ablation_config import AblationConfig

    config = AblationConfig(seeds=tuple(range(options.seeds)), keep_networks=options.keep)
    training = config.training
    adversarial = training.adversarial
    if options.steps is not None:
        engine = dataclasses.replace(
            adversarial.engine, n_steps=options.steps, validate_every=max(options.steps, 1)
        )
        adversarial = dataclasses.replace(adversarial, engine=engine)
    if options.batch_size is not None:
        adversarial = dataclasses.replace(adversarial, batch_size=options.batch_size)
    training = dataclasses.replace(training, adversarial=adversarial)
    if options.student_width is not None:
        training = dataclasses.replace(training, student_width=options.student_width)
    config = dataclasses.replace(config, training=training)
    if options.methods:
        names = tuple(name.strip() for name in options.methods.split(","))
        config = dataclasses.replace(config, methods=names)
    if options.weighting:
        config = dataclasses.replace(config, weighting=options.weighting)
    return config


def _encoder(world, folder, start):
    """Take the voice encoder of the start, or pretrain one on this world's names."""
    if start is not None:
        from v2mlib.fitting.joint_start import AdversarialRun

        return AdversarialRun.read(start).encoder
    from v2mlib.fitting import pretrain_encoder

    return pretrain_encoder(world, out=folder).encoder.eval()


def _named(world):
    made = world.config
    if "world" in made:
        return f"{made['world']} phantom, seed {made.get('seed')}"
    return str(world.folder)


def _spread(out, scheduler):
    """Do the runs on a cluster."""
    from v2mlib.building.cluster import workers

    def spread(function, jobs):
        with workers(out, scheduler=scheduler, n_jobs=len(jobs)) as cluster:
            yield from cluster.run(function, jobs)

    return spread
