"""`v2m predict` on bad input: one line that names the file and the remedy, nothing half-written."""

import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from predict_made import RATE, made_speech, predict, untrained, without_drawing

from v2mlib import predicting
from v2mlib.faces import load_face_model
from v2mlib.files import sha256


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    return str(untrained(data={"kind": "phantom"}).save(path))


@pytest.fixture(scope="module")
def speech():
    return made_speech()


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    without_drawing(monkeypatch)  # test_predict.py looks at pictures


@pytest.fixture
def good(tmp_path, speech):
    path = tmp_path / "good.wav"
    soundfile.write(path, speech, RATE)
    return str(path)


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
    assert predict(bad, good, "--out", out, "--model", weights) == 1
    said = capsys.readouterr()
    complaints = [line for line in said.err.splitlines() if line.startswith("v2m: ")]
    assert len(complaints) == 1
    assert re.match(rf"v2m: {re.escape(str(bad))} {BAD_RECORDINGS[make]}", complaints[0])
    names = {path.name for path in out.iterdir()}
    assert names == {"good.glb", "good.json", "good.png", "index.html"}
    assert "Traceback" not in said.err
    # Alone it leaves nothing behind.
    assert predict(bad, "--out", tmp_path / "alone", "--model", weights) == 1
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
    assert predict(secret, good, "--out", tmp_path / "out", "--model", weights) == 1
    assert f"v2m: {secret} cannot be read (permission denied)" in capsys.readouterr().err
    assert (tmp_path / "out" / "good.glb").exists()


# --- bad outputs, models, formats ----------------------------------------------------------


def test_output_below_a_file(tmp_path, good, weights, capsys):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert predict(good, "--out", out, "--model", weights) == 1
        said = capsys.readouterr().err
        assert said == f"v2m: {out} cannot be a folder: a file stands in its way: " + (
            "choose another --out\n"
        )


def test_output_that_may_not_be_written(tmp_path, good, weights, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(predicting.tempfile, "TemporaryFile", refuse)
    assert predict(good, "--out", tmp_path / "out", "--model", weights) == 1
    assert "cannot be written to (Permission denied): choose" in capsys.readouterr().err


def test_a_full_disk_leaves_no_part_of_a_result(tmp_path, good, weights, monkeypatch, capsys):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    out = tmp_path / "out"
    assert predict(good, "--out", out, "--model", weights) == 1
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
    assert predict(good, "--out", out, "--model", model) == 1
    said = capsys.readouterr().err
    assert said.startswith("v2m: ")
    assert said.count("\n") == 1
    assert BAD_MODELS[make] in said
    assert not out.exists()
    assert not (tmp_path / "exploded").exists()


def test_weights_do_not_serve_every_face(tmp_path, good, weights, capsys):
    assert predict(good, "--out", tmp_path / "a", "--model", weights, "--faces", "phantom") == 0
    capsys.readouterr()
    assert predict(good, "--out", tmp_path / "b", "--model", weights, "--faces", "nobody") == 1
    assert "face model 'nobody'" in capsys.readouterr().err
    other = load_face_model("phantom").truncated(n_shape=30)
    other.save(tmp_path / "other.npz")
    code = predict(
        good, "--out", tmp_path / "c", "--model", weights, "--faces", tmp_path / "other.npz"
    )
    assert code == 1
    assert "cannot show what the weights" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_unknown_format_and_missing_words(tmp_path, good, weights, capsys):
    assert predict(good, "--out", tmp_path / "out", "--model", weights, "--format", "fbx") == 1
    assert "v2m: format 'fbx' is unknown: choose from glb, obj, ply, stl" in capsys.readouterr().err
    assert predict("--out", tmp_path) == 2
    assert predict(good) == 2
