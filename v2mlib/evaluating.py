"""Predicted faces judged: weights on a world beside every reference, or files against files."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.metrics.skill import SKILLS

METHODS = {
    "mean_face": "mean face",
    "sex_mean_face": "sex-mean face",
    "ridge": "ridge on pitch and formants",
    "pretrained": "pretrained encoder, frozen",
    "model": "voice encoder, end to end",
    "ceiling": "ceiling",
}
"""Methods in the order of the tables, in words."""

_REFERENCES = ("mean_face", "sex_mean_face", "ridge", "ceiling")


class Judged(NamedTuple):
    """Methods judged on the same identities.

    ``errors`` and ``summary`` are from `v2mlib.metrics.evaluate` and `summarise`;
    ``per_utterance`` is the same summary of the errors averaged over utterances, the paper's
    way. ``skills`` is from `skill_table` (None for files), ``title`` says on what data and
    which faces, ``world`` is the law's name (None for files), ``words`` are the methods in
    words, ``baseline`` is what the differences are against.
    """

    errors: pd.DataFrame
    summary: pd.DataFrame
    per_utterance: pd.DataFrame
    skills: pd.DataFrame | None
    title: str
    world: str | None
    words: dict
    baseline: str


def predict_methods(world, models, *, split="test", workers=None, progress=True):
    """Coefficients that models and references give the identities of a world.

    Parameters
    ----------
    world : World
        The data set.
    models : dict of str to Voice2Mesh
        Trained weights by name.
    split : {"test", "validation"}
        Whose faces to predict. The references learn from the training names.
    workers : int, optional
        Processes for features and Praat.
    progress : bool
        Whether to show progress bars on stderr.

    Returns
    -------
    dict of str to DataFrame
        ``mean_face``, ``sex_mean_face``, ``ridge`` (on Praat's pitch and formants), the models,
        and, of a world whose law is known, ``ceiling``: identities as the index, a row per
        utterance where a method hears.

    Raises
    ------
    InputError
        If a model predicts coefficients of other faces, or has the name of a reference.
    """
    from v2mlib.datasets.world import fingerprint, same_fingerprint
    from v2mlib.faces import load_face_model
    from v2mlib.fitting import baselines, predict_world

    wanted = fingerprint(load_face_model(world.face_model))
    for name, model in models.items():
        if name in _REFERENCES:
            raise InputError(f"model name {name!r}", "is a reference's", "choose another")
        if not same_fingerprint(fingerprint(model.face_model), wanted):
            raise InputError(
                f"model {name}",
                f"predicts faces of {model.face_model.name!r}, not of those in {world.folder}",
                "train on a world with the same face model",
            )
    options = {"split": split, "workers": workers, "progress": progress}
    found = baselines.predict_baselines(world, **options)
    found |= {name: predict_world(model, world, **options) for name, model in models.items()}
    if not hasattr(world, "ceiling_coefficients"):  # nobody knows what is attainable
        return found
    chosen = (world.identities["split"] == split).to_numpy()
    ceiling = pd.DataFrame(
        world.ceiling_coefficients[chosen], index=world.identities.loc[chosen, "identity"]
    )
    return found | {"ceiling": ceiling}


def judge_world(folder, models, *, split="test", measures, baseline="mean_face", progress=True):
    """Judge trained weights on the identities of a world.

    Parameters
    ----------
    folder : path
        The world, or a built data set.
    models : sequence of str
        Weights by name or file.
    split : {"test", "validation"}
        Whose faces to predict.
    measures : sequence of str
        Groups of measures, as in `v2mlib.metrics.evaluate`.
    baseline : str
        The method that the others are compared with.
    progress : bool
        Whether to show progress bars on stderr.

    Returns
    -------
    Judged
        Beside the mean face, the sex-mean face, ridge regression and, of a world, the ceiling.

    Raises
    ------
    InputError
        If the world, the weights or the baseline cannot be used.
    """
    from v2mlib.datasets import load_data
    from v2mlib.faces import load_face_model
    from v2mlib.metrics import evaluate
    from v2mlib.metrics.scoring import score_methods
    from v2mlib.metrics.skill import skill_table
    from v2mlib.models import Voice2Mesh

    loaded = {name: Voice2Mesh.load(name) for name in models}
    world = load_data(folder)
    _require_method(baseline, [*_REFERENCES, *loaded])
    predictions = predict_methods(world, loaded, split=split, progress=progress)
    kind = world.config.get("world")  # None for recorded people: no law, no ceiling, no skill
    skills = kind and skill_table(score_methods(world, predictions, split=split), world=kind)
    people = world.identities[world.identities["split"] == split]
    references = pd.DataFrame(
        np.asarray(world.reference_coefficients)[people.index], index=people["identity"]
    )
    face_model = load_face_model(world.face_model)
    errors = evaluate(
        predictions, references, face_model,
        sex=people["sex"].to_numpy(), measures=measures, progress=progress,
    )  # fmt: skip
    summaries = _summaries(errors, baseline, ceiling=kind and "ceiling", world=kind or "default")
    words = {name: words for name, words in METHODS.items() if name not in loaded}
    title = f"{kind} world, {split}" if kind else f"recorded people (no ceiling known), {split}"
    title += f", faces of {face_model.name}"
    return Judged(errors, *summaries, skills, title, kind, words, baseline)


def judge_files(references, predictions, faces, *, measures, baseline="mean_face", progress=True):
    """Judge predicted faces in files against reference faces in files.

    Parameters
    ----------
    references : path
        Reference faces, in a form of `v2mlib.evaluation_files.read_faces`.
    predictions : dict of str to path
        Predicted faces by method. The mean face is added.
    faces : str or path
        The face model.
    measures : sequence of str
        Groups of measures, as in `v2mlib.metrics.evaluate`.
    baseline : str
        The method that the others are compared with.
    progress : bool
        Whether to show a progress bar on stderr.

    Returns
    -------
    Judged
        On the identities of the references.

    Raises
    ------
    InputError
        If a file cannot be used, an identity has no reference or no prediction, a reference
        is there twice, or the baseline is none of the methods.
    ShapeError
        If faces are not of the face model's topology.
    """
    from v2mlib.evaluation_files import read_faces
    from v2mlib.faces import load_face_model
    from v2mlib.metrics import evaluate
    from v2mlib.metrics.face_rows import FaceRows, require_unique

    model = load_face_model(faces)
    if "mean_face" in predictions:
        raise InputError("method mean_face", "is added by itself", "choose another name")
    _require_method(baseline, ["mean_face", *predictions])
    truth = read_faces(references, model)
    require_unique(truth.identity, f"references in {references}")
    mean = np.broadcast_to(
        np.zeros(model.n_shape, np.float32), (len(truth.identity), model.n_shape)
    )
    methods = {"mean_face": FaceRows(truth.identity, mean)}
    methods |= {name: read_faces(path, model) for name, path in predictions.items()}
    errors = evaluate(methods, truth, model, measures=measures, progress=progress)
    title = f"{references}, faces of {model.name}"
    return Judged(errors, *_summaries(errors, baseline), None, title, None, METHODS, baseline)


def _summaries(errors, baseline, *, ceiling=None, world="default"):
    """Of the headline errors, and of those averaged in the paper's way."""
    from v2mlib.metrics import summarise

    options = {"baseline": baseline, "ceiling": ceiling, "by": _groups(errors), "world": world}
    return [
        summarise(errors, column=column, **options) for column in ("error", "error_per_utterance")
    ]


def _require_method(name, known):
    if name not in known:
        raise InputError(f"baseline {name!r}", "is no method here", f"choose from {known}")


def _groups(errors):
    return ["all", *(sex for sex in ("m", "f") if (errors["sex"] == sex).any())]


def chosen_measures(listed, *, no_icp=False):
    """Groups of measures from a comma-separated list.

    Parameters
    ----------
    listed : str or None
        The list; None for all.
    no_icp : bool
        Leave out the registered ones.

    Returns
    -------
    tuple of str
        For `v2mlib.metrics.evaluate`.

    Raises
    ------
    InputError
        If one is unknown or none is left.

    Examples
    --------
    >>> chosen_measures("are, rmse", no_icp=True)
    ('are',)
    """
    from v2mlib.metrics.evaluation import MEASURES

    names = MEASURES if listed is None else tuple(name.strip() for name in listed.split(","))
    kept = tuple(name for name in names if not (no_icp and name == "rmse"))
    if unknown := [name for name in kept if name not in MEASURES]:
        raise InputError(
            f"measure {unknown[0]!r}", "is unknown", f"choose from {', '.join(MEASURES)}"
        )
    if not kept:
        raise InputError("measures", "are none", f"choose from {', '.join(MEASURES)}")
    return kept


def summary_text(judged):
    """Changes against the baseline for a terminal.

    Parameters
    ----------
    judged : Judged
        From `judge_world` or `judge_files`.

    Returns
    -------
    str
        A line per measure, definition and method.
    """
    rows = judged.summary[judged.summary["group"] == "all"]
    lines = [["measure", "definition", "method", "error [95 %]", "change (%) [95 %]"]]
    for row in rows.itertuples():
        error = f"{row.error:.4f} [{row.error_ci_low:.4f},{row.error_ci_high:.4f}]"
        change = (
            f"{row.change_percent:+.1f} [{row.change_percent_ci_low:+.1f},"
            f"{row.change_percent_ci_high:+.1f}]"
        )
        name = judged.words.get(row.method, row.method)
        shown = "" if row.method == judged.baseline else change
        lines.append([row.measure, row.definition, name, error, shown])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    head = (
        f"{judged.title}; {rows['n_identities'].iloc[0]} identities; errors of faces averaged "
        f"over utterances; changes against the {judged.words.get(judged.baseline, judged.baseline)}"
    )
    return "\n".join([head, body[0], "-" * max(map(len, body)), *body[1:]])


def text_table(skills, *, title="", words=METHODS):
    """Skills of all methods for a terminal.

    Parameters
    ----------
    skills : DataFrame
        From `v2mlib.metrics.skill.skill_table`.
    title : str
        What was judged, for the line above.
    words : dict of str to str
        Methods in words; the others keep their names.

    Returns
    -------
    str
        A line per method, on the mean corrected absolute ratio error.
    """

    def with_interval(row, name):
        value, low, high = row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"]
        return f"{value:5.2f} [{low:5.2f},{high:5.2f}]" if np.isfinite(value) else "-"

    mean = skills[skills["measure"] == "mean"].set_index("method")
    lines = [["method", "ARE", *(name.replace("_", " ") for name in SKILLS)]]
    for method, row in mean.iterrows():
        figures = [with_interval(row, name) for name in SKILLS]
        lines.append([words.get(method, method), f"{row['error']:.4f}", *figures])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    head = (
        f"{title}{'; ' if title else ''}{mean['n_identities'].iloc[0]} identities; ARE: mean "
        "absolute ratio error over four corrected lines; [95 % intervals over identities]"
    )
    return "\n".join([head, rows[0], "-" * len(rows[0]), *rows[1:]])
