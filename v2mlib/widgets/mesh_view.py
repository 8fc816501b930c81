"""The notebook widget: a face one can turn and, for a morphable model, shape with sliders."""

import anywidget
import numpy as np
import traitlets

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import rendering
from v2mlib.widgets import bundle
from v2mlib.widgets.colouring import scalar_map
from v2mlib.widgets.packing import (
    as_array,
    gloss_of,
    known_landmarks,
    pack_anatomy,
    pack_colours,
    pack_triangles,
    pack_vertices,
    packing_error,
    split_buffers,
)
from v2mlib.widgets.sending import coefficient_names, pack_model_modes, soon
from v2mlib.widgets.stills import data_address, occlusion_of, still, with_picture


class Coefficients(traitlets.List):
    """A list of standardised coefficients; arrays are taken, a short list is filled with zeros."""

    def validate(self, obj, value):
        """Turn anything with numbers into a list of the model's length.

        Parameters
        ----------
        obj : MeshView
            The widget.
        value : array_like
            Coefficients, standard deviations.

        Returns
        -------
        list of float
            As many as the model has.

        Raises
        ------
        ShapeError
            If there are more than the model has, or more than one axis.
        InputError
            If a number is not finite.
        """
        numbers = np.asarray(as_array(value), float)
        size = obj._sizes[self.name]
        if numbers.ndim != 1 or len(numbers) > size:
            raise ShapeError(
                f"{self.name} has shape {numbers.shape}, expected at most ({size},) for this face"
            )
        if not np.isfinite(numbers).all():
            raise InputError(self.name, "holds a number that is not finite", "check its source")
        return [*numbers.tolist(), *[0.0] * (size - len(numbers))]


class MeshView(anywidget.AnyWidget):
    """A face in the notebook: turn it, measure it, move its coefficients.

    The modes of a morphable model travel to the browser once; its sliders act there, and the
    traits here follow. Everything also works without a browser: set a trait, read `vertices`.
    In a stored notebook the widget leaves a picture.

    Parameters
    ----------
    face : MorphableModel, Face, trimesh.Trimesh or (vertices, triangles)
        What to show. Vertices in mm; x to the subject's left, y up, z out of the face.
    model : MorphableModel, optional
        Where ``face`` is a mesh: lends landmarks, lines, regions and colours of its topology.
    scalars : array_like (vertex,), "displacement" or ScalarMap, optional
        Numbers that colour the face, as in `colour_by`.
    **traits : dict
        Any trait below.

    Attributes
    ----------
    shape_coefficients, expression_coefficients : list of float
        Standard deviations; empty for a face without modes.
    selected_region : str
        Name of the highlighted region, or empty.
    lines : list of str
        Names of the lines that are drawn with their lengths in mm.
    show_landmarks, wireframe, tools, sliders : bool
        What is shown.
    camera : str
        ``front``, ``three_quarter`` or ``profile``.
    link : str
        Views on one page with the same link turn together.
    theme : str
        ``auto``, ``light`` or ``dark``.
    title : str
        Above the picture.
    height : int, pixels
        Of the picture.

    Raises
    ------
    ShapeError
        If coefficients or scalars do not fit the face.
    InputError
        If a name is not known to the face, or the face is not understood.

    Examples
    --------
    >>> corner = ([[0, 0, 0], [10, 0, 0], [0, 10, 0]], [[0, 1, 2]])
    >>> MeshView(corner, title="corner").vertices.shape
    (3, 3)
    """

    _esm = bundle.loader()
    _css = bundle.style()

    _still = traitlets.Unicode("").tag(sync=True)
    _scalars = traitlets.Dict().tag(sync=True)
    shape_coefficients = Coefficients().tag(sync=True)
    expression_coefficients = Coefficients().tag(sync=True)
    selected_region = traitlets.Unicode("").tag(sync=True)
    lines = traitlets.List(traitlets.Unicode()).tag(sync=True)
    show_landmarks = traitlets.Bool(False).tag(sync=True)
    wireframe = traitlets.Bool(False).tag(sync=True)
    tools = traitlets.Bool(True).tag(sync=True)
    sliders = traitlets.Bool(True).tag(sync=True)
    camera = traitlets.Unicode("three_quarter").tag(sync=True)
    link = traitlets.Unicode("").tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Int(420).tag(sync=True)

    def __init__(self, face, *, model=None, scalars=None, **traits):
        morphable = face if hasattr(face, "decode") else None
        self._model = morphable
        self._anatomy = anatomy = morphable or model
        self._rest, self._triangles = vertices_and_triangles(face)
        if anatomy is not None and len(anatomy.mean) != len(self._rest):
            raise ShapeError(
                f"the face has {len(self._rest)} vertices, the model {len(anatomy.mean)}: "
                "they are of different topologies"
            )
        self._sizes = {
            "shape_coefficients": morphable.n_shape if morphable else 0,
            "expression_coefficients": morphable.n_expression if morphable else 0,
        }
        self._colours = _optional(anatomy, "colours")
        self._sky = occlusion_of(anatomy, self._rest, self._triangles)
        self._gloss = gloss_of(anatomy)
        self._map, self._painted = None, 0
        unknown = set(traits) - set(self.trait_names())
        if unknown:
            known = "shape_coefficients, selected_region, lines, camera, title, ..."
            raise InputError(
                ", ".join(sorted(unknown)), "is not a trait of MeshView", f"use {known}"
            )
        for kind in self._sizes:
            traits.setdefault(kind, [])
        super().__init__(**traits)
        self.on_msg(self._answer)
        self.layout.flex = "1 1 240px"
        self.layout.min_width = "0"
        if scalars is not None:
            self.colour_by(scalars)

    @property
    def vertices(self):
        """The face as its coefficients make it, ndarray (vertex, xyz=3), mm."""
        if self._model is None:
            return self._rest
        shape = self._model.mean.new_tensor(self.shape_coefficients)
        expression = self._model.mean.new_tensor(self.expression_coefficients)
        return as_array(self._model.decode(shape, expression))

    @property
    def triangles(self):
        """Vertex numbers of the triangles, ndarray (triangle, 3)."""
        return self._triangles

    @property
    def packing_error_mm(self):
        """Largest error of a vertex in the browser, mm per axis, every coefficient at 3 sd."""
        return packing_error(self._packed())

    def colour_by(self, scalars="displacement", **options):
        """Colour the face by numbers, with a scale bar.

        Parameters
        ----------
        scalars : array_like (vertex,), "displacement", ScalarMap or None
            Numbers; or the distance from the face without any coefficient, which follows the
            sliders; None gives the face its own colours back.
        **options : dict
            As for `v2mlib.widgets.colouring.scalar_map`: name, unit, limits, colour_map.

        Returns
        -------
        MeshView
            The same view.

        Raises
        ------
        ShapeError
            If there is not one number per vertex.
        """
        if scalars is None:
            self._map, self._scalars = None, {}
            return self
        if isinstance(scalars, str):
            if scalars != "displacement":
                raise InputError(scalars, "is no map by name", 'use "displacement" or numbers')
            options = {"name": "distance from the mean", "limits": (0, 8), **options}
            self._map = scalar_map(None, **options)
        elif hasattr(scalars, "stops"):
            self._map = scalars
        else:
            self._map = scalar_map(as_array(scalars), **options)
        if self._map.values is not None and len(self._map.values) != len(self._rest):
            raise ShapeError(
                f"scalars are {len(self._map.values)} numbers for {len(self._rest)} vertices"
            )
        # The numbers in a message, because traits end up in the notebook file.
        self.send({"kind": "scalars"}, [self._map.packed_values() or b""])
        self._painted += 1
        self._scalars = self._map.legend() | {"number": self._painted}
        return self

    def picture(self, size=(420, 420)):
        """Still picture of what the view shows.

        Parameters
        ----------
        size : tuple of int, (height, width)
            Pixels.

        Returns
        -------
        PIL.Image.Image
            With title, landmarks, lines and scale bar, which grow with the picture; sliders and
            buttons are left out. Light where the theme is ``auto``.
        """
        vertices, numbers = self.vertices, self._map
        if numbers is not None and numbers.values is None:
            numbers = numbers._replace(values=np.linalg.norm(vertices - self._rest, axis=1))
        region = self._anatomy.regions[self.selected_region] if self.selected_region else ()
        return still(
            vertices,
            self._triangles,
            colours=self._colours,
            scalars=numbers,
            landmarks=known_landmarks(self._anatomy) if self.show_landmarks else (),
            lines={name: self._anatomy.lines[name] for name in self.lines},
            camera=self.camera,
            size=size,
            title=self.title,
            occlusion=self._sky,
            gloss=self._gloss,
            highlight=as_array(region),
            wireframe=self.wireframe,
            theme="dark" if self.theme == "dark" else "light",
        )

    def _answer(self, _widget, content, _buffers):
        if content.get("kind") == "want mesh":
            self._send_mesh()
            if self._model is not None:
                self._send_modes()

    def _send_mesh(self):
        # A message and not a trait: traits end up in the notebook file, megabytes of them.
        mesh, buffers = split_buffers(self._packed_face())
        code = bundle.script("widget.js")
        self.send({"kind": "mesh", "mesh": mesh, "code": code}, buffers)

    def _send_modes(self):
        # By themselves, because they are ten times as large as what the first picture needs.
        modes, buffers = split_buffers(pack_model_modes(self._model))
        self.send({"kind": "modes", "modes": modes}, buffers)

    def _prepare(self, size):
        """Picture for the notebook file, and the face on its way before it is displayed."""
        self._send_mesh()  # the browser unpacks it while the picture is drawn here
        image = self.picture(size)
        self._still = data_address(image)
        self._send_mesh()  # a widget that did not listen yet at first
        if self._model is not None:
            soon(self._send_modes)
        return image

    def _packed(self):
        """All that a browser is told, in one."""
        return self._packed_face() | (pack_model_modes(self._model) if self._model else {})

    def _packed_face(self):
        moved = any(self.shape_coefficients) or any(self.expression_coefficients)
        return {
            **pack_vertices(self._rest),
            "posed": pack_vertices(self.vertices) if moved else None,
            "triangles": pack_triangles(self._triangles, len(self._rest)),
            "colours": pack_colours(self._colours),
            "sky": pack_colours(self._sky),
            "gloss": pack_colours(self._gloss),
            "values": None if self._map is None else self._map.packed_values(),
            **pack_anatomy(self._anatomy),
            **(coefficient_names(self._model) if self._model else {}),
        }

    @traitlets.validate("selected_region")
    def _known_region(self, proposal):
        name, known = proposal["value"], list(_optional(self._anatomy, "regions") or {})
        if name and name not in known:
            raise InputError(name, "is not a region of this face", f"use one of {known}")
        return name

    @traitlets.validate("lines")
    def _known_lines(self, proposal):
        known = list(_optional(self._anatomy, "lines") or {})
        for name in proposal["value"]:
            if name not in known:
                raise InputError(name, "is not a line of this face", f"use some of {known}")
        return proposal["value"]

    @traitlets.validate("camera")
    def _known_camera(self, proposal):
        if proposal["value"] not in rendering.CAMERAS:
            known = ", ".join(rendering.CAMERAS)
            raise InputError(proposal["value"], "is not a camera preset", f"use one of {known}")
        return proposal["value"]

    def _repr_mimebundle_(self, **kwargs):
        image = self._prepare((420, 420))
        return with_picture(super()._repr_mimebundle_(**kwargs), image)


def _optional(anatomy, name):
    value = getattr(anatomy, name, None)
    return value if value is None or isinstance(value, dict) else as_array(value)


def vertices_and_triangles(face):
    """Take the mesh out of anything that is a face.

    Parameters
    ----------
    face : MorphableModel, Face, trimesh.Trimesh or (vertices, triangles)
        A face.

    Returns
    -------
    vertices : ndarray, (vertex, xyz=3), mm
        A model's are its mean's.
    triangles : ndarray of int, (triangle, 3)
        Vertex numbers.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if hasattr(face, "decode"):
        pair = face.mean, face.triangles
    elif hasattr(face, "triangles") and hasattr(face, "vertices"):
        # A trimesh has both too, but its triangles are coordinates.
        pair = face.vertices, getattr(face, "faces", face.triangles)
    elif isinstance(face, (tuple, list)) and len(face) == 2:
        pair = face
    else:
        raise InputError(
            f"a {type(face).__name__}",
            "is not a face",
            "give a MorphableModel, a Face, a trimesh or (vertices, triangles)",
        )
    return np.asarray(as_array(pair[0]), float), np.asarray(as_array(pair[1]))
