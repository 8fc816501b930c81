"""``v2m predict``: faces for recordings."""

from v2mlib.commands import json_line, results_on_stdout, say


def _formats(text):
    return tuple(dict.fromkeys(part.strip().lower().lstrip(".") for part in text.split(",")))


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "predict",
        help="predict a face for each recording",
        description=(
            "Predict a face for each recording: a mesh, its coefficients (json) and a picture "
            "(png) per recording, and one page, index.html, with rotatable faces. A recording "
            "that cannot be used is named with the reason; the others are done, and the exit "
            "code is 1."
        ),
        epilog="The shipped weights are trained on synthetic people: the faces they predict are "
        "synthetic and say nothing about the real speaker.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="wav, flac, ogg, mp3, ...")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--model", default="phantom", metavar="M", help="weights: a name or a file (phantom)"
    )
    parser.add_argument(
        "--faces", metavar="NAME", help="face model to decode into, where the weights allow it"
    )
    parser.add_argument(
        "--format",
        dest="formats",
        type=_formats,
        default=("glb",),
        metavar="F[,F]",
        help="mesh formats: glb, obj, ply, stl; several with commas (glb)",
    )
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
        Exit code: 1 if any recording could not be used.
    """
    from v2mlib.predicting import predict_files

    with results_on_stdout() as stdout:
        outcome = predict_files(
            options.files,
            options.out,
            model=options.model,
            faces=options.faces,
            formats=options.formats,
        )
    for failure in outcome.failures:
        say(f"v2m: {failure.problem}")
    for prediction in outcome.predictions:
        for remark in prediction.remarks:
            say(f"v2m: note: {remark}")
    if options.json:
        shown = {
            "predictions": [
                {"file": p.file, "name": p.name, "outputs": p.outputs, "remarks": p.remarks}
                for p in outcome.predictions
            ],
            "failures": [failure._asdict() for failure in outcome.failures],
            "page": outcome.page,
            "disclaimers": outcome.disclaimers,
        }
        print(json_line(shown), file=stdout)
    else:
        for prediction in outcome.predictions:
            print(f"{prediction.file} -> {', '.join(prediction.outputs)}", file=stdout)
        if outcome.page:
            print(f"{outcome.page}", file=stdout)
            say(*(f"\n{text}" for text in outcome.disclaimers))
    return 1 if outcome.failures else 0
