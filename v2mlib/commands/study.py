"""``v2m study``: build a preference study, see how far it is, analyse its answers."""

from v2mlib.commands import json_line, results_on_stdout, say

_EXAMPLES = """examples:
  v2m study build --out study
  v2m study build --faces ict --reference truth.npz --predictions ours=ours.npz theirs=meshes/ \\
                  --out study
  v2m study status study
  v2m study analyse study
  v2m study analyse simulated        (the simulated study that comes with the package)

Without files, the shipped predictions on the phantom are compared. Participants answer in a
notebook:  import v2mlib as v2m; v2m.study.run_study("study")"""


def add_parser(subparsers):
    """Add the command's parser.

    Parameters
    ----------
    subparsers : argparse subparsers action
        Of the ``v2m`` parser.
    """
    import argparse

    parser = subparsers.add_parser(
        "study",
        help="which of two methods do people prefer?",
        description="Preference studies: build one, see how far it is, analyse its answers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(metavar="ACTION", required=True)
    _add_build(kinds)
    status = kinds.add_parser("status", help="who has answered how much",
                              description="Who has answered how much.")  # fmt: skip
    status.add_argument("folder", metavar="DIR", help="the study")
    status.add_argument("--json", action="store_true", help="one JSON object on stdout")
    status.set_defaults(run=run_status)
    _add_analyse(kinds)


def _add_build(kinds):
    parser = kinds.add_parser(
        "build",
        help="choose people, draw their faces",
        description=(
            "Build a study: people are drawn at random from a seed, their faces are rendered "
            "once, and study.json says which picture is whose. Order and sides are each "
            "participant's own. Edit consent.md before anybody answers."
        ),
    )
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder to make, new or empty")
    add(
        "--predictions",
        nargs=2,
        metavar=("A", "B"),
        default=("supervised", "pretrained"),
        help="two methods: NAME=FILE (.npz, .csv, folder of meshes), or names among the shipped "
        "predictions (supervised pretrained); A is the one whose preference is asked about",
    )
    add("--reference", metavar="FILE", help="reference faces, where --predictions are files")
    add("--faces", default="phantom", metavar="F", help="face model of the files (phantom)")
    add(
        "--images",
        nargs=3,
        metavar=("A", "B", "REF"),
        help="folders of IDENTITY.png or .jpg, for sections images and both",
    )
    add(
        "--sections",
        nargs="+",
        metavar="S",
        help="of images, views, models, both (images models both where there are images, else "
        "views models)",
    )
    add("--items", type=int, default=10, metavar="N", help="questions per section (10)")
    add("--checks", type=int, default=1, metavar="N", help="attention checks per section (1)")
    add("--question", metavar="TEXT", help="what is asked")
    add("--seed", type=int, default=0, metavar="N", help="of people, orders and sides (0)")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run_build)


def _add_analyse(kinds):
    parser = kinds.add_parser(
        "analyse",
        help="what the answers say",
        description=(
            "Analyse the answers: the published exact test, a cluster bootstrap over people and "
            "questions, a mixed logistic model, breakdowns, order and attention checks."
        ),
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help='the study, a .csv of answers, or "simulated"')
    add("--out", metavar="DIR", help="folder for tables and figures (DIR/results of a study)")
    add("--level", type=float, default=0.001, metavar="X", help="of the exact test (0.001)")
    add(
        "--attention",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="leave out who passes less than this share of checks (0: nobody)",
    )
    add("--no-mixed", action="store_true", help="leave out the mixed model")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run_analyse)


def run_build(options):
    """Run ``v2m study build``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.faces import load_face_model
    from v2mlib.study import StudyPlan, build_study
    from v2mlib.study.sources import named_folders, read_methods

    with results_on_stdout() as stdout:
        default = ("images", "models", "both") if options.images else ("views", "models")
        question = {"question": options.question} if options.question is not None else {}
        plan = StudyPlan(
            sections=tuple(options.sections or default), n_items=options.items,
            n_attention=options.checks, seed=options.seed, **question,
        )  # fmt: skip
        model = load_face_model(options.faces)
        predictions, reference = read_methods(options.predictions, options.reference, model)
        images = named_folders(options.images, list(predictions))
        study = build_study(
            options.out, predictions, reference, model=model, plan=plan, images=images
        )
    counts = {"questions": len(study.items), "sections": len(plan.sections)}
    if options.json:
        shown = {"folder": options.out, "key": study.key, "methods": study.methods}
        print(json_line(shown | counts), file=stdout)
        return
    print(f"{options.out}: {counts['questions']} questions in {counts['sections']} sections")
    print("Next: edit consent.md, then let people answer in a notebook:")
    print(f"  import v2mlib as v2m\n  v2m.study.run_study({options.out!r})")


def run_status(options):
    """Run ``v2m study status``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.study import load_study, study_status

    table = study_status(load_study(options.folder))
    if options.json:
        finished = int(table["finished"].sum())
        shown = {"folder": options.folder, "participants": len(table), "finished": finished}
        print(json_line(shown | {"answers": table.to_dict("records")}))
    elif table.empty:
        print(f"{options.folder}: nobody has answered yet")
    else:
        print(table.to_string(index=False))
        print(f"{int(table['finished'].sum())} of {len(table)} participants have finished")


def run_analyse(options):
    """Run ``v2m study analyse``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.predicting import prepare_folder
    from v2mlib.study import analyse_answers, write_analysis
    from v2mlib.study.output import as_dict, describe
    from v2mlib.study.sources import answers_of

    with results_on_stdout() as stdout:
        found = answers_of(options.folder)
        if found.remark:
            say(found.remark)
        out = options.out or found.out
        out = prepare_folder(out)[0] if out else None
        analysis = analyse_answers(
            found.answers,
            level=options.level,
            attention_share=options.attention,
            mixed=not options.no_mixed,
        )
        if out:
            say(f"{out}: {', '.join(write_analysis(out, analysis, title=found.title))}")
    if options.json:
        print(json_line({"folder": options.folder} | as_dict(analysis)), file=stdout)
    else:
        print(describe(analysis, found.methods))
