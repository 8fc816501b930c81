"""Joint training from end to end: what stays frozen, goes on, loads and predicts."""

import dataclasses
import json

import joint_made
import numpy as np
import photos_made
import pytest
import torch
from joint_made import CONFIG, same, state

from v2mlib.checks import InputError
from v2mlib.fitting import adversarial, joint_start, unsupervised
from v2mlib.fitting import cascade as cascades
from v2mlib.fitting import prediction as predictions
from v2mlib.fitting.adversarial import train_adversarial
from v2mlib.fitting.cascade import predict_cascade
from v2mlib.fitting.joint import JointTask
from v2mlib.fitting.prediction import predict_world
from v2mlib.fitting.unsupervised import RELEASED, UnsupervisedConfig, train_unsupervised
from v2mlib.models import Generator, ImageHeads, Voice2Mesh, VoiceToImage


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photos_made.made_world_with_photos(
        tmp_path_factory.mktemp("world"), n_train=8, n_validation=3, n_test=3
    )


@pytest.fixture(autouse=True)
def _made_features(made, monkeypatch):
    for module in (adversarial, unsupervised, cascades, predictions):
        monkeypatch.setattr(module, "log_mel_store", lambda *_, **__: made[1])


def train(made, out, config=CONFIG, **options):
    given = {"encoder": joint_made.encoder(), "teacher": joint_made.teacher()} | options
    return train_unsupervised(made[0], out=out, config=config, progress=False, **given)


@pytest.fixture(scope="module")
def gan(made, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adversarial, "log_mel_store", lambda *_, **__: made[1])
        out = tmp_path_factory.mktemp("gan")
        config = CONFIG.adversarial
        train_adversarial(made[0], joint_made.encoder(), out=out, config=config, progress=False)
    return out


def test_encoder_and_teacher_stay_as_they_are_parameters_and_buffers(made, tmp_path):
    encoder, teacher = joint_made.encoder(), joint_made.teacher()
    before = state(encoder), state(teacher)
    lessons = {"weights": joint_made.EVERYTHING, "through_teacher": True}
    config = joint_made.with_lessons(**lessons)  # the most that may reach them
    trained = train(made, tmp_path, config, encoder=encoder, teacher=teacher)
    assert trained.encoder is encoder
    assert same(before[0], state(encoder))
    assert same(before[1], state(teacher))
    assert all(parameter.grad is None for parameter in teacher.parameters())
    history = trained.training.history
    assert history["is_best"].all()  # nothing chooses: the last state is kept
    losses = ("coefficient_loss", "distillation_loss", "vertex_loss", "triplet_loss")
    assert (history[list(losses)] > 0).all(axis=None)
    assert (history["validation_disagreement"] > 0).all()


@pytest.mark.parametrize("method", ["pkt", "crd"])
def test_a_killed_training_goes_on_to_the_identical_end(made, tmp_path, monkeypatch, method):
    weights = dataclasses.replace(joint_made.EVERYTHING, vertices=0.0)
    config = joint_made.with_lessons(distillation=method, weights=weights)
    whole = train(made, tmp_path / "whole", config)
    step = JointTask.step

    def killed(self, number, update, share):
        if number == 3:
            return step(self, number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt), share)
        return step(self, number, update, share)

    with monkeypatch.context() as patch:
        patch.setattr(JointTask, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(made, tmp_path / "cut", config)
    again = train(made, tmp_path / "cut", config)
    for name in ("generator", "critic", "student"):
        assert same(state(getattr(whole, name)), state(getattr(again, name)))
    columns = [name for name in whole.training.history if name != "seconds"]
    assert whole.training.history[columns].equals(again.training.history[columns])
    ends = [torch.load(tmp_path / run / "last.pt", weights_only=True) for run in ("whole", "cut")]
    assert set(ends[0]["networks"]) >= {"teacher", "student", "encoder"}
    learned = [end["networks"].get("lessons", {}) for end in ends]
    assert bool(learned[0]) == (method == "crd")
    assert same(*learned)


def test_a_training_starts_from_generator_and_critic_of_a_gan(made, gan, tmp_path):
    stored = torch.load(gan / "last.pt", weights_only=True)["networks"]
    task = JointTask(
        *made,
        joint_made.encoder().eval(),
        joint_made.teacher(),
        CONFIG,
        start=joint_start.start_of(gan, joint_made.encoder()),
        progress=False,
    )
    for name in ("generator", "critic"):
        assert same(state(task.networks[name]), stored[name])
    trained = train(made, tmp_path, start_from=gan)
    assert not same(state(trained.generator), stored["generator"])
    with pytest.raises(InputError, match="holds another training: its start is"):
        train(made, tmp_path)


def test_what_cannot_be_started_from_is_refused(made, gan, tmp_path):
    with pytest.raises(InputError, match="holds no finished adversarial training"):
        train(made, tmp_path / "run", start_from=tmp_path)
    other = joint_made.encoder()
    other.layers[0].weight.data[0, 0, 0] += 1e-3
    with pytest.raises(InputError, match="was trained with another voice encoder"):
        train(made, tmp_path / "run", encoder=other, start_from=gan)
    wider = dataclasses.replace(CONFIG.adversarial, generator_width=1 / 32)
    with pytest.raises(InputError, match=r"generator .* of other width"):
        train(
            made,
            tmp_path / "run",
            dataclasses.replace(CONFIG, adversarial=wider),
            start_from=gan,
        )


def test_another_teacher_is_another_training(made, tmp_path):
    train(made, tmp_path)
    teacher = joint_made.teacher()
    teacher.std[3] += 1e-3
    with pytest.raises(InputError, match="holds another training: its teacher is"):
        train(made, tmp_path, teacher=teacher)


def test_a_run_that_does_not_know_of_a_setting_is_of_its_default(made, tmp_path):
    """Settings are added now and then; finished trainings must stay what they are."""
    first = train(made, tmp_path)
    path = tmp_path / "config.json"
    known = json.loads(path.read_text())
    del known["unsupervised"]["student_rate"], known["unsupervised"]["lessons"]["truth"]
    path.write_text(json.dumps(known))
    again = train(made, tmp_path)
    assert same(state(first.generator), state(again.generator))
    known["unsupervised"]["lessons"]["truth"] = "photographs"
    path.write_text(json.dumps(known))
    with pytest.raises(InputError, match=r"its unsupervised\.lessons\.truth is photographs"):
        train(made, tmp_path)


def test_the_run_loads_and_predicts_as_the_cascade_does(made, tmp_path):
    trained = train(made, tmp_path, joint_made.with_lessons(align_corners=True))
    wanted = predict_cascade(trained.cascade, made[0])
    for place in (tmp_path, tmp_path / "model.safetensors"):
        model = Voice2Mesh.load(place)
        found = predict_world(model, made[0])
        assert found.index.equals(wanted.index)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert wanted.to_numpy().std(0).mean() > 0
    speech = np.random.default_rng(0).standard_normal((300, 64)).astype(np.float32)
    coefficients = model.coefficients([speech, speech[:50]])
    assert coefficients.shape.shape == (2, 40)
    assert model.card["training"]["steps"] == 4
    again = tmp_path / "again.safetensors"
    model.save(again)
    found = Voice2Mesh.load(again).coefficients([speech]).shape
    np.testing.assert_allclose(found[0], coefficients.shape[0], atol=0.02)  # half precision


def test_images_are_cut_to_the_range_of_a_picture_before_they_are_read():
    torch.manual_seed(0)
    generator, reader = Generator(channels=[8] * 5), joint_made.teacher().eval()
    for parameter in generator.parameters():
        parameter.data.mul_(30.0)
    embedding = torch.nn.functional.normalize(torch.randn(4, 64))
    with torch.no_grad():
        assert generator(embedding).abs().max() > 1.5
        wanted = reader(VoiceToImage(joint_made.encoder(), generator).draw(embedding))
        found = ImageHeads(generator, reader)(embedding)
    torch.testing.assert_close(found.shape, wanted.shape)
    torch.testing.assert_close(found.expression, wanted.expression)


def test_folders_without_a_model_are_named(tmp_path):
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        Voice2Mesh.load(tmp_path)
    (tmp_path / "last.pt").write_bytes(b"")
    with pytest.raises(InputError, match="is a training that is not finished"):
        Voice2Mesh.load(tmp_path)


def test_the_defaults_are_the_papers():
    config = UnsupervisedConfig()
    assert (config.distillation, config.lessons.variant, config.student_width) == (
        "pkt",
        "paper",
        1,
    )
    weights = dataclasses.asdict(config.lessons.weights)
    assert weights == {"coefficients": 1, "distillation": 1, "vertices": 0, "triplet": 0}
    assert not any((config.lessons.through_teacher, config.lessons.align_corners))
    assert config.lessons.to_generator  # joint training
    assert (config.engine.n_steps, config.adversarial.batch_size) == (50_000, 128)


def test_one_preset_has_all_that_the_released_code_does(made, tmp_path):
    weights = dataclasses.asdict(RELEASED.lessons.weights)
    assert weights == {"coefficients": 0, "distillation": 1e4, "vertices": 0.5, "triplet": 1.5}
    assert RELEASED.lessons.distilled == ("pooled", "map")
    assert RELEASED.adversarial.batch_size == 64
    config = dataclasses.replace(CONFIG, lessons=RELEASED.lessons)
    history = train(made, tmp_path, config).training.history
    assert np.isfinite(history.drop(columns="is_best").to_numpy(dtype=float)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distillation": "magic"}, "distillation 'magic' is unknown"),
        ({"variant": "mine"}, "variant 'mine' is unknown"),
        ({"features": ("pooled", "eyes")}, "feature 'eyes' is unknown"),
        ({"triplet_margin": 0.0}, r"triplet_margin=0.0 is not positive"),
    ],
)
def test_impossible_lessons_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        joint_made.with_lessons(**changes)


def test_impossible_weights_and_widths_are_refused():
    with pytest.raises(InputError, match=r"weight vertices=-1\.0 cannot be"):
        unsupervised.LossWeights(vertices=-1.0)
    with pytest.raises(InputError, match="student_width=0 is not positive"):
        UnsupervisedConfig(student_width=0)
