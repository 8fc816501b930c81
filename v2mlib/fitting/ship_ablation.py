"""Make the ablation that comes with the package: `python -m v2mlib.fitting.ship_ablation`.

Runs all eight distillation methods over several seeds on the tutorial phantom with photographs,
from the encoder, generator and teacher that `v2mlib.fitting.ship_evaluation` leaves in its
folder, and writes `phantom_ablation.npz` with its card. What is finished is not done again.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from v2mlib.datasets import load_world
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting.ablation import run_ablation
from v2mlib.fitting.ablation_config import AblationConfig
from v2mlib.fitting.ablation_files import write_ablation
from v2mlib.fitting.adversarial import AdversarialConfig
from v2mlib.fitting.joint_start import AdversarialRun
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.unsupervised import UnsupervisedConfig
from v2mlib.models.image_to_face import ImageToFace

NAME = "phantom_ablation"
#: Small enough for one processor: 16,000 images, the paper shows its networks 6.4 million. All
#: learning rates end at 0, so that what is compared is not where a student happens to be.
SHIPPED = AblationConfig(
    training=UnsupervisedConfig(
        adversarial=AdversarialConfig(
            generator_width=0.25,
            critic_width=0.5,
            batch_size=32,
            crop=CropConfig(),
            engine=EngineConfig(n_steps=500, validate_every=100, checkpoint_every=50),
        ),
        student_width=0.5,
        student_rate=5.0,
        decay=True,
    )
)


def ship_ablation(out, *, work, start_from=None, workers=1, progress=True):
    """Run the ablation and write what comes with the package.

    Parameters
    ----------
    out : path
        Folder for `phantom_ablation.npz` and its card.
    work : path
        Folder of `v2mlib.fitting.ship_evaluation`, with ``world`` and ``generator``
        in it; the ablation goes there, too, in ``ablation``.
    start_from : path, optional
        Another finished adversarial training to start from, instead of ``generator``.
    workers : int
        Processes.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    dict
        The card.
    """
    work = Path(work)
    start_from = Path(start_from or work / "generator")
    started = AdversarialRun.read(start_from)
    world, teacher = load_world(work / "world"), ImageToFace.load("phantom")
    found = run_ablation(
        world, started.encoder, teacher, out=work / "ablation", config=SHIPPED,
        start_from=start_from, workers=workers, progress=progress,
    )  # fmt: skip
    card = {
        "world": world.config,
        "ablation": dataclasses.asdict(SHIPPED),
        "start": {
            "what": "generator and critic of an adversarial training, the same for all runs",
            "steps": started.settings["engine"]["n_steps"],
            "batch_size": started.settings["adversarial"]["batch_size"],
        },
        "teacher": "phantom_image_to_face",
    }
    return write_ablation(Path(out) / f"{NAME}.npz", found, card=card)


def main(arguments=None):
    """Run from the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="data", help="folder for the file (default: data)")
    parser.add_argument("--work", default="build/evaluation", help="folder of the trainings")
    parser.add_argument("--start", help="adversarial training to start from")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    options = parser.parse_args(arguments)
    card = ship_ablation(
        options.out, work=options.work, start_from=options.start, workers=options.workers
    )
    print(json.dumps(card["runs"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
