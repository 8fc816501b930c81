"""Photographs of VGGFace: a folder per name, and whose name it is."""

import difflib
import os
import unicodedata
import urllib.parse
from typing import NamedTuple

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

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_OTHER_PICTURES = (".gif", ".heic", ".avif")
_CONTAINERS = ("faces", "unzippedFaces", "VGG_ALL_FRONTAL", "vggface", "VGGFace")
_DEEPEST = 3  # levels below a name, such as frame rate and video
# Letters that Unicode does not take apart.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe",
                          "ı": "i"})  # fmt: skip


class Matches(NamedTuple):
    """Whose folder is whose.

    Attributes
    ----------
    identity : dict of str to str
        Identity by name of a folder.
    unmatched_folders : dict of str to str
        Why a folder is nobody's.
    unmatched_identities : dict of str to str
        Why an identity has no folder.
    """

    identity: dict
    unmatched_folders: dict
    unmatched_identities: dict


def find_photos(folder, *, progress=True):
    """Find photographs in folders by name.

    Parameters
    ----------
    folder : path
        Holds `<Name>/*.jpg` (or `.png`), or `<Name>/<rate>/<video>/*.jpg` as in VoxCeleb's own
        crops; or holds such a folder, as a phantom world does.
    progress : bool
        Whether to show a progress bar on the standard error stream where it takes long.

    Returns
    -------
    Found
        Table of `name` (of the folder) and `path`, and what was rejected. Pictures with a mesh
        drawn over them, `<photo>_b.jpg` of the public Voxceleb-3D files, are rejected.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    folder = absolute(folder)
    inside = list_folder(folder)
    for name in _CONTAINERS:
        if name in inside.folders:
            folder = os.path.join(folder, name)
            inside = list_folder(folder)
            break
    if not inside.folders:
        lists = sum(name.endswith(".txt") for name in inside.files)
        remedy = "expected a folder for each name: <Name>/*.jpg"
        if lists:
            remedy = "its text files are lists of addresses: download the photographs first"
        raise InputError(folder, "holds no folders of photographs", remedy)
    astray = "lies beside the folders of the names: whose it is is not known"
    photos = [name for name in inside.files if name.lower().endswith(PHOTOS)]
    rows, rejected = [], [("photo", os.path.join(folder, name), astray) for name in photos]
    for name in tqdm(inside.folders, "photographs", unit="person", delay=2, disable=not progress):
        n_before = len(rows)
        _scan(os.path.join(folder, name), name, rows, rejected, _DEEPEST)
        if len(rows) == n_before:
            rejected.append(("identity", os.path.join(folder, name), "holds no photograph"))
    table = pd.DataFrame(rows, columns=["name", "path"], dtype=object)
    return Found(table.sort_values(["name", "path"], ignore_index=True), rejected_table(rejected))


def refusal(name, among=()):
    """Say why a file cannot be used as a photograph, by its name.

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
    >>> refusal("00000001_b.jpg", {"00000001.xyz", "00000001_b.jpg"})
    'has a mesh drawn over it'
    >>> refusal("00000001.JPG") is None
    True
    """
    if not is_text(name):
        return "has a name that is not text (UTF-8): rename it"
    stem, suffix = os.path.splitext(name)
    suffix = suffix.lower()
    if suffix in PHOTOS:
        if stem.endswith("_b"):
            origins = (stem[:-2] + end for end in (".jpg", ".xyz", ".obj", ".npy"))
            if any(origin in among for origin in origins):
                return "has a mesh drawn over it"
        return None
    if suffix in _OTHER_PICTURES:
        return f"{suffix[1:]} is not read: convert it to jpg or png"
    return "is not a photograph"


def fold_name(name):
    """Reduce a name to what its spellings have in common.

    Parameters
    ----------
    name : str
        With underscores or spaces, quotes, percent signs, accents, any case.

    Returns
    -------
    str
        Lower-case letters and digits, without accents.

    Examples
    --------
    >>> fold_name("Conan_O'Brien") == fold_name("conan o%27brien") == "conanobrien"
    True
    >>> fold_name("Chloë_Grace_Moretz"), fold_name("A.J._Buckley")
    ('chloegracemoretz', 'ajbuckley')
    """
    plain = unicodedata.normalize("NFKD", urllib.parse.unquote(str(name))).casefold()
    return "".join(filter(str.isalnum, plain.translate(_LETTERS)))


def match_names(identities, folders):
    """Match folders of photographs to identities by name, as the paper does.

    A name matches as it is spelt; failing that, as `fold_name` reduces it, if only one identity
    and one folder reduce to the same.

    Parameters
    ----------
    identities : pandas.DataFrame
        `identity`, `name`.
    folders : iterable of str
        Names of folders.

    Returns
    -------
    Matches
        Both sides' leftovers come with a reason, and the nearest spelling if there is one.

    References
    ----------
    Wu et al., "Voice2Mesh", section 3.2: the people of both VoxCeleb and VGGFace.

    Examples
    --------
    >>> people = pd.DataFrame({"identity": ["id1", "id2"], "name": ["Ann_Lee", "Zoë_Ray"]})
    >>> match_names(people, ["Zoe Ray", "Ann_Leigh"]).identity
    {'Zoe Ray': 'id2'}
    """
    folders = sorted(folders)
    known = identities.dropna(subset="name")
    by_name = known.groupby("name")["identity"].agg(list).to_dict()
    exact = {name: by_name[name] for name in folders if name in by_name}
    by_fold = known.assign(fold=known["name"].map(fold_name)).groupby("fold")["identity"].agg(list)
    matched, left_folders = {}, {}
    taken = {identity: name for name, owners in exact.items() for identity in owners}
    for name in folders:
        owners = exact.get(name) or by_fold.get(fold_name(name), [])
        if len(owners) > 1:
            left_folders[name] = f"{', '.join(owners)} are named so: it is not clear whose it is"
        elif owners and taken.setdefault(owners[0], name) != name:
            left_folders[name] = f"the folder {taken[owners[0]]} is used for {owners[0]}"
        elif owners:
            matched[name] = owners[0]
        else:
            left_folders[name] = "no identity has this name"
    have = set(matched.values())
    lonely = dict(known.loc[~known["identity"].isin(have), ["identity", "name"]].to_numpy())
    near_identities, near_folders = _Nearest(lonely.values()), _Nearest(left_folders)
    left_identities = {
        identity: f"no folder of photographs is named {name}{near_folders.hint(name)}"
        for identity, name in lonely.items()
    }
    left_folders = {
        name: reason + near_identities.hint(name) for name, reason in left_folders.items()
    }
    return Matches(matched, left_folders, left_identities)


class _Nearest:
    """Names by their first letter, to find the nearest spelling quickly."""

    def __init__(self, names):
        self.by_initial = {}
        for name in names:
            fold = fold_name(name)
            self.by_initial.setdefault(fold[:1], {})[fold] = name

    def hint(self, name):
        fold = fold_name(name)
        others = self.by_initial.get(fold[:1], {})
        near = difflib.get_close_matches(fold, [other for other in others if other != fold], 1, 0.8)
        return f" (near: {others[near[0]]})" if near else ""


def _scan(folder, name, rows, rejected, deepest):
    folders, files = list_or_reject(folder, rejected)
    among = frozenset(files)
    for file in files:
        path = os.path.join(folder, file)
        reason = refusal(file, among)
        if reason:
            rejected.append(("photo", path, reason))
        else:
            rows.append((name, path))
    for inner in folders:
        if deepest:
            _scan(os.path.join(folder, inner), name, rows, rejected, deepest - 1)
        else:
            rejected.append(("photo", os.path.join(folder, inner), "lies too deep below the name"))
