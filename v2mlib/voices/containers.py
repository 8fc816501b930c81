"""Look into a sound file's container: formats we cannot decode, and files that were cut off.

A decoder reads a half-downloaded recording without complaint and simply returns less of it.
Most containers say how long they ought to be, so that the difference can be seen here.
"""

import struct

# First bytes -> what the file is. None of these can be decoded by libsndfile.
_UNSUPPORTED = (
    (4, b"ftyp", "MPEG-4 audio or video (m4a, mp4, mov)"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (wma, wmv)"),
    (0, b"#!AMR", "AMR speech"),
    (0, b"\xff\xf1", "a raw AAC stream"),
    (0, b"\xff\xf9", "a raw AAC stream"),
    (8, b"AVI ", "an AVI video"),
    (0, b"ADIF", "a raw AAC stream"),
)
# Programs that write to a pipe cannot know the length: they promise about 2 or 4 GiB, or nothing.
_STREAMED = 0x7FFF0000
# First four bytes -> where chunks begin, their header, the one with the samples, their alignment,
# and whether a chunk's length includes its header.
_CHUNKED = {
    b"RIFF": (12, "<4sI", b"data", 2, False),
    b"RF64": (12, "<4sI", b"data", 2, False),
    b"BW64": (12, "<4sI", b"data", 2, False),
    b"RIFX": (12, ">4sI", b"data", 2, False),
    b"FORM": (12, ">4sI", b"SSND", 2, False),
    b"caff": (8, ">4sq", b"data", 1, False),
    b"riff": (40, "<4s12xq", b"data", 8, True),  # W64 names chunks by GUIDs that begin like WAV's
}


def unsupported_format(stream):
    """Recognise common recordings that cannot be decoded here.

    Parameters
    ----------
    stream : binary file
        The recording, seekable.

    Returns
    -------
    str or None
        What the file is, in words, or None if it is not one of the known formats.
    """
    stream.seek(0)
    head = stream.read(16)
    for offset, magic, description in _UNSUPPORTED:
        if head[offset : offset + len(magic)] == magic:
            return description
    return None


def missing_bytes(stream):
    """Count the bytes that a container promises but does not hold.

    Parameters
    ----------
    stream : binary file
        The recording, seekable: WAV (RIFF, RIFX, RF64, W64), AIFF, CAF, AU, Ogg, or MP3 with a
        length tag.

    Returns
    -------
    int, bytes
        0 for a whole file, and for formats that promise nothing (FLAC promises samples, which
        are counted after decoding).

    Examples
    --------
    >>> import io
    >>> header = b"RIFF" + struct.pack("<I", 36 + 100) + b"WAVEdata" + struct.pack("<I", 100)
    >>> missing_bytes(io.BytesIO(header + bytes(60)))
    40
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(12)
    if head[:4] in (b"RIFF", b"FORM") and head[8:11] not in (b"WAV", b"AIF", b""):
        return 0  # a picture or a film; the decoder will say so
    if head[:4] in _CHUNKED:
        return _missing_in_chunks(stream, size, *_CHUNKED[head[:4]])
    if head[:4] == b".snd" and len(head) == 12:
        start, promised = struct.unpack(">II", head[4:])
        return max(0, start + promised - size) if promised < _STREAMED else 0
    if head[:4] == b"OggS":
        return _missing_in_ogg(stream, size)
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return _missing_in_mp3(stream, size)
    return 0


def _missing_in_chunks(stream, size, first, header, samples_chunk, align, inclusive):
    """Walk the chunks of a file up to the one with the samples."""
    position, large, header = first, None, struct.Struct(header)
    while position + header.size <= size:
        stream.seek(position)
        name, length = header.unpack(stream.read(header.size))
        if name == b"ds64" and position + 24 <= size:  # RF64: the true lengths, in 64 bits
            _, large = struct.unpack("<QQ", stream.read(16))
        if name == samples_chunk and length == 0xFFFFFFFF and large:
            length = large
        elif name == samples_chunk and header.size == 8 and length >= _STREAMED:
            return 0
        if length < 0:  # CAF: a last chunk of unknown length
            return 0
        end = position + length + (0 if inclusive else header.size)
        if name == samples_chunk:
            return max(0, end - size)
        position = max(end + -end % align, position + header.size)
    return max(1, position + header.size - size)  # cut before the samples began


def _missing_in_ogg(stream, size):
    """Bytes that the last page of an Ogg file lacks; its segment table gives its length."""
    tail = min(size, 2 * 65307)  # a page has at most 65,307 bytes
    stream.seek(size - tail)
    block = stream.read(tail)
    start = block.rfind(b"OggS")
    if start < 0 or len(block) < start + 27:
        return 1
    segments = block[start + 26]
    table = block[start + 27 : start + 27 + segments]
    if len(table) < segments:
        return segments - len(table)
    return max(0, start + 27 + segments + sum(table) - len(block))


def _missing_in_mp3(stream, size):
    """Compare with the byte count of an encoder's Xing/Info tag, if the first frame has one."""
    stream.seek(0)
    start, head = 0, stream.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10
        for shift, byte in zip((21, 14, 7, 0), head[6:10], strict=True):
            start += (byte & 0x7F) << shift
    stream.seek(start)
    frame = stream.read(256)
    for at in (13, 15, 21, 23, 36, 38):  # behind the header, perhaps a checksum, the side data
        if frame[at : at + 4] not in (b"Xing", b"Info"):
            continue
        if len(frame) < at + 16:
            return at + 16 - len(frame)
        (flags,) = struct.unpack(">I", frame[at + 4 : at + 8])
        if not flags & 2:
            return 0
        field = at + 8 + (4 if flags & 1 else 0)
        (promised,) = struct.unpack(">I", frame[field : field + 4])
        return max(0, start + promised - size)
    return max(0, start - size)
