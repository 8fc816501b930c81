"""From measured files to a data set: people, reference faces, splits, tables, one store.

What is written follows from the files and the settings alone: not from the order in which
workers finished, nor from what was found done.
"""

import hashlib
import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.building.config import FITTED
from v2mlib.checks import InputError
from v2mlib.datasets import dataset as layout
from v2mlib.datasets.manifest import make_manifest
from v2mlib.datasets.shards import NO_SPLIT
from v2mlib.datasets.splits import SPLITS

_TRUTH_COLUMNS = ["face_px", "n_landmarks", "yaw_deg", "residual_px", "residual_relative", "rule"]


class Assembled(NamedTuple):
    """A data set in memory, all but the frames.

    Attributes
    ----------
    people : pandas.DataFrame
        A row per identity found, with `accepted`, `reason`, `split`.
    index : pandas.DataFrame
        A row per utterance with features.
    manifest : pandas.DataFrame
        See `v2mlib.datasets.manifest`.
    seen : ndarray of float32, (photo, landmark=68, xy) or (photo, shape=199)
        Landmarks, or coefficients where faces came fitted; aligned with the manifest's photos.
    faces : ReferenceFaces or MeanFaces
        Fitted to the photographs.
    features : str
        Digest of the features.
    """

    people: pd.DataFrame
    index: pd.DataFrame
    manifest: pd.DataFrame
    seen: np.ndarray
    faces: object
    features: str


def assemble(sources, voices, photos, seen, model, config):
    """Decide who and what is in the data set, and fit the reference faces.

    Parameters
    ----------
    sources : Sources
        What was found on disk.
    voices, photos : pandas.DataFrame
        Measurements, a row per utterance and per photograph of the sources, in their order.
    seen : ndarray of float32, (photo, landmark=68, xy), pixels; or (photo, shape=199), raw
        Landmarks, or coefficients where faces came fitted; aligned with the photographs.
    model : MorphableModel
        The face model.
    config : BuildConfig
        Settings.

    Returns
    -------
    Assembled
        The tables.

    Raises
    ------
    InputError
        If no recording or no photograph is usable, or nobody has both.
    """
    utterances = pd.concat([sources.utterances.reset_index(drop=True),
                            voices.drop(columns="path")], axis=1)  # fmt: skip
    photos = photos.assign(identity=sources.photos["identity"].to_numpy())
    faces, photos = _fit(photos, seen, model, config)
    people = _people(sources.identities, utterances, photos, faces)
    people, utterances = _split(people, utterances, config)
    _inherit_reasons(people, utterances, photos)
    index = _index(utterances, people)
    rejected = _rejected(sources.rejected, config)
    manifest = make_manifest(
        [utterances.assign(kind="utterance"), photos.assign(kind="photo"), rejected]
    )
    recorded = utterances.loc[utterances["n_frames"] > 0, ["path", "sha256", "n_frames"]]
    features = hashlib.sha256(recorded.to_csv(index=False).encode()).hexdigest()
    return Assembled(people, index, manifest, seen, faces, features)


def write_tables(assembled, folder):
    """Write everything but the frames.

    Parameters
    ----------
    assembled : Assembled
        The tables.
    folder : path
        An empty folder.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    (folder / "features").mkdir(parents=True, exist_ok=True)
    (folder / "truth").mkdir(exist_ok=True)
    tables = {
        layout.MANIFEST: assembled.manifest,
        layout.INDEX: assembled.index,
        layout.IDENTITIES: assembled.people,
        layout.LINES: assembled.faces.lines,
    }
    for name, table in tables.items():
        table.to_parquet(folder / name, index=False)
    (folder / layout.FEATURES).write_text(
        json.dumps({"digest": assembled.features}) + "\n", "utf-8"
    )
    name = layout.LANDMARKS if assembled.seen.ndim == 3 else layout.PHOTO_COEFFICIENTS
    np.save(folder / name, assembled.seen)
    accepted = assembled.people.loc[assembled.people["accepted"], "identity"]
    rows = pd.Index(assembled.faces.identities["identity"]).get_indexer(accepted)
    covariance = np.asarray(assembled.faces.shape_covariance, np.float32)[rows]
    np.savez(
        folder / layout.COEFFICIENTS,
        reference=np.asarray(assembled.faces.shape_coefficients, np.float32)[rows],
        reference_sd=np.sqrt(np.einsum("iss->is", covariance)),
        reference_covariance=covariance,
    )


def _fit(photos, seen, model, config):
    """Reference faces, and the photographs with what the fit says about them."""
    from v2mlib.building.fitted import mean_faces
    from v2mlib.fitting.truth import reference_faces

    readable = (photos["reason"] == "").to_numpy()
    if not readable.any():
        reason = f": the first one {photos['reason'].iloc[0]}" if len(photos) else ""
        raise InputError("the photographs", f"hold no usable face{reason}", "add photographs")
    shown = photos[readable].reset_index(drop=True)
    if config.landmarks == FITTED:
        faces = mean_faces(shown[["identity", "path"]], seen[readable], model, config=config.truth)
    else:
        shown = shown[["identity", "path", "sharpness"]]
        faces = reference_faces(shown, seen[readable], model, config=config.truth)
    found = faces.photos.reindex(columns=[*_TRUTH_COLUMNS, "reason"])
    photos = photos.reindex(columns=[*photos.columns, *_TRUTH_COLUMNS])
    for name in _TRUTH_COLUMNS:
        photos[name] = photos[name].astype(object)
        photos.loc[readable, name] = found[name].astype(object).to_numpy()
    photos.loc[readable, "reason"] = found["reason"].to_numpy()
    photos.loc[~readable, "rule"] = "unreadable"
    return faces, photos


def _people(identities, utterances, photos, faces):
    """Identities with counts, uncertainty, and why some are left out."""
    usable = utterances[utterances["n_frames"] > 0]
    fitted = faces.identities.set_index("identity")
    people = identities.reset_index(drop=True).copy()
    names = people["identity"]
    people["n_utterances"] = names.map(usable["identity"].value_counts()).fillna(0).astype(int)
    people["n_photos"] = names.map(photos["identity"].value_counts()).fillna(0).astype(int)
    people["n_used"] = names.map(fitted["n_used"]).fillna(0).astype(int)
    for name in ("shape_sd", "determined"):
        people[name] = names.map(fitted[name]).astype(float)
    reason = names.map(fitted["reason"]).fillna("no readable photograph")
    reason = reason.mask(people["n_photos"] == 0, "no photograph")
    reason = reason.mask(people["n_utterances"] == 0, "no usable recording")
    reason = reason.mask(~names.isin(utterances["identity"]), "no recording")
    return people.assign(reason=reason, accepted=reason == "")


def _split(people, utterances, config):
    """Deal people, and keep videos that show people of several sides on one of them."""
    from v2mlib.datasets.splits import without_shared_videos

    chosen = people[people["accepted"]]
    if chosen.empty:
        reasons = people["reason"].value_counts()
        raise InputError(
            f"{len(people)} people",
            f"have not both a voice and a face ({reasons.index[0]}: {reasons.iloc[0]} of them)",
            "see that recordings and photographs belong to the same people",
        )
    split = SPLITS[config.split](chosen, validation=config.validation, seed=config.seed)
    side = people["identity"].map(split)
    left_out = people["accepted"] & side.isna()
    people = people.assign(
        split=side.fillna(NO_SPLIT),
        accepted=people["accepted"] & ~left_out,
        reason=people["reason"].mask(left_out, f"left out by the split {config.split!r}"),
    )
    usable = utterances[utterances["n_frames"] > 0]
    dealt = usable[usable["identity"].isin(split.index)]
    _, shared = without_shared_videos(split, dealt)
    reasons = utterances["path"].map(dict(zip(shared["path"], shared["reason"], strict=True)))
    utterances = utterances.assign(reason=utterances["reason"].mask(reasons.notna(), reasons))
    return people, utterances


def _inherit_reasons(people, utterances, photos):
    """What belongs to a person who is left out is left out, too; decided in place."""
    why = people.loc[~people["accepted"]].set_index("identity")["reason"]
    for table in (utterances, photos):
        inherited = table["identity"].map(why)
        because = "of a person who is left out: " + inherited.astype(object)
        table["reason"] = table["reason"].mask((table["reason"] == "") & inherited.notna(), because)
        table["accepted"] = table["reason"] == ""


def _rejected(rejected, config):
    """What listing left out; landmark files among the photographs are in their place."""
    from v2mlib.photos.landmark_files import SUFFIXES

    if config.landmarks == "files":
        rejected = rejected[~rejected["path"].astype(str).str.endswith(SUFFIXES)]
    return rejected.assign(accepted=False)


def _index(utterances, people):
    side = utterances["identity"].map(people.set_index("identity")["split"])
    number = utterances.groupby("identity", sort=False).cumcount()
    index = utterances.assign(
        utterance=number,
        split=side.where(utterances["accepted"], NO_SPLIT),
        problem="",
    )
    index = index[index["n_frames"] > 0].reset_index(drop=True)
    index["start"] = index["n_frames"].cumsum() - index["n_frames"]
    columns = ["identity", "utterance", "video", "clip", "path", "split", "duration_s", "speech_s",
               "start", "n_frames", "problem"]  # fmt: skip
    # Of log-mel matrices, no durations are known.
    types = {"duration_s": "float64", "speech_s": "float64", "start": "int64", "n_frames": "int64"}
    return index.reindex(columns=columns).astype(types)
