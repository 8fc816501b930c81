"""Long proof that trainings survive kills; writes tools/results/prove_training_survives.json.

A supervised, an adversarial and a joint training on a tiny phantom are killed (SIGKILL) at random
moments of their course, every third run again and again, and started again until they end. The
losses, the figures of every look at the validation identities, and the final and the best states
of networks and optimisers must be the undisturbed run's, bit for bit; one thread everywhere.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import lightning_fabric  # noqa: F401  here once, not in every process that is started
import torch
import torch.utils.tensorboard

from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting.adversarial import AdversarialConfig, train_adversarial
from v2mlib.fitting.supervised import SupervisedConfig, train_supervised
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.unsupervised import UnsupervisedConfig, train_unsupervised
from v2mlib.models import ImageToFace, VoiceEncoder
from v2mlib.phantom import make_world

RESULTS = Path(__file__).with_name("results") / "prove_training_survives.json"
SEED = 21
ENGINE = EngineConfig(n_steps=24, validate_every=5, checkpoint_every=4, device="cpu")
CROP = CropConfig(1.0, 1.2)
ADVERSARIAL = AdversarialConfig(
    generator_width=1 / 32, critic_width=1 / 8, batch_size=8, crop=CROP, engine=ENGINE
)
KINDS = ("supervised", "adversarial", "joint")


def train(kind, world, out):
    """Run one training to its end."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    encoder = VoiceEncoder(channels=(16, 16, 16, 16))
    if kind == "supervised":
        config = SupervisedConfig(batch_size=8, crop=CROP, warmup=4, engine=ENGINE)
        train_supervised(world, out=out, config=config, progress=False)
    elif kind == "adversarial":
        train_adversarial(world, encoder, out=out, config=ADVERSARIAL, progress=False)
    else:
        teacher = ImageToFace(width=1 / 8, image_size=48)
        config = UnsupervisedConfig(adversarial=ADVERSARIAL, student_width=1 / 8)
        train_unsupervised(world, encoder, teacher, out=out, config=config, progress=False)


def start(kind, world, out):
    """Begin a training in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=train, args=(kind, world, out))
    process.start()
    return process


def digest(value, found=None):
    """Checksum of a tree of tensors and plain data, bit by bit."""
    found = found or hashlib.sha256()
    if isinstance(value, dict):
        for key in value:
            found.update(str(key).encode())
            digest(value[key], found)
    elif isinstance(value, (list, tuple)):
        for item in value:
            digest(item, found)
    elif isinstance(value, torch.Tensor):
        found.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    else:
        found.update(repr(value).encode())
    return found.hexdigest()[:16]


def outcome(out):
    """What a training came to: checksums of states, and every loss that was written down."""
    last, best = (torch.load(out / n, weights_only=True) for n in ("last.pt", "best.pt"))
    run = dict(last["run"])
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in run["history"]]
    return {
        "networks": digest(last["networks"]),
        "optimisers": digest(last["optimisers"]),
        "best": digest(best),
        "history": history,
        "best_step": run["best_step"],
    }


def survive(kind, world, out, moments, whole):
    """Kill a training at the moments, let the last one end, and compare."""
    kills = []
    for moment in moments:
        process = start(kind, world, out)
        process.join(moment)
        if process.is_alive():
            process.kill()
            process.join()
            kept = out / "last.pt"
            step = torch.load(kept, weights_only=True)["run"]["step"] if kept.exists() else 0
            kills.append({"after_s": round(moment, 2), "kept_step": step})
    process = start(kind, world, out)
    process.join()
    found = outcome(out)
    return {
        "kind": kind,
        "kills": kills,
        "same": process.exitcode == 0 and found == whole,
        "different": [name for name in whole if found[name] != whole[name]],
    }


def main():
    """Run the proof and store what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=12, help="runs to kill, of each kind")
    options = parser.parse_args()
    drawn, runs, seconds = random.Random(SEED), [], {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        world = make_world("tiny", folder / "world", photos=2, progress=False)
        log_mel_store(world, progress=False)
        for kind in KINDS:
            began = time.perf_counter()
            process = start(kind, world, folder / kind)
            process.join()
            seconds[kind] = time.perf_counter() - began
            whole = outcome(folder / kind)
            for number in range(options.kills):
                moments = [drawn.uniform(0.3, 1.0) * seconds[kind]
                           for _ in range(4 if number % 3 == 2 else 1)]  # fmt: skip
                runs.append(survive(kind, world, folder / f"{kind}{number}", moments, whole))
                print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    good = sum(run["same"] for run in runs)
    result = {
        "torch": torch.__version__,
        "precision": "bf16-mixed where the hardware multiplies it",
        "steps": ENGINE.n_steps,
        "seconds_undisturbed": {kind: round(spent, 1) for kind, spent in seconds.items()},
        "kills": sum(len(run["kills"]) for run in runs),
        "good": f"{good}/{len(runs)}",
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result | {"runs": runs}, indent=1) + "\n")
    print(json.dumps(result))
    return 0 if good == len(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
