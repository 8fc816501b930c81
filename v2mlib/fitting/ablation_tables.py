"""Tables of an ablation: errors with intervals over identities and seeds, and tests.

Two things are random in a comparison of trainings: who was in the test, and how the training
happened to go. A method is a way of training, so a difference between methods must exceed what
another seed would have changed; that the networks of two runs differ on these identities is
another, weaker statement. Both are given, and told apart.
"""

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from v2mlib.checks import InputError
from v2mlib.fitting.ablation_scores import NO_SEED

GROUPS = ("all", "m", "f")
BASELINE = "cascade"
N_RESAMPLES = 4000
N_PERMUTATIONS = 9999


class _Grid(NamedTuple):
    """Errors of the trained methods: ``values (method, seed, identity)``."""

    methods: list
    seeds: np.ndarray
    values: np.ndarray


def summarise_ablation(errors, *, column="error", baseline=None, n_resamples=N_RESAMPLES, seed=0):
    """Mean errors with 95 % intervals, identities and seeds both resampled.

    A resample draws identities with replacement, and, independently, one seed fewer than there
    are: with so few, drawing as many as there are would make intervals too short (by a factor of
    1.22 with three). One draw serves all methods, so that differences are paired.

    Parameters
    ----------
    errors : DataFrame
        From `run_ablation` (`Ablation.errors`).
    column : {"error", "error_per_utterance"}
        Of the face averaged over utterances, or as published.
    baseline : str, optional
        What differences are against: ``cascade`` where there is one, else ``mean_face``.
    n_resamples : int
        Of the bootstrap.
    seed : int
        Of the resampling.

    Returns
    -------
    DataFrame
        A row per ``group`` ("all", "m", "f"), ``measure`` ("are_ear" ... "are_mean"),
        ``definition`` and ``method``: ``n_identities``, ``n_seeds`` (0 for what was not
        trained), ``error``, ``difference`` from the baseline and ``change_percent``, each with
        ``_ci_low`` and ``_ci_high``, and ``seed_sd``, the standard deviation of the error over
        seeds (nan below two).

    Raises
    ------
    InputError
        If the baseline is not there, or a method lacks a seed or an identity.
    """
    methods = list(dict.fromkeys(errors["method"]))
    baseline = baseline or (BASELINE if BASELINE in methods else "mean_face")
    if baseline not in methods:
        raise InputError(f"baseline {baseline!r}", "is not in the table", f"it has {methods}")
    found = []
    for group in GROUPS:
        chosen = errors if group == "all" else errors[errors["sex"] == group]
        if chosen.empty:
            continue
        for (definition, line), rows in chosen.groupby(["definition", "line"], sort=False):
            wide = _wide(rows, column)
            means, samples, spread = _resampled(wide, methods, n_resamples, seed)
            for place, method in enumerate(methods):
                base = methods.index(baseline)
                row = {"group": group, "measure": f"are_{line}", "definition": definition}
                row |= {"method": method, "n_identities": len(wide)}
                row["n_seeds"] = sum(s != NO_SEED for m, s in wide.columns if m == method)
                for name, value, drawn in (
                    ("error", means[place], samples[:, place]),
                    ("difference", *_difference(means, samples, place, base)),
                    ("change_percent", *_change(means, samples, place, base)),
                ):
                    low, high = np.quantile(drawn, [0.025, 0.975])
                    row |= {name: value, f"{name}_ci_low": low, f"{name}_ci_high": high}
                found.append(row | {"seed_sd": spread[place]})
    return pd.DataFrame(found)


def _difference(means, samples, place, base):
    return means[place] - means[base], samples[:, place] - samples[:, base]


def _change(means, samples, place, base):
    return tuple(100 * (x[..., place] / x[..., base] - 1) for x in (means, samples))


def _wide(rows, column):
    """Errors (identity, run), refusing gaps."""
    wide = rows.pivot(index="identity", columns=["method", "seed"], values=column)
    if wide.isna().to_numpy().any():
        method, seed = wide.columns[wide.isna().any()][0]
        raise InputError(
            f"method {method} with seed {seed}",
            f"has errors for {int(wide[method, seed].notna().sum())} of {len(wide)} identities",
            "run the ablation to its end",
        )
    return wide


def _resampled(wide, methods, n_resamples, seed):
    """Mean errors by method: as they are, resampled, and their spread over seeds."""
    rng = np.random.default_rng(seed)
    n = len(wide)
    people = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) / n
    seeds = sorted({s for _, s in wide.columns} - {NO_SEED})
    n_drawn = max(len(seeds) - 1, 1)
    shares = rng.multinomial(n_drawn, np.full(len(seeds), 1 / len(seeds)), size=n_resamples)
    by_run = people @ wide.to_numpy()  # (resample, run)
    means, samples, spread = [], [], []
    for method in methods:
        runs = [number for number, (m, _) in enumerate(wide.columns) if m == method]
        own = wide.to_numpy()[:, runs].mean(0)
        means.append(own.mean())
        trained = [wide.columns[number][1] for number in runs] != [NO_SEED]
        if trained and [wide.columns[number][1] for number in runs] != seeds:
            raise InputError(f"method {method}", f"lacks some of the seeds {seeds}", "run them")
        weights = shares / n_drawn if trained else np.ones((n_resamples, 1))
        samples.append((by_run[:, runs] * weights).sum(1))
        spread.append(own.std(ddof=1) if len(runs) > 1 else np.nan)
    return np.array(means), np.stack(samples, 1), spread


def methods_differ(
    errors,
    methods,
    *,
    line="mean",
    definition="corrected",
    column="error",
    n_permutations=N_PERMUTATIONS,
    seed=0,
):
    """Test whether the methods differ at all, against other seeds and against other identities.

    The statistic is the F ratio of a two-way layout, methods by blocks. Under the null the names
    of the methods are exchangeable within each block:

    - unit ``run``: blocks are seeds, values a run's mean over the identities. Null: *the choice
      of the method changes the expected error no more than training again would*. This is the
      question.
    - unit ``identity``: blocks are identities, values an identity's mean over the seeds. Null:
      *for each person these trained networks err alike*. Two networks that differ by their seed
      only violate it as well, so that its rejection says little about methods.

    Parameters
    ----------
    errors : DataFrame
        From `run_ablation`.
    methods : sequence of str
        Which are compared.
    line : str
        Whose ratio.
    definition : {"corrected", "published"}
        Of the line.
    column : {"error", "error_per_utterance"}
        Which error.
    n_permutations : int
        Random permutations; their number limits the smallest p-value.
    seed : int
        Of the permutations.

    Returns
    -------
    DataFrame
        A row per ``unit``: ``n_blocks``, ``f_ratio``, ``p_value``, ``range`` (largest less
        smallest mean error of a method), ``range_by_chance`` (its mean under the null),
        ``noise_sd`` (standard deviation of a value that neither method nor block explains).

    Raises
    ------
    InputError
        If fewer than two methods are named, or something is missing.
    """
    grid = _grid(errors, methods, line, definition, column)
    found = []
    for unit, values in (("run", grid.values.mean(2).T), ("identity", grid.values.mean(1).T)):
        row = {"unit": unit, "n_blocks": len(values)}
        if len(values) > 1:
            row |= _permuted(values, n_permutations, np.random.default_rng(seed))
        found.append(row)
    return pd.DataFrame(found).reindex(
        columns=["unit", "n_blocks", "f_ratio", "p_value", "range", "range_by_chance", "noise_sd"]
    )


def _grid(errors, methods, line, definition, column):
    methods = list(methods)
    if len(methods) < 2:
        raise InputError(f"methods {methods}", "are too few to compare", "name two or more")
    rows = errors[(errors["line"] == line) & (errors["definition"] == definition)]
    rows = rows[rows["method"].isin(methods)]
    if missing := set(methods) - set(rows["method"]):
        raise InputError(f"methods {sorted(missing)}", "are not in the table", "run them")
    wide = _wide(rows, column)
    seeds = sorted({seed for _, seed in wide.columns})
    missing = [(m, s) for m in methods for s in seeds if (m, s) not in wide.columns]
    if missing:
        raise InputError(f"method {missing[0][0]}", f"lacks seed {missing[0][1]}", "run it")
    values = np.stack([wide[method][seeds].to_numpy().T for method in methods])
    return _Grid(methods, np.array(seeds), values)


def _permuted(values, n_permutations, rng):
    """F ratio of (block, method), and where it lies among permutations within the blocks."""
    n_blocks, n_methods = values.shape
    centred = values - values.mean(1, keepdims=True)  # no permutation changes a block's mean
    total = (centred**2).sum()

    def judge(means):
        between = n_blocks * (means**2).sum(-1) / (n_methods - 1)
        within = (total - n_blocks * (means**2).sum(-1)) / ((n_blocks - 1) * (n_methods - 1))
        return between, within, np.ptp(means, axis=-1)

    between, within, gap = judge(centred.mean(0))
    means = np.empty((n_permutations, n_methods))
    chunk = max(1, 2_000_000 // values.size)
    for start in range(0, n_permutations, chunk):
        size = min(chunk, n_permutations - start)
        dealt = rng.permuted(np.broadcast_to(centred, (size, *centred.shape)), axis=2)
        means[start : start + size] = dealt.mean(1)
    chance, _, gaps = judge(means)
    # The F ratio grows with the part between the methods: that alone is compared.
    n_as_large = int((chance >= between * (1 - 1e-9)).sum())
    return {
        "f_ratio": between / within if within > 0 else np.inf,
        "p_value": (1 + n_as_large) / (1 + n_permutations),
        "range": gap,
        "range_by_chance": gaps.mean(),
        "noise_sd": np.sqrt(max(within, 0.0)),
    }


def method_pairs(
    errors, methods, *, line="mean", definition="corrected", column="error",
    n_resamples=N_RESAMPLES, seed=0,
):  # fmt: skip
    """Compare every two methods: differences with intervals, and tests corrected by Holm.

    Parameters
    ----------
    errors : DataFrame
        From `run_ablation`.
    methods : sequence of str
        Which are compared.
    line : str
        Whose ratio.
    definition : {"corrected", "published"}
        Of the line.
    column : {"error", "error_per_utterance"}
        Which error.
    n_resamples : int
        Of the bootstrap.
    seed : int
        Of the resampling.

    Returns
    -------
    DataFrame
        ``first``, ``second``, ``difference`` (first less second), ``ci_low``, ``ci_high``
        (95 %, identities and seeds resampled), ``p_value`` (Student's t over the seeds, paired)
        and ``p_value_holm`` (over all pairs); nan with one seed.
    """
    grid = _grid(errors, methods, line, definition, column)
    rng, n = np.random.default_rng(seed), grid.values.shape[2]
    n_seeds = len(grid.seeds)
    n_drawn = max(n_seeds - 1, 1)
    people = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) / n
    shares = rng.multinomial(n_drawn, np.full(n_seeds, 1 / n_seeds), size=n_resamples) / n_drawn
    samples = np.einsum("rn,msn,rs->rm", people, grid.values, shares, optimize=True)
    by_run, found = grid.values.mean(2), []
    for one, other in itertools.combinations(range(len(grid.methods)), 2):
        apart = by_run[one] - by_run[other]
        low, high = np.quantile(samples[:, one] - samples[:, other], [0.025, 0.975])
        p_value = _paired_t(apart)
        names = {"first": grid.methods[one], "second": grid.methods[other]}
        numbers = {"difference": apart.mean(), "ci_low": low, "ci_high": high, "p_value": p_value}
        found.append(names | numbers)
    table = pd.DataFrame(found)
    known = table["p_value"].notna().all()
    holm = multipletests(table["p_value"], method="holm")[1] if known else np.nan
    return table.assign(p_value_holm=holm)


def _paired_t(differences):
    n = len(differences)
    if n < 2:
        return np.nan
    spread = differences.std(ddof=1) / np.sqrt(n)
    if spread == 0:
        return 1.0 if differences.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(differences.mean()) / spread, n - 1))
