"""``v2m app``: the quickstart as a small web page."""

from v2mlib.commands import say


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "app",
        help="a web page: record or choose a voice, see the face",
        description=(
            "Serve a web page on which visitors record or choose a voice and see the predicted "
            "face beside the mean face. Only this machine can open it, unless --host says "
            "otherwise. Every visitor has a Python process of their own (about 500 MB), which "
            "ends with the page or after half an hour of silence. Ctrl-C stops everything."
        ),
        epilog="The shipped weights are trained on synthetic people: the faces they predict are "
        "synthetic and say nothing about the real speaker.",
    )
    add = parser.add_argument
    add("--port", type=int, default=8866, metavar="N", help="0: any that is free (8866)")
    add("--host", default="127.0.0.1", metavar="H", help="address to listen on (127.0.0.1)")
    add("--model", default="phantom", metavar="M", help="weights: a name or a file (phantom)")
    add("--max-upload-mb", type=float, default=20.0, metavar="MB", help="largest recording (20)")
    add("--max-visitors", type=int, default=8, metavar="N", help="at once (8)")
    add(
        "--idle-minutes",
        type=float,
        default=30.0,
        metavar="MIN",
        help="a visitor who does nothing for so long is forgotten (30)",
    )
    add("--no-browser", action="store_true", help="do not open the page")
    parser.set_defaults(run=run)


def run(options):
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.checks import InputError

    try:
        from v2mlib.app.server import AppConfig, serve
    except ModuleNotFoundError as error:
        if error.name != "voila":
            raise
        raise InputError(
            "the web page", "needs Voilà, which is not installed", "pip install 'v2mlib[app]'"
        ) from None
    from v2mlib.models import Voice2Mesh

    model = Voice2Mesh.load(options.model)  # better refused here than to every visitor
    settings = AppConfig(
        model=options.model, host=options.host, port=options.port,
        max_upload_mb=options.max_upload_mb, max_visitors=options.max_visitors,
        idle_s=round(60 * options.idle_minutes), open_browser=not options.no_browser,
        synthetic=model.card.get("data", {}).get("kind") == "phantom",
    )  # fmt: skip
    if not settings.is_local:
        say(
            f"v2m: warning: --host {settings.host} lets everybody who reaches this machine use "
            "the page, without password or encryption. Browsers offer the microphone only on "
            "https or localhost: put a server with https before it."
        )

    def ready(address):
        say(f"v2m: the page is at {address} (Ctrl-C stops it)")

    serve(settings, ready=ready)
    say("v2m: stopped")
