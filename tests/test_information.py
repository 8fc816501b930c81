"""Ceilings and bits: by construction, by simulation, by closed forms."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from v2mlib.checks import InputError, ShapeError
from v2mlib.stats.information import (
    attainable_r_squared,
    canonical_information_bits,
    disattenuated_r_squared,
    gaussian_information_bits,
    identity_bits,
    sex_information_bits,
)


def test_attenuation_is_what_a_simulation_shows():
    rng = np.random.default_rng(0)
    truth, noise, error = rng.normal(size=(3, 400_000))
    predictor = np.sqrt(0.5) * truth + np.sqrt(0.5) * noise
    measured = truth + np.sqrt(0.25) * error  # reliability 1 / 1.25
    seen = np.corrcoef(predictor, measured)[0, 1] ** 2
    assert seen == pytest.approx(float(attainable_r_squared(0.5, 0.8)), abs=0.005)
    assert disattenuated_r_squared(attainable_r_squared(0.3, 0.7), 0.7) == pytest.approx(0.3)


def test_information_of_blocks_is_that_of_canonical_correlations():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(7, 7))
    covariance = a @ a.T + np.eye(7)
    first, second = covariance[:3, :3], covariance[3:, 3:]
    roots = [np.linalg.inv(np.linalg.cholesky(block)) for block in (first, second)]
    rho = np.linalg.svd(roots[0] @ covariance[:3, 3:] @ roots[1].T)[1]
    assert gaussian_information_bits(covariance, 3) == pytest.approx(
        canonical_information_bits(rho), rel=1e-10
    )
    independent = np.diag([1.0, 2.0, 3.0])
    assert gaussian_information_bits(independent, 1) == 0


@pytest.mark.parametrize("d", [0.3, 1.4, 4.0])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_bits_of_the_sex_against_a_simulation(d, share):
    rng = np.random.default_rng(2)
    male = rng.random(400_000) < share
    x = rng.normal(size=male.size) + np.where(male, d / 2, -d / 2)
    likelihoods = np.stack([scipy_stats.norm.pdf(x, -d / 2), scipy_stats.norm.pdf(x, d / 2)])
    mixture = share * likelihoods[1] + (1 - share) * likelihoods[0]
    simulated = np.log2(likelihoods[male.astype(int), np.arange(x.size)] / mixture).mean()
    assert sex_information_bits(d, share) == pytest.approx(simulated, abs=0.005)
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert sex_information_bits(d, share) < entropy
    assert sex_information_bits(30, share) == pytest.approx(entropy, abs=1e-9)


def test_bits_that_name_a_person():
    assert identity_bits(301) == pytest.approx(8.2336, abs=1e-4)
    assert identity_bits(1) == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: attainable_r_squared(1.2, 0.5), InputError, "r_squared"),
        (lambda: disattenuated_r_squared(0.2, 0), InputError, "reliability is 0"),
        (lambda: gaussian_information_bits(np.eye(3), 3), ShapeError, "n_first is 3"),
        (lambda: gaussian_information_bits(np.ones((2, 2)), 1), InputError, "positive definite"),
        (lambda: gaussian_information_bits([[1, 0.5], [0, 1]], 1), InputError, "symmetric"),
        (lambda: canonical_information_bits([1.0]), InputError, "infinite bits"),
        (lambda: sex_information_bits(1, 0), InputError, "share_male"),
        (lambda: sex_information_bits(np.nan), InputError, "d is nan"),
        (lambda: identity_bits(0), InputError, "n_identities"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
