"""Log-mel features of every recording of a world, made once and read from disk by page.

The store lies in the world's folder: `features/log_mel.npy` holds the frames of all utterances
one after the other, `features/index.parquet` says which are whose. It is made in shards by
several processes; what a stopped run has finished is kept.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from v2mlib.checks import InputError
from v2mlib.datasets.shards import N_MELS, map_frames, write_frames
from v2mlib.files import atomic
from v2mlib.processes import processors, run_jobs
from v2mlib.staging import in_turn

FOLDER = "features"
_UTTERANCES_PER_SHARD = 64
_SHARDS_PER_WORKER = 2  # fewer do not repay the start of a process


@dataclasses.dataclass(frozen=True, eq=False)
class LogMelStore:
    """Log-mel matrices of many utterances.

    Attributes
    ----------
    frames : ndarray of float16, (frame, mel=64), standard deviations
        All utterances one after the other; mapped from disk.
    index : pandas.DataFrame
        A row per utterance, aligned with `World.utterances`: `identity`, `utterance`, `path`,
        `split`, `start` and `n_frames` (its rows of `frames`), `problem` (why it has none, or
        empty).
    """

    frames: np.ndarray
    index: pd.DataFrame

    def __len__(self):
        """Count the utterances."""
        return len(self.index)

    def log_mel(self, row):
        """Log-mel matrix of one utterance.

        Parameters
        ----------
        row : int
            Row of the index.

        Returns
        -------
        ndarray of float32, (frame, mel=64), standard deviations
            Empty if the recording could not be used.
        """
        start, n_frames = (int(self.index[name].iloc[row]) for name in ("start", "n_frames"))
        return np.asarray(self.frames[start : start + n_frames], dtype=np.float32)


def log_mel_store(world, *, workers=None, progress=True):
    """Log-mel features of all utterances of a world, made now or found made.

    Half precision is enough: features are standardised, so that the error is below 0.001
    standard deviations for all but the rarest values.

    Parameters
    ----------
    world : World or Dataset
        The data set; `v2mlib.datasets.load_world`. A built one comes with its features.
    workers : int, optional
        Processes; as many as there are processors by default. The result does not depend on it.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    LogMelStore
        Aligned with `world.utterances`.

    Raises
    ------
    InputError
        If no recording can be used, or the folder cannot be written.
    V2MError
        If a worker process dies; run again, it goes on.
    """
    from v2mlib.voices import RELEASED_ACTIVITY, RELEASED_LOG_MEL

    folder = Path(world.folder) / FOLDER
    built = getattr(world, "features", None)
    if built is not None:
        return _built(folder, built)
    recipe = [dataclasses.asdict(part) for part in (RELEASED_ACTIVITY, RELEASED_LOG_MEL)]
    wanted = recordings_digest(world, recipe)
    store = _load(folder, wanted)
    if store is not None:
        return store
    try:
        with in_turn(folder.with_name(f".{FOLDER}.lock")):  # processes of one training begin here
            store = _load(folder, wanted)  # perhaps another process has made it meanwhile
            if store is not None:
                return store
            _begin(folder, wanted)
            shards = _make_shards(world, folder, workers, progress)
            return _join(world, folder, shards, wanted)
    except OSError as error:
        raise InputError(
            folder, f"cannot be written ({error.strerror})", "free space, or move the world"
        ) from error


def recordings_digest(world, recipe=None):
    """Digest all that features depend on: the recordings, by name and size, and the recipe.

    Parameters
    ----------
    world : World
        The data set.
    recipe : object
        How they are made, as plain data.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps([recipe, world.config], default=str).encode())
    for path in world.utterances["path"]:
        try:
            size = os.stat(world.folder / path).st_size
        except OSError:
            size = -1
        digest.update(f"{path} {size}\n".encode())
    return digest.hexdigest()


def shard_maker(setup):
    """Prepare to work out shards; runs in each worker.

    Parameters
    ----------
    setup : dict
        `folder` of the world.

    Returns
    -------
    callable
        Takes (shard's file, paths of recordings), writes the file, and returns the number of
        recordings.
    """
    from v2mlib.voices import front_end

    world = Path(setup["folder"])

    def make(job):
        file, paths = job
        matrices, problems = [], []
        for path in paths:
            try:
                matrices.append(front_end(world / path).astype(np.float16))
                problems.append("")
            except InputError as error:
                matrices.append(np.zeros((0, N_MELS), dtype=np.float16))
                problems.append(error.problem)
        with atomic(file) as partial, open(partial, "wb") as stream:
            np.savez(
                stream,
                frames=np.concatenate(matrices),
                n_frames=np.array([len(matrix) for matrix in matrices]),
                problems=np.array(json.dumps(problems)),
            )
        return len(paths)

    return make


def _built(folder, digest):
    store = _load(folder, digest)
    if store is None:
        raise InputError(folder, "is damaged or of another data set", "build the data set again")
    return store


def _load(folder, wanted):
    """Read the store if it is there, whole and of these recordings."""
    try:
        made_from = json.loads((folder / "features.json").read_text("utf-8"))
        if made_from["digest"] != wanted:
            return None
        frames = map_frames(folder / "log_mel.npy")
        index = pd.read_parquet(folder / "index.parquet")
    except (OSError, ValueError, KeyError):
        return None
    return LogMelStore(frames, index) if len(frames) == index["n_frames"].sum() else None


def _begin(folder, wanted):
    """Keep the shards of a stopped run, unless they are of other recordings."""
    begun = folder / "shards" / wanted[:16]
    if folder.exists() and not begun.is_dir():
        shutil.rmtree(folder)
    begun.mkdir(parents=True, exist_ok=True)


def _make_shards(world, folder, workers, progress):
    (place,) = (folder / "shards").iterdir()
    paths = world.utterances["path"].tolist()
    starts = range(0, len(paths), _UTTERANCES_PER_SHARD)
    files = [place / f"{number:05d}.npz" for number in range(len(starts))]
    jobs = [
        (str(file.absolute()), paths[start : start + _UTTERANCES_PER_SHARD])
        for start, file in zip(starts, files, strict=True)
        if not file.exists()
    ]
    workers = min(workers or processors(), 1 + len(jobs) // _SHARDS_PER_WORKER)
    done = len(paths) - sum(len(job[1]) for job in jobs)
    bar = tqdm(total=len(paths), initial=done, desc="log-mel", unit="clip", disable=not progress)
    with bar:
        setup = {"folder": str(Path(world.folder).absolute())}
        target = "v2mlib.datasets.features:shard_maker"
        for _, count in run_jobs(target, jobs, setup=setup, workers=workers):
            bar.update(count)
    return files


def _join(world, folder, shards, wanted):
    counts, problems = [], []
    for file in shards:
        with np.load(file, allow_pickle=False) as shard:
            counts.append(shard["n_frames"])
            problems += json.loads(str(shard["problems"]))
    counts = np.concatenate(counts)
    if not counts.any():
        raise InputError(
            world.folder, f"has no usable recording: the first one {problems[0]}", "record again"
        )
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    columns = ["identity", "utterance", "path", "split"]
    index = world.utterances[columns].reset_index(drop=True)
    index = index.assign(start=starts, n_frames=counts, problem=problems)
    write_frames(folder / "log_mel.npy", map(_frames_of, shards), counts.sum())
    with atomic(folder / "index.parquet") as partial:
        index.to_parquet(partial)
    with atomic(folder / "features.json") as partial:  # last: it says that all is there
        partial.write_text(json.dumps({"digest": wanted}) + "\n", "utf-8")
    shutil.rmtree(folder / "shards")
    return _load(folder, wanted)


def _frames_of(shard):
    with np.load(shard, allow_pickle=False) as arrays:
        return arrays["frames"]
