"""The public Voxceleb-3D files: coefficients, clouds, meshes and log-mel matrices."""

import os
import pickle

import numpy as np
import pytest
import scipy.io
import trimesh
from faces_made import basel, small_model

from v2mlib.checks import InputError, ShapeError
from v2mlib.datasets.packages import (
    find_package,
    in_model_frame,
    read_cloud,
    read_coefficients,
    read_log_mel,
)
from v2mlib.faces.readers import read_bfm, read_parameters, standardised
from v2mlib.voices import repeat_to

META = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tAnn_Lee\tf\tUK\tdev\n"


def raw(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(scale=1e5, size=199), random.normal(size=29)


# Coefficients


@pytest.mark.parametrize(
    "form", ["flat", "column", "row", "both", "float32", "npz", "npz_short", "mat", "apart"]
)
def test_forms_of_coefficients(tmp_path, form):
    shape, expression = raw()
    path, expression_path, expects_expression = tmp_path / "1.npy", None, True
    if form in ("flat", "column", "row", "float32"):
        layout = {"column": (-1, 1), "row": (1, -1)}.get(form, (-1,))
        np.save(path, shape.reshape(layout).astype(np.float32 if form == "float32" else float))
        expects_expression = False
    elif form == "both":
        np.save(path, np.concatenate([shape, expression]))
    elif form == "apart":
        expression_path = tmp_path / "1_exp.npy"
        np.save(path, shape)
        np.save(expression_path, expression)
    elif form == "mat":
        path = tmp_path / "1.mat"
        stored = {"Shape_Para": shape[:, None], "Exp_Para": expression[:, None]}
        scipy.io.savemat(path, stored | {"Tex_Para": shape[:, None] * 0})
    else:
        path = tmp_path / "1.npz"
        names = ("shp", "exp") if form == "npz_short" else ("Shape_Para", "Exp_Para")
        np.savez(path, **dict(zip(names, (shape, expression), strict=True)))
    found = read_parameters(path, expression_path)
    assert np.allclose(found.shape, shape, rtol=1e-6)
    assert found.shape.dtype == np.float64
    if expects_expression:
        assert np.array_equal(found.expression, expression)
    else:
        assert found.expression is None


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (
            np.zeros(62),
            r"holds 62 numbers in an array of \(62,\): expected 199 of the shape, or 228",
        ),
        (np.full(199, np.nan), "holds NaN or infinity in the shape"),
        (np.r_[np.ones(199) * 1e4, np.full(29, np.inf)], "NaN or infinity in the expression"),
        (
            np.random.default_rng(0).normal(size=199),
            r"at most 2.4, too small to be raw: .*shapeEV",
        ),
        (np.array(["a"] * 199), r"shape coefficients of shape \(199,\): expected 199 numbers"),
        (
            np.array([Bomb()], dtype=object),
            r"could run code, nothing was run: save the numbers alone",
        ),
    ],
)
def test_files_that_are_not_coefficients(tmp_path, monkeypatch, numbers, message):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "1.npy", numbers, allow_pickle=True)
    with pytest.raises(InputError, match=r"1\.npy .*" + message):
        read_parameters(tmp_path / "1.npy")
    assert not (tmp_path / "exploded").exists()


def test_other_files_are_no_coefficients(tmp_path):
    (tmp_path / "1.npy").write_bytes(pickle.dumps(Bomb()))
    np.savez(tmp_path / "1.npz", tex=np.zeros(199))
    scipy.io.savemat(tmp_path / "1.mat", {"x": np.zeros(199)})
    np.save(tmp_path / "e.npy", np.zeros(30))
    np.save(tmp_path / "s.npy", raw()[0])
    for name, message in (
        ("1.npy", "nothing was run"),
        ("1.npz", "lacks Shape_Para"),
        ("1.mat", "lacks Shape_Para"),
        ("1.txt", r"expected \.npy, \.npz or \.mat"),
        ("none.npy", "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            read_parameters(tmp_path / name)
    with pytest.raises(InputError, match=r"expression coefficients of shape \(30,\): expected 29"):
        read_parameters(tmp_path / "s.npy", tmp_path / "e.npy")


@pytest.mark.parametrize(("n_shape", "n_expression"), [(40, 10), (199, 0), (199, 29)])
def test_standardised_coefficients_decode_to_the_face_of_the_raw_ones(n_shape, n_expression):
    model = basel(n_shape, n_expression)
    shape, expression = np.stack([raw(1)[0], raw(2)[0]]), np.stack([raw(1)[1], raw(2)[1]])
    coefficients = standardised(model, shape, expression)
    bases = model.shape_basis.double().numpy(), model.expression_basis.double().numpy()
    means = model.shape_raw_mean.double().numpy(), model.expression_raw_mean.double().numpy()
    at_zero = model.mean.double().numpy() - bases[0] @ means[0] - bases[1] @ means[1]
    expected = at_zero + np.einsum("vxs,fs->fvx", bases[0], shape[:, :n_shape])
    if n_expression:
        expected += np.einsum("vxe,fe->fvx", bases[1], expression[:, :n_expression])
    assert np.allclose(model.decode(*coefficients).numpy(), expected, atol=1e-3)
    assert (coefficients.expression is None) == (n_expression == 0)
    # the population's mean parameters, not 0, are the mean face
    assert standardised(model, np.zeros(199)).shape.abs().max() > 0.5
    assert standardised(model, shape).expression is None


def test_coefficients_mean_a_face_on_a_basel_model_only():
    with pytest.raises(InputError, match=r"other modes than BFM 2009: .* load one with read_bfm"):
        standardised(small_model(), raw()[0])
    with pytest.raises(
        ShapeError, match=r"shape has shape \(40,\), expected \(\.\.\., shape=199\)"
    ):
        standardised(basel(), raw()[0][:40])
    with pytest.raises(ShapeError, match=r"expression has shape \(10,\)"):
        standardised(basel(), raw()[0], raw()[1][:10])


def test_real_coefficients_are_of_the_size_of_standard_deviations(real_data):
    model = read_bfm(real_data / "bfm_derived_noncommercial" / "bfm_landmark68_basis.npz")
    files = sorted((real_data / "faces_aflw2000").glob("*.mat"))
    found = [read_parameters(file) for file in files]
    shape, expression = standardised(
        model, np.stack([f.shape for f in found]), np.stack([f.expression for f in found])
    )
    assert len(files) == 9
    assert 0.8 < shape.square().mean().sqrt() < 1.2
    assert shape.abs().max() < 4
    assert expression.square().mean().sqrt() < 2
    kept = [np.linalg.norm(f.shape[:40]) / np.linalg.norm(f.shape) for f in found]
    assert min(kept) > 0.996  # what 40 of 199 modes keep


# Clouds and meshes


def test_clouds_and_meshes(tmp_path):
    vertices = np.random.default_rng(0).normal(size=(500, 3)).round(6)
    triangles = np.arange(498).reshape(-1, 3)
    np.savetxt(tmp_path / "1.xyz", vertices, fmt="%.6f")
    lines = [f"v {x} {y} {z}" for x, y, z in vertices]
    lines += [f"f {i} {j} {k}" for i, j, k in triangles + 1]
    (tmp_path / "1.obj").write_text("mtllib ../../none.mtl\n" + "\n".join(lines) + "\n", "utf-8")
    cloud, mesh = read_cloud(tmp_path / "1.xyz"), read_cloud(tmp_path / "1.obj")
    assert np.allclose(cloud.vertices, vertices, atol=1e-6)
    assert cloud.triangles is None
    assert np.allclose(mesh.vertices, vertices, atol=1e-6)  # in their order, none merged
    assert np.array_equal(mesh.triangles, triangles)
    assert cloud.topology is None
    np.savetxt(tmp_path / "bfm.xyz", np.zeros((38_365, 3)), fmt="%d")
    assert read_cloud(tmp_path / "bfm.xyz").topology == "bfm-38365"
    plain = trimesh.load_mesh(tmp_path / "1.obj", process=False, maintain_order=True)
    assert np.allclose(plain.vertices, mesh.vertices)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("1.xyz", "1 2 3\n4 5\n", r"is not a sound \.xyz file"),
        ("1.xyz", "1 2\n3 4\n5 6\n7 8\n", r"holds an array of \(4, 2\): expected three"),
        ("1.xyz", "1 2 3\n4 5 nan\n7 8 9\n1 1 1\n", "NaN or infinity"),
        ("1.xyz", "hello", "is not a sound"),
        ("1.obj", "hello", "is not a sound|holds an array"),
        ("1.ply", "ply", r"expected \.obj or \.xyz"),
    ],
)
def test_damaged_clouds(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match=message):
        read_cloud(tmp_path / name)
    with pytest.raises(InputError, match="does not exist"):
        read_cloud(tmp_path / "none.xyz")


@pytest.mark.parametrize("down", [False, True])
def test_cloud_in_a_photograph_comes_back_in_mm(tmp_path, down):
    model = basel()
    mean = model.mean.numpy()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    posed = (0.3 * mean @ turn.T + [200, 150, 0]) * ([1, -1, 1] if down else 1)
    np.savetxt(tmp_path / "1.xyz", posed)
    back = in_model_frame(read_cloud(tmp_path / "1.xyz"), model)
    assert np.abs(back - mean).max() < 1e-9
    with pytest.raises(ShapeError, match="the cloud has shape"):
        in_model_frame(read_cloud(tmp_path / "1.xyz"), small_model(n_vertices=91))


# Log-mel matrices


def test_public_log_mel_matrices(real_data, tmp_path):
    oracle = np.load(real_data / "voxceleb_logmel" / "cmp_logmel_15.npz")
    (tmp_path / "vox1_meta.csv").write_text(META.replace("id10001", "rand_id00001"), "utf-8")
    for name in oracle.files:
        file = tmp_path / "fbank" / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, oracle[name])
    found = find_package(log_mels=tmp_path / "fbank", meta=tmp_path / "vox1_meta.csv")
    assert found.log_mels["clip"].tolist() == ["00001", "00002", "00003"]
    assert len(found.rejected) == 4  # the other speakers are not in this list
    for name in oracle.files:
        frames = read_log_mel(tmp_path / "fbank" / f"{name}.npy")
        assert frames.dtype == np.float32
        assert np.array_equal(frames, oracle[name])
        lengths = range(100, len(frames) + 1)
        period = next(n for n in lengths if np.array_equal(frames[n:], frames[: len(frames) - n]))
        once = frames[:period]
        assert np.array_equal(repeat_to(once, 1000) if period < 1000 else once, frames)
        assert np.abs(once.mean(0)).max() < 1e-4
        assert np.abs(once.std(0) - 1).max() < 1e-3


def test_other_matrices_are_refused(tmp_path):
    for array, error, message in (
        (np.zeros((64, 300), np.float32), ShapeError, r"expected \(frame, mel=64\)\. Transposed\?"),
        (np.zeros((300, 40), np.float32), ShapeError, r"has shape \(300, 40\)"),
        (np.full((300, 64), np.nan), InputError, "no finite log-mel frames"),
        (np.zeros((0, 64)), InputError, "no finite log-mel frames"),
        (np.array([Bomb()], dtype=object), InputError, "nothing was run"),
    ):
        np.save(tmp_path / "1.npy", array, allow_pickle=True)
        with pytest.raises(error, match=message):
            read_log_mel(tmp_path / "1.npy")


# The folders


@pytest.fixture
def package(tmp_path):
    (tmp_path / "vox1_meta.csv").write_text(META + "id10900\tZoe_Ray\tf\tUK\tdev\n", "utf-8")
    for folder in ("AtoE/Ann_Lee", "FtoZ/Zoe Ray", "FtoZ/Unknown", "fbank/id10001/aaa"):
        (tmp_path / folder).mkdir(parents=True)
    shape, expression = raw(3)
    np.save(tmp_path / "AtoE/Ann_Lee/01.npy", np.r_[shape, expression])
    np.save(tmp_path / "FtoZ/Zoe Ray/02_shape.npy", shape * 2)
    np.save(tmp_path / "FtoZ/Zoe Ray/02_exp.npy", expression)
    np.save(tmp_path / "FtoZ/Zoe Ray/03.npy", np.zeros(7))
    np.save(tmp_path / "FtoZ/Zoe Ray/04_exp.npy", expression)
    np.save(tmp_path / "FtoZ/Zoe Ray/05.npy", shape * 3)
    for name in ("01.xyz", "01.obj", "01.jpg", "01_b.jpg", "notes.txt"):
        (tmp_path / "AtoE/Ann_Lee" / name).touch()
    (tmp_path / "fbank/id10001/aaa/00001.npy").touch()
    return tmp_path


def test_package_folders(package):
    found = find_package([package / "AtoE", package / "FtoZ"], package / "fbank")
    assert found.identities["identity"].tolist() == ["id10001", "id10900"]
    assert found.parameters[["identity", "image"]].to_numpy().tolist() == [
        ["id10001", "01"], ["id10900", "02"], ["id10900", "03"], ["id10900", "05"],
    ]  # fmt: skip
    pair = found.parameters.iloc[1]
    assert os.path.basename(pair["expression_path"]) == "02_exp.npy"
    assert found.parameters["expression_path"].drop(1).isna().all()
    assert found.meshes["path"].map(os.path.basename).tolist() == ["01.obj", "01.xyz"]
    assert found.photos["path"].map(os.path.basename).tolist() == ["01.jpg"]
    assert found.log_mels[["identity", "video", "clip"]].to_numpy().tolist() == [
        ["id10001", "aaa", "00001"]
    ]
    told = found.rejected.set_index(found.rejected["path"].map(os.path.basename))["reason"]
    assert told.to_dict() == {
        "01_b.jpg": "has a mesh drawn over it",
        "notes.txt": "is not a photograph",
        "04_exp.npy": "has no file of shape coefficients beside it",
        "Unknown": "no identity has this name",
    }


def test_coefficients_of_a_package(package):
    model = basel()
    found = find_package([package / "AtoE", package / "FtoZ"])
    read = read_coefficients(found.parameters, model, progress=False)
    assert read.table["image"].tolist() == ["01", "02", "05"]
    assert read.shape_coefficients.shape == (3, 40)
    assert read.rejected["reason"].item().startswith("holds 7 numbers")
    shape, expression = raw(3)
    expected = standardised(
        model, np.stack([shape, shape * 2, shape * 3]), np.stack([expression] * 3)
    )
    assert np.allclose(read.shape_coefficients, expected.shape, atol=1e-4)
    assert np.allclose(read.expression_coefficients[:2], expected.expression[:2], atol=1e-4)
    assert np.isnan(read.expression_coefficients[2]).all()
    with pytest.raises(InputError, match=r"1 files hold no face; the first holds 7 numbers"):
        read_coefficients(found.parameters[2:3], model, progress=False)
    with pytest.raises(InputError, match="other modes than BFM"):
        read_coefficients(found.parameters, small_model(), progress=False)


def test_package_without_names_is_refused(package):
    (package / "vox1_meta.csv").unlink()
    with pytest.raises(InputError, match=r"comes without vox1_meta\.csv"):
        find_package(package / "AtoE")
    with pytest.raises(InputError, match="no source is given"):
        find_package()
