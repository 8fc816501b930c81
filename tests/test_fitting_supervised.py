"""Supervised training and pretraining on a made-up world that can be learned in seconds."""

import dataclasses
import functools

import fitting_made
import numpy as np
import pytest
import torch

from v2mlib import fitting
from v2mlib.checks import InputError
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting import pretraining, supervised
from v2mlib.models import Voice2Mesh, VoiceEncoder
from v2mlib.models.architecture import Architecture

CROP = CropConfig(0.4, 0.5)


SMALL = (32, 48, 64, 64)


def install(patch):
    """A made-up world for real code, and narrow networks: the widths do not matter here."""
    made, store = fitting_made.made_world()
    for module in ("supervised", "pretraining", "prediction"):
        patch.setattr(f"v2mlib.fitting.{module}.log_mel_store", lambda *_, **__: store)
    patch.setattr(supervised, "Architecture", functools.partial(Architecture, channels=SMALL))
    patch.setattr(pretraining, "VoiceEncoder", functools.partial(VoiceEncoder, channels=SMALL))
    return made


@pytest.fixture
def world():
    with pytest.MonkeyPatch.context() as patch:
        yield install(patch)


def engine(n_steps, **changes):
    settings = {"validate_every": n_steps // 2, "checkpoint_every": 2, "device": "cpu"}
    return fitting.EngineConfig(n_steps=n_steps, **settings | changes)


def config(n_steps=4, variant="end_to_end", **changes):
    settings = {"crop": CROP, "batch_size": 16, "warmup": 2, "engine": engine(n_steps)}
    pre = fitting.PretrainingConfig(crop=CROP, batch_size=16, warmup=2, engine=engine(4))
    return fitting.SupervisedConfig(variant=variant, pretraining=pre, **settings | changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short training that several tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        settings = config(4, engine=engine(4, validate_every=1))
        return train(install(patch), tmp_path_factory.mktemp("trained"), settings)


def train(world, out, settings, **options):
    return fitting.train_supervised(world, out=out, config=settings, progress=False, **options)


def states(model):
    return {**model.encoder.state_dict(), **model.heads.state_dict()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_killed_training_goes_on_to_the_identical_model(world, tmp_path, monkeypatch):
    whole = train(world, tmp_path / "whole", config())
    step = supervised.SupervisedTask.step

    def stopping(self, number, *rest):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number, *rest)

    monkeypatch.setattr(supervised.SupervisedTask, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "cut", config())
    monkeypatch.undo()
    resumed = train(world, tmp_path / "cut", config())
    assert equal(states(whole.model), states(resumed.model))
    assert whole.training.best_step == resumed.training.best_step


def test_voices_tell_faces_and_shuffled_ones_do_not(world, tmp_path):
    """The same training on matched and on shuffled pairs: one learns, the other stays at chance."""
    settings = config(60, learning_rate=2e-3, engine=engine(60, checkpoint_every=60))
    left = {}
    for name in ("matched", "shuffled"):
        if name == "shuffled":
            order = np.random.default_rng(1).permutation(len(world.identities))
            world.reference_coefficients = world.reference_coefficients[order]
        history = train(world, tmp_path / name, settings).training.history
        left[name] = history["validation_loss"].iloc[-1]
    spread = world.reference_coefficients.var(0).mean()
    assert left["matched"] < 0.6 * spread
    assert left["shuffled"] > 0.85 * spread


def test_the_ratios_decide_which_weights_are_kept(trained):
    history = trained.training.history
    best = history["validation_unexplained"].idxmin()
    assert trained.training.best_step == history["step"][best]


def test_test_identities_are_not_touched(world, tmp_path):
    first = train(world, tmp_path / "a", config())
    world.reference_coefficients[world.identities["split"] == "test"] = np.nan
    again = train(world, tmp_path / "b", config())
    assert equal(states(first.model), states(again.model))


def test_pretrained_encoder_stays_as_it_was(world, tmp_path):
    pretrained = fitting.pretrain_encoder(
        world, out=tmp_path / "encoder", config=config().pretraining, progress=False
    )
    before = {name: t.clone() for name, t in pretrained.encoder.state_dict().items()}
    for variant, is_same in (("pretrained", True), ("finetuned", False)):
        trained = train(
            world, tmp_path / variant, config(4, variant), encoder=pretrained.encoder
        ).model
        found = trained.encoder.state_dict()
        assert equal(before, found) == is_same
    history = pretrained.training.history
    assert {"loss", "accuracy", "validation_loss", "validation_accuracy"} <= set(history)


def test_variants_pretrain_where_they_must(world, tmp_path):
    train(world, tmp_path, config(2, "pretrained"))
    assert (tmp_path / "encoder" / "history.parquet").exists()


def test_model_is_saved_with_its_card_and_predicts_the_world(world, trained):
    again = Voice2Mesh.load(trained.training.folder / "model.safetensors")
    assert again.card["training"]["supervised"]["batch_size"] == 16
    assert again.card["data"]["kind"] == "phantom"
    assert "validation_loss" in again.card["metrics"]
    predicted = fitting.predict_world(again, world)
    assert predicted.shape == (24, 40)
    assert set(predicted.index) == set(world.identities.query("split == 'test'")["identity"])
    _, store = fitting_made.made_world()
    rows = np.flatnonzero(store.index["split"] == "test")
    alone = trained.model.coefficients([store.log_mel(row) for row in rows]).shape
    np.testing.assert_allclose(predicted.to_numpy(), alone, atol=1e-4)


def test_neutral_expressions_are_learned_exactly(trained):
    expression = trained.model.coefficients([np.ones((60, 64), dtype=np.float32)]).expression
    assert not expression.any()


def test_losses_agree_with_their_definitions(world):
    store = fitting_made.made_world()[1]
    task = supervised.SupervisedTask(world, store, config())
    task.prepare("cpu")
    shape, expression = task.targets["train"]
    predicted = (torch.zeros_like(shape), expression)
    by_hand = shape.square().sum(1).mean() / 40
    torch.testing.assert_close(task.criterion(predicted, task.targets["train"]), by_hand)
    assert float(task.criterion.explained(shape, shape)) == 1.0
    mean = shape.mean(0).expand_as(shape)
    assert abs(float(task.criterion.explained(mean, shape))) < 1e-5
    ratios = supervised.CoefficientLoss("ratios", task.face_model, shape)
    wanted = (shape @ ratios.ratios.T).square().mean() + 0.1 * by_hand
    torch.testing.assert_close(ratios(predicted, task.targets["train"]), wanted)
    torch.testing.assert_close((shape @ ratios.ratios.T).std(0), torch.ones(4))


def test_one_identity_may_choose_the_weights_but_not_train(world):
    task = supervised.SupervisedTask(world, fitting_made.made_world()[1], config())
    task.prepare("cpu")
    shape, _ = task.targets["train"]
    one, mean = shape[:1], shape.mean(0, keepdim=True)
    assert float(task.criterion.explained(one, one)) == 1.0
    assert abs(float(task.criterion.explained(mean, one))) < 1e-4
    with pytest.raises(InputError, match="has one identity alone"):
        supervised.CoefficientLoss("coefficients", task.face_model, one)


def test_worlds_without_validation_identities_are_refused(world, tmp_path):
    world.identities.loc[world.identities["split"] == "validation", "split"] = "train"
    with pytest.raises(InputError, match="has no validation identities"):
        train(world, tmp_path, config())


def test_unknown_variants_are_refused():
    with pytest.raises(InputError, match="variant 'fast' is unknown: choose from end_to_end"):
        fitting.SupervisedConfig(variant="fast")


def test_speaker_search_leaves_the_utterance_out():
    """Random embeddings must not be found by their own share in their speaker's mean."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(600, 64, generator=generator))
    identity = torch.arange(200).repeat_interleave(3)
    assert pretraining.speaker_search(embeddings, identity)["accuracy"] < 0.03


def test_experiments_are_named_differences():
    changed = dataclasses.replace(fitting.SupervisedConfig(), dropout=0.2)
    assert changed.learning_rate == fitting.SupervisedConfig().learning_rate
