"""Face models by name and by path: recognised, kept, listed, refused."""

import json

import numpy as np
import pytest
from faces_made import small_model

from v2mlib.checks import InputError
from v2mlib.faces import (
    MorphableModel,
    add_face_model,
    describe_face_model,
    list_face_models,
    load_face_model,
)
from v2mlib.faces.registry import models_dir


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("V2M_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "own.npz"
    small_model(name="My faces").save(path)
    return path


def test_a_path_is_loaded_once_until_it_changes(saved):
    model = load_face_model(saved)
    assert load_face_model(str(saved)) is model
    small_model(name="Other faces", seed=1).save(saved)
    assert load_face_model(saved).name == "Other faces"


def test_an_added_model_has_a_name(saved, home):
    added = add_face_model("mine", saved)
    saved.unlink()
    model = load_face_model("mine")
    assert isinstance(model, MorphableModel)
    assert (model.mean == added.mean).all()
    table = list_face_models().set_index("name")
    row = table.loc["mine"]
    assert (row["source"], row["title"], row["n_vertices"]) == ("added", "My faces", 90)
    assert table.loc["mine", "path"] == str(home / "faces" / "mine.npz")
    assert table.loc["phantom", "source"] == "embedded"
    assert table["problem"].isna().all()


def test_a_kind_and_a_name(real_data):
    path = real_data / "surrey_sfm_noncommercial" / "sfm_3448.npz"
    add_face_model("surrey", path, "sfm")
    assert load_face_model("sfm").topology == "surrey-3448"
    with pytest.raises(InputError, match=r"is a face model of kind 'surrey', not 'ict'"):
        add_face_model("ict", path)
    assert [file.name for file in models_dir().iterdir()] == ["sfm.npz"]


def test_names_that_cannot_be(saved, tmp_path):
    with pytest.raises(InputError, match="'phantom' belongs to an embedded model"):
        add_face_model("phantom", saved)
    for name in ("../up", "a/b", "", ".hidden"):
        with pytest.raises(InputError, match="is not a plain word"):
            add_face_model("own", saved, name)
    with pytest.raises(InputError, match=r"absent does not exist"):
        add_face_model("own", tmp_path / "absent")
    assert not models_dir().exists()


def test_what_is_not_a_model_is_named(tmp_path):
    with pytest.raises(InputError, match=r"'nobody' is neither .* known: phantom; `v2m faces add"):
        load_face_model("nobody")
    with pytest.raises(InputError, match="is a folder without a face model: a face model is a"):
        load_face_model(tmp_path)
    (tmp_path / "face.txt").write_text("a face")
    with pytest.raises(InputError, match=r"face\.txt is not a face model of a known form"):
        load_face_model(tmp_path / "face.txt")
    np.savez(tmp_path / "face.npz", something=np.zeros(3))
    with pytest.raises(InputError, match=r"face\.npz is not a face model of a known form"):
        load_face_model(tmp_path / "face.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(InputError, match=r"array\.npz cannot be read as \.npz"):
        load_face_model(tmp_path / "array.npz")


def test_a_damaged_model_is_listed_with_its_problem(saved):
    add_face_model("mine", saved)
    kept = models_dir() / "mine.npz"
    kept.write_bytes(kept.read_bytes()[:500])
    row = list_face_models().set_index("name").loc["mine"]
    assert "mine.npz cannot be read as .npz" in row["problem"]
    assert row["n_vertices"] is None
    json.dumps(list_face_models().to_dict("records"))
    with pytest.raises(InputError, match=r"mine\.npz cannot be read"):
        load_face_model("mine")


def test_description_is_plain(saved):
    described = describe_face_model(load_face_model(saved))
    assert json.loads(json.dumps(described)) == described
    assert (described["n_vertices"], described["n_triangles"], described["unit"]) == (90, 2, "mm")
    assert described["regions"] == {"nose": 3}
    assert [line["name"] for line in described["lines"]][:2] == ["outer_interocular", "ear"]


def test_spread_of_a_line_over_the_population(saved):
    """The linearised standard deviation against 20,000 drawn people, for small modes."""
    model = small_model()
    model = small_model(shape_std=model.shape_std * 0.2)
    described = {line["name"]: line for line in describe_face_model(model)["lines"]}
    shape = np.random.default_rng(0).normal(size=(20_000, 5))
    first, second = model.line("ear")
    ends = model.decode(shape, vertices=[first, second])
    drawn = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    assert abs(drawn.std() / described["ear"]["sd_mm"] - 1) < 0.03
    assert abs(drawn.mean() - described["ear"]["mean_mm"]) < 0.1


def test_folder_of_models_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("V2M_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert models_dir() == tmp_path / "v2mlib" / "faces"
    monkeypatch.setattr("sys.platform", "darwin")
    assert models_dir().parts[-4:] == ("Library", "Application Support", "v2mlib", "faces")
