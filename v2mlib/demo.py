"""The main job on the phantom: build a world, train, judge beside references, report."""

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import v2mlib
from v2mlib.checks import InputError
from v2mlib.files import atomic
from v2mlib.metrics.skill import SKILLS

WORLDS = ("default", "sex_only", "null")
SIZES = ("tutorial", "tiny")
REFERENCES = ("mean_face", "sex_mean_face", "model", "ceiling")
SUMMARY_KEYS = (
    "world",
    "size",
    *REFERENCES,
    *(f"{name}{end}" for name in SKILLS for end in ("", "_ci_low", "_ci_high")),
    "n_test_identities",
    "seconds",
)
"""Keys of ``v2m demo --json``, in order."""


class DemoResult(NamedTuple):
    """What a demo found."""

    summary: dict
    skills: pd.DataFrame
    folder: Path
    report: Path


def run_demo(*, world="default", size="tutorial", out="demo", seed=0, announce=None, progress=True):
    """Build a phantom world, train on it, judge beside references, write a report.

    Every stage is done once: what is finished is reused, what was stopped goes on.

    Parameters
    ----------
    world : {"default", "sex_only", "null"}
        What a voice tells: the face, the sex only, nothing.
    size : {"tutorial", "tiny"}
        Minutes; or seconds, with figures that mean nothing.
    out : path
        A folder per world and size is made in it.
    seed : int
        Of the world, the training and the bootstrap.
    announce : callable, optional
        Called with a line of text per stage.
    progress : bool
        Whether to show progress bars on stderr.

    Returns
    -------
    DemoResult
        The figures, and where the report is.

    Raises
    ------
    InputError
        If an argument is unknown, the folder cannot be written, or another demo is at work
        there.
    """
    from v2mlib.predicting import prepare_folder
    from v2mlib.staging import Stages, only_one

    for name, value, known in (("world", world, WORLDS), ("size", size, SIZES)):
        if value not in known:
            raise InputError(f"{name} {value!r}", "is unknown", f"choose from {', '.join(known)}")
    start = time.perf_counter()
    folder, _ = prepare_folder(Path(out) / f"{world}_{size}")
    with only_one(folder, "another v2m demo"):
        stages = Stages(
            folder, _made_from(world, size, seed), announce=announce or (lambda line: None)
        )
        skills = _Demo(stages, world, size, seed, progress).run()
        summary = summarise(skills, world=world, size=size, seconds=time.perf_counter() - start)
        with atomic(folder / "result.json") as partial:
            partial.write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    return DemoResult(summary, skills, folder, folder / "report.html")


def _made_from(world, size, seed):
    """All that a demo depends on besides the settings of its stages."""
    from v2mlib.files import sha256
    from v2mlib.paths import shipped

    names = ("face.npz", "law.csv", "law_attributes.csv", "sentences.txt")
    files = {name: sha256(shipped(f"phantom_{name}")) for name in names}
    settings = {"world": world, "size": size, "seed": seed}
    return settings | {"version": v2mlib.__version__, "files": files}


class _Demo:
    """The stages of one demo."""

    def __init__(self, stages, world, size, seed, progress):
        self.stages, self.name, self.size, self.seed = stages, world, size, seed
        self.progress = progress

    def run(self):
        """Do or find every stage; returns the table of skills."""
        from v2mlib.datasets import load_world

        place = self.stages.run(
            "world", "build the population", self._build, results=("world.json",)
        )
        self.world = load_world(place)
        self.places = {}
        for variant, title in (
            ("end_to_end", "train the voice encoder end to end"),
            ("pretrained", "train a head on an encoder pretrained on identity"),
        ):
            config = training_config(self.size, variant, self.seed)
            self.places[variant] = self.stages.run(
                variant,
                title,
                lambda place, config=config: self._train(place, config),
                results=("model.safetensors", "model.json", "history.parquet"),
                config=dataclasses.asdict(config),
            )
        scores = self.stages.run(
            "scores",
            "judge every method on the test identities",
            self._judge,
            results=("scores.parquet", "skills.csv", "utterance_skills.csv"),
        )
        self.stages.run(
            "figures",
            "draw figures and write the report",
            lambda place: self._report(place, scores),
            results=("errors.png", "lines.png", "training.png", "faces.png", "../report.html"),
        )
        return pd.read_csv(scores / "skills.csv")

    def _build(self, place):
        from v2mlib.datasets.features import log_mel_store
        from v2mlib.phantom import make_world

        world = make_world(
            self.size, place, world=self.name, seed=self.seed, photos=0, progress=self.progress
        )
        log_mel_store(world, progress=self.progress)

    def _train(self, place, config):
        from v2mlib.fitting import train_supervised

        train_supervised(self.world, out=place, config=config, progress=self.progress)

    def _judge(self, place):
        from v2mlib.metrics.scoring import score_methods
        from v2mlib.metrics.skill import skill_table

        predictions = self._predictions()
        scores = score_methods(self.world, predictions)
        tables = {
            "skills.csv": skill_table(scores, world=self.name, seed=self.seed),
            "utterance_skills.csv": skill_table(
                scores, world=self.name, seed=self.seed, column="error_per_utterance"
            ),
        }
        for name, table in tables.items():
            with atomic(place / name) as partial:
                table.to_csv(partial, index=False)
        coefficients = pd.concat(
            {method: rows.groupby(level=0).mean() for method, rows in predictions.items()},
            names=["method", "identity"],
        )
        coefficients.columns = [f"shape_{number}" for number in range(coefficients.shape[1])]
        for name, table in (("coefficients", coefficients), ("scores", scores)):
            with atomic(place / f"{name}.parquet") as partial:
                table.to_parquet(partial)

    def _predictions(self):
        """Coefficients of the test identities by method; a row per utterance where it hears."""
        from v2mlib.evaluating import predict_methods
        from v2mlib.models import Voice2Mesh

        models = {
            method: Voice2Mesh.load(self.places[variant] / "model.safetensors")
            for method, variant in (("pretrained", "pretrained"), ("model", "end_to_end"))
        }
        return predict_methods(self.world, models, progress=self.progress)

    def _report(self, place, scores):
        from v2mlib.demo_figures import People, choose_people, decode, write_figures
        from v2mlib.demo_page import demo_page
        from v2mlib.faces import load_face_model
        from v2mlib.voices import read_audio

        world, model = self.world, load_face_model(self.world.face_model)
        rows = pd.read_parquet(scores / "scores.parquet")
        coefficients = pd.read_parquet(scores / "coefficients.parquet")
        skills = pd.read_csv(scores / "skills.csv")
        table = choose_people(rows, world.identities, per_sex=3 if self.size == "tutorial" else 1)
        shown = table["identity"].tolist()
        vertices = {
            method: decode(model, coefficients.loc[method].loc[shown])
            for method in ("model", "sex_mean_face", "mean_face")
        }
        reference = pd.DataFrame(
            world.reference_coefficients, index=world.identities["identity"]
        ).loc[shown]
        vertices["reference"] = decode(model, reference)
        mean = rows[rows["measure"] == "mean"]
        errors = mean.pivot(index="identity", columns="method", values="error")
        people = People(table, vertices, errors)
        history = pd.read_parquet(self.places["end_to_end"] / "history.parquet")
        write_figures(place, skills, history, people, model)
        clips = {
            identity: [
                read_audio(world.folder / path)[0]
                for path in world.utterances.query("identity == @identity")["path"][:2]
            ]
            for identity in shown
        }
        page = demo_page(
            summarise(skills, world=self.name, size=self.size, seconds=0.0),
            skills,
            pd.read_csv(scores / "utterance_skills.csv"),
            people,
            model=model,
            figures=place,
            clips=clips,
            facts=self._facts(history),
        )
        with atomic(self.stages.folder / "report.html") as partial:
            partial.write_text(page, "utf-8")

    def _facts(self, history):
        best = history.loc[history["is_best"], "step"].iloc[-1]
        counts = self.world.identities["split"].value_counts()
        clips = self.world.utterances["split"].value_counts()
        seconds = {name: f"{spent:.0f} s" for name, spent in self.stages.seconds.items()}
        return {
            "command": f"v2m demo --world {self.name} --size {self.size}",
            "people": ", ".join(
                f"{counts[split]} {split} ({clips[split]} clips)"
                for split in ("train", "validation", "test")
            ),
            "law": f"{self.world.config['law']}, world {self.name}, seed {self.seed}",
            "face model": str(self.world.config["face_model"]),
            "training": f"{history['step'].max()} steps, weights of step {best} kept",
            "time per stage": ", ".join(f"{name} {spent}" for name, spent in seconds.items()),
            "processors": str(os.cpu_count()),
            "v2mlib": v2mlib.__version__,
        }


def training_config(size, variant, seed):
    """Settings of the demo's trainings.

    Parameters
    ----------
    size : {"tutorial", "tiny"}
        Of the demo.
    variant : {"end_to_end", "pretrained"}
        As in `v2mlib.fitting.SupervisedConfig`.
    seed : int
        Of the training.

    Returns
    -------
    SupervisedConfig
        The library's defaults; a few steps for the tiny size.
    """
    from v2mlib.fitting import EngineConfig, PretrainingConfig, SupervisedConfig

    if size == "tutorial":
        default = SupervisedConfig(variant=variant)
        return dataclasses.replace(default, engine=dataclasses.replace(default.engine, seed=seed))
    engine = EngineConfig(n_steps=20, validate_every=10, checkpoint_every=5, seed=seed)
    return SupervisedConfig(
        variant=variant,
        warmup=5,
        batch_size=16,
        engine=engine,
        pretraining=PretrainingConfig(warmup=5, batch_size=16, engine=engine),
    )


def summarise(skills, *, world, size, seconds):
    """The figures of ``v2m demo --json``.

    Parameters
    ----------
    skills : DataFrame
        From `skill_table`.
    world, size : str
        What was judged.
    seconds : float, s
        How long it took.

    Returns
    -------
    dict
        Under `SUMMARY_KEYS`; None where a figure is undefined.
    """
    mean = skills[skills["measure"] == "mean"].set_index("method")
    model = mean.loc["model"]
    found = {"world": world, "size": size}
    found |= {name: float(mean.loc[name, "error"]) for name in REFERENCES}
    for name in SKILLS:
        for end in ("", "_ci_low", "_ci_high"):
            value = float(model[name + end])
            found[name + end] = value if np.isfinite(value) else None
    found["n_test_identities"] = int(model["n_identities"])
    found["seconds"] = round(seconds, 1)
    return {key: found[key] for key in SUMMARY_KEYS}
