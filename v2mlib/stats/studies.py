"""Simulated preference studies, whose truth is known.

Answers of one person share the person's taste, and answers to one question share the pair of
faces that was shown: neither are independent coins. Here both are dialled in.
"""

import dataclasses

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from v2mlib.checks import InputError

#: Columns of a study's answers, wherever they come from.
COLUMNS = ("subject", "section", "item", "kind", "shown_first", "chosen")


@dataclasses.dataclass(frozen=True)
class StudyDesign:
    """A two-alternative study: which of two faces is nearer to the reference?

    Attributes
    ----------
    n_subjects : int
        Participants; the paper has 154.
    sections : tuple of str
        Each participant answers all of them.
    n_items : int
        Questions per section, the same for everybody.
    n_attention : int
        Attention checks per section: one of the two faces is the reference itself.
    preference : float, in (0, 1)
        Probability that a typical person prefers our method's face in a typical question; 0.5
        is the null hypothesis.
    subject_sd, item_sd : float, logits
        Spread of persons' and of questions' preferences.
    order_bias : float, logits
        In favour of the face that is shown first.
    inattentive : float, in [0, 1]
        Share of participants who answer everything by tossing a coin.
    """

    n_subjects: int = 154
    sections: tuple = ("images", "models", "both")
    n_items: int = 10
    n_attention: int = 1
    preference: float = 0.6
    subject_sd: float = 0.5
    item_sd: float = 0.8
    order_bias: float = 0.1
    inattentive: float = 0.03

    def __post_init__(self):
        """Refuse impossible designs."""
        if min(self.n_subjects, self.n_items, len(self.sections)) < 1 or self.n_attention < 0:
            raise InputError("study design", "has nobody or nothing to ask", "give counts above 0")
        if len(set(self.sections)) < len(self.sections):
            raise InputError(
                "study design", "names a section twice", "give them names of their own"
            )
        if not 0 < self.preference < 1 or not 0 <= self.inattentive <= 1:
            raise InputError("study design", "has an impossible share", "give shares within 0 to 1")
        if min(self.subject_sd, self.item_sd) < 0:
            raise InputError("study design", "has a negative sd", "give 0 or more")


def simulate_study(design=None, *, seed=0):
    """Simulate the answers of a preference study.

    Parameters
    ----------
    design : StudyDesign, optional
        The paper's counts by default.
    seed : int
        Of everything random.

    Returns
    -------
    DataFrame
        A row per answer: `subject`, `section`, `item` (number within the section), `kind`
        ("question" or "attention"), `shown_first` (whether our face came first), `chosen`
        (whether our face, or in an attention check the reference, was chosen).

    Examples
    --------
    >>> answers = simulate_study(StudyDesign(n_subjects=4, n_items=3, n_attention=0))
    >>> len(answers), list(answers)[:3]
    (36, ['subject', 'section', 'item'])
    """
    design = design or StudyDesign()
    rng = np.random.default_rng(seed)
    n_each = design.n_items + design.n_attention
    shape = (design.n_subjects, len(design.sections), n_each)
    taste = rng.normal(0, design.subject_sd, design.n_subjects)[:, None, None]
    easiness = rng.normal(0, design.item_sd, shape[1:])[None]
    attention = np.broadcast_to(np.arange(n_each) >= design.n_items, shape)
    first = rng.random(shape) < 0.5
    logits = logit(design.preference) + taste + easiness
    logits = np.where(attention, 4.0, logits) + design.order_bias * np.where(first, 1, -1)
    asleep = (rng.random(design.n_subjects) < design.inattentive)[:, None, None]
    chosen = rng.random(shape) < np.where(asleep, 0.5, expit(logits))
    subject, section, item = np.indices(shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "subject": subject,
            "section": np.array(design.sections, dtype=object)[section],
            "item": item,
            "kind": np.where(attention, "attention", "question").ravel(),
            "shown_first": first.ravel(),
            "chosen": chosen.ravel(),
        }
    )


def require_answers(answers):
    """Check a table of answers, and keep the questions.

    Parameters
    ----------
    answers : DataFrame
        As `simulate_study` gives it, or a study's own.

    Returns
    -------
    DataFrame
        The rows of kind "question", with `chosen` and `shown_first` as bool.

    Raises
    ------
    InputError
        If columns are absent, an answer is missing or no yes or no, somebody answered a
        question twice, or there is no question.
    """
    absent = [name for name in COLUMNS if name not in answers]
    if absent:
        raise InputError("answers", f"lack the columns {absent}", f"give {', '.join(COLUMNS)}")
    questions = answers[answers["kind"] == "question"]
    if questions.empty:
        raise InputError("answers", "hold no question", "give rows of kind 'question'")
    for name in ("chosen", "shown_first"):
        if not questions[name].isin([True, False]).all():
            raise InputError(f"answers: {name}", "holds more than yes and no", "use True and False")
    twice = questions.duplicated(["subject", "section", "item"])
    if twice.any():
        row = questions[twice].iloc[0]
        raise InputError(
            "answers",
            f"hold {int(twice.sum())} second answers, for instance of subject {row['subject']!r}",
            "keep one answer per subject, section and item",
        )
    return questions.astype({"chosen": bool, "shown_first": bool})
