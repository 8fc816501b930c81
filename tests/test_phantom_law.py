"""The population's law: what is stated is realised, in every world, without any audio."""

import numpy as np
import pytest
import torch

from v2mlib.checks import InputError
from v2mlib.faces import MorphableModel
from v2mlib.faces.lines import RATIO_LINES, line_jacobian, line_lengths, line_ratios
from v2mlib.phantom import Population, build_law, ceiling
from v2mlib.phantom.law_table import realised_link
from v2mlib.phantom.lines import line_frame
from v2mlib.phantom.names import TEST_INITIALS

N = 20_000
SE = np.sqrt(4 * 0.5 * 0.5**2 / N)  # of an R^2 of .5


@pytest.fixture(scope="module")
def people():
    """One large population per world, same seed."""
    return {world: Population(N, seed=3, world=world) for world in ("default", "sex_only", "null")}


def toy_model(n_shape=12, sex_direction=None):
    """A face of 80 random vertices with named lines, for laws on foreign models."""
    rng = np.random.default_rng(5)
    mean = rng.normal(size=(80, 3)) * 60
    names = ("outer_interocular", *RATIO_LINES, "menton_sellion", "bizygomatic")
    lines = {name: (2 * i, 2 * i + 1) for i, name in enumerate(names)}
    return MorphableModel(
        mean=mean,
        shape_basis=rng.normal(size=(80, 3, n_shape)),
        expression_basis=rng.normal(size=(80, 3, 2)),
        shape_std=rng.uniform(0.5, 2, n_shape),
        expression_std=np.ones(2),
        triangles=np.arange(78).reshape(26, 3),
        landmarks=np.arange(68),
        lines=lines,
        topology="toy",
        name="toy",
        extras={} if sex_direction is None else {"sex_direction": sex_direction},
    )


def within(values, sex):
    """Centre columns within each sex."""
    values = np.asarray(values, dtype=float)
    male = np.asarray(sex) > 0
    return values - np.where(male[:, None], values[male].mean(0), values[~male].mean(0))


def signs(population):
    return np.where(population.identities["sex"] == "m", 1.0, -1.0)


def latents(population):
    return population.voices.filter(regex="^z_(?!stature)").to_numpy()


@pytest.mark.parametrize("name", ["phantom", "toy"])
def test_line_frame_agrees_with_decoded_faces(name):
    from v2mlib.faces import load_face_model

    model = load_face_model("phantom") if name == "phantom" else toy_model()
    frame = line_frame(model)
    coefficients = torch.randn(5, model.n_shape, generator=torch.Generator().manual_seed(0))
    vertices = model.decode(coefficients)
    lengths, ratios = line_lengths(vertices, model), line_ratios(vertices, model)
    expected = torch.stack([lengths[line] for line in frame.names], -1)
    np.testing.assert_allclose(frame.lengths(coefficients), expected, atol=1e-3)
    expected = torch.stack([ratios[line] for line in RATIO_LINES], -1)
    np.testing.assert_allclose(frame.ratios(coefficients), expected, atol=1e-5)
    np.testing.assert_allclose(frame.ratio_jacobian(), line_jacobian(model, ratio=True), atol=1e-6)


def test_stated_shares_and_differences_are_realised(people):
    population = people["default"]
    sex, voice = signs(population), latents(population)
    ratios = population.law.frame.ratios(population.shape_coefficients)
    r_squared, d = realised_link(sex, voice, ratios)
    # .012: what the lines' curvature takes from the linearised .5
    np.testing.assert_allclose(r_squared, 0.5, atol=4 * SE + 0.012)
    np.testing.assert_allclose(d, 1.4, atol=4 * np.sqrt(4 / N + 1.4**2 / (2 * N)) + 0.02)
    table = population.law.table.set_index(["quantity", "line"])
    stated = table.loc["ratio"].loc[list(RATIO_LINES)]
    np.testing.assert_allclose(stated["r_squared"], 0.5, atol=1e-9)
    np.testing.assert_allclose(stated["d"], 1.4, atol=1e-9)
    assert not table.loc["length"]["stated"].any()


def test_linearised_shares_are_exact(people):
    law = people["default"].law
    whitened = law.frame.ratio_jacobian() @ law.within_root
    explained = ((whitened @ law.voice_link) ** 2).sum(1) / (whitened**2).sum(1)
    np.testing.assert_allclose(explained, 0.5, atol=1e-12)


def test_within_sex_covariance_is_the_faces_own_whatever_the_link(people):
    direction = people["default"].face_model.extras["sex_direction"].double().numpy()
    expected = np.eye(len(direction)) - np.outer(direction, direction)
    for population in people.values():
        scatter = within(population.shape_coefficients, signs(population))
        np.testing.assert_allclose(scatter.T @ scatter / N, expected, atol=0.05)


def test_sex_only_world_cuts_the_link_and_keeps_the_sexes(people):
    population = people["sex_only"]
    ratios = population.law.frame.ratios(population.shape_coefficients)
    r_squared, d = realised_link(signs(population), latents(population), ratios)
    assert (r_squared < 20 / N).all()  # 4 predictors: 4 / N expected
    np.testing.assert_allclose(d, 1.4, atol=0.08)
    assert (population.voices["voice_sex"] == population.identities["sex"]).all()
    assert population.voices.groupby("voice_sex")["pitch_hz"].median()["m"] < 130


def test_null_world_deals_voices_at_random(people):
    population = people["null"]
    sex, voice_sex = signs(population), np.where(population.voices["voice_sex"] == "m", 1, -1)
    assert abs(np.mean(sex * voice_sex)) < 4 / np.sqrt(N)
    assert voice_sex.sum() == 0
    ratios = population.law.frame.ratios(population.shape_coefficients)
    heard = np.column_stack([voice_sex, latents(population), population.voices["pitch_hz"]])
    correlations = np.corrcoef(np.column_stack([heard, ratios]).T)[:6, 6:]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(N)
    np.testing.assert_allclose(
        realised_link(sex, latents(population), ratios)[1], 1.4, atol=0.08
    )  # the faces keep their sexes
    assert not population.conditional_mean().any()


def test_worlds_of_one_seed_share_all_but_the_link(people):
    default, cut = people["default"], people["sex_only"]
    assert default.identities.equals(cut.identities)
    assert default.voices.drop(columns=["z_stature", "stature_mm"]).equals(
        cut.voices.drop(columns=["z_stature", "stature_mm"])
    )
    alike = np.corrcoef(default.shape_coefficients.ravel(), cut.shape_coefficients.ravel())[0, 1]
    assert 0.8 < alike < 1.0


@pytest.mark.parametrize("world", ["default", "sex_only"])
def test_conditional_mean_is_the_best_linear_predictor(people, world):
    population = people[world]
    known = np.column_stack([signs(population), latents(population)])
    fitted = np.linalg.lstsq(known, population.shape_coefficients, rcond=None)[0]
    exact = np.linalg.lstsq(known, population.conditional_mean(), rcond=None)[0]
    np.testing.assert_allclose(fitted, exact, atol=5 / np.sqrt(N))
    residual = population.shape_coefficients - population.conditional_mean()
    assert np.abs(np.corrcoef(np.column_stack([known, residual]).T)[:5, 5:]).max() < 5 / np.sqrt(N)


@pytest.mark.parametrize("coupling", [0.0, 0.5, 1.0])
def test_coupling_scales_explained_shares_by_its_square(coupling):
    law = build_law(toy_model(), coupling=coupling)
    table = law.table.query("quantity == 'ratio'")
    np.testing.assert_allclose(table["r_squared"], 0.5 * coupling**2, atol=1e-12)
    np.testing.assert_allclose(table["r_squared_stated"], 0.5 * coupling**2, atol=1e-12)


def test_law_serves_a_foreign_face_without_sex_direction():
    law = build_law(toy_model())
    assert not law.natural_half_difference.any()
    table = law.table.query("quantity == 'ratio'")
    np.testing.assert_allclose(table[["d", "r_squared"]], [[1.4, 0.5]] * 4, atol=1e-9)


def test_published_law_is_far_weaker_and_runs_through_stature(people):
    law = build_law(people["default"].face_model, "published")
    table = law.table.set_index(["quantity", "line"])
    assert table["r_squared"].max() < 0.02
    stated = {"menton_sellion": 0.30, "bizygomatic": 0.16, "outer_interocular": 0.19}
    for line, r in stated.items():
        # stature explains the line; the voice explains stature by .3 and -.1
        np.testing.assert_allclose(
            table.loc[("length", line), "r_vocal_tract_length"], r * 0.30, atol=1e-9
        )
        np.testing.assert_allclose(table.loc[("length", line), "r_pitch"], -r * 0.10, atol=1e-9)
    np.testing.assert_array_equal(law.half_difference, law.natural_half_difference)
    population = Population(4_000, law="published", seed=1)
    stature = population.voices["z_stature"].to_numpy()
    lines = dict(zip(law.frame.names, law.frame.lengths(population.shape_coefficients).T,
                     strict=True))  # fmt: skip
    for line, r in stated.items():
        pair = within(np.column_stack([stature, lines[line]]), signs(population))
        assert np.corrcoef(pair.T)[0, 1] == pytest.approx(r, abs=4.5 / np.sqrt(4_000))


def test_identities_split_by_name_and_balance_the_sexes():
    people = Population(960, seed=0)
    table = people.identities
    is_test = table["name"].str[0].isin(list(TEST_INITIALS))
    assert (is_test == (table["split"] == "test")).all()
    assert table["split"].value_counts().to_dict() == {"test": 480, "train": 408, "validation": 72}
    assert (table.groupby(["split", "sex"]).size().unstack().nunique(axis=1) == 1).all()
    assert table["name"].is_unique
    assert table["name"].is_monotonic_increasing
    assert table["identity"].iloc[[0, -1]].tolist() == ["id00001", "id00960"]


def test_sexes_differ_in_voice_as_the_table_says(people):
    by_sex = people["default"].voices.groupby("voice_sex").median(numeric_only=True)
    np.testing.assert_allclose(by_sex["pitch_hz"], [210, 120], rtol=0.01)
    np.testing.assert_allclose(by_sex["vocal_tract_length_mm"], [145, 170], rtol=0.01)
    np.testing.assert_allclose(by_sex["stature_mm"], [1628.5, 1756.2], rtol=0.01)


def test_ceiling_agrees_with_closed_form_and_orders_the_methods(people):
    found = ceiling(people["default"], n_people=N, n_utterances=3)
    errors = found.errors.set_index(["measure", "method"])
    ratios = errors.loc[[*RATIO_LINES, "mean", "linked_squared_error"]]
    gap = (ratios["error"] - ratios["closed_form"]).abs()
    assert (gap < 4 * ratios["se"] + 0.015 * ratios["error"]).all()
    table = errors["error"].unstack()
    assert (table["ceiling"] < table["listener"]).all()  # session noise costs something
    assert (table["listener"] < table["sex_mean_face"]).all()
    assert (table["sex_mean_face"] < table["mean_face"]).all()
    assert {"published_mean", "landmark_mm", "vertex_rmse_mm"} <= set(table.index)
    # Halving the variance divides an absolute error by sqrt(2).
    assert table.loc["mean", "ceiling"] / table.loc["mean", "sex_mean_face"] == pytest.approx(
        np.sqrt(0.5), abs=0.01
    )
    shares = found.r_squared.query("quantity == 'ratio'")["r_squared"]
    np.testing.assert_allclose(shares, 0.5, atol=4 * SE + 0.012)


def test_ceiling_on_identities_is_that_of_their_decoded_faces():
    population = Population(40, seed=2)
    found = ceiling(population, identities="test").errors.set_index(["method", "measure"])
    rows = np.flatnonzero(population.identities["split"] == "test")
    model = population.face_model
    truth = model.decode(population.shape_coefficients[rows])
    guess = model.decode(population.conditional_mean()[rows])
    distance = torch.linalg.vector_norm(truth - guess, dim=-1)
    expected = {
        "vertex_rmse_mm": (distance**2).mean(1).sqrt().mean(),
        "landmark_mm": distance[:, model.landmarks].mean(),
    }
    for measure, value in expected.items():
        assert found.loc[("ceiling", measure), "error"] == pytest.approx(float(value), rel=1e-4)


def test_ceiling_is_the_baseline_where_the_voice_tells_no_more(people):
    for world, same in (("null", "mean_face"), ("sex_only", "sex_mean_face")):
        errors = ceiling(people[world], n_people=2_000, n_utterances=1).errors
        for value in ("error", "closed_form"):
            table = errors.pivot(index="measure", columns="method", values=value)
            np.testing.assert_allclose(table["ceiling"], table[same])
            np.testing.assert_allclose(table["listener"], table[same])


def test_features_without_audio_carry_session_noise():
    population = Population(2_000, seed=4)
    exact = population.latents_as_features(0)[:, 0]
    heard = population.latents_as_features(4)
    assert heard.shape == (2_000, 4, 5)
    np.testing.assert_array_equal(exact[:, :4], latents(population))
    noise = (heard - exact[:, None])[..., :4].reshape(-1, 4).std(0)
    np.testing.assert_allclose(noise, [0.05 / 0.14, 0.01 / 0.045, 0.5, 0.5], rtol=0.05)
    np.testing.assert_array_equal(heard[:, 0, 4], signs(population))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coupling": 1.5}, "coupling 1.5 is not possible: choose a number from 0 to 1"),
        ({"world": "nul"}, "world 'nul' is not possible: choose one of default, sex_only, null"),
        ({"law": "true"}, "law 'true' is not possible: choose one of teaching, published"),
        ({"seed": -1}, "seed=-1 is negative"),
        ({"n_test": 20}, "n_test=20 is not possible"),
        ({"face_model": "nobody"}, "face model 'nobody'"),
    ],
)
def test_impossible_populations_are_refused(arguments, message):
    with pytest.raises(InputError, match=f"^{message.replace('.', '[.]')}"):
        Population(20, **arguments)


def test_unfit_faces_are_refused():
    with pytest.raises(InputError, match="must be shorter than 1"):
        build_law(toy_model(sex_direction=np.ones(12)))
    earless = toy_model()
    del earless.lines["ear"]
    with pytest.raises(InputError, match="has no corrected line ear"):
        build_law(earless)
    with pytest.raises(InputError, match="identity 'id00999' is not in this population"):
        Population(10).row("id00999")


def test_same_arguments_same_people():
    one, two = Population(50, seed=9), Population(50, seed=9)
    assert one.identities.equals(two.identities)
    np.testing.assert_array_equal(one.shape_coefficients, two.shape_coefficients)
    assert not np.array_equal(one.shape_coefficients, Population(50, seed=8).shape_coefficients)
