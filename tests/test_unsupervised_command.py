"""``v2m train unsupervised``: a model for ``v2m predict``, from nothing or from a GAN."""

import json

import joint_made
import photos_made
import pytest

from v2mlib import datasets
from v2mlib.checks import InputError
from v2mlib.cli import main
from v2mlib.commands import train_unsupervised
from v2mlib.fitting import adversarial, pretraining, unsupervised
from v2mlib.fitting.distillation import METHODS
from v2mlib.models import Voice2Mesh

FEW = ("--size", "tiny", "--steps", "2", "--batch-size", "4", "--device", "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photos_made.made_world_with_photos(
        tmp_path_factory.mktemp("world"), n_train=8, n_validation=3, n_test=3
    )


@pytest.fixture(autouse=True)
def teacher(made, monkeypatch, tmp_path):
    for module in (adversarial, pretraining, unsupervised):
        monkeypatch.setattr(module, "log_mel_store", lambda *_, **__: made[1])
    monkeypatch.setattr(datasets, "load_data", lambda _: made[0], raising=False)
    path = tmp_path / "teacher.safetensors"
    joint_made.teacher().save(path)
    return path


@pytest.fixture
def encoder(made, tmp_path):
    """A small Voice2Mesh, for its voice encoder."""
    from v2mlib.faces import load_face_model
    from v2mlib.models.architecture import Architecture

    architecture = Architecture(channels=(8,) * 4)
    model = Voice2Mesh(*architecture.build(), load_face_model("phantom"), architecture)
    return model.save(tmp_path / "voice.safetensors")


def train(*words):
    return main(["train", "unsupervised", "--data", "made", *map(str, words), *FEW])


def test_a_run_from_nothing_and_one_from_its_generator(teacher, encoder, tmp_path, capsys):
    out = tmp_path / "run"
    common = ("--teacher", teacher)
    first = (*common, "--out", out, "--encoder", encoder, "--gan-steps", 2, "--json")
    assert train(*first, "--distillation", "rkd") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["steps"] == 2
    assert said["distillation"] == "rkd"
    assert said["disagreement"] > 0
    assert Voice2Mesh.load(out).card["training"]["steps"] == 2

    again = (*common, "--out", tmp_path / "other", "--start-from", out / "generator")
    assert train(*again, "--released") == 0  # with the encoder of that run, and its widths
    card = Voice2Mesh.load(tmp_path / "other").card
    assert card["training"]["unsupervised"]["lessons"]["weights"]["triplet"] == 1.5
    assert "weights:" in capsys.readouterr().out


def test_a_fresh_encoder_is_pretrained_as_the_size_and_the_machine_say(made, monkeypatch, tmp_path):
    asked = {}

    def noted(_, *, out, config):
        asked.update(out=out, config=config)
        raise InputError("the encoder", "was asked for", "look")

    monkeypatch.setattr(pretraining, "pretrain_encoder", noted)
    words = ("--seed", 5, "--precision", "32-true")
    assert train("--out", tmp_path, "--teacher", tmp_path / "teacher.safetensors", *words) == 1
    assert asked["out"] == tmp_path / "encoder"
    engine = asked["config"].engine
    assert (engine.device, engine.seed, engine.precision) == ("cpu", 5, "32-true")
    assert engine.n_steps == 40  # seconds, as the joint training of this size


def test_the_command_offers_what_there_is():
    assert tuple(METHODS) == train_unsupervised._METHODS
    assert tuple(unsupervised.SIZES) == train_unsupervised._SIZES


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--start-from", "nowhere"), "holds no finished adversarial training"),
        (("--start-from", "x", "--gan-steps", 2), "choose one of them"),
        (("--teacher", "nobody"), "nobody"),
    ],
)
def test_what_cannot_be_done_is_said(teacher, tmp_path, capsys, words, message):
    assert train("--out", tmp_path / "run", "--teacher", teacher, *words) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
