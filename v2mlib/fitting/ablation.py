"""Does the choice of distillation method matter? All of them, over several seeds (Table 5).

Every run trains generator and student jointly from the same start, differing in the method and
the seed only, and is scored on the test identities. Runs are jobs of their own: they go to
several processes or to a cluster, and those that are finished are not done again.
"""

import dataclasses
import functools
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

import v2mlib
from v2mlib.checks import InputError
from v2mlib.datasets import load_data
from v2mlib.files import atomic
from v2mlib.fitting.ablation_config import AblationConfig, restored
from v2mlib.fitting.ablation_scores import NO_SEED, deal_within_sex, tidy_errors
from v2mlib.fitting.ablation_start import equal_weights, generator_of
from v2mlib.fitting.adversarial import digest_of
from v2mlib.fitting.baselines import mean_face, sex_mean_face
from v2mlib.fitting.cascade import Cascade, predict_cascade
from v2mlib.fitting.joint_start import start_of
from v2mlib.fitting.unsupervised import train_unsupervised
from v2mlib.metrics.scoring import score_methods
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice_encoder import VoiceEncoder
from v2mlib.models.voice_to_image import VoiceToImage
from v2mlib.models.weights import load_exactly, read_weights, write_weights
from v2mlib.processes import run_jobs
from v2mlib.staging import only_one


class Ablation(NamedTuple):
    """What came of an ablation.

    Attributes
    ----------
    errors : DataFrame
        A row per method, seed (`NO_SEED` for the baselines), test identity, line ("ear",
        "forehead", "midline", "cheek", "mean") and definition ("corrected", "published"):
        columns ``method``, ``seed``, ``identity``, ``sex``, ``line``, ``definition``, ``error``
        (absolute ratio error of the face averaged over the identity's utterances) and
        ``error_per_utterance`` (mean of its utterances' errors, as published).
    runs : DataFrame
        A row per method and seed: ``method``, ``seed``, ``weight`` of the distillation,
        ``seconds``, and the last row of the training's history.
    folder : pathlib.Path
        Where all of it lies.
    """

    errors: pd.DataFrame
    runs: pd.DataFrame
    folder: Path


def run_ablation(
    world,
    encoder,
    teacher,
    *,
    out,
    config=None,
    start_from=None,
    workers=1,
    spread=None,
    progress=True,
):
    """Train and score every method with every seed, or go on where it was stopped.

    Parameters
    ----------
    world : World
        The data set, with photographs.
    encoder : VoiceEncoder
        Pretrained; frozen.
    teacher : ImageToFace
        Pretrained; frozen.
    out : path
        Folder of the ablation.
    config : AblationConfig, optional
        Which methods, seeds and trainings.
    start_from : path, optional
        Folder of a finished `train_adversarial` with this encoder, from which all runs start.
    workers : int
        Processes on this machine.
    spread : callable, optional
        Does the jobs elsewhere: called with a function and a list of jobs (plain data), gives
        the results as they come. All must see `out` and the world's folder.
    progress : bool
        Whether to show a bar with a tick per run on the standard error stream.

    Returns
    -------
    Ablation
        Errors of all runs and of the baselines ``mean_face``, ``sex_mean_face``, ``cascade``
        (generator and teacher as they are before any joint training; only with `start_from`),
        the null control ``dealt`` (voices dealt to others of the same sex, of one of the
        methods), and ``ceiling`` where the world knows it.

    Raises
    ------
    InputError
        If the folder holds another ablation or something cannot be used.
    TrainingError
        If a training went wrong.
    """
    config, out = config or AblationConfig(), Path(out)
    start_from = None if start_from is None else Path(start_from).resolve()
    out.mkdir(parents=True, exist_ok=True)
    with only_one(out, "another ablation"):
        _claim(out, world, encoder, teacher, config, start_from)
        _weigh(out, world, encoder, teacher, config, start_from)
        jobs = [job for job in config.jobs if not _result(out, job).exists()]
        bar = tqdm(
            total=len(config.jobs),
            initial=len(config.jobs) - len(jobs),
            desc="ablation",
            unit="run",
            disable=not progress,
        )
        with bar:
            for name in _done(world, encoder, teacher, out, jobs, workers, spread):
                bar.set_postfix_str(name, refresh=False)
                bar.update()
        baselines = _baselines(world, encoder, teacher, start_from)
        return collect_ablation(out, config, baselines)


def _done(world, encoder, teacher, out, jobs, workers, spread):
    """Names of the runs, as they are finished."""
    if spread is not None:
        yield from spread(perform, [{"folder": str(out), **job} for job in jobs])
    elif workers > 1 and len(jobs) > 1:
        target = f"{__name__}:worker"
        for _, name in run_jobs(target, jobs, setup=str(out), workers=workers):
            yield name
    else:
        for job in jobs:
            yield _run(_Given(world, encoder, teacher, *_settings(out)), out, **job)


class _Given(NamedTuple):
    """What all runs share."""

    world: object
    encoder: VoiceEncoder
    teacher: ImageToFace
    config: AblationConfig
    start_from: str | None


def worker(folder):
    """Make the function that does the jobs of an ablation in a process.

    Parameters
    ----------
    folder : str
        Of the ablation.

    Returns
    -------
    callable
        Called with a job, gives its name.
    """
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    return lambda job: perform({"folder": folder, **job})


def _leave_with(parent):
    """End with the parent, however it ends: who runs again must find the runs free to go on."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def perform(job):
    """Do one run of an ablation, wherever this is.

    Parameters
    ----------
    job : dict
        ``folder`` of the ablation, ``method``, ``seed``.

    Returns
    -------
    str
        Name of the run.
    """
    return _run(_given(job["folder"]), Path(job["folder"]), job["method"], job["seed"])


@functools.lru_cache(maxsize=1)
def _given(folder):
    """Load what all runs share, once per process."""
    folder = Path(folder)
    config, start_from = _settings(folder)
    made = json.loads((folder / "ablation.json").read_text("utf-8"))
    path = folder / "given" / "encoder.safetensors"
    tensors, card = read_weights(path)
    encoder = load_exactly(VoiceEncoder(**card["architecture"]), tensors, path)
    teacher = ImageToFace.load(folder / "given" / "teacher.safetensors")
    world = load_data(made["world_folder"])
    return _Given(world, encoder.eval(), teacher.eval(), config, start_from)


def _settings(folder):
    made = json.loads((Path(folder) / "ablation.json").read_text("utf-8"))
    return restored(AblationConfig(), made["config"]), made["start_from"]


def _claim(out, world, encoder, teacher, config, start_from):
    """Write down what the ablation is made from, or see that it is the same."""
    made = {
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        "world": json.loads(json.dumps(world.config)),
        "encoder": digest_of(encoder),
        "teacher": digest_of(teacher),
        "version": v2mlib.__version__,
        "start_from": None if start_from is None else str(start_from),
        "world_folder": str(Path(world.folder).resolve()),
    }
    path = out / "ablation.json"
    if not path.exists():
        given = out / "given"
        channels = [layer.out_channels for layer in encoder.layers if hasattr(layer, "stride")]
        described = {
            "n_mels": encoder.n_mels,
            "channels": channels[:-1],
            "embedding_size": channels[-1],
        }
        write_weights(
            given / "encoder.safetensors",
            encoder.state_dict(),
            {"kind": "voice_encoder", "architecture": described},
            half=False,
        )
        teacher.save(given / "teacher.safetensors", half=False)
        with atomic(path) as partial:
            partial.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
        return
    found = json.loads(path.read_text("utf-8"))
    places = {"world_folder", "start_from"}  # may have moved
    for name in sorted(made.keys() - places):
        if found.get(name) != made[name]:
            raise InputError(
                out,
                f"holds another ablation: its {name} differs",
                "choose another folder, or delete this one",
            )
    if any(found.get(name) != made[name] for name in places):
        with atomic(path) as partial:
            partial.write_text(json.dumps(made, indent=1) + "\n", "utf-8")


def _result(out, job):
    return out / "results" / f"{job['method']}_{job['seed']}.parquet"


def _run(given, out, method, seed):
    """Train and score one method with one seed."""
    name = f"{method}_{seed}"
    place, config = out / "runs" / name, given.config
    weight = json.loads((out / "weights.json").read_text("utf-8"))[method]
    training = config.training_of(method, seed, weight=weight)
    trained = train_unsupervised(
        given.world,
        given.encoder,
        given.teacher,
        out=place,
        config=training,
        start_from=given.start_from,
        progress=False,
    )
    table = predict_cascade(trained.cascade, given.world, progress=False)
    tables = {method: table}
    if method == config.null_of:
        tables["dealt"] = deal_within_sex(table, given.world, seed=seed)
    scores = tidy_errors(score_methods(given.world, tables)).assign(seed=seed)
    history = trained.training.history.iloc[-1]
    card = {"method": method, "seed": seed, "weight": weight}
    card |= {key: float(value) for key, value in history.items() if key != "is_best"}
    with atomic(out / "results" / f"{name}.json") as partial:
        partial.write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    with atomic(_result(out, {"method": method, "seed": seed})) as partial:
        scores.to_parquet(partial)
    if not config.keep_networks:
        shutil.rmtree(place)
    return name


def _weigh(out, world, encoder, teacher, config, start_from):
    """Work out the weights once: a resumed run must not find others in their last digits."""
    path = out / "weights.json"
    if path.exists():
        return
    if config.weighting == "equal":
        weights = equal_weights(world, encoder, teacher, config, start_from=start_from)
    else:
        weights = dict.fromkeys(config.methods, config.training.lessons.weights.distillation)
    with atomic(path) as partial:
        partial.write_text(json.dumps(weights, indent=1) + "\n", "utf-8")


def _baselines(world, encoder, teacher, start_from):
    """Errors of what was not trained here."""
    tables = {"mean_face": mean_face(world), "sex_mean_face": sex_mean_face(world)}
    if start_from is not None:
        drawer = generator_of(start_of(start_from, encoder).networks["generator"])
        cascade = Cascade(VoiceToImage(encoder, drawer).eval(), teacher.eval())
        tables["cascade"] = predict_cascade(cascade, world, progress=False)
    if getattr(world, "ceiling_coefficients", None) is not None:
        test = (world.identities["split"] == "test").to_numpy()
        tables["ceiling"] = np.asarray(world.ceiling_coefficients)[test]
    return tidy_errors(score_methods(world, tables)).assign(seed=NO_SEED)


def collect_ablation(out, config, baselines):
    """Put the results of all runs together.

    Parameters
    ----------
    out : path
        Folder of the ablation.
    config : AblationConfig
        Whose runs.
    baselines : DataFrame
        Errors of what was not trained.

    Returns
    -------
    Ablation
        See there.
    """
    out = Path(out)
    errors = [pd.read_parquet(_result(out, job)) for job in config.jobs]
    runs = [
        json.loads(_result(out, job).with_suffix(".json").read_text("utf-8")) for job in config.jobs
    ]
    columns = ["method", "seed", "identity", "sex", "line", "definition"]
    columns += ["error", "error_per_utterance"]
    both = pd.concat([baselines, *errors], ignore_index=True)[columns]
    return Ablation(both, pd.DataFrame(runs), out)
