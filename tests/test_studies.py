"""Clustered preferences: what is dialled in comes out, and the naive test is too sure."""

import numpy as np
import pandas as pd
import pytest

from v2mlib.checks import InputError
from v2mlib.stats.clustered import attention, breakdown, cluster_bootstrap, order_bias
from v2mlib.stats.preference import preference_test
from v2mlib.stats.studies import StudyDesign, require_answers, simulate_study


def test_the_papers_design():
    answers = simulate_study()
    questions = require_answers(answers)
    assert len(questions) == 154 * 3 * 10
    assert len(answers) == 154 * 3 * 11
    assert answers.equals(simulate_study())
    assert not answers.equals(simulate_study(seed=1))
    assert questions.groupby(["section", "item"])["subject"].nunique().eq(154).all()


def test_what_is_dialled_in_comes_out():
    calm = StudyDesign(
        n_subjects=4000, preference=0.7, subject_sd=0, item_sd=0, order_bias=0, inattentive=0
    )
    assert require_answers(simulate_study(calm))["chosen"].mean() == pytest.approx(0.7, abs=0.006)
    biased = StudyDesign(n_subjects=4000, preference=0.5, item_sd=0, subject_sd=0, order_bias=1.0)
    found = order_bias(simulate_study(biased))
    expected = 0.97 / (1 + np.exp(-1.0)) + 0.03 / 2
    assert found.proportion == pytest.approx(expected, abs=0.006)
    sleepy = attention(simulate_study(StudyDesign(n_subjects=500, n_attention=20, inattentive=0.2)))
    assert (sleepy["passed"] / sleepy["checks"] < 0.8).mean() == pytest.approx(0.2, abs=0.05)


def test_the_bootstrap_is_that_of_loops():
    answers = simulate_study(StudyDesign(n_subjects=12, sections=("one",), n_items=5), seed=3)
    questions = require_answers(answers).sample(50, random_state=0)  # some were not answered
    table = questions.set_index(["subject", "item"])["chosen"].to_dict()
    rng = np.random.default_rng(0)
    subjects, items = (questions[name].unique() for name in ("subject", "item"))
    draws = {"subject": [], "item": [], "both": []}
    for _ in range(3000):
        people, faces = rng.choice(subjects, len(subjects)), rng.choice(items, len(items))
        for way, drawn in (("both", (people, faces)), ("subject", (people, items)),
                           ("item", (subjects, faces))):  # fmt: skip
            cells = [table[s, i] for s in drawn[0] for i in drawn[1] if (s, i) in table]
            draws[way].append(np.mean(cells))
    raw = {way: np.var(values, ddof=1) for way, values in draws.items()}
    by = {"subject": raw["subject"] * 12 / 11, "item": raw["item"] * 5 / 4}
    noise = (raw["both"] - raw["subject"] - raw["item"]) * 12 / 11 * 5 / 4
    expected = by | {"both": by["subject"] + by["item"] - noise}
    for way, variance in expected.items():
        ours = cluster_bootstrap(questions, draw=way, n_resamples=20_000).iloc[0]
        assert ours.standard_error == pytest.approx(np.sqrt(variance), rel=0.06)
        assert ours.proportion == questions["chosen"].mean()
        assert ours.ci_low < ours.proportion < ours.ci_high
    with pytest.raises(InputError, match="draw 'people' is unknown"):
        cluster_bootstrap(questions, draw="people")


def test_a_full_table_has_the_variance_of_its_mean_squares():
    """Of crossed random effects: (people + questions - rest) / cells, in mean squares."""
    answers = simulate_study(StudyDesign(n_subjects=40, sections=("one",), n_items=12), seed=5)
    table = require_answers(answers).pivot(index="subject", columns="item", values="chosen")
    cells = table.to_numpy(float)
    rows, columns = cells.mean(1), cells.mean(0)
    rest = cells - rows[:, None] - columns + cells.mean()
    squares = [rows.var(ddof=1) / 40, columns.var(ddof=1) / 12]
    squares.append((rest**2).sum() / (39 * 11 * cells.size))
    variance = squares[0] + squares[1] - squares[2]
    ours = cluster_bootstrap(answers, n_resamples=60_000).iloc[0]
    assert ours.standard_error == pytest.approx(np.sqrt(variance), rel=0.03)
    df = variance**2 / (squares[0] ** 2 / 39 + squares[1] ** 2 / 11)
    assert ours.degrees_of_freedom == pytest.approx(df, rel=0.06)


def test_answers_all_alike_have_no_interval():
    alike = cluster_bootstrap(simulate_study(StudyDesign(n_subjects=5)).assign(chosen=True))
    assert alike["proportion"].eq(1).all()
    assert alike[["ci_low", "ci_high", "p_value"]].isna().all(axis=None)


def test_the_naive_test_is_too_sure_where_questions_differ():
    """At level .05, with no preference in the population of questions."""
    design = StudyDesign(preference=0.5, sections=("one",), n_items=30, order_bias=0, inattentive=0)
    naive, clustered, n_studies = 0, 0, 150
    for seed in range(n_studies):
        answers = simulate_study(design, seed=seed)
        questions = require_answers(answers)
        naive += preference_test(int(questions["chosen"].sum()), len(questions), 0.05).rejected
        clustered += cluster_bootstrap(answers, n_resamples=400).iloc[0].p_value < 0.05
    assert naive / n_studies > 0.25
    assert clustered / n_studies < 0.11


def test_breakdowns_add_up():
    answers = simulate_study(StudyDesign(n_subjects=20))
    total = int(require_answers(answers)["chosen"].sum())
    for by, n_rows in (("subject", 20), ("item", 30)):
        table = breakdown(answers, by)
        assert len(table) == n_rows
        assert table["chosen"].sum() == total
        assert ((table.ci_low <= table.proportion) & (table.proportion <= table.ci_high)).all()
    overall = cluster_bootstrap(answers, n_resamples=200).set_index("section").loc["overall"]
    assert overall.proportion == pytest.approx(total / 600)
    assert (overall.n_subjects, overall.n_items, overall.n_answers) == (20, 30, 600)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.drop(columns="item"), "lack the columns"),
        (lambda a: a[a["kind"] == "attention"], "hold no question"),
        (lambda a: a.assign(chosen=2), "more than yes and no"),
        (lambda a: pd.concat([a, a.iloc[:3]]), "3 second answers"),
    ],
)
def test_tables_that_are_none_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        cluster_bootstrap(change(simulate_study(StudyDesign(n_subjects=3))))


@pytest.mark.parametrize(
    "change",
    [{"n_subjects": 0}, {"preference": 1.0}, {"item_sd": -1}, {"sections": ("a", "a")}],
)
def test_impossible_designs_are_refused(change):
    with pytest.raises(InputError, match="study design"):
        StudyDesign(**change)


def test_too_few_clusters_are_refused():
    answers = simulate_study(StudyDesign(n_subjects=1))
    with pytest.raises(InputError, match="1 subjects"):
        cluster_bootstrap(answers)
    with pytest.raises(InputError, match="choose 'subject'"):
        breakdown(answers, "section")
