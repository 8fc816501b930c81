"""Our code side by side with a named peer, in one run, as ratios.

``python tests/benchmarks/harness.py [--json FILE] [--only WORD] [--repeats N]`` runs ``rows()``
of every ``bench_*.py`` beside this file. One thread each, calls interleaved (ours, peer, ours,
peer, ...), so that a busy machine slows both alike. Nothing here passes or fails.
"""

import argparse
import ctypes
import gc
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy and torch are imported


class Row(NamedTuple):
    """One comparison: two callables that do the same work on ``unit_count`` ``unit``s."""

    name: str
    ours: Callable
    peer: Callable
    peer_name: str
    unit_count: float
    unit: str


def machine():
    """Describe the machine that the figures belong to."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [s for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(row, repeats):
    """Time one row, ours and the peer's calls taking turns.

    Returns
    -------
    dict
        Units per second of both, and the ratio's median, least and greatest value.
    """
    row.ours(), row.peer()  # warm caches, compile what compiles
    pairs = [(_seconds(row.ours), _seconds(row.peer)) for _ in range(repeats)]
    ratios = [peer / ours for ours, peer in pairs]
    return {
        "name": row.name,
        "peer": row.peer_name,
        "unit": row.unit,
        "ours_per_s": row.unit_count / statistics.median(ours for ours, _ in pairs),
        "peer_per_s": row.unit_count / statistics.median(peer for _, peer in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "repeats": repeats,
    }


def rows_of(path):
    """Import one benchmark file and return its rows, each to be made when it is measured."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # other processes find it under its name
    spec.loader.exec_module(module)
    return iter(module.rows())


def give_back_memory():
    """Let a row begin as in a fresh process, whatever memory was left by what came before."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim:
            trim(0)


def main(argv=None):
    """Measure every row and print one table of ratios (above 1: ours is faster)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="only rows whose name or file holds this word")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write results and machine stamp here")
    options = parser.parse_args(argv)
    import torch

    torch.set_num_threads(1)
    results = []
    print(f"{'what':44} {'peer':22} {'ours/s':>12} {'peer/s':>12} {'unit':14} ratio (min-max)")
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        for row in rows_of(path):
            if options.only not in f"{path.stem} {row.name}":
                continue
            give_back_memory()
            r = measure(row, options.repeats)
            results.append(r)
            print(
                f"{r['name']:44} {r['peer']:22} {r['ours_per_s']:12.4g} {r['peer_per_s']:12.4g} "
                f"{r['unit']:14} {r['ratio']:.2f} ({r['ratio_min']:.2f}-{r['ratio_max']:.2f})",
                flush=True,
            )
            del row
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": machine(), "rows": results}, indent=1))
    return 0 if results else 1


if __name__ == "__main__":
    # Benchmark files import Row from here under its module name, also when run as a script.
    sys.modules.setdefault("harness", sys.modules["__main__"])
    sys.exit(main())
