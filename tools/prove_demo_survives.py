"""Long proof that the demo survives kills; writes tools/results/prove_demo_survives.json.

The tiny demo is killed (SIGKILL, the main process only) at evenly spread moments of its course,
some runs several times, and started again until it ends. Every run must end with the scores and
the weights, byte for byte, of a run that was never stopped, and leave no process behind.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).with_name("results") / "prove_demo_survives.json"
COMPARED = (
    "scores/scores.parquet",
    "scores/coefficients.parquet",
    "scores/skills.csv",
    "end_to_end/model.safetensors",
    "pretrained/model.safetensors",
    "world/truth/coefficients.npz",
)


def start(out):
    """Start a demo in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "v2mlib", "demo", "--size", "tiny", "--out", str(out), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def outcome(process, out):
    """What a demo that ended has left, without the seconds."""
    summary = json.loads(process.communicate()[0].splitlines()[-1])
    del summary["seconds"]
    folder = out / "default_tiny"
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in COMPARED}
    partials = [str(path.relative_to(folder)) for path in folder.rglob("*.partial*")]
    return {"summary": summary, "digests": digests, "report": (folder / "report.html").exists()}, (
        partials
    )


def kill_after(process, seconds):
    """Kill a process at a moment; returns whether it still ran, and whether its workers ended."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for _ in range(400):
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return True, True
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        return True, False
    return False, True


def main():
    """Run the proof and store what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=16, help="moments to kill at")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder, began = Path(folder), time.perf_counter()
        process = start(folder / "whole")
        process.wait()
        seconds = time.perf_counter() - began
        whole, _ = outcome(process, folder / "whole")
        runs = []
        for number in range(options.kills):
            out = folder / f"run{number}"
            moment = seconds * (number + 0.5) / options.kills
            kills, clean = [], True
            # Every third run is killed again and again, a little later each time.
            for again in range(4 if number % 3 == 2 else 1):
                killed, alone = kill_after(start(out), moment * (1 + 0.2 * again))
                clean &= alone
                if killed:
                    kills.append(round(moment * (1 + 0.2 * again), 2))
            process = start(out)
            found, partials = outcome(process, out)
            runs.append(
                {
                    "killed_after_s": kills,
                    "same": found == whole,
                    "workers_ended": clean,
                    "left_over": partials,
                }
            )
            print(json.dumps(runs[-1]), file=sys.stderr)
    good = sum(run["same"] and run["workers_ended"] for run in runs)
    result = {"seconds_uninterrupted": round(seconds, 1), "good": f"{good}/{len(runs)}"}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result | {"runs": runs}, indent=1) + "\n")
    print(json.dumps(result))
    return 0 if good == len(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
