"""Voice2Mesh: saved and loaded, alone and in batches, and what it refuses."""

import json

import numpy as np
import pytest
import torch
import trimesh

from v2mlib.checks import InputError
from v2mlib.faces import load_face_model
from v2mlib.models import Face, Voice2Mesh
from v2mlib.models.architecture import Architecture


@pytest.fixture(scope="module")
def model():
    face_model = load_face_model("phantom")
    architecture = Architecture(n_expression=face_model.n_expression)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder, heads = architecture.build()
        torch.nn.init.normal_(heads.shape.weight)
        for module in encoder.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_var.uniform_(0.3, 1.0)
    card = {"data": {"kind": "phantom", "world": {"seed": 3}}, "metrics": {"skill": 0.5}}
    return Voice2Mesh(encoder, heads, face_model, architecture, card=card)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("weights") / "mine.safetensors")


def buzz(seconds, seed=0, pitch_hz=120):
    """Something that the activity detector takes for a voice."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(16_000 * seconds)) / 16_000
    tone = sum(np.sin(2 * np.pi * pitch_hz * k * t) / k for k in range(1, 20))
    tone = tone * (1 + 0.5 * np.sin(2 * np.pi * 4 * t)) + 0.02 * rng.standard_normal(len(t))
    return (0.15 * tone).astype(np.float32)


def matrices(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((length, 64)).astype(np.float32) for length in lengths]


def test_full_precision_round_trip_is_exact(model, tmp_path):
    path = model.save(tmp_path / "full.safetensors", half=False)
    again = Voice2Mesh.load(path)
    assert again.architecture == model.architecture
    for found, wanted in zip(
        again.coefficients(matrices([250, 300])), model.coefficients(matrices([250, 300])),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(found, wanted)


def test_half_precision_costs_less_than_a_thousandth(model, saved):
    exact, rounded = (
        m.coefficients(matrices([200, 350, 800])).shape for m in (model, Voice2Mesh.load(saved))
    )
    assert 0 < np.abs(exact - rounded).max() < 1e-2 * exact.std()
    assert saved.stat().st_size < 12e6


def test_card_says_what_the_weights_are(saved):
    card = json.loads(saved.with_suffix(".json").read_text("utf-8"))
    assert card["architecture"]["channels"] == [256, 384, 576, 864]
    assert card["face_model"]["name"] == "phantom"
    assert card["data"]["world"] == {"seed": 3}
    assert "nothing about the real speaker" in card["warning"]
    assert card["metrics"] == {"skill": 0.5}


def test_a_face_model_without_a_name_travels_with_the_weights(model, tmp_path):
    import dataclasses

    narrow = dataclasses.replace(model.face_model, mean=model.face_model.mean * 0.9, name="narrow")
    other = Voice2Mesh(model.encoder, model.heads, narrow, model.architecture)
    again = Voice2Mesh.load(other.save(tmp_path / "narrow.safetensors"))
    torch.testing.assert_close(again.face_model.mean, narrow.mean)


def test_batches_of_any_lengths_give_what_each_gives_alone(model):
    utterances = matrices([30, 199, 200, 201, 333, 1200, 57])
    together = model.coefficients(utterances)
    alone = [model.coefficients([utterance]) for utterance in utterances]
    for part in range(2):
        found = np.concatenate([coefficients[part] for coefficients in alone])
        np.testing.assert_allclose(together[part], found, atol=2e-5)


def test_short_utterances_are_repeated(model):
    (short,) = matrices([70])
    long = np.concatenate([short] * 3)[:200]
    np.testing.assert_array_equal(model.embed([short]), model.embed([long]))


def test_predictions_from_samples_and_files(model, tmp_path):
    import soundfile

    recordings = [buzz(0.9), buzz(3.0, 1, 210), buzz(5.0, 2, 160)]
    faces = model.predict_many(recordings)
    assert [face.vertices.shape for face in faces] == [(model.face_model.n_vertices, 3)] * 3
    np.testing.assert_allclose(faces[1].vertices, model.predict(recordings[1]).vertices, atol=1e-3)
    soundfile.write(tmp_path / "a.wav", recordings[1], 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(
        model.predict(tmp_path / "a.wav").vertices, model.predict(recordings[1]).vertices
    )
    decoded = model.face_model.decode(*map(torch.from_numpy, faces[2].coefficients))
    np.testing.assert_allclose(faces[2].vertices, decoded.numpy(), atol=1e-3)
    assert np.abs(faces[0].vertices - faces[1].vertices).max() > 0.1
    assert model.predict_many([]) == []


def test_too_little_speech_is_refused(model):
    with pytest.raises(InputError, match=r"samples hold 0\.\d\d s of speech"):
        model.predict(buzz(0.3))


@pytest.mark.real_data
def test_real_recordings_give_finite_faces(model, real_data):
    clips = sorted((real_data / "speech_librispeech").rglob("*.flac"))[:2]
    for face in model.predict_many(clips):
        assert np.isfinite(face.vertices).all()


def test_same_shape_space_only(model):
    import dataclasses

    recoloured = dataclasses.replace(model.face_model, colours=None)
    assert model.with_faces(recoloured).face_model is recoloured
    fewer = model.face_model.truncated(n_shape=20)
    with pytest.raises(InputError, match="cannot show what the weights"):
        model.with_faces(fewer)


def test_unknown_name_lists_the_known():
    with pytest.raises(InputError, match="model nobody is unknown: known: phantom"):
        Voice2Mesh.load("nobody")


@pytest.fixture
def copies(saved, tmp_path):
    for path in (saved, saved.with_suffix(".json")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / saved.name


def damage_weights(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_card(path):
    path.with_suffix(".json").write_text("{", "utf-8")


def swap_card(path):
    edit(path, lambda card: card.update(weights_sha256="0" * 64))


def other_kind(path):
    edit(path, lambda card: card.update(kind="generator"))


def other_size(path):
    edit(path, lambda card: card["architecture"].update(n_shape=39))


def other_word(path):
    edit(path, lambda card: card["architecture"].update(depth=5))


def other_face(path):
    edit(path, lambda card: card["face_model"]["fingerprint"].__setitem__(5, 1.0))


def edit(path, change):
    place = path.with_suffix(".json")
    card = json.loads(place.read_text("utf-8"))
    change(card)
    place.write_text(json.dumps(card), "utf-8")


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (lambda path: path.unlink(), r"mine.safetensors does not exist"),
        (lambda path: path.with_suffix(".json").unlink(), r"has no card mine.json beside it"),
        (damage_weights, r"mine.safetensors is damaged"),
        (damage_card, r"mine.json cannot be read"),
        (swap_card, r"belongs to other weights"),
        (other_kind, r"holds a generator, not a Voice2Mesh"),
        (other_size, r"has shape.weight of shape \(40, 64\), not \(39, 64\)"),
        (other_word, r"mine.json is incomplete"),
        (other_face, r"another version of the face model phantom"),
    ],
)
def test_damaged_and_mixed_up_weights_are_refused(copies, fault, problem):
    fault(copies)
    with pytest.raises(InputError, match=problem):
        Voice2Mesh.load(copies)


def test_folders_and_pickles_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        Voice2Mesh.load(tmp_path)
    torch.save({}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="pickles can run code"):
        Voice2Mesh.load(tmp_path / "x.pth")


def test_garbage_with_a_matching_card_is_refused(copies):
    from v2mlib.files import sha256

    copies.write_bytes(b"garbage")
    edit(copies, lambda card: card.update(weights_sha256=sha256(copies)))
    with pytest.raises(InputError, match="cannot be read"):
        Voice2Mesh.load(copies)


def test_weights_that_are_not_finite_are_not_written(model, tmp_path):
    heads = Architecture().build()[1]
    with torch.no_grad():
        heads.shape.bias[0] = float("nan")
    broken = Voice2Mesh(model.encoder, heads, model.face_model, model.architecture)
    with pytest.raises(InputError, match=r"NaN or infinity in heads\.shape\.bias"):
        broken.save(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"end it with \.safetensors"):
        model.save(tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def face():
    model = load_face_model("phantom")
    return Face.from_coefficients(model, np.linspace(-1, 1, model.n_shape))


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb", ".stl", ".PLY"])
def test_meshes_come_back(face, tmp_path, suffix):
    path = face.save(tmp_path / "new" / f"face{suffix}")
    mesh = trimesh.load_mesh(path, process=False)
    if isinstance(mesh, trimesh.Scene):
        (mesh,) = mesh.geometry.values()
    np.testing.assert_allclose(mesh.triangles, face.vertices[face.triangles], rtol=0, atol=1e-3)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_mesh_keeps_the_order_of_vertices(face):
    np.testing.assert_array_equal(face.mesh().vertices, face.vertices.astype(float))
    assert repr(face).startswith("Face(topology='phantom', ")


@pytest.mark.parametrize("name", ["face.fbx", "face"])
def test_other_formats_are_refused(face, tmp_path, name):
    with pytest.raises(InputError, match=r"choose from \.obj, \.ply, \.glb, \.stl"):
        face.save(tmp_path / name)


def test_unwritable_places_are_refused(face, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        face.save(tmp_path / "file" / "face.obj")
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        face.save(tmp_path / "folder.obj")


def test_shipped_weights_are_those_of_the_default_training():
    """The card tells a real run, on the tutorial phantom, of the settings that are the default."""
    from v2mlib.fitting import SupervisedConfig
    from v2mlib.fitting.ablation_config import restored
    from v2mlib.models.weights import read_weights
    from v2mlib.paths import shipped

    path = shipped("phantom.safetensors")
    tensors, card = read_weights(path)
    assert path.stat().st_size < 12e6
    assert sum(tensor.numel() for tensor in tensors.values()) > 2_670_720
    default = SupervisedConfig()  # settings that are younger than the card had their default
    assert restored(default, card["training"]["supervised"]) == default
    assert card["data"]["world"]["n_identities"] == 960
    metrics = card["metrics"]
    assert metrics["n_test_identities"] == 480
    assert metrics["skill"] >= 0.75
    assert metrics["within_sex_skill"] >= 0.6
    assert metrics["within_sex_skill_ci_low"] > 0
    recomputed = 1 - metrics["model"] / metrics["sex_mean_face"]
    assert metrics["gain_vs_sex_mean"] == pytest.approx(recomputed, abs=1e-3)
    assert Voice2Mesh.load("phantom").name == "phantom"
