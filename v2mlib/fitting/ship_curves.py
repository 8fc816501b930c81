"""Make the learning curves that come with the package: `python -m v2mlib.fitting.ship_curves`.

Trains Voice2Mesh on the tutorial phantom in several ways, judges the states along the way on the
test identities, keeps what the encoders make of their voices, and writes `phantom_training.csv`,
`phantom_training.npz` and their card. What is there is reused, what was stopped goes on.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch

import v2mlib
from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.torch_datasets import ResidentUtterances, identity_mean
from v2mlib.files import atomic, sha256
from v2mlib.fitting.baselines import mean_face, sex_mean_face
from v2mlib.fitting.data import embed_all, split_names
from v2mlib.fitting.prediction import predict_world
from v2mlib.fitting.supervised import SupervisedConfig, train_supervised
from v2mlib.fitting.task import EngineConfig
from v2mlib.metrics.scoring import score_methods
from v2mlib.metrics.skill import skill_table
from v2mlib.models.voice2mesh import Voice2Mesh
from v2mlib.models.voice_encoder import VoiceEncoder

NAME = "phantom_training"
#: The training of the shipped weights, looked at more often.
ENGINE = EngineConfig(n_steps=600, validate_every=25, keep_every=25, checkpoint_every=100)
#: States that are judged on the test identities, close together at first.
JUDGED = (25, 50, 75, 100, 150, 200, 300, 400, 500, 600)
#: What is true of the voices and may be heard, besides the sex.
TRAITS = (
    "pitch_hz",
    "vocal_tract_length_mm",
    "speaking_rate_hz",
    "breathiness_db",
    "stature_mm",
)
_DIGITS = 5


def ship_curves(out, *, work, pretrained=None, seed=0, workers=None, progress=True):
    """Train, judge the states along the way, and write the files that ship.

    Parameters
    ----------
    out : path
        Folder for the files.
    work : path
        Folder for the world and the training; what is there is reused.
    pretrained : path, optional
        Weights of the variant "pretrained" on the same people, to hear what their encoder hears.
    seed : int
        Of the world.
    workers : int, optional
        Processes.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    pandas.DataFrame
        As `learning_curves`.
    """
    from v2mlib.phantom import make_world

    work, out = Path(work), Path(out)
    options = {"workers": workers, "progress": progress}
    world = make_world("tutorial", work / "world", seed=seed, photos=0, **options)
    config = SupervisedConfig(engine=ENGINE)
    trained = train_supervised(world, out=work / "end_to_end_0", config=config, **options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = {"untrained": VoiceEncoder().eval()}
    if pretrained is not None:
        encoders["pretrained"] = Voice2Mesh.load(pretrained).encoder
    encoders["end_to_end"] = trained.model.encoder
    heard = {name: heard_by(encoder, world) for name, encoder in encoders.items()}
    table = learning_curves(trained, world, **options)
    _write(out, table, _people(world) | heard, world)
    return table


def learning_curves(trained, world, *, workers=None, progress=True):
    """Judge the kept states of a training on the test identities.

    Parameters
    ----------
    trained : SupervisedTraining
        Of a training that kept states.
    world : World
        A phantom world, whose ceiling is known.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    pandas.DataFrame
        A row per judged state: `step`, its losses as in `Training.history`, mean corrected ratio
        `error` on the test identities, `skill` and `within_sex_skill`, each with `_ci_low` and
        `_ci_high` (95 %, over identities). Rows of step 0 are `mean_face`, `sex_mean_face` and
        `ceiling`, named in the column `method`, as the states are "model".
    """
    test = (world.identities["split"] == "test").to_numpy()
    predictions = {
        "mean_face": mean_face(world),
        "sex_mean_face": sex_mean_face(world),
        "ceiling": np.asarray(world.ceiling_coefficients)[test],
    }
    model, training = trained
    for path in (training.folder / "kept" / f"{step:06d}.pt" for step in JUDGED):
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in state.items():
            getattr(model, name).load_state_dict(part)
        predictions[path.stem] = predict_world(model, world, workers=workers, progress=progress)
    scores = score_methods(world, predictions, model=model.face_model)
    table = skill_table(scores, world=world.config.get("world", "default"))
    table = table[table["measure"] == "mean"].set_index("method")
    ends = ("", "_ci_low", "_ci_high")
    columns = [f"{name}{end}" for name in ("error", "skill", "within_sex_skill") for end in ends]
    table = table[columns].reset_index()
    is_state = table["method"].str.isdigit()
    table.insert(0, "step", table["method"].where(is_state, 0).astype(int))
    table["method"] = table["method"].mask(is_state, "model")
    losses = training.history[["step", "loss", "validation_loss", "validation_unexplained"]]
    return table.merge(losses, on="step", how="left")


def heard_by(encoder, world):
    """Average an encoder's embeddings over each test identity's utterances.

    Parameters
    ----------
    encoder : VoiceEncoder
        In eval mode.
    world : World
        The data set.

    Returns
    -------
    ndarray of float32, (identity, embedding)
        In the order of the world.
    """
    store = log_mel_store(world, progress=False)
    utterances = ResidentUtterances(store, split_names(world, "test"))
    with torch.inference_mode():
        found = embed_all(encoder, utterances)
        return identity_mean(found, utterances.identity, len(utterances.identities)).numpy()


def _people(world):
    """Who the test identities are, as far as a voice may tell."""
    test = (world.identities["split"] == "test").to_numpy()
    people = world.identities.loc[test, ["identity", "sex"]]
    voices = world.voices.set_index("identity").loc[people["identity"]]
    return {name: people[name].to_numpy(dtype=str) for name in people} | {
        name: voices[name].to_numpy(np.float32) for name in TRAITS
    }


def _write(out, table, arrays, world):
    arrays = {
        name: value.astype(np.float16) if value.ndim == 2 else value
        for name, value in arrays.items()
    }
    with atomic(out / f"{NAME}.npz") as partial:
        np.savez_compressed(partial, **arrays)
    with atomic(out / f"{NAME}.csv") as partial:
        table.round(_DIGITS).to_csv(partial, index=False)
    card = {
        "kind": "learning curves",
        "version": v2mlib.__version__,
        "world": world.config,
        "supervised": dataclasses.asdict(SupervisedConfig(engine=ENGINE)),
        "csv_sha256": sha256(out / f"{NAME}.csv"),
        "npz_sha256": sha256(out / f"{NAME}.npz"),
    }
    with atomic(out / f"{NAME}.json") as partial:
        partial.write_text(json.dumps(card, indent=1) + "\n", "utf-8")


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
    parser.add_argument("--out", default="data", help="folder for the files (default: data)")
    parser.add_argument("--work", default="build/curves", help="folder for the trainings")
    parser.add_argument("--pretrained", help="weights whose encoder was pretrained")
    parser.add_argument("--seed", type=int, default=0, help="of the world")
    parser.add_argument("--workers", type=int, help="processes")
    options = parser.parse_args(arguments)
    table = ship_curves(
        options.out,
        work=options.work,
        pretrained=options.pretrained,
        seed=options.seed,
        workers=options.workers,
    )
    print(table[["method", "step", "error", "skill", "within_sex_skill"]].to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
