"""The tidy table and its summary: by hand, by scipy, by simulation; refusals."""

import numpy as np
import pandas as pd
import pytest
import torch

from v2mlib import metrics
from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import load_face_model
from v2mlib.metrics.face_rows import FaceRows
from v2mlib.metrics.published_tables import lay_out
from v2mlib.metrics.scoring import score_methods
from v2mlib.metrics.skill import skill_table

N = 24
CHEAP = ("are", "nme", "lines", "vertex")


@pytest.fixture(scope="module")
def model():
    return load_face_model("phantom")


@pytest.fixture(scope="module")
def world(model):
    """References, two methods with three utterances each, and what frames them."""
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(N, model.n_shape))
    sex = np.where(np.arange(N) % 2, "f", "m")
    identities = np.array([f"id{i:05d}" for i in range(N)])
    part = rng.normal(size=(N, model.n_shape))
    predictions = {
        "mean_face": 0 * reference,
        "sex_mean_face": 0.2 * reference + 0.1 * part,
        "ours": 0.5 * reference[:, None] + 0.3 * rng.normal(size=(N, 3, model.n_shape)),
        "ceiling": 0.8 * reference + 0.2 * part,
    }
    return reference, predictions, identities, sex


@pytest.fixture(scope="module")
def table(world, model):
    reference, predictions, identities, sex = world
    return metrics.evaluate(predictions, reference, model, identities=identities, sex=sex)


def pick(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    return table


# --- evaluate ------------------------------------------------------------------------------------


def test_table_is_tidy(table, world):
    assert list(table) == [
        "identity", "sex", "method", "measure", "definition", "error", "error_per_utterance",
    ]  # fmt: skip
    assert not table.duplicated(["identity", "method", "measure", "definition"]).any()
    assert (table.groupby(["method", "measure", "definition"]).size() == N).all()
    assert set(table["sex"]) == {"m", "f"}
    kinds = table.groupby("measure")["definition"].unique().map(set)
    assert kinds["are_ear"] == {"corrected", "published"}
    assert kinds["nme"] == {"mean", "published", "mean_aligned", "published_aligned"}
    assert kinds["menton_sellion_mm"] == {"corrected"}
    assert kinds["vertex_rmse_mm"] == {"as predicted", "aligned"}
    assert np.isfinite(table["error"]).all()


def test_every_error_is_that_of_the_metric_itself(table, world, model):
    """Face by face and utterance by utterance, through the public metrics."""
    reference, predictions, identities, _ = world
    truth = model.decode(torch.tensor(reference, dtype=torch.float32))
    utterances = torch.tensor(predictions["ours"], dtype=torch.float32)

    def measured(faces, who):
        are = metrics.absolute_ratio_error(faces, truth[who], model, "published")
        return {
            ("are_cheek", "published"): are["cheek"],
            ("nme", "published_aligned"): metrics.normalised_mean_error(
                faces, truth[who], model, "published", align=True
            ),
            ("nose_width_mm", "corrected"): metrics.line_length_error(faces, truth[who], model)[
                "nose_width"
            ],
            ("vertex_rmse_mm", "aligned"): metrics.vertex_rmse(
                faces, truth[who], model, align=True
            ),
        }

    for who in (0, 7, N - 1):
        averaged = measured(model.decode(utterances[who].mean(0)), who)
        each = [measured(model.decode(utterances[who, k]), who) for k in range(3)]
        for (measure, definition), value in averaged.items():
            row = pick(table, method="ours", measure=measure, definition=definition)
            row = row.set_index("identity").loc[identities[who]]
            expected = np.mean([float(errors[measure, definition]) for errors in each])
            assert row["error"] == pytest.approx(float(value), rel=2e-4, abs=2e-6)
            assert row["error_per_utterance"] == pytest.approx(expected, rel=2e-4, abs=2e-6)
            assert row["error"] != row["error_per_utterance"]


def test_every_form_of_prediction_gives_the_same_table(world, model):
    reference, predictions, identities, sex = world
    coefficients = predictions["ours"]
    flat = coefficients.reshape(-1, model.n_shape)
    rows = pd.DataFrame(flat, index=np.repeat(identities, 3))
    vertices = model.decode(torch.tensor(coefficients, dtype=torch.float32))
    forms = {
        "array": coefficients,
        "tensor": torch.tensor(coefficients),
        "frame": rows.sample(frac=1, random_state=0),
        "rows": FaceRows(rows.index.to_numpy()[::-1], flat[::-1]),
        "vertices": vertices.numpy(),
    }
    options = {"identities": identities, "sex": sex, "measures": ("are", "vertex")}
    table = metrics.evaluate(forms, reference, model, **options)
    # Vertices are float32: an average of faces rounds otherwise than one of coefficients.
    for columns in ("error", "error_per_utterance"):
        wide = table.pivot(index=["identity", "measure", "definition"], columns="method",
                           values=columns)  # fmt: skip
        for form in forms:
            assert wide[form].to_numpy() == pytest.approx(wide["array"].to_numpy(), abs=2e-5)
    alone = metrics.evaluate(coefficients, reference, model, **options)
    assert set(alone["method"]) == {"predicted"}
    assert (alone["error"].to_numpy() == pick(table, method="array")["error"].to_numpy()).all()
    frame = pd.DataFrame(reference, index=identities)
    shuffled = frame.sample(frac=1, random_state=1)
    by_name = metrics.evaluate(
        {"ours": rows}, shuffled, model, sex=pd.Series(sex, identities), measures="are"
    )
    both = [
        t[t["method"].isin(["ours", "array"]) & (t["measure"] == "are_mean")]
        .sort_values(["definition", "identity"])["error"].to_numpy()
        for t in (by_name, table)
    ]  # fmt: skip
    assert both[0] == pytest.approx(both[1], abs=1e-6)


def test_a_ragged_number_of_utterances(world, model):
    reference, predictions, identities, _ = world
    rows = pd.DataFrame(predictions["ours"][:, 0], index=identities)
    extra = pd.DataFrame(predictions["ours"][[4], 1], index=identities[[4]])
    truth = pd.DataFrame(reference, index=identities)
    found = metrics.evaluate({"ours": pd.concat([rows, extra])}, truth, model, measures="nme")
    found = pick(found, definition="mean").set_index("identity")
    differs = found["error"] != found["error_per_utterance"]
    assert list(found.index[differs]) == [identities[4]]
    assert found["sex"].isna().all()


def test_scores_of_worlds_and_this_table_agree(table, world, model):
    from types import SimpleNamespace

    reference, predictions, identities, sex = world
    people = pd.DataFrame({"identity": identities, "sex": sex, "split": "test"})
    made = SimpleNamespace(identities=people, reference_coefficients=reference)
    rows = pd.DataFrame(
        predictions["ours"].reshape(-1, model.n_shape), index=np.repeat(identities, 3)
    )
    scores = score_methods(made, predictions | {"ours": rows}, model=model)
    for old, measure, definition in (
        ("mean", "are_mean", "corrected"),
        ("published_ear", "are_ear", "published"),
        ("vertex_rmse_mm", "vertex_rmse_mm", "as predicted"),
    ):
        one = scores[scores["measure"] == old].set_index(["method", "identity"])
        two = pick(table, measure=measure, definition=definition).set_index(["method", "identity"])
        for column in ("error", "error_per_utterance"):
            assert two.loc[one.index, column].to_numpy() == pytest.approx(
                one[column].to_numpy(), rel=1e-3, abs=1e-5
            )
    # ... and so do their summaries: one draw of identities serves both.
    skills = skill_table(scores, n_resamples=500).set_index(["method", "measure"])
    summary = metrics.summarise(table, ceiling="ceiling", n_resamples=500)
    mean = pick(summary, group="all", measure="are_mean", definition="corrected")
    for _, row in mean.iterrows():
        known = skills.loc[(row["method"], "mean")]
        for name in ("error", "error_ci_low", "skill", "skill_ci_high", "within_sex_skill_ci_low"):
            assert row[name] == pytest.approx(known[name], abs=2e-3)


def test_one_name_may_stand_alone_and_twice_is_once(world, model):
    reference, predictions, *_ = world
    alone = {"measures": "rmse", "regions": "nose", "directions": "reference_to_predicted"}
    several = {name: [value, value] for name, value in alone.items()}
    few = {"ours": predictions["ours"][:2]}
    tables = [metrics.evaluate(few, reference[:2], model, **o) for o in (alone, several)]
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) == 2


def test_registered_errors_have_a_row_per_region(world, model):
    reference, predictions, identities, _ = world
    few = {name: faces[:2] for name, faces in predictions.items() if name != "ceiling"}
    table = metrics.evaluate(
        few, reference[:2], model, identities=identities[:2], measures="rmse",
        regions=("nose", "mouth"), directions=("predicted_to_reference", "both"),
    )  # fmt: skip
    assert set(table["measure"]) == {"rmse_nose_mm", "rmse_mouth_mm"}
    assert set(table["definition"]) == {"predicted_to_reference", "both"}
    assert len(table) == 3 * 2 * 2 * 2
    faces = [
        model.decode(torch.tensor(c, dtype=torch.float32))
        for c in (predictions["ours"][1], reference[1])
    ]
    each = metrics.point_to_plane_rmse(*faces, model, "nose")
    row = pick(table, method="ours", measure="rmse_nose_mm", definition="predicted_to_reference")
    row = row.set_index("identity").loc[identities[1]]
    assert row["error_per_utterance"] == pytest.approx(float(each.mean()), rel=1e-4)


def test_bad_input_is_refused_with_both_counts(world, model):
    reference, predictions, identities, _ = world
    ours = predictions["ours"]
    truth = pd.DataFrame(reference, index=identities)

    def refuse(error, match, given, references=truth, **options):
        with pytest.raises(error, match=match):
            metrics.evaluate(given, references, model, measures="are", **options)

    refuse(InputError, "predictions are empty", {})
    refuse(ShapeError, r"of short have 23 rows for 24 identities", {"short": ours[:-1]})
    refuse(ShapeError, r"shape \(24, 39\); face model .* shape=40", {"cut": reference[:, :39]})
    other = np.zeros((N, 9409, 3), np.float32)
    refuse(ShapeError, r"of ict have 9409 vertices, face model .* has 14377", {"ict": other})
    broken = ours.copy()
    broken[3, 1, 5] = np.nan
    refuse(InputError, r"of broken hold NaN or infinity in 1 of 72 rows \(id00003\)",
           {"broken": broken})  # fmt: skip
    strangers = pd.DataFrame(reference[:3], index=["id00000", "id90000", "id90001"])
    refuse(InputError, r"hold 2 identities without a reference among 24 \(id90000, id90001\)",
           {"strangers": strangers})  # fmt: skip
    some = pd.DataFrame(reference[:20], index=identities[:20])
    refuse(InputError, r"of some lack 4 of 24 identities \(id00020, id00021, id00022 and 1 more\)",
           {"some": some})  # fmt: skip
    twice = pd.concat([truth, truth.iloc[[5]]])
    refuse(InputError, r"references name 24 identities in 25 rows .*id00005", {"ours": ours}, twice)
    refuse(InputError, r"references name 23 identities in 24 rows", {"ours": ours}, reference,
           identities=[*identities[:-1], "id00000"])  # fmt: skip
    refuse(InputError, "identities are given twice", {"ours": ours}, identities=identities)
    refuse(InputError, "sex holds {'man'}", {"ours": ours}, sex=["man"] * N)
    refuse(InputError, "sex has 3 entries for 24", {"ours": ours}, sex=["m"] * 3)
    named = truth.add_prefix("shape_").sort_index(axis=1)
    refuse(InputError, "of sorted have column shape_10 after shape_1:", {"sorted": named})
    words = np.full((N, model.n_shape), "a")
    refuse(InputError, "not numbers", {"words": words})
    flat = np.zeros((N, model.n_vertices, 3), np.float32)
    refuse(InputError, r"of flat are shrunk to a point in 24 of 24 rows", {"flat": flat})
    raw = np.where(np.arange(N)[:, None] == 2, 1e5, 1.0) * reference
    refuse(InputError, r"of raw measure .* standard deviations .* 1 of 24 rows \(id00002\): stand",
           {"raw": raw})  # fmt: skip
    for scale, found in ((0.1, "0.1"), (1000, r"1e\+03")):
        other = np.tile(scale * model.mean.numpy(), (N, 1, 1))
        refuse(InputError, rf"measure {found} times the size .* give vertices in mm", {"a": other})
    with pytest.raises(InputError, match=r"measures \('icp',\) are unknown"):
        metrics.evaluate({"ours": ours}, truth, model, measures="icp")


def test_faces_that_cannot_be_registered_are_all_named(world, model):
    reference, _, identities, _ = world
    truth = model.decode(torch.tensor(reference[:4], dtype=torch.float32)).numpy()
    huge = truth.copy()
    huge[[1, 3]] *= 4
    options = {"identities": identities[:4], "measures": "rmse"}
    with pytest.raises(InputError, match=r"fails for 2 of 8 faces \(huge of id00001: keeps \d+ of "
                       r"1017 correspond.*huge of id00003: .*leave these"):  # fmt: skip
        metrics.evaluate({"ok": truth, "huge": huge}, truth, model, regions=["nose"], **options)
    with pytest.raises(InputError, match=r"has no region 'chin': it has: left_eye.*cheek, whole$"):
        metrics.evaluate({"ok": truth}, truth, model, regions=["nose", "chin"], **options)
    with pytest.raises(InputError, match="direction 'up' is unknown: choose from predicted_to"):
        metrics.evaluate({"ok": truth}, truth, model, directions=["up"], **options)


def test_a_face_without_ears_is_not_asked_for_ears(real_data):
    (path,) = (real_data / "surrey_sfm_noncommercial").glob("*.npz")
    surrey = load_face_model(path)
    truth = np.random.default_rng(0).normal(size=(3, surrey.n_shape))
    with pytest.raises(InputError, match=r"no corrected ear line: .*measure the other lines"):
        metrics.evaluate({"mean_face": 0 * truth}, truth, surrey)
    with pytest.raises(InputError, match="has no vertex for landmarks"):
        metrics.evaluate({"mean_face": 0 * truth}, truth, surrey, measures="nme")
    found = metrics.evaluate({"mean_face": 0 * truth}, truth, surrey, measures=("lines", "vertex"))
    assert (found["error"] > 0).all()
    assert "ear_mm" not in set(found["measure"])


# --- published figures ---------------------------------------------------------------------------


def test_published_figures_average_as_printed_but_for_the_noted_slips():
    figures = metrics.published()
    assert figures.groupby("table").size().to_dict() == {1: 15, 2: 3, 3: 3, 4: 18, 5: 40}
    assert not figures.duplicated(["table", "measure", "method"]).any()
    assert (figures[["data", "definition", "unit"]] != "").all(axis=None)
    ratios = figures[figures["measure"].str.startswith("are_")]
    slips = set()
    for (table, method), block in ratios.groupby(["table", "method"]):
        values = block.set_index("measure")["value"]
        if abs(values.drop("are_mean").mean() - values["are_mean"]) > 0.51e-4:
            slips.add((table, method))
            assert "average to" in block.set_index("measure").loc["are_mean", "note"]
    assert slips == {(5, "rkd"), (5, "crd")}
    printed = figures.dropna(subset=["change_percent"])
    assert len(printed) == 6
    for row in printed.itertuples():
        base = figures[(figures["table"] == row.table) & (figures["measure"] == row.measure)]
        base = base.set_index("method").loc["baseline", "value"]
        slip = abs(100 * (row.value / base - 1) - row.change_percent) > 0.051
        assert slip == ((row.table, row.method) == (1, "supervised"))
    # Table 5's chosen method is Table 1's unsupervised model.
    five, one = (figures[figures["table"] == k].set_index(["method", "measure"])["value"]
                 for k in (5, 1))  # fmt: skip
    for line in ("ear", "forehead", "midline", "cheek", "mean"):
        assert five["pkt", f"are_{line}"] == one["unsupervised", f"are_{line}"]
    with pytest.raises(InputError, match="table 6 has no figures"):
        metrics.published(6)


def test_no_figure_stands_without_its_labels(table):
    summary = metrics.summarise(table, baseline="mean_face")
    both = metrics.compare_with_published(summary, data="made up", table=(1, 2))
    assert both[["data", "definition", "method", "source"]].notna().all(axis=None)
    ours = both[both["source"] == "ours"]
    assert set(ours["data"]) == {"made up"}
    assert set(both.loc[both["measure"] == "nme", "definition"]) >= {"mean", "published"}
    shown = lay_out(both)
    assert shown.columns.names == ["data", "definition", "method"]
    assert shown.index.names == ["table", "measure"]
    known = summary.set_index(["group", "method", "measure", "definition"])
    row = known.loc[("all", "ours", "are_ear", "published")]
    text = shown.loc[(1, "are_ear"), ("made up", "published", "ours")]
    low, high = row["error_ci_low"], row["error_ci_high"]
    change = f"({row['change_percent']:+.1f} %)"
    assert text == f"{row['error']:.4f} [{low:.4f}, {high:.4f}] {change}"
    mean = shown.loc[(1, "are_mean")]
    printed = [text for text in mean if text and "[" not in text]
    assert printed == ["0.0302", "0.0245 (-18.8 %)", "0.0254 (-15.9 %)"]
    with pytest.raises(InputError, match="data is empty"):
        metrics.compare_with_published(summary, data=" ")
    with pytest.raises(InputError, match="summary has none of the measures rmse_whole"):
        metrics.compare_with_published(summary, data="made up", table=3)
