"""Probes of embeddings, their charts, and what ships of a training."""

import numpy as np
import pandas as pd
import pytest

from v2mlib import plot_pictures, plot_training
from v2mlib.checks import InputError
from v2mlib.fitting.probes import linear_probe


def left_out_by_a_loop(embeddings, values, penalty):
    """The same prediction, one person at a time, with an intercept that is not shrunk."""
    found = []
    for person in range(len(values)):
        rest = np.arange(len(values)) != person
        centre, mean = embeddings[rest].mean(0), values[rest].mean()
        rows, wanted = embeddings[rest] - centre, values[rest] - mean
        weights = np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T @ wanted)
        found.append((embeddings[person] - centre) @ weights + mean)
    return np.array(found)


def test_people_are_predicted_from_the_others_alone(monkeypatch):
    rng = np.random.default_rng(0)
    embeddings, values = rng.standard_normal((40, 5)), rng.standard_normal(40)
    monkeypatch.setattr("v2mlib.fitting.probes._PENALTIES", np.array([0.5]))
    found = linear_probe(embeddings, values, n_shuffles=2)
    centred = embeddings - embeddings.mean(0)
    penalty = 0.5 * (np.linalg.svd(centred)[1] ** 2).mean()
    wanted = left_out_by_a_loop(embeddings, values, penalty)
    np.testing.assert_allclose(found.predicted + values.mean(), wanted, atol=1e-10)
    rest = ((values - wanted) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    assert found.explained == pytest.approx(1 - rest)
    assert found.ci_low < found.explained < found.ci_high


def test_within_groups_the_group_is_not_heard():
    rng = np.random.default_rng(1)
    group = np.arange(300) % 2
    embeddings = rng.standard_normal((300, 6)) + 3.0 * group[:, None]
    values = 5.0 * group + rng.standard_normal(300)
    assert linear_probe(embeddings, values).explained > 0.8
    within = linear_probe(embeddings, values, groups=group)
    assert within.explained < max(within.null_high, 0.02)


def test_what_does_not_vary_is_refused():
    with pytest.raises(InputError, match="do not vary"):
        linear_probe(np.eye(4), np.ones(4))


def test_charts_show_what_they_are_given():
    steps = {"step": [25, 50], "loss": [1.0, 0.9], "validation_loss": [1.0, 0.95]}
    for name in ("skill", "within_sex_skill"):
        steps |= {name: [0.1, 0.5], f"{name}_ci_low": [0.0, 0.4], f"{name}_ci_high": [0.2, 0.6]}
    table = pd.DataFrame(steps)
    drawn = (plot_training.losses(table), plot_training.skills(table))
    shown = {trace.name: list(trace.y) for figure in drawn for trace in figure.data if trace.name}
    assert shown["validation people"] == [1.0, 0.95]
    assert shown["within sex"] == [0.1, 0.5]
    rows = [
        {"encoder": encoder, "quantity": quantity, "explained": 0.5, "ci_low": 0.4,
         "ci_high": 0.6, "null_high": 0.05}
        for encoder in ("untrained", "end_to_end") for quantity in ("sex", "pitch_hz")
    ]  # fmt: skip
    probed = plot_training.probes(pd.DataFrame(rows))
    assert [len(trace.x) for trace in probed.data] == [2, 2, 2]
    assert list(probed.layout.yaxis.ticktext) == ["sex", "pitch"]
    people = pd.DataFrame({"x": np.arange(10.0), "y": np.ones(10), "h": np.arange(10.0)})
    mapped = plot_training.embedding_map(people, colour="h", unit="mm")
    assert [len(trace.x) for trace in mapped.data] == [2] * 5
    for figure in (*drawn, probed, mapped):
        assert len(plot_pictures.png_bytes(figure)) > 1000
