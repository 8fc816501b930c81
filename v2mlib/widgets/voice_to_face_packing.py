"""What a browser is told about utterances and their faces, small enough for messages."""

import numpy as np

from v2mlib.voices import mel_filters
from v2mlib.widgets.colouring import scalar_map
from v2mlib.widgets.packing import (
    as_array,
    gloss_of,
    pack_anatomy,
    pack_colours,
    pack_triangles,
    pack_vertices,
)
from v2mlib.widgets.stills import occlusion_of

SLOTS = 300
"""Columns of a waveform or a log-mel matrix on a screen."""

MEL_LIMITS = (-2.0, 2.5)
"""Range of log-mel colours, standard deviations of each band."""

_TICKS_HZ = (500, 1500, 4000)


def pack_common(listener):
    """What all faces share.

    Parameters
    ----------
    listener : Listener
        Whose face model it is.

    Returns
    -------
    dict
        Mean face, triangles, colours, names; colour stops of both maps; what has to be said.
    """
    model = listener.face_model
    mean = listener.mean_face
    triangles = as_array(model.triangles)
    unit = np.linspace(0, 1, 2)
    return {
        "common": {
            "triangles": pack_triangles(triangles, len(mean)),
            "colours": pack_colours(None if model.colours is None else as_array(model.colours)),
            "sky": pack_colours(occlusion_of(model, mean, triangles)),
            "gloss": pack_colours(gloss_of(model)),
            **pack_anatomy(model),
        },
        "mean": pack_vertices(mean),
        "stops": scalar_map(unit).stops,
        "mel_stops": scalar_map(unit, colour_map="magma").stops,
        "mel_ticks": mel_ticks(),
        "uncertainty": listener.uncertainty,
        "knows_error": listener.expected_error() is not None,
        "disclaimers": list(listener.disclaimers),
    }


def pack_face(listener, face, n_utterances=1):
    """One face with what is measured on it.

    Parameters
    ----------
    listener : Listener
        Who predicted it.
    face : Face
        The face.
    n_utterances : int
        Over how many utterances it is averaged.

    Returns
    -------
    dict
        Vertices, distance from the mean face and expected error with a line about each, lines.
    """
    distance = listener.distance(face)
    lines = listener.lines(face, n_utterances)
    rows = lines.round(3).astype(object).where(lines.notna(), None).to_dict("records")
    return {
        **pack_vertices(face.vertices),
        "values": distance.astype("<f4").tobytes(),
        **pack_expected(listener, n_utterances),
        "summary": distance_words(listener, distance),
        "lines": rows,
    }


def pack_expected(listener, n_utterances):
    """The error to be expected, vertex by vertex.

    Parameters
    ----------
    listener : Listener
        Who knows it, or not.
    n_utterances : int
        Over how many utterances a prediction is averaged.

    Returns
    -------
    dict
        Float32 bytes, the end of their scale and a line about them; empty if nothing is known.
    """
    expected = listener.expected_error(n_utterances)
    if expected is None:
        return {}
    return {
        "expected": expected.astype("<f4").tobytes(),
        "expected_top": scale_top(listener, [expected]),
        "expected_summary": error_words(listener, expected),
    }


def pack_utterance(listener, utterance):
    """One utterance with its face.

    Parameters
    ----------
    listener : Listener
        Who heard it.
    utterance : Utterance
        The utterance.

    Returns
    -------
    dict
        Some 150 KB, whatever its length.
    """
    low, high, spoken = waveform_slots(utterance)
    mel = mel_slots(utterance)
    return {
        "name": utterance.name,
        "duration_s": round(utterance.duration_s, 2),
        "speech_s": round(utterance.speech_s, 2),
        "remarks": list(utterance.remarks),
        "wave": np.round(127 * np.stack([low, high])).astype("i1").tobytes(),
        "spoken": spoken.astype("u1").tobytes(),
        "mel": np.round(255 * mel).astype("u1").tobytes(),
        "mel_columns": len(mel),
        "face": pack_face(listener, utterance.face),
    }


def distance_words(listener, distance):
    """One line about the distance from the mean face.

    Parameters
    ----------
    listener : Listener
        Whose face model it is.
    distance : ndarray, (vertex,), mm
        From the mean face.

    Returns
    -------
    str
        Mean and largest over the face.
    """
    mean, largest = listener.summary(distance)
    return f"from the mean face: mean {mean:.1f} mm, largest {largest:.1f} mm"


def error_words(listener, expected):
    """One line about the error to be expected.

    Parameters
    ----------
    listener : Listener
        Whose it is.
    expected : ndarray, (vertex,), mm
        Root-mean-square error of every vertex.

    Returns
    -------
    str
        Its root mean square over the face.
    """
    root = listener.summary(expected**2)[0] ** 0.5
    return f"expected error {root:.1f} mm (root mean square)"


def waveform_slots(utterance):
    """Thin a waveform without losing its peaks.

    Parameters
    ----------
    utterance : Utterance
        The utterance.

    Returns
    -------
    low, high : ndarray, (slot,), in [-1, 1]
        Extremes, relative to the loudest sample.
    spoken : ndarray of bool, (slot,)
        Whether there is speech.
    """
    samples, count = utterance.samples, min(SLOTS, len(utterance.samples))
    edges = np.linspace(0, len(samples), count, endpoint=False).astype(int)
    peak = max(float(np.abs(samples).max()), 1e-9)
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    spoken = np.logical_or.reduceat(utterance.speech, edges)
    return np.clip(low / peak, -1, 1), np.clip(high / peak, -1, 1), spoken


def mel_slots(utterance):
    """Thin a log-mel matrix by averaging neighbouring frames.

    Parameters
    ----------
    utterance : Utterance
        The utterance.

    Returns
    -------
    ndarray, (slot, mel)
        From 0 to 1 over `MEL_LIMITS`.
    """
    matrix = utterance.log_mel
    edges = np.linspace(0, len(matrix), min(SLOTS, len(matrix)), endpoint=False).astype(int)
    sizes = np.diff(np.append(edges, len(matrix)))[:, None]
    low, high = MEL_LIMITS
    return np.clip((np.add.reduceat(matrix, edges) / sizes - low) / (high - low), 0, 1)


def mel_ticks():
    """Where round frequencies lie on the mel axis.

    Returns
    -------
    list of (float, str)
        Share of the axis from below, and the frequency in kHz.
    """
    filters = mel_filters()  # (bin, mel), up to 8 kHz
    hertz = filters.argmax(0) * 8000 / (len(filters) - 1)
    places = np.interp(_TICKS_HZ, hertz, (np.arange(len(hertz)) + 0.5) / len(hertz))
    return [(round(float(p), 4), f"{f / 1000:g}") for p, f in zip(places, _TICKS_HZ, strict=True)]


def scale_top(listener, distances):
    """Upper end of a scale that holds all distances on the face.

    Parameters
    ----------
    listener : Listener
        Whose face model it is.
    distances : sequence of ndarray (vertex,), mm
        Of all faces shown.

    Returns
    -------
    float, mm
        A whole number, at least 2.
    """
    return float(max([2.0, *(np.ceil(listener.summary(d)[1]) for d in distances)]))
