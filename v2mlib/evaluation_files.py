"""Faces of identities from files: coefficients in ``.npz``, ``.csv`` or ``.parquet``, or meshes."""

from pathlib import Path

import numpy as np
import pandas as pd

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces.geometry import require_vertices
from v2mlib.faces.storage import read_npz
from v2mlib.metrics.face_rows import FaceRows, require_ordered

MESHES = (".obj", ".ply", ".glb", ".off")
"""Formats of meshes that keep the number of each vertex."""

_FORMS = (
    "give .npz (identity, and shape_coefficients or vertices), .csv or .parquet (a column "
    f"identity, and one per coefficient), or a folder of meshes ({' '.join(MESHES)})"
)


def read_faces(path, model):
    """Read whose faces a file or folder holds.

    Parameters
    ----------
    path : path
        ``.npz``: ``identity (row,)``, ``shape_coefficients (row, shape)`` (standardised) or
        ``vertices (row, vertex, xyz)`` in mm, and perhaps ``sex (row,)``. ``.csv`` and
        ``.parquet``: a column ``identity``, perhaps ``sex``, and one column per coefficient in
        order. A folder: a mesh ``<identity>.obj`` each, or ``<identity>/<any name>.obj`` for
        several utterances. Several rows of one identity are its utterances.
    model : MorphableModel
        What they are faces of.

    Returns
    -------
    FaceRows
        For `v2mlib.metrics.evaluate`.

    Raises
    ------
    InputError
        If the file is absent, damaged or of another form, or meshes are of another topology.
    ShapeError
        If a mesh has another number of vertices.
    """
    path = Path(path)
    if path.is_dir():
        return _read_meshes(path, model)
    if not path.exists():
        raise InputError(path, "does not exist", _FORMS)
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix in (".csv", ".parquet"):
        return _read_table(path)
    raise InputError(path, "is of no known form", _FORMS)


def _read_npz(path):
    arrays = read_npz(path)
    faces = [arrays[name] for name in ("shape_coefficients", "vertices") if name in arrays]
    if "identity" not in arrays or len(faces) != 1:
        raise InputError(path, f"holds {', '.join(arrays) or 'nothing'}", _FORMS)
    return FaceRows(arrays["identity"].astype(str), faces[0], arrays.get("sex"))


def _read_table(path):
    try:
        read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}[path.suffix]
        # An identity such as 007 is a name, not a number.
        table = read(path, dtype={"identity": str}) if path.suffix == ".csv" else read(path)
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", _FORMS) from None
    if "identity" not in table:
        raise InputError(path, "has no column identity", _FORMS)
    sex = table["sex"].to_numpy() if "sex" in table else None
    numbers = table.drop(columns=["identity", "sex"], errors="ignore")
    words = [name for name in numbers if not pd.api.types.is_numeric_dtype(numbers[name])]
    if words:
        raise InputError(path, f"has columns that are not numbers: {', '.join(words)}", _FORMS)
    require_ordered(numbers.columns, f"faces in {path}")
    return FaceRows(table["identity"].astype(str).to_numpy(), numbers.to_numpy(dtype=float), sex)


def _read_meshes(folder, model):
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MESHES]
    if not files:
        flat = sum(path.suffix.lower() == ".stl" for path in folder.rglob("*"))
        why = f"holds {flat} .stl files, which do not number their vertices" if flat else (
            "holds no meshes"
        )  # fmt: skip
        raise InputError(folder, why, _FORMS)
    stems = pd.Series([str(path.with_suffix("")) for path in files])
    if stems.duplicated().any():
        twice = [path.name for path, again in zip(files, stems.duplicated(keep=False), strict=True)
                 if again]  # fmt: skip
        raise InputError(
            folder, f"holds one face in several formats ({', '.join(twice[:2])})", "keep one"
        )
    identity = []
    for path in files:
        inner = path.relative_to(folder).parts
        if len(inner) > 2:
            raise InputError(path, "lies too deep", "lay meshes out as IDENTITY/NAME.obj")
        identity.append(inner[0] if len(inner) == 2 else path.stem)
    vertices = np.stack([_read_mesh(path, model) for path in files])
    return FaceRows(np.array(identity), vertices)


def _read_mesh(path, model):
    """Vertices (vertex, xyz) of one mesh, in the order of the model."""
    import trimesh

    try:
        mesh = trimesh.load(path, process=False, maintain_order=True, force="mesh")
        vertices = np.asarray(mesh.vertices, dtype=np.float32)
        triangles = np.asarray(mesh.faces)
    except Exception as error:  # a parser meets a damaged file in any way it likes
        raise InputError(path, f"cannot be read as a mesh ({error})", "write it again") from None
    if vertices.shape != (model.n_vertices, 3):
        if vertices.ndim == 2 and len(vertices) > 3:
            require_vertices(vertices, model, f"{path}:")
        raise ShapeError(
            f"{path} has {len(vertices)} vertices, face model {model.name!r} has {model.n_vertices}"
        )
    expected = model.triangles.cpu().numpy()
    if len(triangles) and not _same_triangles(triangles, expected):
        raise InputError(
            path,
            f"joins its {len(vertices)} vertices by {len(triangles)} other triangles than the "
            f"{len(expected)} of face model {model.name!r}",
            "write the vertices in the model's order",
        )
    return vertices


def _same_triangles(found, expected):
    if found.shape != expected.shape:
        return False
    # In any order and turned any way: each row sorted, then the rows.
    sorted_rows = (np.sort(triangles, axis=1) for triangles in (found, expected))
    first, second = (rows[np.lexsort(rows.T)] for rows in sorted_rows)
    return bool((first == second).all())
