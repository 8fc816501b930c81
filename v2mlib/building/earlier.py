"""The data set that is there already: what it knows of which files."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from v2mlib.building.chunks import FILES_PER_CHUNK, Entry, Known
from v2mlib.building.config import FITTED
from v2mlib.datasets import dataset as layout
from v2mlib.datasets.manifest import PHOTO_COLUMNS, VOICE_COLUMNS
from v2mlib.files import sha256

_FITTED = ("face_px", "n_landmarks", "yaw_deg", "residual_px", "residual_relative", "rule")
_FOLDERS = ("video", "clip")


class Earlier(NamedTuple):
    """A finished data set.

    Attributes
    ----------
    folder : pathlib.Path
        Where it lies.
    marker : dict
        What it was built with.
    doubtful : frozenset of str
        Paths of files whose content is no longer what it was, although size and time are.
    """

    folder: Path
    marker: dict
    doubtful: frozenset = frozenset()

    def known(self, kind):
        """What it knows of files, as they were.

        Parameters
        ----------
        kind : {"voices", "photos"}
            Of which.

        Returns
        -------
        dict of Entry to Known
            By file.
        """
        manifest = pd.read_parquet(self.folder / layout.MANIFEST)
        files = manifest[(manifest["kind"] == _KINDS[kind]) & (manifest["identity"] != "")]
        seen = pd.read_parquet(self.folder / layout.SOURCES).set_index("path")
        columns = [name for name in _MEASURED[kind] if name not in (*_FITTED, *_FOLDERS)]
        return dict(self._rows(kind, files, seen, columns))

    def _rows(self, kind, files, seen, columns):
        index = pd.read_parquet(self.folder / layout.INDEX).set_index("path")["start"].to_dict()
        fitted = self.marker["build"]["landmarks"] == FITTED
        array = layout.PHOTO_COEFFICIENTS if fitted else layout.LANDMARKS
        times, reasons = seen["mtime_ns"].to_dict(), seen["reason"].to_dict()
        for number, row in enumerate(files.to_dict("records")):
            path = row["path"]
            if path in self.doubtful:
                continue
            entry = Entry(path, int(row["size_bytes"]), int(times[path]))
            measured = {name: row[name] for name in columns if not pd.isna(row[name])}
            # Why the file itself cannot be used; the manifest's reason may be its person's.
            measured |= {**entry._asdict(), "sha256": row["sha256"], "reason": reasons[path]}
            if kind == "voices":
                measured.setdefault("n_frames", 0)
                yield entry, Known(measured, layout.FRAMES, int(index.get(path, 0)))
            else:
                yield entry, Known(measured, array, number)


_KINDS = {"voices": "utterance", "photos": "photo"}
_MEASURED = {"voices": tuple(VOICE_COLUMNS), "photos": tuple(PHOTO_COLUMNS)}


def earlier_build(out):
    """Find the finished data set in a folder.

    Parameters
    ----------
    out : path
        The folder.

    Returns
    -------
    Earlier or None
        None if there is none, or files of it are missing.
    """
    marker = layout.read_dataset_marker(out)
    if marker is None or not marker["complete"] or layout.missing_files(out, marker):
        return None
    return Earlier(Path(out), marker)


def checksums(job):
    """Checksums of a chunk of files; runs on a worker.

    Parameters
    ----------
    job : list of str
        Paths.

    Returns
    -------
    list of str
        64 hexadecimal digits each; empty where a file cannot be read.
    """
    found = []
    for path in job:
        try:
            found.append(sha256(path))
        except OSError:
            found.append("")
    return [job, found]


def changed_content(earlier, entries, pool, progress, announce):
    """Compare every checksum with the data set's.

    Parameters
    ----------
    earlier : Earlier
        The data set.
    entries : dict of str to list of Entry
        Files as they are now, by kind.
    pool : Workers
        Who reads them.
    progress : bool
        Whether to show a progress bar.
    announce : callable
        Told what was found.

    Returns
    -------
    Earlier or None
        With the files to measure again; None if the data set itself is damaged.
    """
    from tqdm import tqdm

    damaged = [
        name
        for name, known in earlier.marker["files"].items()
        if sha256(earlier.folder / name) != known["sha256"]
    ]
    if damaged:
        announce(f"{damaged[0]} is damaged: everything is made again")
        return None
    manifest = pd.read_parquet(earlier.folder / layout.MANIFEST)
    known = dict(zip(manifest["path"], manifest["sha256"], strict=True))
    paths = [entry.path for some in entries.values() for entry in some if entry.path in known]
    jobs = [paths[i : i + FILES_PER_CHUNK] for i in range(0, len(paths), FILES_PER_CHUNK)]
    doubtful = set()
    with tqdm(total=len(paths), desc="verify", unit="file", disable=not progress) as bar:
        for job, found in pool.run(checksums, jobs):
            bar.update(len(job))
            doubtful |= {path for path, one in zip(job, found, strict=True) if one != known[path]}
    announce(f"verified {len(paths):,} files: {len(doubtful):,} have changed")
    return earlier._replace(doubtful=frozenset(doubtful))
