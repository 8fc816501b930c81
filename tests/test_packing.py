"""What the browser is sent of every kind of face model: within the stated error, and small."""

import functools

import numpy as np
import pytest
from faces_made import dense_bfm, small_model, statistics, write_pickle
from test_faces_readers import REAL

import v2mlib as v2m
from v2mlib.faces import load_face_model
from v2mlib.widgets import packing

KINDS = ("phantom", "made", "bfm pickle", "bfm 53,215 vertices", *REAL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@functools.cache
def pickled(folder, n_vertices):
    place = folder / f"{n_vertices}"
    place.mkdir()
    write_pickle(place / "bfm_noneck_v3.pkl", dense_bfm(n_vertices))
    write_pickle(place / "param_mean_std_62d_120x120.pkl", statistics())
    return load_face_model(place)


@pytest.fixture(params=KINDS)
def model(request, folder):
    if request.param == "phantom":
        return load_face_model("phantom")
    if request.param == "made":
        return small_model(n_shape=199, n_expression=64)  # as many modes as models have
    if request.param.startswith("bfm "):
        return pickled(folder, 53_215 if "53" in request.param else 38_365)
    return load_face_model(request.getfixturevalue("real_data") / REAL[request.param])


def as_browser(payload, coefficients):
    """Vertices as mesh.js adds them up: float32 positions, one mode after the other."""
    positions = packing.unpack_vertices(payload).astype(np.float32)
    modes = np.frombuffer(payload["modes"], "<i2").reshape(-1, len(positions), 3)
    for part, (step, mode) in enumerate(zip(payload["mode_steps"], modes, strict=True)):
        positions += np.float32(coefficients[part % len(coefficients)] * step) * mode
    return positions


def extremes(model):
    """Coefficients at 1 and 3 standard deviations, with random signs."""
    rng = np.random.default_rng(0)
    return [reach * rng.choice([-1.0, 1.0], model.n_shape + model.n_expression) for reach in (1, 3)]


def test_every_kind_of_model_arrives_within_the_stated_error(model):
    view = v2m.MeshView(model)
    assert view.packing_error_mm < packing.MAX_ERROR_MM
    payload = view._packed()
    for coefficients in extremes(model):
        view.shape_coefficients = coefficients[: model.n_shape]
        view.expression_coefficients = coefficients[model.n_shape :]
        error = np.abs(as_browser(payload, coefficients) - view.vertices).max()
        rounding = 1e-6 * np.abs(view.vertices).max() * max(len(coefficients), 1) ** 0.5
        assert error <= view.packing_error_mm + rounding
        assert error < packing.MAX_ERROR_MM
    # Two bytes for each number, and nothing twice unless it must be.
    parts = 2 if model.name == "made" else 1
    assert len(payload["modes"]) == parts * 6 * model.n_vertices * len(coefficients)
    assert len(payload["vertices"]) == 6 * model.n_vertices


def test_coarse_steps_are_made_finer_and_the_bound_can_fail():
    basis = np.random.default_rng(0).normal(size=(50, 3, 4)) * 2000.0
    vertices = packing.pack_vertices(np.zeros((50, 3)))
    once = packing.pack_modes(basis, room=np.inf)
    assert packing.packing_error({**vertices, **once}) > packing.MAX_ERROR_MM
    names = {"shape_names": ["a", "b", "c", "d"]}
    twice = {**vertices, **names, **packing.pack_modes(basis)}
    assert len(twice["modes"]) == 2 * len(once["modes"])
    assert packing.packing_error(twice) < packing.MAX_ERROR_MM
    coefficients = [3.0, -3.0, 2.0, 1.0]
    for packed, low, high in (({**vertices, **once}, 0.05, 1), (twice, 0, 0.01)):
        error = np.abs(as_browser(packed, coefficients) - basis @ coefficients).max()
        assert low <= error - 0.002 * high < high
