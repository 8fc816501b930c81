"""``v2m faces``: the morphable face models on this machine."""

from v2mlib.commands import json_line, results_on_stdout


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    parser = subparsers.add_parser(
        "faces",
        help="add, list and show face models",
        description="Add, list and show the morphable face models on this machine.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    add = actions.add_parser(
        "add",
        help="read a downloaded model and keep it under a name",
        description=(
            "Read a downloaded face model (ICT-FaceKit, the BFM forms, Surrey), check and "
            "convert it, and keep it under a name that --faces and load_face_model know."
        ),
    )
    add.add_argument("name", metavar="NAME", help="what it is to be called, for instance ict")
    add.add_argument("path", metavar="PATH", help="file or folder of the download")
    add.add_argument("--json", action="store_true", help="one JSON object on stdout")
    add.set_defaults(run=run_add)

    listing = actions.add_parser(
        "list", help="all models by name", description="All face models by name."
    )
    listing.add_argument("--json", action="store_true", help="one JSON object on stdout")
    listing.set_defaults(run=run_list)

    show = actions.add_parser(
        "show",
        help="what a model holds, and a picture",
        description="What a face model holds, and a picture of its mean face.",
    )
    show.add_argument("name", metavar="NAME", help="name, file or folder of a model")
    show.add_argument("--out", metavar="PNG", help="picture: mean face from three sides")
    show.add_argument("--json", action="store_true", help="one JSON object on stdout")
    show.set_defaults(run=run_show)


def run_add(options):
    """Run ``v2m faces add``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.faces.registry import add_face_model, describe_face_model

    with results_on_stdout() as stdout:
        model = add_face_model(options.name, options.path)
    shown = {"name": options.name} | describe_face_model(model)
    if options.json:
        print(json_line(shown), file=stdout)
    else:
        print(f"{options.name}: {_counts(shown)}", file=stdout)


def run_list(options):
    """Run ``v2m faces list``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.faces.registry import list_face_models

    rows = list_face_models().to_dict("records")
    if options.json:
        print(json_line(rows))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        said = f"cannot be used: {row['problem']}" if row.get("problem") else _counts(row)
        print(f"{row['name']:<{width}}  {row['source']:<8}  {said}")


def run_show(options):
    """Run ``v2m faces show``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.faces import load_face_model
    from v2mlib.faces.registry import describe_face_model

    with results_on_stdout() as stdout:
        model = load_face_model(options.name)
        shown = {"name": options.name} | describe_face_model(model)
        if options.out:
            _draw(model, options.out)
            shown["picture"] = options.out
    if options.json:
        print(json_line(shown), file=stdout)
        return
    print(f"{options.name}: {_counts(shown)}", file=stdout)
    print(f"landmarks: {shown['n_landmarks']} of 68; regions: {', '.join(shown['regions'])}")
    print("expressions:", ", ".join(shown["expression_names"]) or "unnamed")
    print("line (corrected)     mean mm   sd mm")
    for line in shown["lines"]:
        print(f"{line['name']:<20} {line['mean_mm']:7.1f} {line['sd_mm']:7.1f}")
    for name, reason in shown["absences"].items():
        print(f"absent: {name} ({reason})")
    if options.out:
        print(options.out)


def _counts(row):
    return (
        f"{row['title']}, topology {row['topology']}, {row['n_vertices']:,} vertices, "
        f"{row['n_shape']} shape and {row['n_expression']} expression coefficients"
    )


def _draw(model, path):
    """Write the mean face from three sides as a PNG."""
    from pathlib import Path

    from PIL import Image

    from v2mlib.checks import InputError
    from v2mlib.faces.rendering import contact_sheet, render
    from v2mlib.files import atomic

    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(path, "is not a PNG name", "end it in .png")
    views = [
        render(
            model.mean.numpy(),
            model.triangles.numpy(),
            colours=None if model.colours is None else model.colours.numpy(),
            camera=camera,
            size=(480, 400),
        )
        for camera in ("front", "three_quarter", "profile")
    ]
    try:
        with atomic(path) as partial:
            Image.fromarray(contact_sheet(views, columns=3, gap=0)).save(partial)
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror or error})", "choose another --out"
        ) from None
