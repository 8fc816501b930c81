"""Build a data set: measure every file once, fit the faces, write it all, survive anything."""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from v2mlib.building import chunks, publishing
from v2mlib.building.assembly import assemble, write_tables
from v2mlib.building.cluster import workers
from v2mlib.building.config import FITTED, BuildConfig, as_plain, photos_recipe, voices_recipe
from v2mlib.building.earlier import changed_content, earlier_build
from v2mlib.building.fitted import refuse_other_modes
from v2mlib.building.photographs import engine_of, measure_photos
from v2mlib.building.report import BuildReport, Rate
from v2mlib.building.threads import one_thread
from v2mlib.building.voices import measure_voices
from v2mlib.checks import InputError
from v2mlib.datasets import dataset as layout
from v2mlib.datasets.shards import FrameReader, map_frames, write_frames
from v2mlib.datasets.world import fingerprint, same_fingerprint
from v2mlib.staging import only_one


def build_dataset(
    sources,
    out,
    *,
    config=None,
    scheduler=None,
    n_workers=None,
    verify=False,
    files_per_task=chunks.FILES_PER_CHUNK,
    progress=True,
    announce=lambda line: None,
):
    """Build a data set from recordings and photographs, or bring one up to date.

    What is known of a file, by its size and time of change, is not worked out again: a second
    run does nothing, a stopped one goes on, and when files were added or changed only they are
    measured. The result is the same in every byte, whatever happened on the way and however many
    workers and threads there were.

    Parameters
    ----------
    sources : Sources
        What was found on disk; `v2mlib.datasets.find_sources`.
    out : path
        Folder of the data set; new, empty, or of a data set that was built or begun.
    config : BuildConfig, optional
        Settings.
    scheduler : str, optional
        Address of a running Dask scheduler whose workers see the files and `out`; otherwise
        workers are started on this machine.
    n_workers : int, optional
        Processes on this machine; as many as it has processors by default. One works in this
        process.
    verify : bool
        Whether to read every file again and compare its checksum, and the data set's own.
    files_per_task : int
        Files that a worker takes at a time. The result does not depend on it.
    progress : bool
        Whether to show progress bars on the standard error stream.
    announce : callable
        Called with a line of text where there is something to say.

    Returns
    -------
    BuildReport
        What was done, and how fast; `v2mlib.datasets.load_dataset` loads the result.

    Raises
    ------
    InputError
        If the folder holds something else, is in use by another build, or cannot be written; if
        nothing is usable; or if the landmark engine, the face model or the scheduler is not
        there.
    V2MError
        If workers die again and again; run again, it goes on.
    """
    if files_per_task < 1:
        raise InputError(f"{files_per_task} files per task", "is not possible", "give 1 or more")
    config, out = config or BuildConfig(), Path(out).expanduser().absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
        _refuse_strangers(out)
        with only_one(out, "another build of a data set"):
            build = _Build(sources, out, config, files_per_task, progress, announce)
            return build.run(scheduler, n_workers, verify)
    except OSError as error:
        raise InputError(
            error.filename or out,
            f"cannot be written or read ({error.strerror or error})",
            "free space or correct the rights, and run again: what is finished is kept",
        ) from error


class _Build:
    """One run of a build, in a folder that is its own."""

    def __init__(self, sources, out, config, files_per_task, progress, announce):
        from v2mlib.faces import load_face_model

        self.sources, self.out, self.config = sources, out, config
        self.progress, self.announce = progress, announce
        self.files_per_task = files_per_task
        self.began = time.perf_counter()
        self.model = load_face_model(config.face_model)
        if config.landmarks == FITTED:
            refuse_other_modes(self.model)
        self.keys = {
            "voices": _digest(voices_recipe()),
            "photos": _digest(photos_recipe(config, sources.photos["path"])),
        }
        self.entries = {
            "voices": [chunks.entry_of(path) for path in sources.utterances["path"]],
            "photos": [chunks.entry_of(path) for path in sources.photos["path"]],
        }
        tables = [table.to_json(orient="values") for table in sources]
        self.made_from = _digest([tables, self.entries, self.keys, as_plain(config)])

    def run(self, scheduler, n_workers, verify):
        """Do what is to be done."""
        publishing.carry_out(self.out)
        publishing.sweep(self.out)
        earlier = earlier_build(self.out)
        if earlier is not None and verify:
            with workers(self.out, scheduler=scheduler, n_workers=n_workers) as pool:
                earlier = changed_content(earlier, self.entries, pool, self.progress, self.announce)
        if earlier is not None and self._is_current(earlier):
            publishing.clear(self.out)
            return self._report(earlier.marker, None, 1)
        publishing.begin(self.out)
        known, jobs = {}, {}
        for kind in ("voices", "photos"):
            known[kind], jobs[kind] = self._plan(kind, earlier)
        if jobs["photos"] and self.config.landmarks != FITTED:
            engine_of(self.config.engine)  # a missing engine must not wait for the voices
        n_jobs = sum(map(len, jobs.values()))
        with workers(self.out, scheduler=scheduler, n_workers=n_workers, n_jobs=n_jobs) as pool:
            rates = {kind: self._measure(kind, known, jobs, pool) for kind in jobs}
            n_workers = pool.n_workers
        marker = self._finish(known, earlier)
        return self._report(marker, rates, n_workers)

    def _is_current(self, earlier):
        marker = earlier.marker
        same_face = same_fingerprint(marker["face"], fingerprint(self.model))
        return marker["made_from"] == self.made_from and same_face and not earlier.doubtful

    def _folder(self, kind):
        return self.out / publishing.WORK / f"{kind}-{self.keys[kind][:8]}"

    def _plan(self, kind, earlier):
        """What is known of the files of a kind, and jobs for the rest."""
        wanted, folder = self.entries[kind], self._folder(kind)
        known = {}
        if earlier is not None and earlier.marker["keys"][kind] == self.keys[kind]:
            known |= earlier.known(kind)
        known |= chunks.known_in_chunks(folder, _COUNT[kind])
        pending = [entry for entry in wanted if entry not in known]
        jobs = chunks.deal(pending, folder, self.files_per_task)
        if kind == "photos":
            jobs = [job | {"engine": self.config.engine} for job in jobs]
        if pending and len(pending) < len(wanted):
            self.announce(f"{kind}: {len(wanted) - len(pending):,} known, {len(pending):,} to do")
        return known, jobs

    def _measure(self, kind, known, jobs, pool):
        """Have all chunks of a kind measured."""
        began, total, function = time.perf_counter(), Rate(), _MEASURE[kind]
        n_pending = sum(len(job["paths"]) for job in jobs[kind])
        n_files = len(self.entries[kind])
        bar = tqdm(
            total=n_files,
            initial=n_files - n_pending,
            desc=kind,
            unit="file",
            smoothing=0.1,
            disable=not self.progress or not jobs[kind],
        )
        with bar:
            for done in pool.run(function, jobs[kind]):
                total = total._replace(
                    files=total.files + done["files"],
                    amount=total.amount + done["amount"],
                    cpu_s=total.cpu_s + done["seconds"],
                )
                bar.update(done["files"])
        fresh = chunks.known_in_chunks(self._folder(kind), _COUNT[kind])
        known[kind] |= fresh
        return total._replace(wall_s=time.perf_counter() - began)

    def _finish(self, known, earlier):
        """Fit the faces, write the data set aside, and let it take its place."""
        self.announce("fitting faces and writing tables ...")
        found = {kind: _in_order(self.entries[kind], known[kind]) for kind in known}
        reader = FrameReader(self._load_array)
        seen = [reader.read(one.array, one.start, 1)[0] for one in found["photos"]]
        seen = np.stack(seen) if seen else np.empty((0, 68, 2), np.float32)
        voices, photos = (
            pd.DataFrame([one.row for one in found[kind]]).reindex(columns=_columns(found[kind]))
            for kind in ("voices", "photos")
        )
        began = time.perf_counter()
        with one_thread():
            assembled = assemble(self.sources, voices, photos, seen, self.model, self.config)
        self.announce(
            f"fitted {len(photos):,} photos of {len(assembled.people):,} people in "
            f"{time.perf_counter() - began:.0f} s"
        )
        aside = publishing.aside(self.out)
        write_tables(assembled, aside)
        kept = self._write_store(assembled, found["voices"], earlier, aside)
        times = [table[["path", "mtime_ns", "reason"]] for table in (voices, photos)]
        pd.concat(times, ignore_index=True).to_parquet(aside / layout.SOURCES, index=False)
        marker = {
            "build": as_plain(self.config),
            "keys": self.keys,
            "made_from": self.made_from,
            "face": fingerprint(self.model),
            "features": assembled.features,
            "counts": _counts(assembled),
        }
        publishing.publish(self.out, marker, kept)
        publishing.clear(self.out)
        return marker

    def _write_store(self, assembled, found, earlier, aside):
        """Write the frames of all utterances, unless they are there already."""
        if earlier is not None and earlier.marker.get("features") == assembled.features:
            return {layout.FRAMES: earlier.marker["files"][layout.FRAMES]}
        reader = FrameReader(self._load_array)
        used = [one for one in found if one.row["n_frames"]]
        bar = tqdm(used, desc="store", unit="file", disable=not self.progress)
        blocks = (reader.read(one.array, one.start, one.row["n_frames"]) for one in bar)
        write_frames(aside / layout.FRAMES, blocks, sum(one.row["n_frames"] for one in used))
        return {}

    def _load_array(self, name):
        if name in (layout.FRAMES, layout.LANDMARKS, layout.PHOTO_COEFFICIENTS):
            path = self.out / name
            return map_frames(path) if name == layout.FRAMES else np.load(path, allow_pickle=False)
        with np.load(name, allow_pickle=False) as chunk:
            (array,) = set(chunk.files) - {"rows"}
            return chunk[array]

    def _report(self, marker, rates, n_workers):
        counts = marker["counts"]
        return BuildReport(
            folder=self.out,
            nothing_to_do=rates is None,
            counts=counts["accepted"],
            rejected=counts["rejected"],
            voices=(rates or {}).get("voices", Rate()),
            photos=(rates or {}).get("photos", Rate()),
            n_workers=n_workers,
            seconds=time.perf_counter() - self.began,
        )


_MEASURE = {"voices": measure_voices, "photos": measure_photos}
_COUNT = {"voices": lambda row: row["n_frames"], "photos": lambda row: 1}


def _in_order(entries, known):
    """What is known of files, in their order.

    A file that changed between listing and reading is known as it was read; the next run will
    notice.
    """
    by_path = {entry.path: one for entry, one in known.items()}
    return [known.get(entry) or by_path[entry.path] for entry in entries]


def _columns(found):
    """Columns of all rows, in order of appearance; of no rows, those that always are."""
    always = ("path", "size_bytes", "mtime_ns", "sha256", "reason", "n_frames")
    return list(dict.fromkeys([*always, *(name for one in found for name in one.row)]))


def _counts(assembled):
    manifest, people = assembled.manifest, assembled.people
    accepted = manifest.loc[manifest["accepted"], "kind"].value_counts()
    rejected = manifest.loc[~manifest["accepted"], "kind"].value_counts()
    kinds = {"utterance": "utterances", "photo": "photos"}
    return {
        "accepted": {
            "identities": int(people["accepted"].sum()),
            **{name: int(accepted.get(kind, 0)) for kind, name in kinds.items()},
        },
        "rejected": {
            "identities": int((~people["accepted"]).sum()) + int(rejected.get("identity", 0)),
            **{name: int(rejected.get(kind, 0)) for kind, name in kinds.items()},
        },
    }


def _refuse_strangers(out):
    if (out / layout.MARKER).exists():
        return
    strangers = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    if strangers:
        raise InputError(
            out,
            f"is not empty (it holds {sorted(strangers)[0]}) and holds no data set",
            "choose a new or empty folder",
        )


def _digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
