"""From a recording to what the voice encoder hears, in one call."""

import os

from v2mlib.checks import InputError
from v2mlib.voices.activity import RELEASED_ACTIVITY, trim_silence
from v2mlib.voices.features import log_mel
from v2mlib.voices.reading import MINIMUM_SPEECH_S, SAMPLE_RATE, as_samples, read_audio, resample
from v2mlib.voices.recipe import RELEASED_LOG_MEL


def front_end(
    path_or_samples,
    sample_rate=SAMPLE_RATE,
    *,
    trim=True,
    normalise=True,
    minimum_speech_s=MINIMUM_SPEECH_S,
    activity=RELEASED_ACTIVITY,
    config=RELEASED_LOG_MEL,
):
    """Read a recording, keep its speech, and describe it as a log-mel matrix.

    Parameters
    ----------
    path_or_samples : path, or array_like (sample,) in [-1, 1]
        A sound file, or one channel of samples.
    sample_rate : int, Hz
        Rate of the samples, which are resampled where it is not 16,000; files know their own.
    trim : bool
        Whether to remove silence first.
    normalise : bool
        Whether to standardise each mel band over the clip.
    minimum_speech_s : float, s
        Less speech than this is refused.
    activity : ActivityConfig
        The recipe of the voice activity detector.
    config : LogMelConfig
        The recipe of the log-mel matrix.

    Returns
    -------
    ndarray of float32, (frame, mel=64), standard deviations
        100 frames per second of speech.

    Raises
    ------
    InputError
        As `read_audio` does, and if there is too little speech.

    Examples
    --------
    >>> import numpy as np
    >>> hum = 0.3 * np.sin(2 * np.pi * 120 * np.arange(48_000) / 48_000)
    >>> front_end(hum, 48_000, trim=False).shape
    (101, 64)
    """
    if isinstance(path_or_samples, (str, os.PathLike)):
        name, verb = path_or_samples, "holds"
        samples, _ = read_audio(path_or_samples, minimum_s=minimum_speech_s)
    else:
        name, verb = "samples", "hold"
        samples = resample(as_samples(path_or_samples), sample_rate)
    if trim:
        samples = trim_silence(samples, config=activity)
    if samples.size < max(minimum_speech_s * SAMPLE_RATE, 1):
        raise InputError(
            name,
            f"{verb} {samples.size / SAMPLE_RATE:.2f} s of speech",
            f"at least {minimum_speech_s:g} s are needed; speak close to the microphone",
        )
    return log_mel(samples, normalise=normalise, config=config)
