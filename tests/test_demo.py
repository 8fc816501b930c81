"""`v2m demo` end to end at its tiny size: structure, reuse, resuming; never its figures' size."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from v2mlib import demo
from v2mlib.checks import InputError
from v2mlib.cli import main
from v2mlib.demo import SUMMARY_KEYS, run_demo, summarise
from v2mlib.demo_figures import choose_people
from v2mlib.demo_page import answer
from v2mlib.evaluating import METHODS, text_table
from v2mlib.metrics.skill import skill_table
from v2mlib.staging import only_one

KEYS = [
    *("world", "size", "mean_face", "sex_mean_face", "model", "ceiling"),
    *("skill", "skill_ci_low", "skill_ci_high"),
    *("within_sex_skill", "within_sex_skill_ci_low", "within_sex_skill_ci_high"),
    *("gain_vs_mean", "gain_vs_mean_ci_low", "gain_vs_mean_ci_high"),
    *("gain_vs_sex_mean", "gain_vs_sex_mean_ci_low", "gain_vs_sex_mean_ci_high"),
    *("n_test_identities", "seconds"),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, one_processor):
    """One finished demo of the tiny size, without workers, for all tests of this file."""
    out = tmp_path_factory.mktemp("demo")
    lines = []
    result = run_demo(size="tiny", out=out, announce=lines.append, progress=False)
    return out, result, lines


def test_json_has_exactly_the_promised_keys(tiny):
    _, result, _ = tiny
    assert list(result.summary) == KEYS == list(SUMMARY_KEYS)
    assert result.summary["world"] == "default"
    assert result.summary["size"] == "tiny"
    assert result.summary["n_test_identities"] == 12
    for name in ("mean_face", "sex_mean_face", "model", "ceiling"):
        assert 0 < result.summary[name] < 1
    for name, value in result.summary.items():
        if "skill" in name or "gain" in name:
            assert value is None or math.isfinite(value)


def test_a_second_run_reuses_and_prints_one_json_line(tiny, capsys, monkeypatch):
    out, result, _ = tiny

    def never(*args, **kwargs):
        raise AssertionError("a finished stage was done again")

    for name in ("_build", "_train", "_judge", "_report"):
        monkeypatch.setattr(demo._Demo, name, never)
    assert main(["demo", "--size", "tiny", "--out", str(out), "--json"]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    again = json.loads(said.out)
    assert list(again) == KEYS
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in result.summary.items() if k != "seconds"
    }
    assert again["seconds"] < result.summary["seconds"]
    for words in METHODS.values():
        assert words in said.err
    assert said.err.count("done before") == 5
    # Without --json stdout stays empty.
    assert main(["demo", "--size", "tiny", "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""


def test_report_holds_everything_and_fetches_nothing(tiny):
    _, result, _ = tiny
    page = result.report.read_text("utf-8")
    assert not re.search(r"""(src|href)=["']?https?:|@import|url\(https?:""", page)
    people = page.count('<section class="person">')
    assert people == 2  # one of each sex at this size
    assert page.count("<audio") == 2 * people
    plain = " ".join(page.split())
    for words in ("true face", "predicted", "sex-mean face", "mean face", "where it is off"):
        assert words in plain
    assert "never an identification" in plain
    assert "In people the link is far weaker" in plain
    assert "What this does not show" in plain
    assert "v2m demo --world default --size tiny" in plain
    for name in ("errors", "lines", "training", "faces"):
        with Image.open(result.folder / "figures" / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 10


def test_scores_are_by_identity_with_both_columns(tiny):
    _, result, _ = tiny
    scores = pd.read_parquet(result.folder / "scores" / "scores.parquet")
    mean = scores[scores["measure"] == "mean"]
    assert set(mean["method"]) == set(METHODS)
    assert (mean.groupby("method")["identity"].nunique() == 12).all()
    constant = mean[mean["method"].isin(["mean_face", "sex_mean_face", "ceiling"])]
    assert (constant["error"] == constant["error_per_utterance"]).all()
    heard = mean[mean["method"] == "model"]
    assert (heard["error"] != heard["error_per_utterance"]).any()
    # The summary is the table's, and the table is the scores'.
    assert result.summary["model"] == pytest.approx(heard["error"].mean())
    again = skill_table(scores, world="default", seed=0)
    pd.testing.assert_frame_equal(again, result.skills, check_exact=False, rtol=1e-9)


def test_only_one_demo_at_a_time(tiny, capsys):
    out, result, _ = tiny
    with only_one(result.folder, "another v2m demo"):
        assert main(["demo", "--size", "tiny", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert f"v2m: {result.folder} is in use by another v2m demo (process {os.getpid()})" in said
    assert said.count("\n") == 1


def test_a_deleted_report_is_written_again(tiny):
    out, result, _ = tiny
    before = result.report.read_bytes()
    result.report.unlink()
    lines = []
    run_demo(size="tiny", out=out, announce=lines.append, progress=False)
    assert result.report.exists()
    assert sum("done before" in line for line in lines) == 4
    assert len(result.report.read_bytes()) == pytest.approx(len(before), rel=0.01)


def _wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.005)


def test_killed_and_started_again_it_ends_the_same(tiny, tmp_path, monkeypatch):
    _, whole, _ = tiny
    folder = tmp_path / "default_tiny"
    process = subprocess.Popen(
        [sys.executable, "-m", "v2mlib", "demo", "--size", "tiny", "--out", str(tmp_path)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for((folder / "end_to_end" / "last.pt").exists, process)  # in the midst of training
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert not (folder / "result.json").exists()
    # No worker outlives it.
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a worker process was left behind")
    lines = []
    monkeypatch.setattr(demo._Demo, "_report", lambda *_: None)  # nothing of it was begun
    result = run_demo(size="tiny", out=tmp_path, announce=lines.append, progress=False)
    assert any(line.startswith("build the population: done before") for line in lines)
    same = {name: value for name, value in result.summary.items() if name != "seconds"}
    assert same == {name: value for name, value in whole.summary.items() if name != "seconds"}


def test_unknown_world_and_size(tmp_path):
    with pytest.raises(InputError, match="world 'flat' is unknown: choose from default"):
        run_demo(world="flat", out=tmp_path)
    with pytest.raises(InputError, match="size 'paper' is unknown: choose from tutorial, tiny"):
        run_demo(size="paper", out=tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be a folder: a file stands in its way"):
        run_demo(size="tiny", out=tmp_path / "file")


# --- pieces, on made-up scores ---------------------------------------------------------------


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    base = rng.gamma(4, 0.01, 60)
    share = {"mean_face": 1, "sex_mean_face": 0.9, "model": 0.75, "ceiling": 0.7}
    return pd.concat(
        pd.DataFrame(
            {
                "identity": [f"id{i:05d}" for i in range(60)],
                "sex": ["m", "f"] * 30,
                "method": method,
                "measure": "mean",
                "error": base * factor * rng.uniform(0.95, 1.05, 60),
                "error_per_utterance": base,
            }
        )
        for method, factor in share.items()
    )


@pytest.mark.parametrize(
    ("world", "undefined"),
    [
        ("default", set()),
        ("sex_only", {"within_sex_skill"}),
        ("null", {"skill", "within_sex_skill"}),
    ],
)
def test_undefined_skills_are_null(scores, world, undefined):
    skills = skill_table(scores, world=world)
    summary = summarise(skills, world=world, size="tutorial", seconds=1.0)
    for name in ("skill", "within_sex_skill", "gain_vs_mean", "gain_vs_sex_mean"):
        for end in ("", "_ci_low", "_ci_high"):
            assert (summary[name + end] is None) == (name in undefined)
    said = answer(summary)
    expected = {"default": "beyond the sex", "sex_only": "Of what a voice can tell it"}
    assert expected.get(world, "Over the mean face it gains") in said
    assert "95 % interval" in said
    table = text_table(skills, title=world)
    assert len(table.splitlines()) == 3 + 4
    assert (" -  " in table) == bool(undefined)


def test_too_few_people_are_said_to_be_so(scores):
    summary = summarise(skill_table(scores), world="default", size="tiny", seconds=1.0)
    few = summary | {"within_sex_skill_ci_low": None, "within_sex_skill_ci_high": None}
    assert "leave the skill undetermined" in answer(few)


def test_people_are_chosen_by_rank_not_by_eye(scores):
    identities = pd.DataFrame({"identity": scores["identity"].unique()})
    identities["name"] = "Name"
    chosen = choose_people(scores, identities)
    assert chosen["sex"].tolist() == ["f"] * 3 + ["m"] * 3
    errors = scores.query("method == 'model'").set_index("identity")
    for sex, rows in chosen.groupby("sex"):
        ranks = errors.loc[errors["sex"] == sex, "error"].rank(pct=True)
        assert ranks.loc[rows["identity"]].to_numpy() == pytest.approx([0.1, 0.5, 0.9], abs=0.04)
    assert chosen["rule"].iloc[0] == "better predicted than 90 % of the women"


# --- train and evaluate, on the demo's world ---------------------------------------------------


def test_train_and_evaluate(tiny, tmp_path, capsys):
    _, result, _ = tiny
    data = str(result.folder / "world")
    train = ["train", "supervised", "--data", data, "--out", str(tmp_path / "run"), "--steps", "2"]
    assert main([*train, "--batch-size", "8", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["steps"] == 2
    weights = shown["weights"]
    assert math.isfinite(shown["validation_loss"])
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["training"]["supervised"]["batch_size"] == 8
    # Another training does not go into the same folder.
    assert main([*train, "--batch-size", "4"]) == 1
    assert capsys.readouterr().err.startswith("v2m: ")

    evaluate = ["evaluate", "--data", data, "--model", weights, "--no-icp"]
    assert main([*evaluate, "--out", str(tmp_path / "scores"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    mean = {row["method"]: row for row in shown["skills"] if row["measure"] == "mean"}
    assert list(mean) == ["mean_face", "sex_mean_face", "ridge", weights, "ceiling"]
    assert mean["ceiling"]["error"] == pytest.approx(result.summary["ceiling"])
    written = {path.name for path in (tmp_path / "scores").iterdir()}
    assert written >= {"errors.parquet", "summary.csv", "skills.csv", "tables.tex", "skill.svg"}
    summary = {
        row["method"]: row
        for row in shown["summary"]
        if (row["group"], row["measure"], row["definition"]) == ("all", "are_mean", "corrected")
    }
    assert summary["ceiling"]["error"] == pytest.approx(mean["ceiling"]["error"], rel=1e-4)
    assert summary["mean_face"]["skill"] == 0
    assert main([*evaluate, "--measures", "are"]) == 0
    assert "default world, test, faces of phantom; 12 identities" in capsys.readouterr().out


def test_train_and_evaluate_refuse(tmp_path, capsys):
    for words in (
        ["train", "supervised", "--data", str(tmp_path), "--out", str(tmp_path / "run")],
        ["evaluate", "--data", str(tmp_path), "--model", "nobody"],
        ["train", "supervised", "--data", "x", "--out", "y", "--steps", "0"],
    ):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert said.startswith("v2m: ")
        assert said.count("\n") == 1
