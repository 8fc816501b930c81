"""What an evaluation leaves on disk: tables as CSV and LaTeX, figures as PNG and SVG."""

from textwrap import fill

import pandas as pd

from v2mlib import __version__
from v2mlib.files import atomic
from v2mlib.metrics.published_tables import compare_with_published, published

_CAPTIONS = {
    1: "Absolute ratio error of measured lines",
    2: "Normalised mean error of 68 landmarks",
    3: "Point-to-plane RMSE after registration, whole face",
    4: "Point-to-plane RMSE after registration, by region",
}

TABLES = tuple(_CAPTIONS)
"""The published tables that ours are laid beside."""

AVERAGED = "errors averaged over each identity's utterances, then over identities, as published"
"""How ours were averaged beside the published figures."""


def write_evaluation(
    out, errors, summary, per_utterance, *, data, skills=None, words=None, baseline=None
):
    """Write the tables and figures of an evaluation, each file whole or not at all.

    Parameters
    ----------
    out : pathlib.Path
        An existing folder.
    errors : DataFrame
        From `v2mlib.metrics.evaluate`.
    summary, per_utterance : DataFrame
        From `v2mlib.metrics.summarise`: of the headline errors, and of the column
        ``error_per_utterance``. The latter is what stands beside the published figures, which
        were averaged so.
    data : str
        What was evaluated on, in words: it labels every figure of ours.
    skills : DataFrame, optional
        From `v2mlib.metrics.skill.skill_table`.
    words : dict of str to str, optional
        Methods in words.
    baseline : str, optional
        What the differences in the summary are against.

    Returns
    -------
    list of str
        Names of the files, relative to `out`. Each row of a CSV file says its data and the
        version of this package, whose definitions it follows.
    """
    labels = {"data": data, "version": f"v2mlib {__version__}"}
    files = []

    def put(name, write):
        with atomic(out / name) as partial:
            write(partial)
        files.append(name)

    def put_csv(name, table, **labels):
        put(name, lambda path: table.assign(**labels).to_csv(path, index=False))

    put("errors.parquet", errors.to_parquet)
    put_csv("summary.csv", summary, **labels)
    put_csv("summary_per_utterance.csv", per_utterance, **labels)
    if skills is not None:
        put_csv("skills.csv", skills, **labels)
    if set(summary["measure"].str.removesuffix("_mm")) & set(published(TABLES)["measure"]):
        comparison = compare_with_published(per_utterance, data=data, table=TABLES)
        comparison.loc[comparison["source"] == "ours", "note"] = AVERAGED
        whose = {"ours": labels["version"], "published": "as printed"}
        put_csv("published.csv", comparison, version=comparison["source"].map(whose))
        put("tables.tex", lambda path: path.write_text(latex(comparison, words=words), "utf-8"))
    for name, figure in _figures(summary, data, words or {}, baseline).items():
        from v2mlib.plot_pictures import draw

        for kind in ("png", "svg"):
            # Without its date the same figure is the same file.
            options = {"metadata": {"Date": None}} if kind == "svg" else {}
            sheet = draw(figure, scale=2)
            put(f"{name}.{kind}", lambda p, s=sheet, k=kind, o=options: s.savefig(p, format=k, **o))
    return files


def _figures(summary, data, words, baseline):
    from v2mlib.plot_tables import forest

    title = f"{fill(data, 60)}\nCorrected lines, mean NME; 95 % intervals over identities"
    figures = {}
    shown = summary[(summary["group"] == "all") & (summary["method"] != baseline)]
    shown = shown[shown["definition"].isin(HEADLINE)]
    if baseline is not None and len(shown):
        name = words.get(baseline, baseline)
        if shown["method"].nunique() == 1:  # forest draws no legend then
            method = shown["method"].iloc[0]
            title = f"{words.get(method, method)}: {title}"
        figures["change"] = forest(
            shown, value="change_percent", words=words, title=title,
            axis=f"change of the error against the {name} (%); left is better",
        )  # fmt: skip
    for value, others in (
        ("skill", ("mean_face", "ceiling")),
        ("within_sex_skill", ("mean_face", "sex_mean_face", "ceiling")),
    ):
        if value not in summary:
            continue
        rows = shown[~shown["method"].isin(others) & shown[f"{value}_ci_low"].notna()]
        zero = words.get(others[-2], others[-2])
        if len(rows):
            figures[value] = forest(
                rows, value=value, axis=f"{value.replace('_', ' ')} (0 {zero}, 1 ceiling)",
                words=words, lines={"ceiling": 1.0}, title=title,
            )  # fmt: skip
    return figures


HEADLINE = ("corrected", "mean", "as predicted", "predicted_to_reference")
"""The definitions that figures show: one for each measure."""


def latex(comparison, *, words=None, digits=4):
    r"""Tables for a paper: ours and the published ones, apart and each with its labels.

    Parameters
    ----------
    comparison : DataFrame
        From `v2mlib.metrics.compare_with_published`.
    words : dict of str to str, optional
        Methods in words.
    digits : int
        After the decimal point.

    Returns
    -------
    str
        For ``\input``; needs the packages booktabs and array. No figure without data and
        definition.
    """
    parts = ["% needs \\usepackage{booktabs}", f"% {len(comparison)} figures"]
    for (table, source), rows in comparison.groupby(["table", "source"], sort=False):
        for data, block in rows.groupby("data", sort=False):
            parts.append(_latex_table(int(table), source, data, block, words or {}, digits))
    return "\n\n".join(parts) + "\n"


def _latex_table(table, source, data, block, words, digits):
    # A method per row: intervals make columns too wide for a page.
    cells = block.assign(
        value=[_cell(row, digits) for row in block.itertuples()],
        change=["" if pd.isna(c) else f"{c:+.1f}" for c in block["change_percent"]],
        measure=block["measure"].str.replace("_", " "),
        method=[words.get(m, str(m).replace("_", " ")) for m in block["method"]],
    )
    cells = cells[["measure", "definition", "method", "value", "change"]]
    cells = cells.rename(columns={"change": "change (%)"}).map(_escape)
    body = cells.rename(columns=_escape).style.hide(axis="index").to_latex(
        hrules=True, column_format="lllrr"
    )  # fmt: skip
    whose = "published figures" if source == "published" else "this evaluation"
    caption = f"{_CAPTIONS.get(table, f'Table {table}')}: {whose}. Data: {data}."
    if block["ci_low"].notna().any():
        caption += " In brackets 95 % intervals over identities."
    if notes := [note for note in dict.fromkeys(block["note"].dropna()) if note]:
        caption += f" Notes: {'; '.join(notes)}."
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_escape(caption)}}}\n{body.strip()}\n\\end{{table}}"
    )


def _cell(row, digits):
    text = f"{row.value:.{digits}f}"
    if pd.notna(row.ci_low):
        text += f" [{row.ci_low:.{digits}f}, {row.ci_high:.{digits}f}]"
    return text


def _escape(text):
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {character: "\\" + character for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in str(text))
