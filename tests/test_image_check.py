"""The check of generated images: what it counts, and whether its classifier learns sex."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import photos_made
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

from v2mlib.checks import InputError, ShapeError
from v2mlib.datasets.resident_photos import FaceCrop, ResidentPhotos
from v2mlib.fitting.image_check import image_check, judge_photos, sex_accuracy
from v2mlib.fitting.image_check_training import (
    CHECK_CROP,
    ImageCheckConfig,
    train_image_check,
)
from v2mlib.fitting.task import EngineConfig
from v2mlib.models.image_sex import ImageSexClassifier
from v2mlib.models.image_to_face import ImageToFace

QUICK = ImageCheckConfig(
    width=0.125,
    warmup=5,
    learning_rate=5e-3,
    batch_size=16,
    engine=EngineConfig(
        n_steps=200, validate_every=100, checkpoint_every=200, keep_every=100, precision="32-true"
    ),
)


def coloured_world(folder, **options):
    """Men's photographs are bright, women's dark; nobody is of another's brightness."""
    world, _ = photos_made.made_world_with_photos(folder, **options)
    rng = np.random.default_rng(0)
    sexes = np.where(np.arange(len(world.identities)) % 2, "m", "f")
    world.identities = world.identities.assign(sex=sexes)
    male = world.photos["identity"].map(world.identities.set_index("identity")["sex"]) == "m"
    for path, bright in zip(world.photos["path"], male, strict=True):
        level = 190 if bright else 50
        size = (photos_made.PIXELS, photos_made.PIXELS, 3)
        picture = rng.integers(level - 40, level + 41, size).astype(np.uint8)
        Image.fromarray(picture).save(world.folder / path, quality=95)
    return world


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    world = coloured_world(folder, n_train=12, n_validation=4, n_test=4, n_photos=3)
    found = train_image_check(world, out=folder / "run", config=QUICK, progress=False)
    return world, found


# --- counting ------------------------------------------------------------------------------


def test_accuracy_counts_images_and_its_interval_people():
    odds = [[1.0, 2.0], [1.0, -1.0], [-1.0, -2.0], [3.0, 4.0], [-1.0, -1.0]]
    found = sex_accuracy(odds, ["m", "m", "f", "f", "f"])
    assert found["accuracy"] == pytest.approx((1 + 0.5 + 1 + 0 + 1) / 5)
    assert found["accuracy_m"] == pytest.approx(0.75)
    assert found["accuracy_f"] == pytest.approx(2 / 3)
    assert (found["n_identities"], found["n_images"]) == (5, 10)


def test_interval_with_one_image_each_is_the_binomial_one():
    rng = np.random.default_rng(1)
    odds, sex = rng.normal(size=(90, 1)), np.where(rng.random(90) < 0.5, "m", "f")
    found = sex_accuracy(odds, sex)
    hits = int(((odds[:, 0] > 0) == (sex == "m")).sum())
    peer = binomtest(hits, 90).proportion_ci(0.95, method="exact")
    assert found["ci_low"] == pytest.approx(peer.low, abs=1e-9)
    assert found["ci_high"] == pytest.approx(peer.high, abs=1e-9)
    # More images that say the same are no more people.
    again = sex_accuracy(np.repeat(odds, 7, axis=1), sex)
    assert again["ci_low"] == pytest.approx(found["ci_low"], abs=1e-9)


def test_extremes_have_one_sided_intervals():
    right = sex_accuracy([[1.0], [-1.0]], ["m", "f"])
    wrong = sex_accuracy([[-1.0], [1.0]], ["m", "f"])
    assert (right["accuracy"], right["ci_high"]) == (1.0, 1.0)
    assert (wrong["accuracy"], wrong["ci_low"]) == (0.0, 0.0)
    assert right["ci_low"] == pytest.approx(0.025**0.5)
    assert (right["auc"], wrong["auc"]) == (1.0, 0.0)


def test_area_does_not_see_a_shift_that_spoils_the_accuracy():
    rng = np.random.default_rng(2)
    sex = np.array(["m", "f"] * 50)
    odds = rng.normal(np.where(sex == "m", 1.0, -1.0)[:, None], 1.0, (100, 3))
    one, shifted = sex_accuracy(odds, sex), sex_accuracy(odds + 5, sex)
    assert shifted["accuracy"] < 0.6 < 0.8 < one["accuracy"]
    assert shifted["auc"] == pytest.approx(one["auc"])
    pairs = (odds[sex == "m"].ravel()[:, None] > odds[sex == "f"].ravel()).mean()
    assert one["auc"] == pytest.approx(pairs)


def test_null_is_a_half_whatever_the_images_show_where_sexes_are_equal():
    sex = np.array(["m", "f"] * 60)
    truthful = np.where(sex == "m", 1.0, -1.0)[:, None]
    for odds in (truthful, np.ones((120, 2))):
        found = sex_accuracy(odds, sex)
        assert found["null"] == pytest.approx(0.5, abs=0.005)
    assert sex_accuracy(truthful, sex)["null_high"] < 0.62


def test_misfits_are_refused():
    with pytest.raises(ShapeError, match=r"log_odds has shape \(3, 1\), expected \(identity=2"):
        sex_accuracy(np.zeros((3, 1)), ["m", "f"])
    with pytest.raises(InputError, match="sex does not hold m and f, and nothing else"):
        sex_accuracy(np.zeros((2, 1)), ["m", "m"])


# --- the classifier ------------------------------------------------------------------------


def test_classifier_learns_what_tells_the_sexes_apart(trained):
    _, found = trained
    history = found.training.history
    assert history["validation_accuracy"].iloc[-1] > 0.9
    assert history["validation_loss"].iloc[-1] < 0.3
    assert not found.network.training
    noise = 0.3 * (2 * torch.rand(2, 3, 3, 64, 64, generator=torch.manual_seed(0)) - 1)
    bright, dark = noise + 0.49, noise - 0.61
    images = {"told": torch.cat([bright, dark]), "swapped": torch.cat([dark, bright])}
    table = image_check(found.network, images, ["m", "m", "f", "f"], batch_size=5)
    assert table.set_index("method")["accuracy"].to_dict() == {"told": 1.0, "swapped": 0.0}


def test_states_are_kept_as_they_were(trained):
    folder = trained[1].training.folder
    kept = sorted((folder / "kept").iterdir())
    assert [path.name for path in kept] == ["000100.pt", "000200.pt"]
    early, late = (torch.load(path, weights_only=True)["network"] for path in kept)
    last = torch.load(folder / "last.pt", weights_only=True)["networks"]["network"]
    assert all(torch.equal(late[name], last[name]) for name in last)
    assert any(not torch.equal(early[name], late[name]) for name in last)
    # Keeping states changes no result, so that a run may go on without.
    engine = dataclasses.replace(QUICK.engine, keep_every=0)
    train_image_check(
        trained[0], out=folder, config=dataclasses.replace(QUICK, engine=engine), progress=False
    )


def test_weights_are_the_same_after_saving(trained, tmp_path):
    network = trained[1].network
    network.save(tmp_path / "a.safetensors", half=False)
    again = ImageSexClassifier.load(tmp_path / "a.safetensors")
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(again(images), network(images))
    ImageToFace(width=0.25).save(tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="holds a image_to_face, not a image_sex"):
        ImageSexClassifier.load(tmp_path / "b.safetensors")


def test_people_of_one_sex_teach_nothing(trained, tmp_path):
    world = trained[0]
    men = SimpleNamespace(**vars(world))
    men.identities = world.identities.assign(sex="m")
    with pytest.raises(InputError, match="the train identities are all of one sex"):
        train_image_check(men, out=tmp_path, config=QUICK, progress=False)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="coarse_share=2 is no share"):
        dataclasses.replace(QUICK, coarse_share=2)
    with pytest.raises(InputError, match="images of 48 pixels are not what the generator draws"):
        dataclasses.replace(QUICK, face=dataclasses.replace(CHECK_CROP, size=48))


def test_photographs_are_judged_in_their_order(trained):
    world, found = trained
    people = world.identities.loc[world.identities["split"] == "test"]
    photos = ResidentPhotos(world, people["identity"], crop=FaceCrop(64), progress=False)
    odds = judge_photos(found.network, photos, batch_size=5)
    male = torch.tensor((people["sex"] == "m").to_numpy())[photos.identity]
    assert torch.equal(odds > 0, male)
