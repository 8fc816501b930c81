"""Face models by name: the embedded phantom, models the user added, or a file or folder."""

import functools
import os
import re
import sys
from pathlib import Path

import pandas as pd
import torch

from v2mlib.checks import InputError
from v2mlib.faces import storage
from v2mlib.faces.lines import line_jacobian, line_lengths
from v2mlib.faces.model import MISSING_LANDMARK, MorphableModel

EMBEDDED = ("phantom",)
KINDS = ("ict", "bfm", "surrey")

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_FORMS = (
    "a face model is a .npz, a FaceXModel folder (ICT-FaceKit), or the Basel model as "
    "bfm_noneck_v3.pkl, w_shp_sim.npy ... or 01_MorphableModel.mat"
)


def load_face_model(name_or_path):
    """Load a face model.

    Parameters
    ----------
    name_or_path : str or path
        ``"phantom"``, a name given to `add_face_model`, or the file or folder of a model in one
        of the forms that `v2mlib.faces.readers` reads, recognised by its content.

    Returns
    -------
    MorphableModel
        On the CPU; the same object for the same unchanged file.

    Raises
    ------
    InputError
        If there is no such model, naming those there are, or if its files are not sound.
    """
    name = os.fspath(name_or_path)
    if name == "phantom":
        return _phantom()
    added = models_dir() / f"{name}.npz"
    if _NAME.fullmatch(name) and added.is_file():
        return _load(added, added.stat().st_mtime_ns)
    path = Path(name).expanduser()
    if not path.exists():
        known = ", ".join(list_face_models()["name"])
        remedy = f"known: {known}; `v2m faces add NAME PATH` adds one"
        raise InputError(f"face model {name!r}", "is neither a known name nor a path", remedy)
    return _load(path.resolve(), path.stat().st_mtime_ns)


@functools.cache
def _phantom():
    from v2mlib.faces.phantom import phantom_model

    return phantom_model()


@functools.lru_cache(maxsize=4)
def _load(path, _modified):
    from v2mlib.faces import readers

    kind = recognise(path)
    if kind == "v2mlib":
        return MorphableModel.load(path)
    return getattr(readers, f"read_{kind}")(path)


def recognise(path):
    """Which reader a file or folder is for.

    Parameters
    ----------
    path : path
        An existing file or folder.

    Returns
    -------
    {"v2mlib", "ict", "bfm", "surrey"}
        The kind; ``"v2mlib"`` is a converted model.

    Raises
    ------
    InputError
        If it is none of them.
    """
    path = Path(path)
    if path.is_dir():
        names = {file.name for file in path.iterdir()}
        if names & {"FaceXModel", "generic_neutral_mesh.obj"}:
            return "ict"
        if any(re.fullmatch(r"bfm.*\.pkl|w_shp_sim\.npy|01_MorphableModel\.mat", n) for n in names):
            return "bfm"
        raise InputError(path, "is a folder without a face model", _FORMS)
    if path.suffix in (".pkl", ".npy", ".mat"):
        return "bfm"
    if path.suffix == ".npz":
        names = storage.array_names(path)
        for kind, marks in {
            "v2mlib": {storage.CARD},
            "ict": {"neutral", "identity"},
            "surrey": {"mean", "basis", "sd"},
        }.items():
            if marks <= names:
                return kind
        if names & {"u_base", "w_shp", "mean_53215"}:
            return "bfm"
    raise InputError(path, "is not a face model of a known form", _FORMS)


def models_dir():
    """Folder of the models that the user added.

    Returns
    -------
    pathlib.Path
        ``faces`` below ``$V2M_HOME`` if set, else below the platform's folder for user data; it
        need not exist.
    """
    if "V2M_HOME" in os.environ:
        return Path(os.environ["V2M_HOME"]).expanduser() / "faces"
    if sys.platform == "darwin":
        base = Path("~/Library/Application Support").expanduser()
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser()
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", "~/.local/share")).expanduser()
    return base / "v2mlib" / "faces"


def add_face_model(kind, path, name=None):
    """Convert a face model and keep it under a name.

    Parameters
    ----------
    kind : str
        ``"ict"``, ``"bfm"`` or ``"surrey"``; or any other name for the model, whose kind is then
        recognised by its files.
    path : path
        File or folder of the model.
    name : str, optional
        What to call it; `kind` by default.

    Returns
    -------
    MorphableModel
        The model, from now on ``load_face_model(name)``.

    Raises
    ------
    InputError
        If the name is taken by an embedded model or is not a plain word, or the files are not
        sound; nothing is kept then.
    """
    name = kind if name is None else name
    if name in EMBEDDED:
        raise InputError(f"name {name!r}", "belongs to an embedded model", "choose another")
    if not _NAME.fullmatch(name):
        raise InputError(f"name {name!r}", "is not a plain word", "use letters, digits, . _ -")
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(path, "does not exist", "give the file or folder of the model")
    found = recognise(path)
    if kind in KINDS and found not in (kind, "v2mlib"):
        raise InputError(path, f"is a face model of kind {found!r}, not {kind!r}", "correct one")
    model = _load(path.resolve(), path.stat().st_mtime_ns)
    model.save(models_dir() / f"{name}.npz")
    return model


def list_face_models():
    """All face models by name.

    Returns
    -------
    pandas.DataFrame
        One row per model: ``name``, ``source`` ("embedded" or "added"), ``title``, ``topology``,
        ``n_vertices``, ``n_shape``, ``n_expression``, ``path`` (None if embedded) and
        ``problem`` (why it cannot be loaded; else None). Plain values, ready for JSON.
    """
    rows = []
    files = sorted(models_dir().glob("*.npz")) if models_dir().is_dir() else []
    for name, path in [*((name, None) for name in EMBEDDED), *((f.stem, f) for f in files)]:
        row = {"name": name, "source": "added" if path else "embedded"}
        try:
            row |= storage.summary(path) if path else _summary(_phantom())
        except InputError as error:
            row["problem"] = str(error)
        rows.append({**row, "path": str(path) if path else None})
    columns = ["name", "source", "title", "topology", "n_vertices", "n_shape", "n_expression"]
    table = pd.DataFrame(rows, columns=[*columns, "path", "problem"], dtype=object)
    return table.where(table.notna(), None)


def _summary(model):
    counts = {name: getattr(model, name) for name in ("n_vertices", "n_shape", "n_expression")}
    return {"title": model.name, "topology": model.topology, **counts}


def describe_face_model(model):
    """What a face model holds.

    Parameters
    ----------
    model : MorphableModel
        The model.

    Returns
    -------
    dict
        Plain values, ready for JSON: ``title``, ``topology``, ``unit``, the counts ``n_vertices
        n_triangles n_shape n_expression n_landmarks``, ``expression_names``, ``regions`` (vertices
        by name), ``lines`` (a list of ``name``, ``mean_mm`` and ``sd_mm`` over the population),
        ``absences`` (why a line is absent).
    """
    lengths = line_lengths(model.mean, model)
    spreads = torch.linalg.vector_norm(line_jacobian(model), dim=1).tolist()
    lines = [
        {"name": name, "mean_mm": round(float(length), 2), "sd_mm": round(spread, 2)}
        for (name, length), spread in zip(lengths.items(), spreads, strict=True)
    ]
    return {
        **_summary(model),
        "unit": model.unit,
        "n_triangles": len(model.triangles),
        "n_landmarks": int((model.landmarks != MISSING_LANDMARK).sum()),
        "expression_names": list(model.expression_names),
        "regions": {name: len(region) for name, region in model.regions.items()},
        "lines": lines,
        "absences": dict(model.absences),
    }
