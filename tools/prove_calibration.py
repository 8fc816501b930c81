"""Do the tests reject, and the intervals cover, as often as they say? Simulated phantom worlds.

    python tools/prove_calibration.py [--workers 2] [--quick] [--keep DIR]

1. Rejection rates at .05, .01 and .001 where nothing is to be found: worlds in which a voice
   tells nothing ("null") or the sex only ("sex_only"), fitted linear listeners, 17 lines.
   Plain permutation in a sex-only world shows what happens to a test of "more than sex" that
   leaves sex in.
2. False discoveries where 5 of 17 lines are linked.
3. Power over planted within-sex correlations and numbers of identities, beside the closed form.
4. Coverage of every interval.

Writes a JSON with everything and the small table that notebook 10 shows. Bands are those in
which a right method's figure falls with 99 % probability: about one in a hundred misses.
"""

import argparse
import functools
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import calibration_intervals
import calibration_worlds
import numpy as np
import pandas as pd
from tqdm import tqdm

from v2mlib import stats
from v2mlib.files import atomic

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "prove_calibration.json"
TABLE = HERE.parent / "data" / "phantom_calibration.csv"
#: Corrections that promise no more than their level: fewer rejections break no promise.
BOUNDS = (", holm", ", bh", ", by", "corrected resampled")
#: Of the small table, where "null" would be read as a gap.
WORLDS = {
    "null": "null world", "sex_only": "sex-only world", "rivals": "two equal listeners",
    "splits": "two equal listeners",
}  # fmt: skip
POWER_SIZES, POWER_R = (50, 100, 200, 301, 500, 1000), (0.1, 0.2, 0.3, 0.4, 0.5)


def jobs(quick):
    """Name, function and arguments of every chunk."""
    few = 20 if quick else 1
    worlds, intervals = calibration_worlds, calibration_intervals
    found = []

    def chunks(part, function, total, size, *arguments, **options):
        total = max(size, total // few // size * size)
        for first in range(0, total, size):
            found.append((part, function, (*arguments, first, size), options))

    for world in ("null", "sex_only"):
        chunks(world, worlds.nulls, 1000, 50, world)
    chunks("linked", worlds.discoveries, 1000, 100)
    for n in (30, 301):
        chunks("rivals", worlds.rivals, 1000, 100, n=n)
    chunks("splits", worlds.splits, 1000, 50)
    for r in POWER_R:
        for n in POWER_SIZES:
            chunks(("power", r, n), worlds.power, 1000, 250, r, n, n_deals_worlds=50)
    for n in (30, 60, 120, 301):
        for coupling in (1.0, 0.3):
            chunks("coverage", intervals.correlations, 2000, 500, coupling, n)
        for ratings in (3, 10):
            chunks("coverage", intervals.reliabilities, 2000, 500, n, n_utterances=ratings)
    for n in (30, 120, 301):
        for regime in ("alike", "noisy"):
            chunks("coverage", intervals.two_levels, 1000, 100, regime, n)
    for n, confidence in ((30, 1.0), (120, 1.0), (480, 1.0), (120, 2.0)):
        chunks("coverage", intervals.skills, 600, 100, confidence, n)
    for n in (10, 30, 120):
        chunks("coverage", intervals.means, 600, 50, n)
    for n in (30, 120):
        chunks("coverage", intervals.halves, 600, 50, n)
    return found


def run(job, folder=None):
    """One chunk, in a process of its own; read from the folder where it is done already."""
    part, function, arguments, options = job
    if folder is None:
        return part, function(*arguments, **options)
    words = [function.__name__, *map(str, arguments), *map(str, options.values())]
    path = folder / ("_".join(words) + ".npz")
    if not path.exists():
        found = function(*arguments, **options)
        flat = {
            json.dumps([kind, key]): np.array(np.broadcast_arrays(*values), dtype=float)
            if kind == "ci" else values
            for kind, named in found.items()
            for key, values in named.items()
        }  # fmt: skip
        with atomic(path) as partial:
            np.savez(partial, **flat)
    found = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
            kind, key = json.loads(name)
            key = tuple(key) if isinstance(key, list) else key
            found.setdefault(kind, {})[key] = stored[name]
    return part, found


def collect(all_jobs, workers, folder=None):
    """Arrays of all worlds by part and name."""
    p, ci, fdr = {}, {}, {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = pool.map(functools.partial(run, folder=folder), all_jobs)
        chunks = tqdm(done, total=len(all_jobs), desc="worlds", unit="chunk")
        for part, found in chunks:
            for name, values in found.get("p", {}).items():
                p.setdefault(part, {}).setdefault(name, []).append(values)
            for key, ends in found.get("ci", {}).items():
                ends = [np.broadcast_to(end, np.shape(ends[0])) for end in ends]
                ci.setdefault(key, []).append(np.array(ends, dtype=float))
            for name, values in found.get("fdr", {}).items():
                fdr.setdefault(name, []).append(values)
    p = {part: {k: np.concatenate(v) for k, v in tests.items()} for part, tests in p.items()}
    ci = {key: np.concatenate(parts, axis=1) for key, parts in ci.items()}
    return p, ci, {name: np.concatenate(values) for name, values in fdr.items()}


def rejections(p):
    """A row per world, test and level."""
    tables = [
        stats.rejection_rates(tests).assign(world=part)
        for part, tests in p.items()
        if not isinstance(part, tuple)
    ]
    table = pd.concat(tables, ignore_index=True)
    bound = table["test"].str.contains("|".join(BOUNDS))
    table["promise"] = np.where(bound, "at most", "exactly")
    table.loc[bound, "band_low"] = 0.0
    table.loc[bound & (table["verdict"] == "too few"), "verdict"] = "holds"
    return table


def powers(p):
    """Simulated power beside the closed form, test by test."""
    rows = []
    for part, tests in p.items():
        if not isinstance(part, tuple):
            continue
        _, r, n = part
        for test, values in tests.items():
            theory = float(stats.power_correlation(r, n, n_given=1, exact=True))
            low, high = stats.binomial_band(theory, len(values)) if theory < 1 - 1e-9 else (1, 1)
            rows.append(
                {"test": test, "r": r, "n": n, "n_worlds": len(values),
                 "power": float((values <= 0.05).mean()), "theory": theory,
                 "fisher": float(stats.power_correlation(r, n, n_given=1)),
                 "band_low": low, "band_high": high}
            )  # fmt: skip
    return pd.DataFrame(rows)


def coverages(ci):
    """A row per interval and number of identities; worlds without an interval are counted."""
    tables = []
    for (name, n), ends in ci.items():
        known = ~np.isnan(ends).any(0)
        table = stats.coverage_rates({name: tuple(ends[:, known])})
        tables.append(table.assign(n=n, undefined=int((~known).sum())))
    return pd.concat(tables, ignore_index=True)


def main(argv=None):
    """Simulate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a twentieth; writes nothing")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep finished chunks here, to go on after a stop (same code only)",
    )
    options = parser.parse_args(argv)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    before = len(list(options.keep.glob("*.npz"))) if options.keep else 0
    p, ci, fdr = collect(jobs(options.quick), options.workers, options.keep)
    rejected, power, covered = rejections(p), powers(p), coverages(ci)
    false = {
        name: {"mean": float(v.mean()), "se": float(v.std() / len(v) ** 0.5), "n_worlds": len(v)}
        for name, v in fdr.items()
    }
    exact = [row for n in (30, 154, 1540) for row in calibration_intervals.proportions(n)]
    with pd.option_context(
        "display.width", 200, "display.max_rows", 500, "display.max_columns", 20
    ):
        for table in (rejected, power, covered, pd.DataFrame(exact)):
            print(table.round(4).to_string(index=False), end="\n\n")
    print(json.dumps(false, indent=1))
    seconds = round(time.perf_counter() - started)
    print(f"{seconds} s on {options.workers} processes")
    if options.quick:
        return 0
    results = {
        "seconds": seconds, "workers": options.workers, "chunks_of_an_earlier_run": before,
        "confidence_of_bands": 0.99,
        "rejections": records(rejected), "false_discoveries": false, "power": records(power),
        "coverage": records(covered), "coverage_of_proportions": exact,
    }  # fmt: skip
    with atomic(RESULTS) as partial:
        partial.write_text(json.dumps(results, indent=1) + "\n")
    with atomic(TABLE) as partial:
        small_table(rejected, power, covered).to_csv(partial, index=False, float_format="%.5g")
    return 0


def records(table):
    """Rows as plain dictionaries, rounded."""
    return json.loads(table.round(5).to_json(orient="records"))


def small_table(rejected, power, covered):
    """What the book shows: kind, what, world or n, nominal, observed, band."""
    common = ["kind", "what", "world", "n", "r", "nominal", "observed", "band_low", "band_high",
              "n_worlds"]  # fmt: skip
    parts = [
        rejected.assign(kind="rejection", what=rejected["test"], nominal=rejected["level"],
                        observed=rejected["rate"]),
        power.assign(kind="power", what=power["test"], nominal=power["theory"],
                     observed=power["power"]),
        covered.assign(kind="coverage", what=covered["interval"], nominal=covered["level"],
                       observed=covered["coverage"]),
    ]  # fmt: skip
    table = pd.concat(parts)[common]
    return table.assign(world=table["world"].replace(WORLDS))


if __name__ == "__main__":
    sys.exit(main())
