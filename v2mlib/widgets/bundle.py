"""The viewer's JavaScript and style sheet as text, joined into one module per use."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_PARTS = (
    "viewer.js",
    "gpu.js",
    "raster.js",
    "mesh.js",
    "camera.js",
    "marks.js",
    "panel.js",
    "arrival.js",
)


@cache
def script(*entries):
    """One ES module: the parts of the viewer and what starts it.

    Parameters
    ----------
    *entries : str
        ``"widget.js"`` or ``"compare.js"`` for notebooks, ``"page.js"`` for plain HTML,
        ``"recorder.js", "voice_to_face.js"`` for voices.

    Returns
    -------
    str
        JavaScript that imports nothing.
    """
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in (*_PARTS, *entries))


@cache
def loader(entry=None):
    """The small part of a notebook widget that is kept in the notebook's state.

    Parameters
    ----------
    entry : str, optional
        ``"voice_loader.js"`` for voices; otherwise for faces.

    Returns
    -------
    str
        JavaScript that shows the picture at first, and opens the viewer that comes with the face.
    """
    arrival = (_FOLDER / "arrival.js").read_text(encoding="utf-8")
    faces = "export default () => faceWidget(null);\n"
    start = (_FOLDER / entry).read_text(encoding="utf-8") if entry else faces
    return f"{arrival}\n{start}"


@cache
def style():
    """Rules for everything the viewer shows.

    Returns
    -------
    str
        CSS; every rule is below the class ``v2m`` or a name that starts with it.
    """
    return (_FOLDER / "viewer.css").read_text(encoding="utf-8")
