"""Faces one can turn: the notebook widget `MeshView` and self-contained HTML.

Submodules are imported on first use, so that importing the package costs nothing.
"""

_HOMES = {
    "MeshView": "mesh_view",
    "StudyRunner": "study_runner",
    "side_by_side": "rows",
    "Comparison": "comparing",
    "compare": "comparing",
    "mesh_html": "html",
    "mesh_figure": "html",
    "viewer_head": "html",
    "still": "stills",
    "VoiceToFace": "voice_to_face",
}

__all__ = [
    "Comparison",
    "MeshView",
    "StudyRunner",
    "VoiceToFace",
    "compare",
    "mesh_figure",
    "mesh_html",
    "side_by_side",
    "still",
    "viewer_head",
]


def __getattr__(name):
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
