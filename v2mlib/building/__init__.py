"""Data sets built from recordings and photographs: spread over processes, resumed, repeatable."""

import importlib

_HOMES = {
    "BuildConfig": "config",
    "BuildReport": "report",
    "build_dataset": "build",
    "projection": "report",
}

__all__ = list(_HOMES)


def __getattr__(name):
    """Import on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """List the public names."""
    return sorted(__all__)
