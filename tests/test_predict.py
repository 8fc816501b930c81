"""`v2m predict`: real recordings, every kind of bad input, names, nothing half-written."""

import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import trimesh
from PIL import Image

from v2mlib import predicting
from v2mlib.checks import InputError
from v2mlib.cli import main
from v2mlib.faces import load_face_model
from v2mlib.files import sha256
from v2mlib.models import Voice2Mesh
from v2mlib.models.voice2mesh import Architecture
from v2mlib.paths import shipped
from v2mlib.predicting import output_names, predict_files

RATE = 16_000


def _untrained(**card):
    torch.manual_seed(0)
    face_model = load_face_model("phantom")
    architecture = Architecture(n_shape=face_model.n_shape, n_expression=face_model.n_expression)
    return Voice2Mesh(*architecture.build(), face_model, architecture, card=card)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Weights of the right form that know nothing: what is tested here is the way to a file."""
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    return str(_untrained(data={"kind": "phantom"}).save(path))


@pytest.fixture(scope="session")
def speech():
    """Three seconds that the voice detector takes for speech."""
    rng = np.random.default_rng(0)
    t = np.arange(3 * RATE) / RATE
    pitch = 120 + 15 * np.sin(2 * np.pi * 3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)
    return (0.1 * envelope * voice + 0.001 * rng.standard_normal(t.size)).astype(np.float32)


@pytest.fixture
def good(tmp_path, speech):
    path = tmp_path / "good.wav"
    soundfile.write(path, speech, RATE)
    return str(path)


def _run(*words):
    """The exit code; the command line's own refusals exit instead of returning."""
    try:
        return main(["predict", *map(str, words)])
    except SystemExit as error:
        return error.code


def test_writes_mesh_coefficients_picture_and_page(tmp_path, good, weights, capsys):
    out = tmp_path / "out"
    assert _run(good, "--out", out, "--model", weights, "--format", "glb,obj,ply,stl") == 0
    names = {"good.glb", "good.obj", "good.ply", "good.stl", "good.json", "good.png", "index.html"}
    assert {path.name for path in out.iterdir()} == names
    model = load_face_model("phantom")
    described = json.loads((out / "good.json").read_text())
    coefficients = torch.tensor(described["shape_coefficients"])
    expression = torch.tensor(described["expression_coefficients"])
    vertices = model.decode(coefficients, expression).numpy()
    for kind in ("obj", "ply", "glb"):
        mesh = trimesh.load_mesh(out / f"good.{kind}", process=False)
        assert mesh.vertices == pytest.approx(vertices, abs=2e-3)
        assert len(mesh.faces) == len(model.triangles)
    assert described["line_lengths_mm"]["outer_interocular"] == pytest.approx(
        float(np.linalg.norm(np.subtract(*vertices[list(model.lines["outer_interocular"])]))),
        abs=2e-3,
    )
    assert described["weights"] == weights
    assert described["topology"] == "phantom"
    picture = np.asarray(Image.open(out / "good.png"))
    assert picture.std() > 20  # something is on it
    page = (out / "index.html").read_text("utf-8")
    assert page.count("v2m-figure") >= 1
    assert "data:audio/" in page
    assert "says nothing about the real speaker" in page.replace("\n", " ")
    assert "never an identification" in page
    assert not re.search(r"""(src|href)=["']https?://""", page)  # nothing is fetched
    said = capsys.readouterr()
    assert "good.glb" in said.out
    assert "says nothing about the real speaker" in said.err


def test_same_recording_same_files(tmp_path, good, weights):
    for run in ("a", "b"):
        assert _run(good, "--out", tmp_path / run, "--model", weights, "--format", "ply") == 0
    for name in ("good.ply", "good.json", "good.png", "index.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_any_container_rate_and_channels(tmp_path, speech, weights, capsys):
    import soxr

    high = soxr.resample(speech, RATE, 44_100)
    stereo = np.stack([high, 0.5 * high], axis=1)
    files = []
    for name, samples, rate in (
        ("a.wav", stereo, 44_100),
        ("b.flac", stereo, 44_100),
        ("c.ogg", stereo, 44_100),
        ("d.mp3", stereo, 44_100),
        ("e.wav", soxr.resample(speech, RATE, 8_000), 8_000),
    ):
        files.append(tmp_path / name)
        soundfile.write(files[-1], samples, rate)
    assert _run(*files, "--out", tmp_path / "out", "--model", weights, "--json") == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    shown = json.loads(printed)
    assert [p["name"] for p in shown["predictions"]] == ["a", "b", "c", "d", "e"]
    assert shown["failures"] == []
    assert len(shown["disclaimers"]) == 2


def test_real_recordings(tmp_path, real_data, weights, monkeypatch):
    files = []
    for folder in sorted(real_data.glob("speech_*")):
        # Two per corpus here, from both ends; the whole of it is a matter of minutes.
        clips = sorted(p for p in folder.rglob("*") if p.suffix in (".flac", ".wav", ".ogg"))
        files += [clips[0], clips[-1]]
    assert len(files) >= 10
    monkeypatch.setattr(predicting, "_picture", lambda *_: Image.new("RGB", (2, 2)))
    outcome = predict_files(files, tmp_path / "out", model=weights, progress=False)
    assert outcome.failures == ()
    assert [prediction.file for prediction in outcome.predictions] == [str(f) for f in files]
    for prediction in outcome.predictions:
        assert np.isfinite(prediction.face.vertices).all()


# --- bad recordings ------------------------------------------------------------------------


def _missing(folder, speech):
    return folder / "bad.wav"


def _empty(folder, speech):
    (folder / "bad.wav").touch()
    return folder / "bad.wav"


def _truncated(folder, speech):
    soundfile.write(folder / "whole.wav", speech, RATE)
    (folder / "bad.wav").write_bytes((folder / "whole.wav").read_bytes()[:20_000])
    return folder / "bad.wav"


def _truncated_flac(folder, speech):
    soundfile.write(folder / "whole.flac", speech, RATE)
    (folder / "bad.flac").write_bytes((folder / "whole.flac").read_bytes()[:9_000])
    return folder / "bad.flac"


def _not_audio(folder, speech):
    (folder / "bad.wav").write_text("Dear diary, today I recorded nothing.\n" * 50)
    return folder / "bad.wav"


def _silent(folder, speech):
    soundfile.write(folder / "bad.wav", np.zeros(3 * RATE), RATE)
    return folder / "bad.wav"


def _nan(folder, speech):
    samples = speech.copy()
    samples[1000] = np.nan
    soundfile.write(folder / "bad.wav", samples, RATE, subtype="FLOAT")
    return folder / "bad.wav"


def _short(folder, speech):
    soundfile.write(folder / "bad.wav", speech[: int(0.3 * RATE)], RATE)
    return folder / "bad.wav"


def _little_speech(folder, speech):
    samples = 1e-4 * np.random.default_rng(0).standard_normal(4 * RATE)
    samples[RATE : RATE + RATE // 4] += speech[: RATE // 4]
    soundfile.write(folder / "bad.wav", samples, RATE)
    return folder / "bad.wav"


def _folder(folder, speech):
    (folder / "bad.wav").mkdir()
    return folder / "bad.wav"


def _fifo(folder, speech):
    os.mkfifo(folder / "bad.wav")  # opening it would wait for ever
    return folder / "bad.wav"


BAD_RECORDINGS = {
    _missing: "does not exist: ",
    _empty: r"is empty \(0 bytes\): ",
    _truncated: "is truncated: ",
    _truncated_flac: "is truncated",
    _not_audio: "is not audio that can be read ",
    _silent: "is silent: ",
    _nan: "holds NaN or infinite samples: ",
    _short: "lasts 0.30 s: ",
    _little_speech: r"holds 0\.\d\d s of speech: ",
    _folder: "is a folder: ",
    _fifo: "is not an ordinary file: ",
}


@pytest.mark.parametrize("make", BAD_RECORDINGS, ids=lambda make: make.__name__.strip("_"))
def test_a_bad_recording_is_named_and_the_good_one_done(
    make, tmp_path, good, speech, weights, capsys
):
    folder = tmp_path / "recordings"
    folder.mkdir()
    bad = make(folder, speech)
    out = tmp_path / "out"
    assert _run(bad, good, "--out", out, "--model", weights) == 1
    said = capsys.readouterr()
    complaints = [line for line in said.err.splitlines() if line.startswith("v2m: ")]
    assert len(complaints) == 1
    assert re.match(rf"v2m: {re.escape(str(bad))} {BAD_RECORDINGS[make]}", complaints[0])
    names = {path.name for path in out.iterdir()}
    assert names == {"good.glb", "good.json", "good.png", "index.html"}
    assert "Traceback" not in said.err
    # Alone it leaves nothing behind.
    assert _run(bad, "--out", tmp_path / "alone", "--model", weights) == 1
    assert not (tmp_path / "alone").exists()


def test_a_file_that_may_not_be_read(tmp_path, good, weights, monkeypatch, capsys):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(Path(good).read_bytes())
    real_open = open

    def guarded(file, *args, **kwargs):
        # Permission bits do not stop the superuser, under whom tests may run.
        if str(file) == str(secret):
            raise PermissionError(13, "Permission denied", str(file))
        return real_open(file, *args, **kwargs)

    monkeypatch.setattr("builtins.open", guarded)
    assert _run(secret, good, "--out", tmp_path / "out", "--model", weights) == 1
    assert f"v2m: {secret} cannot be read (permission denied)" in capsys.readouterr().err
    assert (tmp_path / "out" / "good.glb").exists()


# --- bad outputs, models, formats ----------------------------------------------------------


def test_output_below_a_file(tmp_path, good, weights, capsys):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert _run(good, "--out", out, "--model", weights) == 1
        said = capsys.readouterr().err
        assert said == f"v2m: {out} cannot be a folder: a file stands in its way: " + (
            "choose another --out\n"
        )


def test_output_that_may_not_be_written(tmp_path, good, weights, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(predicting.tempfile, "TemporaryFile", refuse)
    assert _run(good, "--out", tmp_path / "out", "--model", weights) == 1
    assert "cannot be written to (Permission denied): choose" in capsys.readouterr().err


def test_a_full_disk_leaves_no_part_of_a_result(tmp_path, good, weights, monkeypatch, capsys):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    out = tmp_path / "out"
    assert _run(good, "--out", out, "--model", weights) == 1
    assert "v2m: No space left on device" in capsys.readouterr().err
    assert not out.exists()


def _unknown(folder, weights):
    return "nobody"


def _no_file(folder, weights):
    return folder / "absent.safetensors"


def _corrupt(folder, weights):
    path = folder / "corrupt.safetensors"
    content = bytearray(Path(weights).read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    path.with_suffix(".json").write_bytes(Path(weights).with_suffix(".json").read_bytes())
    return path


def _cut_off(folder, weights):
    path = folder / "cut.safetensors"
    path.write_bytes(Path(weights).read_bytes()[:1000])
    path.with_suffix(".json").write_bytes(Path(weights).with_suffix(".json").read_bytes())
    return path


def _no_card(folder, weights):
    path = folder / "bare.safetensors"
    path.write_bytes(Path(weights).read_bytes())
    return path


class _Bomb:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


def _pickle(folder, weights):
    path = folder / "model.pth"
    path.write_bytes(pickle.dumps(_Bomb(folder / "exploded")))
    return path


def _torch_pickle(folder, weights):
    path = folder / "model.pt"
    torch.save(_Bomb(folder / "exploded"), path)
    return path


def _pickle_in_disguise(folder, weights):
    path = folder / "model.safetensors"
    path.write_bytes(pickle.dumps(_Bomb(folder / "exploded")))
    path.with_suffix(".json").write_bytes(Path(weights).with_suffix(".json").read_bytes())
    return path


def _pickle_with_a_forged_card(folder, weights):
    path = _pickle_in_disguise(folder, weights)
    card = json.loads(path.with_suffix(".json").read_text())
    card["weights_sha256"] = sha256(path)
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


BAD_MODELS = {
    _unknown: "model nobody is unknown: known: phantom; ",
    _no_file: "absent.safetensors does not exist: ",
    _corrupt: "corrupt.safetensors is damaged, or corrupt.json beside it belongs to other ",
    _cut_off: "cut.safetensors is damaged, ",
    _no_card: "bare.safetensors has no card bare.json beside it: ",
    _pickle: "model.pth is not a safetensors file; others are not opened, as pickles can run code",
    _torch_pickle: "model.pt is not a safetensors file; others are not opened, ",
    _pickle_in_disguise: "model.safetensors is damaged, ",
    _pickle_with_a_forged_card: "model.safetensors cannot be read (not a safetensors file): ",
}


@pytest.mark.parametrize("make", BAD_MODELS, ids=lambda make: make.__name__.strip("_"))
def test_a_bad_model_writes_nothing_and_runs_nothing(make, tmp_path, good, weights, capsys):
    model = make(tmp_path, weights)
    out = tmp_path / "out"
    assert _run(good, "--out", out, "--model", model) == 1
    said = capsys.readouterr().err
    assert said.startswith("v2m: ")
    assert said.count("\n") == 1
    assert BAD_MODELS[make] in said
    assert not out.exists()
    assert not (tmp_path / "exploded").exists()


def test_weights_do_not_serve_every_face(tmp_path, good, weights, capsys):
    assert _run(good, "--out", tmp_path / "a", "--model", weights, "--faces", "phantom") == 0
    capsys.readouterr()
    assert _run(good, "--out", tmp_path / "b", "--model", weights, "--faces", "nobody") == 1
    assert "face model 'nobody'" in capsys.readouterr().err
    other = load_face_model("phantom").truncated(n_shape=30)
    other.save(tmp_path / "other.npz")
    code = _run(
        good, "--out", tmp_path / "c", "--model", weights, "--faces", tmp_path / "other.npz"
    )
    assert code == 1
    assert "cannot show what the weights" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_unknown_format_and_missing_words(tmp_path, good, weights, capsys):
    assert _run(good, "--out", tmp_path / "out", "--model", weights, "--format", "fbx") == 1
    assert "v2m: format 'fbx' is unknown: choose from glb, obj, ply, stl" in capsys.readouterr().err
    assert _run("--out", tmp_path) == 2
    assert _run(good) == 2


# --- names ---------------------------------------------------------------------------------


def test_files_of_one_stem_do_not_overwrite_each_other(tmp_path, speech, weights, monkeypatch):
    monkeypatch.setattr(predicting, "_picture", lambda *_: Image.new("RGB", (2, 2)))
    files = []
    for number, name in enumerate(("anna/one.wav", "ben/one.wav", "ben/one.flac", "two.wav")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.roll(speech, 4000 * number)[: (2 * RATE + 3000 * number)], RATE)
        files.append(path)
    out = tmp_path / "out"
    outcome = predict_files([*files, files[0]], out, model=weights, progress=False)
    assert [p.name for p in outcome.predictions] == [
        "anna_one",
        "ben_one_wav",
        "ben_one_flac",
        "two",
    ]  # and the one named twice is done once
    for prediction in outcome.predictions:
        described = json.loads((out / f"{prediction.name}.json").read_text())
        assert described["file"] == prediction.file
    contents = {(out / f"{p.name}.glb").read_bytes() for p in outcome.predictions}
    assert len(contents) == 4


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/x.wav", "b/x.wav", "a_x.wav"], ["a_x_2", "b_x", "a_x"]),
        (["one/d/x.wav", "two/d/x.wav"], ["d_x_wav", "d_x_wav_2"]),
        (["X.wav", "q/x.wav"], None),
        (["a.b.c.wav", ".hidden"], ["a.b.c", ".hidden"]),
    ],
)
def test_names_differ_whatever_the_folders(files, names):
    found = output_names(files)
    assert len({name.lower() for name in found}) == len(files)
    assert names is None or found == names


def test_a_strange_name_is_harmless(tmp_path, speech, weights, monkeypatch):
    monkeypatch.setattr(predicting, "_picture", lambda *_: Image.new("RGB", (2, 2)))
    path = tmp_path / "a #1 <b>'é.wav"
    soundfile.write(path, speech, RATE)
    outcome = predict_files([path], tmp_path / "out", model=weights, progress=False)
    assert (tmp_path / "out" / "a #1 <b>'é.glb").exists()
    page = outcome.page.read_text("utf-8")
    assert "<b>" not in page
    assert 'href="a%20%231%20%3Cb%3E%27%C3%A9.glb"' in page


def test_remarks_reach_the_reader(tmp_path, speech, weights, capsys):
    loud = np.clip(30 * speech, -1, 1)
    soundfile.write(tmp_path / "loud.wav", loud, RATE)
    assert _run(tmp_path / "loud.wav", "--out", tmp_path / "out", "--model", weights) == 0
    assert "v2m: note: " in capsys.readouterr().err
    assert "clipped" in json.loads((tmp_path / "out" / "loud.json").read_text())["remarks"][0]


def test_the_weights_by_default_are_the_shipped_ones(tmp_path, good, capsys):
    assert _run(good, "--out", tmp_path / "out", "--json") == 0
    assert "synthetic" in json.loads(capsys.readouterr().out)["disclaimers"][0]
    described = json.loads((tmp_path / "out" / "good.json").read_text())
    assert described["weights"] == "phantom"
    vertices = Voice2Mesh.load(shipped("phantom.safetensors")).predict(good).vertices
    mesh = trimesh.load_mesh(tmp_path / "out" / "good.glb", process=False)
    assert mesh.vertices == pytest.approx(vertices, abs=1e-4)


def test_weights_of_real_people_are_not_called_synthetic(tmp_path, good):
    path = _untrained(data={"kind": "recorded"}).save(tmp_path / "real.safetensors")
    outcome = predict_files([good], tmp_path / "out", model=path, progress=False)
    assert outcome.disclaimers == (predicting.DISCLAIMER,)


def test_the_library_refuses_before_it_writes(tmp_path, good, weights):
    with pytest.raises(InputError, match="format 'x' is unknown"):
        predict_files([good], tmp_path / "out", model=weights, formats=("x",))
    assert not (tmp_path / "out").exists()
