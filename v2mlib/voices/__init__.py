"""Voices: read a recording, keep its speech, and describe it as a log-mel matrix."""

from v2mlib.voices.reading import ClippingWarning, read_audio, resample

__all__ = ["ClippingWarning", "read_audio", "resample"]
