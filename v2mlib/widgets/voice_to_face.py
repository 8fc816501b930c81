"""The notebook widget for one's own recordings: a voice goes in, a face comes out."""

import os
from pathlib import Path

import anywidget
import traitlets

from v2mlib.checks import InputError, V2MError, one_line
from v2mlib.hearing import Listener
from v2mlib.widgets import bundle
from v2mlib.widgets.packing import split_buffers
from v2mlib.widgets.stills import data_address, with_picture
from v2mlib.widgets.voice_to_face_packing import (
    pack_common,
    pack_face,
    pack_utterance,
    scale_top,
)
from v2mlib.widgets.voice_to_face_stills import sheet
from v2mlib.widgets.voice_to_face_uploads import CHUNK_BYTES, Uploads, hear_bytes

AVERAGE = "average"
SHOWN = ("face", "distance", "error")
MAX_UTTERANCES = 6
_FOLDER = Path(__file__).parent


class VoiceToFace(anywidget.AnyWidget):
    """Faces from recordings: choose or drop files, or speak into the microphone.

    Shows of each utterance the waveform, the log-mel matrix and the predicted face; its
    distance from the mean face in mm; the named lines with an interval from held-out people;
    and of several utterances the average. Works without a browser too: call `add`, read
    `faces`. A recording that cannot be used is refused in the words of ``v2m predict``, and the
    others are done. In a stored notebook the widget leaves a picture, never a voice.

    Parameters
    ----------
    model : str, path or Voice2Mesh
        Weights: a shipped name, a file, or a loaded model.
    recordings : sequence of path or array_like, or dict of such by name
        Heard at once; samples at 16 kHz.
    held_out : ShippedPredictions, optional
        Predictions of ``model`` for people not heard in training, for the intervals; known for
        the shipped weights.
    max_upload_mb : float, MB
        Largest recording that a browser may send.
    theme : {"auto", "light", "dark"}
        Of the page.
    height : int, pixels
        Of each face.

    Attributes
    ----------
    utterances : tuple of Utterance
        What was heard, in order; at most 6.
    faces : dict of str to Face
        The predicted face of each utterance by name, and with several their ``average``.
    selected : str
        Whose lines are listed: the name of an utterance, or ``average``.
    shown : {"face", "distance", "error"}
        How faces are coloured: as they are; by their distance from the mean face, mm; by the
        error to be expected, mm.
    message : str
        What was last refused and why, or remarked on, one line each.

    Raises
    ------
    InputError
        If the weights or a recording cannot be used.
    """

    _esm = bundle.loader("voice_loader.js")
    _css = bundle.style() + (_FOLDER / "voice_to_face.css").read_text("utf-8")

    utterances = traitlets.Tuple()
    faces = traitlets.Dict()
    _still = traitlets.Unicode("").tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    shown = traitlets.Enum(SHOWN, "face").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)
    height = traitlets.Int(280).tag(sync=True)

    def __init__(self, model="phantom", *, recordings=(), held_out=None, max_upload_mb=20.0,
                 theme="auto", height=280):  # fmt: skip
        self.listener = Listener(model, held_out=held_out)
        super().__init__(theme=theme, height=height)
        self._max_mb = max_upload_mb
        self._uploads = Uploads(max_upload_mb)
        self._packed = {}
        self.on_msg(self._answer)
        named = (
            recordings.items() if isinstance(recordings, dict) else ((None, r) for r in recordings)
        )
        for name, recording in named:
            self.add(recording, name=name)

    def add(self, recording, *, name=None, sample_rate=16_000):
        """Hear one more recording.

        Parameters
        ----------
        recording : path, bytes, or array_like (sample,) in [-1, 1]
            A sound file, the content of one, or one channel of samples.
        name : str, optional
            What to call it; by default the file's name, or "recording".
        sample_rate : int, Hz
            Rate of samples; files know their own.

        Returns
        -------
        Utterance
            Which is now selected, too.

        Raises
        ------
        InputError
            If it cannot be used; `message` says why as well.
        """
        try:
            utterance = self._listen(recording, name, sample_rate)
        except (V2MError, OSError) as error:
            self._say(one_line(error))
            raise
        self.utterances = (*self.utterances, utterance)
        self.selected = utterance.name
        for remark in utterance.remarks:
            self._say(remark)
        self._tell({"kind": "utterance", "utterance": self._packed_utterance(utterance)})
        self._follow()
        return utterance

    def remove(self, name):
        """Forget an utterance.

        Parameters
        ----------
        name : str
            Of the utterance.

        Raises
        ------
        InputError
            If there is none of this name.
        """
        left = tuple(u for u in self.utterances if u.name != name)
        if len(left) == len(self.utterances):
            raise InputError(name, "is not here", f"use one of {[u.name for u in left]}")
        self.utterances = left
        self._packed.pop(name, None)
        self._follow()

    def clear(self):
        """Forget everything that was heard and said."""
        self.utterances, self.message = (), ""
        self._packed.clear()
        self._follow()

    def lines(self, name=None):
        """Measure the named lines of a face beside the mean face.

        Parameters
        ----------
        name : str, optional
            Of the utterance, or "average"; the selected one by default.

        Returns
        -------
        pandas.DataFrame
            As `v2mlib.hearing.Listener.lines`.

        Raises
        ------
        InputError
            If there is no such face.
        """
        name = self.selected if name is None else name
        if name not in self.faces:
            raise InputError(name or "no face", "is not here", f"use one of {list(self.faces)}")
        count = len(self.utterances) if name == AVERAGE else 1
        return self.listener.lines(self.faces[name], count)

    def picture(self):
        """Still picture of what the widget shows.

        Returns
        -------
        PIL.Image.Image
            Mean face, utterances with what was heard, average.
        """
        return sheet(self.listener, self.utterances, self.faces, self.shown, self._top())

    def _listen(self, recording, name, sample_rate):
        if len(self.utterances) >= MAX_UTTERANCES:
            raise InputError(
                name or "one more recording",
                f"is too many beside {MAX_UTTERANCES} others",
                "remove one of them first",
            )
        if isinstance(recording, (bytes, bytearray, memoryview)):
            name = name or "recording"
            self._uploads.require_size(name, len(recording))
            heard = hear_bytes(self.listener, name, bytes(recording))
        else:
            is_file = isinstance(recording, (str, os.PathLike))
            name = name or (None if is_file else "recording")
            heard = self.listener.hear(recording, name=name, sample_rate=sample_rate)
        taken = {AVERAGE, *(u.name for u in self.utterances)}
        free, number = heard.name, 1
        while free in taken:
            number += 1
            free = f"{heard.name} ({number})"
        return heard._replace(name=free)

    def _follow(self):
        """Faces, selection and pictures after the utterances changed."""
        faces = {u.name: u.face for u in self.utterances}
        if len(faces) > 1:
            faces[AVERAGE] = self.listener.average(self.utterances)
        self.faces = faces
        if self.selected not in faces:
            self.selected = next(reversed(faces), "")
        self._tell(self._order())

    def _order(self):
        average, count = self.faces.get(AVERAGE), len(self.utterances)
        packed = None if average is None else pack_face(self.listener, average, count)
        names = [u.name for u in self.utterances]
        return {"kind": "order", "names": names, "average": packed, "top": self._top()}

    def _top(self):
        return scale_top(
            self.listener, [self.listener.distance(face) for face in self.faces.values()]
        )

    def _packed_utterance(self, utterance):
        if utterance.name not in self._packed:
            self._packed[utterance.name] = pack_utterance(self.listener, utterance)
        return self._packed[utterance.name]

    def _say(self, line):
        self.message = "\n".join([*self.message.splitlines(), line][-12:])

    def _tell(self, content):
        # A message and not a trait: traits end up in the notebook file, megabytes of them.
        self.send(*split_buffers(content))

    def _tell_everything(self):
        limits = {"chunk": CHUNK_BYTES, "max_mb": self._max_mb, "most": MAX_UTTERANCES}
        code = bundle.script("recorder.js", "voice_to_face.js")
        start = {"kind": "start", "code": code, "limits": limits}
        self._tell(start | pack_common(self.listener))
        for utterance in self.utterances:
            self._tell({"kind": "utterance", "utterance": self._packed_utterance(utterance)})
        self._tell(self._order())

    def _answer(self, _widget, content, buffers):
        """Act on what a browser says; a fault becomes a line there and is not raised here."""
        if not isinstance(content, dict):
            return
        key, reply = content.get("key"), {}
        try:
            reply = self._act(content, buffers) or {}
        except (V2MError, OSError) as error:
            text = one_line(error)
            if text not in self.message.splitlines():
                self._say(text)
            reply = {"refused": text}
        if key is not None:
            self._tell({"kind": "reply", "key": key, **reply})

    def _act(self, content, buffers):
        kind, key = content.get("kind"), str(content.get("key"))
        if kind == "want everything":
            self._tell_everything()
        elif kind == "new batch":
            self.message = ""
        elif kind == "offer":
            self._uploads.offer(key, content.get("name"), content.get("size"))
        elif kind == "piece":
            received, whole = self._uploads.piece(key, bytes(buffers[0]) if buffers else b"")
            if whole is not None:
                self.add(whole[1], name=whole[0])
            return {"received": received, "done": whole is not None}
        elif kind == "remove":
            self.remove(str(content.get("name")))
        elif kind == "clear":
            self.clear()
        return None

    def _repr_mimebundle_(self, **kwargs):
        image = self.picture()
        self._still = data_address(image)
        return with_picture(super()._repr_mimebundle_(**kwargs), image)

    @traitlets.validate("selected")
    def _known_face(self, proposal):
        name = proposal["value"]
        known = [
            *(u.name for u in self.utterances),
            *([AVERAGE] if len(self.utterances) > 1 else []),
        ]
        if name and name not in known:
            raise InputError(name, "is not here", f"use one of {known}")
        return name
