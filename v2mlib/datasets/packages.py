"""The public Voxceleb-3D files: fitted faces in folders by name, log-mel matrices by identity."""

import os
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from v2mlib.checks import InputError, check_shape
from v2mlib.datasets import vggface
from v2mlib.datasets.scanning import absolute, list_folder, list_or_reject, rejected_table
from v2mlib.datasets.voxceleb import find_meta, read_meta, scan_tree
from v2mlib.faces.geometry import align
from v2mlib.faces.readers.arrays import read_npy
from v2mlib.faces.readers.bfm import N_FULL, N_NECKLESS, N_TRIMMED
from v2mlib.faces.readers.parameters import read_parameters, standardised

N_MELS = 64
_PARAMETERS, _MESHES = (".npy", ".npz", ".mat"), (".obj", ".xyz")
_EXPRESSION = re.compile(r"(?:^|[_.-])(exp|expr|expression)$", re.IGNORECASE)
_SHAPE = re.compile(r"(?:^|[_.-])(shp|shape|id|param|params|3dmm)$", re.IGNORECASE)
_FACE_COLUMNS = {
    "parameters": ["identity", "image", "path", "expression_path"],
    "meshes": ["identity", "image", "path"],
    "photos": ["identity", "path"],
}


class Package(NamedTuple):
    """What was found of the public Voxceleb-3D files; files were listed, not opened.

    Attributes
    ----------
    identities : pandas.DataFrame
        `identity`, `name`, `sex`, `set`: the people of whom there is a file.
    parameters : pandas.DataFrame
        `identity`, `image`, `path` (of the coefficients), `expression_path` (of those of the
        expression where they lie in a file of their own, or None).
    meshes : pandas.DataFrame
        `identity`, `image`, `path` of ``.xyz`` clouds and ``.obj`` meshes.
    photos : pandas.DataFrame
        `identity`, `path`.
    log_mels : pandas.DataFrame
        `identity`, `video`, `clip`, `path`.
    rejected : pandas.DataFrame
        `kind` ("face", "photo", "utterance", "identity"), `path`, `reason`.
    """

    identities: pd.DataFrame
    parameters: pd.DataFrame
    meshes: pd.DataFrame
    photos: pd.DataFrame
    log_mels: pd.DataFrame
    rejected: pd.DataFrame


class FittedShapes(NamedTuple):
    """Coefficients of many faces on one model.

    Attributes
    ----------
    table : pandas.DataFrame
        The rows of `Package.parameters` that could be read.
    shape_coefficients : ndarray of float32, (face, shape), standard deviations
        Aligned with the table.
    expression_coefficients : ndarray of float32, (face, expression), standard deviations
        NaN where a face has none.
    rejected : pandas.DataFrame
        `kind`, `path`, `reason` of those that could not be read.
    """

    table: pd.DataFrame
    shape_coefficients: np.ndarray
    expression_coefficients: np.ndarray
    rejected: pd.DataFrame


class Cloud(NamedTuple):
    """Points of a face as stored: unit and frame are not stated.

    Attributes
    ----------
    vertices : ndarray of float64, (vertex, 3)
        In the file's own frame; `in_model_frame` brings them to mm.
    triangles : ndarray of int64, (triangle, 3), or None
        From 0; None for a ``.xyz``.
    topology : str or None
        "bfm-53215", "bfm-38365" or "bfm-53490" by the number of points.
    """

    vertices: np.ndarray
    triangles: np.ndarray | None
    topology: str | None


def find_package(faces=(), log_mels=None, *, meta=None, progress=True):
    """Find the public Voxceleb-3D files.

    Parameters
    ----------
    faces : path or sequence of path
        Folders of `<Name>/` with coefficients (``.npy``, ``.npz``, ``.mat``), clouds (``.xyz``),
        meshes (``.obj``) and photographs; A-E and F-Z come apart.
    log_mels : path, optional
        Folder of `idNNNNN/<video>/<clip>.npy`, or a parent of it.
    meta : path, optional
        `vox1_meta.csv`; by default looked for in and beside the folders.
    progress : bool
        Whether to show a progress bar on the standard error stream where it takes long.

    Returns
    -------
    Package
        Sorted tables. Names are matched as by `v2mlib.datasets.vggface.match_names`.

    Raises
    ------
    InputError
        If a folder holds nothing of its kind, or the list of names is absent or damaged.
    """
    faces = [faces] if isinstance(faces, (str, os.PathLike)) else list(faces)
    places = [place for place in (*faces, log_mels) if place is not None]
    if not places:
        raise InputError("no source", "is given", "name the folders of faces or log-mel matrices")
    meta = find_meta(*places) if meta is None else meta
    if meta is None:
        raise InputError(places[0], "comes without vox1_meta.csv", "put it there, or name it")
    people = read_meta(meta)
    tables, rejected = _faces(faces, people, progress)
    heard = pd.DataFrame(columns=["identity", "video", "clip", "path"], dtype=object)
    if log_mels is not None:
        heard, refused = scan_tree(
            log_mels, _not_log_mel, "idNNNNN/<video>/<clip>.npy",
            identity=r"(rand_)?id\d+", progress=progress,
        )  # fmt: skip
        known = heard["identity"].isin(people["identity"])
        strangers = heard.loc[~known, "path"].map(
            lambda path: os.path.dirname(os.path.dirname(path))
        )
        why = "is not in the list of names"
        rejected += refused.to_numpy().tolist()
        rejected += [("identity", path, why) for path in strangers.unique()]
        heard = heard[known].reset_index(drop=True)
    present = {*heard["identity"], *(i for table in tables.values() for i in table["identity"])}
    if not present:
        raise InputError(places[0], "holds no face or voice of the list", f"names are in {meta}")
    kept = people[people["identity"].isin(present)].sort_values("identity", ignore_index=True)
    return Package(
        kept[["identity", "name", "sex", "set"]],
        **tables,
        log_mels=heard,
        rejected=rejected_table(rejected),
    )


def read_coefficients(parameters, model, *, progress=True):
    """Read the coefficients of many faces and convert them to a model's.

    Parameters
    ----------
    parameters : pandas.DataFrame
        `path`, `expression_path`; see `Package.parameters`.
    model : MorphableModel
        A Basel model.
    progress : bool
        Whether to show a progress bar on the standard error stream where it takes long.

    Returns
    -------
    FittedShapes
        Files that cannot be read are rejected, not fatal.

    Raises
    ------
    InputError
        If the model is not a Basel model, or no file can be read.
    """
    kept, shapes, expressions, rejected = [], [], [], []
    files = zip(parameters["path"], parameters["expression_path"], strict=True)
    bar = tqdm(files, "faces", len(parameters), unit="face", delay=2, disable=not progress)
    for row, (path, expression_path) in enumerate(bar):
        try:
            raw = read_parameters(path, expression_path)
        except InputError as error:
            rejected.append(("face", path, error.problem))
            continue
        kept.append(row)
        shapes.append(raw.shape)
        expressions.append(np.full(29, np.nan) if raw.expression is None else raw.expression)
    if not kept:
        why = f"; the first {rejected[0][2]}" if rejected else ""
        raise InputError(f"{len(parameters)} files", f"hold no face{why}", "check the folder")
    found = standardised(model, np.stack(shapes), np.stack(expressions))
    expression = np.empty((len(kept), 0)) if found.expression is None else found.expression.numpy()
    return FittedShapes(
        parameters.iloc[kept].reset_index(drop=True),
        found.shape.numpy().astype(np.float32),
        expression.astype(np.float32),
        rejected_table(rejected),
    )


def read_log_mel(path):
    """Read a log-mel matrix as the public files store it.

    Parameters
    ----------
    path : path
        A ``.npy``.

    Returns
    -------
    ndarray of float32, (frame, mel=64), standard deviations
        Normalised over the utterance; one shorter than 10 s was repeated to 1,000 frames.

    Raises
    ------
    InputError
        If the file is absent or damaged, holds Python objects, or holds NaN or infinity.
    ShapeError
        If the matrix has another shape; a transposition is named.
    """
    frames = read_npy(path)
    check_shape(frames, {"frame": None, "mel": N_MELS}, str(path))
    if frames.dtype.kind != "f" or not len(frames) or not np.isfinite(frames).all():
        raise InputError(path, "holds no finite log-mel frames", "leave the utterance out")
    return np.ascontiguousarray(frames, dtype=np.float32)


def read_cloud(path):
    """Read the points of a face.

    Parameters
    ----------
    path : path
        A ``.xyz`` (a point per line) or an ``.obj``.

    Returns
    -------
    Cloud
        As stored.

    Raises
    ------
    InputError
        If the file is absent or damaged, or its numbers are not points.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _MESHES:
        raise InputError(path, "is not a cloud or mesh", f"expected {' or '.join(_MESHES)}")
    if not os.path.isfile(path):
        raise InputError(path, "does not exist", "check the path")
    try:
        vertices, triangles = _read_obj(path) if suffix == ".obj" else (_read_xyz(path), None)
    # A damaged file can fail anywhere in the readers.
    except Exception as error:
        problem = f"is not a sound {suffix} file ({error or type(error).__name__})"
        raise InputError(path, problem, "it may be cut short: download it again") from error
    if vertices.ndim != 2 or vertices.shape[-1] != 3 or len(vertices) < 4:
        problem = f"holds an array of {vertices.shape}"
        raise InputError(path, problem, "expected three numbers for each point")
    if not np.isfinite(vertices).all():
        raise InputError(path, "holds NaN or infinity", "leave the face out")
    known = (N_NECKLESS, N_TRIMMED, N_FULL)
    topology = f"bfm-{len(vertices)}" if len(vertices) in known else None
    return Cloud(vertices, triangles, topology)


def in_model_frame(cloud, model):
    """Bring a cloud of unknown unit and frame to a model's: mm, x left, y up, z out.

    It is turned, moved and scaled to fit the model's mean face; where its y runs down, as in a
    photograph, it is mirrored first. Its size is then the mean face's: only shape is kept.

    Parameters
    ----------
    cloud : Cloud
        In the model's topology.
    model : MorphableModel
        The model.

    Returns
    -------
    ndarray of float64, (vertex, xyz=3), mm
        The points.

    Raises
    ------
    ShapeError
        If the numbers of points differ.
    """
    check_shape(cloud.vertices, {"vertex": model.n_vertices, "xyz": 3}, "the cloud")
    target = model.mean.cpu().numpy().astype(np.float64)
    fits = [align(cloud.vertices * flip, target, scale=True).aligned for flip in (1, (1, -1, 1))]
    return min(fits, key=lambda fit: np.square(fit - target).sum())


def _faces(folders, people, progress):
    rows = {kind: [] for kind in _FACE_COLUMNS}
    rejected = []
    named = [
        (name, os.path.join(absolute(folder), name))
        for folder in folders
        for name in list_folder(folder).folders
    ]
    if folders and not named:
        raise InputError(folders[0], "holds no folders of faces", "expected <Name>/<photo>.npy")
    matches = vggface.match_names(people, {name for name, _ in named})
    for name, place in tqdm(named, "faces", unit="person", delay=2, disable=not progress):
        identity = matches.identity.get(name)
        if identity is None:
            rejected.append(("identity", place, matches.unmatched_folders[name]))
            continue
        _scan_faces(place, identity, rows, rejected)
    tables = {
        kind: pd.DataFrame(rows[kind], columns=columns, dtype=object).sort_values(
            ["identity", "path"], ignore_index=True
        )
        for kind, columns in _FACE_COLUMNS.items()
    }
    return tables, rejected


def _scan_faces(place, identity, rows, rejected):
    files = list_or_reject(place, rejected).files
    among = frozenset(files)
    shapes, expressions = {}, {}
    for name in files:
        path = os.path.join(place, name)
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in _PARAMETERS:
            if _EXPRESSION.search(stem):
                expressions[_EXPRESSION.sub("", stem)] = path
            else:
                shapes.setdefault(_SHAPE.sub("", stem), []).append(path)
        elif suffix.lower() in _MESHES:
            rows["meshes"].append((identity, stem, path))
        else:
            reason = vggface.refusal(name, among)
            if reason:
                rejected.append(("photo", path, reason))
            else:
                rows["photos"].append((identity, path))
    for image, paths in shapes.items():
        for path in paths:
            rows["parameters"].append((identity, image, path, expressions.get(image)))
    lonely = [path for image, path in expressions.items() if image not in shapes]
    rejected += [("face", path, "has no file of shape coefficients beside it") for path in lonely]


def _not_log_mel(name, among=()):
    return None if name.lower().endswith(".npy") else "is not a log-mel matrix (.npy)"


def _read_xyz(path):
    return np.loadtxt(path, dtype=np.float64, ndmin=2)


def _read_obj(path):
    import trimesh

    # Materials are files of their own, named by the mesh: they are not opened.
    mesh = trimesh.load_mesh(path, process=False, maintain_order=True, skip_materials=True)
    triangles = np.asarray(mesh.faces, dtype=np.int64) if hasattr(mesh, "faces") else None
    return np.asarray(mesh.vertices, dtype=np.float64), triangles
