"""Charts of an ablation: methods with intervals, and the runs of every seed."""

import numpy as np
import plotly.graph_objects as go

from v2mlib.checks import InputError
from v2mlib.plots import PALETTE, template

WORDS = {
    "vanilla": "vanilla KD",
    "attention": "attention (AT)",
    "similarity": "similarity (SP)",
    "correlation": "correlation (CC)",
    "rkd": "relational (RKD)",
    "crd": "contrastive (CRD)",
    "vid": "variational (VID)",
    "pkt": "probabilistic (PKT)",
    "mean_face": "mean face",
    "sex_mean_face": "sex-mean face",
    "cascade": "cascade, never joined",
    "dealt": "voices dealt within sex",
    "ceiling": "ceiling",
}
"""Methods in words."""

_INK, _SOFT = "#1b2230", "#8a94a3"


def forest_of_methods(summary, runs=None, *, axis, title=None, published=None):
    """Mean error of every method with its interval, and its runs as dots.

    Parameters
    ----------
    summary : DataFrame
        A row per method: ``method``, ``n_seeds``, ``error``, ``error_ci_low``,
        ``error_ci_high``, as from `v2mlib.fitting.ablation_tables.summarise_ablation` (of one
        group, measure and definition).
    runs : DataFrame, optional
        A row per run: ``method``, ``error``.
    axis : str
        Name and unit of the error.
    title : str, optional
        Heading.
    published : dict of str to float, optional
        Printed figures by method, as crosses: of other data.

    Returns
    -------
    plotly.graph_objects.Figure
        First row on top; what was not trained is grey.

    Raises
    ------
    InputError
        If a column is missing.
    """
    wanted = ["method", "n_seeds", "error", "error_ci_low", "error_ci_high"]
    if missing := [name for name in wanted if name not in summary]:
        raise InputError("summary", f"lacks {', '.join(missing)}", "give what was summarised")
    names, figure = list(summary["method"]), go.Figure()
    is_trained = summary["n_seeds"].to_numpy() > 0
    if runs is not None:
        shown = runs[runs["method"].isin(names)]
        figure.add_scatter(
            x=shown["error"].to_numpy(), y=[names.index(m) + 0.28 for m in shown["method"]],
            mode="markers", name="one run each", marker={"color": PALETTE[1], "size": 5},
        )  # fmt: skip
    for kind, chosen, colour in (
        ("trained here", is_trained, PALETTE[0]), ("reference", ~is_trained, _SOFT),
    ):  # fmt: skip
        part = summary[chosen]
        if part.empty:
            continue
        figure.add_scatter(
            x=part["error"].to_numpy(), y=np.flatnonzero(chosen), mode="markers", name=kind,
            marker={"color": colour, "size": 9},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.8, "width": 0, "color": colour,
                "array": (part["error_ci_high"] - part["error"]).to_numpy(),
                "arrayminus": (part["error"] - part["error_ci_low"]).to_numpy(),
            },
        )  # fmt: skip
    if published:
        known = [name for name in names if name in published]
        figure.add_scatter(
            x=[published[name] for name in known], y=[names.index(name) for name in known],
            mode="markers", name="published (other data)",
            marker={"color": _INK, "size": 8, "symbol": "x"},
        )  # fmt: skip
    return _finish(figure, names, axis, title)


def _finish(figure, names, axis, title):
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[WORDS.get(name, name) for name in names],
        autorange="reversed", showgrid=False, zeroline=False, title=None,
    )  # fmt: skip
    figure.update_xaxes(title={"text": axis})
    legend = {"yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0, "xanchor": "left"}
    figure.update_layout(
        template=template(), height=150 + 30 * len(names), legend=legend, margin={"b": 90},
        showlegend=True,
    )  # fmt: skip
    if title:
        figure.update_layout(title={"text": title})
    return figure
