"""Voices, pictures and checks of the image pipeline that come with the package."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image

from v2mlib.checks import InputError
from v2mlib.datasets.resident_photos import FaceCrop, cut_square, face_squares
from v2mlib.files import atomic, sha256
from v2mlib.paths import shipped

SUFFIX = "_images.npz"


class Album(NamedTuple):
    """Images and faces as they formed, for the same few voices.

    Attributes
    ----------
    stage : ndarray of str, (moment,)
        "generator" before the joint training, "joint" in it.
    step : ndarray of int, (moment,)
        Updates of that stage.
    images : ndarray of uint8, (moment, voice, rgb=3, row=64, column=64)
        What was drawn.
    shape : ndarray of float32, (moment, voice, shape), standard deviations
        The face seen in it: by the teacher, in the joint training by the student.
    person : ndarray of int, (voice,)
        Rows of the test identities; the first utterance of each.
    """

    stage: np.ndarray
    step: np.ndarray
    images: np.ndarray
    shape: np.ndarray
    person: np.ndarray


class ShippedImages(NamedTuple):
    """What the image pipeline heard and drew.

    Attributes
    ----------
    identity : ndarray of str, (identity,)
        Test identities, in the order of `v2mlib.fitting.shipped_predictions`.
    sex : ndarray of str, (identity,)
        "m" or "f".
    embedding : ndarray of float32, (identity, utterance, embedding=64)
        Of the utterances, by the frozen encoder; of length 1.
    seen : ndarray of float32, (identity, shape), standard deviations
        What the teacher sees in each person's photographs, averaged over them.
    album : Album
        How images formed.
    histories : dict of str to DataFrame
        Of the trainings "generator" and "joint".
    card : dict
        How it was made, and the image check under "check".
    """

    identity: np.ndarray
    sex: np.ndarray
    embedding: np.ndarray
    seen: np.ndarray
    album: Album
    histories: dict
    card: dict


def write_images(path, images):
    """Write voices, album, histories and card.

    Parameters
    ----------
    path : path
        The ``.npz`` file; the card has the same name with ``.json``.
    images : ShippedImages
        What to write. Embeddings and coefficients are rounded to half precision.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    path = Path(path)
    arrays = {f"album_{name}": array for name, array in images.album._asdict().items()}
    arrays["album_shape"] = arrays["album_shape"].astype(np.float16)
    arrays |= {name: getattr(images, name) for name in ("identity", "sex")}
    arrays |= {name: getattr(images, name).astype(np.float16) for name in ("embedding", "seen")}
    histories = {
        name: {column: table[column].tolist() for column in table}
        for name, table in images.histories.items()
    }
    try:
        with atomic(path) as partial:
            np.savez_compressed(partial, **arrays)
            card = images.card | {"histories": histories, "data_sha256": sha256(partial)}
        with atomic(path.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(card, indent=None) + "\n", "utf-8")
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror})", "choose another place"
        ) from None


def shipped_images(name_or_path="phantom"):
    """Read what the image pipeline heard and drew.

    Parameters
    ----------
    name_or_path : str or path
        A shipped name ("phantom", the tutorial world with seed 0), or an ``.npz`` file with its
        card beside it.

    Returns
    -------
    ShippedImages
        Of all test identities of the world.

    Raises
    ------
    InputError
        If the file or its card is missing, damaged or not the other's.

    Examples
    --------
    >>> found = shipped_images()
    >>> found.embedding.shape, found.album.images.shape[2:]
    ((480, 3, 64), (3, 64, 64))
    """
    path = Path(name_or_path)
    if path.suffix != ".npz":
        path = shipped(f"{name_or_path}{SUFFIX}")
    try:
        card = json.loads(path.with_suffix(".json").read_text("utf-8"))
        is_whole = card["data_sha256"] == sha256(path)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        histories = {name: pd.DataFrame(rows) for name, rows in card.pop("histories").items()}
        parts = {name: arrays[f"album_{name}"] for name in Album._fields}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, f"or its card cannot be read ({type(error).__name__})", "copy both again"
        ) from None
    if not is_whole:
        raise InputError(path, "is damaged, or its card is another's", "copy both again")
    parts["shape"] = parts["shape"].astype(np.float32)
    return ShippedImages(
        identity=arrays["identity"],
        sex=arrays["sex"],
        embedding=arrays["embedding"].astype(np.float32),
        seen=arrays["seen"].astype(np.float32),
        album=Album(**parts),
        histories=histories,
        card=card,
    )


def photographs_of(population, identities, *, number=0, crop=None):
    """Take photographs of phantom people, cut as a generator's are.

    Parameters
    ----------
    population : v2mlib.phantom.Population
        Whose people; the shipped one is ``Population(960, seed=0)``.
    identities : sequence of str or int
        Whom.
    number : int
        Which of each person's photographs.
    crop : FaceCrop, optional
        How faces are cut out.

    Returns
    -------
    list of PIL.Image.Image
        One of each person.
    """
    crop, pictures = crop or FaceCrop(), []
    for identity in identities:
        photo = population.photograph(identity, number)
        found = photo.landmarks[None].astype(float)
        (corner,), (side,) = face_squares(found, crop.margin)
        square = (*corner, *(corner + side))
        pictures.append(Image.fromarray(cut_square(photo.image, square, crop.size)))
    return pictures


def draw(generator, embedding, *, batch_size=256):
    """Draw an image for each embedding.

    Parameters
    ----------
    generator : Generator
        In eval mode.
    embedding : array_like, (..., embedding=64)
        Of voices.
    batch_size : int
        Images at a time.

    Returns
    -------
    tensor of float32, (..., rgb=3, row=64, column=64)
        Cut to [-1, 1].
    """
    embedding = torch.as_tensor(embedding)
    with torch.no_grad():
        parts = embedding.flatten(0, -2).split(batch_size)
        images = torch.cat([generator(part).clamp(-1, 1) for part in parts])
    return images.unflatten(0, embedding.shape[:-1])
