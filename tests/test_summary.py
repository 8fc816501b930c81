"""Summaries of errors over identities: by scipy, by simulation; skills; refusals."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from v2mlib import metrics
from v2mlib.checks import InputError


def made_table(errors, sex="m"):
    rows = [
        (f"id{i}", sex if isinstance(sex, str) else sex[i], method, "nme", "mean", value, 2 * value)
        for method, values in errors.items()
        for i, value in enumerate(values)
    ]
    columns = ["identity", "sex", "method", "measure", "definition", "error"]
    return pd.DataFrame(rows, columns=[*columns, "error_per_utterance"])


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    base = rng.gamma(4.0, 0.01, 120)
    factors = {"mean_face": 1.0, "sex_mean_face": 0.85, "ours": 0.7, "ceiling": 0.6}
    return {name: base * f + rng.normal(0, 0.002, 120) for name, f in factors.items()}


def test_intervals_agree_with_scipy(drawn):
    found = metrics.summarise(made_table(drawn), baseline="mean_face", by=["all"],
                              n_resamples=20_000).set_index("method")  # fmt: skip
    ours, mean = drawn["ours"], drawn["mean_face"]
    options = {"n_resamples": 20_000, "method": "percentile", "paired": True, "vectorized": True}
    for name, data, rule in (
        ("error", (ours,), lambda a, axis: a.mean(axis)),
        ("difference", (ours, mean), lambda a, b, axis: (a - b).mean(axis)),
        ("change_percent", (ours, mean),
         lambda a, b, axis: 100 * (a.mean(axis) / b.mean(axis) - 1)),
    ):  # fmt: skip
        known = scipy.stats.bootstrap(data, rule, rng=np.random.default_rng(9), **options)
        low, high = known.confidence_interval
        row = found.loc["ours"]
        assert row[name] == pytest.approx(float(rule(*data, axis=0)))
        assert row[f"{name}_ci_low"] == pytest.approx(low, abs=0.04 * (high - low))
        assert row[f"{name}_ci_high"] == pytest.approx(high, abs=0.04 * (high - low))
    assert (
        found.loc["mean_face", ["difference", "difference_ci_low", "change_percent"]] == 0
    ).all()


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Skewed errors whose expectation is known: base * 0.8 + noise, base with mean 4."""
    expected = {"error": 3.2, "difference": -0.8, "change_percent": -20.0}
    rng, found = np.random.default_rng(5), []
    for draws in range(20):  # of identities, each for twenty measures at once
        tables = []
        for measure in range(20):
            base = rng.gamma(4.0, 1.0, 100)
            errors = {"mean_face": base, "ours": 0.8 * base + rng.normal(0, 0.5, 100)}
            tables.append(made_table(errors).assign(measure=f"measure {measure}"))
        summary = metrics.summarise(
            pd.concat(tables), baseline="mean_face", by=["all"], n_resamples=300, seed=draws
        )
        found.append(summary[summary["method"] == "ours"])
    rows = pd.concat(found)
    assert len(rows) == 400
    for name, truth in expected.items():
        covered = rows[f"{name}_ci_low"].le(truth) & rows[f"{name}_ci_high"].ge(truth)
        assert 0.91 <= covered.mean() <= 0.98, (name, covered.mean())


def test_utterances_do_not_narrow_the_interval():
    """Thirty utterances of one identity are one identity: three identities stay three."""
    values = np.array([1.0, 2.0, 6.0])
    row = metrics.summarise(made_table({"ours": values}), by=["all"]).iloc[0]
    # A third of 27 draws of three are (1,1,1), ..., the extreme means have probability 1/27.
    assert (row["error_ci_low"], row["error_ci_high"]) == (1.0, 6.0)


def test_groups_are_those_people(drawn):
    sex = ["m" if i % 3 else "f" for i in range(120)]
    table = made_table(drawn, sex)
    found = metrics.summarise(table, baseline="mean_face").set_index(["group", "method"])
    for group in ("m", "f"):
        chosen = np.array([s == group for s in sex])
        row = found.loc[(group, "ours")]
        assert row["n_identities"] == chosen.sum()
        assert row["error"] == pytest.approx(drawn["ours"][chosen].mean())
    assert found.loc[("all", "ours"), "n_identities"] == 120
    each = metrics.summarise(table, by=["f"], column="error_per_utterance").set_index("method")
    assert each.loc["ours", "error"] == pytest.approx(2 * found.loc[("f", "ours"), "error"])


def test_skills_and_worlds(drawn):
    mean = {name: values.mean() for name, values in drawn.items()}
    found = metrics.summarise(made_table(drawn), ceiling="ceiling", by=["all"]).set_index("method")
    row = found.loc["ours"]
    assert row["skill"] == pytest.approx(
        (mean["mean_face"] - mean["ours"]) / (mean["mean_face"] - mean["ceiling"])
    )
    assert row["within_sex_skill"] == pytest.approx(
        (mean["sex_mean_face"] - mean["ours"]) / (mean["sex_mean_face"] - mean["ceiling"])
    )
    assert found.loc["ceiling", ["skill_ci_low", "skill_ci_high"]].tolist() == [1.0, 1.0]
    null = metrics.summarise(made_table(drawn), ceiling="ceiling", by=["all"], world="null")
    assert null[["skill", "skill_ci_low", "within_sex_skill"]].isna().all(axis=None)
    assert null["error"].notna().all()


def test_summary_refusals(drawn):
    table = made_table(drawn)
    for match, given, options in (
        ("lacks the methods", table, {"baseline": "nobody"}),
        ("lacks the methods", table[table["method"] != "sex_mean_face"], {"ceiling": "ceiling"}),
        ("group 'f' has none of 120 identities", table, {}),
        ("lacks the columns", table.drop(columns="sex"), {}),
        ("world 'flat' is unknown", table, {"world": "flat"}),
        (r"level 95 is not in \(0, 1\): 0.95", table, {"level": 95}),
        ("n_resamples 0 is not positive", table, {"n_resamples": 0}),
        (r"no finite error for 1 of 120 identities \(id0; ours", table.drop(240), {"by": ["all"]}),
        ("several errors of one kind for id0", pd.concat([table, table[:1]]), {"by": ["all"]}),
    ):
        with pytest.raises(InputError, match=match):
            metrics.summarise(given, **options)
