"""Reference faces: known people, photographs with planted faults, uncertainties that hold."""

import numpy as np
import pandas as pd
import pytest
import torch
from faces_made import small_model
from scipy.stats import multivariate_normal

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import load_face_model
from v2mlib.faces.lines import line_lengths, line_ratios
from v2mlib.fitting.truth import TruthConfig, line_measures, reference_faces
from v2mlib.fitting.truth_information import linearise
from v2mlib.fitting.truth_lines import line_uncertainties, measure_lines, vertex_uncertainty
from v2mlib.fitting.truth_people import (
    find_strangers,
    log_ratio_same_person,
    posterior,
    surprise,
)
from v2mlib.fitting.truth_shapes import blocks
from v2mlib.fitting.truth_views import (
    INVERSE_DISTANCE,
    Views,
    jacobians,
    landmark_bases,
    place,
    residuals,
)
from v2mlib.phantom import Population
from v2mlib.phantom.photos import Photographer
from v2mlib.stats import split_half

N_PEOPLE, N_PHOTOS, NOISE = 30, 8, 0.01


@pytest.fixture(scope="module")
def model():
    return load_face_model("phantom")


@pytest.fixture(scope="module")
def world(model):
    """True coefficients, the table of photographs, their landmarks with noise, the noise's size."""
    people = np.array(Population(N_PEOPLE, seed=11).shape_coefficients)
    camera, rng = Photographer(model, 11), np.random.default_rng(11)
    landmarks = np.array(
        [
            camera.landmarks(face, camera.plan(row, number))
            for row, face in enumerate(people)
            for number in range(N_PHOTOS)
        ]
    )
    noise = NOISE * size_of(landmarks)[:, None, None] * rng.standard_normal(landmarks.shape)
    names = [f"id{row:05}" for row in range(N_PEOPLE)]
    photos = pd.DataFrame(
        {
            "identity": np.repeat(names, N_PHOTOS),
            "photo": np.tile(np.arange(N_PHOTOS), N_PEOPLE),
        }
    )
    return people, photos, landmarks + noise


def size_of(landmarks):
    return np.sqrt((landmarks.max(1) - landmarks.min(1)).prod(-1))


def first(world, n_photos, n_people=N_PEOPLE):
    people, photos, landmarks = world
    kept = ((photos["photo"] < n_photos) & (photos.index < n_people * N_PHOTOS)).to_numpy()
    return people[:n_people], photos[kept].reset_index(drop=True), landmarks[kept].copy()


@pytest.fixture(scope="module")
def fitted(world, model):
    """Reference faces from 1, 2, 4 and 8 photographs each."""
    return {n: reference_faces(*first(world, n)[1:], model) for n in (1, 2, 4, 8)}


def z_scores(faces, people, model):
    true = measure_lines(people, model).to_numpy().ravel()
    return (faces.lines["value"] - true) / faces.lines["sd"]


def test_photographs_of_known_people_give_their_faces_back(world, fitted, model):
    people, _, _ = world
    distance = {
        n: float((model.decode(f.shape_coefficients) - model.decode(people)).norm(dim=-1).mean())
        for n, f in fitted.items()
    }
    mean_face = float((model.mean - model.decode(people)).norm(dim=-1).mean())
    assert distance[1] < 0.75 * mean_face
    assert distance[8] < 0.7 * distance[1]
    assert distance[8] < distance[4] < distance[2] < distance[1]


def test_stated_uncertainties_hold(world, fitted, model):
    people, _, _ = world
    for faces in fitted.values():
        z = z_scores(faces, people, model)
        assert 0.85 < z.std() < 1.15
        assert abs(z.mean()) < 0.15
        assert 0.92 < (z.abs() < 1.96).mean() < 0.98
        assert faces.noise_relative == pytest.approx(NOISE, rel=0.12)
    sd = [faces.lines["sd"].to_numpy() for faces in fitted.values()]
    assert (sd[3] < sd[2]).all()
    assert (sd[1] < sd[0]).mean() > 0.95  # one noise for each number of photographs
    spent = fitted[8].identities["determined"]
    assert (spent > fitted[1].identities["determined"]).all()
    assert (fitted[8].identities["shape_sd"] < fitted[1].identities["shape_sd"]).all()


def test_perspective_is_not_taken_for_shape(model):
    """Exact landmarks of a near camera: an error that more photographs would not cure."""
    people = np.array(Population(12, seed=5).shape_coefficients)
    camera = Photographer(model, 5)
    landmarks = [camera.landmarks(p, camera.plan(row, k)) for row, p in enumerate(people)
                 for k in range(4)]  # fmt: skip
    photos = pd.DataFrame({"identity": np.repeat(range(12), 4)})
    faces = reference_faces(photos, landmarks, model)
    gap = model.decode(faces.shape_coefficients) - model.decode(people)
    scale = model.decode(people) - model.mean
    assert float(gap.norm(dim=-1).mean()) < 0.25 * float(scale.norm(dim=-1).mean())
    assert faces.photos["residual_relative"].max() < 0.002
    distance_mm = 1 / faces.views.inverse_distance
    assert np.corrcoef(
        distance_mm, [camera.plan(r, k).camera.distance for r in range(12) for k in range(4)]
    )[0, 1] > 0.5  # fmt: skip


def planted(world, model, n_photos=4):
    """Faults in one photograph each of 24 people: who has which."""
    _, photos, landmarks = first(world, n_photos)
    rng, fault = np.random.default_rng(3), np.full(len(photos), "", dtype=object)
    clean, size = landmarks.copy(), size_of(landmarks)
    for place_, person in enumerate(rng.permutation(N_PEOPLE)[:24]):
        row = person * n_photos + rng.integers(n_photos)
        fault[row] = kind = ("another", "noise", "mirrored")[place_ % 3]
        if kind == "another":
            other = (person + rng.integers(1, N_PEOPLE)) % N_PEOPLE
            landmarks[row] = clean[other * n_photos + rng.integers(n_photos)]
        elif kind == "noise":
            landmarks[row] += 0.06 * size[row] * rng.standard_normal((68, 2))
        else:
            landmarks[row] *= [-1, 1]
    return photos, landmarks, fault


def test_planted_faults_are_found_and_named(world, fitted, model):
    photos, landmarks, fault = planted(world, model)
    faces = reference_faces(photos, landmarks, model)
    table = faces.photos
    assert (table["rule"][fault == "another"] == "person").all()
    assert (table["rule"][fault == "noise"] == "residual").all()
    assert table["rule"][fault == "mirrored"].isin(["unfit", "residual"]).all()
    assert (table["rule"][fault == ""] == "").all()  # no false alarm in 96
    assert (
        table["reason"][fault == "another"].str.match("probably another person: odds .* to 1").all()
    )
    assert (table["used"] == (table["reason"] == "")).all()
    assert faces.identities["usable"].all()
    assert faces.identities["n_used"].sum() == (fault == "").sum()
    people = world[0]
    theirs = faces.identities["identity"].isin(photos["identity"][fault == "another"])
    swapped = np.flatnonzero(theirs)
    gullible = reference_faces(photos, landmarks, model, config=TruthConfig(mislabelled_share=0))
    assert not (gullible.photos["rule"] == "person").any()
    error_mm = [
        (model.decode(found.shape_coefficients) - model.decode(people))[swapped].norm(dim=-1).mean()
        for found in (faces, fitted[4], gullible)
    ]
    assert error_mm[0] < 1.15 * error_mm[1]  # one photograph less
    assert error_mm[2] > 1.15 * error_mm[0]


def test_nobody_is_dropped(world, model):
    _, photos, landmarks = first(world, 3, n_people=8)
    landmarks[0:3] = np.nan  # nobody was found in id00000's
    landmarks[3] = np.nan
    landmarks[4:6] = landmarks[[9, 12]]  # id00001 keeps two, of two other people
    landmarks[6, 10:50] = np.nan
    faces = reference_faces(photos, landmarks, model)
    people, table = faces.identities.set_index("identity"), faces.photos
    assert list(people.index) == list(dict.fromkeys(photos["identity"]))
    assert people["n_photos"].tolist() == [3] * 8
    assert people.loc["id00000", "reason"] == "all photographs rejected: 3 by landmarks"
    assert not people.loc["id00001", "usable"]
    assert "1 by person" in people.loc["id00001", "reason"]
    assert "1 by majority" in people.loc["id00001", "reason"]
    assert table.loc[0, "reason"] == "no face was found"
    assert table.loc[6, "reason"] == "28 landmarks, fewer than 40"
    assert np.isnan(faces.shape_coefficients[:2]).all()
    assert np.isfinite(faces.shape_coefficients[2:]).all()
    assert set(faces.lines["identity"]) == set(people.index[2:])
    assert (people["reason"] == "").tolist() == people["usable"].tolist()


def test_photographs_that_look_wrong_are_rejected_at_sight(world, model):
    _, photos, landmarks = first(world, 3, n_people=6)
    photos["sharpness"] = 0.3
    photos.loc[2, "sharpness"] = 0.02
    small = landmarks[4].mean(0)
    landmarks[4] = small + (landmarks[4] - small) * 0.3
    config = TruthConfig(max_yaw_deg=12)
    faces = reference_faces(photos, landmarks, model, config=config)
    table = faces.photos
    assert table.loc[2, ["rule", "reason"]].tolist() == ["blur", "sharpness 0.02, less than 0.09"]
    assert table.loc[4, "rule"] == "size"
    assert "pixels, less than 40" in table.loc[4, "reason"]
    turned = table[table["rule"] == "yaw"]
    assert len(turned)
    assert (turned["yaw_deg"].abs() > 12).all()
    assert (table.loc[table["used"], "yaw_deg"].abs() <= 12).all()
    assert list(table.columns[:3]) == ["identity", "photo", "sharpness"]


def test_yaw_is_the_cameras(world, fitted, model):
    camera = Photographer(model, 11)
    true = [camera.plan(row, k).camera.yaw_deg for row in range(N_PEOPLE) for k in range(8)]
    # A camera on the subject's left sees the face turned to its own left.
    assert np.corrcoef(fitted[8].photos["yaw_deg"], np.negative(true))[0, 1] > 0.97


def test_the_order_of_photographs_does_not_matter(world, model):
    _, photos, landmarks = first(world, 3, n_people=6)
    order = np.random.default_rng(1).permutation(len(photos))
    one = reference_faces(photos, landmarks, model)
    other = reference_faces(photos.iloc[order], landmarks[order], model)
    rows = pd.Index(other.identities["identity"]).get_indexer(one.identities["identity"])
    np.testing.assert_allclose(other.shape_coefficients[rows], one.shape_coefficients, atol=5e-3)


def test_what_cannot_be_fitted_is_refused(world, model):
    _, photos, landmarks = first(world, 1, n_people=3)
    with pytest.raises(InputError, match="lacks identity"):
        reference_faces(photos.drop(columns="identity"), landmarks, model)
    with pytest.raises(InputError, match="row 1 says of nobody whose it is"):
        reference_faces(photos.assign(identity=["a", None, "b"]), landmarks, model)
    with pytest.raises(ShapeError, match=r"photo=3, landmark=68"):
        reference_faces(photos, landmarks[:2], model)
    with pytest.raises(InputError, match="no usable face: most often: no face was found"):
        reference_faces(photos, np.full_like(landmarks, np.nan), model)
    for name, value in {"max_yaw_deg": -1, "mislabelled_share": 0.7, "residual_sds": 0}.items():
        with pytest.raises(InputError, match=f"{name}={value} is not possible"):
            TruthConfig(**{name: value})


def test_three_dimensional_landmarks_have_no_perspective(model):
    people = np.array(Population(6, seed=2).shape_coefficients)
    rng = np.random.default_rng(2)
    points = np.repeat(model.decode(people, vertices=model.landmarks).numpy(), 3, axis=0)
    landmarks = points + rng.normal(scale=0.5, size=points.shape)
    faces = reference_faces(pd.DataFrame({"identity": np.repeat(range(6), 3)}), landmarks, model)
    assert (faces.views.inverse_distance == 0).all()
    z = z_scores(faces, people, model)
    assert 0.8 < z.std() < 1.2


# --- the parts -----------------------------------------------------------------------------


def made_photographs(n_photos, axes=2, seed=0):
    """Random views of one random face of a small model, with noise of one pixel."""
    model, rng = small_model(seed=seed), np.random.default_rng(seed)
    bases = landmark_bases(model)
    turns = torch.linalg.qr(torch.as_tensor(rng.normal(size=(n_photos, 3, 3))))[0].numpy()
    turns = turns * np.sign(np.linalg.det(turns))[:, None, None]
    views = Views(
        0.3 * rng.standard_normal((n_photos, 3)), turns, rng.uniform(1, 2, n_photos),
        rng.normal(size=(n_photos, axes)), np.full(n_photos, 1 / 900 if axes == 2 else 0.0),
    )  # fmt: skip
    face = 0.3 * rng.standard_normal((1, 5)).repeat(n_photos, 0)
    points = -residuals(np.zeros((n_photos, 68, axes)), views, face, bases)
    return model, bases, views, face, points + rng.standard_normal(points.shape)


@pytest.mark.parametrize("axes", [2, 3])
def test_derivatives_are_those_of_small_steps(axes):
    from scipy.spatial.transform import Rotation

    _, bases, views, face, points = made_photographs(2, axes)
    by_shape, by_nuisance, _ = jacobians(points, views, face, bases)
    step = 1e-6

    def change(moved_views, moved_face):
        before = residuals(points, views, face, bases)
        return (before - residuals(points, moved_views, moved_face, bases)) / step

    for k in range(5):
        np.testing.assert_allclose(
            by_shape[..., k], change(views, face + step * np.eye(5)[k]), atol=2e-4
        )
    turns = [Rotation.from_rotvec(step * axis).as_matrix() @ views.rotation for axis in np.eye(3)]
    turns = [views._replace(rotation=turned) for turned in turns]
    moved = [views._replace(expression=views.expression + step * np.eye(3)[k]) for k in range(3)]
    moved += [*turns, views._replace(scale=views.scale + step)]
    moved += [
        views._replace(translation=views.translation + step * np.eye(axes)[k]) for k in range(axes)
    ]
    for k, other in enumerate(moved):
        np.testing.assert_allclose(by_nuisance[..., k], change(other, face), atol=2e-3)
    if axes == 2:
        small = views._replace(inverse_distance=views.inverse_distance + step * 1e-3)
        np.testing.assert_allclose(
            by_nuisance[..., -1], 1e3 * change(small, face), rtol=1e-3, atol=1
        )


def test_information_is_that_of_one_large_least_squares_problem():
    """All photographs' nuisances and the shape solved together, literally."""
    _, bases, views, face, points = made_photographs(3)
    noise = np.array([1.0, 2.0, 0.5])
    points[1, 5] = np.nan
    info = linearise(points, views, face, bases, noise)
    total, score = posterior(info.precision, info.score, np.zeros(3, int), 1)
    gaps = residuals(points, views, face, bases)
    by_shape, by_nuisance, _ = jacobians(points, views, face, bases)
    n = by_nuisance.shape[-1]
    rows, right = [np.eye(5, 5 + 3 * n)], [np.zeros(5)]
    for p in range(3):
        block = np.zeros((136, 5 + 3 * n))
        block[:, :5] = by_shape[p].reshape(136, 5)
        block[:, 5 + p * n : 5 + (p + 1) * n] = by_nuisance[p].reshape(136, n)
        kept = ~np.isnan(gaps[p].ravel())
        rows.append(block[kept] / noise[p])
        target = gaps[p].ravel() + block[:, :5] @ face[p]
        right.append(target[kept] / noise[p])
        priors = np.zeros((4, 5 + 3 * n))  # of expression, at 0, and inverse distance
        priors[range(3), 5 + p * n + np.arange(3)] = 1.0
        priors[3, 5 + (p + 1) * n - 1] = 1 / INVERSE_DISTANCE[1]
        rows.append(priors)
        off = (INVERSE_DISTANCE[0] - views.inverse_distance[p]) / INVERSE_DISTANCE[1]
        right.append(np.r_[-views.expression[p], off])
    stacked, wanted = np.concatenate(rows), np.concatenate(right)
    normal = stacked.T @ stacked
    best = np.linalg.solve(normal, stacked.T @ wanted)
    np.testing.assert_allclose(np.linalg.solve(total[0], score[0]), best[:5], atol=1e-8)
    np.testing.assert_allclose(np.linalg.inv(total[0]), np.linalg.inv(normal)[:5, :5], rtol=1e-6)


def test_parameters_that_data_settle_are_counted():
    _, bases, views, face, points = made_photographs(2)
    sharp = linearise(points, views, face, bases, np.full(2, 1e-4)).n_effective
    blind = linearise(points, views, face, bases, np.full(2, 1e4)).n_effective
    np.testing.assert_allclose(sharp, 5 + 3 + 3 + 1 + 2 + 1, atol=0.01)
    np.testing.assert_allclose(blind, 3 + 1 + 2, atol=0.05)  # pose has no prior


def test_scale_and_translation_are_least_squares():
    _, bases, views, face, points = made_photographs(2)
    points[0, :20] = np.nan
    placed = place(points, views._replace(scale=np.ones(2)), face, bases)
    flat = -residuals(np.zeros_like(points), placed._replace(
        scale=np.ones(2), translation=np.zeros((2, 2))), face, bases)  # fmt: skip
    for p in range(2):
        kept = ~np.isnan(points[p, :, 0])
        side = np.zeros((kept.sum(), 2, 3))
        side[..., 0], side[:, 0, 1], side[:, 1, 2] = flat[p, kept], 1, 1
        best = np.linalg.lstsq(side.reshape(-1, 3), points[p, kept].ravel())[0]
        np.testing.assert_allclose(np.r_[placed.scale[p], placed.translation[p]], best, rtol=1e-9)


def test_the_likelihood_ratio_is_that_of_the_photographs_themselves():
    rng = np.random.default_rng(1)
    views = [rng.standard_normal((9, 4)) for _ in range(3)]  # y = view @ c + noise
    seen = [view @ rng.standard_normal(4) + rng.standard_normal(9) for view in views]
    precision = np.stack([view.T @ view for view in views])
    score = np.stack([view.T @ y for view, y in zip(views, seen, strict=True)])
    ratio = log_ratio_same_person(precision, score, np.zeros(3, int), 1)

    def log_density(which):
        stacked = np.concatenate([views[k] for k in which])
        covariance = stacked @ stacked.T + np.eye(len(stacked))
        y = np.concatenate([seen[k] for k in which])
        return multivariate_normal(cov=covariance).logpdf(y)

    for k in range(3):
        rest = [other for other in range(3) if other != k]
        literal = log_density([k, *rest]) - log_density([k]) - log_density(rest)
        assert ratio[k] == pytest.approx(literal, abs=1e-9)


def test_noise_that_photographs_share_is_not_averaged_away():
    """Against the literal joint covariance of equal photographs with a common error."""
    view = np.random.default_rng(6).standard_normal((9, 4))
    n, share, y = 3, 0.4, np.random.default_rng(7).standard_normal((3, 9))
    precision, score = np.tile(view.T @ view, (n, 1, 1)), y @ view
    total, summed = posterior(precision, score, np.zeros(n, int), 1, share)
    noise = np.kron(np.eye(n) * (1 - share) + share, np.eye(9))
    stacked, inverse = np.tile(view, (n, 1)), np.linalg.inv(noise)
    literal = np.eye(4) + stacked.T @ inverse @ stacked
    np.testing.assert_allclose(total[0], literal, atol=1e-9)
    np.testing.assert_allclose(summed[0], stacked.T @ inverse @ y.ravel(), atol=1e-9)


def test_errors_that_look_like_shape_are_noticed(world, model):
    """A detector with its own idea of the landmarks: small residuals, yet a surprise."""
    _, photos, landmarks = first(world, 4)
    taste = np.random.default_rng(8).normal(scale=0.03, size=(68, 2))
    shifted = landmarks + size_of(landmarks)[:, None, None] * taste
    plain = reference_faces(photos, landmarks, model)
    raw = reference_faces(photos, shifted, model)
    assert plain.noise_constant_share < 0.1
    assert raw.noise_constant_share > 0.3
    assert raw.noise_relative > 1.4 * plain.noise_relative
    assert raw.lines["sd"].mean() > 1.4 * plain.lines["sd"].mean()
    cured = reference_faces(photos, shifted, model, config=TruthConfig(calibrate_from=20))
    error = {
        name: np.abs(found.lines["value"] - measure_lines(world[0], model).to_numpy().ravel())[
            found.lines["measure"] == "ratio"
        ].mean()
        for name, found in {"plain": plain, "raw": raw, "cured": cured}.items()
    }  # fmt: skip
    assert (raw.landmark_offsets == 0).all()
    assert (plain.landmark_offsets == 0).all()
    assert error["cured"] < 0.9 * error["raw"]
    # What was put in comes out, in the picture's plane (y up) and but for pose.
    wanted = taste * [1, -1]
    got = cured.landmark_offsets[:, :2]
    assert np.corrcoef((wanted - wanted.mean(0)).ravel(), got.ravel())[0, 1] > 0.7


def test_surprise_is_one_for_people_of_the_population():
    rng = np.random.default_rng(9)
    roots = rng.standard_normal((600, 12, 6))
    precision = roots.transpose(0, 2, 1) @ roots
    people = rng.standard_normal((600, 6))
    error = np.einsum("pri,pr->pi", roots, rng.standard_normal((600, 12)))
    score = np.einsum("pij,pj->pi", precision, people) + error
    assert surprise(precision, score) == pytest.approx(1, abs=0.15)
    wrong = np.einsum("pij,j->pi", precision, np.full(6, 2.0))  # the same error in everyone
    assert surprise(precision, score + wrong) > 3


def test_strangers_go_one_by_one_and_the_rest_is_judged_again():
    rng = np.random.default_rng(2)
    person, stranger = rng.standard_normal((2, 6))
    precision = np.tile(400 * np.eye(6), (5, 1, 1))
    score = 400 * np.stack([person, person, stranger, person, -stranger])
    score = score + 20 * rng.standard_normal(score.shape)
    found, odds = find_strangers(precision, score, np.zeros(5, int), 1, 0.01)
    assert found.tolist() == [False, False, True, False, True]
    assert (odds[found] < 0).all()
    assert (odds[~found] > np.log(99)).all()
    alone = find_strangers(precision[:1], score[:1], np.zeros(1, int), 1, 0.01)
    assert not alone[0].any()
    assert np.isnan(alone[1]).all()
    assert not find_strangers(precision, score, np.zeros(5, int), 1, 0.0)[0].any()


def test_lines_and_their_uncertainty_by_simulation(model):
    rng = np.random.default_rng(3)
    root = 0.1 * rng.standard_normal((40, 40))
    mean = 0.5 * rng.standard_normal((1, 40))
    table = line_uncertainties(["a"], mean, (root @ root.T)[None], model)
    drawn = mean + rng.standard_normal((4000, 40)) @ root.T
    simulated = measure_lines(drawn, model)
    assert [tuple(key) for key in table[["line", "measure"]].to_numpy()] == list(simulated.columns)
    np.testing.assert_allclose(table["sd"], simulated.std(), rtol=0.06)
    faces = model.decode(drawn[:5])
    for (line, measure), values in simulated.iloc[:5].items():
        of = line_lengths if measure == "length_mm" else line_ratios
        expected = of(faces, model, names=[line])[line]
        np.testing.assert_allclose(values, expected, rtol=1e-4)
    prior = line_uncertainties(["a"], np.zeros((1, 40)), np.eye(40)[None], model)
    np.testing.assert_allclose(prior["determined"], 0, atol=1e-9)


def test_what_landmarks_do_not_see_is_uncertain(world, fitted, model):
    population = vertex_uncertainty(np.eye(40), model)
    spread = model.decode(np.random.default_rng(4).standard_normal((2000, 40))) - model.mean
    np.testing.assert_allclose(population, spread.norm(dim=-1).square().mean(0).sqrt(), rtol=0.08)
    left = vertex_uncertainty(fitted[8].shape_covariance.mean(0), model)
    at_landmarks = left[model.landmarks] / population[model.landmarks]
    far = torch.cdist(model.mean, model.mean[model.landmarks]).amin(1).numpy() > 80
    assert np.median((left / population)[far]) > 1.3 * np.median(at_landmarks)


def test_blocks_hold_whole_people():
    codes = np.random.default_rng(5).integers(0, 300, 2000)
    codes[codes == 7] = 8
    found = list(blocks(codes))
    assert len(found) > 3
    assert sorted(np.concatenate(found)) == list(range(2000))
    people = [set(codes[rows]) for rows in found]
    assert sum(map(len, people)) == len(set(codes))
    assert [len(b) for b in blocks(np.zeros(1500, int))] == [1500]


def test_halves_agree_better_with_more_photographs(world, fitted, model):
    _, _, landmarks = world
    measure = line_measures(fitted[8], landmarks, model)
    identity = fitted[8].photos["identity"]
    tables = {
        n: split_half(identity, measure, n_photos=n, n_splits=2, n_resamples=100).set_index(
            "measure"
        )
        for n in (2, 8)
    }
    assert "ear_ratio" in tables[2].index
    assert (tables[8]["icc"] > tables[2]["icc"]).mean() > 0.9
    assert tables[8]["icc"].median() > 0.85


@pytest.mark.real_data
def test_real_landmarks_of_one_photograph_each(real_data):
    """AFLW2000: nobody has a second photograph, so there is uncertainty but no reliability."""
    stored = np.load(real_data / "faces_aflw2000/aflw2000_landmarks.npz", allow_pickle=False)
    landmarks = stored["pts68_3d"].transpose(0, 2, 1)[:120, :, :2]
    bfm = load_face_model(real_data / "bfm_derived_noncommercial/bfm_landmark68_basis.npz")
    photos = pd.DataFrame({"identity": range(len(landmarks))})
    faces = reference_faces(photos, landmarks, bfm, config=TruthConfig(max_yaw_deg=60))
    people = faces.identities
    assert faces.photos["log_odds_same_person"].isna().all()
    assert set(faces.photos["rule"]) <= {"", "yaw", "residual"}
    profile = stored["yaw_deg"][:120]
    assert (np.abs(profile[faces.photos["rule"] == "yaw"]) > 40).all()
    assert people["usable"].mean() > 0.7
    assert people.loc[people["usable"], "determined"].between(0.3, 0.9).all()
    assert "ear" not in set(faces.lines["line"])  # its ends are not among these 68 points
