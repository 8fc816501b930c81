"""A face: vertices with their topology, to look at, measure and save."""

import dataclasses
from pathlib import Path

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.model import Coefficients
from v2mlib.files import atomic

FORMATS = ("obj", "ply", "glb", "stl")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Face:
    """One face in the topology of a morphable model.

    Attributes
    ----------
    vertices : ndarray of float32, (vertex, xyz=3), mm
        x to the subject's left, y up, z out of the face.
    coefficients : Coefficients of ndarray of float32, (shape,) and (expression,)
        Standardised.
    triangles : ndarray of int64, (triangle, 3)
        Vertex indices, anticlockwise seen from outside.
    topology : str
        Name of the mesh.
    colours : ndarray of float32, (vertex, rgb=3), optional
        Albedo in [0, 1].
    """

    vertices: np.ndarray
    coefficients: Coefficients
    triangles: np.ndarray
    topology: str
    colours: np.ndarray | None = None

    def __repr__(self):
        """Name what it is made of."""
        shape, expression = (len(part) for part in self.coefficients)
        return (
            f"Face(topology={self.topology!r}, {len(self.vertices)} vertices, "
            f"{shape} shape + {expression} expression coefficients)"
        )

    @classmethod
    def from_coefficients(cls, model, shape, expression=None):
        """Decode a face.

        Parameters
        ----------
        model : MorphableModel
            The face model.
        shape : array_like, (shape,), standard deviations
            Shape coefficients.
        expression : array_like, (expression,), standard deviations, optional
            Expression coefficients; 0 by default.

        Returns
        -------
        Face
            With the model's triangles and colours.

        Raises
        ------
        ShapeError
            If the number of coefficients is not the model's.
        """
        shape = np.asarray(shape, dtype=np.float32)
        if expression is None:
            expression = np.zeros(model.n_expression)
        expression = np.asarray(expression, dtype=np.float32)
        return cls(
            vertices=model.decode(shape, expression).cpu().numpy(),
            coefficients=Coefficients(shape, expression),
            triangles=model.triangles.cpu().numpy(),
            topology=model.topology,
            colours=None if model.colours is None else model.colours.cpu().numpy(),
        )

    def mesh(self):
        """Make a mesh for trimesh.

        Returns
        -------
        trimesh.Trimesh
            Vertices in order (nothing merged), mm; with vertex colours where there are any.
        """
        import trimesh

        colours = None
        if self.colours is not None:
            colours = np.round(np.clip(self.colours, 0, 1) * 255).astype(np.uint8)
        mesh = trimesh.Trimesh(
            self.vertices, self.triangles, vertex_colors=colours, process=False, validate=False
        )
        mesh.units = "mm"
        return mesh

    def save(self, path):
        """Write the mesh, whole or not at all.

        Parameters
        ----------
        path : path
            A name that ends in .obj, .ply, .glb or .stl; its folder is created. Numbers are mm
            in every format.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        InputError
            If the suffix is another one, or the file cannot be written.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise InputError(
                path,
                f"has the suffix {path.suffix!r}, which is no format for a face"
                if path.suffix
                else "has no suffix to tell the format",
                f"choose from {', '.join(f'.{name}' for name in FORMATS)}",
            )
        if path.is_dir():
            raise InputError(path, "is a folder", "choose the name of a file")
        content = self.mesh().export(file_type=kind)
        try:
            with atomic(path) as partial:
                partial.write_bytes(content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise InputError(
                path, f"cannot be written ({error.strerror})", "choose a folder you may write to"
            ) from None
        return path
