"""The ablation: every method with every seed, resumed wherever it stopped, on a made-up world."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import photos_made
import pytest
import torch

from v2mlib.checks import InputError
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting import ablation, ablation_start, cascade, unsupervised
from v2mlib.fitting.ablation import run_ablation
from v2mlib.fitting.ablation_config import AblationConfig, restored
from v2mlib.fitting.ablation_files import shipped_ablation, write_ablation
from v2mlib.fitting.ablation_scores import NO_SEED, deal_within_sex
from v2mlib.fitting.adversarial import AdversarialConfig, train_adversarial
from v2mlib.fitting.distillation import METHODS
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.unsupervised import UnsupervisedConfig
from v2mlib.models import VoiceEncoder
from v2mlib.models.image_to_face import ImageToFace

ADVERSARIAL = AdversarialConfig(
    generator_width=1 / 64,
    critic_width=1 / 8,
    batch_size=4,
    crop=CropConfig(0.4, 0.5),
    engine=EngineConfig(
        n_steps=2, validate_every=2, checkpoint_every=2, device="cpu", precision="32-true"
    ),
)
CONFIG = AblationConfig(
    methods=("vanilla", "crd"),
    seeds=(0, 3),
    training=UnsupervisedConfig(adversarial=ADVERSARIAL, student_width=1 / 8, student_rate=50.0),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photos_made.made_world_with_photos(
        tmp_path_factory.mktemp("world"), n_train=8, n_validation=3, n_test=6
    )


@pytest.fixture(autouse=True)
def _made_features(made, monkeypatch):
    from v2mlib.fitting import adversarial

    for module in (adversarial, unsupervised, cascade, ablation_start):
        monkeypatch.setattr(module, "log_mel_store", lambda *_, **__: made[1])
    monkeypatch.setattr(ablation, "load_data", lambda _: made[0])


def networks():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder = VoiceEncoder(channels=(8, 8, 8, 8)).eval()
        teacher = ImageToFace(width=1 / 8, image_size=32).eval()
    return encoder, teacher


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory):
    """A finished ablation, and where it started."""
    folder = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as patch:
        from v2mlib.fitting import adversarial

        for module in (adversarial, unsupervised, cascade, ablation_start):
            patch.setattr(module, "log_mel_store", lambda *_, **__: made[1])
        encoder, teacher = networks()
        start = folder / "start"
        train_adversarial(made[0], encoder, out=start, config=ADVERSARIAL, progress=False)
        found = run_ablation(
            made[0], encoder, teacher, out=folder / "done", config=CONFIG, start_from=start,
            progress=False,
        )  # fmt: skip
    return found, start


def run(made, out, config=CONFIG, **options):
    return run_ablation(made[0], *networks(), out=out, config=config, progress=False, **options)


def test_every_method_and_seed_has_an_error_for_everybody(finished):
    errors = finished[0].errors
    counts = errors.groupby(["method", "seed"]).size()
    baselines = {"mean_face", "sex_mean_face", "cascade"}
    assert set(counts.index) == {
        *((name, NO_SEED) for name in baselines),
        *((method, seed) for method in (*CONFIG.methods, "dealt") for seed in CONFIG.seeds),
    }
    assert set(counts) == {6 * 5 * 2}  # identities, lines, definitions
    assert np.isfinite(errors[["error", "error_per_utterance"]]).to_numpy().all()
    runs = finished[0].runs
    assert runs["step"].tolist() == [2.0] * 4
    assert (runs.loc[runs["method"] == "vanilla", "weight"] == 1).all()
    assert not (finished[0].folder / "runs" / "vanilla_0").exists()  # networks are not kept


def test_runs_differ_by_seed_and_method(finished):
    errors = finished[0].errors
    trained = errors[errors["method"].isin(CONFIG.methods)]
    mean = trained.groupby(["method", "seed"])["error"].mean()
    assert mean.nunique() == len(mean)


def test_what_was_stopped_goes_on_to_the_same_result(made, finished, tmp_path, monkeypatch):
    real, calls = ablation.train_unsupervised, []

    def stop_at_third(*arguments, **options):
        calls.append(options["config"].distillation)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(ablation, "train_unsupervised", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        run(made, tmp_path / "a", start_from=finished[1])
    found = run(made, tmp_path / "a", start_from=finished[1])
    assert calls == ["vanilla", "crd", "vanilla", "vanilla", "crd"]
    pd.testing.assert_frame_equal(found.errors, finished[0].errors)
    again = run(made, tmp_path / "a", start_from=finished[1])
    assert len(calls) == 5  # nothing more to train
    pd.testing.assert_frame_equal(again.errors, found.errors)


def test_jobs_done_elsewhere_give_the_same_result(made, finished, tmp_path):
    asked = []

    def spread(function, jobs):
        for job in jobs:
            asked.append(json.loads(json.dumps(job)))  # plain data
            yield function(asked[-1])

    shutil.copytree(finished[0].folder, tmp_path / "a")
    for path in (tmp_path / "a" / "results").glob("*_3.parquet"):
        path.unlink()  # what the other two gave need not be done again
    found = run(made, tmp_path / "a", start_from=finished[1], spread=spread)
    assert [(job["method"], job["seed"]) for job in asked] == [("vanilla", 3), ("crd", 3)]
    pd.testing.assert_frame_equal(found.errors, finished[0].errors)


def test_another_ablation_in_the_folder_is_refused(made, finished):
    other = dataclasses.replace(CONFIG, seeds=(0, 4))
    with pytest.raises(InputError, match="holds another ablation: its config differs"):
        run(made, finished[0].folder, other, start_from=finished[1])


def test_a_start_that_is_none_is_refused(made, tmp_path):
    with pytest.raises(InputError, match="holds no finished adversarial training"):
        run(made, tmp_path / "a", start_from=tmp_path)


def test_weights_make_gradients_equally_long(made, monkeypatch):
    encoder, teacher = networks()
    config = dataclasses.replace(CONFIG, methods=("vanilla", "vid"))
    weights = ablation_start.equal_weights(made[0], encoder, teacher, config)
    assert weights["vanilla"] == 1
    compare = METHODS["vid"].compare
    monkeypatch.setattr(METHODS["vid"], "compare", lambda *a: 10 * compare(*a))
    tenth = ablation_start.equal_weights(made[0], encoder, teacher, config)
    assert tenth["vid"] == pytest.approx(weights["vid"] / 10, rel=1e-4)
    monkeypatch.setattr(METHODS["vid"], "compare", lambda *a: 0 * compare(*a))
    with pytest.raises(InputError, match="vid gives the student no gradient"):
        ablation_start.equal_weights(made[0], encoder, teacher, config)


def test_networks_given_are_as_they_were(made, tmp_path):
    encoder, teacher = networks()
    before = [{k: v.clone() for k, v in n.state_dict().items()} for n in (encoder, teacher)]
    config = dataclasses.replace(CONFIG, methods=("rkd",), seeds=(1,), weighting="one")
    found = run_ablation(made[0], encoder, teacher, out=tmp_path, config=config, progress=False)
    assert found.runs["weight"].tolist() == [1.0]
    assert "cascade" not in set(found.errors["method"])  # there was no start
    for network, state in zip((encoder, teacher), before, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


def test_dealt_voices_are_others_of_the_same_sex(made):
    world = made[0]
    test = world.identities[world.identities["split"] == "test"]
    table = pd.DataFrame(
        {"whose": np.arange(len(test)).repeat(2)}, index=test["identity"].repeat(2)
    )
    dealt = deal_within_sex(table, world, seed=1)
    assert sorted(dealt["whose"]) == sorted(table["whose"])
    sex = test.set_index("identity")["sex"]
    assert not (dealt.index == table.index).any()
    assert (sex[dealt.index].to_numpy() == sex[table.index].to_numpy()).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ()}, "none or not distinct"),
        ({"methods": ("pkt", "pkt")}, "not distinct"),
        ({"methods": ("fitnets",)}, "'fitnets' is unknown"),
        ({"seeds": (0, -1)}, "negative"),
        ({"weighting": "best"}, "'best' is unknown"),
    ],
)
def test_impossible_ablations_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        AblationConfig(**options)


def test_configurations_survive_plain_data():
    stored = json.loads(json.dumps(dataclasses.asdict(CONFIG)))
    assert restored(AblationConfig(), stored) == CONFIG
    training = CONFIG.training_of("vid", 3, weight=2.5)
    assert (training.distillation, training.engine.seed) == ("vid", 3)
    assert training.lessons.weights.distillation == 2.5


def test_a_written_ablation_is_read_again(finished, tmp_path):
    path = tmp_path / "small_ablation.npz"
    write_ablation(path, finished[0], card={"world": {"seed": 4}})
    found, card = shipped_ablation(path)
    assert card["world"] == {"seed": 4}
    keys = ["method", "seed", "identity", "line", "definition"]
    both = found.errors.merge(finished[0].errors, on=keys, suffixes=("", "_before"))
    assert len(both) == len(finished[0].errors)
    for value in ("error", "error_per_utterance"):
        np.testing.assert_allclose(both[value], both[f"{value}_before"], rtol=6e-4, atol=1e-6)
    assert (both["sex"] == both["sex_before"]).all()
    assert found.runs["method"].tolist() == finished[0].runs["method"].tolist()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="is damaged"):
        shipped_ablation(path)
