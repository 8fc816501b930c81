"""Data sets: folders of recordings and photographs, their truth, and what training reads."""

import importlib

# Imported when first used: what reads tables or speaks needs no torch.
_HOMES = {
    "Dataset": "dataset",
    "LogMelStore": "features",
    "Sources": "sources",
    "World": "world",
    "find_sources": "sources",
    "load_data": "dataset",
    "load_dataset": "dataset",
    "load_world": "world",
    "log_mel_store": "features",
}

__all__ = list(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted(_HOMES)
