"""Studies from end to end: what is built, how it is answered, what a crash leaves, the table."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from study_made import PLAN, ball_model, people, small_study

from v2mlib import plot_studies
from v2mlib.checks import InputError
from v2mlib.cli import main
from v2mlib.files import sha256
from v2mlib.metrics.face_rows import FaceRows
from v2mlib.plot_pictures import png_bytes
from v2mlib.stats.studies import COLUMNS, StudyDesign, simulate_study
from v2mlib.study import (
    Participation,
    StudyPlan,
    analyse_answers,
    build_study,
    load_study,
    read_answers,
    simulated_study,
    study_status,
)
from v2mlib.study.analysing import compare_tests
from v2mlib.study.simulated import average_preference, write_simulated_study


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
    assert np.abs(frames[:, 0] - frames[:, 2]).mean() > 0.1  # it turned


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


def answer_all(study, code, side="first"):
    taking = Participation(study, code)
    taking.agree()
    while taking.current:
        taking.answer(side)
    return taking


def test_answers_become_the_table_that_the_tests_read(study):
    answer_all(study, "aaaa")
    answer_all(study, "bbbb", side="second")
    half = Participation(study, "cccc")
    half.agree()
    half.answer("first")
    table = read_answers(study)
    assert list(table)[: len(COLUMNS)] == list(COLUMNS)
    assert len(table) == 8 + 8 + 1
    by_first = table["subject"] != "bbbb"
    assert (table["chosen"] == (table["shown_first"] == by_first)).all()
    for row in table.itertuples():
        item = study.items[row.section, row.item]
        assert (row.kind, row.identity) == (item.kind, item.identity)
        assert study.order(row.subject)[row.number].item == row.item
    status = study_status(study).set_index("participant")
    assert status["answered"].to_dict() == {"aaaa": 8, "bbbb": 8, "cccc": 1}
    assert status["finished"].tolist() == [True, True, False]
    found = analyse_answers(table, level=0.05, mixed=False)
    assert found.naive.set_index("section")["trials"].to_dict() == {
        "views": 7, "models": 6, "overall": 13,
    }  # fmt: skip
    assert "1 subjects have not finished" in found.remarks


def test_nothing_personal_is_kept(study):
    taking = answer_all(study, None)
    head, *answers = map(json.loads, taking.path.read_text().splitlines())
    assert set(head) == {"kind", "study", "participant", "consent", "day"}
    assert len(head["day"]) == 10
    allowed = {"kind", "number", "section", "item", "asked", "shown_first", "chosen"}
    assert all(set(entry) == allowed for entry in answers)
    assert len({Participation(study).participant for _ in range(50)}) == 50


def test_a_question_is_answered_once(study):
    one, two = Participation(study, "aaaa"), Participation(study, "aaaa")
    with pytest.raises(InputError, match="has not agreed: ask for consent first"):
        one.answer("first")
    one.agree()
    one.answer("first")
    with pytest.raises(InputError, match="question 1 has an answer already"):
        one.answer("second", number=0)
    with pytest.raises(InputError, match="question 1 has an answer already"):
        two.answer("first")  # another window, which has not looked since
    two.answer("second")
    with pytest.raises(InputError, match="question 4 is not asked now: 2 of 8"):
        one.answer("first", number=3)
    with pytest.raises(InputError, match="side 'left' is none"):
        one.answer("left")
    with pytest.raises(InputError, match="has agreed already"):
        one.agree()
    assert Participation(study, "aaaa").answered == 2
    with pytest.raises(InputError, match="question 9 is not asked now"):
        answer_all(study, "bbbb").answer("first")


_ENDLESS = """
import sys
from v2mlib.study import Participation, load_study
study = load_study(sys.argv[1])
taking = Participation(study, "crash")
taking.agree()
while taking.current:
    taking.answer("second")
    print(taking.answered, flush=True)
    sys.stdin.readline()
"""


def test_answers_survive_sigkill(study):
    worker = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(study.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for expected in (1, 2, 3):
        assert int(worker.stdout.readline()) == expected
        if expected < 3:
            worker.stdin.write("\n")
            worker.stdin.flush()
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdin.close()
    worker.stdout.close()
    taking = Participation(study, "crash")
    assert taking.answered == 3
    assert taking.current == study.order("crash")[3]
    assert (read_answers(study)["chosen"] != read_answers(study)["shown_first"]).all()


def test_an_answer_is_on_disk_when_the_next_question_comes(study, monkeypatch):
    synced, real = [], os.fsync

    def fsync(handle):
        synced.append(os.fstat(handle).st_size)
        return real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    taking = Participation(study, "sync")
    taking.agree()
    for _ in range(3):
        taking.answer("first")
        assert synced[-1] == taking.path.stat().st_size
    assert len(synced) == 2 + 3  # the file's name, once, and each line


@pytest.mark.parametrize("kept", [1, 30, -2])
def test_a_torn_last_line_is_asked_again(study, kept):
    taking = Participation(study, "torn")
    taking.agree()
    taking.answer("first")
    before = taking.path.read_bytes()
    taking.answer("first")
    last = taking.path.read_bytes()[len(before) :]
    taking.path.write_bytes(before + last[:kept])
    again = Participation(study, "torn")
    assert again.answered == 1
    assert len(read_answers(study)) == 1
    while again.current:
        again.answer("second")
    assert again.path.read_bytes().startswith(before + last[:kept])  # nothing is taken away
    table = read_answers(study)
    assert (table["chosen"] == table["shown_first"]).tolist() == [True] + [False] * 7


def test_a_whole_line_without_its_line_break_counts(study):
    taking = Participation(study, "whole")
    taking.agree()
    taking.answer("first")
    taking.path.write_bytes(taking.path.read_bytes()[:-1])
    again = Participation(study, "whole")
    assert again.answered == 1
    again.answer("second")
    assert Participation(study, "whole").answered == 2


def test_damage_that_no_crash_explains_is_refused(study):
    path = answer_all(study, "aaaa").path
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2][:20] + "\n", *lines[3:]]))
    with pytest.raises(InputError, match="is damaged in line 3: restore the file"):
        read_answers(study)
    path.write_text("".join([lines[0], *lines[2:]]))
    with pytest.raises(InputError, match="an answer 1 that was not asked so"):
        read_answers(study)
    path.write_text("".join([*lines, lines[-1]]))
    with pytest.raises(InputError, match="more than 8 answers"):
        read_answers(study)
    path.write_text("".join(lines))
    path.rename(path.with_stem("bbbb"))
    with pytest.raises(InputError, match="does not begin with its participant's consent"):
        read_answers(study)


def test_answers_of_another_study_are_refused(study, tmp_path):
    other = small_study(tmp_path / "other", plan=StudyPlan(n_items=3, picture_px=64, frames=3))
    path = answer_all(other, "aaaa").path
    shutil.copy(path, study.folder / "answers")
    with pytest.raises(InputError, match="answers to another study"):
        Participation(study, "aaaa")
    for code in ("../etc", "ab", "Upper"):
        with pytest.raises(InputError, match="is no code"):
            Participation(study, code)


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


def test_the_shipped_study_is_the_simulation_it_says(tmp_path):
    found = simulated_study()
    assert "SIMULATED" in found.card["remark"]
    again = simulate_study(found.design, seed=found.card["seed"])
    pd.testing.assert_frame_equal(found.answers, again[list(COLUMNS)], check_dtype=False)
    assert found.design == StudyDesign()
    assert found.card["truth"]["average"] == pytest.approx(average_preference(found.design))
    path = write_simulated_study(tmp_path / "study.csv", found.design)
    assert sha256(path) == found.card["data_sha256"]


def test_the_average_preference_is_that_of_many_answers():
    design = StudyDesign(n_subjects=400, n_items=400, sections=("one",), n_attention=0)
    chosen = simulate_study(design, seed=1)["chosen"].mean()
    assert chosen == pytest.approx(average_preference(design), abs=0.03)
    sleepy = StudyDesign(inattentive=1.0)
    assert average_preference(sleepy) == 0.5


def test_an_analysis_puts_the_tests_side_by_side():
    answers = simulate_study(StudyDesign(n_subjects=12, sections=("one", "two"), n_items=5))
    found = analyse_answers(answers, mixed=False)
    tests = compare_tests(found)
    assert tests["section"].tolist() == ["one", "one", "two", "two", "overall", "overall"]
    naive = tests[tests["test"] == "independent answers"].set_index("section")
    assert naive.loc["overall", "proportion"] == found.naive["proportion"].iloc[-1]
    strict = analyse_answers(answers, attention_share=1.0, mixed=False)
    failed = found.attention.query("passed < checks")["subject"].tolist()
    assert strict.left_out == failed != []
    assert strict.naive["trials"].iloc[-1] == (12 - len(failed)) * 10
    with pytest.raises(InputError, match="attention_share is 2"):
        analyse_answers(answers, attention_share=2)
    alone = analyse_answers(answers[answers["subject"] == 0], mixed=False)
    assert alone.clustered is None
    assert "1 subjects and" in alone.remarks[0]


def test_few_answers_give_finite_intervals(study):
    answer_all(study, "aaaa")
    for code in ("bbbb", "cccc"):
        taking = Participation(study, code)
        taking.agree()
        for _ in range(5):
            taking.answer("first")
    found = analyse_answers(read_answers(study), mixed=False)
    # Draws of people and questions that hold no answer at all are left out.
    assert found.clustered[["proportion", "ci_low", "ci_high"]].notna().all(axis=None)


def test_charts_hold_the_numbers_they_were_given():
    answers = simulate_study(StudyDesign(n_subjects=20, sections=("one", "two"), n_items=4))
    found = analyse_answers(answers, mixed=False)
    bars = plot_studies.section_bars(found.naive)
    assert list(bars.data[0].x) == pytest.approx(100 * found.naive["proportion"])
    assert bars.data[0].y[2].startswith("overall: ")
    assert bars.layout.shapes[0].x0 == 100 * found.naive["threshold"][0] / 80
    dots = plot_studies.question_dots(found.items, expected=0.5)
    heights = np.concatenate([trace.y for trace in dots.data])
    assert sorted(heights) == list(range(8))
    people = plot_studies.people_bars(found.subjects)
    assert sum(people.data[0].y) == 20
    assert sum(people.data[1].y) == pytest.approx(20, abs=0.3)
    rows = [("w", "t", 0.1, 0.05, 0.2)]
    rates = pd.DataFrame(rows, columns=["world", "test", "rate", "rate_ci_low", "rate_ci_high"])
    figures = [bars, dots, people, plot_studies.error_rates(rates, level=0.05)]
    for figure in [*figures, plot_studies.forest_of_tests(compare_tests(found))]:
        assert "(" in figure.layout.xaxis.title.text  # a unit
        assert len(png_bytes(figure)) > 3000
    with pytest.raises(InputError, match="different numbers of questions"):
        plot_studies.people_bars(pd.DataFrame({"chosen": [1, 2], "trials": [3, 4]}))
    with pytest.raises(InputError, match="table lacks section, chosen"):
        plot_studies.section_bars(rates)


def test_the_command_builds_reports_and_analyses(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--items", "1", "--checks", "0", "--sections", "views"]
    assert main(["study", "build", "--out", "made", *small, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["methods"] == {"a": "supervised", "b": "pretrained"}
    assert main(["study", "analyse", "made"]) == 1
    assert "made has no answers yet: let somebody take part" in capsys.readouterr().err
    for code in ("aaaa", "bbbb", "cccc"):
        answer_all(load_study("made"), code)
    assert main(["study", "status", "made", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finished"] == 3
    assert main(["study", "analyse", "made", "--no-mixed", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["naive"][-1]["trials"] == 3
    assert shown["clustered"] is None
    files = {path.name for path in Path("made/results").iterdir()}
    assert {"naive.csv", "tests.csv", "tests.png", "questions.svg", "summary.json"} <= files
    assert pd.read_csv("made/results/naive.csv")["trials"].tolist() == [3, 3]


def test_the_command_analyses_the_simulated_study_and_tables(tmp_path, capsys):
    assert main(["study", "analyse", "simulated", "--no-mixed"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("SIMULATED: nobody answered")
    assert "154 participants, 30 questions, 4,620 answers" in said.out
    path = tmp_path / "answers.csv"
    simulated_study().answers.query("subject < 9").to_csv(path, index=False)
    assert main(["study", "analyse", str(path), "--no-mixed"]) == 0
    assert "9 participants" in capsys.readouterr().out


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


def test_files_of_coefficients_can_be_compared(tmp_path, capsys):
    predictions, reference = people(n=6)
    for name, rows in {**predictions, "truth": reference}.items():
        numbers = np.zeros((len(rows.identity), 40))
        numbers[:, :5] = rows.faces / 3
        np.savez(tmp_path / f"{name}.npz", identity=rows.identity, shape_coefficients=numbers)
    files = [f"{name}={tmp_path}/{name}.npz" for name in predictions]
    words = ["--predictions", *files, "--reference", f"{tmp_path}/truth.npz", "--items", "1"]
    small = ["--sections", "views", "--checks", "0", "--out", str(tmp_path / "made")]
    started = time.perf_counter()
    assert main(["study", "build", *words, *small]) == 0
    assert time.perf_counter() - started < 30
    assert "1 questions in 1 sections" in capsys.readouterr().out
    assert load_study(tmp_path / "made").methods == {"a": "ours", "b": "others"}
