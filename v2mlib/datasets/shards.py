"""The file that training reads: log-mel frames of all utterances, one after the other.

A plain ``.npy`` array in half precision. Mapped into memory, it gives random crops without
reading whole utterances, and many training processes share one copy of it.

Half precision is enough. Measured on 179 real recordings: root mean square error 0.0002 standard
deviations, at most 0.007 (of a value of 22); embeddings of the shipped encoder agree to a cosine
of 0.9999998, its coefficients to 0.0003 standard deviations.
"""

import contextlib

import numpy as np

from v2mlib.checks import InputError
from v2mlib.files import atomic

N_MELS = 64
NO_SPLIT = "none"
"""Split of utterances that have features and are not to be used."""

DTYPE = np.float16


def write_frames(path, blocks, n_frames):
    """Write frames block by block; the file appears once it is whole.

    Nothing is written through a memory map: on a full disk that would end the process instead
    of raising an error.

    Parameters
    ----------
    path : path
        The ``.npy`` file.
    blocks : iterable of ndarray, (frame, mel=64), standard deviations
        Utterances, or several at a time, in order.
    n_frames : int
        How many there will be.

    Raises
    ------
    InputError
        If there are more or fewer frames than promised.
    OSError
        If the file cannot be written.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(DTYPE)),
        "fortran_order": False,
        "shape": (int(n_frames), N_MELS),
    }
    written = 0
    with atomic(path) as partial, open(partial, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for block in blocks:
            if len(block):
                stream.write(np.ascontiguousarray(block, dtype=DTYPE).data)
                written += len(block)
        if written != n_frames:
            raise InputError(path, f"would hold {written} frames, not {n_frames}", "build again")


def map_frames(path):
    """Map the frames of all utterances into memory; nothing is read yet.

    Parameters
    ----------
    path : path
        Written by `write_frames`.

    Returns
    -------
    ndarray of float16, (frame, mel=64), standard deviations
        Read-only.

    Raises
    ------
    InputError
        If it is absent, cut short, or another kind of array.
    """
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", "build it again") from error
    if frames.dtype != DTYPE or frames.ndim != 2 or frames.shape[1] != N_MELS:
        raise InputError(
            path, f"holds {frames.dtype} {frames.shape}, not log-mel frames", "build it again"
        )
    return frames


class FrameReader:
    """Frames of single utterances out of several arrays on disk, the last few kept open.

    Parameters
    ----------
    load : callable
        Called with the name of an array, returns it.
    keep : int
        Arrays to keep at a time.
    """

    def __init__(self, load, *, keep=4):
        self._load, self._keep, self._open = load, keep, {}

    def read(self, name, start, n_frames):
        """Read one utterance.

        Parameters
        ----------
        name : str
            Of the array.
        start, n_frames : int
            Its rows.

        Returns
        -------
        ndarray of float16, (frame, mel=64), standard deviations
            A view where the array is in memory.
        """
        array = self._open.pop(name, None)
        if array is None:
            array = self._load(name)
            while len(self._open) >= self._keep:
                with contextlib.suppress(StopIteration):
                    self._open.pop(next(iter(self._open)))
        self._open[name] = array  # last: the one used longest ago is the first to go
        return array[start : start + n_frames]
