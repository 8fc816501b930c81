"""``v2m doctor``: is this installation sound?"""


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "doctor",
        help="check this installation, mend what can be mended",
        description="Check this installation; exit code 1 if something is at fault.",
    )
    parser.add_argument("--repair", action="store_true", help="mend what is known how to mend")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(options):
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.

    Returns
    -------
    int
        Exit code.
    """
    from v2mlib import doctor

    chosen = [f"--{name}" for name in ("repair", "json") if getattr(options, name)]
    return doctor.main(chosen)
