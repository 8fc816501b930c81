"""The mixed logistic regression against a literal Laplace approximation and known truths."""

import numpy as np
import pytest
from scipy.optimize import OptimizeResult
from scipy.special import expit, logit

from v2mlib.checks import InputError
from v2mlib.stats.mixed import (
    _Likelihood,
    degrees_of_freedom,
    mixed_preference,
    mixed_preference_table,
    signed_t,
)
from v2mlib.stats.studies import StudyDesign, require_answers, simulate_study

pytest.importorskip("gpboost", reason="the extra 'study' is not installed")


def laplace(questions, bias, preference, subject_sd, item_sd):
    """Negative log-likelihood, written out: mode of the effects, curvature at the mode."""
    subject = questions.groupby("subject").ngroup().to_numpy()
    item = questions.groupby(["section", "item"]).ngroup().to_numpy()
    n, n_subjects, n_items = len(questions), subject.max() + 1, item.max() + 1
    design = np.zeros((n, n_subjects + n_items))
    design[np.arange(n), subject] = 1
    design[np.arange(n), n_subjects + item] = 1
    sds = np.r_[np.full(n_subjects, subject_sd), np.full(n_items, item_sd)]
    chosen = questions["chosen"].to_numpy(float)
    fixed = preference + bias * np.where(questions["shown_first"], 1, -1)
    effects = np.zeros(len(sds))
    for _ in range(50):
        p = expit(fixed + design @ effects)
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + np.diag(1 / sds**2)
        effects = effects + np.linalg.solve(curvature, design.T @ (chosen - p) - effects / sds**2)
    p = expit(fixed + design @ effects)
    curvature = design.T @ (design * (p * (1 - p))[:, None]) + np.diag(1 / sds**2)
    log_joint = np.log(np.where(chosen == 1, p, 1 - p)).sum() - 0.5 * (effects**2 / sds**2).sum()
    return -log_joint + np.log(sds).sum() + 0.5 * np.linalg.slogdet(curvature)[1]


@pytest.fixture(scope="module")
def answers():
    design = StudyDesign(n_subjects=30, sections=("one",), n_items=8, inattentive=0)
    return simulate_study(design, seed=2)


def test_the_likelihood_is_that_of_a_literal_laplace(answers):
    questions = require_answers(answers)
    likelihood = _Likelihood(questions)
    for point in ((0.1, 0.3, 0.5, 0.8), (0.0, -0.4, 1.2, 0.3), (-0.3, 1.0, 0.05, 2.0)):
        ours = likelihood([*point[:2], *np.log(point[2:])])
        assert ours == pytest.approx(laplace(questions, *point), rel=1e-6)


def test_the_estimate_maximises_the_literal_likelihood(answers):
    questions = require_answers(answers)
    fit = mixed_preference(answers)
    preference = np.log(fit.proportion / (1 - fit.proportion))
    best = (fit.order_bias, preference, fit.subject_sd, fit.item_sd)
    height = laplace(questions, *best)
    assert height == pytest.approx(-fit.log_likelihood, abs=1e-5)
    for place in range(4):
        for step in (-0.05, 0.05):
            moved = list(best)
            moved[place] += step
            if min(moved[2:]) > 0:
                assert laplace(questions, *moved) > height
    for end in (fit.ci_low, fit.ci_high):
        there = np.log(end / (1 - end))
        held = min(
            laplace(questions, fit.order_bias + d, there, s, i)
            for d in (-0.03, 0, 0.03)
            for s in fit.subject_sd * np.array([0.9, 1, 1.1])
            for i in fit.item_sd * np.array([0.9, 1, 1.1, 1.2, 1.4, 1.6])
        )
        assert held - height == pytest.approx(1.92, abs=0.15)


def test_what_is_dialled_in_comes_out():
    design = StudyDesign(
        n_subjects=120,
        sections=("one",),
        n_items=25,
        preference=0.65,
        subject_sd=0.6,
        item_sd=0.9,
        order_bias=0.3,
        inattentive=0,
    )
    likelihood = _Likelihood(require_answers(simulate_study(design, seed=1)))
    best = likelihood.maximise()
    bias, _, *log_sds = best.x
    # The spread of these 120 people is 0.507.
    assert np.exp(log_sds) == pytest.approx([0.507, 0.9], abs=0.12)
    assert bias == pytest.approx(0.3, abs=0.12)
    held = likelihood.maximise(logit(0.65), start=best.x)
    assert abs(signed_t(best, held, 24)) < 2.06  # the truth is in the 95 % interval


def test_a_second_maintained_implementation_agrees():
    """statsmodels' Bayesian mixed GLM (variational, weak priors): near, not the same estimator."""
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    design = StudyDesign(n_subjects=80, sections=("one",), n_items=24, inattentive=0)
    questions = require_answers(simulate_study(design, seed=4))
    ours = _Likelihood(questions).maximise().x
    effects = [np.eye(80)[questions["subject"]], np.eye(24)[questions["item"]]]
    fixed = np.column_stack([np.ones(80 * 24), np.where(questions["shown_first"], 1.0, -1.0)])
    theirs = BinomialBayesMixedGLM(
        questions["chosen"].to_numpy(float), fixed, np.hstack(effects),
        ident=np.repeat([0, 1], [80, 24]), vcp_p=2, fe_p=10,
    ).fit_vb()  # fmt: skip
    assert theirs.fe_mean == pytest.approx([ours[1], ours[0]], abs=0.02)
    assert theirs.vcp_mean == pytest.approx(ours[2:], abs=0.06)


def test_a_likelihood_ratio_is_read_as_students_t():
    """Of the mean of n normal values: exactly the t of the textbook."""
    values = np.random.default_rng(0).normal(0.4, 1.0, 10)
    t = values.mean() / (values.std(ddof=1) / np.sqrt(10))
    heights = [5 * np.log(((values - centre) ** 2).mean()) for centre in (values.mean(), 0.0)]
    best, null = (
        OptimizeResult(x=[0, centre], fun=height)
        for centre, height in zip((values.mean(), 0.0), heights, strict=True)
    )
    assert signed_t(best, null, 9) == pytest.approx(t, rel=1e-12)
    best.x[1] = -best.x[1]
    assert signed_t(best, null, 9) == pytest.approx(-t, rel=1e-12)
    assert signed_t(OptimizeResult(x=[0, 1], fun=-1e6), null, 2) < np.inf


def test_few_questions_that_differ_leave_few_degrees_of_freedom():
    found = {}
    for item_sd in (1.5, 0):
        design = StudyDesign(n_subjects=60, sections=("one",), n_items=6, item_sd=item_sd)
        questions = require_answers(simulate_study(design))
        likelihood = _Likelihood(questions)
        best = likelihood.maximise()
        found[item_sd] = degrees_of_freedom(best.x, likelihood.sizes, len(questions))
    assert 4.5 < found[1.5] < 9
    assert found[0] > 30


def test_sections_and_refusals(answers):
    two = simulate_study(StudyDesign(n_subjects=12, sections=("a", "b"), n_items=5), seed=3)
    assert mixed_preference_table(two)["section"].tolist() == ["a", "b", "overall"]
    with pytest.raises(InputError, match="all alike"):
        mixed_preference(answers.assign(chosen=True))
    with pytest.raises(InputError, match="1 subjects"):
        mixed_preference(answers[answers["subject"] == 0])


def test_a_missing_library_is_named(answers, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gpboost", None)
    with pytest.raises(InputError, match=r"v2mlib\[study\]"):
        mixed_preference(answers)
