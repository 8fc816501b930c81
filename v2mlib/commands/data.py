"""``v2m data``: paired voices and faces on disk."""

from v2mlib.commands import json_line, results_on_stdout


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "data", help="make paired voices and faces", description="Make paired voices and faces."
    )
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    phantom = kinds.add_parser(
        "phantom",
        help="a synthetic population whose voice-face link is known",
        description=(
            "Make a synthetic population in the folder layout of the real data: wav/, faces/, "
            "vox1_meta.csv, and truth/ with what only a synthetic world knows. Stopped and "
            "started again, it goes on; the same seed makes the same world."
        ),
    )
    phantom.add_argument("--out", required=True, metavar="DIR", help="folder of the world")
    phantom.add_argument(
        "--size",
        default="tutorial",
        choices=("tiny", "tutorial", "paper"),
        help="seconds, minutes, or the paper's 1,225 identities (tutorial)",
    )
    phantom.add_argument(
        "--world",
        default="default",
        choices=("default", "sex_only", "null"),
        help="voice tells the face / the sex only / nothing (default)",
    )
    phantom.add_argument("--seed", type=int, default=0, metavar="N", help="of the population (0)")
    phantom.add_argument("--json", action="store_true", help="one JSON object on stdout")
    phantom.set_defaults(run=run_phantom)


def run_phantom(options):
    """Run ``v2m data phantom``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.datasets import load_world
    from v2mlib.phantom import make_world
    from v2mlib.predicting import prepare_folder

    with results_on_stdout() as stdout:
        prepare_folder(options.out)
        make_world(options.size, options.out, world=options.world, seed=options.seed)
        world = load_world(options.out)
    counts = {
        "identities": len(world.identities),
        "utterances": len(world.utterances),
        "photos": len(world.photos),
    }
    if options.json:
        shown = {"folder": options.out, "world": options.world, "size": options.size}
        print(json_line(shown | {"seed": options.seed} | counts), file=stdout)
    else:
        print(", ".join(f"{n:,} {what}" for what, n in counts.items()), "in", options.out)
