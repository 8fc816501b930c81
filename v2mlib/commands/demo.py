"""``v2m demo``: the main job, on the phantom population."""

from v2mlib.commands import json_line, results_on_stdout, say


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "demo",
        help="the main job: build a population, train, evaluate, report",
        description=(
            "Build a synthetic population whose voice-face link is known, train Voice2Mesh on "
            "it, and judge it on people it never heard, beside the mean face, the sex-mean face, "
            "ridge regression on Praat features, and the best attainable. Writes a report with "
            "rotatable faces (report.html), figures and tables. What is finished is reused; "
            "stopped and started again, it goes on."
        ),
        epilog="The voice-face link of this population is deliberately strong: the figures show "
        "that the method finds a link, not how much a real voice tells.",
    )
    parser.add_argument(
        "--world",
        default="default",
        choices=("default", "sex_only", "null"),
        help="voice tells the face / the sex only / nothing (default)",
    )
    parser.add_argument(
        "--size",
        default="tutorial",
        choices=("tutorial", "tiny"),
        help="minutes, or seconds with figures that mean nothing (tutorial)",
    )
    parser.add_argument(
        "--out", default="demo", metavar="DIR", help="a folder per world and size in it (demo)"
    )
    parser.add_argument(
        "--json", action="store_true", help="one line of JSON as the last line of stdout"
    )
    parser.set_defaults(run=run)


def run(options):
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.demo import run_demo
    from v2mlib.evaluating import text_table

    with results_on_stdout() as stdout:
        result = run_demo(world=options.world, size=options.size, out=options.out, announce=say)
        title = f"{options.world} world, {options.size}"
        say(f"\n{text_table(result.skills, title=title)}\n\nreport: {result.report}")
    if options.json:
        print(json_line(result.summary), file=stdout, flush=True)
