"""``v2m evaluate``: predicted faces judged: trained weights on a world, or files of faces."""

from v2mlib.commands import json_line, results_on_stdout, say

_EXAMPLES = """
  v2m evaluate --data world --model phantom --out tables
  v2m evaluate --faces ict --references truth.npz --predictions ours=ours.csv \\
               --predictions theirs=meshes/ --out tables

Files of faces: .npz (identity, and shape_coefficients or vertices in mm), .csv or .parquet
(columns identity, perhaps sex, and one per coefficient), or a folder of meshes
(IDENTITY.obj, or IDENTITY/NAME.obj for several utterances; .ply and .glb too)."""


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    import argparse

    parser = subparsers.add_parser(
        "evaluate",
        help="judge predicted faces beside baselines and ceiling",
        description=(
            "Judge trained weights on the identities of a world, beside the mean face, the "
            "sex-mean face, ridge regression on Praat features, and the ceiling; or predicted "
            "faces in files against reference faces in files, beside the mean face. Ratio "
            "errors, landmarks, lengths, distances of vertices and registered surfaces, with "
            "intervals over identities, and the published figures beside them."
        ),
        epilog="examples:" + _EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="DIR", help="a world, as v2m data makes it")
    source.add_argument("--references", metavar="FILE", help="reference faces, instead of a world")
    add(
        "--model",
        action="append",
        metavar="M",
        help="weights: a name or a file; give it again for more (phantom)",
    )
    add("--split", default="test", choices=("test", "validation"), help="whose faces (test)")
    add(
        "--predictions",
        action="append",
        metavar="NAME=FILE",
        help="predicted faces of a method; give it again for more",
    )
    add("--faces", default="phantom", metavar="F", help="face model of the files (phantom)")
    add(
        "--baseline",
        default="mean_face",
        metavar="NAME",
        help="method that the others are compared with (mean_face)",
    )
    add(
        "--measures",
        metavar="LIST",
        help="of are,nme,lines,vertex,rmse (all); rmse registers every face and takes longest",
    )
    add("--no-icp", action="store_true", help="leave out rmse")
    add("--out", metavar="DIR", help="folder for tables (CSV, LaTeX) and figures (PNG, SVG)")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(options):
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib import evaluating
    from v2mlib.evaluation_output import write_evaluation
    from v2mlib.predicting import prepare_folder

    with results_on_stdout() as stdout:
        common = {
            "measures": evaluating.chosen_measures(options.measures, no_icp=options.no_icp),
            "baseline": options.baseline,
        }
        out = prepare_folder(options.out)[0] if options.out else None
        if options.data:
            _refuse(options.predictions, "--predictions", "--references")
            models = options.model or ["phantom"]
            found = evaluating.judge_world(options.data, models, split=options.split, **common)
        else:
            _refuse(options.model, "--model", "--data")
            files = _named(options.predictions)
            found = evaluating.judge_files(options.references, files, options.faces, **common)
        if out:
            files = write_evaluation(
                out, found.errors, found.summary, found.per_utterance, data=found.title,
                skills=found.skills, words=found.words, baseline=found.baseline,
            )  # fmt: skip
            say(f"{out}: {', '.join(files)}")
    if options.json:
        print(json_line(_shown(options, found)), file=stdout)
        return
    if found.skills is not None:
        table = evaluating.text_table(found.skills, title=found.title, words=found.words)
        print(table, end="\n\n", file=stdout)
    print(evaluating.summary_text(found), file=stdout)


def _shown(options, found):
    from v2mlib import __version__

    shown = {"data": options.data or options.references, "label": found.title}
    shown |= {"version": __version__, "baseline": found.baseline}
    if options.data:
        shown |= {"world": found.world, "split": options.split}
        shown["skills"] = None if found.skills is None else found.skills.to_dict("records")
    return shown | {"summary": found.summary.to_dict("records")}


def _refuse(given, option, other):
    from v2mlib.checks import InputError

    if given:
        raise InputError(option, f"goes with {other}", "see v2m evaluate --help")


def _named(predictions):
    """Files by method from NAME=FILE."""
    from v2mlib.checks import InputError

    files = {}
    for given in predictions or []:
        name, equals, path = given.partition("=")
        if not (name and equals and path):
            raise InputError(f"--predictions {given}", "is not NAME=FILE", "name the method")
        if name in files:
            raise InputError(f"method {name}", "is given twice", "choose another name")
        files[name] = path
    if not files:
        raise InputError("--references", "stands alone", "add --predictions NAME=FILE")
    return files
