"""What is asked, and in which order each participant sees it."""

import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError

SECTIONS = {
    "images": ("image",),
    "views": ("view",),
    "models": ("turn",),
    "both": ("image", "turn"),
}
"""What a face is shown by in each kind of section: an image of the user's, a picture of the mesh
from the front and the side, a mesh that can be turned."""

QUESTION = "Which face is nearer in shape to the reference face?"


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """How large a study is, and what its pictures are like.

    Attributes
    ----------
    sections : tuple of str
        Of "images", "views", "models", "both"; every participant answers all of them, in
        this order.
    n_items : int
        Questions per section, each about another person.
    n_attention : int
        Attention checks per section: one of the two faces is the reference itself, the other
        is the reference of the person who differs most.
    seed : int
        Of the choice of people and of every participant's order.
    question : str
        What is asked.
    picture_px : int, pixels
        Height of each picture.
    frames : int
        Directions from which a mesh that can be turned is drawn.
    """

    sections: tuple = ("views", "models")
    n_items: int = 10
    n_attention: int = 1
    seed: int = 0
    question: str = QUESTION
    picture_px: int = 280
    frames: int = 9

    def __post_init__(self):
        """Refuse impossible plans."""
        unknown = [name for name in self.sections if name not in SECTIONS]
        if unknown or not self.sections:
            named = unknown[0] if unknown else "none"
            raise InputError(f"section {named}", "is unknown", f"choose from {', '.join(SECTIONS)}")
        if len(set(self.sections)) < len(self.sections):
            raise InputError("sections", "name one twice", "give each once")
        if self.n_items < 1 or self.n_attention < 0:
            raise InputError("study plan", "asks nothing", "give 1 question or more per section")
        if not 64 <= self.picture_px <= 1024:
            raise InputError("picture_px", f"is {self.picture_px}", "choose from 64 to 1024")
        if self.frames < 3:
            raise InputError("frames", f"are {self.frames}", "draw from 3 directions or more")
        if not self.question.strip():
            raise InputError("question", "is empty", "say what participants are to choose by")


class Asked(NamedTuple):
    """One question as one participant meets it.

    ``section``, ``item`` and ``kind`` as in the table of answers; ``shown_first`` says whether
    the first method's face (in a check: the reference) comes first.
    """

    section: str
    item: int
    kind: str
    shown_first: bool


def order_for(participant, items, seed):
    """Order and sides in which a participant meets the questions.

    Sections keep their order. Within each, questions and checks are mixed, a check never comes
    first, and the first method's face comes first in half of the questions.

    Parameters
    ----------
    participant : str
        The code: the same code meets the same order again.
    items : list of (section, item, kind)
        All questions of the study, sections in order.
    seed : int
        Of the study.

    Returns
    -------
    list of Asked
        As many as `items`.
    """
    digest = hashlib.sha256(f"{seed}:{participant}".encode()).digest()
    rng = np.random.default_rng(list(digest))
    asked = []
    for section in dict.fromkeys(name for name, _, _ in items):
        own = [(item, kind) for name, item, kind in items if name == section]
        questions = [entry for entry in own if entry[1] == "question"]
        checks = [entry for entry in own if entry[1] != "question"]
        mixed = [questions[k] for k in rng.permutation(len(questions))]
        for check in checks:
            mixed.insert(int(rng.integers(1, len(mixed) + 1)), check)
        first = dict(zip(questions, rng.permutation(_half(len(questions), rng)), strict=True))
        first |= {check: rng.random() < 0.5 for check in checks}
        asked += [Asked(section, *entry, bool(first[entry])) for entry in mixed]
    return asked


def _half(n, rng):
    """True for half of `n`; of an odd number, one more or one less."""
    return np.arange(n) < (n + int(rng.integers(2))) // 2
