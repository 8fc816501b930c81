"""Pitch and formants of recordings by Praat: what a phonetician would measure first."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from v2mlib.checks import InputError, V2MError
from v2mlib.datasets.features import recordings_digest
from v2mlib.files import atomic
from v2mlib.processes import processors, run_jobs

COLUMNS = ("log_pitch", "log_pitch_sd", "log_f1", "log_f2", "log_f3", "log_f4")
"""Medians over voiced frames of natural logarithms of Hz, and the spread of the first."""

_PITCH_HZ = (60.0, 400.0)
_LOW_PITCH_HZ = 155.0
#: Burg's method places five formants below the ceiling: one ceiling for all fails on low voices.
_CEILINGS_HZ = (5000.0, 5500.0)
_STEP_S = 0.02
_CLIPS_PER_JOB = 48
_JOBS_PER_WORKER = 2


def voice_measures(samples, sample_rate=16_000):
    """Measure pitch and formants of a clip.

    The ceiling of the formants follows from the clip's own pitch, not from anybody's sex.

    Parameters
    ----------
    samples : ndarray, (sample,)
        In [-1, 1].
    sample_rate : int, Hz
        Rate of the samples.

    Returns
    -------
    dict of str to float
        By the names in `COLUMNS`; NaN where no frame is voiced.
    """
    import parselmouth
    import soxr

    sound = parselmouth.Sound(np.asarray(samples, dtype=float), sample_rate)
    pitch = sound.to_pitch(_STEP_S, *_PITCH_HZ)
    hertz = pitch.selected_array["frequency"]
    voiced = hertz > 0
    if voiced.sum() < 5:
        return dict.fromkeys(COLUMNS, float("nan"))
    log_pitch = np.log(hertz[voiced])
    middle = float(np.median(log_pitch))
    ceiling = _CEILINGS_HZ[int(np.exp(middle) > _LOW_PITCH_HZ)]
    # Resampled to twice the ceiling beforehand, which Praat would do far more slowly.
    narrow = soxr.resample(sound.values[0], sample_rate, 2 * ceiling)
    formants = parselmouth.Sound(narrow, 2 * ceiling).to_formant_burg(_STEP_S, 5.0, ceiling)
    times = pitch.xs()[voiced]
    values = np.array(
        [[formants.get_value_at_time(number, time) for time in times] for number in range(1, 5)]
    )
    with np.errstate(invalid="ignore"):
        formant_medians = [
            float(np.median(row[np.isfinite(row)])) if np.isfinite(row).any() else float("nan")
            for row in np.log(values)
        ]
    spread = float(np.subtract(*np.percentile(log_pitch, [84, 16])) / 2)
    return dict(zip(COLUMNS, [middle, spread, *formant_medians], strict=True))


def measuring(setup):
    """Prepare to measure clips; runs in each worker.

    Parameters
    ----------
    setup : dict
        `folder` of the world.

    Returns
    -------
    callable
        Takes paths of recordings, returns a list of measures for each; None for a recording
        that cannot be read.
    """
    from v2mlib.voices import read_audio

    folder = Path(setup["folder"])

    def measure(paths):
        rows = []
        for path in paths:
            try:
                found = voice_measures(*read_audio(folder / path))
                rows.append([found[name] for name in COLUMNS])
            except InputError:
                rows.append(None)
        return rows

    return measure


def praat_features(world, *, workers=None, progress=True):
    """Pitch and formants of all utterances of a world, measured now or found measured.

    Parameters
    ----------
    world : World
        The data set.
    workers : int, optional
        Processes; as many as there are processors by default.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    pandas.DataFrame
        A row per utterance of `world.utterances`, with `identity`, `split` and `COLUMNS`.

    Raises
    ------
    InputError
        If the folder cannot be written.
    V2MError
        If Praat's package is not installed, or a worker process dies.
    """
    _require_praat()
    path = Path(world.folder) / "features_praat.parquet"
    wanted = recordings_digest(world, [*COLUMNS, _PITCH_HZ, _LOW_PITCH_HZ, _CEILINGS_HZ, _STEP_S])
    known = path.with_suffix(".json")
    try:
        if json.loads(known.read_text("utf-8"))["digest"] == wanted:
            return pd.read_parquet(path)
    except (OSError, ValueError, KeyError):
        pass
    table = _measure_all(world, workers, progress)
    try:
        with atomic(path) as partial:
            table.to_parquet(partial)
        with atomic(known) as partial:
            partial.write_text(json.dumps({"digest": wanted}) + "\n", "utf-8")
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror})", "free space, or move the world"
        ) from error
    return table


def _measure_all(world, workers, progress):
    paths = world.utterances["path"].tolist()
    jobs = [paths[at : at + _CLIPS_PER_JOB] for at in range(0, len(paths), _CLIPS_PER_JOB)]
    rows = [None] * len(jobs)
    setup = {"folder": str(Path(world.folder).absolute())}
    workers = min(workers or processors(), 1 + len(jobs) // _JOBS_PER_WORKER)
    target = "v2mlib.fitting.praat_features:measuring"
    with tqdm(total=len(paths), desc="Praat", unit="clip", disable=not progress) as bar:
        for number, measured in run_jobs(target, jobs, setup=setup, workers=workers):
            rows[number] = measured
            bar.update(len(measured))
    values = [row or [float("nan")] * len(COLUMNS) for part in rows for row in part]
    table = world.utterances[["identity", "split"]].reset_index(drop=True)
    return table.assign(**dict(zip(COLUMNS, np.array(values, dtype=float).T, strict=True)))


def _require_praat():
    try:
        import parselmouth  # noqa: F401
    except ImportError as error:
        raise V2MError(
            "the Praat baseline needs praat-parselmouth: pip install 'v2mlib[phantom]'"
        ) from error
