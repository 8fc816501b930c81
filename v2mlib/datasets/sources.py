"""Everything a data set is made from, found on disk: people, recordings and photographs."""

import os
from typing import NamedTuple

import pandas as pd

from v2mlib.checks import InputError
from v2mlib.datasets.own_data import read_table
from v2mlib.datasets.scanning import rejected_table
from v2mlib.datasets.vggface import find_photos, match_names
from v2mlib.datasets.voxceleb import META_NAMES, find_meta, find_recordings, read_meta

IDENTITY_COLUMNS = ["identity", "name", "sex", "set"]
UTTERANCE_COLUMNS = ["identity", "video", "clip", "path"]
PHOTO_COLUMNS = ["identity", "path"]


class Sources(NamedTuple):
    """What was found on disk, whatever it came from.

    Files were listed, not opened: a recording here may still turn out to be empty or damaged.
    Rows are sorted, so that the same files give the same tables on every machine.

    Attributes
    ----------
    identities : pandas.DataFrame
        `identity`, `name` (or None), `sex` ("m", "f" or None), `set` ("dev" or "test" of
        VoxCeleb1's verification task, or None).
    utterances : pandas.DataFrame
        `identity`, `video`, `clip`, `path` (absolute).
    photos : pandas.DataFrame
        `identity`, `path` (absolute).
    rejected : pandas.DataFrame
        `kind` ("utterance", "photo": a file; "identity": a person's whole folder), `path`,
        `reason`.
    """

    identities: pd.DataFrame
    utterances: pd.DataFrame
    photos: pd.DataFrame
    rejected: pd.DataFrame


def find_sources(voxceleb=None, vggface=None, table=None, *, log_mels=None, fitted_faces=(),
                 meta=None, paired=True, progress=True):  # fmt: skip
    """Find recordings and photographs of the same people.

    Parameters
    ----------
    voxceleb : path, optional
        Folder of VoxCeleb1 recordings, `wav/idNNNNN/<video>/<clip>.wav`, or a parent of it. A
        phantom world has the same layout.
    vggface : path, optional
        Folder of photographs, `<Name>/*.jpg`, or a phantom world.
    table : path, optional
        CSV of one's own data with columns `identity, sex, audio, photo`; see
        `v2mlib.datasets.own_data.read_table`.
    log_mels : path, optional
        In place of `voxceleb`: folder of log-mel matrices, `idNNNNN/<video>/<clip>.npy`, as the
        public Voxceleb-3D files have them. They are listed as utterances.
    fitted_faces : path or sequence of path
        In place of `vggface`: folders of coefficients of fitted faces, `<Name>/*.npy`, as the
        public Voxceleb-3D files have them. They are listed as photographs.
    meta : path, optional
        `vox1_meta.csv`; by default looked for in and beside the folders.
    paired : bool
        Whether to keep only people who have both recordings and photographs, where there are any
        of both; the others are reported.
    progress : bool
        Whether to show a progress bar on the standard error stream where it takes long.

    Returns
    -------
    Sources
        Of all the places together.

    Raises
    ------
    InputError
        If nothing is given, or two of the same kind are; a folder holds nothing of its kind, the
        list of names is absent or damaged, or two places disagree about a person.
    """
    fitted = [fitted_faces] if isinstance(fitted_faces, (str, os.PathLike)) else list(fitted_faces)
    _refuse_two_of_a_kind(voxceleb, vggface, table, log_mels, fitted)
    folders = [place for place in (voxceleb, vggface, log_mels, *fitted) if place is not None]
    places = [str(place) for place in (*folders, table) if place is not None]
    if not places:
        raise InputError("no source", "is given", "name a folder of recordings, or a table")
    parts, reasons = [], {}
    if folders:
        meta = _meta(meta, folders)
    if log_mels is not None or fitted:
        parts.append(_package(fitted, log_mels, meta, progress))
    if voxceleb is not None or vggface is not None:
        people = read_meta(meta)
        parts.append(_recordings(voxceleb, people, progress))
        part, reasons = _photographs(vggface, people, progress)
        parts.append(part)
    if table is not None:
        parts.append(Sources(*read_table(table)))
    found = _joined(parts, places)
    asked = (voxceleb is not None or log_mels is not None) and (vggface is not None or fitted)
    if paired and (asked or (len(found.utterances) and len(found.photos))):
        found = _with_both(found, reasons)
    present = {*found.utterances["identity"], *found.photos["identity"]}
    kept = found.identities[found.identities["identity"].isin(present)]
    if kept.empty:
        reasons = found.rejected["reason"].value_counts()
        why = f"; the commonest reason: {reasons.index[0]}" if len(reasons) else ""
        raise InputError(
            ", ".join(places),
            f"leave no person to work with{why}",
            "check that the folders belong together",
        )
    return found._replace(identities=kept.reset_index(drop=True))


def _refuse_two_of_a_kind(voxceleb, vggface, table, log_mels, fitted):
    if table is not None and (log_mels is not None or fitted):
        what = "log-mel matrices" if log_mels is not None else "fitted faces"
        raise InputError(what, "do not go with a table of one's own", "build two data sets")
    if voxceleb is not None and log_mels is not None:
        raise InputError(log_mels, "is given beside recordings", "give one of the two")
    if vggface is not None and fitted:
        raise InputError(fitted[0], "is given beside photographs", "give one of the two")


def _meta(meta, folders):
    path = find_meta(*folders) if meta is None else meta
    if path is None:
        raise InputError(
            folders[0],
            f"comes without the list of names, {META_NAMES[0]}",
            "download it from VoxCeleb's site and put it there, or name it (meta=...)",
        )
    return path


def _package(fitted, log_mels, meta, progress):
    """Public Voxceleb-3D files: matrices for recordings, coefficients for photographs."""
    from v2mlib.datasets.packages import find_package

    found = find_package(fitted, log_mels, meta=meta, progress=progress)
    beside = [("photo", path, "is not needed: faces come fitted") for path in found.photos["path"]]
    for path in found.meshes["path"]:
        beside.append(("photo", path, "is a mesh or cloud: coefficients are read"))
    for path in found.parameters["expression_path"].dropna().unique():
        beside.append(("photo", path, "holds the expression: the shape is read"))
    rejected = found.rejected.assign(kind=found.rejected["kind"].replace("face", "photo"))
    return Sources(
        found.identities[IDENTITY_COLUMNS],
        found.log_mels[UTTERANCE_COLUMNS],
        found.parameters[PHOTO_COLUMNS],
        pd.concat([rejected, rejected_table(beside)], ignore_index=True),
    )


def _table(columns, rows=()):
    return pd.DataFrame(rows, columns=columns, dtype=object)


def _recordings(voxceleb, people, progress):
    """Recordings of the people in the list."""
    if voxceleb is None:
        return Sources(_table(IDENTITY_COLUMNS), _table(UTTERANCE_COLUMNS), _table(PHOTO_COLUMNS),
                       rejected_table([]))  # fmt: skip
    utterances, rejected = find_recordings(voxceleb, progress=progress)
    known = utterances["identity"].isin(people["identity"])
    strangers = utterances[~known].groupby("identity")["path"].agg(list)
    rows = [
        ("identity", _folder_of(identity, paths), f"{identity} is not in the list of names")
        for identity, paths in strangers.items()
    ]
    return Sources(
        people[IDENTITY_COLUMNS],
        utterances[known].reset_index(drop=True),
        _table(PHOTO_COLUMNS),
        pd.concat([rejected, rejected_table(rows)]),
    )


def _photographs(vggface, people, progress):
    """Photographs of the people in the list, and why others of the list have none."""
    nothing = _table(UTTERANCE_COLUMNS)
    if vggface is None:
        empty = _table(IDENTITY_COLUMNS), nothing, _table(PHOTO_COLUMNS), rejected_table([])
        return Sources(*empty), {}
    photos, rejected = find_photos(vggface, progress=progress)
    paths = photos.groupby("name")["path"].agg(list).to_dict()
    bare = rejected.loc[rejected["kind"] == "identity", "path"].map(os.path.basename)
    matches = match_names(people, {*paths, *bare})
    rows = [
        ("identity", _folder_of(name, paths[name]), reason)
        for name, reason in matches.unmatched_folders.items()
        if name in paths
    ]
    photos = photos.assign(identity=photos["name"].map(matches.identity))
    photos = photos.dropna(subset="identity")[PHOTO_COLUMNS].astype(object)
    rejected = pd.concat([rejected, rejected_table(rows)])
    part = Sources(people[IDENTITY_COLUMNS], nothing, photos, rejected)
    return part, matches.unmatched_identities


def _folder_of(person, paths):
    """Folder of a person's files: the one called so, or the one that holds them all."""
    head, sep, _ = paths[0].partition(f"{os.sep}{person}{os.sep}")
    return head + os.sep + person if sep else os.path.commonpath(map(os.path.dirname, paths))


def _joined(parts, places):
    identities = pd.concat([part.identities for part in parts], ignore_index=True)
    for column in ("sex", "name"):
        said = identities.dropna(subset=column).groupby("identity")[column]
        differing = said.nunique().loc[lambda count: count > 1]
        if len(differing):
            identity = differing.index[0]
            values = " and ".join(said.get_group(identity).unique())
            raise InputError(
                ", ".join(places),
                f"disagree about {identity}: {column} {values}",
                "correct one of them, or give your own people ids that VoxCeleb does not use",
            )
    identities = identities.groupby("identity", sort=True).first().reset_index()

    def joined(field, order):
        tables = [table for part in parts if len(table := getattr(part, field))]
        if not tables:
            return getattr(parts[0], field)
        whole = pd.concat(tables, ignore_index=True)
        return whole.drop_duplicates().sort_values(order, kind="stable", ignore_index=True)

    return Sources(
        identities[IDENTITY_COLUMNS].astype(object).where(identities.notna(), None),
        joined("utterances", ["identity", "video", "clip", "path"]),
        joined("photos", ["identity", "path"]),
        joined("rejected", ["kind", "path"]),
    )


def _with_both(found, reasons):
    """Keep the people with recordings and photographs, and report the others."""
    heard, seen = (set(table["identity"]) for table in (found.utterances, found.photos))
    names = dict(found.identities[["identity", "name"]].to_numpy())
    rows = []
    for files, others, lacks in (
        (found.utterances, seen, "photographs"),
        (found.photos, heard, "recordings"),
    ):
        alone = files[~files["identity"].isin(others)]
        for identity, paths in alone.groupby("identity")["path"].agg(list).items():
            name = f" ({names[identity]})" if names[identity] else ""
            reason = f"{identity}{name} has no {lacks}"
            if lacks == "photographs" and identity in reasons:
                reason += f": {reasons[identity]}"
            person = identity if lacks == "photographs" else names[identity]
            rows.append(("identity", _folder_of(person, paths), reason))
    both = heard & seen
    return Sources(
        found.identities[found.identities["identity"].isin(both)],
        found.utterances[found.utterances["identity"].isin(both)].reset_index(drop=True),
        found.photos[found.photos["identity"].isin(both)].reset_index(drop=True),
        pd.concat([found.rejected, rejected_table(rows)]).sort_values(
            ["kind", "path"], kind="stable", ignore_index=True
        ),
    )
