"""What a build has done, how fast, and what the whole of Voxceleb-3D would take."""

from pathlib import Path
from typing import NamedTuple

CORPUS = {"utterances": 113_000, "utterance_s": 8.2, "photos": 107_000}
"""Voxceleb-3D's training set; seconds per VoxCeleb1 utterance on average."""


class Rate(NamedTuple):
    """How fast files of a kind were worked on.

    Attributes
    ----------
    files : int
        How many were.
    amount : float
        Seconds of audio, or photographs.
    cpu_s : float, s
        Processor time of all workers together.
    wall_s : float, s
        Time that went by.
    """

    files: int = 0
    amount: float = 0.0
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def per_core_minute(self):
        """Seconds of audio, or photographs, per minute of one processor core.

        Returns
        -------
        float
            NaN where nothing was done, or no file could be used.
        """
        some = self.amount > 0 and self.cpu_s > 0
        return 60 * self.amount / self.cpu_s if some else float("nan")


class BuildReport(NamedTuple):
    """What a build has done.

    Attributes
    ----------
    folder : pathlib.Path
        The data set.
    nothing_to_do : bool
        Whether it was found done.
    counts : dict of str to int
        `identities`, `utterances`, `photos` in the data set, and `..._found`.
    rejected : dict of str to int
        Files and people left out, by kind.
    voices, photos : Rate
        What this run worked on.
    n_workers : int
        How many shared the work.
    seconds : float, s
        Of this run.
    """

    folder: Path
    nothing_to_do: bool
    counts: dict
    rejected: dict
    voices: Rate
    photos: Rate
    n_workers: int
    seconds: float


def projection(voices, photos):
    """What the training set of Voxceleb-3D would take at these rates.

    Parameters
    ----------
    voices, photos : Rate
        As measured.

    Returns
    -------
    dict of str to float
        `voices_core_hours` and `photos_core_hours`; NaN where nothing was measured.

    Examples
    --------
    >>> rate = Rate(files=1, amount=8.2, cpu_s=0.02), Rate(files=1, amount=1, cpu_s=0.01)
    >>> {name: round(hours, 3) for name, hours in projection(*rate).items()}
    {'voices_core_hours': 0.628, 'photos_core_hours': 0.297}
    """
    audio_s = CORPUS["utterances"] * CORPUS["utterance_s"]
    return {
        "voices_core_hours": audio_s / voices.per_core_minute / 60,
        "photos_core_hours": CORPUS["photos"] / photos.per_core_minute / 60,
    }


def describe(report):
    """Say what a build has done, for a terminal.

    Parameters
    ----------
    report : BuildReport
        Of a build.

    Returns
    -------
    list of str
        Lines.
    """
    counts = report.counts
    lines = [
        f"{report.folder}: {counts['identities']:,} identities, {counts['utterances']:,} "
        f"utterances, {counts['photos']:,} photos"
    ]
    rejected = {kind: number for kind, number in report.rejected.items() if number}
    if rejected:
        many = ", ".join(f"{number:,} {kind}" for kind, number in rejected.items())
        lines.append(f"left out: {many} (manifest.parquet says why)")
    if report.nothing_to_do:
        return [*lines, f"nothing to do: no file has changed ({report.seconds:.1f} s)"]
    hours = projection(report.voices, report.photos)
    if report.voices.amount:
        rate = report.voices.per_core_minute / 3600
        lines.append(
            f"voices: {report.voices.files:,} files, {rate:.2f} hours of audio per minute and "
            f"core; {CORPUS['utterances']:,} utterances of {CORPUS['utterance_s']} s would take "
            f"{hours['voices_core_hours']:.1f} core hours"
        )
    if report.photos.amount:
        rate = report.photos.per_core_minute
        lines.append(
            f"photos: {report.photos.files:,} files, {rate:,.0f} per minute and core; "
            f"{CORPUS['photos']:,} would take {hours['photos_core_hours']:.1f} core hours"
        )
    workers = "1 worker" if report.n_workers == 1 else f"{report.n_workers} workers"
    return [*lines, f"{report.seconds:.0f} s on {workers}"]


def as_dict(report):
    """Describe a build as plain data.

    Parameters
    ----------
    report : BuildReport
        Of a build.

    Returns
    -------
    dict
        `folder`, `nothing_to_do`, numbers of `identities`, `utterances`, `photos` in the data set
        and `rejected_...`, files worked on, `audio_hours_per_core_minute`,
        `photos_per_core_minute`, the `projection`, `workers`, `seconds`; rates are NaN where
        nothing was done.
    """
    return {
        "folder": str(report.folder),
        "nothing_to_do": report.nothing_to_do,
        **report.counts,
        **{f"rejected_{kind}": number for kind, number in report.rejected.items()},
        "voices_done": report.voices.files,
        "photos_done": report.photos.files,
        "audio_hours_per_core_minute": report.voices.per_core_minute / 3600,
        "photos_per_core_minute": report.photos.per_core_minute,
        **projection(report.voices, report.photos),
        "workers": report.n_workers,
        "seconds": round(report.seconds, 2),
    }
