"""Preference studies from end to end: build one, let people answer it, analyse the answers.

Nothing about a participant is kept but a random code, the day, and the choices.
"""

import importlib

_HOMES = {
    "Participation": "answering",
    "Study": "folder",
    "StudyPlan": "plan",
    "analyse_answers": "analysing",
    "build_study": "building",
    "load_study": "folder",
    "read_answers": "reading",
    "run_study": "running",
    "section_counts": "analysing",
    "simulated_study": "simulated",
    "study_status": "reading",
    "write_analysis": "output",
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
