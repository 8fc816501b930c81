"""All answers to a study as one table."""

import pandas as pd

from v2mlib.stats.studies import COLUMNS
from v2mlib.study.answer_files import read_entries
from v2mlib.study.answering import require_entries
from v2mlib.study.folder import ANSWERS, Study, load_study


def read_answers(study):
    """Read everybody's answers.

    Parameters
    ----------
    study : Study or path
        From `load_study`, or its folder.

    Returns
    -------
    DataFrame
        `v2mlib.stats.studies.COLUMNS`, with the participant's code as ``subject``, and
        ``identity`` (of the reference) and ``number`` (when it was asked, from 0). A row per
        answer, also of participants who have not finished.

    Raises
    ------
    InputError
        If a file is damaged, or holds answers to another study or another question.
    """
    study = study if isinstance(study, Study) else load_study(study)
    rows = [row for _, entries, _ in _files(study) for row in entries]
    return pd.DataFrame(rows, columns=[*COLUMNS, "identity", "number"])


def study_status(study):
    """How far everybody has come.

    Parameters
    ----------
    study : Study or path
        From `load_study`, or its folder.

    Returns
    -------
    DataFrame
        ``participant``, ``day`` (of consent), ``answered``, ``total``, ``finished``.

    Raises
    ------
    InputError
        As `read_answers`.
    """
    study = study if isinstance(study, Study) else load_study(study)
    total = len(study.items)
    rows = [
        {"participant": code, "day": day, "answered": len(entries), "total": total,
         "finished": len(entries) == total}
        for code, entries, day in _files(study)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["participant", "day", "answered", "total", "finished"])


def _files(study):
    """Code, rows of the table, and day of each participant."""
    for path in sorted((study.folder / ANSWERS).glob("*.jsonl")):
        entries = read_entries(path)
        require_entries(path, entries, study, study.order(path.stem))
        if not entries:  # killed before consent was on disk
            continue
        rows = [
            {
                "subject": path.stem,
                "section": entry["section"],
                "item": entry["item"],
                "kind": entry["asked"],
                "shown_first": entry["shown_first"],
                "chosen": entry["chosen"],
                "identity": study.items[entry["section"], entry["item"]].identity,
                "number": entry["number"],
            }
            for entry in entries[1:]
        ]
        yield path.stem, rows, entries[0].get("day")
