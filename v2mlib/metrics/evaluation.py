"""One tidy table of errors: a row per identity, method, measure and definition."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from v2mlib.checks import InputError
from v2mlib.faces.lines import DIVISOR, RATIO_LINES
from v2mlib.faces.named import REGIONS
from v2mlib.metrics.correspondence import coefficient_rmse, line_length_error, vertex_rmse
from v2mlib.metrics.face_rows import (
    FaceRows,
    as_rows,
    blocks_of,
    positions,
    require_unique,
    some,
    tidy,
)
from v2mlib.metrics.landmarks import normalised_mean_error
from v2mlib.metrics.miniature import boxes, miniature
from v2mlib.metrics.ratios import absolute_ratio_error
from v2mlib.processes import processors

MEASURES = ("are", "nme", "lines", "vertex", "rmse")
"""Groups of measures that `evaluate` knows; the last registers every face and takes longest."""

_BLOCK = 64  # faces decoded at once: about 30 MB at 38,000 vertices


def evaluate(
    predictions,
    references,
    model,
    *,
    identities=None,
    sex=None,
    measures=("are", "nme", "lines", "vertex"),
    definitions=None,
    regions=("whole", *REGIONS),
    directions=("predicted_to_reference",),
    registration=None,
    workers=None,
    progress=False,
):
    """Errors of several methods: a row per identity, method, measure and definition.

    Parameters
    ----------
    predictions : mapping of str to array_like, DataFrame or FaceRows
        Predicted faces by method (one method alone is called "predicted"). Arrays hold a row
        per identity, in the order of the references: standardised shape coefficients
        ``(identity, shape)`` or ``(identity, utterance, shape)``, or vertices in mm
        ``(identity, vertex, xyz)`` or ``(identity, utterance, vertex, xyz)``. In a DataFrame of
        coefficients identities are the index, and several rows of one are its utterances; so
        they are in a `v2mlib.metrics.face_rows.FaceRows`.
    references : array_like, DataFrame or FaceRows
        One reference face per identity, in any of these forms.
    model : MorphableModel
        The face model; all faces are in its topology.
    identities : array_like of str, (identity,), optional
        Who the rows of an array of references are; numbers from 0 by default.
    sex : array_like of {"m", "f"}, (identity,), or Series by identity, optional
        For the columns by sex; unknown by default.
    measures : sequence of {"are", "nme", "lines", "vertex", "rmse"}
        ``are``: `absolute_ratio_error`; ``nme``: `normalised_mean_error`; ``lines``:
        `line_length_error`; ``vertex``: `vertex_rmse`; ``rmse``: `point_to_plane_rmse` after
        registration, which takes far longer than the rest.
    definitions : sequence of str, optional
        Definitions of the lines of ``are``; by default "corrected", and "published" where the
        face model has all of its lines.
    regions : sequence of str
        What ``rmse`` registers, each on its own.
    directions : sequence of {"predicted_to_reference", "reference_to_predicted", "both"}
        Whose vertices look for the other's planes in ``rmse``; each takes its own time.
    registration : RegistrationConfig, optional
        Which correspondences count, and when to stop.
    workers : int, optional
        Threads that register; as many as there are processors by default.
    progress : bool
        Whether to show a progress bar on stderr while registering.

    Returns
    -------
    DataFrame
        ``identity``; ``sex`` (None where unknown); ``method``; ``measure``: ``are_ear
        are_forehead are_midline are_cheek are_mean`` (ratios), ``nme`` (of the face's size),
        ``<line>_mm``, ``vertex_rmse_mm``, ``rmse_<region>_mm``; ``definition``: "corrected" or
        "published" lines, "mean" or "published" NME and the same with "_aligned", vertices "as
        predicted" or "aligned", the direction of a point-to-plane RMSE; ``error``: of the face
        averaged over the identity's utterances; ``error_per_utterance``: the mean of its
        utterances' errors, as the paper has it.

    Raises
    ------
    ShapeError
        If faces are not of the model's topology, or arrays have not a row per identity.
    InputError
        If an identity has a prediction but no reference, or a reference but no prediction; if
        two references are of one identity; if faces are not finite or have no extent; if some
        cannot be registered (all are named); if the face model lacks what a measure needs.

    Examples
    --------
    >>> import v2mlib as v2m
    >>> model = v2m.load_face_model("phantom")
    >>> truth = np.random.default_rng(0).normal(size=(3, model.n_shape))
    >>> table = evaluate({"mean_face": 0 * truth, "truth": truth}, truth, model)
    >>> float(table.query("method == 'truth'")["error"].max()) < 1e-4
    True
    """
    measures = _known(_listed(measures))
    regions, directions = _listed(regions), _listed(directions)
    definitions = None if definitions is None else _listed(definitions)
    if not isinstance(predictions, Mapping):
        predictions = {"predicted": predictions}
    if not predictions:
        raise InputError("predictions", "are empty", 'give {"method": faces, ...}')
    if identities is not None and isinstance(references, (pd.DataFrame, FaceRows)):
        raise InputError("identities", "are given twice", "the references name them already")
    reference = as_rows(references, model, "references", identities)
    require_unique(reference.identity, "references")
    people = pd.DataFrame({"identity": reference.identity})
    people["sex"] = _sexes(reference.sex if sex is None else sex, people["identity"])

    blocks = []
    for method, faces in predictions.items():
        what = f"predictions of {method}"
        rows = as_rows(faces, model, what, people["identity"])
        blocks += blocks_of(method, rows.faces, positions(rows.identity, people["identity"], what))
    errors = [[] for _ in blocks]
    if direct := [name for name in measures if name != "rmse"]:
        measured = _direct(blocks, reference.faces, model, direct, definitions)
        for table, found in zip(errors, measured, strict=True):
            table.append(found)
    if "rmse" in measures:
        options = (regions, directions, registration, workers, progress)
        registered = _registered(blocks, reference.faces, model, people["identity"], *options)
        for table, found in zip(errors, registered, strict=True):
            table.append(found)
    return tidy(blocks, [pd.concat(tables, axis=1) for tables in errors], people)


def _listed(names):
    """One name, or several, each once."""
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _known(measures):
    unknown = [name for name in measures if name not in MEASURES]
    if unknown or not measures:
        raise InputError(f"measures {measures}", "are unknown", f"choose from {MEASURES}")
    return measures


def _sexes(sex, identities):
    if sex is None:
        return None
    if isinstance(sex, pd.Series):
        sex = sex.reindex(identities).to_numpy()
    sex = np.asarray(sex, dtype=object)
    if sex.shape != identities.shape:
        raise InputError(
            "sex", f"has {len(sex)} entries for {len(identities)} identities", "give one for each"
        )
    known = np.isin(sex, ["m", "f"])
    if not (known | pd.isna(sex)).all():
        raise InputError("sex", f"holds {set(sex[~known & ~pd.isna(sex)])}", 'use "m", "f" or None')
    return np.where(known, sex, None)


def _direct(blocks, reference, model, measures, definitions):
    """Errors that need no registration."""
    small = miniature(model)
    rules = _rules(measures, small, definitions)
    truth = small.faces(reference, boxes(reference, model))
    for block in blocks:
        found = {}
        if rules:
            predicted = small.faces(block.faces)
            for rule in rules:
                for measure, definition, error in rule(predicted, truth[block.position]):
                    found[measure, definition] = error.numpy()
        if "vertex" in measures:
            for align in (False, True):
                how = "aligned" if align else "as predicted"
                found["vertex_rmse_mm", how] = _vertex(block, reference, model, align)
        yield _levels(pd.DataFrame(found))


def _rules(measures, model, definitions):
    """Functions of two batches of faces that give errors by measure and definition."""
    has_divisor = DIVISOR in model.published_lines
    if definitions is None:
        published = [line in model.published_lines for line in (DIVISOR, *RATIO_LINES)]
        definitions = ("corrected", "published") if all(published) else ("corrected",)

    def are(predicted, reference):
        for definition in definitions:
            found = absolute_ratio_error(predicted, reference, model, definition)
            yield from ((f"are_{line}", definition, error) for line, error in found.items())

    def nme(predicted, reference):
        for definition in ("mean", "published") if has_divisor else ("mean",):
            for align in (False, True):
                error = normalised_mean_error(predicted, reference, model, definition, align)
                yield "nme", definition + ("_aligned" if align else ""), error

    def lines(predicted, reference):
        found = line_length_error(predicted, reference, model)
        yield from ((f"{line}_mm", "corrected", error) for line, error in found.items())

    known = {"are": are, "nme": nme, "lines": lines}
    return [known[name] for name in measures if name in known]


def _vertex(block, reference, model, align):
    if block.faces.ndim == 2 and reference.ndim == 2:
        return coefficient_rmse(block.faces, reference[block.position], model, align=align)
    found = []
    for start in range(0, len(block.faces), _BLOCK):
        part = slice(start, start + _BLOCK)
        faces = (block.faces[part], reference[block.position[part]])
        found.append(vertex_rmse(*(_decoded(f, model) for f in faces), model, align=align).cpu())
    return np.concatenate(found)


def _decoded(faces, model):
    """Vertices (face, vertex, xyz) of coefficients, or of vertices."""
    faces = torch.tensor(np.asarray(faces, dtype=np.float32), device=model.mean.device)
    # Decoded in float32, but a norm over a hundred thousand numbers is not summed in it.
    return (model.decode(faces) if faces.ndim == 2 else faces).double()


def _levels(table):
    table.columns = pd.MultiIndex.from_tuples(table.columns, names=["measure", "definition"])
    return table


def _registered(blocks, reference, model, names, regions, directions, config, workers, progress):
    """Point-to-plane errors; all predictions of an identity meet its reference together."""
    columns = [(f"rmse_{region}_mm", way) for region in regions for way in directions]
    tables = [np.full((len(block.faces), len(columns)), np.nan) for block in blocks]
    measured = _registering(model, regions, directions, config)
    lost = []

    def register(person):
        rows = [np.flatnonzero(block.position == person) for block in blocks]
        predicted = torch.cat(
            [_decoded(b.faces[r], model) for b, r in zip(blocks, rows, strict=True)]
        )
        truth = _decoded(reference[[person]], model)[0]
        try:
            return rows, measured(predicted, truth)
        except InputError:  # of which face?
            methods = [b.method for b, r in zip(blocks, rows, strict=True) for _ in r]
            for method, face in zip(methods, predicted, strict=True):
                try:
                    measured(face[None], truth)
                except InputError as error:
                    lost.append((person, f"{method} of {names[person]}: {error.problem}"))
            return rows, np.full((len(predicted), len(columns)), np.nan)

    # Threads, because the compiled search releases Python's lock: nothing is copied.
    with ThreadPoolExecutor(workers or processors()) as pool:
        people = tqdm(
            pool.map(register, range(len(reference))),
            desc="register", unit="identity", total=len(reference), disable=not progress,
        )  # fmt: skip
        for rows, found in people:
            ends = np.cumsum([len(r) for r in rows])[:-1]
            for table, r, values in zip(tables, rows, np.split(found, ends), strict=True):
                table[r] = values
    if lost:  # all of them at once, so that they can be left out at once
        raise InputError(
            "registration",
            f"fails for {len(lost)} of {sum(map(len, tables))} faces "
            f"({some(why for _, why in sorted(lost))})",
            "leave these faces out, or allow more in RegistrationConfig",
        )
    return [_levels(pd.DataFrame(table, columns=columns)) for table in tables]


def _registering(model, regions, directions, config):
    """Function of a batch of faces and one reference that gives errors (face, column)."""
    from v2mlib.metrics.registration import DIRECTIONS, point_to_plane_rmse

    for region in regions:
        model.region(region)  # before anything is registered
    if unknown := [way for way in directions if way not in DIRECTIONS]:
        raise InputError(
            f"direction {unknown[0]!r}", "is unknown", f"choose from {', '.join(DIRECTIONS)}"
        )

    def measured(predicted, truth):
        found = [
            point_to_plane_rmse(predicted, truth, model, region, direction=way, config=config)
            for region in regions
            for way in directions
        ]
        return torch.stack(found, dim=1).cpu().numpy()

    return measured
