"""Skills and their intervals: closed forms, a plain bootstrap loop, worlds, refusals."""

import numpy as np
import pandas as pd
import pytest

from v2mlib.checks import InputError, ShapeError
from v2mlib.metrics.skill import SKILLS, mean_with_interval, skill_table, skills


@pytest.fixture
def errors():
    rng = np.random.default_rng(3)
    base = rng.gamma(4.0, 0.01, 200)
    noise = rng.normal(0, 0.002, (4, 200))
    factors = {"mean_face": 1.0, "sex_mean_face": 0.85, "model": 0.7, "ceiling": 0.6}
    return {name: base * factor + noise[i] for i, (name, factor) in enumerate(factors.items())}


def test_figures_are_the_quotients_of_means(errors):
    mean, sex_mean, model, ceiling = (
        np.mean(errors[name]) for name in ("mean_face", "sex_mean_face", "model", "ceiling")
    )
    found = skills(errors)
    assert found["skill"].value == pytest.approx((mean - model) / (mean - ceiling))
    assert found["within_sex_skill"].value == pytest.approx(
        (sex_mean - model) / (sex_mean - ceiling)
    )
    assert found["gain_vs_mean"].value == pytest.approx(1 - model / mean)
    assert found["gain_vs_sex_mean"].value == pytest.approx(1 - model / sex_mean)


def test_the_references_score_as_they_must(errors):
    assert skills(errors, method="mean_face")["skill"] == pytest.approx((0, 0, 0), abs=1e-12)
    assert skills(errors, method="ceiling")["skill"] == pytest.approx((1, 1, 1))
    sex_mean = skills(errors, method="sex_mean_face")
    assert sex_mean["within_sex_skill"] == pytest.approx((0, 0, 0), abs=1e-12)
    assert sex_mean["gain_vs_sex_mean"] == pytest.approx((0, 0, 0), abs=1e-12)


def test_intervals_agree_with_a_plain_loop(errors):
    rng = np.random.default_rng(11)
    n = len(errors["model"])
    loop = {name: [] for name in SKILLS}
    for _ in range(3000):
        drawn = rng.integers(0, n, n)
        mean, sex_mean, model, ceiling = (
            sum(errors[name][i] for i in drawn) / n
            for name in ("mean_face", "sex_mean_face", "model", "ceiling")
        )
        loop["skill"].append((mean - model) / (mean - ceiling))
        loop["within_sex_skill"].append((sex_mean - model) / (sex_mean - ceiling))
        loop["gain_vs_mean"].append(1 - model / mean)
        loop["gain_vs_sex_mean"].append(1 - model / sex_mean)
    found = skills(errors, n_resamples=6000)
    for name in SKILLS:
        low, high = np.quantile(loop[name], [0.025, 0.975])
        width = high - low
        assert found[name].ci_low == pytest.approx(low, abs=0.08 * width)
        assert found[name].ci_high == pytest.approx(high, abs=0.08 * width)


def test_mean_interval_is_the_normal_one_for_many_identities():
    values = np.random.default_rng(0).normal(5.0, 2.0, 4000)
    value, low, high = mean_with_interval(values)
    half = 1.96 * values.std() / np.sqrt(values.size)
    assert value == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.1 * half)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        base = rng.gamma(4.0, 1.0, 120)
        drawn = {
            name: base * factor + rng.normal(0, 0.3, 120)
            for name, factor in {
                "mean_face": 1.0,
                "sex_mean_face": 0.9,
                "model": 0.8,
                "ceiling": 0.6,
            }.items()
        }
        _, low, high = skills(drawn, n_resamples=400, seed=trial)["skill"]
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_same_seed_same_interval_and_pairing(errors):
    assert skills(errors, seed=4) == skills(errors, seed=4)
    assert skills(errors, seed=4) != skills(errors, seed=5)
    # Paired: a model that is the mean face minus a constant share has no spread in its gain.
    scaled = errors | {"model": 0.8 * errors["mean_face"]}
    assert skills(scaled)["gain_vs_mean"] == pytest.approx((0.2, 0.2, 0.2))


def test_undefined_by_law_not_by_accident(errors):
    sex_only = skills(errors, world="sex_only")
    assert np.isnan(sex_only["within_sex_skill"]).all()
    assert np.isfinite(sex_only["skill"]).all()
    null = skills(errors, world="null")
    assert np.isnan(null["skill"]).all()
    assert np.isnan(null["within_sex_skill"]).all()
    for world in (sex_only, null):
        assert np.isfinite(world["gain_vs_mean"]).all()
        assert np.isfinite(world["gain_vs_sex_mean"]).all()


def test_unbounded_interval_is_not_invented():
    rng = np.random.default_rng(0)
    few = {name: rng.normal(1, 0.3, 5) for name in ("mean_face", "sex_mean_face", "model")}
    few["ceiling"] = few["mean_face"] - 0.02 + rng.normal(0, 0.1, 5)
    assert np.isnan(skills(few)["skill"].ci_low)


def test_refusals(errors):
    with pytest.raises(InputError, match="lack ceiling"):
        skills({name: errors[name] for name in ("mean_face", "sex_mean_face", "model")})
    with pytest.raises(ShapeError, match="expected the same"):
        skills(errors | {"model": errors["model"][:-1]})
    with pytest.raises(InputError, match="not finite"):
        skills(errors | {"model": np.full(200, np.nan)})
    with pytest.raises(InputError, match="empty"):
        mean_with_interval([])
    with pytest.raises(InputError, match="world 'flat' is unknown: choose from default"):
        skills(errors, world="flat")


def test_table_has_a_row_per_measure_and_method(errors):
    scores = pd.concat(
        pd.DataFrame(
            {
                "identity": [f"id{i:05d}" for i in range(200)],
                "method": method,
                "measure": measure,
                "error": scale * values,
                "error_per_utterance": 2 * scale * values,
            }
        )
        for measure, scale in (("ear", 1.0), ("mean", 3.0))
        for method, values in errors.items()
    )
    table = skill_table(scores.sample(frac=1, random_state=0), n_resamples=500)
    assert len(table) == 8
    row = table.query("measure == 'mean' and method == 'model'").iloc[0]
    expected = skills(errors, n_resamples=500)
    assert row["error"] == pytest.approx(3 * errors["model"].mean())
    assert row["n_identities"] == 200
    for name in SKILLS:
        assert row[name] == pytest.approx(expected[name].value)
        assert row[f"{name}_ci_low"] == pytest.approx(expected[name].ci_low, rel=0.2)
    doubled = skill_table(scores, column="error_per_utterance", n_resamples=500)
    row = doubled.query("measure == 'ear' and method == 'model'").iloc[0]
    assert row["error"] == pytest.approx(2 * errors["model"].mean())
