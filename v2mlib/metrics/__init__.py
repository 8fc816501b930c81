"""Measures of predicted faces, and of how much of the attainable gain they reach."""

import importlib

# Imported when first used: tables need pandas, registration needs compiled code.
_HOMES = {
    "absolute_ratio_error": "ratios",
    "compare_with_published": "published_tables",
    "definition_effect": "definitions",
    "evaluate": "evaluation",
    "line_asymmetry": "symmetry",
    "line_jacobian": "ratios",
    "line_length_error": "correspondence",
    "line_lengths": "ratios",
    "line_ratios": "ratios",
    "line_table": "definitions",
    "mirrored": "symmetry",
    "normalised_mean_error": "landmarks",
    "point_to_plane_rmse": "registration",
    "published": "published_tables",
    "summarise": "summary",
    "vertex_rmse": "correspondence",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no name {name!r}; it has {__all__}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return __all__
