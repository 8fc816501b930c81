"""Power in closed form: published tables, another library, simulation."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from v2mlib.checks import InputError
from v2mlib.stats.power import (
    detectable_correlation,
    identities_for_correlation,
    power_correlation,
    power_paired,
    power_regression,
)


def test_published_sample_sizes():
    """Cohen 1992, table 2 (r at .05 two-sided, 80 %); G*Power's exact bivariate normal model."""
    cohen = {0.1: 783, 0.3: 85, 0.5: 28}
    gpower = {0.1: 782, 0.3: 84, 0.5: 29}
    for r, n in cohen.items():
        assert identities_for_correlation(r) == pytest.approx(n, abs=2)
    for r, n in gpower.items():
        assert identities_for_correlation(r, exact=True) == n
    n = identities_for_correlation(0.3, exact=True)
    assert power_correlation(0.3, n - 1, exact=True) < 0.8 <= power_correlation(0.3, n, exact=True)


def test_the_correlation_that_301_people_show():
    r = detectable_correlation(301, n_given=1)
    assert r == pytest.approx(0.16, abs=0.005)
    assert float(power_correlation(r, 301, n_given=1)) == pytest.approx(0.8, abs=1e-4)
    assert identities_for_correlation(r, n_given=1) in (301, 302)
    assert float(power_correlation(0, 50)) == pytest.approx(0.05)
    assert float(power_correlation(0, 50, exact=True)) == pytest.approx(0.05)
    assert float(power_correlation(-0.3, 50)) == float(power_correlation(0.3, 50))


def test_fisher_and_exact_agree_and_simulation_decides():
    rng = np.random.default_rng(3)
    r, n = 0.35, 40
    x, noise = rng.normal(size=(2, 20_000, n))
    y = r * x + np.sqrt(1 - r**2) * noise
    simulated = np.mean(scipy_stats.pearsonr(x, y, axis=1).pvalue < 0.05)
    assert simulated == pytest.approx(float(power_correlation(r, n, exact=True)), abs=0.012)
    grid = np.array([50, 100, 301, 1000])
    fisher, exact = (power_correlation(0.2, grid, exact=way) for way in (False, True))
    assert fisher == pytest.approx(exact, abs=0.01)


def test_partial_correlation_costs_as_many_people_as_are_given():
    plain = power_correlation(0.2, [99, 199], exact=True)
    given = power_correlation(0.2, [100, 200], n_given=1, exact=True)
    assert given == pytest.approx(plain)


def test_paired_power_is_that_of_statsmodels():
    theirs = TTestPower()
    for effect, n, level in ((0.2, 50, 0.05), (0.5, 34, 0.05), (-0.3, 120, 0.01)):
        expected = theirs.power(effect, n, level, alternative="two-sided")
        assert float(power_paired(effect, n, level=level)) == pytest.approx(expected, rel=1e-6)
    assert float(power_paired(0, 10)) == pytest.approx(0.05)


def test_regression_power_against_the_manual_and_a_simulation():
    """G*Power 3.1's manual, multiple regression: f2 = .1111, 95 people, 5 predictors: .673586."""
    assert float(power_regression(0.1, 95, n_predictors=5)) == pytest.approx(0.673586, abs=2e-6)
    # One predictor given another: the F test is the two-sided t test.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4))
    x -= x.mean(0)
    shift = x @ np.array([0.2, -0.1, 0.15, 0.1])
    share = float(shift @ shift / (shift @ shift + 80))  # population share at these x
    y = shift[:, None] + rng.normal(size=(80, 4000))
    y -= y.mean(0)
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    f = ((fitted**2).sum(0) / 4) / (((y - fitted) ** 2).sum(0) / 75)
    simulated = np.mean(scipy_stats.f.sf(f, 4, 75) < 0.05)
    assert float(power_regression(share, 80, n_predictors=4)) == pytest.approx(simulated, abs=0.025)
    assert float(power_regression(0.0, 80, n_predictors=4)) == 0.05
    given = power_regression(0.1, 97, n_predictors=5, n_given=2)
    assert 0.65 < float(given) < 0.7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: detectable_correlation(3), "n_identities"),
        (lambda: detectable_correlation(30, power=1), "power"),
        (lambda: power_correlation(1.0, 30), "reaches 1"),
        (lambda: power_correlation(0.1, 4, n_given=1), "n_identities"),
        (lambda: power_correlation(0.1, 30, level=0), "level"),
        (lambda: identities_for_correlation(0.0), "too small"),
        (lambda: power_paired(0.1, 1), "n_identities"),
        (lambda: power_regression(1.0, 30, n_predictors=2), "no share"),
        (lambda: power_regression(0.1, 6, n_predictors=5), "5 predictors"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_certain_detection_is_a_number():
    """Far tails of a noncentral t are NaN in scipy."""
    for r, n in ((0.3, 1000), (0.5, 301), (0.9, 1000)):
        assert float(power_correlation(r, n, exact=True)) == pytest.approx(1, abs=1e-9)
    assert (power_paired([0.3, 0.5, 2.0], [1000, 301, 1000]) > 0.999).all()
