"""The Basel model's dense forms, on fake files of the real sizes, and pickles with other ends."""

import collections
import os
import pickle

import numpy as np
import pytest
import scipy.io
import torch
from faces_made import dense_bfm, statistics, write_family, write_pickle

from v2mlib.checks import InputError
from v2mlib.faces import MISSING_LANDMARK, load_face_model
from v2mlib.faces.anatomy import PUBLISHED_BFM
from v2mlib.faces.readers import read_bfm
from v2mlib.faces.readers.pickles import read_arrays
from v2mlib.faces.readers.statistics import read_statistics

MODEL = "bfm_noneck_v3.pkl"
STATISTICS = "param_mean_std_62d_120x120.pkl"


# Keypoints whose outer canthi (landmarks 36 and 45) have changed sides.
SWAPPED = dense_bfm(500)["keypoints"].reshape(68, 3)
SWAPPED[[36, 45]] = SWAPPED[[45, 36]]


def by_formula(arrays, known, shape, expression):
    """Vertices in mm from standardised coefficients, straight from the stored arrays, float64."""
    raw = known["mean"][12:62] + known["std"][12:62].astype(float) * np.r_[shape, expression]
    rows = arrays["u"].ravel().astype(float)
    rows = rows + arrays["w_shp"].astype(float) @ raw[:40]
    rows += arrays["w_exp"].astype(float) @ raw[40:]
    return rows.reshape(-1, 3) / 1000


@pytest.fixture(scope="module")
def small_arrays():
    return dense_bfm(38_365)


@pytest.fixture(scope="module")
def large_arrays():
    return dense_bfm(53_215)


@pytest.fixture(scope="module")
def pickled(tmp_path_factory, small_arrays):
    """A folder as 3DDFA-V2's configs: the model with useless triangles, the right ones beside."""
    folder = tmp_path_factory.mktemp("configs")
    write_pickle(folder / MODEL, {**small_arrays, "tri": small_arrays["tri"][:5]})
    write_pickle(folder / "tri.pkl", small_arrays["tri"].T)
    write_pickle(folder / STATISTICS, statistics())
    np.save(folder / "indices.npy", np.arange(38_365))
    return folder


@pytest.mark.parametrize("given", [MODEL, ""])
def test_pickle_of_3ddfa_v2(pickled, small_arrays, given):
    model = load_face_model(pickled / given)
    assert (model.topology, model.n_shape, model.n_expression) == ("bfm-38365", 40, 10)
    random = np.random.default_rng(0)
    shape, expression = random.normal(size=40), random.normal(size=10)
    expected = by_formula(small_arrays, statistics(), shape, expression)
    assert np.abs(model.decode(shape, expression).numpy() - expected).max() < 2e-3
    triangles = torch.tensor(small_arrays["tri"])
    assert torch.equal(model.triangles.sort(1).values, triangles.sort(1).values)
    assert model.landmarks.tolist() == [7 * landmark for landmark in range(68)]
    assert model.extras["source_vertices"].shape == (38_365,)
    raw = model.to_raw(shape, expression)
    known = statistics()
    assert np.allclose(raw.shape, known["mean"][12:52] + known["std"][12:52] * shape)
    assert torch.allclose(model.from_raw(*raw).shape, torch.tensor(shape), rtol=1e-12)


def test_triangles_of_the_pickle_serve_where_those_beside_are_of_another_mesh(tmp_path):
    arrays = dense_bfm(38_365)
    write_pickle(tmp_path / MODEL, arrays)
    write_pickle(tmp_path / STATISTICS, statistics())
    for other in (arrays["tri"] + 20_000, {"tri": arrays["tri"]}):
        write_pickle(tmp_path / "tri.pkl", other)
        assert len(read_bfm(tmp_path).triangles) == len(arrays["tri"])
    del arrays["tri"]
    write_pickle(tmp_path / MODEL, arrays)
    with pytest.raises(InputError, match=r"holds no triangles: put tri\.pkl of 3DDFA-V2 beside it"):
        read_bfm(tmp_path)


def test_npy_family_of_3ddfa(tmp_path, large_arrays):
    known = statistics(102)  # with texture, as some forks pass it on
    write_family(tmp_path, large_arrays, known)
    model = load_face_model(tmp_path)
    assert (model.topology, model.n_shape, model.n_expression) == ("bfm-53215", 40, 10)
    random = np.random.default_rng(1)
    shape, expression = random.normal(size=40), random.normal(size=10)
    expected = by_formula(large_arrays, known, shape, expression)
    assert np.abs(model.decode(shape, expression).numpy() - expected).max() < 2e-3
    assert model.published_lines == PUBLISHED_BFM
    triangles = torch.tensor(large_arrays["tri"])
    assert torch.equal(model.triangles.sort(1).values, triangles.sort(1).values)
    assert read_bfm(tmp_path / "u_shp.npy").n_vertices == 53_215
    for name in ("keypoints_sim.npy", "w_exp_sim.npy"):
        (tmp_path / name).rename(tmp_path / "away")
        with pytest.raises(InputError, match=rf"{name} does not exist"):
            read_bfm(tmp_path)
        (tmp_path / "away").rename(tmp_path / name)
    (tmp_path / "tri.mat").write_bytes(b"MATLAB 5.0 nothing")
    with pytest.raises(InputError, match=r"tri\.mat is not a sound \.mat file"):
        read_bfm(tmp_path)
    (tmp_path / "tri.mat").unlink()
    with pytest.raises(InputError, match=r"holds no triangles: put one of tri\.mat"):
        read_bfm(tmp_path)


def test_modes_without_statistics_are_left_out(tmp_path):
    arrays = dense_bfm(38_365, n_shape=45, n_expression=12)
    write_pickle(tmp_path / MODEL, arrays)
    write_pickle(tmp_path / STATISTICS, statistics())
    model = read_bfm(tmp_path)
    assert (model.n_shape, model.n_expression) == (40, 10)


@pytest.fixture(scope="module")
def matlab():
    """The arrays of 01_MorphableModel.mat, with 6 of its 199 modes."""
    arrays = dense_bfm(53_490, n_shape=6)
    scale = np.linspace(9e5, 1e5, 6)[:, None].astype(np.float32)
    stored = {"shapeMU": arrays["u"], "shapePC": arrays["w_shp"], "shapeEV": scale}
    return {**stored, "tl": (arrays["tri"] + 1).astype(np.uint32)}, arrays


def test_matlab_file_of_bfm_2009(tmp_path, matlab):
    stored, arrays = matlab
    path = tmp_path / "01_MorphableModel.mat"
    scipy.io.savemat(path, stored)
    model = load_face_model(tmp_path)
    assert (model.topology, model.n_shape, model.n_expression) == ("bfm-53490", 6, 0)
    shape = np.random.default_rng(2).normal(size=6)
    expected = arrays["u"].ravel() + arrays["w_shp"].astype(float) @ (
        stored["shapeEV"].ravel() * shape
    )
    assert np.abs(model.decode(shape).numpy() - expected.reshape(-1, 3) / 1000).max() < 2e-3
    assert (model.landmarks == MISSING_LANDMARK).all()
    with pytest.raises(InputError, match="not among the points known for topology 'bfm-53490'"):
        model.line("outer_interocular")


def test_matlab_file_with_the_trimmed_mesh_beside(tmp_path, matlab):
    stored, arrays = matlab
    scipy.io.savemat(tmp_path / "01_MorphableModel.mat", stored)
    kept = np.arange(53_215)
    triangles = arrays["tri"][(arrays["tri"] < 53_215).all(1)]
    info = {"trimIndex": kept[:, None] + 1, "tri": triangles.T + 1}
    info["keypoints"] = np.arange(68) * 7 + 1
    scipy.io.savemat(tmp_path / "model_info.mat", info)
    model = read_bfm(tmp_path)
    assert model.topology == "bfm-53215"
    assert model.landmarks.tolist() == [7 * landmark for landmark in range(68)]
    assert model.published_lines == PUBLISHED_BFM


def test_matlab_file_without_its_variables(tmp_path, matlab):
    stored, _ = matlab
    path = tmp_path / "01_MorphableModel.mat"
    scipy.io.savemat(path, {"shapeMU": stored["shapeMU"], "tl": stored["tl"]})
    with pytest.raises(InputError, match=r"01_MorphableModel\.mat lacks shapePC, shapeEV"):
        read_bfm(path)
    scipy.io.savemat(path, {**stored, "shapePC": stored["shapePC"][:-3]})
    with pytest.raises(InputError, match=r"modes of \(160467, 6\)"):
        read_bfm(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": None}, "lacks u: give bfm_noneck_v3"),
        ({"keypoints": np.arange(68)}, "68 keypoints that are not x, y, z of 68 landmarks"),
        ({"keypoints": np.arange(204)[::-1].copy()}, "are not x, y, z of 68 landmarks"),
        ({"keypoints": np.arange(204) + 115_092}, "do not fit together"),
        ({"keypoints": SWAPPED}, "do not lie like a face with x left"),
        ({"w_shp": np.zeros((99, 40), np.float32)}, r"modes of \(99, 40\).*two versions"),
        ({"w_exp": np.zeros(38_365 * 3, np.float32)}, r"expression modes of \(115095,\)"),
        ({"u": np.zeros((300, 1), np.float32)}, "mean of 300 numbers"),
    ],
)
def test_arrays_of_the_wrong_size(tmp_path, small_arrays, change, message):
    arrays = {k: v for k, v in {**small_arrays, **change}.items() if v is not None}
    write_pickle(tmp_path / MODEL, arrays)
    write_pickle(tmp_path / STATISTICS, statistics())
    with pytest.raises(InputError, match=message) as caught:
        read_bfm(tmp_path / MODEL)
    assert MODEL in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(tmp_path, small_arrays, value):
    mean = small_arrays["u"].copy()
    mean[1234] = value
    write_pickle(tmp_path / MODEL, {**small_arrays, "u": mean})
    write_pickle(tmp_path / STATISTICS, statistics())
    with pytest.raises(InputError, match=r"bfm_noneck_v3\.pkl holds NaN or infinity"):
        read_bfm(tmp_path)
    shape = small_arrays["w_shp"].copy()
    shape[99, 3] = value
    write_pickle(tmp_path / MODEL, {**small_arrays, "w_shp": shape})
    with pytest.raises(InputError, match="NaN or infinity"):
        read_bfm(tmp_path)


def test_statistics_of_the_wrong_kind(tmp_path):
    path = write_pickle(tmp_path / "param_whitening.pkl", statistics(50))
    with pytest.raises(InputError, match=r"50 means and 50 standard deviations: expected 62"):
        read_statistics(path)
    write_pickle(path, {"other": np.zeros(62)})
    with pytest.raises(InputError, match="lacks mean and std"):
        read_statistics(path)
    (tmp_path / "param_mean_v2.txt").write_text("1 2 three")
    with pytest.raises(InputError, match=r"param_mean_v2\.txt is not a list of numbers"):
        read_statistics(tmp_path / "param_mean_v2.txt")
    (tmp_path / "param_mean_v2.txt").write_text("1 2 3")
    with pytest.raises(InputError, match=r"param_std_v2\.txt does not exist"):
        read_statistics(tmp_path / "param_mean_v2.txt")


class Touch:
    """Unpickled by an ordinary unpickler, this makes a file."""

    def __init__(self, path, how):
        self.path, self.how = str(path), how

    def __reduce__(self):
        calls = {
            "system": (os.system, (f"touch {self.path}",)),
            "eval": (eval, (f"open({self.path!r}, 'w')",)),
            "open": (open, (self.path, "w")),
            "numpy": (np.save, (self.path, np.zeros(1))),
        }
        return calls[self.how]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("how", ["system", "eval", "open", "numpy"])
def test_a_pickle_that_would_run_code_is_refused_before_it_does(tmp_path, how, protocol):
    trace = tmp_path / "trace"
    content = {**statistics(), "u": Touch(trace, how)}
    path = write_pickle(tmp_path / MODEL, content, protocol)
    with pytest.raises(InputError, match=r"bfm_noneck_v3\.pkl is a pickle that asks for .*nothing"):
        load_face_model(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Touch(trace, "open"))).close()
    assert trace.exists()  # it would have


def test_other_objects_are_refused(tmp_path):
    path = tmp_path / "some.pkl"
    for content in (
        collections.OrderedDict(a=np.zeros(3)),
        {"a": np.ma.masked_array([1.0])},
        np.float64(3.0),
        {"a": np.array([print], dtype=object)},
        {"a": np.array([1, None], dtype=object)},
        {"a": np.zeros(2, dtype=[("x", float), ("y", object)])},
    ):
        write_pickle(path, content)
        with pytest.raises(InputError, match=r"some\.pkl .*(more than arrays|not a sound pickle)"):
            read_arrays(path)
    write_pickle(path, [1, 2])
    with pytest.raises(InputError, match="holds a list, not arrays"):
        read_arrays(path)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol_are_read(tmp_path, protocol):
    """Fortran order and odd types too, as older programs wrote them."""
    content = {
        "a": np.arange(12.0, dtype=">f4").reshape(3, 4),
        "b": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "c": np.array([True, False]),
        "text": "left out",
        "d": np.array(["left", "out"]),
    }
    found = read_arrays(write_pickle(tmp_path / "some.pkl", content, protocol))
    assert set(found) == {"a", "b", "c"}
    for name, array in found.items():
        plain = pickle.loads(pickle.dumps(content[name], protocol))
        assert np.array_equal(array, content[name])
        assert (array.dtype, array.strides) == (plain.dtype, plain.strides)


def test_pickles_of_python_2_are_read(tmp_path):
    """Protocol 0 of an old numpy, by its bytes: module names and latin1 text."""
    path = tmp_path / "old.pkl"
    path.write_bytes(
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\n"
        b"dtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00@'\ntb."
    )
    assert read_arrays(path).tolist() == [1.0, 2.0]


def test_damaged_pickles(tmp_path):
    path = write_pickle(tmp_path / "some.pkl", statistics())
    whole = path.read_bytes()
    for damaged in (b"", b"\x80", whole[:-200], whole[:30], b"hello"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"some\.pkl is not a sound pickle .*cut short"):
            read_arrays(path)
    # An array that claims to be larger than any memory.
    honest = pickle.dumps(np.zeros(1), protocol=2)
    path.write_bytes(honest.replace(b"K\x01\x85", b"J\xff\xff\xff\x7f\x85"))
    with pytest.raises(InputError, match=r"some\.pkl"):
        read_arrays(path)
    with pytest.raises(InputError, match=r"absent\.pkl does not exist"):
        read_arrays(tmp_path / "absent.pkl")


def test_folders_and_files_that_are_no_basel_model(tmp_path):
    with pytest.raises(InputError, match=r"holds no Basel face model: looked for bfm_noneck_v3"):
        read_bfm(tmp_path)
    with pytest.raises(InputError, match=r"model\.h5 is not a form of BFM"):
        read_bfm(tmp_path / "model.h5")
