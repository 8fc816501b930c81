"""Tables and tests of an ablation, on errors whose differences are known."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from v2mlib import ablation_output, cli, plot_ablation
from v2mlib.checks import InputError
from v2mlib.fitting.ablation import Ablation
from v2mlib.fitting.ablation_scores import NO_SEED
from v2mlib.fitting.ablation_tables import method_pairs, methods_differ, summarise_ablation

METHODS = ("vanilla", "rkd", "crd", "pkt")


LINES = ("ear", "forehead", "midline", "cheek", "mean")


def made(*, effect=0.0, seed_sd=0.001, person_sd=0.003, n=60, n_seeds=3, seed=0, lines=LINES):
    """Errors of methods that differ by `effect` from one to the next, and of the mean face."""
    rng = np.random.default_rng(seed)
    people = 0.05 + 0.01 * rng.random(n)
    whose = {"identity": [f"id{i:05d}" for i in range(n)], "sex": np.resize(["m", "f"], n)}
    blocks = []
    runs = [(m, s, k) for k, m in enumerate(METHODS) for s in range(n_seeds)]
    for method, number, place in [("mean_face", NO_SEED, 0), *runs]:
        errors = people + person_sd * rng.standard_normal(n)
        if number != NO_SEED:
            errors = errors + seed_sd * rng.standard_normal() + effect * place
        for line in lines:
            for definition in ("corrected", "published"):
                more = {"line": line, "definition": definition, "error": errors}
                more |= {"error_per_utterance": errors + 0.001}
                blocks.append(pd.DataFrame({"method": method, "seed": number, **whose, **more}))
    return pd.concat(blocks, ignore_index=True)


def wide_of(errors):
    rows = errors[(errors["line"] == "mean") & (errors["definition"] == "corrected")]
    rows = rows[rows["seed"] != NO_SEED]
    return rows.groupby(["seed", "method"])["error"].mean().unstack()[list(METHODS)]


def row_of(table, **wanted):
    found = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def test_the_f_ratio_is_that_of_an_analysis_of_variance():
    errors = made(effect=0.0005)
    run = row_of(methods_differ(errors, METHODS, n_permutations=99), unit="run")
    long = wide_of(errors).stack().rename("error").reset_index()
    table = AnovaRM(long, "error", "seed", within=["method"]).fit().anova_table
    assert run["f_ratio"] == pytest.approx(table.loc["method", "F Value"], rel=1e-9)
    assert run["n_blocks"] == 3


def test_permutations_agree_with_the_f_distribution():
    errors = made(effect=0.0006, n_seeds=6)
    run = row_of(methods_differ(errors, METHODS), unit="run")
    by_theory = stats.f.sf(run["f_ratio"], 3, 15)
    assert 0.001 < by_theory < 0.2
    assert run["p_value"] == pytest.approx(by_theory, abs=0.02)


def test_seeds_alone_are_no_difference_between_methods():
    """Networks that differ by their seed only differ on these people, but methods do not."""
    p_values = {"run": [], "identity": []}
    for world in range(25):
        found = methods_differ(
            made(seed=world, seed_sd=0.002, lines=("mean",)), METHODS, n_permutations=199
        ).set_index("unit")["p_value"]
        for unit, values in p_values.items():
            values.append(found[unit])
    run, identity = (np.array(p_values[unit]) for unit in ("run", "identity"))
    assert (run <= 0.05).sum() <= 4  # 5 and more of 25 have probability 0.007
    assert stats.kstest(run, "uniform").pvalue > 0.005
    assert (identity <= 0.05).mean() > 0.8


def test_methods_that_differ_are_told():
    found = methods_differ(made(effect=0.004, n_seeds=4), METHODS)
    run = row_of(found, unit="run")
    assert run["p_value"] < 0.01
    assert run["range"] == pytest.approx(0.012, abs=0.004)
    assert run["noise_sd"] == pytest.approx(0.001, rel=0.8)


def test_means_and_spreads_are_those_of_the_runs():
    errors = made(effect=0.001)
    wide, table = wide_of(errors), summarise_ablation(errors, n_resamples=200)
    for method in METHODS:
        row = row_of(table, group="all", measure="are_mean", definition="corrected", method=method)
        assert row["error"] == pytest.approx(wide[method].mean())
        assert row["seed_sd"] == pytest.approx(wide[method].std(ddof=1))
        assert row["error_ci_low"] < row["error"] < row["error_ci_high"]
        assert (row["n_seeds"], row["n_identities"]) == (3, 60)
    base = row_of(table, group="f", measure="are_ear", definition="published", method="mean_face")
    assert (base["n_seeds"], base["n_identities"], base["difference"]) == (0, 30, 0)
    assert np.isnan(base["seed_sd"])
    as_published = summarise_ablation(errors, n_resamples=10, column="error_per_utterance")
    gap = as_published["error"] - table["error"]
    assert gap.to_numpy() == pytest.approx(0.001)


@pytest.mark.parametrize(("seed_sd", "person_sd"), [(0.01, 1e-6), (1e-6, 0.02)])
def test_intervals_hold_both_sources_of_chance(seed_sd, person_sd):
    """Half widths average to those of the known spreads, in squares."""
    squares = []
    for world in range(25):
        errors = made(seed_sd=seed_sd, person_sd=person_sd, n=20, seed=world, lines=LINES[-1:])
        errors = errors[(errors["line"] == "mean") & (errors["definition"] == "corrected")]
        table = summarise_ablation(errors, n_resamples=200)
        pick = {"group": "all", "definition": "corrected", "method": "pkt"}
        row = row_of(table, **pick)
        squares.append((row["difference_ci_high"] - row["difference_ci_low"]) ** 2)
    # Three seeds give few distinct means, whose quantiles stop short of a normal's.
    wanted = seed_sd**2 / 3 + person_sd**2 * (1 / 3 + 1) / 20
    ratio = np.mean(squares) / (2 * 1.96) ** 2 / wanted
    assert 0.35 < ratio < 1.65


def test_pairs_are_paired_by_seed_and_corrected():
    errors = made(effect=0.001)
    wide, table = wide_of(errors), method_pairs(errors, METHODS, n_resamples=300)
    assert len(table) == 6
    for row in table.itertuples():
        expected = stats.ttest_rel(wide[row.first], wide[row.second])
        assert row.p_value == pytest.approx(expected.pvalue)
        assert row.difference == pytest.approx((wide[row.first] - wide[row.second]).mean())
        assert row.ci_low < row.difference < row.ci_high
    ordered = table.sort_values("p_value")
    by_hand = np.maximum.accumulate(ordered["p_value"] * np.arange(6, 0, -1)).clip(upper=1)
    np.testing.assert_allclose(ordered["p_value_holm"], by_hand)


def test_one_seed_tells_nothing_about_seeds():
    errors = made(n_seeds=1)
    found = methods_differ(errors, METHODS, n_permutations=99)
    assert np.isnan(row_of(found, unit="run")["p_value"])
    assert row_of(found, unit="identity")["p_value"] <= 1
    assert method_pairs(errors, METHODS, n_resamples=10)["p_value"].isna().all()
    assert summarise_ablation(errors, n_resamples=10)["seed_sd"].isna().all()


def test_gaps_are_refused():
    errors = made()
    lost = errors.drop(errors[(errors["method"] == "crd") & (errors["seed"] == 1)].index)
    with pytest.raises(InputError, match="method crd lacks seed 1"):
        methods_differ(lost, METHODS)
    with pytest.raises(InputError, match="lacks some of the seeds"):
        summarise_ablation(lost)
    with pytest.raises(InputError, match="59 of 60 identities"):
        method_pairs(errors.drop(errors[errors["method"] == "pkt"].index[:1]), METHODS, line="ear")
    with pytest.raises(InputError, match="too few to compare"):
        methods_differ(errors, ["pkt"])
    with pytest.raises(InputError, match=r"methods \['vid'\] are not in the table"):
        methods_differ(errors, ["pkt", "vid"])
    with pytest.raises(InputError, match="baseline 'cascade' is not in the table"):
        summarise_ablation(errors, baseline="cascade")


def ablation_of(errors, folder):
    runs = errors.loc[errors["seed"] != NO_SEED, ["method", "seed"]].drop_duplicates()
    return Ablation(errors, runs.assign(weight=1.0), folder)


def test_tables_stand_beside_the_published_ones(tmp_path):
    errors = made()
    written = ablation_output.write_ablation_tables(
        tmp_path, ablation_of(errors, tmp_path), METHODS, data="made up"
    )
    assert set(written["files"]) == {path.name for path in tmp_path.iterdir()}
    both = pd.read_csv(tmp_path / "published.csv")
    assert both["source"].value_counts().to_dict() == {"published": 40, "ours": 4 * 5 * 2}
    vanilla = row_of(both, source="published", method="vanilla", measure="are_mean")
    assert vanilla["value"] == 0.0298
    ours = row_of(both, source="ours", method="pkt", measure="are_mean", definition="published")
    assert ours["value"] == pytest.approx(wide_of(errors)["pkt"].mean() + 0.001)
    latex = (tmp_path / "tables.tex").read_text()
    assert latex.count("\\begin{table}") == 2
    assert "probabilistic (PKT)" in latex
    assert "identities and seeds" in latex
    assert pd.read_csv(tmp_path / "tests.csv")["null"].str.contains("another seed").sum() == 1
    text = ablation_output.ablation_text(written["summary"], written["tests"], data="made up")
    assert "mean face" in text
    assert "null: the choice of the method changes" in text


def test_the_chart_shows_intervals_runs_and_printed_figures():
    errors = made()
    rows = ablation_output.mean_rows(summarise_ablation(errors, n_resamples=50))
    runs = ablation_output.run_means(errors)
    figure = plot_ablation.forest_of_methods(
        rows, runs, axis="error", title="T", published={"pkt": 0.0254}
    )
    names = [trace.name for trace in figure.data]
    assert names == ["one run each", "trained here", "reference", "published (other data)"]
    assert list(figure.data[1].x) == pytest.approx(wide_of(errors).mean().tolist())
    assert figure.layout.yaxis.ticktext[0] == "mean face"
    with pytest.raises(InputError, match="lacks error_ci_low"):
        plot_ablation.forest_of_methods(rows.drop(columns="error_ci_low"), axis="error")


def test_the_command_runs_what_was_asked_for(tmp_path, monkeypatch, capsys):
    from v2mlib import datasets, fitting
    from v2mlib.fitting import ablation
    from v2mlib.models.image_to_face import ImageToFace

    asked = {}

    def run(world, encoder, teacher, **options):
        asked.update(options)
        return ablation_of(made(), tmp_path)

    world = SimpleNamespace(config={"world": "default", "seed": 5}, folder="w")
    pretrained = SimpleNamespace(encoder=SimpleNamespace(eval=lambda: "encoder"))
    monkeypatch.setattr(datasets, "load_data", lambda _: world)
    monkeypatch.setattr(ablation, "run_ablation", run)
    monkeypatch.setattr(fitting, "pretrain_encoder", lambda *_, **__: pretrained, raising=False)
    monkeypatch.setattr(ImageToFace, "load", classmethod(lambda *_: "teacher"))
    words = ["ablate", "--data", "w", "--out", str(tmp_path / "o"), "--json", "--seeds", "3"]
    words += ["--methods", "vanilla,rkd, crd,pkt", "--steps", "7", "--weighting", "one"]
    assert cli.main(words) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["label"] == "default phantom, seed 5, 7 joint steps"
    assert shown["methods"] == list(METHODS)
    assert [test["unit"] for test in shown["tests"]] == ["run", "identity"]
    config = asked["config"]
    assert (config.seeds, config.weighting, config.methods) == ((0, 1, 2), "one", METHODS)
    assert config.training.engine.n_steps == 7
    assert asked["spread"] is None
    assert (tmp_path / "o" / "tables.tex").exists()
