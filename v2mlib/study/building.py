"""Build a study: choose people at random, draw their faces, write down which picture is whose."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

import v2mlib
from v2mlib.checks import InputError
from v2mlib.faces.geometry import require_vertices
from v2mlib.files import atomic
from v2mlib.metrics.face_rows import as_rows, require_unique, some
from v2mlib.study.folder import ANSWERS, CONSENT, DOCUMENT, KIND, PICTURES, load_study
from v2mlib.study.pictures import Painter, image_of
from v2mlib.study.plan import SECTIONS, StudyPlan
from v2mlib.widgets.packing import as_array

CONSENT_TEXT = """# Before you begin

You will see a reference face and two other faces, and choose the one of the two that is nearer
to the reference in shape. Go by what you see; a few questions check attention.

What is kept: your choices, a random code that stands for you, and today's date. No name, no
address, no time of day, nothing about your computer.

Taking part is voluntary. You can pause and go on later with your code, or stop at any time.
Keep the code: with it the person who runs this study can find your answers and delete them.

*(To whoever runs this study: replace this text with what your ethics committee approved.)*
"""


class _People(NamedTuple):
    """Faces (identity, ...) of the same people by role, and images' folders or None."""

    identity: np.ndarray
    faces: dict
    images: dict | None


def build_study(out, predictions, reference, *, model, plan=None, images=None, progress=True):
    """Build a study of two methods in a folder.

    People are drawn at random from a seed among those whom both methods and the reference
    know: nobody picks the pairs that look well.

    Parameters
    ----------
    out : path
        The folder to make; it must not exist, or be empty.
    predictions : dict of str to FaceRows, DataFrame or array_like
        Faces of two methods by name, the one whose preference is asked about first; several
        faces of one person (utterances) are averaged.
    reference : FaceRows, DataFrame or array_like
        A face for each person.
    model : MorphableModel
        What they are faces of.
    plan : StudyPlan, optional
        Size of the study.
    images : dict of str to path, optional
        Folders with ``IDENTITY.png`` or ``.jpg`` by role: "reference" and the two methods.
        Needed by sections "images" and "both".
    progress : bool
        Whether to show a progress bar on stderr.

    Returns
    -------
    Study
        Ready to be answered.

    Raises
    ------
    InputError
        If there are not two methods, not enough people, images are absent, or the folder is
        not empty.
    ShapeError
        If faces do not fit the model.
    """
    plan, out = plan or StudyPlan(), Path(out)
    _require_free(out)
    people = _people_of_all(predictions, reference, model, images, plan)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        _write(partial, people, list(predictions), model, plan, progress=progress)
        with contextlib.suppress(FileNotFoundError):
            out.rmdir()
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return load_study(out, verify=False)


def _require_free(out):
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "is there already", "choose a folder that is new or empty")


def _people_of_all(predictions, reference, model, images, plan):
    if len(predictions) != 2:
        raise InputError("predictions", f"are of {len(predictions)} methods", "compare two methods")
    uses_images = any("image" in SECTIONS[name] for name in plan.sections)
    roles = dict(zip(("a", "b"), predictions, strict=True))
    if uses_images and (images is None or set(images) != {"reference", *predictions}):
        raise InputError(
            "images", "are absent", f"give folders for reference, {', '.join(predictions)}"
        )
    given = {"reference": reference} | {role: predictions[name] for role, name in roles.items()}
    tables = {}
    for role, faces in given.items():
        what = "reference faces" if role == "reference" else f"predictions of {roles[role]}"
        rows = as_rows(faces, model, what)
        if role == "reference":
            require_unique(rows.identity, what)
        tables[role] = _averaged(rows)
    common = sorted(set.intersection(*({*identity} for identity, _ in tables.values())))
    folders = None
    if uses_images:
        folders = {role: images[roles.get(role, role)] for role in given}
        common = [who for who in common if all(image_of(f, who) for f in folders.values())]
    wanted = plan.n_items * len(plan.sections)
    if len(common) < max(wanted, 2):
        raise InputError(
            "study",
            f"asks about {wanted} people, but {len(common)} have a reference, both predictions"
            f"{' and images' if uses_images else ''} ({some(common) or 'none'})",
            "ask fewer questions (--items), or give more faces",
        )
    faces = {}
    for role, (identity, array) in tables.items():
        faces[role] = array[pd.Index(identity).get_indexer(common)]
    return _People(np.array(common), faces, folders)


def _averaged(rows):
    """Identities as text in order, and the mean of each one's faces."""
    codes, identity = pd.factorize(np.asarray(rows.identity).astype(str), sort=True)
    flat = rows.faces.reshape(len(codes), -1)
    sums = np.zeros((len(identity), flat.shape[1]))
    np.add.at(sums, codes, flat)
    means = sums / np.bincount(codes)[:, None]
    return identity, means.reshape(len(identity), *rows.faces.shape[1:])


def _write(folder, people, methods, model, plan, *, progress):
    rng = np.random.default_rng(plan.seed)
    chosen = rng.permutation(len(people.identity))[: plan.n_items * len(plan.sections)]
    painter = Painter(folder, model, plan)
    entries = []
    n_each = plan.n_items + plan.n_attention
    with tqdm(total=n_each * len(plan.sections), desc="draw", unit="question",
              disable=not progress) as bar:  # fmt: skip
        for number, section in enumerate(plan.sections):
            asked = chosen[number * plan.n_items :][: plan.n_items]
            checked = rng.permutation(asked)[np.arange(plan.n_attention) % plan.n_items]
            for item, row in enumerate([*asked, *checked]):
                kind = "question" if item < plan.n_items else "attention"
                faces = _three_faces(people, row, kind, model)
                pictures = {
                    role: _shown(painter, section, people, *face) for role, face in faces.items()
                }
                entries.append(
                    {"section": section, "item": item, "kind": kind,
                     "identity": str(people.identity[row]), "pictures": pictures}
                )  # fmt: skip
                bar.update()
    _write_document(folder, entries, painter.checksums, methods, model, plan)


def _three_faces(people, row, kind, model):
    """By role: vertices (vertex, xyz), and whose image in which role's folder."""
    if kind == "question":
        return {
            role: (_vertices(array[row], model), role, row) for role, array in people.faces.items()
        }
    reference = people.faces["reference"]
    own = _vertices(reference[row], model)
    far = int(np.argmax(((reference - reference[row]) ** 2).reshape(len(reference), -1).sum(1)))
    stranger = _vertices(reference[far], model)
    same = (own, "reference", row)
    return {"reference": same, "a": same, "b": (stranger, "reference", far)}


def _vertices(face, model):
    if face.ndim == 2:
        require_vertices(face, model, "faces")
        return face
    return as_array(model.decode(model.mean.new_tensor(face)))


def _shown(painter, section, people, vertices, role, row):
    pictures = []
    for way in SECTIONS[section]:
        if way == "image":
            one = painter.image(people.images[role], str(people.identity[row]))
        else:
            one = {"view": painter.view, "turn": painter.turn}[way](vertices)
        pictures.append(one._asdict())
    return pictures


def _write_document(folder, entries, checksums, methods, model, plan):
    document = {
        "kind": KIND,
        "version": v2mlib.__version__,
        "question": plan.question,
        "methods": dict(zip(("a", "b"), methods, strict=True)),
        "seed": plan.seed,
        "sections": list(plan.sections),
        "n_items": plan.n_items,
        "n_attention": plan.n_attention,
        "face_model": model.name,
        "people": "drawn at random from the seed",
        "items": entries,
        "pictures": checksums,
    }
    for name in (ANSWERS, PICTURES):
        (folder / name).mkdir(exist_ok=True)
    (folder / CONSENT).write_text(CONSENT_TEXT, "utf-8")
    with atomic(folder / DOCUMENT) as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
