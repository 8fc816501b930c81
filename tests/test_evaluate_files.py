"""``v2m evaluate`` on files: every form read, tables and figures written, bad files refused."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import v2mlib as v2m
from v2mlib import metrics, plots
from v2mlib.checks import InputError, ShapeError
from v2mlib.cli import main
from v2mlib.evaluating import chosen_measures, judge_files
from v2mlib.evaluation_files import read_faces
from v2mlib.evaluation_output import latex
from v2mlib.faces import load_face_model
from v2mlib.models.face import Face
from v2mlib.plot_pictures import draw
from v2mlib.plot_tables import forest

N = 8


@pytest.fixture(scope="module")
def model():
    return load_face_model("phantom")


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """References as .npz; predictions of the same faces as .npz, .csv, .parquet and meshes."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(N, model.n_shape)).astype(np.float32)
    names = np.array([f"{i:03d}" for i in range(N)])  # leading zeros must survive
    ours = (0.5 * truth[:, None] + 0.3 * rng.normal(size=(N, 2, model.n_shape))).astype(np.float32)
    sex = np.where(np.arange(N) % 2, "f", "m")
    np.savez(folder / "truth.npz", identity=names, shape_coefficients=truth, sex=sex)
    rows, flat = np.repeat(names, 2), ours.reshape(-1, model.n_shape)
    np.savez(folder / "ours.npz", identity=rows, shape_coefficients=flat)
    table = pd.DataFrame(flat).rename(columns=lambda k: f"shape_{k}")
    table.insert(0, "identity", rows)
    table.sample(frac=1, random_state=0).to_csv(folder / "ours.csv", index=False)
    table.to_parquet(folder / "ours.parquet")
    for person, name in enumerate(names):
        for utterance, kind in enumerate(("obj", "ply")):
            face = Face.from_coefficients(model, ours[person, utterance])
            face.save(folder / "meshes" / name / f"{utterance}.{kind}")
    vertices = model.decode(torch.tensor(flat)).numpy()
    np.savez(folder / "vertices.npz", identity=rows, vertices=vertices)
    return folder


def test_every_form_of_file_gives_the_same_errors(files):
    forms = ("ours.npz", "ours.csv", "ours.parquet", "meshes", "vertices.npz")
    judged = judge_files(
        files / "truth.npz", {name: files / name for name in forms}, "phantom",
        measures=("are", "lines"), progress=False,
    )  # fmt: skip
    assert set(judged.errors["identity"]) == {f"{i:03d}" for i in range(N)}
    assert set(judged.summary["group"]) == {"all", "m", "f"}
    for column in ("error", "error_per_utterance"):
        wide = judged.errors.pivot(
            index=["identity", "measure", "definition"], columns="method", values=column
        )
        for name in forms:
            assert wide[name].to_numpy() == pytest.approx(wide["ours.npz"].to_numpy(), abs=5e-5)
        assert (wide["mean_face"] - wide["ours.npz"]).abs().max() > 0.01


def test_command_writes_tables_and_figures(files, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["evaluate", "--references", str(files / "truth.npz"), "--no-icp", "--out", str(out)]
    words += ["--predictions", f"ours={files / 'ours.csv'}"]
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["baseline"] == "mean_face"
    assert {path.name for path in out.iterdir()} == {
        "errors.parquet", "summary.csv", "summary_per_utterance.csv", "published.csv",
        "tables.tex", "change.png", "change.svg",
    }  # fmt: skip
    errors, summary = pd.read_parquet(out / "errors.parquet"), pd.read_csv(out / "summary.csv")
    again = metrics.summarise(errors, baseline="mean_face")
    labels = {
        "data": f"{files / 'truth.npz'}, faces of phantom",
        "version": f"v2mlib {v2m.__version__}",
    }
    again = again.assign(**labels)
    pd.testing.assert_frame_equal(summary, again, check_exact=False, rtol=1e-9)
    assert len(shown["summary"]) == len(summary)
    published = pd.read_csv(out / "published.csv")
    assert published[["data", "definition", "method", "version"]].notna().all(axis=None)
    # What stands beside the paper's figures is averaged as the paper's are.
    ours = published.set_index(["source", "measure", "definition", "method"]).loc["ours"]
    means = errors.groupby(["measure", "definition", "method"])[["error", "error_per_utterance"]]
    means = means.mean().loc[("are_mean", "published", "ours")]
    row = ours.loc[("are_mean", "published", "ours")]
    assert row["value"] == pytest.approx(means["error_per_utterance"])
    assert row["value"] > 1.01 * means["error"]
    assert row["data"] == labels["data"]
    assert "over each identity's utterances" in row["note"]
    with Image.open(out / "change.png") as picture:
        assert picture.size[0] == 1520
        assert len(set(picture.convert("L").resize((60, 60)).tobytes())) > 10
    assert (out / "change.svg").read_text().startswith("<?xml")
    assert main(words) == 0
    assert "changes against the mean face" in capsys.readouterr().out


def test_measures_that_the_paper_lacks_are_written_too(files, tmp_path):
    words = ["evaluate", "--references", files / "truth.npz", "--measures", "lines"]
    words += ["--predictions", f"ours={files / 'ours.npz'}", "--out", tmp_path]
    assert main([*map(str, words)]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert "summary.csv" in written
    assert "published.csv" not in written


def test_latex_is_sound_and_labelled(files):
    judged = judge_files(
        files / "truth.npz", {"o_urs & 50%": files / "ours.npz"}, "phantom",
        measures=("are", "nme"), progress=False,
    )  # fmt: skip
    both = metrics.compare_with_published(judged.per_utterance, data="made_up 100%", table=(1, 2))
    text = latex(both)
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 4
    assert text.count("\\toprule") == text.count("\\midrule") == text.count("\\bottomrule") == 4
    assert "made\\_up 100\\%" in text
    assert "o urs \\& 50\\%" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert all(len(re.split(r"(?<!\\)&", line)) == 5 for line in body)
    assert len(body) == len(both) + 4  # a heading each
    assert not re.search(r"(?<!\\)[_#$]", text.replace("booktabs", ""))
    captions = re.findall(r"\\caption\{(.*)\}", text)
    assert all("Data: " in caption for caption in captions)


def test_files_that_cannot_be_used(files, model, tmp_path):
    def refuse(match, path, error=InputError):
        with pytest.raises(error, match=match):
            read_faces(path, model)

    refuse("does not exist: give .npz", tmp_path / "absent.npz")
    (tmp_path / "a.txt").write_text("x")
    refuse("is of no known form", tmp_path / "a.txt")
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 no zip")
    refuse("cannot be read", tmp_path / "damaged.npz")
    np.savez(tmp_path / "pickled.npz", identity=np.array([{"a": 1}], dtype=object))
    refuse("cannot be read", tmp_path / "pickled.npz")
    np.savez(tmp_path / "wrong.npz", names=np.arange(2))
    refuse("holds names: give .npz", tmp_path / "wrong.npz")
    (tmp_path / "a.csv").write_text("who,b\n1,2\n")
    refuse("has no column identity", tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("identity,b,c\n1,2,x\n")
    refuse("has columns that are not numbers: c", tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("identity,c_1,c_10,c_2\n1,2,3,4\n")
    refuse(r"faces in .*c\.csv have column c_10 after c_1: put the columns", tmp_path / "c.csv")
    (tmp_path / "empty").mkdir()
    refuse("holds no meshes", tmp_path / "empty")

    meshes = tmp_path / "meshes"
    face = Face.from_coefficients(model, np.zeros(model.n_shape))
    face.save(meshes / "id1.stl")
    refuse(r"holds 1 \.stl files, which do not number", meshes)
    face.save(meshes / "id1.obj")
    face.save(meshes / "id1.glb")
    refuse("one face in several formats", meshes)
    (meshes / "id1.glb").unlink()
    assert read_faces(meshes, model).identity.tolist() == ["id1"]
    (meshes / "id2.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n")
    refuse(r"id2.obj: have 4 vertices, face model .* has 14377", meshes, ShapeError)
    swapped = np.arange(model.n_vertices)[::-1].copy()
    mesh = face.mesh()
    mesh.faces = swapped[mesh.faces]
    mesh.export(meshes / "id2.obj")
    refuse("joins its 14377 vertices by .* other triangles", meshes)
    (meshes / "id2.obj").write_bytes(b"\x00\x01")
    refuse("id2.obj", meshes, (InputError, ShapeError))
    (meshes / "id2.obj").unlink()
    # The same triangles in another order are the same mesh.
    mesh = face.mesh()
    mesh.faces = np.roll(mesh.faces[::-1], 1, axis=1)
    mesh.export(meshes / "id3.obj")
    assert read_faces(meshes, model).identity.tolist() == ["id1", "id3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--references", "T"], "--references stands alone"),
        (["--references", "T", "--predictions", "ours"], "--predictions ours is not NAME=FILE"),
        (["--references", "T", "--predictions", "a=O", "--predictions", "a=O"], "is given twice"),
        (["--references", "T", "--predictions", "a=O", "--model", "x"], "--model goes with --data"),
        (["--data", "x", "--predictions", "a=O"], "--predictions goes with --references"),
        (["--references", "T", "--predictions", "a=O", "--measures", "icp"], "measure 'icp' is"),
        (["--references", "T", "--predictions", "a=O", "--baseline", "b"], "baseline 'b' is no"),
        (["--references", "T", "--predictions", "mean_face=O"], "is added by itself"),
        (["--references", "O", "--predictions", "a=T"], "name 8 identities in 16 rows"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_refusals(words, said, files, capsys):
    places = {"T": files / "truth.npz", "a=O": f"a={files / 'ours.npz'}", "O": files / "ours.npz",
              "a=T": f"a={files / 'truth.npz'}", "mean_face=O": "mean_face=x"}  # fmt: skip
    assert main(["evaluate", "--no-icp", *(str(places.get(word, word)) for word in words)]) == 1
    line = capsys.readouterr().err
    assert line.startswith("v2m: ")
    assert said in line
    assert line.count("\n") == 1


def test_measures_from_words():
    assert chosen_measures(None) == ("are", "nme", "lines", "vertex", "rmse")
    assert chosen_measures(None, no_icp=True) == ("are", "nme", "lines", "vertex")
    with pytest.raises(InputError, match="measures are none"):
        chosen_measures("rmse", no_icp=True)


def test_forest_puts_points_and_intervals_where_they_belong():
    rows = [
        ("are_ear", "ours", -20.0, -30.0, -15.0),
        ("are_ear", "ridge", -5.0, -9.0, 2.0),
        ("nose_width_mm", "ours", 3.0, -1.0, 8.0),
        ("nme", "ours", np.nan, np.nan, np.nan),
    ]
    columns = ["measure", "method", "change_percent"]
    columns += ["change_percent_ci_low", "change_percent_ci_high"]
    table = pd.DataFrame(rows, columns=columns)
    figure = forest(table, value="change_percent", axis="change (%)", lines={"aim": -50.0})
    ours, ridge = figure.data
    assert list(ours.x) == [-20.0, 3.0]
    assert list(ours.error_x.array) == [5.0, 5.0]
    assert list(ours.error_x.arrayminus) == [10.0, 4.0]
    assert ridge.marker.color == plots.colour_of("ridge")
    assert list(figure.layout.yaxis.ticktext) == ["ear ratio", "nose width"]
    assert abs(ours.y[1] - 1) < 0.5
    assert ours.y[0] != ridge.y[0]
    axes = draw(figure).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ear ratio", "nose width"]
    assert axes.yaxis_inverted()
    with pytest.raises(InputError, match="lacks skill"):
        forest(table, value="skill", axis="skill")
    with pytest.raises(InputError, match="has no finite change_percent"):
        forest(table[3:], value="change_percent", axis="change (%)")
