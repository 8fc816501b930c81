"""VoxCeleb1 as people have it: recordings in `wav/idNNNNN/<video>/<clip>.wav`, names in a table."""

import os
import re

import pandas as pd
from tqdm import tqdm

from v2mlib.checks import InputError
from v2mlib.datasets.scanning import (
    Found,
    absolute,
    is_text,
    list_folder,
    list_or_reject,
    rejected_table,
)
from v2mlib.datasets.tables import Fault, read_lines, read_sex, refuse

META_NAMES = ("vox1_meta.csv", "vox1_meta.tsv", "vox1_meta.txt")
#: Formats that `v2mlib.voices.read_audio` decodes, the original's first.
RECORDINGS = (".wav", ".flac", ".ogg", ".mp3")
_ENCODED = (".m4a", ".aac", ".mp4", ".mov", ".mkv", ".webm", ".wma")
_COLUMNS = {
    "identity": ("voxceleb1id", "voxceleb2id", "voxcelebid", "identity", "id"),
    "name": ("vggface1id", "vggface2id", "vggfaceid", "name"),
    "sex": ("gender", "sex"),
    "nationality": ("nationality",),
    "set": ("set",),
}
_FURTHEST = 3  # levels between the folder given and those of the identities
_MOST_SIBLINGS = 50  # a folder of more folders holds people's photographs, not `wav`

# Of a folder that lies where identities lie.
_NAMELESS = "is not named as an identity (id10001): whose its files are is not known"


def read_meta(path):
    """Read the list of people, `vox1_meta.csv`.

    Tabs separate the columns of the original; copies with commas or semicolons (and spaces after
    them), with spaces for tabs, with a byte-order mark or Windows line ends are read alike.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    pandas.DataFrame
        `identity`, `name` (as VGGFace spells it), `sex` ("m" or "f"), `nationality`, `set`
        ("dev" or "test"); the last two None where the file lacks them. In the file's order.

    Raises
    ------
    InputError
        If the file is absent, lacks a column, names an identity twice, or does not say "m" or
        "f"; file, line and remedy are named.
    """
    rows, faults, seen = [], [], {}
    for number, values in read_lines(path, _COLUMNS, required=("identity", "name", "sex")):
        values = {name: text or None for name, text in values.items()}
        identity = values["identity"]
        faults += _faults(number, values, seen)
        seen.setdefault(identity, number)
        rows.append(values | {"sex": read_sex(values["sex"] or "")})
    refuse(path, faults)
    if not rows:
        raise InputError(path, "names nobody", "download the list again")
    return pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)


def _faults(number, values, seen):
    again = "download the list again, or correct the line"
    identity, name, sex = (values[column] for column in ("identity", "name", "sex"))
    if not identity or not name:
        yield Fault(number, "has no identity or no name", again)
    elif identity in seen:
        yield Fault(number, f"names {identity} again, as line {seen[identity]} does", again)
    if not read_sex(sex or ""):
        yield Fault(number, f"gives the sex {sex or ''!r}, which is neither m nor f", again)


def find_meta(*folders):
    """Find the list of people in or beside folders.

    Parameters
    ----------
    *folders : path
        Where to look: in each, and up to two levels above.

    Returns
    -------
    str or None
        Path of the first `vox1_meta.csv` (or `.tsv`, `.txt`).
    """
    for folder in map(absolute, folders):
        for place in (folder, os.path.dirname(folder), os.path.dirname(os.path.dirname(folder))):
            for name in META_NAMES:
                if os.path.isfile(os.path.join(place, name)):
                    return os.path.join(place, name)
    return None


def find_recordings(folder, *, progress=True):
    """Find the recordings of a VoxCeleb1 tree.

    Parameters
    ----------
    folder : path
        The folder of the `idNNNNN` folders, or one up to three levels above (`wav`, `dev/wav` and
        `test/wav`, a phantom world).
    progress : bool
        Whether to show a progress bar on the standard error stream where it takes long.

    Returns
    -------
    Found
        Table of `identity`, `video`, `clip`, `path`, and what was rejected.

    Raises
    ------
    InputError
        If there is no such tree.
    """
    return scan_tree(folder, refusal, "wav/idNNNNN/<video>/<clip>.wav", progress=progress)


def scan_tree(folder, refusal, expected, *, identity=r"id\d+", progress=True):
    """Find files in folders of identities and videos.

    Parameters
    ----------
    folder : path
        Where to look, up to three levels above the folders of the identities.
    refusal : callable
        Takes a file's name and the names beside it, and returns why it is rejected, or None.
    expected : str
        What the tree should look like, for errors.
    identity : str
        Regular expression of the names of identities' folders.
    progress : bool
        Whether to show a progress bar on the standard error stream where it takes long.

    Returns
    -------
    Found
        Table of `identity`, `video`, `clip`, `path`, and what was rejected.

    Raises
    ------
    InputError
        If there is no such tree.
    """
    folder = absolute(folder)
    list_folder(folder)  # that it cannot be read is an error; of the folders inside, a report
    rows, rejected = [], []
    trees = _trees(folder, re.compile(identity), rejected)
    if not trees:
        raise InputError(folder, "holds no folder of a VoxCeleb identity", f"expected {expected}")
    people = [(place, person) for place, names in trees for person in names]
    scans = {place: [] for place, _ in trees}
    for place, person in tqdm(people, "recordings", unit="person", delay=2, disable=not progress):
        used, refused = _scan_identity(os.path.join(place, person), person, refusal)
        rows += used
        scans[place].append((used, refused))
    for scan in scans.values():
        # Beside `wav`, people keep trees of text or pictures of the same form: not our matter.
        if len(scans) == 1 or any(used or _convertible(refused) for used, refused in scan):
            rejected += [row for _, refused in scan for row in refused]
    table = pd.DataFrame(rows, columns=["identity", "video", "clip", "path"], dtype=object)
    table = table.sort_values(["identity", "video", "clip", "path"], ignore_index=True)
    twice = table.duplicated(["identity", "video", "clip"])
    again = "the same clip is in another folder of the tree"
    rejected += [("utterance", path, again) for path in table.loc[twice, "path"]]
    return Found(table[~twice].reset_index(drop=True), rejected_table(rejected))


def refusal(name, among=()):
    """Say why a file cannot be used as a recording, by its name.

    Parameters
    ----------
    name : str
        Name of the file.
    among : collection of str
        The files beside it.

    Returns
    -------
    str or None
        The reason; None if it can be used.

    Examples
    --------
    >>> refusal("00001.m4a")
    'm4a cannot be decoded here; convert it: ffmpeg -i 00001.m4a -ac 1 -ar 16000 00001.wav'
    >>> refusal("00001.wav") is None
    True
    """
    if not is_text(name):
        return "has a name that is not text (UTF-8): rename it"
    stem, suffix = os.path.splitext(name)
    suffix = suffix.lower()
    rivals = RECORDINGS[: RECORDINGS.index(suffix)] if suffix in RECORDINGS else RECORDINGS
    if suffix in RECORDINGS or suffix in _ENCODED:
        for rival in rivals:
            if stem + rival in among:
                return f"the same clip as {stem}{rival}, which is used"
    if suffix in _ENCODED:
        return (
            f"{suffix[1:]} cannot be decoded here; "
            f"convert it: ffmpeg -i {name} -ac 1 -ar 16000 {stem}.wav"
        )
    return None if suffix in RECORDINGS else "is not a recording"


def _convertible(refused):
    return any("ffmpeg" in reason for _, _, reason in refused)


def _trees(folder, identity, rejected):
    """Folders that hold identities, and the identities in each."""
    if identity.fullmatch(os.path.basename(folder)):
        return [(os.path.dirname(folder), [os.path.basename(folder)])]
    trees, level = [], [folder]
    for _ in range(_FURTHEST + 1):
        below = []
        for place in level:
            folders, files = list_or_reject(place, rejected)
            names = [name for name in folders if identity.fullmatch(name)]
            if names:
                trees.append((place, names))
                rejected += _astray(place, files)
                others = (name for name in folders if not identity.fullmatch(name))
                rejected += [("identity", os.path.join(place, one), _NAMELESS) for one in others]
            elif len(folders) <= _MOST_SIBLINGS:
                below += [os.path.join(place, name) for name in folders]
        level = below
    return trees


def _astray(folder, files):
    """Rows of recordings that lie beside the folders of the identities."""
    for name in files:
        if name.lower().endswith(RECORDINGS + _ENCODED):
            why = "lies beside the folders of the identities: whose it is is not known"
            yield "utterance", os.path.join(folder, name), why


def _scan_identity(folder, identity, refusal):
    """Rows of an identity's files, and of its rejected ones."""
    rows, rejected = [], []
    videos, strays = list_or_reject(folder, rejected)
    for name in strays:
        why = f"lies beside the folders of the videos; expected {identity}/<video>/{name}"
        rejected.append(("utterance", os.path.join(folder, name), why))
    for video in videos:
        place = os.path.join(folder, video)
        deeper, files = list_or_reject(place, rejected)
        for name in deeper:
            why = "is a folder where a clip was expected"
            rejected.append(("utterance", os.path.join(place, name), why))
        among = frozenset(files)
        for name in files:
            path = os.path.join(place, name)
            reason = refusal(name, among)
            if reason:
                rejected.append(("utterance", path, reason))
            else:
                rows.append((identity, video, os.path.splitext(name)[0], path))
    if not rows and not rejected:
        rejected.append(("identity", folder, "holds no recording"))
    return rows, rejected
