"""`v2m predict`: what it writes, real recordings, names, warnings."""

import json
import re

import numpy as np
import pytest
import soundfile
import torch
import trimesh
from PIL import Image
from predict_made import RATE, made_speech, predict, untrained, without_drawing

from v2mlib import predicting
from v2mlib.checks import InputError
from v2mlib.faces import load_face_model
from v2mlib.models import Voice2Mesh
from v2mlib.paths import shipped
from v2mlib.predicting import output_names, predict_files


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    return str(untrained(data={"kind": "phantom"}).save(path))


@pytest.fixture(scope="module")
def speech():
    return made_speech()


@pytest.fixture
def good(tmp_path, speech):
    path = tmp_path / "good.wav"
    soundfile.write(path, speech, RATE)
    return str(path)


def test_writes_mesh_coefficients_picture_and_page(tmp_path, good, weights, capsys):
    out = tmp_path / "out"
    assert predict(good, "--out", out, "--model", weights, "--format", "glb,obj,ply,stl") == 0
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
        assert predict(good, "--out", tmp_path / run, "--model", weights, "--format", "ply") == 0
    for name in ("good.ply", "good.json", "good.png", "index.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_any_container_rate_and_channels(tmp_path, speech, weights, monkeypatch, capsys):
    import soxr

    without_drawing(monkeypatch)

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
    assert predict(*files, "--out", tmp_path / "out", "--model", weights, "--json") == 0
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
    without_drawing(monkeypatch)
    outcome = predict_files(files, tmp_path / "out", model=weights, progress=False)
    assert outcome.failures == ()
    assert [prediction.file for prediction in outcome.predictions] == [str(f) for f in files]
    for prediction in outcome.predictions:
        assert np.isfinite(prediction.face.vertices).all()


# --- names ---------------------------------------------------------------------------------


def test_files_of_one_stem_do_not_overwrite_each_other(tmp_path, speech, weights, monkeypatch):
    without_drawing(monkeypatch)
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
    without_drawing(monkeypatch)
    path = tmp_path / "a #1 <b>'é.wav"
    soundfile.write(path, speech, RATE)
    outcome = predict_files([path], tmp_path / "out", model=weights, progress=False)
    assert (tmp_path / "out" / "a #1 <b>'é.glb").exists()
    page = outcome.page.read_text("utf-8")
    assert "<b>" not in page
    assert 'href="a%20%231%20%3Cb%3E%27%C3%A9.glb"' in page


def test_remarks_reach_the_reader(tmp_path, speech, weights, monkeypatch, capsys):
    without_drawing(monkeypatch)
    loud = np.clip(30 * speech, -1, 1)
    soundfile.write(tmp_path / "loud.wav", loud, RATE)
    assert predict(tmp_path / "loud.wav", "--out", tmp_path / "out", "--model", weights) == 0
    assert "v2m: note: " in capsys.readouterr().err
    assert "clipped" in json.loads((tmp_path / "out" / "loud.json").read_text())["remarks"][0]


def test_the_weights_by_default_are_the_shipped_ones(tmp_path, good, monkeypatch, capsys):
    without_drawing(monkeypatch)
    assert predict(good, "--out", tmp_path / "out", "--json") == 0
    assert "synthetic" in json.loads(capsys.readouterr().out)["disclaimers"][0]
    described = json.loads((tmp_path / "out" / "good.json").read_text())
    assert described["weights"] == "phantom"
    vertices = Voice2Mesh.load(shipped("phantom.safetensors")).predict(good).vertices
    mesh = trimesh.load_mesh(tmp_path / "out" / "good.glb", process=False)
    assert mesh.vertices == pytest.approx(vertices, abs=1e-4)


def test_weights_of_real_people_are_not_called_synthetic(tmp_path, good, monkeypatch):
    without_drawing(monkeypatch)
    path = untrained(data={"kind": "recorded"}).save(tmp_path / "real.safetensors")
    outcome = predict_files([good], tmp_path / "out", model=path, progress=False)
    assert outcome.disclaimers == (predicting.DISCLAIMER,)


def test_the_library_refuses_before_it_writes(tmp_path, good, weights):
    with pytest.raises(InputError, match="format 'x' is unknown"):
        predict_files([good], tmp_path / "out", model=weights, formats=("x",))
    assert not (tmp_path / "out").exists()
