"""A population on disk, laid out as the real data: clips, photographs, the names' table.

    wav/id00001/<video>/<clip>.wav   faces/<Name>/<photo>.jpg   vox1_meta.csv   truth/   world.json

Every file appears whole or not at all, and the marker `"complete": true` in `world.json` is
written last, so a build that was stopped at any moment goes on when it is started again.
"""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from v2mlib import __version__
from v2mlib.checks import InputError
from v2mlib.datasets.world import (
    LANDMARKS,
    MARKER,
    OWN_FACE_MODEL,
    fingerprint,
    load_world,
    read_marker,
    same_fingerprint,
    what_is_missing,
)
from v2mlib.files import atomic
from v2mlib.phantom.corpus import base_corpus
from v2mlib.phantom.population import Population
from v2mlib.phantom.sizes import SIZES, Size
from v2mlib.phantom.speech import SpeechConfig
from v2mlib.phantom.workers import unwritable
from v2mlib.processes import run_jobs
from v2mlib.staging import only_one

_NATIONALITY = "Phantom"
_FILES_PER_WORKER = 60  # fewer do not repay the start of a process


def make_world(
    size,
    out,
    *,
    world="default",
    seed=0,
    coupling=1.0,
    law="teaching",
    face_model="phantom",
    photos=None,
    workers=None,
    progress=True,
):
    """Make a population of a named size and write it to a folder.

    Parameters
    ----------
    size : {"tiny", "tutorial", "paper"} or Size
        How many people, clips and photographs; see `SIZES`.
    out : path
        Folder; created, or one where the same world was begun.
    world : {"default", "sex_only", "null"}
        What of the voice-face link is left.
    seed : int
        Of everything random.
    coupling : float, 0 to 1
        Factor on the within-sex link.
    law : {"teaching", "published"}
        What the link is.
    face_model : str, path or MorphableModel
        The face.
    photos : int, optional
        Photographs per identity, instead of the size's; 0 makes none.
    workers : int, optional
        Processes; as many as there are processors by default. The files do not depend on it.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    World
        As `v2mlib.datasets.load_world` gives it.

    Raises
    ------
    InputError
        If the folder holds something else or cannot be written, or an argument is impossible.
    V2MError
        If a worker process dies; run again, it goes on.
    """
    if not isinstance(size, Size):
        if size not in SIZES:
            raise InputError(f"size {size!r}", "is unknown", f"choose one of {', '.join(SIZES)}")
        size = SIZES[size]
    if photos is not None:
        size = dataclasses.replace(size, photos=photos, test_photos=photos)
    population = Population(
        size.n_identities,
        coupling,
        seed,
        world=world,
        law=law,
        face_model=face_model,
        n_test=size.n_test,
    )
    return build_world(population, out, size=size, workers=workers, progress=progress)


def build_world(population, out, *, size, workers=None, progress=True):
    """Write a population to a folder.

    Parameters
    ----------
    population : Population
        Who.
    out : path
        Folder; created, or one where the same world was begun.
    size : Size
        Clips and photographs per identity; its numbers of identities must be the population's.
    workers : int, optional
        Processes; as many as there are processors by default.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    World
        As `v2mlib.datasets.load_world` gives it.

    Raises
    ------
    InputError
        If the folder holds something else or cannot be written.
    V2MError
        If a worker process dies; run again, it goes on.
    """
    if (size.n_identities, size.n_test) != (population.config.n_identities,
                                            population.config.n_test):  # fmt: skip
        raise InputError(
            f"size of {size.n_identities} identities ({size.n_test} test)",
            f"does not fit a population of {population.config.n_identities} "
            f"({population.config.n_test} test)",
            "use dataclasses.replace on the size",
        )
    out = Path(out).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with only_one(out, "another build of a world"):
            return _build(population, out, size, workers or _processors(), progress)
    except OSError as error:
        raise unwritable(out, error) from error


def _build(population, out, size, workers, progress):
    manifest = _manifest(population, size)
    found = read_marker(out)
    _refuse_other(out, found, manifest)
    if found and found["complete"] and not what_is_missing(out):
        return load_world(out)
    for stale in out.rglob(".*.partial*"):  # of a build that was killed
        stale.unlink()
    _write_marker(out, manifest | {"complete": False})
    _write_truth(population, out)
    setup = {"folder": str(out), "seed": population.config.seed}
    jobs = [(row, *size.of(split)) for row, split in enumerate(population.identities["split"])]

    clips = [(row, n_clips) for row, n_clips, _ in jobs]
    rows = _run("v2mlib.phantom.workers:clip_maker", clips, setup, workers, progress, "speech")
    pd.DataFrame(rows).merge(population.identities[["identity", "split"]]).to_parquet(
        out / "truth/utterances.parquet"
    )
    shots = [(row, n_photos) for row, _, n_photos in jobs if n_photos]
    shutter = "v2mlib.phantom.workers:photo_maker"
    rows = _run(shutter, shots, setup, workers, progress, "photographs") if shots else []
    landmarks = np.array([row.pop("landmarks") for row in rows], dtype=np.float32)
    with atomic(out / LANDMARKS) as partial:
        np.save(partial, landmarks.reshape(-1, 68, 2))
    photos = pd.DataFrame(rows, columns=list(rows[0]) if rows else ["identity", "path"])
    photos.merge(population.identities[["identity", "split"]]).to_parquet(
        out / "truth/photos.parquet"
    )
    _write_marker(out, manifest | {"complete": True})
    return load_world(out)


def _run(target, jobs, setup, workers, progress, label):
    """Run jobs of `(row, number of files)`, and put their rows in order."""
    answers, n_files = [None] * len(jobs), sum(job[1] for job in jobs)
    workers = min(workers, 1 + n_files // _FILES_PER_WORKER)
    with tqdm(total=n_files, desc=label, unit="file", disable=not progress) as bar:
        for position, rows in run_jobs(target, jobs, setup=setup, workers=workers):
            answers[position] = rows
            bar.update(len(rows))
    return [row for rows in answers for row in rows]


def _manifest(population, size):
    """All that the files depend on."""
    corpus = base_corpus()
    config = dataclasses.asdict(population.config)
    if not _is_known(population):
        config["face_model"] = OWN_FACE_MODEL
    config |= {"size": dataclasses.asdict(size), "speech": dataclasses.asdict(SpeechConfig())}
    if size.photos or size.test_photos:
        from v2mlib.phantom.photos import PhotoConfig

        config["photo"] = dataclasses.asdict(PhotoConfig())
    return {
        "config": config,
        "made_from": {
            "speech": corpus.checksum,
            "face_model": fingerprint(population.face_model),
            "law": population.law.checksum(),
        },
        "version": __version__,
    }


def _is_known(population):
    """Whether another process can load the face model by its name."""
    from v2mlib.faces import load_face_model

    try:
        known = load_face_model(population.config.face_model)
    except InputError:
        return False
    return same_fingerprint(fingerprint(known), fingerprint(population.face_model))


def _refuse_other(out, found, manifest):
    if found is None:
        strangers = [path.name for path in out.iterdir() if path.name != ".lock"]
        if strangers:
            raise InputError(
                out, f"is not empty (it holds {strangers[0]})", "choose a new or empty folder"
            )
        return
    for part in ("config", "made_from"):
        # Through JSON, as the marker was: tuples become lists.
        wanted = json.loads(json.dumps(manifest[part]))
        for key in wanted.keys() | found[part].keys():
            one, other = wanted.get(key), found[part].get(key)
            if part == "made_from" and key == "face_model" and same_fingerprint(one, other):
                continue
            if one != other:
                differs = f"its {key} is {other}, not {one}"
                if part == "made_from":
                    differs = f"made from another version of the {key}"
                raise InputError(
                    out, f"holds another world: {differs}", "choose another folder, or delete it"
                )


def _write_marker(out, content):
    with atomic(out / MARKER) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_truth(population, out):
    truth = out / "truth"
    truth.mkdir(exist_ok=True)
    with atomic(truth / "coefficients.npz") as partial:
        np.savez(
            partial,
            reference=population.shape_coefficients,
            ceiling=population.conditional_mean(),
            sex_mean=population.sex_mean(),
        )
    tables = {
        "identities": population.identities,
        "voices": population.voices,
        "law": population.law.table,
    }
    for name, table in tables.items():
        with atomic(truth / f"{name}.parquet") as partial:
            table.to_parquet(partial)
    if not _is_known(population):
        population.face_model.save(out / OWN_FACE_MODEL)
    people = population.identities
    # As in VoxCeleb1, names that start with E are its own (verification) test set.
    meta = pd.DataFrame(
        {
            "VoxCeleb1 ID": people["identity"],
            "VGGFace1 ID": people["name"],
            "Gender": people["sex"],
            "Nationality": _NATIONALITY,
            "Set": np.where(people["name"].str.startswith("E"), "test", "dev"),
        }
    )
    with atomic(out / "vox1_meta.csv") as partial:
        meta.to_csv(partial, sep="\t", index=False, lineterminator="\n")


def _processors():
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
