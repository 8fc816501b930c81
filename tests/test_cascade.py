"""Photographs on the device, the teacher, the cascade, and the predictions that ship."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import photos_made
import pytest
import torch
from PIL import Image

from v2mlib.checks import InputError
from v2mlib.datasets.resident_photos import FaceCrop, ResidentPhotos, cut_square
from v2mlib.faces import load_face_model
from v2mlib.faces.cameras import Camera, frame, project
from v2mlib.fitting import cascade as cascades
from v2mlib.fitting.cascade import Cascade, predict_cascade
from v2mlib.fitting.ship_predictions import collect, deal_again
from v2mlib.fitting.shipped import ShippedPredictions, shipped_predictions, write_predictions
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.teacher_training import TeacherConfig, train_teacher
from v2mlib.fitting.teacher_truth import PhotoTruth, judge_teacher
from v2mlib.metrics.scoring import coefficient_errors
from v2mlib.models import Generator, VoiceEncoder
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice_to_image import VoiceToImage


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photos_made.made_world_with_photos(
        tmp_path_factory.mktemp("world"), n_train=8, n_validation=3, n_test=3, n_photos=3
    )


def names(world, split):
    people = world.identities
    return people.loc[people["split"] == split, "identity"].tolist()


# --- photographs ---------------------------------------------------------------------------


def test_crops_are_of_whom_they_say(made):
    world, people = made[0], names(made[0], "train")[::-1]
    photos = ResidentPhotos(world, people, crop=FaceCrop(16), progress=False)
    assert photos.identities == people
    assert len(photos) == 24
    batch = photos.sample(3, 20, seed=1)
    assert batch.images.shape == (20, 3, 16, 16)
    for image, identity, photo in zip(batch.images, batch.identity, batch.photo, strict=True):
        row = world.photos.iloc[photos.row[photo]]
        assert row["identity"] == people[identity]
        with Image.open(world.folder / row["path"]) as opened:
            colour = np.asarray(opened).mean((0, 1)) / 127.5 - 1
        np.testing.assert_allclose(image.mean((1, 2)), colour, atol=0.08)


def test_people_without_a_face_in_any_photograph_are_left_out(made):
    world = SimpleNamespace(**vars(made[0]))
    world.landmarks = world.landmarks.copy()
    world.landmarks[world.photos["identity"] == "id00002"] = np.nan
    photos = ResidentPhotos(world, names(world, "train"), crop=FaceCrop(16), progress=False)
    assert "id00002" not in photos.identities
    assert len(photos.identities) == 7
    world.landmarks[:] = np.nan
    with pytest.raises(InputError, match="8 identities have no photograph with a face"):
        ResidentPhotos(world, names(world, "train"), progress=False)


def test_a_crop_shows_what_its_square_says(tmp_path):
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[60:64, 40:44] = 255  # its middle is at column 42, row 62
    Image.fromarray(picture).save(tmp_path / "a.png")
    photos = pd.DataFrame({"identity": ["a"], "path": ["a.png"]})
    corners = np.array([[[20.0, 30.0], [80.0, 90.0]]])
    world = SimpleNamespace(folder=tmp_path, photos=photos, landmarks=corners)
    crop = FaceCrop(64, margin=1.2, scale_jitter=0.2, shift_jitter=0.1)
    resident = ResidentPhotos(world, ["a"], crop=crop, progress=False)
    batch = resident.sample(0, 12)
    assert batch.square[:, 2].std() > 1  # the jitter is there
    middle = torch.arange(64) + 0.5
    for image, square in zip(batch.images, batch.square, strict=True):
        weight = image[0] + 1
        seen = torch.stack([(weight.sum(0) * middle).sum(), (weight.sum(1) * middle).sum()])
        where = square[:2] + seen / weight.sum() * square[2] / 64
        torch.testing.assert_close(where, torch.tensor([42.0, 62.0]), atol=0.3, rtol=0)
    still = resident.images(torch.tensor([0]))[0, 0] + 1
    where = resident.squares(torch.tensor([0]))[0]
    column = (still.sum(0) * middle).sum() / still.sum() * where[2] / 64 + where[0]
    assert float(column) == pytest.approx(42, abs=0.3)


def test_mirrored_images_are_mirrored(made):
    photos = ResidentPhotos(made[0], names(made[0], "train"), crop=FaceCrop(16), progress=False)
    plain, flipped = (photos.sample(0, 40, flip=flip).images for flip in (False, True))
    turned = [not torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    assert 8 < sum(turned) < 32
    assert all(
        torch.equal(b, a.flip(2)) for a, b, t in zip(plain, flipped, turned, strict=True) if t
    )


def test_processes_share_a_batch(made):
    photos = ResidentPhotos(made[0], names(made[0], "train"), crop=FaceCrop(16), progress=False)
    whole = photos.sample(2, 8, flip=True)
    parts = [photos.sample(2, 8, flip=True, rank=rank, n_ranks=2) for rank in (0, 1)]
    for rank, part in enumerate(parts):
        assert torch.equal(part.images, whole.images[rank::2])
        assert torch.equal(part.identity, whole.identity[rank::2])
    assert not torch.equal(photos.sample(3, 8).photo, photos.sample(2, 8).photo)


def test_beyond_the_edge_the_edge_is_repeated(tmp_path):
    picture = np.full((20, 30, 3), 200, np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert (cut_square(tmp_path / "a.png", (-15, -40, 65, 40), 16) == 200).all()
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"b\.png cannot be read as a picture"):
        cut_square(tmp_path / "b.png", (0, 0, 9, 9), 16)


@pytest.mark.parametrize("changes", [{"size": 4}, {"margin": 0.0}, {"shift_jitter": 0.6}])
def test_impossible_crops_are_refused(changes):
    with pytest.raises(InputError):
        FaceCrop(**changes)


# --- the teacher ---------------------------------------------------------------------------


def test_the_pose_puts_landmarks_where_the_camera_saw_them():
    model = load_face_model("phantom")
    rng = np.random.default_rng(0)
    shape = rng.standard_normal((3, model.n_shape)).astype(np.float32)
    expression = np.tile(model.neutral_expression.numpy(), (3, 1)).astype(np.float32)
    angles = np.array([[0.0, 0.0, 0.0], [20.0, -8.0, 5.0], [-15.0, 6.0, -10.0]])
    points = model.decode(shape, expression, vertices=model.landmarks).numpy()
    pixels = np.stack([
        project(face, frame(face, Camera(*turn, distance=1e6), margin=1.4), (128, 128))
        for face, turn in zip(points, angles, strict=True)
    ])  # fmt: skip
    table = pd.DataFrame(angles, columns=["yaw_deg", "pitch_deg", "roll_deg"])
    table = table.assign(identity=["a", "b", "c"], expression=list(expression))
    world = SimpleNamespace(
        photos=table,
        identities=pd.DataFrame({"identity": ["a", "b", "c"]}),
        reference_coefficients=shape,
        landmarks=pixels,
    )
    truth = PhotoTruth.of(world, model)
    square = torch.tensor([[10.0, 5.0, 90.0], [0.0, 0.0, 128.0], [-4.0, 8.0, 110.0]])
    found = truth.parameters(torch.arange(3), square, 120)
    pose = found[:, :12].view(3, 3, 4)
    placed = torch.einsum("pij,plj->pli", pose[..., :3], torch.tensor(points)) + pose[:, None, :, 3]
    wanted = (torch.tensor(pixels) + 0.5 - square[:, None, :2]) * (120 / square[:, None, 2:])
    np.testing.assert_allclose(placed[..., 0], wanted[..., 0], atol=0.05)
    np.testing.assert_allclose(120 - placed[..., 1], wanted[..., 1], atol=0.05)
    assert torch.equal(found[:, 12:52], torch.tensor(shape))


def test_a_teacher_is_trained_stopped_and_judged(made, tmp_path):
    world = made[0]
    engine = EngineConfig(
        n_steps=6, validate_every=3, checkpoint_every=2, device="cpu", precision="32-true"
    )
    config = TeacherConfig(
        width=1 / 8,
        batch_size=4,
        warmup=2,
        face=FaceCrop(64, scale_jitter=0.05, shift_jitter=0.02),
        engine=engine,
    )
    whole = train_teacher(world, out=tmp_path / "whole", config=config, progress=False)
    again = train_teacher(world, out=tmp_path / "whole", config=config, progress=False)
    loaded = ImageToFace.load(tmp_path / "whole/model.safetensors")
    for network in (again.network, loaded):
        for name, tensor in whole.network.state_dict().items():
            assert torch.equal(tensor, network.state_dict()[name]), name
    history = whole.training.history
    assert history["step"].tolist() == [3, 6]
    assert {"loss", "shape_loss", "validation_fine_loss"} <= set(history)
    truth = PhotoTruth.of(world, load_face_model("phantom")).shape
    used = np.array(world.photos["split"] == "train")
    np.testing.assert_allclose(whole.network.mean[12:52], truth[used].mean(0), atol=1e-5)
    table = judge_teacher(whole.network, world, size=32, face=config.face, progress=False)
    assert table["measure"].tolist()[-5:] == ["ear", "forehead", "midline", "cheek", "mean"]
    assert np.isfinite(table["r_squared"]).all()
    mean = table.set_index("measure").loc["mean"]
    reference = world.reference_coefficients
    test = (world.identities["split"] == "test").to_numpy()
    wanted = coefficient_errors(
        np.tile(reference[~test].mean(0), (3, 1)), reference[test], load_face_model("phantom")
    )
    assert mean["error_mean_face"] == pytest.approx(wanted["mean"].mean(), rel=1e-5)


def test_a_world_without_photographs_teaches_nobody(made, tmp_path):
    world = SimpleNamespace(**vars(made[0]) | {"photos": made[0].photos.iloc[:0]})
    with pytest.raises(InputError, match="has no photographs"):
        train_teacher(world, out=tmp_path, progress=False)


# --- the cascade ---------------------------------------------------------------------------


def test_the_cascade_is_one_network_after_the_other(made, monkeypatch):
    world, store = made
    monkeypatch.setattr(cascades, "log_mel_store", lambda *_, **__: store)
    monkeypatch.setattr(cascades, "MINIMUM_FRAMES", 200)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawer = VoiceToImage(VoiceEncoder(channels=(8,) * 4), Generator(channels=(8,) * 5)).eval()
        teacher = ImageToFace(width=1 / 8).eval()
    # Fresh networks tell hardly anything apart: louder ones do.
    for parameter in drawer.generator.parameters():
        parameter.data.mul_(8.0)
    for module in teacher.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.fill_(3.0)
    table = predict_cascade(Cascade(drawer, teacher), world)
    assert table.shape == (9, 40)
    assert table.std().mean() > 0.01
    assert table.index.tolist() == np.repeat(names(world, "test"), 3).tolist()
    rows = store.index.index[store.index["split"] == "test"]
    for number, row in enumerate(rows):
        log_mel = store.log_mel(row)
        log_mel = log_mel[np.arange(max(len(log_mel), 200)) % len(log_mel)]
        with torch.no_grad():
            alone = teacher(drawer(torch.tensor(log_mel)[None])).shape[0]
        np.testing.assert_allclose(table.iloc[number], alone, rtol=1e-3, atol=1e-3)


# --- what ships ----------------------------------------------------------------------------


def test_what_ships_has_the_scores_that_its_card_says():
    found, model = shipped_predictions(), load_face_model("phantom")
    assert found.identity.shape == found.sex.shape == (480,)
    assert set(found.sex) == {"m", "f"}
    assert len(set(found.identity)) == 480
    scores = found.card["scores"]
    assert {"supervised", "pretrained", "ridge", "shuffled"} <= set(found.predicted)
    rows = {name: found.averaged(name) for name in found.predicted}
    rows |= {
        "ceiling": found.ceiling,
        "sex_mean_face": found.sex_mean,
        "mean_face": found.mean_face,
    }
    for name, coefficients in rows.items():
        assert coefficients.shape == (480, 40)
        error = coefficient_errors(coefficients, found.reference, model)["mean"].mean()
        assert error == pytest.approx(scores[name]["error"], abs=2e-5), name
    # As the card of the shipped weights says: the same people and recordings.
    order = ["ceiling", "supervised", "pretrained", "ridge", "sex_mean_face", "mean_face"]
    errors = [scores[name]["error"] for name in order]
    assert errors == sorted(errors)
    assert errors[1] == pytest.approx(0.03552, abs=1e-4)


def test_null_controls_are_others_predictions():
    found = shipped_predictions()
    own = found.predicted["supervised"]
    for name in ("shuffled", "shuffled_within_sex"):
        dealt = found.predicted[name]
        assert not (dealt == own).all((1, 2)).any()
        order = [int(np.flatnonzero((own == row).all((1, 2)))[0]) for row in dealt]
        assert sorted(order) == list(range(480))
        same_sex = (found.sex[order] == found.sex).mean()
        assert same_sex == 1 if "within" in name else 0.4 < same_sex < 0.6


def test_dealing_is_repeatable_and_leaves_nobody_the_own():
    dealt = deal_again(np.arange(50))
    assert (dealt == deal_again(np.arange(50))).all()
    assert (dealt != np.arange(50)).all()
    assert (deal_again(np.arange(50), seed=1) != dealt).any()


def small(**changes):
    people = np.array(["a", "b"])
    zeros = np.zeros((2, 40), np.float32)
    parts = {"reference": zeros, "ceiling": zeros, "sex_mean": zeros, "mean_face": zeros}
    predicted = {"one": np.arange(160, dtype=np.float32).reshape(2, 2, 40) / 64}
    made = ShippedPredictions(people, np.array(["m", "f"]), **parts, predicted=predicted, card={})
    return made._replace(**changes)


def test_predictions_are_the_same_after_writing(tmp_path):
    write_predictions(tmp_path / "x.npz", small())
    again = shipped_predictions(tmp_path / "x.npz")
    np.testing.assert_array_equal(again.predicted["one"], small().predicted["one"])
    np.testing.assert_array_equal(again.averaged("one"), small().predicted["one"].mean(1))
    with pytest.raises(InputError, match="method 'two' is unknown: choose from one"):
        again.averaged("two")


def test_damaged_or_unfinished_predictions_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(InputError, match=r"x\.npz or its card cannot be read"):
        shipped_predictions(path)
    spoilt = small().predicted["one"] * np.nan
    with pytest.raises(InputError, match="would hold NaN or infinity in predicted_one"):
        write_predictions(path, small(predicted={"one": spoilt}))
    assert not path.exists()
    write_predictions(path, small())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="is damaged, or its card is another's"):
        shipped_predictions(path)


def test_uneven_predictions_are_refused(made):
    table = pd.DataFrame(np.zeros((8, 40)), index=np.repeat(names(made[0], "test"), 3)[:8])
    world = made[0]
    world.ceiling_coefficients = world.reference_coefficients
    with pytest.raises(InputError, match="predictions of one are 2 to 3 per identity"):
        collect(world, {"one": table})


def test_teacher_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="coarse_share=2 is no share"):
        dataclasses.replace(TeacherConfig(), coarse_share=2)
