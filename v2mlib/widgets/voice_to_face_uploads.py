"""Recordings that arrive from a browser in pieces: limited, named, put together."""

import tempfile
from pathlib import Path

from v2mlib.checks import InputError

CHUNK_BYTES = 1 << 18
"""Bytes of one message; the browser waits for an answer before it sends the next."""

_OPEN = 4  # recordings that may be on their way at once
_NAME_BYTES = 120


class Uploads:
    """Recordings on their way.

    Parameters
    ----------
    max_mb : float, MB
        Largest recording, in units of a million bytes.
    """

    def __init__(self, max_mb):
        self._max_mb, self._open = max_mb, {}

    def offer(self, key, name, size):
        """Announce a recording.

        Parameters
        ----------
        key : str
            Of the browser's choice.
        name : str
            Of the file.
        size : int, bytes
            What will come.

        Returns
        -------
        str
            The name, made safe.

        Raises
        ------
        InputError
            If it is too large, empty, or one too many.
        """
        name = safe_name(name)
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise InputError(name, "has no size", "choose it again")
        self.require_size(name, size)
        if not size:
            raise InputError(name, "is empty (0 bytes)", "record or download it again")
        if len(self._open) >= _OPEN:
            self._open.pop(next(iter(self._open)))  # one that was given up
        self._open[key] = (name, size, bytearray())
        return name

    def require_size(self, name, size):
        """Refuse a recording that is too large.

        Parameters
        ----------
        name : str
            Of the recording.
        size : int, bytes
            Its size.

        Raises
        ------
        InputError
            Naming size and limit.
        """
        if size > self._max_mb * 1e6:
            raise InputError(
                name,
                f"has {size / 1e6:.1f} MB, more than the limit of {self._max_mb:g} MB",
                "cut a part of it; a few seconds are enough",
            )

    def piece(self, key, content):
        """Take the next piece of a recording.

        Parameters
        ----------
        key : str
            As it was offered.
        content : bytes-like
            The piece.

        Returns
        -------
        received : int, bytes
            How much is there.
        whole : (str, bytes) or None
            Name and content once everything is there.

        Raises
        ------
        InputError
            If it was not offered, or more comes than was announced: then nothing is kept.
        """
        if key not in self._open:
            raise InputError("a recording", "was not announced, or given up", "choose it again")
        name, size, gathered = self._open[key]
        if not content or len(gathered) + len(content) > size:
            del self._open[key]
            raise InputError(name, "is not of the size that was announced", "choose it again")
        gathered += content
        if len(gathered) < size:
            return len(gathered), None
        del self._open[key]
        return size, (name, bytes(gathered))


def safe_name(name):
    """File name without folders, control characters and excess.

    Parameters
    ----------
    name : object
        What a browser says.

    Returns
    -------
    str
        Fit for a file of its own folder, never empty.

    Examples
    --------
    >>> safe_name("../../etc/pass\\nwd.wav"), safe_name(".."), safe_name(None)
    ('passwd.wav', 'recording', 'recording')
    """
    text = name if isinstance(name, str) else ""
    text = "".join(c for c in text.replace("\\", "/").split("/")[-1] if c.isprintable()).strip()
    stem, dot, suffix = text.rpartition(".")
    if not stem:
        stem, dot, suffix = text, "", ""
    keep = _NAME_BYTES - len((dot + suffix[:12]).encode())
    text = stem.encode()[:keep].decode(errors="ignore") + dot + suffix[:12]
    return "recording" if text.strip(".") == "" else text


def hear_bytes(listener, name, content):
    """Predict a face from the bytes of a sound file.

    Parameters
    ----------
    listener : Listener
        Who predicts.
    name : str
        Of the file; its suffix may matter.
    content : bytes
        The file.

    Returns
    -------
    Utterance
        As from a file of this name; the bytes are gone from the disk.

    Raises
    ------
    InputError
        As `Listener.hear`.
    """
    with tempfile.TemporaryDirectory(prefix="v2m-") as folder:
        path = Path(folder) / safe_name(name)
        path.write_bytes(content)
        return listener.hear(path)
