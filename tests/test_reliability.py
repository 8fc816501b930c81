"""Reliability: textbook values, statsmodels, known truth, the coverage of intervals."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from v2mlib.checks import InputError, ShapeError
from v2mlib.stats import icc, split_half

#: Shrout and Fleiss (1979), table 2: six people by four judges.
RATINGS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def long(table):
    n, k = table.shape
    return table.ravel(), np.repeat(np.arange(n), k), np.tile(np.arange(k), n)


def by_form(table):
    return table.set_index("form")


def people(n, k, reliability, rng, n_measures=1):
    """Ratings (person, rating, measure) whose true ICC(1,1) is `reliability`."""
    true = np.sqrt(reliability) * rng.standard_normal((n, 1, n_measures))
    return true + np.sqrt(1 - reliability) * rng.standard_normal((n, k, n_measures))


def test_the_textbook_example_and_its_published_intervals():
    values, person, judge = long(RATINGS)
    found = by_form(icc(values, person, rater=judge, limits="satterthwaite"))
    published = {
        "icc_1_1": (0.166, -0.133, 0.723),
        "icc_2_1": (0.290, 0.019, 0.761),
        "icc_3_1": (0.715, 0.342, 0.946),
        "icc_1_k": (0.443, -0.884, 0.912),
        "icc_2_k": (0.620, 0.071, 0.927),
        "icc_3_k": (0.909, 0.676, 0.986),
    }
    for form, numbers in published.items():
        got = found.loc[form, ["icc", "ci_low", "ci_high"]].to_numpy(float)
        np.testing.assert_allclose(got, numbers, atol=6e-4, err_msg=form)
    assert (found["ratings"] == 4).all()
    assert list(icc(values, person)["form"]) == ["icc_1_1", "icc_1_k"]


def test_mean_squares_are_those_of_statsmodels():
    rng = np.random.default_rng(1)
    table = people(12, 3, 0.6, rng)[..., 0] + [0.0, 0.5, -1.0]
    values, person, rater = long(table)
    data = pd.DataFrame({"y": values, "person": person, "rater": rater})
    anova = anova_lm(smf.ols("y ~ C(person) + C(rater)", data).fit())["sum_sq"]
    squares = anova.to_numpy() / [11, 2, 22]
    found = by_form(icc(values, person, rater=rater))
    rows, columns, error = squares
    third = (rows - error) / (rows + 2 * error)
    second = (rows - error) / (rows + 2 * error + 3 * (columns - error) / 12)
    assert found.loc["icc_3_1", "icc"] == pytest.approx(third, rel=1e-12)
    assert found.loc["icc_2_1", "icc"] == pytest.approx(second, rel=1e-12)
    one_way = anova_lm(smf.ols("y ~ C(person)", data).fit())
    assert found.loc["icc_1_1", "f_value"] == pytest.approx(one_way["F"].iloc[0], rel=1e-12)
    assert found.loc["icc_1_1", "p_value"] == pytest.approx(one_way["PR(>F)"].iloc[0], rel=1e-9)


def unbalanced(rng):
    counts = rng.integers(1, 6, 30)
    person = np.repeat([f"id{i:02}" for i in range(30)], counts)
    values = np.repeat(rng.standard_normal(30), counts) + 0.7 * rng.standard_normal(len(person))
    return values, person


def test_unbalanced_people_by_the_literal_formula():
    values, person = unbalanced(np.random.default_rng(2))
    groups = [values[person == name] for name in dict.fromkeys(person)]
    total, n = len(values), len(groups)
    sizes = np.array([len(group) for group in groups])
    between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups) / (n - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (total - n)
    n0 = (total - (sizes**2).sum() / total) / (n - 1)
    found = by_form(icc(values, person)).loc["icc_1_1"]
    assert found["icc"] == pytest.approx((between - within) / (between + (n0 - 1) * within))
    assert found["ratings"] == pytest.approx(n0)
    # A mixed model, another estimator of the same thing, comes out beside it.
    data = pd.DataFrame({"y": values, "person": person})
    mixed = smf.mixedlm("y ~ 1", data, groups=data["person"]).fit(reml=True)
    variance = float(mixed.cov_re.iloc[0, 0])
    assert found["icc"] == pytest.approx(variance / (variance + mixed.scale), abs=0.05)


def test_measures_go_together_and_gaps_are_left_out_one_by_one():
    rng = np.random.default_rng(3)
    values, person = unbalanced(rng)
    gaps = np.where(rng.random(len(values)) < 0.2, np.nan, values)
    both = icc(pd.DataFrame({"ear": values, "nose": gaps}), person)
    alone = icc(gaps[~np.isnan(gaps)], person[~np.isnan(gaps)])
    nose = both[both["measure"] == "nose"].drop(columns="measure").reset_index(drop=True)
    pd.testing.assert_frame_equal(nose, alone.drop(columns="measure"))
    assert not both["icc"].duplicated().any()


def test_few_raters_of_many_people_leave_the_second_form_wide():
    """The textbook's interval holds the truth far too seldom, the generalised one does not."""
    rng, trials, truth = np.random.default_rng(7), 600, 1 / 1.19
    table = rng.standard_normal((100, 1, trials)) + 0.3 * rng.standard_normal((1, 3, trials))
    table = table + 0.1**0.5 * rng.standard_normal((100, 3, trials))
    labels = np.repeat(np.arange(100), 3), np.tile(np.arange(3), 100)
    held = {}
    for limits in ("generalised", "satterthwaite"):
        found = icc(table.reshape(300, trials), labels[0], rater=labels[1], limits=limits)
        found = found[found["form"] == "icc_2_k"]
        whole = 3 * truth / (1 + 2 * truth)
        held[limits] = ((found["ci_low"] < whole) & (whole < found["ci_high"])).mean()
    assert held["satterthwaite"] < 0.9
    assert 0.92 < held["generalised"] < 0.98  # 600 trials: 0.95 +- 0.018
    with pytest.raises(InputError, match="limits 'narrow'"):
        icc(table[..., 0].ravel(), labels[0], rater=labels[1], limits="narrow")


@pytest.mark.parametrize("form", ["icc_1_1", "icc_2_1", "icc_3_1"])
def test_intervals_hold_the_truth_as_often_as_they_say(form):
    rng, truth, trials = np.random.default_rng(4), 0.6, 600
    if form == "icc_1_1":
        table = people(20, 3, truth, rng, trials)
    else:  # raters differ in level: random for the second form, which has 0.6 by their variance
        table = people(20, 8, 0.75, rng, trials)
        shift = (
            0.5 * rng.standard_normal((8, trials)) if form == "icc_2_1" else np.arange(8)[:, None]
        )
        table = table + shift
        truth = 0.75 / 1.25 if form == "icc_2_1" else 0.75
    n, k, _ = table.shape
    person, rater = np.repeat(np.arange(n), k), np.tile(np.arange(k), n)
    found = icc(table.reshape(n * k, trials), person, rater=rater)
    found = found[found["form"] == form]
    inside = (found["ci_low"] < truth) & (truth < found["ci_high"])
    assert 0.92 < inside.mean() < 0.975  # 600 trials: 0.95 +- 0.018
    assert found["icc"].mean() == pytest.approx(truth, abs=0.03)


def test_people_who_agree_with_themselves_exactly():
    found = by_form(icc([1.0, 1.0, 2.0, 2.0, 5.0, 5.0], [0, 0, 1, 1, 2, 2]))
    assert found.loc["icc_1_1", ["icc", "ci_low", "ci_high"]].tolist() == [1, 1, 1]


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(InputError, match="identity, row 1 is missing"):
        icc([1.0, 2.0, 3.0], ["a", None, "b"])
    with pytest.raises(InputError, match="1 people"):
        icc([1.0, 2.0], [0, 0])
    with pytest.raises(InputError, match="0 repeats"):
        icc([1.0, 2.0], [0, 1])
    with pytest.raises(InputError, match="one per person and rater"):
        icc([1.0, 2.0, 3.0], [0, 0, 1], rater=[0, 1, 0])
    with pytest.raises(ShapeError, match="observation=3"):
        icc([1.0, 2.0, 3.0], [0, 0])
    with pytest.raises(InputError, match="infinity"):
        icc([1.0, np.inf, 3.0], [0, 0, 1])


def averages(photos):
    """Measure groups by the mean of their photographs."""

    def measure(groups):
        table = pd.DataFrame(photos, columns=[f"line_{i}" for i in range(photos.shape[1])])
        return table[groups >= 0].groupby(groups[groups >= 0]).mean()

    return measure


def photos_of(n, k, single, rng, n_measures=1):
    return people(n, k, single, rng, n_measures).reshape(n * k, n_measures), np.repeat(range(n), k)


def test_halves_are_of_equal_size_and_never_share_a_photograph():
    seen, identity = [], np.array(["b"] * 5 + ["a"] * 2 + ["c"] * 4 + ["alone"])

    def measure(groups):
        seen.append(groups)
        return pd.DataFrame({"x": np.random.default_rng(len(seen)).standard_normal(6)})

    table = split_half(identity, measure, n_splits=8, n_resamples=10)
    for groups in seen:
        sizes = pd.crosstab(identity, groups)
        assert sizes.loc["b", [-1, 0, 1]].tolist() == [1, 2, 2]
        assert sizes.loc["a", [2, 3]].tolist() == [1, 1]
        assert sizes.loc["c", [4, 5]].tolist() == [2, 2]
        assert sizes.loc["alone", -1] == 1
    assert len({tuple(groups) for groups in seen}) > 4
    assert table.loc[0, ["n_identities", "n_left_out"]].tolist() == [3, 1]
    assert table.loc[0, "photos_per_half"] == pytest.approx(5 / 3)


def test_a_known_reliability_is_recovered_at_every_number_of_photographs():
    photos, identity = photos_of(1500, 8, 0.3, np.random.default_rng(5), 2)
    for n_photos in (2, 4, 8):
        half = n_photos // 2
        expected = 0.3 / (0.3 + 0.7 / half), 0.3 / (0.3 + 0.7 / n_photos)
        table = split_half(
            identity, averages(photos), n_photos=n_photos, n_splits=5, n_resamples=200
        )
        assert list(table["measure"]) == ["line_0", "line_1"]
        np.testing.assert_allclose(table["icc"], expected[0], atol=0.035)
        np.testing.assert_allclose(table["spearman_brown"], expected[1], atol=0.035)
        np.testing.assert_allclose(table["sem"], np.sqrt(0.7 / n_photos), rtol=0.05)
        assert (table["ci_low"] < table["spearman_brown"]).all()


def test_one_split_gives_the_one_way_coefficient():
    photos, identity = photos_of(40, 2, 0.5, np.random.default_rng(6))
    table = split_half(identity, averages(photos), n_splits=1, n_resamples=50)
    assert table.loc[0, "icc"] == pytest.approx(icc(photos, identity).loc[0, "icc"], rel=1e-12)


def test_noise_alone_has_no_reliability():
    photos, identity = photos_of(200, 6, 0.0, np.random.default_rng(7))
    table = split_half(identity, averages(photos), n_resamples=500)
    assert table.loc[0, "icc_ci_low"] < 0 < table.loc[0, "icc_ci_high"]


def test_the_bootstrap_interval_holds_the_truth_about_as_often_as_it_says():
    rng, trials, truth = np.random.default_rng(8), 200, 0.5 / (0.5 + 0.5 / 4)
    photos, identity = photos_of(50, 4, 0.5, rng, trials)
    table = split_half(identity, averages(photos), n_splits=6, n_resamples=400)
    inside = (table["ci_low"] < truth) & (truth < table["ci_high"])
    assert 0.88 < inside.mean() < 0.985  # 200 trials; a percentile interval is a little narrow


def test_halves_that_cannot_be_dealt_are_refused():
    identity, measure = np.repeat(range(5), 4), averages(np.zeros((20, 1)))
    with pytest.raises(InputError, match="cannot be halved"):
        split_half(identity, measure, n_photos=3)
    with pytest.raises(InputError, match="0 people with 6 photographs"):
        split_half(identity, measure, n_photos=6)
    with pytest.raises(InputError, match="gave 4 rows for 10 groups"):
        split_half(identity, lambda groups: pd.DataFrame({"x": range(4)}))
