"""The viewer's JavaScript and style sheet as text, joined into one module per use."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_PARTS = ("viewer.js", "mesh.js", "camera.js", "marks.js", "panel.js", "arrival.js")


@cache
def script(entry):
    """One ES module: the parts of the viewer and the entry that starts it.

    Parameters
    ----------
    entry : str
        ``"widget.js"`` or ``"compare.js"`` for notebooks, ``"page.js"`` for plain HTML.

    Returns
    -------
    str
        JavaScript that imports nothing.
    """
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in (*_PARTS, entry))


@cache
def loader():
    """The small part of a notebook widget that is kept in the notebook's state.

    Returns
    -------
    str
        JavaScript that shows the picture at first, and opens the viewer that comes with the face.
    """
    arrival = (_FOLDER / "arrival.js").read_text(encoding="utf-8")
    return f"{arrival}\nexport default () => faceWidget(null);\n"


@cache
def style():
    """Rules for everything the viewer shows.

    Returns
    -------
    str
        CSS; every rule is below the class ``v2m`` or a name that starts with it.
    """
    return (_FOLDER / "viewer.css").read_text(encoding="utf-8")
