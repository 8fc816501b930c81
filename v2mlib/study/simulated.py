"""The simulated study that comes with the package: nobody was asked, and the truth is known."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit

import v2mlib
from v2mlib.checks import InputError
from v2mlib.files import atomic, sha256
from v2mlib.paths import shipped
from v2mlib.stats.studies import COLUMNS, StudyDesign, simulate_study

SIMULATED = "simulated"
"""How the shipped study is called on the command line."""

_FILE = "simulated_study.csv"
_REMARK = (
    "SIMULATED: nobody answered these questions. A program drew every answer from the truth "
    "stated here, with the numbers of subjects, sections and questions of the published study."
)


class SimulatedStudy(NamedTuple):
    """Answers that a program gave, and the truth they were drawn from.

    ``answers`` has the columns of `v2mlib.stats.studies.COLUMNS`; ``design`` is the
    `StudyDesign`; ``average`` is the probability that a random person prefers our face in a
    random question (``design.preference`` is that of a typical person in a typical question);
    ``card`` says how the answers were made.
    """

    answers: pd.DataFrame
    design: StudyDesign
    average: float
    card: dict


def simulated_study():
    """Read the simulated study that comes with the package.

    Returns
    -------
    SimulatedStudy
        With the paper's design: 154 subjects, 3 sections of 10 questions.

    Raises
    ------
    InputError
        If the file or its card is absent, damaged or not the other's.

    Examples
    --------
    >>> found = simulated_study()
    >>> found.answers["subject"].nunique(), found.design.preference
    (154, 0.6)
    """
    path = shipped(_FILE)
    try:
        card = json.loads(path.with_suffix(".json").read_text("utf-8"))
        truth = card["truth"]
        design = StudyDesign(**{**truth["design"], "sections": tuple(truth["design"]["sections"])})
        is_whole = card["data_sha256"] == sha256(path)
        answers = pd.read_csv(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, f"or its card cannot be read ({type(error).__name__})", "copy both again"
        ) from None
    if not is_whole:
        raise InputError(path, "is damaged, or its card is another's", "copy both again")
    return SimulatedStudy(answers, design, truth["average"], card)


def average_preference(design):
    """Probability that a random person prefers our face in a random question.

    Differences between persons and between questions pull it towards one half, and so do
    participants who toss a coin.

    Parameters
    ----------
    design : StudyDesign
        The truth.

    Returns
    -------
    float
        By Gauss-Hermite quadrature over persons and questions, and both orders.

    Examples
    --------
    >>> alike = StudyDesign(preference=0.7, subject_sd=0, item_sd=0, order_bias=0, inattentive=0)
    >>> round(average_preference(alike), 12)
    0.7
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = np.hypot(design.subject_sd, design.item_sd)
    logits = logit(design.preference) + spread * nodes[:, None]
    chosen = expit(logits + design.order_bias * np.array([1.0, -1.0])).mean(1)
    awake = float(weights @ chosen / weights.sum())
    return (1 - design.inattentive) * awake + design.inattentive / 2


def write_simulated_study(path, design=None, *, seed=0):
    """Draw a study and write it with its truth.

    Parameters
    ----------
    path : path
        The ``.csv`` file; the card has the same name with ``.json``.
    design : StudyDesign, optional
        The truth; the paper's counts by default.
    seed : int
        Of everything random.

    Returns
    -------
    pathlib.Path
        The file.
    """
    path, design = Path(path), design or StudyDesign()
    with atomic(path) as partial:
        simulate_study(design, seed=seed)[list(COLUMNS)].to_csv(partial, index=False)
    card = {
        "kind": "simulated preference study",
        "remark": _REMARK,
        "version": v2mlib.__version__,
        "made_by": "python -m v2mlib.study.ship",
        "seed": seed,
        "truth": {
            "design": dataclasses.asdict(design),
            "average": average_preference(design),
            "of_attention_checks": "the reference is chosen with logit 4, 98 %, when attentive",
        },
        "columns": {
            "subject": "number of the simulated participant",
            "section": "images, models or both, as in the published study",
            "item": "number of the question within its section",
            "kind": "question, or attention: one face is the reference itself",
            "shown_first": "whether our face (in a check: the reference) came first",
            "chosen": "whether our face (in a check: the reference) was chosen",
        },
        "data_sha256": sha256(path),
    }
    with atomic(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    return path
