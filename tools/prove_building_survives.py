"""Long proof that a build survives kills; writes tools/results/prove_building_survives.json.

``v2m data voxceleb3d`` is killed (SIGKILL, the main process only) at random moments of its
course, every third run again and again, and started again until it ends; some runs on one
process, some on two workers. Every data set must be the undisturbed one, file for file and byte
for byte, no process may be left behind, and none may be taken for whole before it is. Then a
file is changed and another added, and the update is killed in the same way.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from v2mlib.checks import InputError
from v2mlib.datasets import load_dataset
from v2mlib.phantom import make_world
from v2mlib.phantom.sizes import Size

RESULTS = Path(__file__).with_name("results") / "prove_building_survives.json"
SIZE = Size(36, 12, utterances=6, test_utterances=3, photos=4, test_photos=2)
SEED = 20


def start(raw, out, workers):
    """Start a build in a process group of its own."""
    words = ["--voxceleb", raw, "--vggface", raw / "faces", "--out", out, "--json"]
    words += ["--workers", workers, "--files-per-task", 4]
    return subprocess.Popen(
        [sys.executable, "-m", "v2mlib", "data", "voxceleb3d", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def digests(out):
    """Checksums of all files of a data set."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def workers_of(out):
    """Processes that still work for a folder, by their open log."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            log = os.readlink(process / "fd" / "2")
        except OSError:
            continue
        if log.startswith(str(out)):
            found.append(int(process.name))
    return found


def kill_after(process, seconds, out):
    """Kill a process at a moment; returns whether it still ran, and whether its workers ended."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for _ in range(600):
            if not workers_of(out):
                return True, True
            time.sleep(0.05)
        return True, False
    process.stdout.close()
    return False, True


def taken_for_whole(out, whole, earlier=None):
    """Whether what lies there after a kill passes for a data set without being one."""
    try:
        load_dataset(out)
    except InputError:
        return False
    found = {name: sum_ for name, sum_ in digests(out).items() if not name.startswith("build/")}
    return found not in (whole, earlier)


def survive(raw, out, moments, workers, whole, earlier=None):
    """Kill builds at the moments, let the last one end, and compare."""
    kills, alone, fooled = [], True, False
    for moment in moments:
        killed, ended = kill_after(start(raw, out, workers), moment, out)
        alone &= ended
        fooled |= taken_for_whole(out, whole, earlier)
        if killed:
            kills.append(round(moment, 2))
    process = start(raw, out, workers)
    process.communicate()
    return {
        "workers": workers,
        "killed_after_s": kills,
        "same": process.returncode == 0 and digests(out) == whole,
        "workers_ended": alone,
        "taken_for_whole": fooled,
    }


def undisturbed(raw, out, workers):
    """Build without kills; returns checksums and seconds."""
    began = time.perf_counter()
    process = start(raw, out, workers)
    process.communicate()
    return digests(out), time.perf_counter() - began


def main():
    """Run the proof and store what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24, help="builds to kill")
    options = parser.parse_args()
    drawn = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        raw = folder / "raw"
        world = make_world(SIZE, raw, progress=False)
        files = {"utterances": len(world.utterances), "photos": len(world.photos)}
        whole, seconds = {}, {}
        for workers in (1, 2):
            whole[workers], seconds[workers] = undisturbed(raw, folder / f"whole{workers}", workers)
        runs = []
        for number in range(options.kills):
            workers = 1 + number % 2
            moments = [drawn.uniform(0.2, 1.0) * seconds[workers]
                       for _ in range(4 if number % 3 == 2 else 1)]  # fmt: skip
            run = survive(raw, folder / f"run{number}", moments, workers, whole[1])
            runs.append(run)
            print(json.dumps(run), file=sys.stderr)
        clip = sorted(raw.glob("wav/*/*/*.wav"))[7]
        clip.write_bytes(sorted(raw.glob("wav/*/*/*.wav"))[8].read_bytes())
        shutil.copy(clip, clip.with_name("99999.wav"))
        updated, update_s = undisturbed(raw, folder / "updated", 1)
        updates = []
        for number in range(options.kills // 4):
            out, moment = folder / f"update{number}", drawn.uniform(0.2, 1.0) * update_s
            shutil.copytree(folder / "whole1", out)
            updates.append(survive(raw, out, [moment], 1, updated, whole[1]))
            print(json.dumps(updates[-1]), file=sys.stderr)
    good = sum(
        run["same"] and run["workers_ended"] and not run["taken_for_whole"]
        for run in runs + updates
    )
    result = {
        "files": files,
        "seconds_undisturbed": {str(n): round(s, 1) for n, s in seconds.items()},
        "same_on_one_and_two_workers": whole[1] == whole[2],
        "good": f"{good}/{len(runs) + len(updates)}",
        "kills": sum(len(run["killed_after_s"]) for run in runs + updates),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result | {"runs": runs, "updates": updates}, indent=1) + "\n")
    print(json.dumps(result))
    return 0 if good == len(runs) + len(updates) and whole[1] == whole[2] else 1


if __name__ == "__main__":
    sys.exit(main())
