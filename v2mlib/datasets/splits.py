"""Who trains, who chooses the model and who tests: splits by identity, by name.

Whom a split puts where follows from the identity (or name) and the seed alone, not from the order
of the table, and hardly changes when people are added: identities are ranked by a hash.
"""

import hashlib
import unicodedata

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.datasets.scanning import rejected_table
from v2mlib.datasets.vggface import fold_name

TEST_INITIALS = "ABCDE"
SIDES = ("train", "validation", "test")


def paper(identities, *, validation=0.1, seed=0):
    """Split by name as published: A-E test, everyone else trains or validates.

    Parameters
    ----------
    identities : pandas.DataFrame
        `identity`, `name`, `sex`; where there is no name, the identity stands for it.
    validation : float
        Share of the training identities that choose the model, drawn within each sex; at least
        one of each sex of which two or more are there, and one of two people.
    seed : int
        Of that draw.

    Returns
    -------
    pandas.Series of str
        "train", "validation" or "test" by identity, in the order of the table.

    Raises
    ------
    InputError
        If an identity stands twice in the table, or the share is not possible.

    References
    ----------
    Wu et al., "Voice2Mesh", section 4 and supplement C.

    Examples
    --------
    >>> people = pd.DataFrame({"identity": ["id1", "id2"], "name": ["Eve", "Fay"], "sex": "f"})
    >>> paper(people, validation=0).to_dict()
    {'id1': 'test', 'id2': 'train'}
    """
    names = identities["name"].where(identities["name"].notna(), identities["identity"])
    is_test = names.map(_initial).isin(list(TEST_INITIALS)).to_numpy(bool)
    return _draw_validation(identities, is_test, validation, seed)


def random(identities, *, test=0.25, validation=0.1, seed=0):
    """Split at random, the same share of each sex on each side.

    Parameters
    ----------
    identities : pandas.DataFrame
        `identity`, `name`, `sex`.
    test : float
        Share of the identities that test; the published split has 301 of 1,225.
    validation : float
        Share of the others that choose the model; at least one, as in `paper`.
    seed : int
        Of both draws.

    Returns
    -------
    pandas.Series of str
        "train", "validation" or "test" by identity, in the order of the table.

    Raises
    ------
    InputError
        If an identity stands twice in the table, or a share is not possible.
    """
    _check_share("test", test)
    is_test = _drawn(identities, test, f"test {seed}")
    return _draw_validation(identities, is_test, validation, seed)


def unheard(identities, *, validation=0.1, seed=0):
    """Split by name, testing only on people whom VoxCeleb1's speaker encoders never heard.

    An encoder trained on VoxCeleb1's development list has heard 269 of the 309 people A-E: it may
    know their voices, not only voices. They are left out. Validation identities were heard, so
    that their errors flatter such an encoder.

    Parameters
    ----------
    identities : pandas.DataFrame
        `identity`, `name`, `sex`, `set` ("dev" or "test", as in `vox1_meta.csv`).
    validation : float
        Share of the training identities that choose the model, drawn within each sex; at least
        one of each sex of which two or more are there, and one of two people.
    seed : int
        Of that draw; training and validation identities are those of `paper`.

    Returns
    -------
    pandas.Series of str
        "train", "validation" or "test" by identity, without the people left out.

    Raises
    ------
    InputError
        If the column `set` is missing or does not say "dev" or "test" of everyone.
    """
    sets = identities["set"] if "set" in identities else pd.Series(None, identities.index, object)
    unknown = identities.loc[~sets.isin(["dev", "test"]), "identity"].tolist()
    if unknown:
        raise InputError(
            _people(unknown),
            "are neither in the dev nor in the test set of VoxCeleb1",
            "take `set` from vox1_meta.csv, or choose the split paper or random",
        )
    split = paper(identities, validation=validation, seed=seed)
    return split[(split != "test") | (sets == "test").to_numpy()]


#: The splits by name.
SPLITS = {"paper": paper, "random": random, "unheard": unheard}


def check_split(split, *, identities=None, utterances=None):
    """Refuse a split in which a person or a video is on two sides.

    Parameters
    ----------
    split : pandas.Series of str
        Side by identity.
    identities : pandas.DataFrame, optional
        `identity`, `name`: a name with two identities must not be on two sides either.
    utterances : pandas.DataFrame, optional
        `identity`, `video`.

    Raises
    ------
    InputError
        Naming the people or videos on two sides.
    """
    strange = sorted(set(split) - set(SIDES), key=str)
    if strange:
        raise InputError("the split", f"has the side {strange[0]!r}", f"known: {', '.join(SIDES)}")
    twice = split.index[split.index.duplicated()].unique().tolist()
    if twice:
        raise InputError("the split", f"has {_people(twice)} twice", "split by identity")
    if identities is not None:
        named = identities.dropna(subset="name")
        shared = _on_two_sides(named["identity"].map(split), named["name"].map(fold_name))
        if len(shared):
            names = named.loc[named["name"].map(fold_name).isin(shared), "name"].unique().tolist()
            problem = f"has {_people(names)} on two sides, under several identities"
            raise InputError("the split", problem, "give one person one identity")
    if utterances is not None:
        shared = _on_two_sides(utterances["identity"].map(split), utterances["video"])
        if len(shared):
            raise InputError(
                "the split",
                f"has {_some(shared, 'video')} on two sides",
                "leave clips out with v2mlib.datasets.splits.without_shared_videos",
            )


def check_selection(split, selected):
    """Refuse to train on, or to choose a model by, people who test.

    Parameters
    ----------
    split : pandas.Series of str
        Side by identity.
    selected : iterable of str
        Identities that training or model selection sees.

    Raises
    ------
    InputError
        Naming those who test, or whom the split does not know.
    """
    selected = pd.Index(selected).unique()
    unknown = selected.difference(split.index).tolist()
    if unknown:
        problem = f"sees {_people(unknown)}, whom the split does not know"
        raise InputError("training", problem, "split all identities, or leave these out")
    tested = selected[(split.loc[selected] == "test").to_numpy()].tolist()
    if tested:
        raise InputError(
            "training",
            f"sees {_people(tested)} of the test side",
            "train on train, choose the model by validation",
        )


def without_shared_videos(split, utterances):
    """Leave out clips of videos that also occur on a side that matters more.

    Two people may speak in one video, and a microphone is easily learnt.

    Parameters
    ----------
    split : pandas.Series of str
        Side by identity.
    utterances : pandas.DataFrame
        `identity`, `video`, `clip`, `path`.

    Returns
    -------
    tuple of pandas.DataFrame
        The utterances to keep, and the rejected (`kind`, `path`, `reason`). A video keeps its
        clips of one side only: test, failing that validation.
    """
    rank = utterances["identity"].map(split).map({side: i for i, side in enumerate(SIDES)})
    highest = rank.groupby(utterances["video"]).transform("max")
    lost = (rank < highest).to_numpy()
    rows = [
        ("utterance", path, f"its video is also on the side {SIDES[int(side)]}")
        for path, side in zip(utterances.loc[lost, "path"], highest[lost], strict=True)
    ]
    return utterances[~lost].reset_index(drop=True), rejected_table(rows)


def _initial(name):
    """First letter of a name, without accents; digits and signs are kept as they are."""
    plain = unicodedata.normalize("NFKD", str(name)).lstrip(" _.'\"-")
    return plain[:1].upper()


def _draw_validation(identities, is_test, validation, seed):
    _check_share("validation", validation)
    twice = identities["identity"][identities["identity"].duplicated()].tolist()
    if twice:
        raise InputError(_people(twice), "stand twice in the table",
                         "keep one row for each person")  # fmt: skip
    others = identities[~is_test]
    side = np.where(is_test, "test", "train").astype(object)
    drawn = _drawn(others, validation, f"validation {seed}", someone=True)
    side[np.flatnonzero(~is_test)[drawn]] = "validation"
    return pd.Series(side, index=pd.Index(identities["identity"], name="identity"), name="split")


def _drawn(identities, share, salt, *, someone=False):
    """Mask of a share of each sex, by the order of hashes.

    With `someone`, no share but 0 rounds to nobody where another of the sex, or failing that
    anyone at all, is left.
    """
    ranks = identities["identity"].map(
        lambda identity: hashlib.sha256(f"{salt} {identity}".encode()).hexdigest()
    )
    drawn = np.zeros(len(identities), dtype=bool)
    sexes = identities["sex"].fillna("")
    for rows in sexes.groupby(sexes).indices.values():
        order = rows[np.argsort(ranks.to_numpy()[rows], kind="stable")]
        least = int(someone and share > 0 and len(rows) > 1)
        drawn[order[: max(round(share * len(rows)), least)]] = True
    if someone and share > 0 and len(drawn) > 1 and not drawn.any():
        drawn[ranks.to_numpy().argmin()] = True
    return drawn


def _check_share(name, share):
    if not 0 <= share < 1:
        raise InputError(f"{name}={share}", "is not a share", "choose 0 <= share < 1")


def _on_two_sides(sides, of):
    """Sorted values of `of` that occur on more than one side."""
    count = sides.groupby(of.to_numpy()).nunique()
    return sorted(count.index[count > 1])


def _people(names):
    return _some(names, "identity", "identities")


def _some(names, one, several=None, limit=5):
    count = f"{len(names)} {one if len(names) == 1 else several or one + 's'}"
    more = ", ..." if len(names) > limit else ""
    return f"{count} ({', '.join(map(str, names[:limit]))}{more})"
