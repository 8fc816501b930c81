"""What the published definition of the ratio lines does, beside the corrected one."""

import numpy as np
import pandas as pd

from v2mlib.faces.lines import DIVISOR, RATIO_LINES, line_lengths
from v2mlib.metrics.ratios import absolute_ratio_error
from v2mlib.metrics.skill import intervals, resampled_means
from v2mlib.metrics.symmetry import line_asymmetry


def line_table(model):
    """The five lines of the published evaluation on the mean face, by both definitions.

    Parameters
    ----------
    model : MorphableModel
        The face model.

    Returns
    -------
    DataFrame
        A row per ``line``: ``corrected_mm`` and ``published_mm`` (lengths on the mean face),
        ``corrected_asymmetry_mm`` and ``published_asymmetry_mm`` (`line_asymmetry`: 0 for a
        line that is its own mirror image). nan where the face lacks the line.

    Examples
    --------
    >>> from v2mlib.faces import load_face_model
    >>> table = line_table(load_face_model("phantom")).set_index("line")
    >>> bool(table.loc["outer_interocular", "published_asymmetry_mm"] > 10)
    True
    """
    table = pd.DataFrame({"line": [DIVISOR, *RATIO_LINES]}).set_index("line")
    for definition in ("corrected", "published"):
        known = set(model.line_names(definition))
        lengths = line_lengths(model.mean, model, definition)
        misses = line_asymmetry(model.mean, model, definition)
        for column, values in (("mm", lengths), ("asymmetry_mm", misses)):
            table[f"{definition}_{column}"] = [
                float(values[name]) if name in known else np.nan for name in table.index
            ]
    return table.reset_index()


def definition_effect(predicted, reference, model, *, n_resamples=2000, seed=0, level=0.95):
    """How much smaller errors look by the published definition, line by line.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (face, vertex, xyz=3), mm
        Faces in the model's topology; `predicted` may be one face.
    model : MorphableModel
        Has both definitions of every line.
    n_resamples : int
        Bootstrap resamples over faces.
    seed : int
        Of the resampling.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        A row per line and for their mean: ``corrected`` and ``published`` (mean absolute ratio
        errors), ``quotient`` (published over corrected) with ``quotient_ci_low`` and
        ``quotient_ci_high``; ``divisor_swapped``, the quotient if only the divisor is the
        published one and the line keeps its corrected ends; ``divisor_longer``, what a divisor
        that is merely longer would give: the same for every line.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    InputError
        If the model lacks a line by one of the definitions.
    """
    errors = {
        definition: absolute_ratio_error(predicted, reference, model, definition)
        for definition in ("corrected", "published")
    }
    swapped = [_mixed_ratios(face, model) for face in (predicted, reference)]
    errors["swapped"] = {name: abs(swapped[0][name] - swapped[1][name]) for name in RATIO_LINES}
    errors["swapped"]["mean"] = sum(errors["swapped"].values()) / len(RATIO_LINES)
    lengths = [line_lengths(reference, model, d, names=[DIVISOR])[DIVISOR]
               for d in ("corrected", "published")]  # fmt: skip
    longer = float(lengths[0].mean() / lengths[1].mean())
    rows = []
    for line in (*RATIO_LINES, "mean"):
        table = np.stack([np.asarray(errors[name][line], dtype=float) for name in errors], axis=1)
        corrected, published, mixed = table.mean(0)
        spread = resampled_means(table, n_resamples, seed)
        low, high = intervals(spread[:, 1] / spread[:, 0], level)
        rows.append(
            {
                "line": line,
                "corrected": corrected,
                "published": published,
                "quotient": published / corrected,
                "quotient_ci_low": low,
                "quotient_ci_high": high,
                "divisor_swapped": mixed / corrected,
                "divisor_longer": longer,
            }
        )
    return pd.DataFrame(rows)


def _mixed_ratios(face, model):
    """Corrected lines over the published divisor."""
    divisor = line_lengths(face, model, "published", names=[DIVISOR])[DIVISOR]
    return {n: v / divisor for n, v in line_lengths(face, model, names=RATIO_LINES).items()}
