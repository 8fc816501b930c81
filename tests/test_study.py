"""Building studies: who is asked about, what is shown and in which order, what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from study_made import PLAN, ball_model, people, small_study

from v2mlib.checks import InputError
from v2mlib.cli import main
from v2mlib.faces import load_face_model
from v2mlib.files import sha256
from v2mlib.metrics.face_rows import FaceRows
from v2mlib.study import (
    StudyPlan,
    build_study,
    load_study,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return small_study(tmp_path_factory.mktemp("made") / "study")


@pytest.fixture
def study(built, tmp_path):
    """A copy of the study that a test may answer and damage."""
    shutil.copytree(built.folder, tmp_path / "study")
    return load_study(tmp_path / "study")


def test_a_study_asks_about_different_people_drawn_from_the_seed(built, tmp_path):
    questions = [item for item in built.items.values() if item.kind == "question"]
    assert len(built.items) == 2 * (3 + 1)
    assert len({item.identity for item in questions}) == 6
    assert built.methods == {"a": "ours", "b": "others"}
    again = small_study(tmp_path / "again")
    assert again.items == built.items
    other = small_study(tmp_path / "other", plan=StudyPlan(n_items=3, picture_px=64, frames=3))
    assert [i.identity for i in other.items.values()] != [i.identity for i in built.items.values()]


def test_pictures_are_drawn_once_and_their_names_tell_nothing(built):
    files = sorted((built.folder / "pictures").iterdir())
    document = json.loads((built.folder / "study.json").read_text())
    assert {f"pictures/{path.name}" for path in files} == set(document["pictures"])
    assert all(path.stem == sha256(path)[:16] for path in files)
    models = built.items["models", 0].pictures
    strip = Image.open(built.folder / models["a"][0].file)
    assert models["a"][0].frames == 3
    assert strip.size == (3 * 55, 64)
    frames = np.asarray(strip, int).reshape(64, 3, 55, 3)
    assert np.abs(frames[:, 0] - frames[:, 2]).mean() > 8  # it turned


def test_utterances_are_averaged(tmp_path):
    # The mean of our two utterances is the reference itself: the pictures are the same files.
    study = small_study(tmp_path / "study")
    for item in study.items.values():
        assert item.pictures["a"] == item.pictures["reference"]
        assert item.pictures["b"] != item.pictures["reference"]


def test_in_an_attention_check_a_face_is_the_reference(built):
    checks = [item for item in built.items.values() if item.kind == "attention"]
    assert len(checks) == 2
    for item in checks:
        assert item.pictures["a"] == item.pictures["reference"] != item.pictures["b"]


def test_each_participant_has_an_order_of_their_own(built):
    orders = {code: built.order(code) for code in map("code{:03d}".format, range(200))}
    assert built.order("code000") == orders["code000"]
    assert len({tuple(order) for order in orders.values()}) > 195
    for order in orders.values():
        assert [asked.section for asked in order] == ["views"] * 4 + ["models"] * 4
        assert {(a.section, a.item, a.kind) for a in order} == {
            (i.section, i.item, i.kind) for i in built.items.values()
        }
        assert order[0].kind == order[4].kind == "question"
        for section in ("views", "models"):
            first = sum(
                a.shown_first for a in order if a.section == section and a.kind == "question"
            )
            assert first in (1, 2)  # of three
    sides = [a.shown_first for order in orders.values() for a in order]
    assert abs(np.mean(sides) - 0.5) < 4 * 0.5 / np.sqrt(len(sides))


def test_damaged_studies_are_refused(study, tmp_path):
    with pytest.raises(InputError, match=r"holds no study\.json: build one"):
        load_study(tmp_path)
    picture = next((study.folder / "pictures").iterdir())
    content = picture.read_bytes()
    picture.write_bytes(content[:-1])
    with pytest.raises(InputError, match="is not the picture that was built"):
        load_study(study.folder)
    picture.unlink()
    with pytest.raises(InputError, match="is missing"):
        load_study(study.folder)
    picture.write_bytes(content)
    path = study.folder / "study.json"
    text = path.read_text()
    path.write_text(text.replace(f"pictures/{picture.name}", "../secret.jpg"))
    with pytest.raises(InputError, match="is no picture of the study"):
        load_study(study.folder)
    path.write_text(text[:-100])
    with pytest.raises(InputError, match="is damaged"):
        load_study(study.folder)


def test_what_cannot_be_built_is_refused(built, tmp_path):
    predictions, reference = people()
    model, out = ball_model(), tmp_path / "study"
    with pytest.raises(InputError, match="is there already"):
        small_study(built.folder)
    with pytest.raises(InputError, match="are of 1 methods"):
        build_study(out, {"ours": predictions["ours"]}, reference, model=model)
    with pytest.raises(InputError, match="asks about 40 people, but 12 have"):
        build_study(out, predictions, reference, model=model, plan=StudyPlan(n_items=20))
    with pytest.raises(InputError, match="images are absent"):
        small_study(out, plan=StudyPlan(sections=("images",)))
    strangers = FaceRows(np.char.add("x", reference.identity), reference.faces)
    with pytest.raises(InputError, match=r"but 0 have .* \(none\)"):
        build_study(out, predictions, strangers, model=model, plan=PLAN)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sections": ("smells",)}, "section smells is unknown: choose from images"),
        ({"sections": ()}, "section none"),
        ({"sections": ("views", "views")}, "name one twice"),
        ({"n_items": 0}, "asks nothing"),
        ({"picture_px": 4}, "picture_px is 4"),
        ({"frames": 1}, "frames are 1"),
        ({"question": " "}, "question is empty"),
    ],
)
def test_impossible_plans_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        StudyPlan(**change)


def test_images_of_three_folders_are_shown_beside_the_faces(tmp_path):
    folders = {}
    for number, role in enumerate(("ours", "others", "reference")):
        folders[role] = tmp_path / role
        folders[role].mkdir()
        for k in range(8):  # of twelve people
            colour = (80 * number, 20 * k, 0)
            Image.new("RGB", (40, 80), colour).save(folders[role] / f"id{k:02d}.png")
    plan = StudyPlan(sections=("images", "both"), n_items=4, n_attention=0, picture_px=64, frames=3)
    study = small_study(tmp_path / "study", plan=plan, images=folders)
    assert len(study.items) == 8
    for item in study.items.values():
        number = int(item.identity[2:])
        for role, red in (("a", 0), ("b", 80), ("reference", 160)):
            pictures = item.pictures[role]
            assert [p.frames for p in pictures] == {"images": [1], "both": [1, 3]}[item.section]
            image = Image.open(study.folder / pictures[0].file)
            assert image.size == (32, 64)
            assert np.abs(np.array(image.getpixel((5, 5))) - (red, 20 * number, 0)).max() < 6


def test_files_of_coefficients_and_folders_of_meshes_can_be_compared(tmp_path, capsys):
    predictions, reference = people(n=2)
    model = load_face_model("phantom")
    for name, rows in {**predictions, "truth": reference}.items():
        numbers = np.zeros((len(rows.identity), 40), np.float32)
        numbers[:, :5] = rows.faces / 3
        np.savez(tmp_path / f"{name}.npz", identity=rows.identity, shape_coefficients=numbers)
    (tmp_path / "meshes").mkdir()
    for who, row in zip(reference.identity, reference.faces / 3, strict=True):
        vertices = model.decode(torch.tensor(np.r_[row, np.zeros(35)], dtype=torch.float32))
        mesh = trimesh.Trimesh(vertices.numpy(), model.triangles.numpy(), process=False)
        mesh.export(tmp_path / "meshes" / f"{who}.ply")
    files = [f"ours={tmp_path}/meshes", f"others={tmp_path}/others.npz"]
    words = ["--predictions", *files, "--reference", f"{tmp_path}/truth.npz", "--items", "1"]
    small = ["--sections", "views", "--checks", "0", "--out", str(tmp_path / "made")]
    assert main(["study", "build", *words, *small]) == 0
    assert "1 questions in 1 sections" in capsys.readouterr().out
    study = load_study(tmp_path / "made")
    assert study.methods == {"a": "ours", "b": "others"}
    # The meshes are the true faces: their pictures differ by the file's rounding at most.
    pictures = study.items["views", 0].pictures
    seen = {
        role: np.asarray(Image.open(study.folder / p[0].file), int) for role, p in pictures.items()
    }
    assert np.abs(seen["a"] - seen["reference"]).mean() < 1
    assert np.abs(seen["b"] - seen["reference"]).mean() > 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--predictions", "supervised", "guess"], "method 'guess' is unknown: choose from"),
        (["--predictions", "ridge", "ridge"], "method ridge is given twice"),
        (["--predictions", "a=a.npz", "b=b.npz"], "name files: add --reference FILE"),
        (["--reference", "r.npz"], "are not NAME=FILE"),
        (["--items", "400"], "asks about 800 people, but 480 have"),
        (["--images", "x", "y", "z"], "x is no folder"),
        (["--sections", "both"], "images are absent"),
    ],
)
def test_the_command_says_what_is_wrong(words, message, tmp_path, capsys):
    assert main(["study", "build", "--out", str(tmp_path / "made"), *words]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not any(tmp_path.iterdir())
