"""``v2m data landmark-weights``: fetch the weights of a landmark engine, on request only."""


def add_parser(kinds):
    """Add the command's parser.

    Parameters
    ----------
    kinds : argparse subparsers action
        Of the ``v2m data`` parser.
    """
    parser = kinds.add_parser(
        "landmark-weights",
        help="fetch the weights of the landmark engine fan",
        description=(
            "Fetch the weights of face-alignment (3D-FAN and its face detector, about 180 MB) "
            "from their authors, check them, and put them where face-alignment looks. Nothing "
            "else in v2mlib fetches anything."
        ),
    )
    parser.set_defaults(run=run)


def run(options):
    """Run ``v2m data landmark-weights``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.photos.fan_weights import fetch_fan_files

    for path in fetch_fan_files():
        print(path)
