"""Voices: read a recording, keep its speech, and describe it as a log-mel matrix."""

from v2mlib.voices.activity import (
    RELEASED_ACTIVITY,
    ActivityConfig,
    trim_silence,
    voice_activity,
)
from v2mlib.voices.features import log_mel, normalise_log_mel, repeat_to
from v2mlib.voices.pipeline import front_end
from v2mlib.voices.reading import ClippingWarning, read_audio, resample
from v2mlib.voices.recipe import CLEAN_LOG_MEL, RELEASED_LOG_MEL, LogMelConfig, mel_filters

__all__ = [
    "CLEAN_LOG_MEL",
    "RELEASED_ACTIVITY",
    "RELEASED_LOG_MEL",
    "ActivityConfig",
    "ClippingWarning",
    "LogMelConfig",
    "front_end",
    "log_mel",
    "mel_filters",
    "normalise_log_mel",
    "read_audio",
    "repeat_to",
    "resample",
    "trim_silence",
    "voice_activity",
]
