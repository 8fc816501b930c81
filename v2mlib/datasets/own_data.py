"""One's own recordings and photographs, listed in a CSV."""

import os
from typing import NamedTuple

import pandas as pd

from v2mlib.datasets import vggface, voxceleb
from v2mlib.datasets.scanning import absolute, rejected_table
from v2mlib.datasets.tables import Fault, read_lines, read_sex, refuse

_COLUMNS = {
    "identity": ("identity", "id", "person"),
    "sex": ("sex", "gender"),
    "audio": ("audio", "recording"),
    "photo": ("photo", "image"),
    "name": ("name",),
    "video": ("video", "session"),
}
_KINDS = {"audio": ("utterance", voxceleb), "photo": ("photo", vggface)}
_UNKNOWN = ("", "?", "unknown", "na", "n/a")


class OwnData(NamedTuple):
    """What a table lists; tables as in `v2mlib.datasets.sources.Sources`."""

    identities: pd.DataFrame
    utterances: pd.DataFrame
    photos: pd.DataFrame
    rejected: pd.DataFrame


def read_table(path):
    """Read a table of recordings and photographs.

    A line names a recording, a photograph, or both, of one person; a photograph may stand beside
    several recordings, and the other way round::

        identity,sex,audio,photo
        anna,f,anna/monday.wav,anna/1.jpg
        anna,f,anna/tuesday.wav,
        ben,m,ben.wav,ben.jpg

    Relative paths start at the table's folder. Optional columns are `name`, and `video` (the
    session in which a recording was made: clips of one session never part in a split; by default
    each recording is a session).

    Parameters
    ----------
    path : path
        The CSV; semicolons and tabs separate too.

    Returns
    -------
    OwnData
        With `sex` None where it is left empty. Files of a format that is not read are rejected.

    Raises
    ------
    InputError
        If the table lacks a column, or a line names a file that does not exist, a file of
        another person, only files of earlier lines, an unknown sex, or another sex than an
        earlier line of the same person. File, line and remedy are named.
    """
    path = absolute(path)
    folder = os.path.dirname(path)
    lines = read_lines(path, _COLUMNS, required=("identity", "sex"), strict=True)
    people, files = {}, {}
    faults = [] if lines else [Fault(1, "is followed by no line", "list a recording or photograph")]
    for number, values in lines:
        faults += _person(number, values, people)
        faults += _files(number, values, folder, files)
    refuse(path, faults)
    identities = [(identity, name, sex, None) for identity, (name, sex, _) in people.items()]
    rejected, rows = [], {"audio": [], "photo": []}
    for (column, file), (_, identity, video) in files.items():
        kind, module = _KINDS[column]
        reason = module.refusal(os.path.basename(file))
        if reason:
            rejected.append((kind, file, reason))
        elif column == "photo":
            rows[column].append((identity, file))
        else:
            clip = os.path.splitext(os.path.relpath(file, folder).replace(os.sep, "/"))[0]
            rows[column].append((identity, video or clip, os.path.basename(clip), file))
    return OwnData(
        pd.DataFrame(identities, columns=["identity", "name", "sex", "set"], dtype=object),
        pd.DataFrame(rows["audio"], columns=["identity", "video", "clip", "path"], dtype=object),
        pd.DataFrame(rows["photo"], columns=["identity", "path"], dtype=object),
        rejected_table(rejected),
    )


def _person(number, values, people):
    """Note who a line is about; yield what is wrong with it."""
    identity, name, text = values["identity"], values["name"] or None, values["sex"]
    sex = read_sex(text)
    if not identity:
        yield Fault(number, "has no identity", "give every person a short id")
        return
    if sex is None and text.casefold() not in _UNKNOWN:
        yield Fault(number, f"gives the sex {text!r}", "write m or f, or leave it empty")
    if identity not in people:
        people[identity] = (name, sex, number)
        return
    known_name, known_sex, first = people[identity]
    for what, one, other in (("sex", known_sex, sex), ("name", known_name, name)):
        if one and other and one != other:
            yield Fault(
                number,
                f"gives {identity} the {what} {other}, line {first} says {one}",
                "correct one of the lines",
            )
    people[identity] = (known_name or name, known_sex or sex, first)


def _files(number, values, folder, files):
    """Note the files of a line; yield what is wrong with them."""
    given = {column: values[column] for column in _KINDS if values[column]}
    if not given:
        yield Fault(number, "names no file", "fill in audio or photo")
    known = []
    for column, text in given.items():
        file = os.path.normpath(os.path.join(folder, os.path.expanduser(text)))
        earlier, owner, _ = files.setdefault(
            (column, file), (number, values["identity"], values["video"])
        )
        if not os.path.isfile(file):
            yield Fault(
                number, f"names {column} {text!r}, which does not exist", f"paths start at {folder}"
            )
        elif owner != values["identity"]:
            problem = (
                f"gives {values['identity']} the {column} {text}, line {earlier} gives {owner}"
            )
            yield Fault(number, problem, "a file belongs to one person: correct one of the lines")
        elif earlier != number:
            known.append(earlier)
    if known and len(known) == len(given):
        problem = f"adds nothing to line {known[0]}, which names the same"
        yield Fault(number, problem, "take one of the two out")
