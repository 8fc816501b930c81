"""Everything a data set is made from, found on disk: people, recordings and photographs."""

from typing import NamedTuple

import pandas as pd

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


def find_sources(voxceleb=None, vggface=None, table=None, *, meta=None, paired=True,
                 progress=True):  # fmt: skip
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
    meta : path, optional
        `vox1_meta.csv`; by default looked for in and beside the two folders.
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
        If nothing is given, a folder holds nothing of its kind, the list of names is absent or
        damaged, or two places disagree about a person.
    """
    raise NotImplementedError
