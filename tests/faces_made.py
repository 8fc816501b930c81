"""Small face models and fake dense BFM files, made by the tests that need them."""

import pickle

import numpy as np
import scipy.io
import torch

from v2mlib.faces import MorphableModel
from v2mlib.faces.lines import DIVISOR, RATIO_LINES

#: A face in coarse strokes, mm: iBUG number -> position. The rest of the 68 lie between.
_STROKES = {36: (-43, 26, 87), 45: (43, 26, 87), 30: (0, -8, 132), 8: (0, -86, 96)}


def small_model(n_vertices=90, n_shape=5, n_expression=3, seed=0, **fields):
    """A random linear model with lines between its first vertices and one triangle."""
    random = np.random.default_rng(seed)
    names = (DIVISOR, *RATIO_LINES, "nose_length")
    lines = {name: (2 * k, 2 * k + 1) for k, name in enumerate(names)}
    arrays = {
        "mean": random.normal(size=(n_vertices, 3)) * 50,
        "shape_basis": random.normal(size=(n_vertices, 3, n_shape)),
        "expression_basis": random.normal(size=(n_vertices, 3, n_expression)),
        "shape_std": random.uniform(0.5, 3, n_shape),
        "expression_std": random.uniform(0.5, 3, n_expression),
        "triangles": [[0, 1, 2], [2, 3, 4]],
        "landmarks": np.arange(68),
        "lines": lines,
        "published_lines": {name: lines[name] for name in (DIVISOR, *RATIO_LINES)},
        "regions": {"nose": [1, 2, 3]},
        "topology": f"made-{n_vertices}",
        "name": "made",
    }
    return MorphableModel(**{**arrays, **fields})


def basel(n_shape=40, n_expression=10):
    """A small model that stands for BFM, whose mean parameters are not 0."""
    random = np.random.default_rng(1)
    return small_model(
        n_shape=n_shape,
        n_expression=n_expression,
        topology="bfm-90",
        mean=torch.as_tensor(random.normal(size=(90, 3)) * 50),
        shape_basis=random.normal(size=(90, 3, n_shape)) * 1e-5,
        shape_std=random.uniform(0.5e5, 2e5, n_shape),
        shape_raw_mean=random.normal(size=n_shape) * 1e5,
        expression_raw_mean=random.normal(size=n_expression),
    )


def dense_bfm(n_vertices, *, n_shape=40, n_expression=10, seed=0):
    """Arrays of a fake dense BFM in its own layout: micrometres, x, y, z of each vertex in turn."""
    random = np.random.default_rng(seed)
    ball = random.normal(size=(n_vertices, 3))
    neutral = ball / np.linalg.norm(ball, axis=1, keepdims=True) * (70, 90, 60) + (0, 0, 70)
    keypoints = np.arange(68) * 7
    for landmark, position in _STROKES.items():
        neutral[keypoints[landmark]] = position
    rows = (3 * keypoints[:, None] + np.arange(3)).ravel()
    start = np.arange(0, n_vertices - 3, 40)
    triangles = np.stack([start, start + 1, start + 2], axis=1)
    triangles[-1] = n_vertices - np.array([3, 2, 1])
    size = 3 * n_vertices
    return {
        "u": (neutral * 1000).reshape(-1, 1).astype(np.float32),
        "w_shp": random.normal(scale=0.005, size=(size, n_shape)).astype(np.float32),
        "w_exp": random.normal(scale=500, size=(size, n_expression)).astype(np.float32),
        "keypoints": rows,
        "tri": triangles,
    }


def statistics(n=62, seed=1):
    """Fake parameter statistics of the usual sizes: shape around 1e5, expression around 1."""
    random = np.random.default_rng(seed)
    scale = np.ones(n)
    scale[12:52] = 1e5
    mean, std = random.normal(size=n) * scale * 0.3, random.uniform(0.5, 1.5, n) * scale
    return {"mean": mean.astype(np.float32), "std": std.astype(np.float32)}


def write_pickle(path, content, protocol=4):
    """Pickle something."""
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def write_family(folder, arrays, known):
    """The .npy files of 3DDFA, its MATLAB triangles (counted from 1, columns) and whitening."""
    half = arrays["u"] / 2
    files = {
        "u_shp": half,
        "u_exp": arrays["u"] - half,
        "w_shp_sim": arrays["w_shp"],
        "w_exp_sim": arrays["w_exp"],
        "keypoints_sim": arrays["keypoints"],
    }
    for name, array in files.items():
        np.save(folder / f"{name}.npy", array)
    scipy.io.savemat(folder / "tri.mat", {"tri": arrays["tri"].T + 1})
    stored = {"param_mean": known["mean"], "param_std": known["std"]}
    write_pickle(folder / "param_whitening.pkl", stored)
