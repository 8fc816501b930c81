"""A synthetic population with a known, adjustable link between voice and face.

See `Population` for the people, `ceiling` for what the best predictor could reach, and
`make_world` for a folder laid out as the real data.
"""

import importlib

_HOMES = {
    "Law": "law",
    "Population": "population",
    "build_law": "law",
    "SIZES": "sizes",
    "Size": "sizes",
    "SpeechConfig": "speech",
    "attainable_shares": "limits",
    "build_world": "world",
    "ceiling": "attainable",
    "draw_sample": "quick",
    "fit_listener": "quick",
    "hearing_reliability": "limits",
    "identification_rate": "limits",
    "make_world": "world",
    "measured_lines": "quick",
    "voice_link": "limits",
}

__all__ = list(_HOMES)


def __getattr__(name):
    """Import on first use: speech needs neither torch nor a renderer."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return globals()[name]


def __dir__():
    """List the public names."""
    return sorted(_HOMES)
