"""The simulated worlds of `prove_calibration.py`: tests, chunk by chunk.

A chunk returns arrays by name, one entry per world: p-values ``{"p": {test: (world,)}}``. Where
a function takes many measures at once, worlds are handed to it as measures.
"""

import functools

import numpy as np
import pandas as pd

from v2mlib import phantom, stats
from v2mlib.faces import load_face_model

N_TEST, N_TRAIN, N_DEALS = 301, 480, 999
LINE = "cheek_ratio"
SHARE = 0.5  # of each ratio's variance, explained by the voice in the teaching law


@functools.cache
def law_of(world="default", coupling=1.0):
    """The teaching law on the phantom face."""
    return phantom.build_law(load_face_model("phantom"), world=world, coupling=coupling)


def seeds(*key):
    """Seeds that differ by what they are for."""
    return np.random.SeedSequence(2024, spawn_key=key)


def nulls(world, first, count):
    """Worlds in which a voice tells nothing more than the sex ("sex_only"), or nothing."""
    found = []
    for number in range(first, first + count):
        train_seed, test_seed = seeds(1, world == "null", number).spawn(2)
        law = law_of(world)
        train = phantom.draw_sample(law, N_TRAIN, seed=train_seed)
        test = phantom.draw_sample(law, N_TEST, seed=test_seed)
        listen = phantom.fit_listener(
            train.features, phantom.measured_lines(law, train.coefficients)
        )
        truth = phantom.measured_lines(law, test.coefficients)
        predicted = pd.DataFrame(listen(test.features), columns=truth.columns)
        found.append(_tests_of(predicted, truth, test.sex, number))
    return {"p": {name: np.array([each[name] for each in found]) for name in found[0]}}


def _tests_of(predicted, truth, sex, number):
    p, column = {}, list(truth).index(LINE)
    for name, strata in (("plain", None), ("within sex", sex)):
        for statistic in ("error", "correlation"):
            test = stats.pairing_test(
                predicted, truth, strata, statistic=statistic, n_permutations=N_DEALS, seed=number
            )
            p[f"permutation, {name}, {statistic}"] = test.p_value[column]
            p[f"permutation, {name}, {statistic}: maximum over 17"] = test.p_value_max.min()
    table = stats.adjust(pd.DataFrame({"p_value": test.p_value}))
    for method in ("holm", "bh", "by"):
        p[f"any of 17 within sex, {method}"] = table[f"p_value_{method}"].min()
    for name, given in (("correlation", None), ("partial correlation given sex", sex)):
        table = stats.partial_correlation(predicted, truth, given)
        p[f"{name} (t)"] = table["p_value"].iloc[column]
    return p


def discoveries(first, count, n_linked=5, r=0.25):
    """False discovery proportions where 5 of 17 lines are linked within a sex."""
    found = {"bh": [], "by": [], "holm: any false": [], "maximum: any false": []}
    law = law_of("sex_only")
    for number in range(first, first + count):
        one, other = (phantom.draw_sample(law, N_TEST, seed=s) for s in seeds(2, number).spawn(2))
        truth, noise = (
            phantom.measured_lines(law, s.coefficients).to_numpy() for s in (one, other)
        )
        linked = np.arange(truth.shape[1]) % 3 == 0
        linked &= np.cumsum(linked) <= n_linked
        predicted = noise.copy()
        scale = noise[:, linked].std(0) / truth[:, linked].std(0)
        predicted[:, linked] = r * scale * truth[:, linked] + (1 - r**2) ** 0.5 * noise[:, linked]
        table = stats.adjust(stats.partial_correlation(predicted, truth, one.sex))
        for method in ("bh", "by"):
            hit = table[f"p_value_{method}"].to_numpy() <= 0.05
            found[method].append((hit & ~linked).sum() / max(hit.sum(), 1))
        found["holm: any false"].append((table["p_value_holm"][~linked] <= 0.05).any())
        test = stats.pairing_test(
            predicted, truth, one.sex, statistic="correlation", n_permutations=199, seed=number
        )
        found["maximum: any false"].append((test.p_value_max[~linked] <= 0.05).any())
    return {"fdr": {name: np.array(values, dtype=float) for name, values in found.items()}}


def rivals(first, count, n=N_TEST):
    """Two useless listeners of equal standing: no test may prefer one of them."""
    law, wide = law_of("sex_only"), {}
    for number in range(first, first + count):
        samples = [
            phantom.draw_sample(law, size, seed=s)
            for size, s in zip((n, N_TRAIN), seeds(3, n, number).spawn(2), strict=True)
        ]
        truth, known = (
            phantom.measured_lines(law, s.coefficients)[[LINE]].to_numpy() for s in samples
        )
        for name, columns in (("a", [0, 1, 4]), ("b", [2, 3, 4])):
            listen = phantom.fit_listener(samples[1].features[:, columns], known)
            error = np.abs(listen(samples[0].features[:, columns]) - truth)[:, 0]
            wide[name, f"w{number}"] = error
    table = tidy(wide, n)
    flips = stats.difference_table(table, "b", n_permutations=N_DEALS, seed=first)
    found = {"p": {f"sign flips, n = {n}": flips["p_value"].to_numpy()}}
    gaps = np.column_stack([wide["a", m] - wide["b", m] for m in flips["measure"]])
    for method in ("percentile", "studentised"):
        ends = stats.bootstrap_means(gaps, method=method, n_resamples=2000, seed=first)
        found.setdefault("ci", {})[f"paired difference, {method} bootstrap", n] = (
            ends["ci_low"].to_numpy(), ends["ci_high"].to_numpy(), np.zeros(count),
        )  # fmt: skip
    return found


def splits(first, count, n=300, n_splits=20):
    """The same two listeners over repeated splits of one data set."""
    law, p = law_of("sex_only"), {"corrected resampled t": [], "plain t over splits": []}
    for number in range(first, first + count):
        sample = phantom.draw_sample(law, n, seed=seeds(4, number))
        truth = phantom.measured_lines(law, sample.coefficients)[[LINE]].to_numpy()
        rng, gaps = np.random.default_rng(number), []
        for _ in range(n_splits):
            order = rng.permutation(n)
            test, train = order[: n // 5], order[n // 5 :]
            errors = []
            for columns in ([0, 1, 4], [2, 3, 4]):
                listen = phantom.fit_listener(sample.features[train][:, columns], truth[train])
                errors.append(
                    np.abs(listen(sample.features[test][:, columns]) - truth[test]).mean()
                )
            gaps.append(errors[0] - errors[1])
        p["corrected resampled t"].append(
            stats.corrected_resampled_t_test(gaps, n - n // 5, n // 5).p_value
        )
        gaps = np.array(gaps)
        t = abs(gaps.mean()) / (gaps.std(ddof=1) / n_splits**0.5)
        p["plain t over splits"].append(2 * _t_tail(t, n_splits - 1))
    return {"p": {name: np.array(values) for name, values in p.items()}}


def _t_tail(t, df):
    from scipy.stats import t as student_t

    return float(student_t.sf(t, df))


def power(r, n, first, count, n_deals_worlds):
    """Worlds with a planted within-sex correlation of the best guess and the line."""
    law = law_of("default", r / SHARE**0.5)
    predicted, truth, sex = columns_of(
        law, n, count, seeds(5, n, round(1000 * r), first), best=True
    )
    found = {
        "p": {
            "partial correlation": stats.partial_correlation(predicted, truth, sex)[
                "p_value"
            ].to_numpy()
        }
    }
    some = slice(0, n_deals_worlds)
    test = stats.pairing_test(
        predicted[:, some], truth[:, some], sex, statistic="correlation", n_permutations=N_DEALS,
        seed=first,
    )  # fmt: skip
    found["p"]["permutation within sex"] = np.minimum(2 * test.p_value, 1)
    return found


def columns_of(law, n, count, seed, *, best):
    """Best guesses and truths of one line, (identity, world), and the sexes of all worlds."""
    even = n + n % 2  # men and women alternate, and every world begins with a man
    sample = phantom.draw_sample(law, even * count, seed=seed, n_utterances=3)
    rows = np.arange(even * count).reshape(count, even)[:, :n].ravel()
    voice = (
        sample.voice[rows] if best else sample.heard[rows].mean(1) * phantom.hearing_reliability(3)
    )
    guess = law.conditional_mean(sample.voice_sex[rows], voice)
    arrays = (
        law.frame.ratios(c)[:, 3].reshape(count, n).T for c in (guess, sample.coefficients[rows])
    )
    return *arrays, sample.sex[:n]


def tidy(wide, n):
    """A table of errors as `metrics.evaluate` gives it; worlds are its measures."""
    frames = [
        pd.DataFrame({"identity": np.arange(n), "sex": "m", "method": method, "measure": measure,
                      "definition": "corrected", "error": values})
        for (method, measure), values in wide.items()
    ]  # fmt: skip
    return pd.concat(frames)
