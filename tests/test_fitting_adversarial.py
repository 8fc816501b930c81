"""Adversarial training on made-up people: whose losses reach what, and what stays frozen."""

import copy
import dataclasses

import numpy as np
import photos_made
import pytest
import torch

from v2mlib.checks import InputError
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting import adversarial
from v2mlib.fitting.adversarial import AdversarialConfig, AdversarialTask, train_adversarial
from v2mlib.fitting.adversarial_task import seen_and_heard
from v2mlib.fitting.task import EngineConfig, TrainingError
from v2mlib.models import VoiceEncoder

ENGINE = EngineConfig(
    n_steps=6, validate_every=3, checkpoint_every=2, device="cpu", precision="32-true"
)
CONFIG = AdversarialConfig(
    generator_width=1 / 64,
    critic_width=1 / 8,
    batch_size=6,
    crop=CropConfig(0.4, 0.5),
    engine=ENGINE,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photos_made.made_world_with_photos(
        tmp_path_factory.mktemp("world"), n_train=8, n_validation=3, n_test=3
    )


@pytest.fixture(autouse=True)
def _made_features(made, monkeypatch):
    monkeypatch.setattr(adversarial, "log_mel_store", lambda *_, **__: made[1])


def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return VoiceEncoder(channels=(8, 8, 8, 8))  # in training mode, as a careless caller's


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def ready(made, **changes):
    task = AdversarialTask(
        *made, encoder().eval(), dataclasses.replace(CONFIG, **changes), progress=False
    )
    task.prepare(torch.device("cpu"))
    return task


def test_the_encoder_stays_as_it_is_parameters_and_buffers(made, tmp_path):
    given = encoder()
    before = state(given)
    trained = train_adversarial(made[0], given, out=tmp_path, config=CONFIG, progress=False)
    assert trained.encoder is given
    assert same(before, state(given))
    assert not trained.generator.training
    history = trained.training.history
    assert history["step"].tolist() == [3, 6]
    assert history["is_best"].all()  # adversarial losses choose no state: the last is kept
    assert (history["validation_spread"] > 0).all()


def test_a_killed_training_goes_on_to_the_identical_end(made, tmp_path, monkeypatch):
    whole = train_adversarial(
        made[0], encoder(), out=tmp_path / "whole", config=CONFIG, progress=False
    )
    step = AdversarialTask.step

    def killed(self, number, update, share):
        if number == 5:  # between the critic's update and the end of the step
            return step(self, number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt), share)
        return step(self, number, update, share)

    with monkeypatch.context() as patch:
        patch.setattr(AdversarialTask, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            train_adversarial(
                made[0], encoder(), out=tmp_path / "cut", config=CONFIG, progress=False
            )
    again = train_adversarial(
        made[0], encoder(), out=tmp_path / "cut", config=CONFIG, progress=False
    )
    for name in ("generator", "critic"):
        assert same(state(getattr(whole, name)), state(getattr(again, name)))
    columns = [name for name in whole.training.history if name != "seconds"]
    assert whole.training.history[columns].equals(again.training.history[columns])


def test_another_encoder_is_another_training(made, tmp_path):
    train_adversarial(made[0], encoder(), out=tmp_path, config=CONFIG, progress=False)
    other = encoder()
    other.layers[0].weight.data[0, 0, 0] += 1e-3
    with pytest.raises(InputError, match="holds another training: its encoder is"):
        train_adversarial(made[0], other, out=tmp_path, config=CONFIG, progress=False)


def test_a_loss_that_is_not_finite_is_named(made, tmp_path):
    config = dataclasses.replace(CONFIG, learning_rate=1e12)
    with pytest.raises(TrainingError, match="not finite at step"):
        train_adversarial(made[0], encoder(), out=tmp_path, config=config, progress=False)


def test_losses_and_gradients_are_those_of_a_plain_loop(made):
    task = ready(made, noise=0.0, flip=False)
    networks = {name: copy.deepcopy(network) for name, network in task.networks.items()}
    found = {}

    def update(loss, name):
        for network in task.networks.values():
            network.zero_grad()
        loss.backward()
        found[name] = {
            part: [None if p.grad is None else p.grad.clone() for p in network.parameters()]
            for part, network in task.networks.items()
        }

    losses = task.step(0, update, (0, 1))

    voice = task.voices["train"].sample(0, 6, crop=CONFIG.crop, seed=0)
    photo = task.photos["train"].sample(0, 6, seed=0)
    drawer, critic = networks["generator"], networks["critic"]
    fakes = drawer(networks["encoder"](voice.log_mel))
    embed, ask, who = critic.embedder, critic.discriminator, critic.classifier

    def cross_entropy(logits, label):
        return -torch.log(torch.softmax(logits, 0))[label]

    def mean(values):
        return sum(values) / 6

    critic_loss = mean(
        cross_entropy(who(embed(photo.images[i : i + 1]))[0], photo.identity[i])
        - torch.log(torch.sigmoid(ask(embed(photo.images[i : i + 1]))[0, 0]))
        - torch.log(1 - torch.sigmoid(ask(embed(fakes[i : i + 1].detach()))[0, 0]))
        for i in range(6)
    )
    critic_loss.backward()
    names = ("critic_real_loss", "critic_fake_loss", "critic_identity_loss")
    torch.testing.assert_close(sum(losses[name] for name in names), critic_loss)
    for one, other in zip(found["critic"]["critic"], critic.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, atol=1e-6, rtol=1e-4)
    assert all(
        not gradient.any() for gradient in found["critic"]["generator"] if gradient is not None
    )

    generator_loss = mean(
        cross_entropy(who(embed(fakes[i : i + 1]))[0], voice.identity[i])
        - torch.log(torch.sigmoid(ask(embed(fakes[i : i + 1]))[0, 0]))
        for i in range(6)
    )
    generator_loss.backward()
    total = losses["generator_real_loss"] + losses["generator_identity_loss"]
    torch.testing.assert_close(total, generator_loss)
    for one, other in zip(found["generator"]["generator"], drawer.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, atol=1e-6, rtol=1e-4)
    for part in ("critic", "encoder"):
        assert all(gradient is None or not gradient.any() for gradient in found["generator"][part])


def test_the_critic_looks_twice_a_step(made):
    task = ready(made)
    seen = []
    task.networks["critic"].embedder.register_forward_hook(
        lambda _, inputs, __: seen.append(len(inputs[0]))
    )
    task.step(0, lambda loss, _: loss.backward(), (0, 1))
    assert seen == [12, 6]  # photographs and drawings at once, then the drawings again


def test_voices_and_photographs_number_the_same_training_people(made):
    task = ready(made)
    people = made[0].identities
    for split in ("train", "validation"):
        wanted = people.loc[people["split"] == split, "identity"].tolist()
        assert task.voices[split].identities == task.photos[split].identities == wanted
    assert task.networks["critic"].classifier.out_features == 8


def test_what_a_step_draws_is_named(made):
    task = ready(made)
    voice, photo = task.batches(4)
    named = task.drawn(4)
    people = task.photos["train"].identities
    assert len(named["photographs"]) == 6
    for path, identity in zip(named["photographs"], photo.identity, strict=True):
        assert people[identity] in path
    assert any(people[voice.identity[0]] in name for names in named.values() for name in names)


def test_people_who_are_only_heard_or_only_seen_are_left_out(made):
    world, store = copy.copy(made[0]), made[1]
    world.landmarks = world.landmarks.copy()
    world.landmarks[:2, 0] = np.nan  # both photographs of the first person
    index = store.index.copy()
    index.loc[index["identity"] == "id00003", "n_frames"] = 0
    heard = dataclasses.replace(store, index=index)
    found = seen_and_heard(world, heard, "train")
    assert found == [f"id{number:05d}" for number in (2, 4, 5, 6, 7, 8)]


def test_noise_and_mirroring_are_there(made):
    task = ready(made)
    voice = task.voices["train"].sample(0, 6, crop=CONFIG.crop, seed=0).log_mel
    torch.manual_seed(0)
    (one,), (other,) = task.draw(voice), task.draw(voice)
    assert not torch.equal(one, other)
    quiet = ready(made, noise=0.0)
    assert torch.equal(*quiet.draw(voice), *quiet.draw(voice))


def test_the_critic_learns_who_is_who(made, tmp_path):
    engine = dataclasses.replace(ENGINE, n_steps=60, validate_every=10, checkpoint_every=60)
    config = dataclasses.replace(CONFIG, batch_size=16, learning_rate=1e-3, engine=engine)
    trained = train_adversarial(made[0], encoder(), out=tmp_path, config=config, progress=False)
    loss = trained.training.history["critic_identity_loss"]
    assert loss.iloc[-1] < 0.9 * loss.iloc[0]  # nats; ln 8 at the start


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 is not positive"),
        ({"noise": -1.0}, "noise=-1.0 is negative"),
        ({"face": adversarial.FaceCrop(120)}, "images of 120 pixels do not fit"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_a_world_without_photographs_is_refused(made):
    world = copy.copy(made[0])
    world.photos, world.landmarks = world.photos.iloc[:0], world.landmarks[:0]
    with pytest.raises(InputError, match="no train identity with both a recording and a photo"):
        AdversarialTask(world, made[1], encoder(), CONFIG)


def test_the_defaults_are_the_papers():
    config = AdversarialConfig()
    assert (config.learning_rate, config.betas, config.batch_size) == (2e-4, (0.5, 0.999), 128)
    assert (config.noise, config.flip, config.engine.n_steps) == (0.05, True, 50_000)
    assert config.crop.frames == (300, 800)
