"""Long proofs about the phantom population; writes tools/results/prove_phantom.json.

1. Resuming: a build killed (SIGKILL) at many moments, and resumed by another number of
   processes, ends with the bytes of a build that was never stopped.
2. The law over many worlds: explained shares, sex differences, and the null worlds' nulls.
3. An ideal listener, who hears the attributes themselves with session noise and knows their
   labels nothing: ordinary least squares from heard attributes to coefficients, trained and
   tested as a model is. Its skills bound what training on sound can be expected to reach.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from v2mlib.phantom import Population, Size, make_world
from v2mlib.phantom.law_table import realised_link

SIZE = Size(30, 10, utterances=6, test_utterances=3, photos=2, test_photos=2)
RESULTS = Path(__file__).with_name("results") / "prove_phantom.json"


def checksums(folder):
    """Of every file but the lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def build(out, workers):
    """Start a build in a process of its own."""
    script = (
        "from v2mlib.phantom import make_world, Size, world; world._FILES_PER_WORKER = 1; "
        f"make_world(Size(**{dataclasses.asdict(SIZE)}), {str(out)!r}, seed=1, workers={workers}, "
        "progress=False)"
    )
    return subprocess.Popen([sys.executable, "-c", script])


def prove_resuming(n_kills):
    """Kill builds at evenly spread moments; resume; compare."""
    kills, same = [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_world(SIZE, folder / "whole", seed=1, workers=1, progress=False)
        whole = checksums(folder / "whole")
        n_files = len(list((folder / "whole").rglob("*.wav"))) + len(
            list((folder / "whole").rglob("*.jpg"))
        )
        for kill in range(n_kills):
            out, wanted = folder / f"kill{kill}", round(n_files * (kill + 0.5) / n_kills)
            process = build(out, workers=1 + kill % 3)
            while process.poll() is None:
                made = len(list(out.rglob("*.wav"))) + len(list(out.rglob("*.jpg")))
                if made >= wanted:
                    break
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            build(out, workers=1 + (kill + 1) % 3).wait()
            same += checksums(out) == whole
            kills.append(made)
    return {"kills_after_n_files": kills, "n_files": n_files, "same_bytes": f"{same}/{n_kills}"}


def ideal_listener(population, n_train_utterances=6, n_test_utterances=3):
    """Mean corrected ARE of the listener and its references on the test identities."""
    split = population.identities["split"].to_numpy()
    heard = np.stack(
        [
            population.latents_as_features(n)[:, :n].mean(1)
            for n in (n_train_utterances, n_test_utterances)
        ]
    )
    known = [np.column_stack([features, np.ones(len(features))]) for features in heard]
    train, test = split != "test", split == "test"
    weights = np.linalg.lstsq(known[0][train], population.shape_coefficients[train], rcond=None)[0]
    predictions = {
        "mean": np.zeros_like(population.shape_coefficients[test]),
        "sex_mean": population.sex_mean()[test],
        "listener": known[1][test] @ weights,
        "ceiling": population.conditional_mean()[test],
    }
    frame = population.law.frame
    truth = frame.ratios(population.shape_coefficients[test])
    return {name: np.abs(frame.ratios(c) - truth).mean() for name, c in predictions.items()}


def prove_law(n_worlds):
    """Realised shares, differences and skills over many worlds of the tutorial's size."""
    rows = {world: [] for world in ("default", "sex_only", "null")}
    skills = []
    for seed in range(n_worlds):
        for world, found in rows.items():
            people = Population(960, seed=seed, world=world, n_test=480)
            sex = np.where(people.identities["sex"] == "m", 1.0, -1.0)
            voice = people.latents_as_features(0)[:, 0]
            ratios = people.law.frame.ratios(people.shape_coefficients)
            r_squared, d = realised_link(sex, voice[:, :4], ratios)
            found.append([r_squared.mean(), d.mean(), np.corrcoef(sex, voice[:, 4])[0, 1]])
            if world == "default":
                error = ideal_listener(people)
                room = [error[name] - error["ceiling"] for name in ("mean", "sex_mean")]
                gain = [error[name] - error["listener"] for name in ("mean", "sex_mean")]
                skills.append([g / r for g, r in zip(gain, room, strict=True)])

    def summary(values):
        return {
            "mean": round(float(np.mean(values)), 4),
            "low": round(float(np.quantile(values, 0.025)), 4),
            "high": round(float(np.quantile(values, 0.975)), 4),
        }

    result = {"n_worlds": n_worlds}
    for world, found in rows.items():
        columns = zip(("r_squared", "d", "corr_of_face_and_voice_sex"), np.array(found).T,
                      strict=True)  # fmt: skip
        result[world] = {name: summary(values) for name, values in columns}
    columns = zip(("skill", "within_sex_skill"), np.array(skills).T, strict=True)
    result["ideal_listener"] = {name: summary(values) for name, values in columns}
    return result


def main():
    """Run the proofs and store what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--worlds", type=int, default=1000)
    options = parser.parse_args()
    result = {"law": prove_law(options.worlds), "resuming": prove_resuming(options.kills)}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    resuming = result["resuming"]["same_bytes"]
    return 0 if resuming == f"{options.kills}/{options.kills}" else 1


if __name__ == "__main__":
    sys.exit(main())
