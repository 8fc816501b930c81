"""What answers say: the simulated study, tests side by side, charts, the command."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_made import answer_all, small_study

from v2mlib import plot_studies
from v2mlib.checks import InputError
from v2mlib.cli import main
from v2mlib.files import sha256
from v2mlib.plot_pictures import png_bytes
from v2mlib.stats.studies import COLUMNS, StudyDesign, simulate_study
from v2mlib.study import (
    Participation,
    analyse_answers,
    load_study,
    read_answers,
    simulated_study,
)
from v2mlib.study.analysing import compare_tests
from v2mlib.study.simulated import average_preference, write_simulated_study


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


def test_few_answers_give_finite_intervals(tmp_path):
    study = small_study(tmp_path / "study")
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
