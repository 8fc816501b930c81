"""The simulated intervals of `prove_calibration.py`, chunk by chunk.

A chunk returns ``{"ci": {(interval, n): (low, high, truth)}}``, one entry per world.
"""

import functools

import numpy as np
import pandas as pd
from calibration_worlds import columns_of, law_of, seeds, tidy

from v2mlib import metrics, phantom, stats

N_TRUTH = 200_000  # people that the true figures come from


@functools.cache
def true_figures(coupling):
    """What the intervals should hold, from 200,000 people: r, r^2 and the explained share."""
    predicted, truth, sex = columns_of(
        law_of("default", coupling), N_TRUTH, 1, seeds(6), best=False
    )
    r = stats.partial_correlation(predicted, truth, sex)["r"].iloc[0]
    return r, r**2, stats.explained_share(predicted, truth, sex)["r_squared"].iloc[0]


def correlations(coupling, n, first, count):
    """Intervals of r, its square and the explained share, on the curved ratio."""
    law = law_of("default", coupling)
    predicted, truth, sex = columns_of(
        law, n, count, seeds(7, n, round(100 * coupling), first), best=False
    )
    table = stats.partial_correlation(predicted, truth, sex)
    share = stats.explained_share(predicted, truth, sex)
    r, squared, explained = true_figures(coupling)
    kind = f"(r = {r:.2f})"
    return {
        "ci": {
            (f"partial correlation, Fisher {kind}", n): (table["ci_low"], table["ci_high"], r),
            (f"squared correlation {kind}", n): (
                table["r_squared_ci_low"], table["r_squared_ci_high"], squared,
            ),
            (f"explained share {kind}", n): (share["ci_low"], share["ci_high"], explained),
        }
    }  # fmt: skip


def _errors(law, sample, confidence):
    """Errors of the cheek ratio by method; `confidence` scales the listener's deviations."""
    truth = law.frame.ratios(sample.coefficients)[:, 3]
    by_sex = np.outer(sample.sex, law.half_difference)
    voice = sample.heard.mean(1) * phantom.hearing_reliability(sample.heard.shape[1])
    heard = law.conditional_mean(sample.voice_sex, voice)
    faces = {
        "mean_face": np.zeros_like(by_sex), "sex_mean_face": by_sex,
        "listener": by_sex + confidence * (heard - by_sex),
        "ceiling": law.conditional_mean(sample.voice_sex, sample.voice),
    }  # fmt: skip
    return {name: np.abs(law.frame.ratios(face)[:, 3] - truth) for name, face in faces.items()}


@functools.cache
def true_skills(confidence):
    """Mean errors and skills of 200,000 people."""
    law = law_of()
    means = {
        name: e.mean() for name, e in
        _errors(law, phantom.draw_sample(law, N_TRUTH, seed=seeds(8)), confidence).items()
    }  # fmt: skip
    gain, room = (
        means["sex_mean_face"] - means["listener"],
        means["sex_mean_face"] - means["ceiling"],
    )
    mean = means["mean_face"]
    return {
        "error": means["listener"], "difference": -gain,
        "skill": (mean - means["listener"]) / (mean - means["ceiling"]),
        "within_sex_skill": gain / room,
        "change_percent": -100 * gain / means["sex_mean_face"],
    }  # fmt: skip


def skills(confidence, n, first, count):
    """Intervals of `metrics.summarise`."""
    law, wide = law_of(), {}
    for number in range(first, first + count):
        sample = phantom.draw_sample(law, n, seed=seeds(9, n, number))
        for method, values in _errors(law, sample, confidence).items():
            wide[method, f"w{number}"] = values
    found = metrics.summarise(
        tidy(wide, n), baseline="sex_mean_face", ceiling="ceiling", by=["all"], n_resamples=2000,
        seed=first,
    )  # fmt: skip
    found = found[found["method"] == "listener"]
    return {
        "ci": {
            (f"summarise: {name}, skill {true_skills(confidence)['within_sex_skill']:.1f}", n): (
                found[f"{name}_ci_low"], found[f"{name}_ci_high"], truth,
            )
            for name, truth in true_skills(confidence).items()
        }
    }  # fmt: skip


def means(n, first, count):
    """Bootstrap intervals of a mean error, and of a gain (a function of two means)."""
    law = law_of()
    truth = true_errors()
    found = {}
    for number in range(first, first + count):
        sample = phantom.draw_sample(law, n, seed=seeds(10, n, number))
        errors = _errors(law, sample, 1.0)
        both = np.column_stack([errors["listener"], errors["sex_mean_face"]])
        for method in ("percentile", "bca", "studentised"):
            options = {"method": method, "n_resamples": 1000, "seed": number}
            mean = stats.bootstrap_means(both[:, :1], **options)
            gain = stats.bootstrap_means(both, _gain, **options)
            for name, table, value in (
                ("mean error", mean, truth[0]), ("gain", gain, _gain(truth)),
            ):  # fmt: skip
                ends = table.iloc[0]
                key = f"bootstrap_means: {name}, {method}", n
                found.setdefault(key, []).append((ends["ci_low"], ends["ci_high"], value))
    return {"ci": {key: tuple(np.array(rows).T) for key, rows in found.items()}}


def _gain(means):
    return 1 - means[..., 0] / means[..., 1]


@functools.cache
def true_errors():
    """Mean errors of the listener and the sex-mean face."""
    law = law_of()
    errors = _errors(law, phantom.draw_sample(law, N_TRUTH, seed=seeds(11)), 1.0)
    return np.array([errors["listener"].mean(), errors["sex_mean_face"].mean()])


def two_levels(regime, n, first, count, n_utterances=3):
    """Hierarchical bootstrap: normal values, utterances far nearer than people, or as far."""
    rng = np.random.default_rng(seeds(12, n, first, regime == "alike"))
    within = {"alike": 0.5, "noisy": 2.0}[regime]
    people = rng.standard_normal((n, 1, count))
    values = people + within * rng.standard_normal((n, n_utterances, count))
    identity = np.repeat(np.arange(n), n_utterances)
    found = {}
    for name, utterances in (("identities", False), ("identities, then utterances", True)):
        table = stats.hierarchical_bootstrap(
            values.reshape(-1, count), identity, utterances=utterances, n_resamples=1000,
            seed=first,
        )  # fmt: skip
        key = f"bootstrap of {name}; within/between sd {within:g}", n
        found[key] = table["ci_low"].to_numpy(), table["ci_high"].to_numpy(), np.zeros(count)
    return {"ci": found}


def reliabilities(n, first, count, n_utterances=3):
    """Intraclass correlations of a heard pitch; two-way forms with raters of their own level."""
    rng = np.random.default_rng(seeds(13, n, first, n_utterances))
    noise = phantom.hearing_reliability(1)[0] ** -1 - 1  # of one utterance, relative to people
    people = rng.standard_normal((n, 1, count))
    rest = noise**0.5 * rng.standard_normal((n, n_utterances, count))
    identity = np.repeat(np.arange(n), n_utterances)
    rater = np.tile(np.arange(n_utterances), n)
    found = {}

    def judge(values, forms, **options):
        table = stats.icc(values.reshape(-1, count), identity, **options)
        for form, truth in forms.items():
            part = table[table["form"] == form]
            ends = part["ci_low"].to_numpy(), part["ci_high"].to_numpy()
            found[f"{form}, {n_utterances} ratings", n] = (*ends, np.full(count, truth))

    judge(people + rest, {"icc_1_1": 1 / (1 + noise), "icc_1_k": 1 / (1 + noise / n_utterances)})
    levels = 0.3 * rng.standard_normal((1, n_utterances, count))
    absolute = 0.09 + noise
    judge(
        people + levels + rest,
        {"icc_2_1": 1 / (1 + absolute), "icc_2_k": 1 / (1 + absolute / n_utterances),
         "icc_3_1": 1 / (1 + noise), "icc_3_k": 1 / (1 + noise / n_utterances)},
        rater=rater,
    )  # fmt: skip
    nothing = stats.icc(rest.reshape(-1, count), identity)
    p = nothing.loc[nothing["form"] == "icc_1_1", "p_value"].to_numpy()
    name = f"icc: no differences between people, {n_utterances} ratings, n = {n}"
    return {"ci": found, "p": {name: p}}


def halves(n, first, count, n_photos=4):
    """Split-half reliability of four noisy measurements."""
    rng = np.random.default_rng(seeds(14, n, first))
    values = rng.standard_normal((n, 1, count)) + rng.standard_normal((n, n_photos, count))
    values = pd.DataFrame(values.reshape(-1, count))
    table = stats.split_half(
        np.repeat(np.arange(n), n_photos),
        lambda groups: values[groups >= 0].groupby(groups[groups >= 0]).mean(),
        n_splits=5, n_resamples=1000, seed=first,
    )  # fmt: skip
    truth = {"icc": 1 / 1.5, "spearman_brown": 1 / 1.25}
    columns = {"icc": ("icc_ci_low", "icc_ci_high"), "spearman_brown": ("ci_low", "ci_high")}
    return {
        "ci": {
            (f"split_half: {name}", n): (
                *(table[end].to_numpy() for end in columns[name]), np.full(count, value),
            )
            for name, value in truth.items()
        }
    }  # fmt: skip


def proportions(trials):
    """Exact coverage over all true proportions: least and mean, of both binomial intervals."""
    from scipy.stats import binom

    tests = [stats.preference_test(k, trials) for k in range(trials + 1)]
    truths = np.linspace(0.05, 0.95, 1801)
    chance = binom.pmf(np.arange(trials + 1), trials, truths[:, None])
    rows = []
    for name, low, high in (
        ("Clopper-Pearson", "ci_low", "ci_high"), ("Wilson", "wilson_low", "wilson_high"),
    ):  # fmt: skip
        ends = [np.array([getattr(test, end) for test in tests]) for end in (low, high)]
        inside = (ends[0] <= truths[:, None]) & (truths[:, None] <= ends[1])
        covered = (chance * inside).sum(1)
        rows.append({"interval": name, "n": trials, "least": covered.min(), "mean": covered.mean()})
    return rows
