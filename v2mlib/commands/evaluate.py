"""``v2m evaluate``: trained weights judged on a world."""

from v2mlib.commands import json_line, results_on_stdout, say


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "evaluate",
        help="judge trained weights beside baselines and ceiling",
        description=(
            "Judge trained weights on the test identities of a world, beside the mean face, the "
            "sex-mean face, ridge regression on Praat features, and the ceiling."
        ),
    )
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="a world, as v2m data makes it")
    add(
        "--model",
        action="append",
        metavar="M",
        help="weights: a name or a file; give it again for more (phantom)",
    )
    add("--split", default="test", choices=("test", "validation"), help="whose faces (test)")
    add("--out", metavar="DIR", help="folder for scores.parquet and skills.csv")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(options):
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.datasets import load_world
    from v2mlib.evaluating import METHODS, predict_methods, text_table
    from v2mlib.files import atomic
    from v2mlib.metrics.scoring import score_methods
    from v2mlib.metrics.skill import skill_table
    from v2mlib.models import Voice2Mesh
    from v2mlib.predicting import prepare_folder

    with results_on_stdout() as stdout:
        models = {name: Voice2Mesh.load(name) for name in options.model or ["phantom"]}
        world = load_world(options.data)
        out = prepare_folder(options.out)[0] if options.out else None
        predictions = predict_methods(world, models, split=options.split)
        scores = score_methods(world, predictions, split=options.split)
        skills = skill_table(scores, world=world.config["world"])
        if out:
            with atomic(out / "scores.parquet") as partial:
                scores.to_parquet(partial)
            with atomic(out / "skills.csv") as partial:
                skills.to_csv(partial, index=False)
            say(f"tables: {out}")
    if options.json:
        shown = {"data": options.data, "world": world.config["world"], "split": options.split}
        print(json_line(shown | {"skills": skills.to_dict("records")}), file=stdout)
    else:
        words = {name: words for name, words in METHODS.items() if name not in models}
        title = f"{world.config['world']} world, {options.split}"
        print(text_table(skills, title=title, words=words), file=stdout)
