"""One participant and a study: consent, the next question, an answer at a time."""

import datetime
import hashlib
import re
import secrets
from typing import NamedTuple

from v2mlib.checks import InputError
from v2mlib.study.answer_files import append_entry, read_entries
from v2mlib.study.folder import ANSWERS

SIDES = ("first", "second")

_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"  # none that look alike
_CODE = re.compile(r"[a-z0-9]{4,16}")
_TITLES = {
    "images": "Images",
    "views": "Views from the front and the side",
    "models": "Faces to be turned",
    "both": "Images and faces to be turned",
}


class Panel(NamedTuple):
    """One face of a question: its ``heading``, and ``pictures`` as (JPEG bytes, frames)."""

    heading: str
    pictures: list


def new_participant():
    """Draw a code that stands for a participant.

    Returns
    -------
    str
        Eight letters and digits, from the system's own randomness.
    """
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


class Participation:
    """One participant's way through a study.

    The file of answers is the only state: another object for the same participant, in another
    process or after a crash, goes on with the exact next question.

    Parameters
    ----------
    study : Study
        From `load_study`.
    participant : str, optional
        The code of somebody who goes on; a new one by default.

    Raises
    ------
    InputError
        If the code is none, or its answers are damaged or of another study.
    """

    def __init__(self, study, participant=None):
        self.study = study
        self.participant = new_participant() if participant is None else participant
        if not _CODE.fullmatch(self.participant):
            raise InputError(
                f"participant {self.participant!r}", "is no code", "use 4 to 16 of a-z and 0-9"
            )
        self.path = study.folder / ANSWERS / f"{self.participant}.jsonl"
        self.order = study.order(self.participant)
        self._entries = self._read()

    @property
    def consented(self):
        """Whether the participant has agreed to the text, bool."""
        return bool(self._entries)

    @property
    def answered(self):
        """Number of answers so far, int."""
        return max(0, len(self._entries) - 1)

    @property
    def total(self):
        """Number of questions, checks included, int."""
        return len(self.order)

    @property
    def current(self):
        """The question to be answered now, Asked, or None when all are."""
        return self.order[self.answered] if self.answered < self.total else None

    def agree(self):
        """Write down that the participant has agreed, to which text, and on which day.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        text = hashlib.sha256(self.study.consent.encode()).hexdigest()[:16]

        def start(entries):
            if entries:
                raise InputError(self.participant, "has agreed already", "go on with the questions")
            return {
                "kind": "start",
                "study": self.study.key,
                "participant": self.participant,
                "consent": text,
                "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
            }

        append_entry(self.path, start)
        self._entries = self._read()

    def answer(self, side, number=None):
        """Write down the answer to a question; it is on disk when this returns.

        Parameters
        ----------
        side : {"first", "second"}
            Which of the two faces, as they were shown.
        number : int, optional
            Which question is meant, from 0; the current one by default.

        Raises
        ------
        InputError
            If nobody has agreed, the question has an answer or is not asked yet, or the
            answer cannot be written.
        """
        if side not in SIDES:
            raise InputError(f"side {side!r}", "is none", "choose first or second")
        number = self.answered if number is None else number

        def entry(entries):
            if not entries:
                raise InputError(self.participant, "has not agreed", "ask for consent first")
            # What another window answered meanwhile counts.
            answered = len(entries) - 1
            if number < answered:
                raise InputError(
                    f"question {number + 1}", "has an answer already", "go on with the next"
                )
            if number > answered or answered >= self.total:
                raise InputError(
                    f"question {number + 1}", "is not asked now", f"{answered} of {self.total} are"
                    " answered",
                )  # fmt: skip
            asked = self.order[number]
            return {
                "kind": "answer",
                "number": number,
                "section": asked.section,
                "item": asked.item,
                "asked": asked.kind,
                "shown_first": asked.shown_first,
                "chosen": (side == "first") == asked.shown_first,
            }

        try:
            append_entry(self.path, entry)
        finally:
            self._entries = self._read()

    def section_title(self):
        """Heading of the current question's section.

        Returns
        -------
        str
            In words.
        """
        return _TITLES[self.current.section]

    def panels(self):
        """Load the three faces of the current question, as this participant sees them.

        Returns
        -------
        list of Panel
            The reference, the first and the second face.
        """
        asked = self.current
        pictures = self.study.items[asked.section, asked.item].pictures
        roles = ("a", "b") if asked.shown_first else ("b", "a")
        headings = ("Reference", "1", "2")
        return [
            Panel(heading, [((self.study.folder / p.file).read_bytes(), p.frames)
                            for p in pictures[role]])
            for heading, role in zip(headings, ("reference", *roles), strict=True)
        ]  # fmt: skip

    def _read(self):
        entries = read_entries(self.path)
        require_entries(self.path, entries, self.study, self.order)
        return entries


def require_entries(path, entries, study, order):
    """Refuse answers that are not this participant's to this study.

    Parameters
    ----------
    path : pathlib.Path
        Where they lie; its stem is the code.
    entries : list of dict
        From `read_entries`.
    study : Study
        The study.
    order : list of Asked
        The participant's.

    Raises
    ------
    InputError
        Naming what does not fit.
    """
    if not entries:
        return
    head = entries[0]
    if head.get("kind") != "start" or head.get("participant") != path.stem:
        raise InputError(path, "does not begin with its participant's consent", "restore the file")
    if head.get("study") != study.key:
        raise InputError(
            path, f"holds answers to another study than {study.folder}", "keep folders apart"
        )
    for number, entry in enumerate(entries[1:]):
        if number >= len(order):
            raise InputError(path, f"holds more than {len(order)} answers", "restore the file")
        asked = order[number]
        expected = (number, asked.section, asked.item, asked.kind, asked.shown_first)
        names = ("number", "section", "item", "asked", "shown_first")
        if tuple(entry.get(name) for name in names) != expected or not isinstance(
            entry.get("chosen"), bool
        ):
            raise InputError(
                path, f"has an answer {number + 1} that was not asked so", "restore the file"
            )
