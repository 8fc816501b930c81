"""Tests, intervals and reliability of tables; the unit of analysis is the identity."""

import importlib

_HOMES = {
    "icc": "reliability",
    "split_half": "reliability",
}

__all__ = [*_HOMES]


def __getattr__(name):
    """Import on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """List the public names."""
    return sorted(__all__)
