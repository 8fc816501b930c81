"""What ships of the image pipeline says what its networks say."""

import numpy as np
import pytest
import torch

from v2mlib.fitting.image_check import image_check
from v2mlib.fitting.shipped import shipped_predictions
from v2mlib.fitting.shipped_images import draw, shipped_images
from v2mlib.fitting.shipped_networks import load_joint
from v2mlib.models import ImageSexClassifier, ImageToFace, VoiceToImage
from v2mlib.paths import shipped

SOME = slice(0, 480, 40)


@pytest.fixture(scope="module")
def pipeline():
    return VoiceToImage.load("phantom"), ImageToFace.load("phantom"), load_joint("phantom")


def test_networks_and_voices_give_the_shipped_predictions(pipeline):
    gan, teacher, joint = pipeline
    images, ready = shipped_images(), shipped_predictions()
    assert images.identity.tolist() == ready.identity.tolist()
    assert images.sex.tolist() == ready.sex.tolist()
    heard = images.embedding[SOME]
    np.testing.assert_allclose(np.linalg.norm(heard, axis=-1), 1, atol=2e-3)
    pairs = {"cascade": (gan.generator, teacher), "unsupervised": (joint.generator, joint.student)}
    for name, (generator, reader) in pairs.items():
        drawn = draw(generator, heard).flatten(0, 1)
        with torch.no_grad():
            found = reader(drawn).shape.numpy().reshape(*heard.shape[:2], -1)
        gap = np.abs(found - ready.predicted[name][SOME])
        # Embeddings and predictions are rounded to half precision.
        assert gap.max() < 0.05 < ready.predicted[name].std(), name


def test_image_check_is_what_the_classifier_sees(pipeline):
    gan, _, joint = pipeline
    images, checker = shipped_images(), ImageSexClassifier.load("phantom")
    drawn = {
        "cascade": draw(gan.generator, images.embedding),
        "unsupervised": draw(joint.generator, images.embedding),
    }
    found = image_check(checker, drawn, images.sex).set_index("method")
    stored = {row["method"]: row for row in images.card["check"]}
    for name in drawn:
        assert found.loc[name, "accuracy"] == pytest.approx(stored[name]["accuracy"], abs=0.003)
        assert found.loc[name, "null_low"] < 0.5 < found.loc[name, "null_high"]
        assert found.loc[name, "auc"] > 0.6  # a sex is seen
    assert stored["photographs"]["accuracy"] > 0.9
    assert stored["photographs_of_others"]["accuracy"] > 0.9


def test_album_ends_with_the_shipped_networks(pipeline):
    _, _, joint = pipeline
    images = shipped_images()
    album = images.album
    heard = images.embedding[album.person, 0]
    drawn = ((draw(joint.generator, heard) + 1) * 127.5).round().numpy()
    assert np.abs(drawn - album.images[-1].astype(float)).max() <= 1
    assert album.step[0] == 0
    assert (
        images.histories["generator"]["step"].iloc[-1] == album.step[album.stage == "generator"][-1]
    )
    assert images.sex[album.person].tolist() == ["m", "f", "m", "f"]


def test_shipped_files_can_be_read_by_all_and_stay_small():
    names = ["voice_to_image", "unsupervised", "image_sex"]
    paths = [shipped(f"phantom_{name}.safetensors") for name in names]
    paths += [path.with_suffix(".json") for path in paths]
    paths += [shipped("phantom_images.npz"), shipped("phantom_images.json")]
    written_by_hand = shipped("README.md").stat().st_mode  # 0o644, where nobody's umask differs
    for path in paths:
        assert path.stat().st_mode == written_by_hand, path
    assert sum(path.stat().st_size for path in paths) < 16e6
