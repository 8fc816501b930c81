"""Two or more faces under one camera: side by side, as differences, in turns, half and half."""

from collections.abc import Mapping

import anywidget
import numpy as np
import traitlets
from PIL import Image, ImageDraw

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import rendering
from v2mlib.faces.geometry import vertex_normals
from v2mlib.widgets import bundle
from v2mlib.widgets.colouring import scalar_map
from v2mlib.widgets.mesh_view import vertices_and_triangles
from v2mlib.widgets.packing import (
    as_array,
    gloss_of,
    pack_anatomy,
    pack_colours,
    pack_triangles,
    pack_vertices,
    split_buffers,
)
from v2mlib.widgets.stills import (
    THEMES,
    beside,
    data_address,
    occlusion_of,
    still,
    with_picture,
    write_on,
)

MODES = ("side_by_side", "difference", "flicker", "wipe")


class Comparison(anywidget.AnyWidget):
    """Faces of one topology that turn together; `compare` makes it.

    Parameters
    ----------
    faces, model, signed, limits
        As for `compare`.
    **traits : dict
        Any trait below.

    Attributes
    ----------
    mode : str
        ``side_by_side``; ``difference``, where all but the first are coloured by their distance
        from the first; ``flicker``, where the first and `shown` take turns in one picture; or
        ``wipe``, where the first is left of a line and `shown` right of it.
    shown : str
        Name of the face that flicker and wipe set against the first.
    wipe : float
        Where the line is, from 0 (left edge) to 1.
    camera : str
        ``front``, ``three_quarter`` or ``profile``.
    theme : str
        ``auto``, ``light`` or ``dark``.
    title : str
        Above everything.
    height : int, pixels
        Of each picture.
    """

    _esm = bundle.loader()
    _css = bundle.style()

    _still = traitlets.Unicode("").tag(sync=True)
    mode = traitlets.Enum(MODES, "side_by_side").tag(sync=True)
    shown = traitlets.Unicode("").tag(sync=True)
    wipe = traitlets.Float(0.5, min=0.0, max=1.0).tag(sync=True)
    camera = traitlets.Enum(list(rendering.CAMERAS), "three_quarter").tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Int(340).tag(sync=True)

    def __init__(self, faces, *, model=None, signed=False, limits=None, **traits):
        self._faces, self._triangles = _of_one_topology(faces, model)
        self._model = model
        names = list(self._faces)
        self._differences = _differences(self._faces, self._triangles, signed)
        maps = scalar_map(
            list(self._differences.values()),
            name=f"from {names[0]}",
            limits=limits,
            colour_map="RdBu_r" if signed else None,
        )
        self._maps = dict(zip(names[1:], maps, strict=True))
        traits.setdefault("shown", names[1])
        super().__init__(**traits)
        self.on_msg(self._answer)

    @property
    def names(self):
        """Names of the faces; the first is what the others are compared with."""
        return list(self._faces)

    @property
    def differences(self):
        """Distance of each other face from the first, dict of str to ndarray (vertex,), mm."""
        return dict(self._differences)

    def picture(self, size=(300, 300)):
        """Still picture of what is compared.

        Parameters
        ----------
        size : tuple of int, (height, width)
            Pixels of each face.

        Returns
        -------
        PIL.Image.Image
            Flicker, which paper cannot show, leaves its two faces side by side.
        """
        first, mode = self.names[0], self.mode
        if mode == "wipe":
            left, right = self._draw(first, size), self._draw(self.shown, size)
            cut = round(self.wipe * size[1])
            left.paste(right.crop((cut, 0, size[1], size[0])), (cut, 0))
            theme = self._theme()
            ImageDraw.Draw(left).line((cut, 0, cut, size[0]), fill=THEMES[theme][1], width=2)
            points, gap = 14 * max(1.0, min(size) / 420), 12 * max(1.0, min(size) / 420)
            write_on(
                ImageDraw.Draw(left), (size[1] - gap, 0.8 * gap), self.shown, points, "ra", theme
            )
            return left
        names = [first, self.shown] if mode == "flicker" else self.names
        return beside([self._draw(n, size, mode == "difference" and n != first) for n in names])

    def _draw(self, name, size, painted=False):
        model = self._model
        every = np.concatenate(list(self._faces.values()))
        colours = getattr(model, "colours", None)
        image = still(
            self._faces[name],
            self._triangles,
            colours=None if colours is None else as_array(colours),
            scalars=self._maps[name] if painted else None,
            camera=rendering.frame(every, self.camera, size=size),
            size=size,
            title=name,
            occlusion=self._occlusion(),
            gloss=gloss_of(model),
            theme=self._theme(),
        )
        return self._captioned(image, self._summary(name) if painted else "")

    def _captioned(self, image, caption):
        """In difference mode a strip below the face for the numbers, which would hide its neck."""
        if self.mode != "difference":
            return image
        grown, theme = max(1.0, min(image.size) / 420), self._theme()
        ground = tuple(round(255 * channel) for channel in THEMES[theme][0])
        sheet = Image.new("RGB", (image.width, image.height + round(24 * grown)), ground)
        sheet.paste(image, (0, 0))
        place = (12 * grown, image.height + 12 * grown)
        write_on(ImageDraw.Draw(sheet), place, caption, 12 * grown, "lm", theme)
        return sheet

    def _summary(self, name):
        away = np.abs(self._differences[name])
        return f"mean {away.mean():.2f}, largest {away.max():.2f} mm"

    def _theme(self):
        return "dark" if self.theme == "dark" else "light"

    def _occlusion(self):
        first = next(iter(self._faces.values()))
        if not hasattr(self, "_sky"):
            self._sky = occlusion_of(self._model, first, self._triangles)
        return self._sky

    def _packed(self):
        names, count = self.names, len(self._faces[self.names[0]])
        colours = getattr(self._model, "colours", None)
        common = {
            "triangles": pack_triangles(self._triangles, count),
            "colours": pack_colours(None if colours is None else as_array(colours)),
            "sky": pack_colours(self._occlusion()),
            "gloss": pack_colours(gloss_of(self._model)),
            **pack_anatomy(self._model),
        }
        faces = [{"title": name, **pack_vertices(self._faces[name])} for name in names]
        for face, (name, values) in zip(faces[1:], self._differences.items(), strict=True):
            face["values"] = values.astype("<f4").tobytes()
            face["summary"] = self._summary(name)
        one = self._maps[names[1]]
        shown = {key: getattr(one, key) for key in ("low", "high", "stops", "name", "unit")}
        return {"common": common, "faces": faces, "map": shown}

    def _answer(self, _widget, content, _buffers):
        if content.get("kind") == "want mesh":
            self._send_mesh()

    def _send_mesh(self):
        # A message and not a trait: traits end up in the notebook file, megabytes of them.
        mesh, buffers = split_buffers(self._packed())
        code = bundle.script("compare.js")
        self.send({"kind": "mesh", "mesh": mesh, "code": code}, buffers)

    def _repr_mimebundle_(self, **kwargs):
        image = self.picture()
        self._still = data_address(image)
        self._send_mesh()
        return with_picture(super()._repr_mimebundle_(**kwargs), image)

    @traitlets.validate("shown")
    def _known_face(self, proposal):
        name = proposal["value"]
        if name not in self.names[1:]:
            raise InputError(name, "is not a face to compare", f"use one of {self.names[1:]}")
        return name


def compare(
    faces,
    *,
    model=None,
    mode="side_by_side",
    signed=False,
    limits=None,
    shown=None,
    camera="three_quarter",
    theme="auto",
    title="",
    height=340,
):
    """Compare faces of one topology: one camera turns them all.

    Parameters
    ----------
    faces : dict of str to face, or sequence of faces
        Two or more; all are compared with the first. A face is whatever `MeshView` takes, or,
        where ``model`` is given, an array of vertices (vertex, xyz=3) in mm.
    model : MorphableModel, optional
        Of the faces' topology: lends triangles, colours, landmarks, lines and regions.
    mode : str
        ``side_by_side``, ``difference``, ``flicker`` or ``wipe``; the reader can change it.
    signed : bool
        Measure along the normal of the first face, outwards positive, instead of the whole
        distance between corresponding vertices.
    limits : (float, float), mm, optional
        Ends of the colour map.
    shown : str, optional
        Which face flicker and wipe set against the first; the second by default.
    camera : str
        ``front``, ``three_quarter`` or ``profile`` at first.
    theme : str
        ``auto``, ``light`` or ``dark``.
    title : str
        Above everything.
    height : int, pixels
        Of each picture.

    Returns
    -------
    Comparison
        A widget, which leaves a picture in a stored notebook; `Comparison.differences` holds
        the numbers. Nothing is aligned here.

    Raises
    ------
    InputError
        If there are fewer than two faces, or one is not understood.
    ShapeError
        If the faces are of different topologies.

    Examples
    --------
    >>> triangles = [[0, 1, 2]]
    >>> flat = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]])
    >>> faces = {"flat": (flat, triangles), "lifted": (flat + [0, 0, 2.0], triangles)}
    >>> compare(faces).differences["lifted"].tolist()
    [2.0, 2.0, 2.0]
    """
    options = {} if shown is None else {"shown": shown}
    if mode not in MODES:
        raise InputError(mode, "is not a way to compare", f"use one of {', '.join(MODES)}")
    if camera not in rendering.CAMERAS:
        known = ", ".join(rendering.CAMERAS)
        raise InputError(camera, "is not a camera preset", f"use one of {known}")
    return Comparison(
        faces, model=model, signed=signed, limits=limits, mode=mode, camera=camera,
        theme=theme, title=title, height=height, **options,
    )  # fmt: skip


def _of_one_topology(faces, model):
    if not isinstance(faces, Mapping):
        faces = {f"face {k + 1}": face for k, face in enumerate(faces)}
    if len(faces) < 2:
        raise InputError("faces", f"are {len(faces)}", "give at least two to compare")
    found, triangles, first = {}, None, None
    for name, face in faces.items():
        if model is not None and len(getattr(face, "shape", ())) == 2:
            face = (face, model.triangles)  # vertices alone
        vertices, corners = vertices_and_triangles(face)
        expected = len(vertices) if model is None else model.n_vertices
        if first is not None:
            expected = len(found[first])
        if len(vertices) != expected or (
            triangles is not None and not np.array_equal(triangles, corners)
        ):
            raise ShapeError(
                f"{name!r} has {len(vertices)} vertices, expected the topology of "
                f"{first or 'the model'!r} with {expected}: faces are compared vertex by vertex"
            )
        found[str(name)] = vertices
        triangles, first = corners, first or str(name)
    return found, triangles


def _differences(faces, triangles, signed):
    (_, first), *others = faces.items()
    if not signed:
        return {name: np.linalg.norm(face - first, axis=1) for name, face in others}
    normals = as_array(vertex_normals(first, triangles))
    return {name: ((face - first) * normals).sum(1) for name, face in others}
