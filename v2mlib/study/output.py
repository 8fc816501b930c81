"""What an analysis leaves on disk and on the screen."""

import json

import pandas as pd

from v2mlib.files import atomic
from v2mlib.study.analysing import compare_tests

_TABLES = ("naive", "clustered", "mixed", "items", "subjects", "attention")


def write_analysis(out, analysis, *, title="Preference study"):
    """Write the tables and figures of an analysis, each file whole or not at all.

    Parameters
    ----------
    out : pathlib.Path
        An existing folder.
    analysis : Analysis
        From `v2mlib.study.analyse_answers`.
    title : str
        Of the figures.

    Returns
    -------
    list of str
        Names of the files, relative to `out`.
    """
    from v2mlib import plot_studies
    from v2mlib.plot_pictures import draw

    files = []

    def put(name, write):
        with atomic(out / name) as partial:
            write(partial)
        files.append(name)

    tables = {name: getattr(analysis, name) for name in _TABLES}
    tables["tests"] = compare_tests(analysis)
    for name, table in tables.items():
        if table is not None:
            put(f"{name}.csv", lambda path, t=table: t.to_csv(path, index=False))
    summary = json.dumps(as_dict(analysis), indent=1, default=str) + "\n"
    put("summary.json", lambda path: path.write_text(summary, "utf-8"))
    figures = {
        "tests": plot_studies.forest_of_tests(tables["tests"], title=title),
        "questions": plot_studies.question_dots(analysis.items, title=title),
    }
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            # Without its date the same figure is the same file.
            options = {"metadata": {"Date": None}} if kind == "svg" else {}
            sheet = draw(figure, scale=2)
            put(f"{name}.{kind}", lambda p, s=sheet, k=kind, o=options: s.savefig(p, format=k, **o))
    return files


def as_dict(analysis):
    """Give an analysis as plain data.

    Parameters
    ----------
    analysis : Analysis
        From `v2mlib.study.analyse_answers`.

    Returns
    -------
    dict
        Tables as lists of rows; for JSON.
    """

    def rows(table):
        return None if table is None else table.to_dict("records")

    return {name: rows(getattr(analysis, name)) for name in _TABLES} | {
        "tests": rows(compare_tests(analysis)),
        "order": analysis.order._asdict(),
        "left_out": [str(who) for who in analysis.left_out],
        "remarks": analysis.remarks,
    }


def describe(analysis, methods=None):
    """Say what an analysis found.

    Parameters
    ----------
    analysis : Analysis
        From `v2mlib.study.analyse_answers`.
    methods : dict of str to str, optional
        Names of "a" (preferred or not) and "b".

    Returns
    -------
    str
        Several paragraphs and tables.
    """
    methods = methods or {"a": "ours", "b": "the other"}
    naive, order = analysis.naive, analysis.order
    total = naive.iloc[-1]
    passed = analysis.attention
    lines = [
        f"Share of answers for {methods['a']} against {methods['b']}: {len(analysis.subjects)} "
        f"participants, {len(analysis.items)} questions, {int(total['trials']):,} answers.",
        "",
        "The published test (exact binomial, every answer an independent coin), "
        f"level {total['level']:g}:",
        _text(naive[["section", "chosen", "trials", "proportion", "ci_low", "ci_high", "p_value",
                     "threshold", "rejected"]]),
        "",
        "The same beside tests that know whose answer it is and to which question (95 % intervals,"
        " one-sided p):",
        _text(compare_tests(analysis)),
    ]  # fmt: skip
    if analysis.clustered is not None:
        overall = analysis.clustered.iloc[-1]
        lines += ["", f"An answer is worth 1/{overall['design_effect']:.1f} of an independent one "
                  "(design effect, overall)."]  # fmt: skip
    lines += [
        "",
        f"The face shown first was chosen in {order.proportion:.1%} of answers "
        f"({order.ci_low:.1%} to {order.ci_high:.1%}; p {order.p_value_two_sided:.2g}).",
    ]
    if len(passed):
        share = passed["passed"].sum() / passed["checks"].sum()
        perfect = int((passed["passed"] == passed["checks"]).sum())
        all_passed = f"{perfect} of {len(passed)} participants passed all of theirs"
        lines.append(f"Attention checks: {share:.1%} passed; {all_passed}.")
    lines += [f"Note: {remark}." for remark in analysis.remarks]
    return "\n".join(lines)


def _text(table):
    shown = table.copy()
    for name in shown:
        if pd.api.types.is_float_dtype(shown[name]):
            form = "{:.2g}" if name.startswith("p_value") else "{:.3f}"
            shown[name] = shown[name].map(form.format)
    return shown.to_string(index=False)
