"""What ships of the image pipeline, the album of its training, and the sheets that show it."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import photos_made
import pytest
import torch
from PIL import Image

from v2mlib import plot_images
from v2mlib.checks import InputError
from v2mlib.datasets.resident_photos import ResidentPhotos
from v2mlib.faces import load_face_model
from v2mlib.fitting.cascade import Cascade
from v2mlib.fitting.joint import JointTask
from v2mlib.fitting.joint_start import Start
from v2mlib.fitting.ship_album import first_of_each, fresh_generator, make_album
from v2mlib.fitting.ship_images import read_photographs
from v2mlib.fitting.shipped_images import (
    Album,
    ShippedImages,
    draw,
    photographs_of,
    shipped_images,
    write_images,
)
from v2mlib.fitting.shipped_networks import (
    JointNetworks,
    for_other_people,
    load_joint,
    save_joint,
)
from v2mlib.fitting.unsupervised import SIZES
from v2mlib.models import Critic, Generator, VoiceEncoder
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice_to_image import VoiceToImage
from v2mlib.phantom import Population

NARROW = [8, 8, 8, 8, 8]


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return JointNetworks(
        VoiceEncoder(channels=(8, 8, 8, 8)).eval(),
        Generator(channels=NARROW).eval(),
        Critic(5, NARROW).eval(),
        ImageToFace("mobilenet_v2", width=0.25, image_size=32).eval(),
        {},
    )


# --- networks ------------------------------------------------------------------------------


def test_joint_networks_are_the_same_after_saving(networks, tmp_path):
    VoiceToImage(networks.encoder, networks.generator).save(tmp_path / "v.safetensors")
    save_joint(
        tmp_path / "j.safetensors", *networks[1:4], card={"data": {"kind": "made"}}, half=False
    )
    again = load_joint(tmp_path / "j.safetensors", voice_to_image=tmp_path / "v.safetensors")
    assert again.card["data"] == {"kind": "made"}
    for name in ("generator", "critic", "student"):
        one, other = getattr(networks, name).state_dict(), getattr(again, name).state_dict()
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
        assert not getattr(again, name).training
    drawn = again.cascade().voice_to_image.draw(torch.eye(64)[:3])
    assert torch.equal(drawn, draw(networks.generator, torch.eye(64)[:3]))


def test_other_weights_are_refused(networks, tmp_path):
    VoiceToImage(networks.encoder, networks.generator).save(tmp_path / "v.safetensors")
    with pytest.raises(InputError, match="holds a voice_to_image, not an unsupervised model"):
        load_joint(tmp_path / "v.safetensors", voice_to_image=tmp_path / "v.safetensors")


def test_a_critic_of_other_people_keeps_its_eye(networks):
    other = for_other_people(networks.critic, 11)
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    one, two = networks.critic(images), other(images)
    assert torch.equal(one.real, two.real)
    assert two.identity.shape == (4, 11)
    again = for_other_people(networks.critic, 11)
    assert torch.equal(again.classifier.weight, other.classifier.weight)


# --- voices and album ----------------------------------------------------------------------


def test_people_of_the_album_are_chosen_by_their_place_alone():
    assert first_of_each(["m", "m", "f", "m", "f"], 4).tolist() == [0, 2, 1, 4]


def test_album_begins_before_training_and_shows_each_kept_state(networks, tmp_path):
    for name in ("generator", "joint"):
        (tmp_path / name / "kept").mkdir(parents=True)
    states = [{"generator": Generator(channels=NARROW).state_dict()} for _ in range(3)]
    for step, state in zip((10, 2, 40), states, strict=True):  # 40 is the end, and shipped
        torch.save(state, tmp_path / "generator/kept" / f"{step:06d}.pt")
    state = {**states[0], "student": networks.student.state_dict()}
    torch.save(state, tmp_path / "joint/kept/000003.pt")
    runs = {
        name: SimpleNamespace(folder=tmp_path / name, history=pd.DataFrame({"step": [1, end]}))
        for name, end in (("generator", 40), ("joint", 6))
    }
    teacher = ImageToFace(width=0.25, image_size=32).eval()
    cascade = Cascade(VoiceToImage(networks.encoder, networks.generator), teacher)
    heard = torch.nn.functional.normalize(torch.randn(5, 2, 64), dim=-1).numpy()
    album = make_album(runs, cascade, networks, heard, np.array([3, 1]))
    assert album.stage.tolist() == ["generator"] * 4 + ["joint"] * 2
    assert album.step.tolist() == [0, 2, 10, 40, 3, 6]
    last = draw(networks.generator, heard[[3, 1], 0])
    expected = ((last + 1) * 127.5).round().numpy()
    np.testing.assert_array_equal(album.images[-1], expected)
    with torch.no_grad():
        np.testing.assert_allclose(album.shape[-1], networks.student(last).shape, atol=1e-5)
        np.testing.assert_allclose(album.shape[3], teacher(last).shape, atol=1e-5)
    first = draw(fresh_generator(networks.generator), heard[[3, 1], 0])
    np.testing.assert_array_equal(album.images[0], ((first + 1) * 127.5).round().numpy())
    assert (album.images[1] != album.images[2]).any()


def images_made():
    rng = np.random.default_rng(0)
    album = Album(
        np.array(["generator", "joint"]),
        np.array([0, 9]),
        rng.integers(0, 256, (2, 1, 3, 64, 64), dtype=np.uint8),
        rng.integers(-3, 4, (2, 1, 40)).astype(np.float32),
        np.array([1]),
    )
    histories = {"generator": pd.DataFrame({"step": [1, 2], "loss": [0.5, None]})}
    heard = np.ones((2, 3, 64), np.float32) / 8
    card = {"check": [{"method": "cascade", "accuracy": 0.9}]}
    names, sexes, seen = np.array(["a", "b"]), np.array(["m", "f"]), np.ones((2, 40), np.float32)
    return ShippedImages(names, sexes, heard, seen, album, histories, card)


def test_images_are_the_same_after_writing(tmp_path):
    made = images_made()
    write_images(tmp_path / "x.npz", made)
    again = shipped_images(tmp_path / "x.npz")
    np.testing.assert_array_equal(again.embedding, made.embedding)
    np.testing.assert_array_equal(again.seen, made.seen)
    for one, other in zip(again.album, made.album, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.card["check"] == made.card["check"]
    history = again.histories["generator"]
    assert history["step"].tolist() == [1, 2]
    assert history["loss"].isna().tolist() == [False, True]


def test_damaged_or_missing_images_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"x\.npz or its card cannot be read"):
        shipped_images(tmp_path / "x.npz")
    write_images(tmp_path / "x.npz", images_made())
    write_images(tmp_path / "y.npz", images_made()._replace(embedding=np.zeros((2, 3, 64))))
    (tmp_path / "x.npz").write_bytes((tmp_path / "y.npz").read_bytes())
    with pytest.raises(InputError, match="is damaged, or its card is another's"):
        shipped_images(tmp_path / "x.npz")


# --- sheets and charts ---------------------------------------------------------------------


def test_a_sheet_holds_each_picture_where_its_heading_says():
    red, blue = np.zeros((2, 3, 64, 64)), np.zeros((8, 8, 3), np.uint8)
    red[:] = np.array([1.0, -1.0, -1.0])[:, None, None]
    blue[..., 2] = 255
    columns = {"red": list(red), "blue": [blue, Image.fromarray(blue)]}
    sheet = plot_images.picture_grid(columns, rows=["one", "two\nlines"], size=40)
    assert sheet.mode == "P"
    pixels = np.asarray(sheet.convert("RGB")).astype(int)
    width = plot_images.picture_grid(columns, size=40).width
    left = sheet.width - width  # of the labels
    assert left > 40
    for column, colour in ((0, (255, 0, 0)), (1, (0, 0, 255))):
        for row in (0, 1):
            x, y = left + column * 45 + 20, 24 + row * 45 + 20
            assert np.abs(pixels[y, x] - colour).max() < 25, (column, row)


def test_uneven_or_strange_pictures_are_refused():
    picture = np.zeros((3, 8, 8))
    with pytest.raises(InputError, match=r"columns hold \{'a': 1, 'b': 2\} pictures"):
        plot_images.picture_grid({"a": [picture], "b": [picture] * 2})
    with pytest.raises(InputError, match="and 2 labels"):
        plot_images.picture_grid({"a": [picture]}, rows=["x", "y"])
    with pytest.raises(InputError, match="columns hold no pictures"):
        plot_images.picture_grid({})
    with pytest.raises(InputError, match=r"a picture of shape \(8, 8\) is none that can be drawn"):
        plot_images.as_picture(np.zeros((8, 8)), 16)


def test_faces_are_drawn_from_their_coefficients():
    model = load_face_model("phantom")
    shape = np.zeros((2, model.n_shape), np.float32)
    shape[1, 0] = 3
    one, other = plot_images.face_pictures(shape, model, size=48)
    assert one.size == (48, 48)
    assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean() > 0.5
    sheet = plot_images.forming(
        [[one, other]] * 3, [[other, one]] * 3, ["0", "1", "2"], truth=([one] * 2, [one] * 2),
        size=48,
    )  # fmt: skip
    assert sheet.height == 24 + 4 * (48 + 5)
    assert sheet.width == 96 + 4 * (48 + 5)


def test_curves_follow_the_history():
    table = pd.DataFrame({"step": [1, 2, 3], "real_loss": [3.0, 2.0, 1.0]})
    figure = plot_images.curves(
        table, ["real_loss"], axis="loss (nats)", references={"chance": 0.7}, title="x"
    )
    assert list(figure.data[0].y) == [3.0, 2.0, 1.0]
    assert list(figure.data[1].x) == [1.0, 3.0]
    assert figure.layout.yaxis.title.text == "loss (nats)"
    with pytest.raises(InputError, match="the history lacks fake_loss"):
        plot_images.curves(table, ["fake_loss"], axis="loss")


def test_photographs_are_cut_as_a_generators_are(tmp_path):
    population = Population(6, seed=3, n_test=2)
    (cut,) = photographs_of(population, ["id00002"], number=1)
    photo = population.photograph("id00002", 1)
    photo.image.save(tmp_path / "a.png")
    world = SimpleNamespace(
        folder=tmp_path,
        photos=pd.DataFrame({"identity": ["id00002"], "path": ["a.png"]}),
        landmarks=photo.landmarks[None].astype(np.float32),
    )
    stored = ResidentPhotos(world, ["id00002"], progress=False).pixels[0].permute(1, 2, 0)
    gap = np.abs(np.asarray(cut).astype(int) - stored.numpy())
    assert gap.max() <= 2  # landmarks are stored in single precision


def test_a_joint_training_goes_on_from_networks_in_memory(tmp_path):
    world, store = photos_made.made_world_with_photos(tmp_path, n_train=4, n_validation=2, n_test=2)
    encoder, teacher = VoiceEncoder(channels=(8,) * 4), ImageToFace(width=0.25, image_size=32)
    config = SIZES["tiny"]
    parts = (world, store, encoder.eval(), teacher.eval())
    before = JointTask(*parts, config, progress=False)
    names = ("generator", "critic", "student")
    states = {name: before.networks[name].state_dict() for name in names}
    engine = dataclasses.replace(config.engine, seed=5)
    other = dataclasses.replace(
        config, adversarial=dataclasses.replace(config.adversarial, engine=engine)
    )
    fresh = JointTask(*parts, other, progress=False)
    after = JointTask(*parts, other, start=Start(states, {}), progress=False)
    for name in names:
        found = after.networks[name].state_dict()
        assert all(torch.equal(found[key], states[name][key]) for key in found), name
        wanted = fresh.networks[name].state_dict()
        assert any(not torch.equal(wanted[key], states[name][key]) for key in wanted), name


def test_what_the_teacher_sees_is_averaged_over_a_persons_photographs(tmp_path):
    world, _ = photos_made.made_world_with_photos(tmp_path, n_train=2, n_validation=1, n_test=3)
    teacher = ImageToFace(width=0.25, image_size=32).eval()
    seen = read_photographs(teacher, world, progress=False)
    names = world.identities.loc[world.identities["split"] == "test", "identity"].tolist()
    photos = ResidentPhotos(world, names, progress=False)
    assert seen.shape == (3, 40)
    with torch.no_grad():
        each = teacher(photos.images(torch.arange(6))).shape.numpy().reshape(3, 2, 40)
    np.testing.assert_allclose(seen, each.mean(1), atol=1e-5)
