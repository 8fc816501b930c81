"""Pictures of nulls, ceilings, power and bits: static, for reading rather than turning.

Each function takes finished numbers and returns a picture; nothing is computed here.
"""

import io

import numpy as np
from PIL import Image

from v2mlib.checks import InputError
from v2mlib.plot_tables import colours_of
from v2mlib.plots import PALETTE, ROLES

_INK, _SOFT, _GRID, _RED = "#1b2230", "#b8bec7", "#e8ebf0", "#c0392b"
_DPI = 96


def permutation_histograms(nulls, observed, *, title=None, axis="correlation", columns=4):
    """Histograms of dealt pairings, the true pairing as a line: a panel per measure.

    Parameters
    ----------
    nulls : mapping of str to DataFrame, (permutation, measure)
        By the way of dealing ("dealt freely", "dealt within a sex"): the statistic of each deal.
        All have the same columns.
    observed : mapping of str to float
        By measure: the statistic of the true pairing.
    title : str, optional
        Heading.
    axis : str
        What the statistic is.
    columns : int
        Panels in a row.

    Returns
    -------
    PIL.Image.Image
        Panels on common axes.

    Raises
    ------
    InputError
        If a measure has no observed value.
    """
    import seaborn as sns

    measures = list(next(iter(nulls.values())))
    if missing := [name for name in measures if name not in observed]:
        raise InputError("observed", f"lacks {missing}", "give one value per measure")
    n_rows = -(-len(measures) // columns)
    sheet, panels = _sheet(880, 60 + 165 * n_rows, n_rows, columns, sharex=True)
    every = np.concatenate([np.asarray(table).ravel() for table in nulls.values()])
    low, high = (f([f(every), f(list(observed.values()))]) for f in (np.min, np.max))
    bins = np.linspace(low - 0.01, high + 0.01, 60)
    colours = [_SOFT, PALETTE[0], PALETTE[2]]
    for panel, measure in zip(panels, measures, strict=False):
        for (name, table), colour in zip(nulls.items(), colours, strict=False):
            sns.histplot(
                x=np.asarray(table[measure]), bins=bins, stat="density", element="step",
                color=colour, alpha=0.55, linewidth=0.8, ax=panel, label=name,
            )  # fmt: skip
        panel.axvline(observed[measure], color=_RED, lw=2.2, label="true pairing")
        panel.set_title(_words(measure), loc="left", fontsize=10.5, color=_INK)
        panel.set(ylabel="", yticks=[], xlabel="")
        panel.spines["left"].set_visible(False)
    for panel in panels[len(measures) :]:
        panel.set_visible(False)
    _legend(sheet, panels[0])
    return _picture(sheet, "\n".join(words for words in (title, axis) if words))


def explained_bars(table, ceilings, *, title=None, axis="share of the variance within a sex (%)"):
    """Explained shares as bars with intervals, each with the marks of its ceilings.

    Parameters
    ----------
    table : DataFrame
        A row per `measure` and `method`: `r_squared`, `ci_low`, `ci_high`.
    ceilings : mapping of str to mapping of str to float
        By name of the ceiling: its share by measure.
    title : str, optional
        Heading.
    axis : str
        Name of the numbers.

    Returns
    -------
    PIL.Image.Image
        First measure on top; shares below -20 % are cut.

    Raises
    ------
    InputError
        If a column is missing.
    """
    _require(table, ["measure", "method", "r_squared", "ci_low", "ci_high"])
    measures, methods = (list(dict.fromkeys(table[name])) for name in ("measure", "method"))
    sheet, (panel,) = _sheet(860, 90 + 15 * len(measures) * (len(methods) + 1))
    thick, colours = 0.84 / len(methods), colours_of(methods)
    for index, method in enumerate(methods):
        rows = table[table["method"] == method].set_index("measure").loc[measures]
        place = np.arange(len(measures)) + (index - (len(methods) - 1) / 2) * thick
        value = 100 * rows["r_squared"].to_numpy()
        reach = [value - 100 * rows["ci_low"].to_numpy(), 100 * rows["ci_high"].to_numpy() - value]
        panel.barh(place, value, 0.9 * thick, color=colours[index], label=_words(method))
        panel.errorbar(value, place, xerr=reach, fmt="none", ecolor=_INK, elinewidth=1.1)
    marks = [(ROLES["ceiling"], "-"), (_INK, ":"), (PALETTE[1], "--")]
    for (name, shares), (colour, style) in zip(ceilings.items(), marks, strict=False):
        for row, measure in enumerate(measures):
            panel.plot(
                [100 * shares[measure]] * 2, [row - 0.45, row + 0.45], style, color=colour, lw=2.4,
                label=name if row == 0 else None,
            )  # fmt: skip
    panel.axvline(0, color=_INK, lw=1)
    panel.set_yticks(range(len(measures)), [_words(name) for name in measures])
    panel.set_ylim(len(measures) - 0.4, -0.6)
    panel.set_xlim(left=max(panel.get_xlim()[0], -20))
    panel.set_xlabel(axis)
    panel.grid(axis="x", color=_GRID)
    _legend(sheet, panel)
    return _picture(sheet, title)


def power_curves(theory, simulated=None, *, marks=None, goal=0.8, title=None):
    """Power over the number of identities, simulated points on the curves of theory.

    Parameters
    ----------
    theory : DataFrame
        Columns `r`, `n`, `power`: a curve per r.
    simulated : DataFrame, optional
        The same with `band_low` and `band_high`, where a right simulation falls.
    marks : mapping of str to (n, power), optional
        Points to be named.
    goal : float
        Power that is drawn as a line.
    title : str, optional
        Heading.

    Returns
    -------
    PIL.Image.Image
        Identities on a logarithmic axis.

    Raises
    ------
    InputError
        If a column is missing.
    """
    import matplotlib as mpl

    _require(theory, ["r", "n", "power"])
    sheet, (panel,) = _sheet(860, 430)
    strengths = sorted(theory["r"].unique())
    tones = mpl.colormaps["viridis_r"](np.linspace(0.15, 0.95, len(strengths)))
    for r, colour in zip(strengths, tones, strict=True):
        curve = theory[theory["r"] == r].sort_values("n")
        panel.plot(curve["n"], 100 * curve["power"], color=colour, lw=2.2, label=f"r = {r:g}")
        if simulated is not None:
            rows = simulated[simulated["r"] == r]
            reach = [100 * (rows["power"] - rows["band_low"]).clip(lower=0),
                     100 * (rows["band_high"] - rows["power"]).clip(lower=0)]  # fmt: skip
            panel.errorbar(rows["n"], 100 * rows["power"], yerr=reach, fmt="o", ms=5, color=colour,
                           mec="white", mew=0.7, elinewidth=1)  # fmt: skip
    panel.axhline(100 * goal, color=_INK, ls=":", lw=1.2)
    for words, (n, power) in (marks or {}).items():
        panel.plot(n, 100 * power, "D", color=_RED, ms=7, zorder=5)
        panel.annotate(words, (n, 100 * power), xytext=(9, -14), textcoords="offset points",
                       color=_RED, fontsize=10)  # fmt: skip
    panel.set_xscale("log")
    ticks = [30, 50, 100, 200, 301, 500, 1000, 3000, 10_000, 30_000]
    low, high = theory["n"].min(), theory["n"].max()
    kept = [n for n in ticks if low <= n <= high]
    panel.set_xticks(kept, [f"{n:,}" for n in kept])
    panel.minorticks_off()
    panel.set(
        xlabel="identities", ylabel="power (%)", ylim=(0, 102), xlim=(0.95 * low, 1.05 * high)
    )
    panel.grid(color=_GRID)
    _legend(sheet, panel)
    return _picture(sheet, title)


def bits_bars(table, *, needed, title=None):
    """Bits of a face that voices carry, sex and the rest, beside what naming somebody takes.

    Parameters
    ----------
    table : DataFrame
        A row per case: `case`, `sex`, `within_sex` (bits).
    needed : mapping of str to float
        Vertical lines, bits.
    title : str, optional
        Heading.

    Returns
    -------
    PIL.Image.Image
        First case on top.

    Raises
    ------
    InputError
        If a column is missing.
    """
    _require(table, ["case", "sex", "within_sex"])
    sheet, (panel,) = _sheet(860, 130 + 44 * len(table))
    place = np.arange(len(table))
    sex, rest = table["sex"].to_numpy(), table["within_sex"].to_numpy()
    panel.barh(place, sex, 0.6, color=ROLES["sex_mean_face"], label="the speaker's sex")
    panel.barh(place, rest, 0.6, left=sex, color=PALETTE[0], label="what remains within a sex")
    for row, (one, other) in enumerate(zip(sex, rest, strict=True)):
        panel.annotate(
            f"{one + other:.2f} ({other:.2g} within a sex)", (one + other, row), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=10,
        )  # fmt: skip
    for words, bits in needed.items():
        panel.axvline(bits, color=_RED, lw=2, ls="--")
        panel.annotate(words, (bits, -0.62), xytext=(-6, 0), textcoords="offset points",
                       ha="right", va="center", color=_RED, fontsize=10)  # fmt: skip
    panel.set_yticks(place, table["case"])
    panel.set_ylim(len(table) - 0.4, -0.95)
    panel.set_xlim(0, 1.06 * max([*needed.values(), (sex + rest).max()]))
    panel.set_xlabel("mutual information of voice and face (bits)")
    panel.grid(axis="x", color=_GRID)
    _legend(sheet, panel)
    return _picture(sheet, title)


def calibration(table, *, nominal, axis, title=None):
    """Observed shares beside their nominal values, with the band of a right method.

    Parameters
    ----------
    table : DataFrame
        A row per test or interval: `what`, `observed`, `band_low`, `band_high`.
    nominal : float
        What all of them promise.
    axis : str
        Name of the shares; drawn as percentages.
    title : str, optional
        Heading.

    Returns
    -------
    PIL.Image.Image
        First row on top; what lies outside its band is red.

    Raises
    ------
    InputError
        If a column is missing.
    """
    _require(table, ["what", "observed", "band_low", "band_high"])
    sheet, (panel,) = _sheet(860, 90 + 24 * len(table))
    place = np.arange(len(table))
    seen, low, high = (
        100 * table[name].to_numpy() for name in ("observed", "band_low", "band_high")
    )
    panel.barh(place, high - low, 0.8, left=low, color="#d7e3f0",
               label="a right method, 99 of 100 times")  # fmt: skip
    outside = (seen < low - 1e-9) | (seen > high + 1e-9)
    for where, colour in ((~outside, PALETTE[0]), (outside, _RED)):
        panel.plot(seen[where], place[where], "o", color=colour, ms=7, zorder=3)
    for row in np.flatnonzero(outside):
        panel.annotate(f"{seen[row]:.3g} %", (seen[row], row), xytext=(-8, 0), va="center",
                       ha="right", textcoords="offset points", color=_RED, fontsize=9)  # fmt: skip
    panel.axvline(100 * nominal, color=_INK, ls=":", lw=1.4, label=f"promised: {100 * nominal:g} %")
    panel.set_yticks(place, table["what"])
    panel.set_ylim(len(table) - 0.4, -0.6)
    panel.set_xlabel(axis)
    panel.grid(axis="x", color=_GRID)
    _legend(sheet, panel)
    return _picture(sheet, title)


def _sheet(width, height, n_rows=1, n_columns=1, **shared):
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, layout="constrained")
    panels = sheet.subplots(n_rows, n_columns, squeeze=False, **shared).ravel()
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_axisbelow(True)
    return sheet, panels


def _legend(sheet, panel):
    handles, labels = panel.get_legend_handles_labels()
    sheet.legend(handles, labels, loc="outside lower left", ncols=6, frameon=False, fontsize=9.5)


def _picture(sheet, title):
    if title:
        sheet.suptitle(title, x=0.01, ha="left", fontsize=12.5, color=_INK)
    stream = io.BytesIO()
    sheet.savefig(stream, format="png")
    with Image.open(stream) as picture:
        # A palette: a third of the bytes in a stored notebook.
        return picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)


def _words(name):
    return str(name).removesuffix("_mm").replace("_", " ")


def _require(table, columns):
    if missing := [name for name in columns if name not in table]:
        raise InputError("table", f"lacks {', '.join(missing)}", f"it has {list(table)}")
