"""Where in a recording somebody speaks: the WebRTC detector, used exactly as released."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import webrtcvad

from v2mlib.checks import InputError
from v2mlib.voices.reading import as_samples


@dataclass(frozen=True)
class ActivityConfig:
    """Settings of the voice activity detector; the defaults are the released recipe.

    Attributes
    ----------
    aggressiveness : int
        0 keeps most, 3 removes most.
    frame_ms : int, ms
        Length of the frames the detector judges: 10, 20 or 30.
    padding_ms : int, ms
        Length of the ring of frames that must agree before speech begins or ends.
    agreement : float
        Share of the ring that must be exceeded.

    Raises
    ------
    InputError
        For impossible settings.
    """

    aggressiveness: int = 2
    frame_ms: int = 20
    padding_ms: int = 50
    agreement: float = 0.9

    def __post_init__(self):
        checks = {
            "aggressiveness in 0, 1, 2, 3": self.aggressiveness in (0, 1, 2, 3),
            "frame_ms in 10, 20, 30": self.frame_ms in (10, 20, 30),
            "padding_ms >= frame_ms": self.padding_ms >= self.frame_ms,
            "0 <= agreement < 1": 0 <= self.agreement < 1,
        }
        for rule, holds in checks.items():
            if not holds:
                raise InputError("ActivityConfig", "has impossible settings", f"it needs {rule}")


RELEASED_ACTIVITY = ActivityConfig()
"""The recipe that pretrained voice encoders were trained with."""


def voice_activity(samples, sample_rate=16_000, *, config=RELEASED_ACTIVITY):
    """Mark the samples that belong to speech.

    Frames of 20 ms pass a ring of two; speech begins when both are voiced and ends when both
    are unvoiced, in each case with the frames of the ring. Two quirks of the released code are
    kept, because they change what is heard as speech: a frame that ends exactly at the last
    sample is dropped; and all frames of the ring are judged again whenever one enters, by a
    detector that adapts to everything it hears, so that most frames are heard twice. The
    detector starts afresh with every call. The released code keeps one detector for all files;
    there the decision depends on the files before, which is not imitated.

    Parameters
    ----------
    samples : array_like, (sample,), in [-1, 1]
        One channel. Rounded to 16 bits for the detector; a 16-bit recording stays exact.
    sample_rate : int, Hz
        8,000, 16,000, 32,000 or 48,000.
    config : ActivityConfig
        The recipe.

    Returns
    -------
    ndarray of bool, (sample,)
        True where there is speech.

    Raises
    ------
    InputError
        If the detector does not know the rate, or the samples are empty, not finite, or not on
        the scale [-1, 1].

    References
    ----------
    .. [1] The WebRTC project's voice activity detector, https://webrtc.org

    Examples
    --------
    >>> int(voice_activity(np.zeros(16_000)).sum())
    0
    """
    if sample_rate not in (8_000, 16_000, 32_000, 48_000):
        raise InputError(
            "sample rate", f"{sample_rate} Hz is unknown to the detector", "call resample first"
        )
    samples = as_samples(samples)
    pcm = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype("<i2").tobytes()
    length = sample_rate * config.frame_ms // 1000
    is_speech = webrtcvad.Vad(config.aggressiveness).is_speech
    ring_size = config.padding_ms // config.frame_ms
    enough = config.agreement * ring_size
    n_frames = max(0, -(-samples.size // length) - 1)  # the last frame, whole or not, is dropped
    spoken = np.zeros(n_frames, dtype=bool)
    ring, speaking = deque(maxlen=ring_size), False
    for number in range(n_frames):
        ring.append(pcm[2 * length * number : 2 * length * (number + 1)])
        voiced = 0
        for frame in ring:
            voiced += is_speech(frame, sample_rate, length)
        if speaking:
            spoken[number] = True
            if len(ring) - voiced > enough:
                speaking = False
                ring.clear()
        elif voiced > enough:
            speaking = True
            spoken[number + 1 - len(ring) : number + 1] = True
            ring.clear()
    mask = np.zeros(samples.size, dtype=bool)
    mask[: n_frames * length] = np.repeat(spoken, length)
    return mask


def trim_silence(samples, sample_rate=16_000, *, config=RELEASED_ACTIVITY):
    """Keep only the speech of a recording.

    Parameters
    ----------
    samples : array_like, (sample,), in [-1, 1]
        One channel.
    sample_rate : int, Hz
        8,000, 16,000, 32,000 or 48,000.
    config : ActivityConfig
        The recipe.

    Returns
    -------
    ndarray of float32, (sample,)
        The spoken parts one after another; possibly none.

    Raises
    ------
    InputError
        As `voice_activity` does.
    """
    samples = as_samples(samples)
    return samples[voice_activity(samples, sample_rate, config=config)]
