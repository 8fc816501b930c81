"""The settings of the log-mel matrix, and what follows from them: filters and frames."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from v2mlib.checks import InputError


@dataclass(frozen=True)
class LogMelConfig:
    """Settings of the log-mel front end; the defaults are the released recipe.

    Attributes
    ----------
    sample_rate : int, Hz
        Rate of the samples.
    win_length, hop_length : int, samples
        Frame length and the step from one frame to the next.
    n_fft : int, samples
        Length of the Fourier transform; frames are padded with zeros.
    n_mels : int
        Number of mel filters.
    fmin, fmax : float, Hz
        Lower edge of the first filter and upper edge of the last.
    pre_emphasis : float
        Share of the sample before that is subtracted from each sample.
    floor : float
        Least filter output before the logarithm, on the scale of 16-bit samples squared.
    full_scale : float
        What a sample of 1.0 becomes. Pretrained encoders learnt from 16-bit values.
    sample_before : {"last of previous frame", "true"}
        What is subtracted from a frame's *first* sample. Frames overlap, so that the previous
        frame's last sample (the released recipe) is not the sample before.
    tail : {"repeat", "zeros"}
        How frames that reach beyond the last sample are filled. The released recipe repeats
        what they have; a frame with nothing at all is zeros in both.

    Raises
    ------
    InputError
        For impossible settings.

    See Also
    --------
    CLEAN_LOG_MEL : The same without the two quirks.
    """

    sample_rate: int = 16_000
    win_length: int = 400
    hop_length: int = 160
    n_fft: int = 1024
    n_mels: int = 64
    fmin: float = 20.0
    fmax: float = 7200.0
    pre_emphasis: float = 0.97
    floor: float = 1e-5
    full_scale: float = 32768.0
    sample_before: str = "last of previous frame"
    tail: str = "repeat"

    def __post_init__(self):
        checks = {
            "0 < hop_length <= win_length <= n_fft": 0
            < self.hop_length
            <= self.win_length
            <= self.n_fft,
            "0 <= fmin < fmax <= sample_rate / 2": 0
            <= self.fmin
            < self.fmax
            <= self.sample_rate / 2,
            "n_mels >= 1": self.n_mels >= 1,
            "floor > 0": self.floor > 0,
            "full_scale > 0": self.full_scale > 0,
            "0 <= pre_emphasis <= 1": 0 <= self.pre_emphasis <= 1,
            "sample_before in ('last of previous frame', 'true')": self.sample_before
            in ("last of previous frame", "true"),
            "tail in ('repeat', 'zeros')": self.tail in ("repeat", "zeros"),
        }
        for rule, holds in checks.items():
            if not holds:
                raise InputError("LogMelConfig", "has impossible settings", f"it needs {rule}")


RELEASED_LOG_MEL = LogMelConfig()
"""The recipe that pretrained voice encoders were trained with, quirks included."""

CLEAN_LOG_MEL = replace(RELEASED_LOG_MEL, sample_before="true", tail="zeros")
"""Sample-accurate pre-emphasis and a tail padded with zeros; otherwise the released recipe."""


@functools.lru_cache(maxsize=16)
def mel_filters(config=RELEASED_LOG_MEL):
    """Triangular filters evenly spaced on the mel scale ``2595 log10(1 + f / 700)``.

    Parameters
    ----------
    config : LogMelConfig
        Their number, range and the Fourier transform they apply to.

    Returns
    -------
    ndarray of float64, (bin, mel), 1/Hz
        Edges and centres are rounded to bins; the height is ``2 / width_Hz``, so that a filter
        averages twice the power density over its width. Read-only.

    Raises
    ------
    InputError
        If a filter would be narrower than a bin.
    """
    bin_hz = config.sample_rate / config.n_fft
    edges = np.linspace(_mel(config.fmin), _mel(config.fmax), config.n_mels + 2)
    edges = np.rint(700 * (10 ** (edges / 2595) - 1) / bin_hz)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    if (right - left < 2).any():
        raise InputError(
            "LogMelConfig", "has mel filters narrower than a bin", "fewer n_mels or a longer n_fft"
        )
    bins = np.arange(config.n_fft // 2 + 1)[:, None]
    rising = (bins - left) / np.maximum(centre - left, 1)
    falling = (right - bins) / np.maximum(right - centre, 1)
    triangles = np.where(bins < centre, rising, falling)
    triangles[(bins <= left) | (bins >= right)] = 0
    # An edge that falls on the centre leaves a filter without that slope.
    triangles = np.where(bins == centre, 1.0, triangles)
    filters = triangles * 2 / ((right - left) * bin_hz)
    filters.flags.writeable = False
    return filters


def frame_count(n_samples, config=RELEASED_LOG_MEL):
    """Count the frames of a clip.

    Parameters
    ----------
    n_samples : int
        Samples in the clip.
    config : LogMelConfig
        The recipe.

    Returns
    -------
    all_frames, whole_frames : int
        ``int(n / hop + 1)`` frames, and how many of them lie entirely within the clip.

    Examples
    --------
    >>> frame_count(640), frame_count(100)
    ((5, 2), (1, 0))
    """
    whole = max(0, (n_samples - config.win_length) // config.hop_length + 1)
    return n_samples // config.hop_length + 1, whole


def tail_index(n_samples, config=RELEASED_LOG_MEL):
    """Tell which samples fill the frames that reach beyond the end of a clip.

    Parameters
    ----------
    n_samples : int
        Samples in the clip.
    config : LogMelConfig
        The recipe.

    Returns
    -------
    ndarray of int64, (tail frame, 1 + win_length)
        Sample numbers; ``n_samples`` stands for a zero. The first column is the sample that
        pre-emphasis takes for the one before the frame.

    Examples
    --------
    Of five samples, frames of four with a step of two: the second frame repeats its three
    samples, the third its one.

    >>> config = LogMelConfig(win_length=4, hop_length=2)
    >>> tail_index(5, config)
    array([[3, 2, 3, 4, 2],
           [2, 4, 4, 4, 4]])
    """
    win, hop = config.win_length, config.hop_length
    frames, whole = frame_count(n_samples, config)
    starts = np.arange(whole, frames)[:, None] * hop
    offsets, left = np.arange(win), n_samples - starts
    index = np.empty((frames - whole, 1 + win), dtype=np.int64)
    if config.tail == "repeat":
        index[:, 1:] = np.where(left > 0, starts + offsets % np.maximum(left, 1), n_samples)
    else:
        index[:, 1:] = np.where(offsets < left, starts + offsets, n_samples)
    if config.sample_before == "true":
        index[:, 0] = np.where(starts > 0, starts - 1, n_samples)[:, 0]
    else:
        index[0, 0] = (whole - 1) * hop + win - 1 if whole else n_samples
        index[1:, 0] = index[:-1, -1]
    return index


@functools.lru_cache(maxsize=16)
def used_bins(config):
    """Find the bins that some filter touches.

    Parameters
    ----------
    config : LogMelConfig
        The recipe.

    Returns
    -------
    slice
        From the first to the last bin in use.
    """
    used = np.flatnonzero(mel_filters(config).any(axis=1))
    return slice(int(used[0]), int(used[-1]) + 1)


@functools.lru_cache(maxsize=16)
def filter_blocks(config):
    """Cut the filters into four groups, each with the bins it touches and no others.

    Most of the matrix is zeros; without them the product takes less than half the time.

    Parameters
    ----------
    config : LogMelConfig
        The recipe.

    Returns
    -------
    list of (slice, slice, ndarray of float32 (bin, mel))
        Which filters, which of `used_bins`, and their weights.
    """
    filters, blocks = mel_filters(config)[used_bins(config)], []
    for group in np.array_split(np.arange(config.n_mels), min(4, config.n_mels)):
        columns = slice(int(group[0]), int(group[-1]) + 1)
        used = np.flatnonzero(filters[:, columns].any(axis=1))
        rows = slice(int(used[0]), int(used[-1]) + 1)
        blocks.append((columns, rows, filters[rows, columns].astype(np.float32, order="C")))
    return blocks


def _mel(hz):
    return 2595 * np.log10(1 + hz / 700)
