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
def style():
    """Rules for everything the viewer shows.

    Returns
    -------
    str
        CSS; every rule is below the class ``v2m`` or a name that starts with it.
    """
    return (_FOLDER / "viewer.css").read_text(encoding="utf-8")
