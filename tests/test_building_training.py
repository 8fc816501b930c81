"""From raw folders to trained weights by the command line alone."""

import json

import building_made as made
import numpy as np
import pytest

from v2mlib.cli import main
from v2mlib.datasets import load_dataset, log_mel_store
from v2mlib.datasets.torch_datasets import ResidentUtterances
from v2mlib.models import Voice2Mesh


@pytest.fixture(scope="module")
def built(tmp_path_factory, made_once):
    folder = tmp_path_factory.mktemp("training")
    world, out = made.made_raw(folder, made_once), folder / "data"
    words = ["--voxceleb", world, "--vggface", world / "faces", "--out", out, "--workers", "1"]
    assert main(["data", "voxceleb3d", *map(str, words), "--validation", "0.3"]) == 0
    return world, out


def test_the_command_says_what_it_did(built, capsys):
    world, out = built
    words = ["--voxceleb", world, "--vggface", world, "--out", out, "--validation", "0.3", "--json"]
    assert main(["data", "voxceleb3d", *map(str, words)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["nothing_to_do"] is True
    assert (shown["identities"], shown["utterances"]) == (12, 24)
    assert shown["audio_hours_per_core_minute"] is None


def test_training_and_evaluation_take_a_built_data_set(built, tmp_path, capsys):
    _, out = built
    run = tmp_path / "run"
    words = ["--data", out, "--out", run, "--steps", "3", "--batch-size", "8", "--json"]
    assert main(["train", "supervised", *map(str, words)]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3
    weights = run / "model.safetensors"
    card = Voice2Mesh.load(weights).card
    assert card["data"]["kind"] == "recorded"
    assert card["data"]["world"]["build"]["split"] == "paper"
    words = ["--data", out, "--model", weights, "--measures", "are", "--json"]
    assert main(["evaluate", *map(str, words)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["skills"] is None
    assert shown["world"] is None
    methods = {row["method"] for row in shown["summary"]}
    assert methods == {"mean_face", "sex_mean_face", "ridge", str(weights)}


def test_utterances_in_no_split_are_not_trained_on(built):
    data = load_dataset(built[1])
    store = log_mel_store(data)
    names = data.identities.query("split == 'train'")["identity"].tolist()
    before = ResidentUtterances(store, names)
    chosen = store.index.index[store.index["identity"] == names[0]][0]
    store.index.loc[chosen, "split"] = "none"
    after = ResidentUtterances(store, names)
    assert set(before.utterance.tolist()) - set(after.utterance.tolist()) == {chosen}


def test_real_people_need_a_real_face_model(built, tmp_path, monkeypatch, capsys):
    world, _ = built
    monkeypatch.setenv("V2M_HOME", str(tmp_path))
    (world / "truth").rename(world / "hidden")  # no phantom any more
    words = ["--voxceleb", world, "--vggface", world, "--out", tmp_path / "data"]
    try:
        assert main(["data", "voxceleb3d", *map(str, words)]) == 1
    finally:
        (world / "hidden").rename(world / "truth")
    assert "no face model of real people was added: download ICT" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_splits_hold_no_person_twice(built):
    data = load_dataset(built[1])
    assert data.identities["identity"].is_unique
    names = data.identities.set_index("identity")
    assert set(names["split"]) == {"train", "validation", "test"}
    test = names["name"].str[0].isin(list("ABCDE"))
    assert (names.loc[test, "split"] == "test").all()
    assert (data.utterances["split"] == names["split"][data.utterances["identity"]].values).all()
    assert np.isfinite(data.reference_coefficients).all()
