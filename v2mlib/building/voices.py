"""Recordings of a chunk: speech, its log-mel matrix, and how good the recording is."""

import time
import warnings

import numpy as np

from v2mlib.building.chunks import examine, write_chunk
from v2mlib.building.threads import one_thread
from v2mlib.checks import InputError
from v2mlib.datasets.shards import DTYPE, N_MELS

RECIPE = 1
"""Raised whenever what is measured changes; chunks of another recipe are not taken."""

_FRAME = 320  # samples, 20 ms
_HOP_S = 0.01
_FURTHEST_MEAN, _SPREADS = 0.5, (0.5, 2.0)  # of a normalised matrix; measured: 0.1, 0.94 to 1.07
_FULL = 1 - 2 / 32768
_LEAST_POWER = 1 / 32768**2 / 12  # of rounding to 16 bits
_LEAST_SNR = 0.01  # -20 dB: below this the estimate says nothing


@one_thread()
def measure_voices(job):
    """Work on a chunk of recordings; runs on a worker.

    Parameters
    ----------
    job : dict
        `file` for the results, `paths` of the recordings.

    Returns
    -------
    dict
        `files`, `seconds` (processor time) and `amount` (seconds of audio).
    """
    # Before the clock starts.
    import v2mlib.datasets.packages
    import v2mlib.voices  # noqa: F401

    began = time.process_time()
    rows, matrices = [], [np.zeros((0, N_MELS), DTYPE)]
    for path in job["paths"]:
        row, log_mel = examine(path, measure_voice)
        row.setdefault("n_frames", 0)
        rows.append(row)
        if log_mel is not None:
            matrices.append(log_mel)
    write_chunk(job["file"], rows, frames=np.concatenate(matrices))
    audio = sum(row.get("duration_s", row["n_frames"] * _HOP_S) for row in rows)
    return {"files": len(rows), "seconds": time.process_time() - began, "amount": audio}


def measure_log_mel(path):
    """Take over one log-mel matrix as the public Voxceleb-3D files store it.

    Parameters
    ----------
    path : path
        A ``.npy``.

    Returns
    -------
    measurements : dict
        `n_frames`. How long the recording was is not known: short ones were repeated.
    log_mel : ndarray of float16, (frame, mel=64), standard deviations
        As stored, in half precision.

    Raises
    ------
    InputError
        If it cannot be used; also if it is not normalised, as what networks read is.
    """
    from v2mlib.checks import ShapeError
    from v2mlib.datasets.packages import read_log_mel

    try:
        matrix = read_log_mel(path)
    except ShapeError as error:
        problem = str(error).removeprefix(f"{path} ")
        raise InputError(path, problem, "leave the utterance out") from None
    mean = np.sqrt(np.mean(np.square(matrix.mean(0))))
    spread = np.sqrt(np.mean(matrix.var(0)))
    if not (mean <= _FURTHEST_MEAN and _SPREADS[0] <= spread <= _SPREADS[1]):
        raise InputError(
            path,
            f"is not normalised (mean {mean:.2g}, standard deviation {spread:.2g})",
            "each of the 64 bands needs mean 0 and standard deviation 1 over the utterance",
        )
    return {"n_frames": len(matrix)}, matrix.astype(DTYPE)


def measure_voice(path):
    """Describe one recording, or one log-mel matrix in place of it (`measure_log_mel`).

    Parameters
    ----------
    path : path
        The recording.

    Returns
    -------
    measurements : dict
        `duration_s`, `speech_s` (what the activity detector keeps), `speech_share`, `level_db`
        (of the speech, relative to a full-scale square wave), `clipped_share` (of the samples),
        `snr_db` (power of the speech over that of the quietest tenth of 20 ms frames; an
        estimate), `n_frames`.
    log_mel : ndarray of float16, (frame, mel=64), standard deviations
        Exactly `v2mlib.voices.front_end` of the file, in half precision.

    Raises
    ------
    InputError
        If the recording cannot be used.
    """
    if str(path).lower().endswith(".npy"):
        return measure_log_mel(path)
    from v2mlib.voices import ClippingWarning, log_mel, read_audio, voice_activity
    from v2mlib.voices.reading import MINIMUM_SPEECH_S

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClippingWarning)  # a column says how much
        samples, rate = read_audio(path)
    spoken = samples[voice_activity(samples)]
    speech_s = spoken.size / rate
    if speech_s < MINIMUM_SPEECH_S:
        raise InputError(
            path,
            f"holds {speech_s:.2f} s of speech",
            f"at least {MINIMUM_SPEECH_S:g} s are needed",
        )
    matrix = log_mel(spoken).astype(DTYPE)
    measured = {
        "duration_s": samples.size / rate,
        "speech_s": speech_s,
        "speech_share": spoken.size / samples.size,
        **_quality(samples, spoken),
        "n_frames": len(matrix),
    }
    return measured, matrix


def _quality(samples, spoken):
    speech = max(float(np.mean(np.square(spoken, dtype=np.float64))), _LEAST_POWER)
    frames = samples[: samples.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    powers = np.sort(np.mean(np.square(frames, dtype=np.float64), axis=1))
    noise = max(float(powers[: -(-len(powers) // 10)].mean()), _LEAST_POWER)
    return {
        "level_db": round(10 * np.log10(speech), 3),
        "clipped_share": float(np.mean(np.abs(samples) >= _FULL)),
        "snr_db": round(10 * np.log10(max(speech / noise - 1, _LEAST_SNR)), 3),
    }
