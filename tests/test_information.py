"""Ceilings and bits: by construction, by simulation, by closed forms."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from v2mlib import phantom, stats
from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import load_face_model
from v2mlib.phantom.attributes import VOICE_ATTRIBUTES
from v2mlib.stats.information import (
    attainable_r_squared,
    canonical_information_bits,
    disattenuated_r_squared,
    gaussian_information_bits,
    identity_bits,
    sex_information_bits,
    voice_information_bits,
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


@pytest.fixture(scope="module")
def laws():
    model = load_face_model("phantom")
    return {name: phantom.build_law(model, name) for name in ("teaching", "published")}


def test_shares_of_the_law_and_of_reliability_agree(laws):
    """Attenuation of what is heard, line by line, is what the law says of noisy sessions."""
    law = laws["teaching"]
    sample = phantom.draw_sample(law, 4000, n_utterances=3, seed=1)
    reliability = phantom.hearing_reliability(3)
    for k in range(4):
        found = stats.icc(sample.heard[:, :, k].ravel(), np.repeat(np.arange(4000), 3))
        assert found.set_index("form").loc["icc_1_k", "icc"] == pytest.approx(
            reliability[k], abs=0.01
        )
    # One attribute alone: the law's share times the heard attribute's reliability.
    shares = phantom.attainable_shares(law, n_utterances=3).set_index("measure")
    table = law.table[law.table["quantity"] == "ratio"].set_index("line")
    for line in ("ear", "cheek"):
        each = [table.loc[line, f"r_{name}"] ** 2 for name in VOICE_ATTRIBUTES]
        expected = attainable_r_squared(each, 1.0, reliability_predictor=reliability).sum()
        assert shares.loc[f"{line}_ratio", "r_squared_heard"] == pytest.approx(expected)
        assert shares.loc[f"{line}_ratio", "r_squared"] == pytest.approx(0.5)
    assert shares["r_squared"].to_numpy() == pytest.approx(law.table["r_squared"].to_numpy())


def test_attainable_shares_are_reached_and_not_passed(laws):
    """The best listener on simulated people, references measured twice with error."""
    law = laws["teaching"]
    sample = phantom.draw_sample(law, 20_000, n_utterances=3, seed=2)
    truth = phantom.measured_lines(law, sample.coefficients)
    best = law.conditional_mean(
        sample.voice_sex, sample.heard.mean(1) * phantom.hearing_reliability(3)
    )
    guess = phantom.measured_lines(law, best)
    rng = np.random.default_rng(0)
    twice = truth.to_numpy()[:, None] + 0.7 * truth.std().to_numpy() * rng.normal(
        size=(len(truth), 2, truth.shape[1])
    )
    within = twice - np.where(
        sample.sex[:, None, None] > 0, twice[sample.sex > 0].mean(0), twice[sample.sex < 0].mean(0)
    )
    repeated = stats.icc(within.reshape(-1, truth.shape[1]), np.repeat(np.arange(len(truth)), 2))
    reliability = repeated.loc[repeated["form"] == "icc_1_k", "icc"].to_numpy()
    ceiling = phantom.attainable_shares(
        law, n_utterances=3,
        reference_reliability=dict(zip(truth.columns, reliability, strict=True)),
    )  # fmt: skip
    exact = stats.partial_correlation(guess, truth, sample.sex)["r_squared"]
    seen = stats.partial_correlation(guess, twice.mean(1), sample.sex)["r_squared"]
    assert exact.to_numpy() == pytest.approx(ceiling["r_squared_heard"].to_numpy(), abs=0.02)
    assert seen.to_numpy() == pytest.approx(ceiling["r_squared_seen"].to_numpy(), abs=0.02)
    recovered = disattenuated_r_squared(seen, reliability)
    assert recovered == pytest.approx(exact.to_numpy(), abs=0.02)


def test_bits_of_a_voice_by_closed_form_and_by_counting(laws):
    law = laws["teaching"]
    found = voice_information_bits(*phantom.voice_link(law))
    assert found.within_sex == pytest.approx(
        2.0, abs=0.02
    )  # four halves of a line: half a bit each
    assert found.sex < 1
    # The same from the joint covariance of voice and whitened face.
    joint = np.block([[np.eye(4), law.voice_link.T], [law.voice_link, np.eye(law.n_shape)]])
    assert gaussian_information_bits(joint, 4) == pytest.approx(found.within_sex, abs=1e-9)
    # And counted: mean log2 density ratio over simulated people.
    sample = phantom.draw_sample(law, 100_000, seed=3)
    whitened = sample.coefficients - np.outer(sample.sex, law.half_difference)
    whitened = np.linalg.solve(law.within_root, whitened.T).T
    spread = np.eye(4) - law.voice_link.T @ law.voice_link
    given = scipy_stats.multivariate_normal(cov=spread).logpdf(
        sample.voice - whitened @ law.voice_link
    )
    alone = scipy_stats.multivariate_normal(cov=np.eye(4)).logpdf(sample.voice)
    assert np.mean(given - alone) / np.log(2) == pytest.approx(found.within_sex, abs=0.02)


def test_lines_carry_no_more_bits_than_the_face(laws):
    law = laws["teaching"]
    names = ["ear_ratio", "forehead_ratio", "midline_ratio", "cheek_ratio"]
    ratios = phantom.voice_link(law, measures=names)
    face = phantom.voice_link(law)
    assert ratios.correlations == pytest.approx(np.full(4, 0.5**0.5), abs=1e-6)
    assert ratios.sex_distance < face.sex_distance
    one = phantom.voice_link(law, measures=["cheek_ratio"])
    assert one.correlations == pytest.approx([0.5**0.5])
    cheek = law.table.set_index(["quantity", "line"]).loc[("ratio", "cheek"), "d"]
    assert one.sex_distance == pytest.approx(abs(cheek))
    noisy = phantom.voice_link(law, n_utterances=1)
    assert (noisy.correlations < face.correlations).all()
    # Canonical correlations of simulated people.
    sample = phantom.draw_sample(law, 50_000, seed=4)
    lines = phantom.measured_lines(law, sample.coefficients)[names[:2]].to_numpy()
    lines = lines - np.where(sample.sex[:, None] > 0, lines[::2].mean(0), lines[1::2].mean(0))
    q = [np.linalg.qr(block)[0] for block in (lines, sample.voice - sample.voice.mean(0))]
    seen = np.linalg.svd(q[0].T @ q[1])[1]
    two = phantom.voice_link(law, measures=names[:2]).correlations
    assert seen == pytest.approx(two, abs=0.02)


def test_bits_point_out_people(laws):
    """Sex alone halves the candidates; the null leaves a guess; noise costs."""
    model = load_face_model("phantom")
    found = {
        world: phantom.identification_rate(phantom.build_law(model, world=world), 60, n_rounds=30)
        for world in ("default", "sex_only", "null")
    }
    assert found["null"][0] == pytest.approx(1 / 60, abs=5 * found["null"][1])
    # Of a sex all faces fit alike, but for how male or female they look.
    assert found["sex_only"][0] == pytest.approx(2 / 60, abs=5 * found["sex_only"][1])
    assert 4 / 60 < found["default"][0] < 0.5
    noisy, error = phantom.identification_rate(laws["teaching"], 60, n_utterances=1, n_rounds=30)
    assert noisy < found["default"][0] - 2 * error
    with pytest.raises(InputError, match="too few"):
        phantom.identification_rate(laws["teaching"], 1)


def test_worlds_and_laws_differ_as_they_must(laws):
    model = load_face_model("phantom")
    sex_only = phantom.voice_link(phantom.build_law(model, world="sex_only"))
    assert voice_information_bits(*sex_only).within_sex == 0
    assert sex_only.sex_distance > 2
    null = phantom.voice_link(phantom.build_law(model, world="null"))
    assert voice_information_bits(*null) == (0, 0, 0)
    published = voice_information_bits(*phantom.voice_link(laws["published"]))
    assert 0 < published.within_sex < 0.02
    null = phantom.draw_sample(phantom.build_law(model, world="null"), 2000, seed=0)
    assert abs(np.corrcoef(null.sex, null.voice_sex)[0, 1]) < 0.1
    with pytest.raises(InputError, match="choose from"):
        phantom.voice_link(laws["teaching"], measures=["ear"])
    with pytest.raises(InputError, match="follow from each other"):
        phantom.voice_link(laws["teaching"], measures=["ear_ratio", "ear_ratio"])
    with pytest.raises(InputError, match="no share"):
        phantom.attainable_shares(laws["teaching"], reference_reliability=1.5)
    with pytest.raises(InputError, match="not positive"):
        phantom.hearing_reliability(0)
    with pytest.raises(InputError, match="too few"):
        phantom.draw_sample(laws["teaching"], 1)
    with pytest.raises(ShapeError, match="features have shape"):
        phantom.fit_listener(np.ones((3, 1)), np.ones((4, 1)))
