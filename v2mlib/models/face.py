"""A predicted face: its coefficients, its mesh, and files of it."""

import dataclasses
from pathlib import Path

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.model import Coefficients
from v2mlib.files import atomic

MESH_FORMATS = ("glb", "obj", "ply", "stl")


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """A face as a mesh, with the coefficients it came from.

    Attributes
    ----------
    vertices : ndarray of float32, (vertex, xyz=3), mm
        x to the subject's left, y up, z out of the face.
    coefficients : Coefficients
        ``shape`` and ``expression``, standardised (float32 arrays).
    triangles : ndarray of int64, (triangle, 3)
        Vertex indices, anticlockwise seen from outside.
    topology : str
        Name of the mesh's topology.
    """

    vertices: np.ndarray
    coefficients: Coefficients
    triangles: np.ndarray
    topology: str

    def mesh(self):
        """The face for trimesh.

        Returns
        -------
        trimesh.Trimesh
            In mm, vertices neither merged nor reordered.
        """
        import trimesh

        return trimesh.Trimesh(self.vertices, self.triangles, process=False)

    def save(self, path):
        """Write the mesh, whole or not at all.

        Parameters
        ----------
        path : path
            ``.obj``, ``.ply`` or ``.stl`` in mm; ``.glb`` in metres, as glTF demands.

        Raises
        ------
        InputError
            If the suffix is unknown or the file cannot be written.
        """
        path = Path(path)
        kind = path.suffix.lower().lstrip(".")
        if kind not in MESH_FORMATS:
            known = ", ".join(f".{name}" for name in MESH_FORMATS)
            raise InputError(path, "is not a known mesh format", f"end its name in one of {known}")
        mesh = self.mesh()
        if kind == "glb":
            mesh.apply_scale(1e-3)
        try:
            with atomic(path) as partial:
                mesh.export(partial, file_type=kind)
        except OSError as error:
            raise InputError(
                path, f"cannot be written ({error.strerror or error})", "choose another folder"
            ) from error
