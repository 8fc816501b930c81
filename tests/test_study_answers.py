"""Answering studies: each question once, nothing personal, nothing lost in a crash."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from study_made import answer_all, small_study

from v2mlib.checks import InputError
from v2mlib.stats.studies import COLUMNS
from v2mlib.study import (
    Participation,
    StudyPlan,
    analyse_answers,
    load_study,
    read_answers,
    study_status,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return small_study(tmp_path_factory.mktemp("made") / "study")


@pytest.fixture
def study(built, tmp_path):
    """A copy of the study that a test may answer and damage."""
    shutil.copytree(built.folder, tmp_path / "study")
    return load_study(tmp_path / "study")


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


_ANSWERING = """
import sys
from v2mlib.study import Participation, load_study
taking = Participation(load_study(sys.argv[1]), "crash")
taking.agree()
while taking.current:
    taking.answer("second")
    print(taking.answered, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 4])
def test_answers_survive_sigkill(study, acknowledged):
    """Killed while it goes on writing: what was acknowledged is there, nothing by half."""
    worker = subprocess.Popen(
        [sys.executable, "-c", _ANSWERING, str(study.folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        for expected in range(1, acknowledged + 1):
            assert int(worker.stdout.readline()) == expected
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()
    taking = Participation(study, "crash")
    assert acknowledged <= taking.answered <= 8
    assert taking.current == [*study.order("crash"), None][taking.answered]
    while taking.current:
        taking.answer("second")
    table = read_answers(study)
    assert len(table) == 8
    assert (table["chosen"] != table["shown_first"]).all()


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
    assert read_answers(str(study.folder)).equals(read_answers(study))  # or its folder
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
