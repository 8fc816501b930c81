"""The manifest of a built data set: a row per recording and photograph, used or not.

=================  ========================================================================
column             meaning
=================  ========================================================================
kind               "utterance", "photo"; "identity" for a person's whole folder left out
identity           whose; empty where that is not known
path               absolute
size_bytes         of the file; -1 where it was not looked at
sha256             of its content; empty where it could not be read
accepted           whether it is in the data set
reason             why not; empty where accepted
video, clip        of an utterance, as its folders have it
duration_s         of an utterance
speech_s           of an utterance: duration of the speech in it
speech_share       of an utterance: speech over duration
level_db           of an utterance's speech, relative to full scale
clipped_share      of an utterance's samples
snr_db             of an utterance, an estimate: its speech over its quietest tenth
n_frames           of an utterance's log-mel matrix
width_px           of a photo
height_px          of a photo
sharpness          of a photo's face; see `v2mlib.photos.sharpness`
score              of a photo: the detector's confidence
face_px            of a photo: side of the square as large as the box around the landmarks
n_landmarks        of a photo: landmarks found, of 68
yaw_deg            of a photo: how far the head is turned
residual_px        of a photo: root mean square distance of landmarks from the fitted face
residual_relative  the same over the face's size
rule               of a rejected photo: the kind of reason, in one word
=================  ========================================================================

Figures that do not apply are missing values: of log-mel matrices that came in place of
recordings only `n_frames` is known, of faces that came fitted only `rule`. Their files are rows
of kinds "utterance" and "photo".
"""

import pandas as pd

_COMMON = {
    "kind": "string",
    "identity": "string",
    "path": "string",
    "size_bytes": "int64",
    "sha256": "string",
    "accepted": "bool",
    "reason": "string",
}
VOICE_COLUMNS = {
    "video": "string",
    "clip": "string",
    "duration_s": "float64",
    "speech_s": "float64",
    "speech_share": "float64",
    "level_db": "float64",
    "clipped_share": "float64",
    "snr_db": "float64",
    "n_frames": "Int64",
}
PHOTO_COLUMNS = {
    "width_px": "Int64",
    "height_px": "Int64",
    "sharpness": "float64",
    "score": "float64",
    "face_px": "float64",
    "n_landmarks": "Int64",
    "yaw_deg": "float64",
    "residual_px": "float64",
    "residual_relative": "float64",
    "rule": "string",
}
COLUMNS = {**_COMMON, **VOICE_COLUMNS, **PHOTO_COLUMNS}
"""Columns and their types, in order."""

_EMPTY = {"identity": "", "sha256": "", "reason": "", "size_bytes": -1, "accepted": False}


def make_manifest(tables):
    """Put the rows of all kinds into one table.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        Each with some of the `COLUMNS`, in the order in which they are to appear.

    Returns
    -------
    pandas.DataFrame
        All `COLUMNS`, in their types.
    """
    parts = []
    for table in tables:
        part = table.reindex(columns=list(COLUMNS))
        for name, value in _EMPTY.items():
            part[name] = part[name].astype(object).where(part[name].notna(), value)
        parts.append(part.astype(COLUMNS))
    return pd.concat(parts, ignore_index=True)
