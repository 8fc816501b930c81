"""Reference faces: known people, photographs with planted faults, uncertainties that hold."""

import numpy as np
import pandas as pd
import pytest
import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import load_face_model
from v2mlib.faces.lines import line_lengths, line_ratios
from v2mlib.fitting.truth import TruthConfig, line_measures, reference_faces
from v2mlib.fitting.truth_lines import line_uncertainties, measure_lines, vertex_uncertainty
from v2mlib.fitting.truth_shapes import blocks
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
    spread = model.decode(np.random.default_rng(4).standard_normal((1000, 40))) - model.mean
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
