"""Where a study's faces and answers come from, as the command line names them."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from v2mlib.checks import InputError
from v2mlib.study.folder import load_study
from v2mlib.study.reading import read_answers
from v2mlib.study.simulated import SIMULATED, simulated_study


class Answers(NamedTuple):
    """Answers to be analysed: the table, ``methods`` by role or None, a ``title``, where results
    belong (``out`` or None), and a ``remark`` for the reader."""

    answers: pd.DataFrame
    methods: dict | None
    title: str
    out: Path | None
    remark: str


def read_methods(named, reference, model):
    """Read two methods' faces and the reference.

    Parameters
    ----------
    named : sequence of str
        Two of ``NAME=FILE``, or two names of shipped predictions.
    reference : path or None
        Reference faces, for files.
    model : MorphableModel
        What they are faces of.

    Returns
    -------
    predictions : dict of str to FaceRows
        By method.
    reference : FaceRows
        A face for each person.

    Raises
    ------
    InputError
        If the forms are mixed, a name is given twice, or a file cannot be used.
    """
    from v2mlib.evaluation_files import read_faces

    pairs = [one.partition("=") for one in named]
    names = [name for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(f"method {names[0]}", "is given twice", "compare two different ones")
    if reference is None:
        if any(equals for _, equals, _ in pairs):
            raise InputError("--predictions", "name files", "add --reference FILE")
        return _shipped(names, model)
    if not all(name and equals and path for name, equals, path in pairs):
        raise InputError("--predictions", "are not NAME=FILE", "name each method and its file")
    return {name: read_faces(path, model) for name, _, path in pairs}, read_faces(reference, model)


def _shipped(names, model):
    from v2mlib.fitting.shipped import shipped_predictions
    from v2mlib.metrics.face_rows import FaceRows

    found = shipped_predictions()
    if model.name != "phantom":
        raise InputError(
            f"face model {model.name}", "is not that of the shipped predictions", "give files"
        )
    predictions = {name: FaceRows(found.identity, found.averaged(name)) for name in names}
    return predictions, FaceRows(found.identity, found.reference)


def named_folders(folders, methods):
    """Name three folders of images.

    Parameters
    ----------
    folders : sequence of path or None
        Of the first method, the second, the reference.
    methods : list of str
        The two methods.

    Returns
    -------
    dict of str to Path, or None
        For `build_study`.

    Raises
    ------
    InputError
        If one is no folder.
    """
    if folders is None:
        return None
    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError(folder, "is no folder", "give three folders of IDENTITY.png")
    return dict(zip([*methods, "reference"], map(Path, folders), strict=True))


def answers_of(name):
    """Find answers by what a command line calls them.

    Parameters
    ----------
    name : str or path
        A study's folder, a ``.csv`` of answers, or "simulated".

    Returns
    -------
    Answers
        With where results belong.

    Raises
    ------
    InputError
        If there are none.
    """
    path = Path(name)
    if str(name) == SIMULATED and not path.exists():
        found = simulated_study()
        return Answers(found.answers, None, "Simulated study (nobody was asked)", None,
                       found.card["remark"])  # fmt: skip
    if path.suffix == ".csv":
        try:
            answers = pd.read_csv(path, dtype={"subject": str})
        except (OSError, ValueError) as error:
            raise InputError(path, f"cannot be read ({error})", "give a table of answers") from None
        return Answers(answers, None, path.stem, None, "")
    study = load_study(path)
    answers = read_answers(study)
    if answers.empty:
        raise InputError(path, "has no answers yet", "let somebody take part: see v2m study --help")
    title = f"{study.methods['a']} against {study.methods['b']}"
    return Answers(answers, study.methods, title, path / "results", "")
