"""What an ablation leaves on disk and says on a terminal."""

import pandas as pd

from v2mlib import __version__
from v2mlib.evaluation_output import AVERAGED, latex
from v2mlib.files import atomic
from v2mlib.fitting.ablation_scores import NO_SEED
from v2mlib.fitting.ablation_tables import method_pairs, methods_differ, summarise_ablation
from v2mlib.metrics.published_tables import compare_with_published
from v2mlib.plot_ablation import WORDS, forest_of_methods

NULLS = {
    "run": "the choice of the method changes the expected error no more than another seed does",
    "identity": "for each person these trained networks err alike",
}
"""The null hypotheses of the tests, by unit."""


def write_ablation_tables(out, ablation, methods, *, data):
    """Write the tables and the figure of an ablation, each file whole or not at all.

    Parameters
    ----------
    out : pathlib.Path
        An existing folder.
    ablation : Ablation
        From `v2mlib.fitting.ablation.run_ablation`.
    methods : sequence of str
        Those that are compared.
    data : str
        What was trained and judged on, in words.

    Returns
    -------
    dict
        ``files``, ``summary``, ``tests`` and ``pairs``.
    """
    labels, files = {"data": data, "version": f"v2mlib {__version__}"}, []
    errors = ablation.errors

    def put(name, write):
        with atomic(out / name) as partial:
            write(partial)
        files.append(name)

    def put_csv(name, table, **more):
        put(name, lambda path: table.assign(**(more or labels)).to_csv(path, index=False))

    summary = summarise_ablation(errors)
    tests = methods_differ(errors, methods) if len(methods) > 1 else pd.DataFrame()
    pairs = method_pairs(errors, methods) if len(methods) > 1 else pd.DataFrame()
    put("errors.parquet", errors.to_parquet)
    put_csv("runs.csv", ablation.runs)
    put_csv("summary.csv", summary)
    if len(methods) > 1:
        put_csv("tests.csv", tests.assign(null=tests["unit"].map(NULLS)))
        put_csv("pairs.csv", pairs)
    comparison = beside_published(errors, methods, data=data)
    whose = {"ours": labels["version"], "published": "as printed"}
    put_csv("published.csv", comparison, version=comparison["source"].map(whose))
    put("tables.tex", lambda path: path.write_text(latex(comparison, words=WORDS), "utf-8"))
    _put_figure(put, errors, summary, data)
    return {"files": files, "summary": summary, "tests": tests, "pairs": pairs}


def beside_published(errors, methods, *, data):
    """Our Table 5 and the published one in one long table, every figure labelled.

    Parameters
    ----------
    errors : DataFrame
        From `v2mlib.fitting.ablation.run_ablation`.
    methods : sequence of str
        Which of ours.
    data : str
        What was trained and judged on, in words.

    Returns
    -------
    DataFrame
        As of `v2mlib.metrics.compare_with_published`; ours are averaged as published (errors
        of single utterances), and stand with both definitions of the lines.
    """
    averaged = summarise_ablation(errors, column="error_per_utterance")
    table = compare_with_published(averaged, data=data, table=5, methods=methods)
    ours = table["source"] == "ours"
    note = f"{AVERAGED}; intervals over identities and seeds"
    return table.assign(note=table["note"].where(~ours, note))


def mean_rows(summary, *, group="all", definition="corrected", measure="are_mean"):
    """Rows of a summary that are about one figure, methods in their order.

    Parameters
    ----------
    summary : DataFrame
        From `v2mlib.fitting.ablation_tables.summarise_ablation`.
    group : {"all", "m", "f"}
        Whose errors.
    definition : {"corrected", "published"}
        Of the lines.
    measure : str
        Which line, after "are_".

    Returns
    -------
    DataFrame
        A row per method.
    """
    wanted = {"group": group, "definition": definition, "measure": measure}
    chosen = (summary[list(wanted)] == pd.Series(wanted)).all(axis=1)
    return summary[chosen].reset_index(drop=True)


def run_means(errors, *, definition="corrected", line="mean", column="error"):
    """Mean error of every run over the identities.

    Parameters
    ----------
    errors : DataFrame
        From `v2mlib.fitting.ablation.run_ablation`.
    definition : {"corrected", "published"}
        Of the lines.
    line : str
        Which.
    column : {"error", "error_per_utterance"}
        Which error.

    Returns
    -------
    DataFrame
        ``method``, ``seed``, ``error``; without what was not trained.
    """
    rows = errors[(errors["definition"] == definition) & (errors["line"] == line)]
    rows = rows[rows["seed"] != NO_SEED]
    means = rows.groupby(["method", "seed"], sort=False)[column].mean()
    return means.rename("error").reset_index()


def _put_figure(put, errors, summary, data):
    from v2mlib.plot_pictures import draw

    figure = forest_of_methods(
        mean_rows(summary),
        run_means(errors),
        axis="mean absolute ratio error, four corrected lines",
        title=f"{data}\n95 % intervals over identities and seeds",
    )
    for kind, options in (("png", {}), ("svg", {"metadata": {"Date": None}})):
        sheet = draw(figure, scale=2)
        put(f"methods.{kind}", lambda p, s=sheet, k=kind, o=options: s.savefig(p, format=k, **o))


def ablation_text(summary, tests, *, data):
    """An ablation for a terminal.

    Parameters
    ----------
    summary, tests : DataFrame
        From `summarise_ablation` and `methods_differ`; the latter may be empty.
    data : str
        What was trained and judged on, in words.

    Returns
    -------
    str
        A line per method, and one per test with its null.
    """
    lines = [["method", "ARE [95 %]", "change (%) [95 %]", "sd over seeds"]]
    for row in mean_rows(summary).itertuples():
        error = f"{row.error:.4f} [{row.error_ci_low:.4f},{row.error_ci_high:.4f}]"
        change = (
            f"{row.change_percent:+.1f} [{row.change_percent_ci_low:+.1f},"
            f"{row.change_percent_ci_high:+.1f}]"
        )
        spread = f"{row.seed_sd:.5f}" if row.seed_sd == row.seed_sd else ""
        lines.append([WORDS.get(row.method, row.method), error, change, spread])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    n = summary["n_identities"].max()
    text = [f"{data}; {n} identities; mean absolute ratio error over four corrected lines"]
    text += [body[0], "-" * max(map(len, body)), *body[1:]]
    for row in tests.itertuples():
        if row.p_value == row.p_value:
            text += [
                f"null: {NULLS[row.unit]}",
                f"  p = {row.p_value:.4f} ({row.n_blocks} blocks; methods range over "
                f"{row.range:.5f}, by chance {row.range_by_chance:.5f})",
            ]
    return "\n".join(text)
