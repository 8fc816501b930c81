"""Read a recording: any rate, any number of channels, one clear error for each thing amiss."""

import math
import os
import stat
import warnings
from pathlib import Path

import numpy as np
import soundfile
import soxr

from v2mlib.checks import InputError, ShapeError
from v2mlib.voices.containers import missing_bytes, unsupported_format

SAMPLE_RATE = 16_000
"""Sample rate of everything behind `read_audio`, in Hz."""

MINIMUM_SPEECH_S = 0.5
"""Shortest speech worth analysing, in s."""

_STEP = 1 / 32768  # one step of 16-bit audio
_FULL = 1 - 2 * _STEP  # from here on a sample counts as full scale
_BLOCK = 1 << 16  # samples per channel decoded at a time: they stay in the processor's cache
_FIRST = 1 << 22  # samples to make room for, however many a header promises
_SLOWEST = 2_000  # Hz; below this nothing of a voice but its pitch is left


class ClippingWarning(UserWarning):
    """A recording touches full scale for several samples in a row; it is analysed as it is."""


def read_audio(path, *, minimum_s=MINIMUM_SPEECH_S):
    """Read a recording as mono samples at 16 kHz.

    Channels are averaged. Other rates are converted with libsoxr at its high quality: the
    pass band is flat past 7,200 Hz, where the highest mel filter ends, and what lies above
    8 kHz is kept from folding back into it; it is also many times faster than a polyphase
    filter of the same steepness.

    Parameters
    ----------
    path : path
        WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, or anything else that libsndfile reads.
    minimum_s : float, s
        Shorter recordings are refused. 0 takes any length.

    Returns
    -------
    samples : ndarray of float32, (sample,), in [-1, 1]
        16-bit recordings at 16 kHz come back exactly as stored, divided by 32768. Lossy
        decoding and resampling can overshoot full scale; the overshoot is limited, as it would
        be in a 16-bit file.
    sample_rate : int, Hz
        Always 16,000.

    Raises
    ------
    InputError
        One line with the file's name and a remedy: missing, a folder, not readable, empty, not
        audio, an encoding that cannot be decoded, cut off, not finite, beyond full scale,
        silent, too short.

    Warns
    -----
    ClippingWarning
        If the recording is clipped. The samples are returned unchanged.

    References
    ----------
    .. [1] The SoX Resampler library, https://sourceforge.net/p/soxr
    """
    path = Path(path)
    _check_container(path)
    mono, rate, clipped = _decode(path)
    if mono.size < minimum_s * rate:
        raise InputError(
            path,
            f"lasts {mono.size / rate:.2f} s",
            f"use a recording with at least {minimum_s:g} s of speech",
        )
    if clipped:
        warnings.warn(
            f"{path} is clipped: {clipped} samples stand at full scale in runs of three or more. "
            "It is analysed as it is; a recording with less gain would be better.",
            ClippingWarning,
            stacklevel=2,
        )
    samples = resample(mono, rate)
    return np.clip(samples, -1, 1, out=samples), SAMPLE_RATE


def resample(samples, from_rate, to_rate=SAMPLE_RATE):
    """Convert samples from one rate to another (libsoxr, high quality).

    Parameters
    ----------
    samples : array_like, (sample,)
        One channel.
    from_rate, to_rate : float, Hz
        Rates before and after.

    Returns
    -------
    ndarray of float32, (sample,)
        ``round(n * to_rate / from_rate)`` samples; the input where the rates are equal.

    Raises
    ------
    InputError
        If a rate is below 2,000 Hz, which leaves nothing of a voice.

    Examples
    --------
    >>> resample(np.zeros(48_000), 48_000).shape
    (16000,)
    """
    for rate in (from_rate, to_rate):
        if not rate >= _SLOWEST:
            raise InputError(
                "sample rate", f"is {rate:g} Hz", f"speech needs at least {_SLOWEST:,} Hz"
            )
    samples = np.asarray(samples, dtype=np.float32)
    if from_rate == to_rate or not samples.size:
        return samples
    return soxr.resample(samples, from_rate, to_rate, quality="HQ")


def as_samples(samples, name="samples"):
    """Check one channel of samples given as an array, and bring it to float32 in [-1, 1].

    Parameters
    ----------
    samples : array_like, (sample,)
        Floating point in [-1, 1], or 16-bit integers, which are divided by 32768.
    name : str
        What the samples are called in an error.

    Returns
    -------
    ndarray of float32, (sample,)
        The samples.

    Raises
    ------
    ShapeError
        If there is more than one axis.
    InputError
        If there are none, they are of another integer type, not finite, or far beyond full
        scale (16-bit values held as floating point).

    Examples
    --------
    >>> as_samples(np.array([-32768, 0, 16384], dtype=np.int16))
    array([-1. ,  0. ,  0.5], dtype=float32)
    """
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise ShapeError(
            f"{name} has shape {samples.shape}, expected (sample,). Average the channels first."
        )
    if not samples.size:
        raise InputError(name, "holds no samples", "give at least one")
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(32768)
    if samples.dtype.kind != "f":
        raise InputError(
            name, f"is of type {samples.dtype}", "give floating point in [-1, 1], or int16"
        )
    samples = samples.astype(np.float32, copy=False)
    _check_values(samples, name)
    return samples


def _check_values(samples, name):
    """Refuse what is not finite or not on the scale [-1, 1]; return least and greatest value."""
    low, high = float(samples.min()), float(samples.max())  # NaN comes through both
    peak = max(high, -low)
    if not math.isfinite(peak):
        raise InputError(name, "holds NaN or infinite samples", "export it again, as 16-bit audio")
    if peak > 2:
        raise InputError(
            name,
            f"reaches {peak:.4g} where full scale is 1",
            "divide samples on the 16-bit scale by 32768, or export it as 16-bit audio",
        )
    return low, high


def _check_container(path):
    """Refuse what can be told without decoding."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise InputError(path, "is a folder", "name the sound files in it")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(path, "is not an ordinary file", "save the recording to a file first")
        with open(path, "rb") as stream:
            if not status.st_size:
                raise InputError(path, "is empty (0 bytes)", "record or download it again")
            kind = unsupported_format(stream)
            missing = 0 if kind else missing_bytes(stream)
    except InputError:  # a ValueError too: not to be wrapped below
        raise
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the spelling and the folder") from None
    except PermissionError:
        raise InputError(
            path, "cannot be read (permission denied)", f"allow it with chmod +r {path.name}"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be opened ({error})", "check the name") from None
    if kind:
        raise InputError(
            path,
            f"is {kind}, which cannot be decoded here",
            f"convert it first: ffmpeg -i {path.name} {path.stem}.wav",
        )
    if missing:
        raise InputError(
            path,
            f"is truncated: at least {missing:,} bytes are missing at its end",
            "copy or download it again",
        )


class _Straight(soundfile.SoundFile):
    """A sound file that is read straight through.

    After each block the library seeks to where it is, which fails in a FLAC file that does not
    tell its length (written to a pipe).
    """

    def seekable(self):
        return False


def _decode(path):
    """Decode to mono in blocks. Returns samples, rate and the number of clipped samples."""
    clipped, done, promised = 0, 0, None
    least, greatest, loud = math.inf, -math.inf, False
    try:
        with _Straight(path) as sound:
            rate, promised = sound.samplerate, sound.frames
            if rate < _SLOWEST:
                raise InputError(
                    path, f"is sampled at {rate} Hz", f"speech needs at least {_SLOWEST:,} Hz"
                )
            weights = np.full(sound.channels, 1 / sound.channels, dtype=np.float32)
            room = np.empty((min(_BLOCK, promised), sound.channels), dtype=np.float32)
            mono = np.empty(min(_FIRST, promised), dtype=np.float32)
            while done < promised:
                block = sound.read(out=room[: promised - done])  # (sample, channel)
                if not len(block):
                    break
                low, high = _check_values(block, path)
                if max(high, -low) >= _FULL:
                    clipped += _count_clipped(block)
                if done + len(block) > mono.size:
                    mono = np.concatenate([mono, np.empty_like(mono)])
                mixed = mono[done : done + len(block)]
                done += len(block)
                if sound.channels == 1:
                    mixed[:] = block[:, 0]
                else:
                    np.matmul(block, weights, out=mixed)  # many times faster than block.mean
                    loud = loud or high - low > 2 * _STEP
                    low, high = mixed.min(), mixed.max()
                least, greatest = min(least, low), max(greatest, high)
    except (soundfile.LibsndfileError, TypeError) as error:
        if promised is not None:  # the header was sound, what follows is not
            raise InputError(
                path, f"is truncated or damaged ({_reason(error)})", "copy or download it again"
            ) from None
        # TypeError: a name ending in .raw, for which the library wants to be told a rate.
        raise InputError(
            path,
            f"is not audio that can be read ({_reason(error)})",
            "use WAV, FLAC, Ogg or MP3",
        ) from None
    # FLAC without a known length promises the largest integer.
    if done < promised < 1 << 62:
        raise InputError(
            path,
            f"is truncated: it promises {promised / rate:.2f} s and holds {done / rate:.2f} s",
            "copy or download it again",
        )
    if not done:
        raise InputError(path, "holds no samples", "record or download it again")
    if greatest - least <= 2 * _STEP:
        cancelled = " once its channels are averaged" if loud else ""
        raise InputError(path, f"is silent{cancelled}", "check the microphone, or pick one channel")
    return mono[:done], rate, clipped


def _count_clipped(block):
    """Samples that stand at full scale together with a neighbour on both sides."""
    full = np.abs(block) >= _FULL
    return int((full[:-2] & full[1:-1] & full[2:]).sum())


def _reason(error):
    """Return the library's own words, without the path that it repeats."""
    text = str(getattr(error, "error_string", error)).removeprefix("Error : ").strip().rstrip(".")
    return "no header" if isinstance(error, TypeError) else text
