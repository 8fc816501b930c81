"""Scores of methods on a world: by construction, by hand, refusals."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import MorphableModel
from v2mlib.metrics.scoring import (
    LINKED,
    RMSE,
    coefficient_errors,
    linked_directions,
    score_methods,
)

LINES = ("outer_interocular", "ear", "forehead", "midline", "cheek")


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 30, (10, 3))
    mean[1::2] = mean[::2] + np.array([100, 0, 0])
    pairs = {name: (2 * i, 2 * i + 1) for i, name in enumerate(LINES)}
    return MorphableModel(
        mean=mean,
        shape_basis=rng.normal(0, 1, (10, 3, 6)),
        expression_basis=rng.normal(0, 1, (10, 3, 2)),
        shape_std=np.linspace(3, 1, 6),
        expression_std=np.ones(2),
        triangles=[[0, 1, 2]],
        landmarks=np.zeros(68),
        lines=pairs,
        published_lines=pairs | {"outer_interocular": (0, 3)},
    )


@pytest.fixture
def world():
    identities = pd.DataFrame(
        {
            "identity": [f"id{i:05d}" for i in range(8)],
            "sex": list("mfmfmfmf"),
            "split": ["train", "test", "test", "train", "test", "test", "validation", "test"],
        }
    )
    reference = np.random.default_rng(1).normal(size=(8, 6))
    return SimpleNamespace(identities=identities, reference_coefficients=reference)


def test_errors_are_those_of_the_measured_lines(model):
    rng = np.random.default_rng(2)
    predicted, reference = rng.normal(size=(2, 300, 6))
    found = coefficient_errors(predicted, reference, model)
    for row in (0, 150, 299):
        ratios, faces = [], []
        for c in (predicted[row], reference[row]):
            vertices = model.decode(torch.tensor(c, dtype=torch.float32)).numpy()
            faces.append(vertices)
            lengths = np.linalg.norm(vertices[::2] - vertices[1::2], axis=1)
            slanted = np.linalg.norm(vertices[0] - vertices[3])
            ratios.append((lengths[1:] / lengths[0], lengths[1:] / slanted))
        corrected = abs(ratios[0][0] - ratios[1][0])
        published = abs(ratios[0][1] - ratios[1][1])
        assert found.loc[row, ["ear", "forehead", "midline", "cheek"]].to_numpy() == pytest.approx(
            corrected, abs=1e-5
        )
        assert found.loc[row, "mean"] == pytest.approx(corrected.mean(), abs=1e-5)
        assert found.loc[row, "published_mean"] == pytest.approx(published.mean(), abs=1e-5)
        distance = np.linalg.norm(faces[0] - faces[1], axis=1)
        assert found.loc[row, RMSE] == pytest.approx(np.sqrt((distance**2).mean()), rel=1e-5)


def test_linked_error_sees_only_what_moves_the_ratios(model):
    directions = linked_directions(model)
    assert directions.shape == (6, 4)
    assert directions.T @ directions == pytest.approx(np.eye(4), abs=1e-6)
    reference = np.zeros((2, 6))
    unlinked = np.linalg.svd(directions.T)[2][-1]
    predicted = np.stack([unlinked, 2 * directions[:, 1]])
    found = coefficient_errors(predicted, reference, model)[LINKED]
    assert found.to_numpy() == pytest.approx([0, 4], abs=1e-9)
    # To first order such a step leaves every ratio where it was.
    small = coefficient_errors(1e-3 * predicted, reference, model)["mean"]
    assert small[0] < 1e-3 * small[1]


def test_headline_averages_coefficients_second_column_averages_errors(model, world):
    test = world.identities.query("split == 'test'")["identity"]
    reference = world.reference_coefficients[test.index]
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.5, (5, 6))
    # Two utterances on either side of the truth: their average is right, each is not.
    rows = pd.DataFrame(
        np.concatenate([reference + noise, reference - noise]), index=[*test, *test]
    )
    scores = score_methods(
        world, {"pair": rows.sample(frac=1, random_state=0), "truth": reference}, model=model
    )
    assert set(scores.columns) == {
        "identity", "sex", "method", "measure", "error", "error_per_utterance",
    }  # fmt: skip
    pair = scores.query("method == 'pair' and measure == 'mean'").set_index("identity")
    assert pair["error"].to_numpy() == pytest.approx(0, abs=1e-5)
    each = [
        coefficient_errors(reference[[i]] + sign * noise[[i]], reference[[i]], model)["mean"][0]
        for i in range(5)
        for sign in (1, -1)
    ]
    expected = np.reshape(each, (5, 2)).mean(axis=1)
    assert pair.loc[test, "error_per_utterance"].to_numpy() == pytest.approx(expected, abs=1e-6)
    truth = scores.query("method == 'truth'")
    assert truth["error"].abs().max() < 1e-6
    assert (truth["error"] == truth["error_per_utterance"]).all()
    assert len(scores) == 2 * 5 * 12


def test_rows_of_other_splits_are_left_out(model, world):
    everybody = pd.DataFrame(world.reference_coefficients, index=world.identities["identity"])
    scores = score_methods(world, {"truth": everybody}, model=model)
    assert set(scores["identity"]) == {"id00001", "id00002", "id00004", "id00005", "id00007"}
    assert scores["error"].abs().max() < 1e-6


def test_refusals(model, world):
    with pytest.raises(ShapeError, match=r"\(4, 6\), expected \(identity=5, shape\)"):
        score_methods(world, {"short": np.zeros((4, 6))}, model=model)
    some = pd.DataFrame(np.zeros((2, 6)), index=["id00001", "id00002"])
    with pytest.raises(InputError, match="coefficients of some lack 3 of 5 identities"):
        score_methods(world, {"some": some}, model=model)
    with pytest.raises(ShapeError, match="expected the same"):
        coefficient_errors(np.zeros((2, 6)), np.zeros((3, 6)), model)
