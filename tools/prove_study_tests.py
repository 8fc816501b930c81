"""Do the tests of preference studies keep their promises? On simulated studies; writes a JSON.

    python tools/prove_study_tests.py --workers 2

Studies of the published size (154 people, 3 sections of 10 questions) whose truth is known:
people and questions differ by spreads from 0 on, and nothing is preferred (every rejection is an
error) or a typical person prefers ours in a typical question with probability 0.6.

1. Rejection rates at .05 and .001, and coverage of the 95 % intervals, of the naive binomial
   test, the cluster bootstrap and the mixed model: of one section and of all together.
   Each row says of how many studies: the mixed model is fitted to the first ones of a world only.
2. The mixed model's likelihood is evaluated here by a table-shaped Laplace approximation that is
   many times faster than GPBoost's; the test made of it is the package's own. On a share of the
   studies GPBoost itself is asked: the two are compared.
3. The mixed model beside statsmodels' Bayesian mixed GLM (variational) and, for one factor, the
   exact likelihood by adaptive Gauss-Hermite quadrature.
"""

import argparse
import functools
import json
import math
import multiprocessing
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit, logsumexp
from scipy.stats import t as student
from tqdm import tqdm

from v2mlib import stats
from v2mlib.files import atomic
from v2mlib.stats.clustered import drawn_anew
from v2mlib.stats.mixed import _Likelihood, degrees_of_freedom, mixed_preference, signed_t
from v2mlib.study.simulated import average_preference

RESULTS = Path(__file__).with_name("results") / "prove_study_tests.json"
SPREADS = ((0, 0), (0.5, 0), (1, 0), (0.5, 0.2), (0.5, 0.4), (0.5, 0.8), (0, 0.8), (1, 0.8))
PREFERRED = ((0, 0), (0.5, 0), (0.5, 0.4), (0.5, 0.8))
ORDER_BIAS = 0.1
CHUNK = 20
MIXED_STUDIES = {"section": 125, "overall": 40}  # a world: its fits cost the most


def design_of(preference, subject_sd, item_sd):
    """The published size, with everybody awake."""
    return stats.StudyDesign(
        preference=preference, subject_sd=subject_sd, item_sd=item_sd, order_bias=ORDER_BIAS,
        inattentive=0, n_attention=0,
    )  # fmt: skip


class TableLikelihood(_Likelihood):
    """The package's test, its likelihood from a full table (subject, item) in numpy."""

    def __init__(self, chosen, first):
        self._chosen, self._first = chosen.astype(float), np.where(first, 1.0, -1.0)
        self.sizes = chosen.shape
        self._effects = np.zeros(self.sizes[0]), np.zeros(self.sizes[1])

    def __call__(self, parameters):
        """Negative log-likelihood, Laplace's: Newton steps to the mode, curvature there."""
        fixed = parameters[1] + parameters[0] * self._first
        precision = np.exp(-2 * np.asarray(parameters[2:]))

        def height(u, w):
            eta = fixed + u[:, None] + w
            joint = (self._chosen * eta - np.logaddexp(0, eta)).sum()
            return eta, joint - 0.5 * (precision[0] * u @ u + precision[1] * w @ w)

        u, w = self._effects
        eta, now = height(u, w)
        for _ in range(100):
            p = expit(eta)
            weight, residual = p * (1 - p), self._chosen - p
            people = weight.sum(1) + precision[0]
            schur = np.diag(weight.sum(0) + precision[1]) - weight.T @ (weight / people[:, None])
            slopes = residual.sum(1) - precision[0] * u, residual.sum(0) - precision[1] * w
            step = np.linalg.solve(schur, slopes[1] - weight.T @ (slopes[0] / people))
            steps = (slopes[0] - weight @ step) / people, step
            before, size = now, 1.0
            while size > 1e-6:
                moved = u + size * steps[0], w + size * steps[1]
                eta, now = height(*moved)
                if now >= before - 1e-9 * abs(before):
                    break
                size /= 2
            u, w = moved
            if abs(now - before) < 1e-12 * abs(now):
                break
        self._effects = u, w
        curvature = np.log(people).sum() + np.linalg.slogdet(schur)[1]
        spreads = self.sizes[0] * parameters[2] + self.sizes[1] * parameters[3]
        return -now + 0.5 * curvature + spreads


def tables_of(answers):
    """Chosen, and ours shown first, (subject, item): `simulate_study` keeps this order."""
    shape = answers["subject"].nunique(), -1
    return [answers[name].to_numpy(dtype=bool).reshape(shape) for name in ("chosen", "shown_first")]


def start_for(chosen):
    """Parameters near the maximum: from means of the table."""
    middle = logit(np.clip(chosen.mean(), 0.01, 0.99))
    sds = [4 * chosen.mean(axis).std(ddof=1) for axis in (1, 0)]
    return [ORDER_BIAS, middle, *np.log(np.maximum(sds, 0.1))]


def mixed_outcome(chosen, first, truth):
    """One-sided p of no preference, and whether the truth is in the 95 % interval."""
    likelihood = TableLikelihood(chosen, first)
    best = likelihood.maximise(start=start_for(chosen))
    df = degrees_of_freedom(best.x, likelihood.sizes, chosen.size)
    null = likelihood.maximise(preference=0.0, start=best.x)
    true = null if truth == 0 else likelihood.maximise(preference=truth, start=best.x)
    t, root = signed_t(best, null, df), math.sqrt(2 * max(0.0, null.fun - best.fun))
    return {
        "p_value": float(student.sf(t, df)),
        "p_value_by_chi_squared": float(student.sf(math.copysign(root, t), np.inf)),
        "holds": bool(2 * student.sf(abs(signed_t(best, true, df)), df) > 0.05),
    }


exact_test = functools.lru_cache(stats.preference_test)
average = functools.lru_cache(average_preference)


def one_study(preference, subject_sd, item_sd, seed):
    """Every test of one simulated study: rows of a section and of all sections together."""
    design = design_of(preference, subject_sd, item_sd)
    chosen, first = tables_of(stats.simulate_study(design, seed=seed))
    truth, rows = average(design), []
    for part, width in {"section": design.n_items, "overall": chosen.shape[1]}.items():
        table = chosen[:, :width]
        exact = exact_test(int(table.sum()), table.size)
        limits = {"naive": exact[9:11], "naive, Wilson's interval": exact[11:13]}
        found = {
            test: {"p_value": exact.p_value, "holds": low <= truth <= high}
            for test, (low, high) in limits.items()
        }
        for draw in ("both", "subject", "item"):
            # Drawing people only is about these questions: its truth is known where all are alike.
            if not (draw == "subject" and item_sd) and not (draw == "item" and subject_sd):
                row = drawn_anew(
                    np.ones_like(table, float), table.astype(float), draw, 2000, 0.95, 0
                )
                found[f"cluster bootstrap, {draw}"] = {
                    "p_value": row["p_value"], "holds": row["ci_low"] <= truth <= row["ci_high"],
                }  # fmt: skip
        if seed % 100_000 < MIXED_STUDIES[part]:
            found["mixed model"] = mixed_outcome(table, first[:, :width], logit(preference))
        for test, outcome in found.items():
            rows.append({"part": part, "test": test, **outcome})
    return rows


def run_chunk(job):
    """Simulate studies of one world."""
    preference, subject_sd, item_sd, seeds = job
    world = {"preference": preference, "subject_sd": subject_sd, "item_sd": item_sd}
    rows = [world | row for s in seeds for row in one_study(preference, subject_sd, item_sd, s)]
    return {"job": job, "rows": rows}


def simulated(jobs, kept, workers):
    """Outcomes of all jobs; those that an interrupted run kept are not done again."""
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    finished = {json.dumps(one["job"]) for one in done}
    open_jobs = [job for job in jobs if json.dumps(job) not in finished]
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool, kept.open("a", encoding="utf-8") as file:
        found = pool.imap_unordered(run_chunk, open_jobs)
        for one in tqdm(found, total=len(open_jobs), unit="chunk"):
            done.append(one)
            file.write(json.dumps(one) + "\n")
            file.flush()
    return [row for one in done for row in one["rows"]]


def rates(outcomes):
    """Rejection rates and coverage with exact 95 % intervals, by world, part and test."""
    table = pd.DataFrame(outcomes)
    chi = table[table["test"] == "mixed model"]
    chi = chi.assign(
        p_value=chi["p_value_by_chi_squared"], test="mixed model by chi-squared", holds=pd.NA
    )
    keys, rows = ["preference", "subject_sd", "item_sd", "part", "test"], []
    for key, part in pd.concat([table, chi]).groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True)) | {"studies": len(part)}
        for level in (0.05, 0.001):
            row |= share(f"rejects_{level:g}", part["p_value"] <= level)
        if not part["holds"].isna().any():
            row |= share("covers", part["holds"].astype(bool))
        rows.append(row)
    return rows


def share(name, which):
    """A share and its exact interval."""
    found = stats.preference_test(int(which.sum()), len(which))
    return {
        name: found.proportion, f"{name}_ci_low": found.ci_low, f"{name}_ci_high": found.ci_high
    }  # fmt: skip


def compare_with_gpboost(n_studies):
    """The package's own fit against the table-shaped one, on studies of all worlds."""
    gaps, seconds = [], []
    for number in range(n_studies):
        spreads = SPREADS[number % len(SPREADS)]
        answers = stats.simulate_study(design_of(0.55, *spreads), seed=90_000 + number)
        section = answers[answers["section"] == "images"]
        start = time.perf_counter()
        ours = mixed_preference(section)
        seconds.append(time.perf_counter() - start)
        tables = tables_of(section)
        best = TableLikelihood(*tables).maximise(start=start_for(tables[0]))
        outcome = mixed_outcome(*tables, 0.0)
        gaps.append(
            {
                "log_likelihood": abs(ours.log_likelihood + best.fun),
                "proportion": abs(ours.proportion - expit(best.x[1])),
                "p_value": abs(ours.p_value - outcome["p_value"]),
                "interval_and_truth_disagree": float(
                    (ours.ci_low <= 0.5 <= ours.ci_high) != outcome["holds"]
                ),
            }
        )
    table = pd.DataFrame(gaps)
    return {
        "studies": n_studies, "largest_difference": table.max().to_dict(),
        "seconds_per_fit_test_and_interval": float(np.median(seconds)),
    }  # fmt: skip


def compare_with_statsmodels(n_studies):
    """Our estimates against the posterior means of statsmodels' variational fit."""
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    rows = []
    for number in range(n_studies):
        answers = stats.simulate_study(design_of(0.6, 0.5, 0.8), seed=95_000 + number)
        ours = TableLikelihood(*tables_of(answers)).maximise().x
        code = answers.groupby(["section", "item"]).ngroup()
        effects = np.column_stack([pd.get_dummies(answers["subject"]), pd.get_dummies(code)])
        sizes = answers["subject"].nunique(), code.nunique()
        fixed = np.column_stack(
            [np.ones(len(answers)), np.where(answers["shown_first"], 1.0, -1.0)]
        )
        model = BinomialBayesMixedGLM(
            answers["chosen"].to_numpy(float), fixed, effects.astype(float),
            ident=np.repeat([0, 1], sizes), vcp_p=2, fe_p=10,
        )  # fmt: skip
        theirs = model.fit_vb()
        rows.append(
            {
                "preference_logits": theirs.fe_mean[0] - ours[1],
                "order_bias_logits": theirs.fe_mean[1] - ours[0],
                "log_subject_sd": theirs.vcp_mean[0] - ours[2],
                "log_item_sd": theirs.vcp_mean[1] - ours[3],
            }
        )
    table = pd.DataFrame(rows)
    return {
        "studies": n_studies, "mean_difference": table.mean().to_dict(),
        "largest_difference": table.abs().max().to_dict(),
    }  # fmt: skip


def compare_with_quadrature(n_studies):
    """Laplace's log-likelihood ratios against exact ones where only people differ."""
    rows = []
    for number in range(n_studies):
        answers = stats.simulate_study(design_of(0.55, 0.8, 0), seed=97_000 + number)
        section = answers[answers["section"] == "images"]
        laplace = TableLikelihood(*tables_of(section))
        points = [(0.1, 0.2, math.log(0.8)), (0.1, 0.0, math.log(0.8)), (0.1, 0.2, math.log(0.4))]
        ours = [laplace([*point, math.log(1e-3)]) for point in points]
        exact = [by_quadrature(section, *point) for point in points]
        rows.append(
            {
                "log_likelihood": ours[0] - exact[0],
                "ratio_of_preferences": (ours[1] - ours[0]) - (exact[1] - exact[0]),
                "ratio_of_spreads": (ours[2] - ours[0]) - (exact[2] - exact[0]),
            }
        )
    table = pd.DataFrame(rows)
    return {"studies": n_studies, "largest_difference": table.abs().max().to_dict()}


def by_quadrature(questions, bias, preference, log_sd, n_nodes=40):
    """Exact negative log-likelihood with people as the only random effect."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    fixed = preference + bias * np.where(questions["shown_first"], 1, -1)
    eta = fixed[:, None] + math.exp(log_sd) * nodes
    log_p = np.where(questions["chosen"], 1, -1)[:, None] * eta
    each = pd.DataFrame(-np.logaddexp(0, -log_p)).groupby(questions["subject"].to_numpy()).sum()
    total = logsumexp(each.to_numpy(), axis=1, b=weights / weights.sum())
    return -float(total.sum())


def main(argv=None):
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="a world (1000)")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    started = time.monotonic()
    worlds = [(0.5, *spreads) for spreads in SPREADS] + [(0.6, *spreads) for spreads in PREFERRED]
    jobs = [
        (*world, list(range(100_000 * number + first, 100_000 * number + first + CHUNK)))
        for first in range(0, options.studies, CHUNK)
        for number, world in enumerate(worlds, start=1)
        if world[0] == 0.5 or 2 * first < options.studies  # coverage: half as many
    ]
    kept = options.out.with_suffix(".partial.jsonl")
    earlier = len(kept.read_text().splitlines()) if kept.exists() else 0
    outcomes = simulated(jobs, kept, options.workers)
    print("comparing implementations", file=sys.stderr)
    results = {
        "chunks_of_an_earlier_run": earlier,
        "design": "154 subjects, 3 sections of 10 questions, order bias 0.1, nobody inattentive",
        "studies_per_world": options.studies,
        "bootstrap_resamples": 2000,
        "rates": rates(outcomes),
        "gpboost": compare_with_gpboost(6),
        "statsmodels_variational": compare_with_statsmodels(3),
        "quadrature": compare_with_quadrature(20),
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    with atomic(options.out) as partial:
        partial.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    kept.unlink()
    return 0


if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    sys.exit(main())
