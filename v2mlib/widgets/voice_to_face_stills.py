"""Still picture of what `VoiceToFace` shows: for stored notebooks and paper."""

import textwrap

import numpy as np
from PIL import Image, ImageDraw

from v2mlib.widgets.colouring import scalar_map
from v2mlib.widgets.packing import as_array, gloss_of
from v2mlib.widgets.stills import beside, occlusion_of, still, write_on
from v2mlib.widgets.voice_to_face_packing import (
    distance_words,
    error_words,
    mel_slots,
    scale_top,
    waveform_slots,
)

_SIZE = (250, 250)
_HEARD = 150  # rows for waveform and log-mel
_SPEECH, _SILENCE = (0, 114, 178), (170, 178, 190)


def sheet(listener, utterances, faces, shown, top):
    """Draw the mean face, each utterance with its face, and the average.

    Parameters
    ----------
    listener : Listener
        Who heard them.
    utterances : sequence of Utterance
        In order.
    faces : dict of str to Face
        Theirs, and perhaps their average.
    shown : {"face", "distance", "error"}
        How faces are coloured.
    top : float, mm
        Upper end of the distance scale.

    Returns
    -------
    PIL.Image.Image
        At most five columns a row: mean face, average, utterances.
    """
    heard = {utterance.name: utterance for utterance in utterances}
    columns = [_column(listener, "mean face", listener.mean_face, None, None)]
    for name, face in sorted(faces.items(), key=lambda pair: pair[0] in heard):
        distance = listener.distance(face)
        count = 1 if name in heard else len(utterances)
        numbers, words = _numbers(listener, distance, shown, top, count)
        columns.append(_column(listener, name, face.vertices, numbers, heard.get(name), words))
        if len(faces) == 1 and shown == "face":
            numbers, _ = _numbers(listener, distance, "distance", top, 1)
            columns.append(_column(listener, "", face.vertices, numbers, None))
    rows = [beside(columns[k : k + 5]) for k in range(0, len(columns), 5)]
    picture = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for k, row in enumerate(rows):
        picture.paste(row, (0, k * rows[0].height))
    return picture


def _numbers(listener, distance, shown, top, count):
    words = distance_words(listener, distance)
    if shown == "distance":
        return scalar_map(distance, name="from the mean face", limits=(0, top)), words
    expected = listener.expected_error(count) if shown == "error" else None
    if expected is None:
        return None, words
    limits = (0, scale_top(listener, [expected]))
    return scalar_map(expected, name="expected error", limits=limits), error_words(
        listener, expected
    )


def _column(listener, name, vertices, numbers, utterance, caption=""):
    model, (height, width) = listener.face_model, _SIZE
    colours = None if model.colours is None else as_array(model.colours)
    triangles = as_array(model.triangles)
    picture = Image.new("RGB", (width, _HEARD + height + 36), "white")
    sky = occlusion_of(model, listener.mean_face, triangles)
    face = still(vertices, triangles, colours=colours, scalars=numbers, camera="front", size=_SIZE,
                 occlusion=sky, gloss=gloss_of(model))  # fmt: skip
    picture.paste(face, (0, _HEARD))
    paper = ImageDraw.Draw(picture)
    write_on(paper, (4, 4), name if len(name) < 30 else f"{name[:28]}…", 14)
    for row, line in enumerate(textwrap.wrap(caption, 38)[:2]):
        write_on(paper, (4, _HEARD + height + 3 + 15 * row), line, 11)
    if utterance is not None:
        _draw_heard(picture, paper, utterance, width)
    return picture


def _draw_heard(picture, paper, utterance, width):
    low, high, spoken = waveform_slots(utterance)
    middle, half = 52, 24
    for k, (a, b, voiced) in enumerate(zip(low, high, spoken, strict=True)):
        left = k * width // len(low)
        span = (left, middle - half * b, left, middle - half * a)
        paper.line(span, fill=_SPEECH if voiced else _SILENCE)
    mel = mel_slots(utterance)  # (slot, mel)
    colours = scalar_map(mel.ravel(), limits=(0, 1), colour_map="magma").colours()
    bands = np.round(255 * colours.reshape(*mel.shape, 3)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(bands.transpose(1, 0, 2)[::-1]))
    picture.paste(image.resize((width, 46)), (0, 82))
    text = f"{utterance.duration_s:.1f} s, {utterance.speech_s:.1f} s of speech; log-mel"
    write_on(paper, (4, 131), text, 11)
