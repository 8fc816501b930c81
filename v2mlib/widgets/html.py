"""Self-contained HTML with faces one can turn: nothing is fetched, no kernel is needed."""

import hashlib
import html as markup
import json

import numpy as np

from v2mlib.checks import InputError, ShapeError, check_shape
from v2mlib.widgets import bundle
from v2mlib.widgets.colouring import scalar_map
from v2mlib.widgets.packing import (
    as_array,
    as_text,
    gloss_of,
    pack_anatomy,
    pack_colours,
    pack_triangles,
    pack_vertices,
)
from v2mlib.widgets.stills import data_address, occlusion_of, still


def mesh_html(faces, *, title="", page=False, **options):
    """HTML of faces side by side that turn together, with everything they need.

    Parameters
    ----------
    faces : list of (title, vertices, triangles, paint) or (title, vertices, triangles)
        ``vertices`` (vertex, xyz=3) in mm, ``triangles`` (triangle, 3) of int. ``paint`` is
        None (skin), colours (vertex, 3) as sRGB from 0 to 1, or numbers (vertex,) shown on a
        colour map with a scale bar.
    title : str
        Heading of the page.
    page : bool
        A whole HTML page instead of a fragment for one.
    **options : dict
        As for `mesh_figure`, which see: model, captions, scalar_name, scalar_unit, limits,
        colour_map, height, linked, camera, theme, tools, pictures, occlusion.

    Returns
    -------
    str
        HTML. About 80 KB a face and 200 KB once per call for 10,000 vertices.

    Raises
    ------
    InputError
        If there is no face, or an entry is not understood.
    ShapeError
        If an array has the wrong shape.

    Notes
    -----
    A report with several figures needs the viewer only once: put `viewer_head` at the end of
    the page's body and `mesh_figure` where each row of faces belongs.

    Examples
    --------
    >>> corner = [[0, 0, 0], [10, 0, 0], [0, 10, 0]]
    >>> text = mesh_html([("corner", corner, [[0, 1, 2]], None)], pictures=False)
    >>> "figure" in text and "http" not in text
    True
    """
    body = mesh_figure(faces, **options) + viewer_head()
    if not page:
        return body
    heading = f"<h1>{markup.escape(title)}</h1>" if title else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{markup.escape(title or 'Faces')}</title></head>"
        '<body style="font-family: system-ui, sans-serif; margin: 16px">'
        f"{heading}{body}</body></html>\n"
    )


def viewer_head():
    """Style sheet and script that open every `mesh_figure` before it on the page.

    Returns
    -------
    str
        HTML of about 40 KB, needed once per page, after the figures.
    """
    return (
        f"<style>{bundle.style()}</style>\n"
        f'<script type="module">{bundle.script("page.js")}</script>\n'
    )


def mesh_figure(
    faces,
    *,
    model=None,
    captions=None,
    scalar_name="distance",
    scalar_unit="mm",
    limits=None,
    colour_map=None,
    height=340,
    linked=True,
    camera="three_quarter",
    theme="auto",
    tools=True,
    pictures=True,
    occlusion=True,
    shared=None,
):
    """One row of faces without the viewer's script.

    Parameters
    ----------
    faces : list of tuple
        As for `mesh_html`.
    model : MorphableModel, optional
        Of the faces' topology: lends colours where the paint is None, the gloss of the eyes,
        and landmarks, lines and regions by name.
    captions : list of str, optional
        A line below each face.
    scalar_name, scalar_unit : str
        For the scale bar of faces painted by numbers.
    limits : (float, float), optional
        Ends of the colour map, shared by all faces of the row; from the data by default.
    colour_map : str, optional
        A matplotlib colour map; ``viridis``, or ``RdBu_r`` for signed numbers.
    height : int, pixels
        Of each picture.
    linked : bool
        Turning one face turns all.
    camera : str
        ``front``, ``three_quarter`` or ``profile`` at first.
    theme : str
        ``auto`` follows the page or the reader's system, else ``light`` or ``dark``.
    tools : bool
        Buttons below each face.
    pictures : bool
        A still picture per face for readers without scripts (about 12 KB each).
    occlusion : bool
        Darken creases; worked out once per topology, about a second.
    shared : dict, optional
        One dict, empty at first, handed to every figure of a page: what they have in common
        (triangles, colours, creases) is worked out and written once.

    Returns
    -------
    str
        A ``figure`` element.

    Raises
    ------
    InputError
        If there is no face, or an entry is not understood.
    """
    entries = [_entry(face) for face in faces]
    if not entries:
        raise InputError("faces", "is empty", "give (title, vertices, triangles, paint) tuples")
    captions = list(captions or [""] * len(entries))
    if len(captions) != len(entries):
        raise InputError(
            "captions", f"are {len(captions)} for {len(entries)} faces", "give each one"
        )
    painted = [paint for *_, paint in entries if paint is not None and paint.ndim == 1]
    maps = iter(
        scalar_map(
            painted, name=scalar_name, unit=scalar_unit, limits=limits, colour_map=colour_map
        )
        if painted
        else ()
    )
    skin = None if model is None or model.colours is None else as_array(model.colours)
    gloss, packed, stills = gloss_of(model), [], []
    common = {} if shared is None else shared
    skies, written, own = common.setdefault("skies", {}), common.setdefault("written", set()), {}
    for (name, vertices, corners, paint), caption in zip(entries, captions, strict=True):
        if model is not None and len(vertices) != model.n_vertices:
            raise ShapeError(
                f"{name!r} has {len(vertices)} vertices, face model {model.name!r} "
                f"{model.n_vertices}: they are of different topologies"
            )
        corner_bytes = pack_triangles(corners, len(vertices))
        if corner_bytes not in skies:
            sky = occlusion_of(model, vertices, corners) if occlusion else None
            skies[corner_bytes] = sky
        sky = skies[corner_bytes]
        numbers = next(maps) if paint is not None and paint.ndim == 1 else None
        colours = None if numbers is not None else skin if paint is None else paint
        parts = {
            "triangles": corner_bytes,
            "colours": pack_colours(colours),
            "sky": pack_colours(sky),
            "gloss": pack_colours(gloss),
        }
        packed.append(
            {
                "title": name,
                "caption": caption,
                **pack_vertices(vertices),
                "shared": {part: _share(own, data) for part, data in parts.items() if data},
                "scalars": numbers.message() if numbers is not None else None,
            }
        )
        if pictures:
            picture = still(
                vertices, corners, colours=colours, scalars=numbers, camera=camera,
                size=(height, height), occlusion=sky, gloss=gloss,
            )  # fmt: skip
            stills.append(_still_cell(name, caption, data_address(picture)))
    anatomy = json.dumps(as_text(pack_anatomy(model))).encode()
    packet = {
        "faces": packed, "anatomy": _share(own, anatomy), "linked": linked, "camera": camera,
        "height": height, "theme": theme, "tools": tools,
    }  # fmt: skip
    new = {key: data for key, data in own.items() if key not in written}
    written.update(new)
    return (
        f'<figure class="v2m-figure"><div class="v2m-row" style="min-height:{height}px">'
        f"{''.join(stills)}</div>"
        f"{_as_script(new, 'v2m-shared') if new else ''}{_as_script(packet, 'v2m-packet')}"
        "</figure>\n"
    )


def _as_script(content, css):
    # "</script>" inside a title must not end the element.
    text = json.dumps(as_text(content)).replace("<", "\\u003c")
    return f'<script type="application/json" class="{css}">{text}</script>'


def _share(shared, data):
    """Key under which bytes that several faces have in common are kept once."""
    key = hashlib.sha256(data).hexdigest()[:12]
    shared[key] = data
    return key


def _entry(face):
    if not isinstance(face, (tuple, list)) or len(face) not in (3, 4):
        raise InputError(
            f"a face of type {type(face).__name__}",
            "is not understood",
            "give (title, vertices, triangles, paint)",
        )
    title, vertices, triangles, paint = (*face, None)[:4]
    vertices, triangles = np.asarray(vertices, float), np.asarray(triangles)
    check_shape(vertices, {"vertex": None, "xyz": 3}, "vertices")
    check_shape(triangles, {"triangle": None, "corner": 3}, "triangles")
    if paint is not None:
        paint = np.asarray(paint, float)
        expected = {"vertex": len(vertices)} | ({} if paint.ndim == 1 else {"rgb": 3})
        check_shape(paint, expected, "paint")
    return str(title), vertices, triangles, paint


def _still_cell(title, caption, address):
    title, caption = markup.escape(title), markup.escape(caption)
    return (
        f'<figure class="v2m-still"><figcaption><b>{title}</b></figcaption>'
        f'<img src="{address}" alt="{title}"><div>{caption}</div></figure>'
    )
