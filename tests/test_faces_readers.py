"""The readers on the real faces: units, axes, winding, anatomy, and faults in their files."""

import functools
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch

from v2mlib import metrics
from v2mlib.checks import InputError
from v2mlib.faces import MISSING_LANDMARK, REGIONS, load_face_model
from v2mlib.faces.anatomy import LINES, PUBLISHED_BFM
from v2mlib.faces.geometry import align, mirror_map, triangle_normals, vertex_normals
from v2mlib.faces.readers import read_bfm, read_ict, read_surrey
from v2mlib.faces.readers.slices import read_slice
from v2mlib.paths import shipped

REAL = {
    "ict-9409": "ict_facekit/ict_face_f32.npz",
    "ict-26719": "ict_facekit/ict_full_f16.npz",
    "surrey-3448": "surrey_sfm_noncommercial/sfm_3448.npz",
    "bfm-landmarks-68": "bfm_derived_noncommercial/bfm_landmark68_basis.npz",
    "bfm-grid-4096": "bfm_derived_noncommercial/bfm_grid64_basis.npz",
    "bfm-53215": "bfm_derived_noncommercial/bfm_mean_topology.npz",
}
WHOLE_FACES = ("ict-9409", "ict-26719", "surrey-3448", "bfm-53215")


_loaded = functools.cache(load_face_model)


def of(real_data, topology):
    return _loaded(real_data / REAL[topology])


@pytest.fixture(params=REAL)
def model(request, real_data):
    return of(real_data, request.param)


def test_real_models_are_recognised(model):
    assert model.topology in REAL
    assert model.n_vertices == int(model.topology.split("-")[-1])
    expected = {
        "ict-9409": (100, 53),
        "ict-26719": (100, 53),
        "surrey-3448": (63, 6),
        "bfm-landmarks-68": (40, 10),
        "bfm-grid-4096": (40, 0),
        "bfm-53215": (0, 0),
    }
    assert (model.n_shape, model.n_expression) == expected[model.topology]


def test_frame_is_mm_left_up_out_and_wound_outwards(model):
    height = np.ptp(model.mean[:, 1].numpy())
    assert (130 if model.n_vertices == 68 else 150) < height < 400
    if (model.landmarks[[36, 45, 27, 8, 30]] >= 0).all():
        right, left, bridge, chin, tip = model.mean[model.landmarks[[36, 45, 27, 8, 30]]]
        assert 80 < left[0] - right[0] < 100
        assert 100 < bridge[1] - chin[1] < 130
        assert 15 < tip[2] - bridge[2] < 30
    skin = torch.isin(model.triangles, model.region("whole")).all(1)
    if skin.any():
        normals = triangle_normals(model.mean, model.triangles[skin])
        assert normals[:, 2].sum() > 0.3 * torch.linalg.vector_norm(normals, dim=1).sum()


@pytest.mark.parametrize("topology", [name for name in REAL if name != "bfm-53215"])
def test_coefficients_move_a_face_as_far_as_people_differ(real_data, topology):
    model = of(real_data, topology)
    shape = torch.randn(200, model.n_shape, generator=torch.Generator().manual_seed(0))
    faces = model.decode(shape)
    spread = (faces - model.mean).square().sum(-1).mean().sqrt()
    assert 2 < spread < 20


@pytest.mark.parametrize("topology", WHOLE_FACES)
def test_corrected_lines_join_mirrored_points(real_data, topology):
    model = of(real_data, topology)
    expected = set(LINES) - ({"ear"} if topology == "surrey-3448" else set())
    assert set(model.lines) == expected
    for name, (first, second) in model.lines.items():
        a, b = model.mean[first], model.mean[second]
        if LINES[name][0].endswith("_right"):
            assert a[0] < 0 < b[0]
            assert torch.linalg.vector_norm(a * torch.tensor([-1, 1, 1]) - b) < 1.5
        else:
            assert max(abs(a[0]), abs(b[0])) < 1


@pytest.mark.parametrize("topology", WHOLE_FACES)
def test_lines_are_as_long_as_in_people(real_data, topology):
    model = of(real_data, topology)
    lengths = metrics.line_lengths(model.mean, model)
    ranges = {
        "outer_interocular": (84, 94),
        "ear": (125, 145),
        "forehead": (100, 115),
        "midline": (90, 105),
        "cheek": (90, 100),
        "menton_sellion": (112, 124),
        "nose_length": (47, 59),
        "nose_width": (31, 39),
        "nose_projection": (17, 25),
        "mouth_width": (45, 56),
        "chin_height": (20, 33),
        "jaw_width": (105, 125),
        "bizygomatic": (130, 145),
    }
    for name, length in lengths.items():
        assert ranges[name][0] < length < ranges[name][1], name


@pytest.mark.parametrize("topology", ["ict-9409", "surrey-3448", "bfm-53215"])
def test_published_lines_have_their_faults_on_every_face(real_data, topology):
    model = of(real_data, topology)

    def slant(name, definition):
        first, second = model.line(name, definition)
        return abs(float(model.mean[first, 1] - model.mean[second, 1]))

    assert 14 < slant("outer_interocular", "published") < 20
    assert slant("outer_interocular", "corrected") < 1
    assert 8 < slant("midline", "published") < 13
    assert slant("midline", "corrected") < 1
    lengths = metrics.line_lengths(model.mean, model, "published")
    corrected = metrics.line_lengths(model.mean, model)
    assert 1.05 < lengths["outer_interocular"] / corrected["outer_interocular"] < 1.10


def test_basel_mean_face_has_the_known_distances(real_data):
    """Figures of the finding: 94.0 mm published, 86.3 mm between the canthi."""
    model = of(real_data, "bfm-53215")
    published = metrics.line_lengths(model.mean, model, "published")
    corrected = metrics.line_lengths(model.mean, model)
    assert round(float(published["outer_interocular"]), 1) == 94.0
    assert round(float(corrected["outer_interocular"]), 1) == 86.3
    assert model.lines["outer_interocular"] == (2215, 14066)
    assert model.published_lines == PUBLISHED_BFM
    canthus, end = model.mean[14066], model.mean[14607]
    assert 15 < canthus[1] - end[1] < 17
    assert mirror_map(model.mean).distance.max() < 5


def test_ear_vertex_that_the_small_basel_mesh_lacks(real_data):
    path = real_data / REAL["bfm-53215"]
    large, small = of(real_data, "bfm-53215"), read_slice(path, topology="bfm-38365")
    kept = small.extras["source_vertices"]
    assert small.n_vertices == 38_365
    assert torch.equal(large.mean[kept], small.mean)
    for definition in ("corrected", "published"):
        for name in small.line_names(definition):
            ends = [int(kept[vertex]) for vertex in small.line(name, definition)]
            assert tuple(ends) == large.line(name, definition)
    face = small.mean
    with pytest.raises(InputError, match=r"34153.*definition='published_substitute'.*34154"):
        metrics.absolute_ratio_error(face, face, small, definition="published")
    instead = small.line("ear", "published_substitute")
    assert [int(kept[vertex]) for vertex in instead] == [20636, 34154]
    apart = torch.linalg.vector_norm(large.mean[34153] - large.mean[34154])
    assert round(float(apart), 2) == 0.34
    error = metrics.absolute_ratio_error(face, face, small, definition="published_substitute")
    assert error["mean"] == 0


def test_surrey_says_what_it_lacks(real_data):
    model = of(real_data, "surrey-3448")
    assert int((model.landmarks == MISSING_LANDMARK).sum()) == 18
    with pytest.raises(InputError, match=r"landmarks \[0, 1, 2"):
        model.landmark_vertices()
    for definition in ("corrected", "published", "published_substitute"):
        with pytest.raises(InputError, match="mesh ends in front of the ears"):
            model.line("ear", definition)
    assert set(model.absences) == {"corrected ear", "published ear"}
    stored = np.load(real_data / REAL["surrey-3448"])
    c = np.random.default_rng(0).normal(size=63)
    expected = stored["mean"].ravel() + stored["basis"].astype(float) @ (stored["sd"] * c)
    assert np.abs(model.decode(c).numpy().ravel() - expected).max() < 1e-3


@pytest.mark.parametrize("topology", WHOLE_FACES)
def test_regions_are_disjoint_parts_of_the_face(real_data, topology):
    model = of(real_data, topology)
    assert set(REGIONS) <= set(model.regions)
    joined = torch.cat([model.regions[name] for name in REGIONS])
    assert len(joined.unique()) == len(joined)
    assert joined.max() < (9409 if topology == "ict-26719" else model.n_vertices)
    centres = {name: model.mean[model.regions[name]].mean(0) for name in REGIONS}
    for name in ("eye", "cheek"):
        left, right = centres[f"left_{name}"], centres[f"right_{name}"]
        assert left[0] > 20
        assert torch.linalg.vector_norm(left * torch.tensor([-1, 1, 1]) - right) < 2
        counts = [len(model.regions[f"{side}_{name}"]) for side in ("left", "right")]
        assert max(counts) < 1.05 * min(counts)
    assert abs(centres["nose"][0]) < 1
    assert centres["left_eye"][1] > centres["left_cheek"][1] > centres["mouth"][1]
    assert int(model.landmarks[30]) in model.regions["nose"]
    assert (vertex_normals(model.mean, model.triangles)[joined, 2] > 0).all()
    jaw_angle = model.mean[list(model.line("jaw_width"))]
    assert model.mean[joined, 2].min() >= jaw_angle[:, 2].min()  # neither ears nor neck
    assert len(model.region("whole")) == (6706 if "ict" in topology else model.n_vertices)


def test_ict_forms_agree(real_data, tmp_path):
    face, head = of(real_data, "ict-9409"), of(real_data, "ict-26719")
    for file in (real_data / "ict_facekit").iterdir():
        if file.suffix in (".obj", ".json"):
            shutil.copy(file, tmp_path)
    raw = read_ict(tmp_path)
    assert raw.name == "ICT-FaceKit (1 of 100 identities)"
    assert raw.expression_names == ("jawOpen",)
    assert torch.equal(raw.triangles, head.triangles)
    assert torch.equal(raw.landmarks, face.landmarks)
    assert (raw.mean - head.mean).abs().max() < 1e-4
    assert torch.equal(raw.shape_basis[:9409, :, 0], face.shape_basis[:, :, 0])
    jaw = face.expression_names.index("jawOpen")
    assert torch.equal(raw.expression_basis[:9409, :, 0], face.expression_basis[:, :, jaw])
    assert (head.shape_basis[:9409] - face.shape_basis).abs().max() < 0.01  # stored in half
    shape = torch.randn(100, generator=torch.Generator().manual_seed(0))
    assert (head.decode(shape)[:9409] - face.decode(shape)).abs().max() < 0.05
    checkout = tmp_path / "ICT-FaceKit"
    checkout.mkdir()
    (checkout / "FaceXModel").symlink_to(tmp_path)
    assert load_face_model(checkout).topology == "ict-26719"
    assert read_ict(real_data / "ict_facekit").n_shape == 100  # the more complete form


def test_ict_winding_is_upstreams_and_eyes_are_uncovered(real_data):
    stored = np.load(real_data / REAL["ict-9409"])
    assert np.array_equal(of(real_data, "ict-9409").triangles, stored["triangles"])
    head = of(real_data, "ict-26719")
    assert head.triangles.max() < 24_591
    assert head.colours.shape == (26_719, 3)


def break_ict(folder, fault):
    identity = folder / "identity000.obj"
    if fault == "no landmarks":
        (folder / "vertex_indices.json").unlink()
    elif fault == "bad json":
        (folder / "vertex_indices.json").write_text("{")
    elif fault == "no identity":
        identity.rename(folder / "identity001.obj")
    elif fault == "cut short":
        identity.write_bytes(identity.read_bytes()[:400_000])
    elif fault in ("nought", "nan"):
        identity.write_text(re.sub(r"\nv \S+", f"\nv {fault}", identity.read_text(), count=1))
    elif fault == "empty":
        (folder / "generic_neutral_mesh.obj").write_text("")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no landmarks", r"vertex_indices\.json is absent"),
        ("bad json", r"vertex_indices\.json is not the index file"),
        ("no identity", r"lacks identity000\.obj: check out https://github.com/ICT-VGL"),
        ("cut short", r"identity000\.obj has \d+ vertices, ICT-FaceKit has 26719"),
        ("nought", r"identity000\.obj is not a sound OBJ file .*nought"),
        ("nan", "NaN or infinity"),
        ("empty", r"generic_neutral_mesh\.obj has 0 vertices"),
    ],
)
def test_faults_in_a_raw_ict_folder(real_data, tmp_path, fault, message):
    for file in (real_data / "ict_facekit").iterdir():
        if file.suffix in (".obj", ".json"):
            shutil.copyfile(file, tmp_path / file.name)
    break_ict(tmp_path, fault)
    with pytest.raises(InputError, match=message):
        read_ict(tmp_path)


@pytest.mark.parametrize("reader", [read_ict, read_surrey, read_bfm])
def test_faults_in_a_real_npz(real_data, tmp_path, reader):
    name = {read_ict: "ict-9409", read_surrey: "surrey-3448", read_bfm: "bfm-landmarks-68"}[reader]
    stored = dict(np.load(real_data / REAL[name]))
    path = tmp_path / "face.npz"
    statistics = real_data / "tddfa_v2" / "param_mean_std_62d_120x120.npz"
    more = {"statistics": statistics} if reader is read_bfm else {}
    mean = {read_ict: "neutral", read_surrey: "mean", read_bfm: "u_base"}[reader]
    basis = {read_ict: "identity", read_surrey: "basis", read_bfm: "w_shp_base"}[reader]
    changes = {
        r"NaN or infinity": {mean: stored[mean] * np.nan},
        r"mm high: its unit is not": {mean: stored[mean] * 1000},
        r"face\.npz (lacks|is not a)": {basis: None},
        r"do not fit together|basis of": {basis: stored[basis][..., :-1, :]},
    }
    for message, change in changes.items():
        changed = {k: v for k, v in {**stored, **change}.items() if v is not None}
        np.savez(path, **changed)
        with pytest.raises(InputError, match=message) as caught:
            reader(path, **more)
        assert str(caught.value).count("face.npz") == 1
    path.write_bytes((real_data / REAL[name]).read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"face\.npz cannot be read as \.npz"):
        reader(path, **more)


def test_real_parameters_give_the_real_landmarks(real_data):
    """Raw 300W-LP parameters through `from_raw` and `decode`, against the formula by hand."""
    model = of(real_data, "bfm-landmarks-68")
    stored = np.load(real_data / REAL["bfm-landmarks-68"])
    fitted = scipy.io.loadmat(real_data / "faces_aflw2000" / "image00050.mat")
    shape, expression = fitted["Shape_Para"].ravel()[:40], fitted["Exp_Para"].ravel()[:10]
    moved = stored["w_shp_base"].astype(float) @ shape
    moved += stored["w_exp_base"].astype(float) @ expression
    expected = (stored["u_base"] + moved) / 1000
    coefficients = model.from_raw(shape, expression)
    assert coefficients.shape.abs().max() < 4
    assert np.abs(model.decode(*coefficients).numpy() - expected).max() < 1e-3
    back = model.to_raw(*coefficients)
    assert np.allclose(back.shape, shape, rtol=1e-12)
    neutral = model.decode(model.from_raw(np.zeros(40)).shape, model.neutral_expression)
    assert np.abs(neutral.numpy() - stored["u_base"] / 1000).max() < 1e-3


def test_teachers_landmarks_come_out(real_data):
    """3DDFA-V2's own landmarks on photos: the same face up to pose and pixel size."""
    model = of(real_data, "bfm-landmarks-68")
    teacher = np.load(real_data / "faces_aflw2000" / "teacher_mb05_reference.npz")
    for photo in ("image00050", "image03614"):
        parameters = teacher[f"{photo}_param"]
        face = model.decode(*model.from_raw(parameters[12:52], parameters[52:62])).numpy()
        pixels = teacher[f"{photo}_landmarks"].T * (1, -1, 1)  # y runs down in the picture
        fit = align(face.astype(np.float64), pixels, scale=True)
        error = np.linalg.norm(fit.aligned - pixels, axis=1) / fit.scale
        assert error.mean() < 1.5  # mm; the photo's box may stretch x against y a little


def test_statistics_are_asked_for_where_they_are_absent(real_data, tmp_path):
    path = tmp_path / "slice.npz"
    shutil.copyfile(real_data / REAL["bfm-landmarks-68"], path)
    with pytest.raises(InputError, match=r"put param_mean_std_62d_120x120\.pkl .* beside it"):
        read_bfm(path)
    forms = [
        real_data / "tddfa_v2" / "param_mean_std_62d_120x120.pkl",
        real_data / "tddfa_v2" / "param_mean_std_62d_120x120.npz",
        real_data / "bfm_derived_noncommercial" / "param_mean_v2.txt",
    ]
    means = [read_bfm(path, statistics=form).shape_raw_mean for form in forms]
    assert torch.equal(means[0], means[1])
    assert torch.equal(means[0], means[2])


def test_shipped_points_are_those_the_tool_finds(real_data, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1] / "tools")
    import tabulate_anatomy

    found = tabulate_anatomy.tabulate(real_data)
    shipped_table = pd.read_csv(shipped("face_anatomy.csv"), index_col="point").astype("Int64")
    pd.testing.assert_frame_equal(found, shipped_table)
