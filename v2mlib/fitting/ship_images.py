"""What ships of the image pipeline: its networks, voices, an album, and the check of images."""

import dataclasses
from pathlib import Path

import pandas as pd
import torch

import v2mlib
from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.resident_photos import FaceCrop, ResidentPhotos
from v2mlib.datasets.torch_datasets import ResidentUtterances, identity_mean
from v2mlib.fitting.cascade import MINIMUM_FRAMES, Cascade
from v2mlib.fitting.data import embed_all, split_names
from v2mlib.fitting.image_check import image_check, judge_photos, sex_accuracy
from v2mlib.fitting.ship_album import first_of_each, make_album
from v2mlib.fitting.ship_predictions import DIGITS
from v2mlib.fitting.ship_trainings import GENERATOR, UNSUPERVISED
from v2mlib.fitting.shipped_images import SUFFIX, ShippedImages, draw, write_images
from v2mlib.fitting.shipped_networks import load_joint, save_joint
from v2mlib.fitting.teacher_truth import judge_teacher, shapes_of
from v2mlib.models.discriminator import IMAGE_SIZE
from v2mlib.models.image_sex import ImageSexClassifier
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice_to_image import VoiceToImage

ALBUM_PEOPLE = 4
"""Test identities in the album."""


def ship_networks(trained, world, out, *, progress=True):
    """Write the networks of the image pipeline and their cards.

    Parameters
    ----------
    trained : ImageTrainings
        What to write.
    world : World
        What it was trained on.
    out : path
        Folder.
    progress : bool
        Whether to show a progress bar while photographs are read.

    Returns
    -------
    cascade : Cascade
        The untrained one, as it is on disk: in half precision.
    joint : JointNetworks
        Likewise.
    checker : ImageSexClassifier
        Likewise.
    """
    out = Path(out)
    here = {"kind": "phantom", "world": world.config}
    elsewhere = {"kind": "phantom", "world": trained.others.config}
    drawn, seen = (
        out / f"phantom_{name}.safetensors" for name in ("voice_to_image", "image_to_face")
    )
    card = {"data": here, "training": {"adversarial": dataclasses.asdict(GENERATOR)}}
    VoiceToImage(trained.drawer.encoder, trained.drawer.generator).save(drawn, card=card)
    card = {"data": elsewhere, "metrics": {}}
    trained.teacher.network.save(seen, card=card)
    cascade = Cascade(VoiceToImage.load(drawn), ImageToFace.load(seen))
    for size in (None, IMAGE_SIZE):
        table = judge_teacher(cascade[1], trained.others, size=size, progress=progress)
        card["metrics"][f"{size or cascade[1].settings['image_size']}_pixels"] = _rows(table)
    trained.teacher.network.save(seen, card=card)

    both, check = (out / f"phantom_{name}.safetensors" for name in ("unsupervised", "image_sex"))
    card = {"data": here, "training": {"unsupervised": dataclasses.asdict(UNSUPERVISED)}}
    save_joint(
        both, trained.joint.generator, trained.joint.critic, trained.joint.student, card=card
    )
    trained.checker.network.save(check, card={"data": elsewhere})
    return cascade, load_joint(both, voice_to_image=drawn), ImageSexClassifier.load(check)


def ship_images(trained, world, networks, out, *, workers=None, progress=True):
    """Write voices, album, histories and the image check.

    Parameters
    ----------
    trained : ImageTrainings
        Where their runs lie.
    world : World
        Whose test identities are heard.
    networks : tuple
        Cascade, joint networks and classifier, from `ship_networks`.
    out : path
        Folder.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    DataFrame
        The image check.
    """
    cascade, joint, checker = networks
    embedding = embed_test(world, joint.encoder, workers=workers, progress=progress)
    people = world.identities[world.identities["split"] == "test"]
    identity, sex = (people[name].to_numpy(dtype=str) for name in ("identity", "sex"))
    drawn = {
        name: draw(generator, embedding)
        for name, generator in (
            ("cascade", cascade.voice_to_image.generator),
            ("unsupervised", joint.generator),
        )
    }
    table = image_check(checker, drawn, sex)
    photographs = check_photographs(checker, trained.others, world, progress=progress)
    table = pd.concat([table, photographs], ignore_index=True)
    card = {
        "kind": "images",
        "version": v2mlib.__version__,
        "world": world.config,
        "check": _rows(table),
    }
    runs = {"generator": trained.drawer.training, "joint": trained.joint.training}
    album = make_album(runs, cascade, joint, embedding, first_of_each(sex, ALBUM_PEOPLE))
    histories = {name: run.history.round(DIGITS) for name, run in runs.items()}
    seen = read_photographs(cascade.image_to_face, world, progress=progress)
    found = ShippedImages(identity, sex, embedding, seen, album, histories, card)
    write_images(Path(out) / f"phantom{SUFFIX}", found)
    return table


def embed_test(world, encoder, *, workers=None, progress=True):
    """Embed the test identities' utterances.

    Parameters
    ----------
    world : World
        The data set; every test identity has equally many usable utterances.
    encoder : VoiceEncoder
        In eval mode.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    ndarray of float32, (identity, utterance, embedding=64)
        Rounded to half precision, as it ships.
    """
    store = log_mel_store(world, workers=workers, progress=progress)
    utterances = ResidentUtterances(store, split_names(world, "test"))
    with torch.inference_mode():
        found = embed_all(encoder.eval(), utterances, minimum_frames=MINIMUM_FRAMES)
    found = found[torch.argsort(utterances.identity, stable=True)].half().float().numpy()
    return found.reshape(len(utterances.identities), -1, found.shape[-1])


def read_photographs(teacher, world, *, progress=True):
    """Let the teacher look at the test identities' photographs, as in the joint training.

    Parameters
    ----------
    teacher : ImageToFace
        In eval mode.
    world : World
        The data set.
    progress : bool
        Whether to show a progress bar while photographs are read.

    Returns
    -------
    ndarray of float32, (identity, shape), standard deviations
        Averaged over each identity's photographs, which are of 64 pixels.
    """
    names = split_names(world, "test")
    photos = ResidentPhotos(world, names, crop=FaceCrop(IMAGE_SIZE), progress=progress)
    found = shapes_of(teacher, photos)
    return identity_mean(found, photos.identity, len(photos.identities)).numpy()


def check_photographs(checker, others, world, *, progress=True):
    """Check real photographs as generated images are checked: what the classifier can do.

    Parameters
    ----------
    checker : ImageSexClassifier
        In eval mode.
    others : World
        The people it learned from; its test identities are judged.
    world : World
        The people whose voices are drawn; its test identities are judged.
    progress : bool
        Whether to show a progress bar while photographs are read.

    Returns
    -------
    DataFrame
        Rows "photographs_of_others" and "photographs", as of `image_check`.
    """
    rows = []
    for name, place in (("photographs_of_others", others), ("photographs", world)):
        photos = ResidentPhotos(
            place, split_names(place, "test"), crop=FaceCrop(IMAGE_SIZE), progress=progress
        )
        sexes = place.identities.set_index("identity")["sex"].loc[photos.identities]
        odds = judge_photos(checker, photos).numpy().reshape(len(sexes), -1)
        rows.append({"method": name} | sex_accuracy(odds, sexes.to_numpy(dtype=str)))
    return pd.DataFrame(rows)


def _rows(table):
    rounded = table.round(DIGITS)
    return [
        {name: value for name, value in row.items() if value == value}
        for row in rounded.to_dict("records")
    ]
