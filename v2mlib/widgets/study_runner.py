"""The notebook widget that asks one participant the questions of a preference study."""

import io
from pathlib import Path

import anywidget
import traitlets
from PIL import Image, ImageDraw

from v2mlib.checks import InputError, V2MError
from v2mlib.widgets import bundle
from v2mlib.widgets.stills import png_text, write_on

_FOLDER = Path(__file__).parent


class StudyRunner(anywidget.AnyWidget):
    """A study for one participant: consent, one question at a time, pause, thanks.

    Keys: the left and right arrows or 1 and 2 choose, Enter goes on, P pauses. Everything also
    works without a browser: call the methods, read the traits. What a browser sends twice is
    taken once.

    Parameters
    ----------
    participation : Participation
        From `v2mlib.study`: knows the questions and keeps the answers.
    theme : {"auto", "light", "dark"}
        Of the page.

    Attributes
    ----------
    participant : str
        The random code.
    stage : str
        "consent", "question", "paused" or "finished".
    answered, total : int
        How far the participant has come.
    problem : str
        Why the last answer was not taken; empty if it was.

    Raises
    ------
    InputError
        If a picture or the consent text cannot be read.
    """

    _esm = (_FOLDER / "study_runner.js").read_text(encoding="utf-8")
    _css = bundle.style() + (_FOLDER / "study_runner.css").read_text(encoding="utf-8")

    participant = traitlets.Unicode("").tag(sync=True)
    stage = traitlets.Unicode("consent").tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)
    total = traitlets.Int(0).tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)

    def __init__(self, participation, *, theme="auto"):
        self._taking = participation
        super().__init__(
            participant=participation.participant, total=participation.total, theme=theme
        )
        self.on_msg(self._hear)
        self._follow()

    def agree(self):
        """Agree to the consent text; the first question follows.

        Raises
        ------
        InputError
            If it cannot be written down.
        """
        self._taking.agree()
        self._follow()

    def choose(self, side, number=None):
        """Answer a question; the next one follows when the answer is on disk.

        Parameters
        ----------
        side : {"first", "second"}
            Which face, as shown.
        number : int, optional
            Which question, from 0; the one that is shown by default.

        Raises
        ------
        InputError
            If the study is paused or not begun, the question has an answer, or the answer
            cannot be written.
        """
        if self.stage != "question":
            raise InputError("the study", f"is at its stage {self.stage!r}", "go on with it first")
        try:
            self._taking.answer(side, self.answered if number is None else number)
        finally:
            self._follow()

    def pause(self):
        """Hide the question until `go_on`, in this widget or a later one."""
        if self.stage == "question":
            self.stage = "paused"
            self._show()

    def go_on(self):
        """Show the current question after a pause."""
        if self.stage == "paused":
            self._follow()

    def picture(self):
        """Still picture of what the participant sees.

        Returns
        -------
        PIL.Image.Image
            Title, progress and, at a question, the three faces.
        """
        if self.stage != "question":
            sheet = Image.new("RGB", (760, 150), "white")
            write_on(ImageDraw.Draw(sheet), (20, 18), self._title(), 16)
            write_on(ImageDraw.Draw(sheet), (20, 60), f"{self.answered} of {self.total} answered")
            return sheet
        panels = [(panel.heading, _first_frames(panel.pictures)) for panel in self._taking.panels()]
        gap, top = 16, 92
        width = max(440, gap + sum(image.width + gap for _, image in panels))
        height = top + max(image.height for _, image in panels) + gap
        sheet = Image.new("RGB", (width, height), "white")
        paper = ImageDraw.Draw(sheet)
        write_on(paper, (gap, 12), self._title(), 16)
        progress = f"{self._taking.section_title()}: question {self.answered + 1} of {self.total}"
        write_on(paper, (gap, 40), progress)
        left = gap
        for heading, image in panels:
            write_on(paper, (left, top - 24), heading, 14)
            sheet.paste(image, (left, top))
            left += image.width + gap
        return sheet

    def _title(self):
        titles = {"consent": "Consent", "paused": "Paused", "finished": "Thank you"}
        return titles.get(self.stage, self._taking.study.question)

    def _follow(self):
        """Traits as the file of answers says."""
        taking = self._taking
        self.answered = taking.answered
        if not taking.consented:
            self.stage = "consent"
        else:
            self.stage = "finished" if taking.current is None else "question"
        self._show()

    def _show(self):
        # Messages and not traits: traits end up in the notebook file, pictures and all.
        screen, buffers = {"stage": self.stage, "title": self._title()}, []
        if self.stage == "consent":
            screen["text"] = self._taking.study.consent
        elif self.stage == "question":
            screen |= {"number": self.answered, "section": self._taking.section_title()}
            screen["panels"] = []
            for panel in self._taking.panels():
                shown = []
                for content, frames in panel.pictures:
                    shown.append({"buffer": len(buffers), "frames": frames})
                    buffers.append(content)
                screen["panels"].append({"heading": panel.heading, "pictures": shown})
        self.send({"kind": "screen", "screen": screen}, buffers)

    def _hear(self, _widget, content, _buffers):
        """Act on what the browser says; a fault is shown there and not raised here."""
        acts = {
            "want screen": self._show,
            "agree": self.agree,
            "pause": self.pause,
            "go on": self.go_on,
        }
        kind = content.get("kind")
        self.problem = ""
        try:
            if kind in acts:
                acts[kind]()
            elif kind == "choose" and content.get("number") != self.answered:
                self._show()  # a second click, on a question that has its answer
            elif kind == "choose":
                self.choose(content.get("side"), content["number"])
        except (V2MError, OSError) as error:
            self.problem = str(error)

    def _repr_mimebundle_(self, **kwargs):
        found = super()._repr_mimebundle_(**kwargs)
        data, *metadata = found if isinstance(found, tuple) else (found,)
        words = "a preference study (run the cell to take part)"
        data = {**data, "image/png": png_text(self.picture()), "text/plain": words}
        return (data, *metadata) if metadata else data


def _first_frames(pictures):
    """What each picture shows before it is turned, side by side."""
    images = []
    for content, frames in pictures:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        width = image.width // frames
        left = frames // 2 * width
        images.append(image.crop((left, 0, left + width, image.height)))
    sheet = Image.new("RGB", (sum(i.width for i in images), images[0].height), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width
    return sheet
