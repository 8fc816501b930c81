"""``v2m data``: paired voices and faces on disk."""

from v2mlib.commands import json_line, landmark_weights, results_on_stdout, say


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
    phantom.add_argument(
        "--photos", type=int, metavar="N", help="of each person (tiny 1, tutorial 2, paper 116)"
    )
    phantom.add_argument("--seed", type=int, default=0, metavar="N", help="of the population (0)")
    phantom.add_argument("--json", action="store_true", help="one JSON object on stdout")
    phantom.set_defaults(run=run_phantom)
    _add_voxceleb3d(kinds)
    landmark_weights.add_parser(kinds)


def _add_voxceleb3d(kinds):
    parser = kinds.add_parser(
        "voxceleb3d",
        help="recordings and photographs of the same people, as downloaded",
        description=(
            "Build a data set from recordings and photographs of the same people: log-mel "
            "features, landmarks, faces fitted to all photographs of a person, splits, and a "
            "manifest with a reason for every file left out. The public Voxceleb-3D files can "
            "stand for either: --log-mels for --voxceleb, --fitted-faces for --vggface. Stopped "
            "and started again, it goes on; run again, it works on new and changed files only."
        ),
    )
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder of the data set")
    add("--voxceleb", metavar="DIR", help="VoxCeleb1: wav/idNNNNN/VIDEO/CLIP.wav")
    add("--vggface", metavar="DIR", help="photographs by name: NAME/*.jpg")
    add("--log-mels", metavar="DIR", help="for --voxceleb: matrices, idNNNNN/VIDEO/CLIP.npy")
    add(
        "--fitted-faces",
        metavar="DIR",
        nargs="+",
        default=[],
        help="for --vggface: NAME/*.npy of 199 coefficients on BFM 2009",
    )
    add("--table", metavar="CSV", help="your own data: identity,sex,audio,photo")
    add("--meta", metavar="CSV", help="vox1_meta.csv, where it lies elsewhere")
    add(
        "--landmarks",
        metavar="ENGINE",
        help="mediapipe, fan, teacher, or files (mediapipe; files for a phantom)",
    )
    add("--landmark-files", metavar="DIR", help="for files: where, if not beside the photographs")
    add("--teacher", metavar="PATH", help="for teacher: weights of 3DDFA-V2")
    add(
        "--teacher-face-model",
        metavar="PATH",
        help="for teacher: the Basel face model, or its folder",
    )
    add("--face-model", metavar="M", help="to fit: a name or a path (ict; a phantom's own)")
    add(
        "--split",
        default="paper",
        choices=("paper", "random", "unheard"),
        help="A-E test / at random / A-E whom no speaker encoder has heard (paper)",
    )
    add("--validation", type=float, default=0.1, metavar="X", help="share of training names (0.1)")
    add("--seed", type=int, default=0, metavar="N", help="of the split (0)")
    add("--scheduler", metavar="ADDRESS", help="of a Dask cluster, tcp://HOST:8786")
    add("--workers", type=int, metavar="N", help="processes here (one per processor)")
    add("--files-per-task", type=int, default=128, metavar="N", help="of each worker's share (128)")
    add("--verify", action="store_true", help="compare checksums, not only size and time")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run_voxceleb3d)


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
        make_world(
            options.size, options.out, world=options.world, seed=options.seed, photos=options.photos
        )
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


def run_voxceleb3d(options):
    """Run ``v2m data voxceleb3d``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options.
    """
    from v2mlib.building import BuildConfig, build_dataset, choices, report
    from v2mlib.datasets import find_sources

    with results_on_stdout() as stdout:
        sources = find_sources(
            voxceleb=options.voxceleb,
            vggface=options.vggface,
            table=options.table,
            log_mels=options.log_mels,
            fitted_faces=options.fitted_faces,
            meta=options.meta,
        )
        fitted = bool(options.fitted_faces)
        world = choices.phantom_world(options.vggface, options.voxceleb)
        landmarks, folder = choices.choose_landmarks(
            options.landmarks, options.landmark_files, world, fitted=fitted
        )
        config = BuildConfig(
            landmarks=landmarks,
            landmark_folder=folder,
            teacher_weights=options.teacher,
            teacher_face_model=options.teacher_face_model,
            face_model=choices.choose_face_model(options.face_model, world, fitted=fitted),
            split=options.split,
            validation=options.validation,
            seed=options.seed,
        )
        done = build_dataset(
            sources,
            options.out,
            config=config,
            scheduler=options.scheduler,
            n_workers=options.workers,
            verify=options.verify,
            files_per_task=options.files_per_task,
            announce=say,
        )
    if options.json:
        print(json_line(report.as_dict(done)), file=stdout)
    else:
        print("\n".join(report.describe(done)), file=stdout)
