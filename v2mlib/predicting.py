"""Faces for a pile of recordings: every good one is done, every bad one is named."""

import contextlib
import json
import os
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

import v2mlib
from v2mlib.checks import InputError, V2MError, one_line
from v2mlib.files import atomic
from v2mlib.hearing import DISCLAIMER

FORMATS = ("glb", "obj", "ply", "stl")


class Prediction(NamedTuple):
    """What was written for one recording."""

    file: str
    name: str
    outputs: tuple
    remarks: tuple
    face: object


class Failure(NamedTuple):
    """Why nothing was written for one recording."""

    file: str
    problem: str


class Outcome(NamedTuple):
    """Everything one call predicted and could not predict; ``page`` shows the predictions."""

    predictions: tuple
    failures: tuple
    page: Path | None
    disclaimers: tuple


def predict_files(files, out, *, model="phantom", faces=None, formats=("glb",), progress=True):
    """Predict a face for each recording and write it down.

    For each recording ``<name>``: the mesh in each format, ``<name>.json`` with the
    coefficients and measured lines, ``<name>.png`` with two views; and one ``index.html`` over
    all, with rotatable faces. Each file appears whole or not at all.

    Parameters
    ----------
    files : sequence of path
        Recordings: any length, rate and number of channels.
    out : path
        Folder for what is written; created.
    model : str or path
        Trained weights: a shipped name or a file.
    faces : str or path, optional
        The face model to decode into; by default the one the weights were trained on.
    formats : sequence of {"glb", "obj", "ply", "stl"}
        Formats of the mesh.
    progress : bool
        Whether to show a progress bar on stderr.

    Returns
    -------
    Outcome
        A recording that cannot be used becomes a `Failure`; the others are done.

    Raises
    ------
    InputError
        If the weights, the face model, a format or the folder cannot be used: then nothing is
        written at all.
    """
    from v2mlib.models import Voice2Mesh

    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(
            f"format {unknown[0]!r}", "is unknown", f"choose from {', '.join(FORMATS)}"
        )
    files = list(dict.fromkeys(os.fspath(file) for file in files))
    voice2mesh = Voice2Mesh.load(model)
    if faces is not None:
        voice2mesh = voice2mesh.with_faces(faces)
    out, made = prepare_folder(out)
    predictions, failures, looks = [], [], _appearance(voice2mesh.face_model)
    bar = tqdm(files, desc="predict", unit="clip", disable=not progress or len(files) < 2)
    for file, name in zip(bar, output_names(files), strict=True):
        try:
            predictions.append(_predict_one(file, out / name, voice2mesh, formats, looks))
        except (V2MError, OSError) as error:
            failures.append(Failure(file, one_line(error)))
    # The card of weights that were trained on synthetic people says so.
    disclaimers = (*filter(None, [voice2mesh.card.get("warning")]), DISCLAIMER)
    page = None
    if predictions:
        from v2mlib.report import prediction_page

        page = out / "index.html"
        with atomic(page) as partial:
            partial.write_text(prediction_page(predictions, voice2mesh, disclaimers), "utf-8")
    elif made:
        with contextlib.suppress(OSError):
            out.rmdir()
    return Outcome(tuple(predictions), tuple(failures), page, disclaimers)


def _predict_one(file, stem, voice2mesh, formats, appearance):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        face = voice2mesh.predict(file)
    remarks = tuple(one_line(warning.message) for warning in caught)
    # Everything is made before anything is put in place: a fault leaves no part of a result.
    with contextlib.ExitStack() as stack:
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in (*formats, "json", "png")]
        *meshes, card, picture = [stack.enter_context(atomic(path)) for path in paths]
        for mesh in meshes:
            face.save(mesh)
        description = _describe(file, stem.name, face, voice2mesh, remarks)
        card.write_text(json.dumps(description, indent=1) + "\n", "utf-8")
        _picture(face, appearance).save(picture)
    return Prediction(file, stem.name, tuple(path.name for path in paths), remarks, face)


def _describe(file, name, face, voice2mesh, remarks):
    from v2mlib.metrics import line_lengths

    lengths = line_lengths(face.vertices, voice2mesh.face_model)
    return {
        "file": file,
        "name": name,
        "shape_coefficients": [round(float(value), 6) for value in face.coefficients.shape],
        "expression_coefficients": [
            round(float(value), 6) for value in face.coefficients.expression
        ],
        "coefficient_unit": "standard deviations of the face model",
        "line_lengths_mm": {line: round(float(value), 3) for line, value in lengths.items()},
        "face_model": voice2mesh.face_model.name,
        "topology": face.topology,
        "weights": voice2mesh.name,
        "v2mlib_version": v2mlib.__version__,
        "remarks": list(remarks),
    }


def _picture(face, appearance):
    """Two views of a face side by side."""
    from PIL import Image

    from v2mlib.faces.rendering import contact_sheet, render

    views = [
        render(
            face.vertices,
            face.triangles,
            camera=camera,
            size=(400, 330),
            shadow_rays=4,
            **appearance,
        )
        for camera in ("front", "three_quarter")
    ]
    return Image.fromarray(contact_sheet(views, columns=2, gap=0))


def _appearance(model):
    """How faces of a model are drawn; worked out once for all."""
    from v2mlib.faces.rendering import ambient_occlusion

    return {
        "colours": None if model.colours is None else model.colours.numpy(),
        "gloss": model.extras["gloss"].numpy() if "gloss" in model.extras else None,
        "occlusion": ambient_occlusion(model.mean.numpy(), model.triangles.numpy()),
    }


def output_names(files):
    """A stem for the outputs of each recording, all different.

    The recording's own stem where no other has it; else its folder's name goes before, then its
    suffix behind, then a number.

    Parameters
    ----------
    files : sequence of path
        Recordings.

    Returns
    -------
    list of str
        In the same order.

    Examples
    --------
    >>> output_names(["hello.wav", "anna/one.wav", "ben/one.wav", "x/two.wav", "x/two.flac"])
    ['hello', 'anna_one', 'ben_one', 'x_two_wav', 'x_two_flac']
    """
    forms = []
    for path in map(Path, files):
        parent = path.absolute().parent.name
        long = f"{parent}_{path.stem}"
        forms.append((path.stem, long, f"{long}_{path.suffix.lstrip('.')}"))
    # Lower case, because some file systems do not tell "A" from "a".
    counts = [Counter(form[level].lower() for form in forms) for level in range(3)]
    names, taken = [], {form[0].lower() for form in forms if counts[0][form[0].lower()] == 1}
    for form in forms:
        if counts[0][form[0].lower()] == 1:
            names.append(form[0])
            continue
        level = 1 if counts[1][form[1].lower()] == 1 else 2
        name, number = form[level], 1
        while name.lower() in taken:
            number += 1
            name = f"{form[level]}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def prepare_folder(out):
    """Create an output folder and see that files can be written to it.

    Parameters
    ----------
    out : path
        The folder.

    Returns
    -------
    out : pathlib.Path
        The same folder.
    made : bool
        Whether it was not there before.

    Raises
    ------
    InputError
        If it cannot be created or written to.
    """
    out = Path(out)
    try:
        made = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            out, "cannot be a folder: a file stands in its way", "choose another --out"
        ) from None
    except OSError as error:
        raise InputError(
            out, f"cannot be written to ({error.strerror})", "choose another --out"
        ) from None
    return out, made
