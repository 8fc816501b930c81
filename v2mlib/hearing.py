"""What is shown beside a predicted face: what was heard, the mean face, how wrong it may be."""

import itertools
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError, one_line

DISCLAIMER = (
    "A predicted face is a statistical estimate, an average over the voices that sound alike to "
    "the model. It is never an identification and must not be used as one."
)
"""What a predicted face is and is not; said wherever one is shown."""

LONGEST_S = 600.0
"""Longest recording that an interactive page takes, in s."""

_METHOD = "supervised"  # of the shipped predictions: made by the shipped weights


class Utterance(NamedTuple):
    """One recording and the face that was predicted from it."""

    name: str
    samples: np.ndarray  # (sample,), in [-1, 1], 16 kHz
    speech: np.ndarray  # (sample,), bool: where a voice was found
    log_mel: np.ndarray  # (frame, mel), standard deviations; of the speech alone
    face: object
    remarks: tuple

    @property
    def duration_s(self):
        """Length of the recording, s."""
        return len(self.samples) / 16_000

    @property
    def speech_s(self):
        """Length of the speech in it, s."""
        return float(self.speech.sum()) / 16_000


class Listener:
    """A model that hears recordings one by one and says how wrong its faces may be.

    Parameters
    ----------
    model : str, path or Voice2Mesh
        Weights: a shipped name, a file, or a loaded model.
    held_out : ShippedPredictions, optional
        What the model predicted for people it was not trained on, whose errors give the
        intervals; for the shipped weights those that come with the package.
    method : str
        Whose predictions among `held_out`.

    Attributes
    ----------
    model : Voice2Mesh
        The weights.
    face_model : MorphableModel
        What they predict coefficients of.
    uncertainty : str
        What the intervals are, in a sentence, or that there are none.

    Raises
    ------
    InputError
        If the weights cannot be used.
    """

    def __init__(self, model="phantom", *, held_out=None, method=_METHOD):
        from v2mlib.models import Voice2Mesh

        self.model = model if hasattr(model, "predict") else Voice2Mesh.load(model)
        self.face_model = self.model.face_model
        if held_out is None:
            held_out = _own_predictions(self.model)
        self._residuals = None if held_out is None else _residuals(held_out, method)
        self._truth = None if held_out is None else np.asarray(held_out.reference, np.float32)
        self._names, self._spreads = self.face_model.line_names(), {}
        if held_out is None:
            self.uncertainty = "How wrong these weights are is not known: no interval is shown."
        else:
            whom = "synthetic people" if self._is_phantom else "people"
            self.uncertainty = (
                f"Intervals: for {len(self._truth)} {whom} not heard in training, 95 % of the true "
                "lines lay within such an interval of the predicted one. Expected error: how far "
                "their true faces lay from the predicted ones, point by point."
                + (" For anybody else both say nothing." if self._is_phantom else "")
            )

    @property
    def _is_phantom(self):
        return self.model.card.get("data", {}).get("kind") == "phantom"

    @property
    def disclaimers(self):
        """What has to be said wherever these faces are shown, tuple of str."""
        return (*filter(None, [self.model.card.get("warning")]), DISCLAIMER)

    @property
    def mean_face(self):
        """Vertices of the mean face, ndarray (vertex, xyz=3), mm."""
        return self.face_model.mean.cpu().numpy()

    def summary(self, distance):
        """Mean and largest number over the face, without neck and skull where they are known.

        Parameters
        ----------
        distance : ndarray, (vertex,), mm
            From `distance` or `expected_error`.

        Returns
        -------
        mean, largest : float, mm
            Over the region ``whole``.
        """
        whole = self.face_model.regions.get("whole")
        part = distance if whole is None else distance[np.asarray(whole)]
        return float(part.mean()), float(part.max())

    def hear(self, recording, *, name=None, sample_rate=16_000, longest_s=LONGEST_S):
        """Predict a face from a recording and keep what was heard.

        Parameters
        ----------
        recording : path, or array_like (sample,) in [-1, 1]
            A sound file, or one channel of samples.
        name : str, optional
            What to call it, also in errors; the file's name by default.
        sample_rate : int, Hz
            Rate of samples; files know their own.
        longest_s : float, s
            Longer recordings are refused.

        Returns
        -------
        Utterance
            With warnings as remarks.

        Raises
        ------
        InputError
            As `v2m predict` refuses a recording, and if it is too long.
        """
        is_file = isinstance(recording, (str, os.PathLike))
        name = name or (Path(recording).name if is_file else "samples")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                heard = self._hear(recording, sample_rate, longest_s, is_file)
            except InputError as error:
                if error.what in (str(recording) if is_file else "samples", "samples"):
                    raise InputError(name, error.problem, error.remedy) from None
                raise
        # The same remark comes once for each time that the file is read.
        said = dict.fromkeys(one_line(warning.message) for warning in caught)
        remarks = tuple(text.replace(str(recording), name) if is_file else text for text in said)
        return Utterance(name, *heard, remarks)

    def _hear(self, recording, sample_rate, longest_s, is_file):
        from v2mlib.voices import front_end, read_audio, resample, voice_activity
        from v2mlib.voices.reading import as_samples

        if is_file:
            _refuse_long(recording, longest_s)
            samples, _ = read_audio(recording)
        else:
            samples = as_samples(recording)
            if len(samples) > longest_s * sample_rate:
                raise _too_long("samples", len(samples) / sample_rate, longest_s)
            samples = resample(samples, sample_rate)
        face = self.model.predict(recording, sample_rate)
        return samples, voice_activity(samples), front_end(recording, sample_rate), face

    def average(self, utterances):
        """Face of the average coefficients: what several recordings of one voice say together.

        Parameters
        ----------
        utterances : sequence of Utterance
            At least one.

        Returns
        -------
        Face
            Each utterance counts the same.
        """
        from v2mlib.models import Face

        parts = zip(*(utterance.face.coefficients for utterance in utterances), strict=True)
        return Face.from_coefficients(self.face_model, *(np.mean(part, axis=0) for part in parts))

    def distance(self, face):
        """Distance of every vertex from the mean face.

        Parameters
        ----------
        face : Face
            A predicted face.

        Returns
        -------
        ndarray, (vertex,), mm
            Between corresponding vertices; nothing is aligned.
        """
        return np.linalg.norm(face.vertices - self.mean_face, axis=1)

    def expected_error(self, n_utterances=1):
        """Root-mean-square error of every vertex on the held-out people.

        Parameters
        ----------
        n_utterances : int
            Over how many utterances the prediction is averaged; more than were measured count
            as many as were.

        Returns
        -------
        ndarray (vertex,), mm, or None
            None where no errors are known.
        """
        if self._residuals is None:
            return None
        error = self._errors(n_utterances).reshape(-1, self._truth.shape[-1]).astype(float)
        model = self.face_model
        modes = (model.shape_basis * model.shape_std).double().cpu().numpy()  # (vertex, xyz, s)
        second = error.T @ error / len(error)
        # E |B e|^2 = trace(B E[e e'] B'), without decoding every face.
        return np.sqrt(np.einsum("vxs,vxs->v", modes @ second, modes))

    def lines(self, face, n_utterances=1, *, level=0.95):
        """Measure the named lines beside the mean face.

        Parameters
        ----------
        face : Face
            A predicted face.
        n_utterances : int
            Over how many utterances it is averaged.
        level : float
            Of the intervals.

        Returns
        -------
        pandas.DataFrame
            A row per line: ``line``, ``predicted_mm``, ``ci_low``, ``ci_high`` (mm; missing
            where no errors are known), ``mean_face_mm``, and over the outer interocular
            distance ``ratio`` and ``mean_face_ratio``. The interval is the prediction plus
            quantiles of (true - predicted) on the held-out people.
        """
        import pandas as pd

        from v2mlib.faces.lines import DIVISOR

        predicted = self._lengths(*face.coefficients)
        mean = self._lengths(np.zeros(len(face.coefficients[0]), np.float32))
        divisor = self._names.index(DIVISOR)
        table = pd.DataFrame({"line": self._names, "predicted_mm": predicted})
        table[["ci_low", "ci_high"]] = np.nan
        if self._residuals is not None:
            low, high = self._spread(min(n_utterances, self._residuals.shape[1]), level)
            table["ci_low"], table["ci_high"] = predicted + low, predicted + high
        table["mean_face_mm"] = mean
        table["ratio"] = predicted / predicted[divisor]
        table["mean_face_ratio"] = mean / mean[divisor]
        return table

    def _lengths(self, shape, expression=None):
        """Lengths in mm, (..., line), without decoding the rest of the face."""
        pairs = np.array([self.face_model.line(name) for name in self._names])
        ends = [self.face_model.decode(shape, expression, vertices=ids) for ids in pairs.T]
        return np.linalg.norm((ends[1] - ends[0]).cpu().numpy().astype(float), axis=-1)

    def _spread(self, n_utterances, level):
        """Quantiles of true minus predicted lines over the held-out people, (2, line), mm."""
        if (n_utterances, level) not in self._spreads:
            error = self._errors(n_utterances)
            truth = self._lengths(self._truth)[:, None]  # (identity, 1, line)
            away = truth - self._lengths(self._truth[:, None] - error)
            tail = (1 - level) / 2
            found = np.quantile(away.reshape(-1, away.shape[-1]), [tail, 1 - tail], axis=0)
            self._spreads[n_utterances, level] = found
        return self._spreads[n_utterances, level]

    def _errors(self, n_utterances):
        """True minus predicted coefficients, (identity, choice of utterances, shape)."""
        known = self._residuals.shape[1]
        choices = itertools.combinations(range(known), min(max(n_utterances, 1), known))
        return np.stack([self._residuals[:, list(c)].mean(1) for c in choices], axis=1)


def _own_predictions(model):
    """The shipped predictions, if they were made by these weights."""
    from v2mlib.fitting import shipped_predictions
    from v2mlib.models.voice2mesh import SHIPPED

    if model.name not in SHIPPED:
        return None
    found = shipped_predictions(model.name)
    scored = found.card.get("scores", {}).get(_METHOD, {}).get("error", np.nan)
    same = abs(scored - model.card.get("metrics", {}).get("model", np.nan)) < 1e-4
    return found if same and _METHOD in found.predicted else None


def _residuals(held_out, method):
    if method not in held_out.predicted:
        raise InputError(
            f"method {method!r}", "is not held out", f"choose from {', '.join(held_out.predicted)}"
        )
    return held_out.reference[:, None] - held_out.predicted[method]


def _refuse_long(path, longest_s):
    """Look at the length before anything is decoded: a small file can hold hours."""
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError, TypeError):
        return  # reading it will say what it is
    if info.frames >= 1 << 62:
        raise InputError(path, "does not say how long it is", "export it again, as WAV")
    if info.frames > longest_s * info.samplerate:
        raise _too_long(path, info.frames / info.samplerate, longest_s)


def _too_long(what, duration_s, longest_s):
    return InputError(
        what,
        f"lasts {duration_s / 60:.1f} minutes, more than {longest_s / 60:g}",
        "cut a part of it; a few seconds are enough",
    )
