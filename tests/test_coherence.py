"""Coherence of predicted faces: planted spreads come back, constants are coherent, refusals."""

import numpy as np
import pandas as pd
import pytest

from v2mlib import plot_coherence
from v2mlib.checks import InputError, ShapeError
from v2mlib.plot_pictures import png_bytes
from v2mlib.stats.coherence import coherence_table, face_spread
from v2mlib.stats.reliability import icc


def planted(n=300, m=3, between=2.0, within=1.0, group_gap=0.0, n_vertices=7, seed=0):
    """Faces with known spreads (mm per axis) of people in two groups, m utterances each."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % 2
    own = rng.normal(0, between, (n, n_vertices, 3)) + group_gap * group[:, None, None]
    faces = np.repeat(own, m, axis=0) + rng.normal(0, within, (n * m, n_vertices, 3))
    return faces, np.repeat(np.arange(n), m), np.repeat(group, m)


def test_planted_spreads_come_back():
    faces, identity, group = planted(group_gap=5.0)
    within_group = face_spread(faces, identity, group, n_resamples=200)
    # Two points whose three coordinates each differ with variance 2 sd**2.
    assert within_group.same_speaker == pytest.approx(np.sqrt(6), rel=0.03)
    assert within_group.different_speakers == pytest.approx(np.sqrt(6 * 5), rel=0.03)
    assert within_group.icc == pytest.approx(0.8, abs=0.02)
    for name in ("same_speaker", "different_speakers", "icc"):
        value = getattr(within_group, name)
        assert (
            getattr(within_group, f"{name}_ci_low")
            < value
            < getattr(within_group, f"{name}_ci_high")
        )
    anybody = face_spread(faces, identity, n_resamples=200)
    # A gap between halves adds gap**2 / 4 to each coordinate's variance.
    assert anybody.different_speakers == pytest.approx(np.sqrt(6 * (5 + 25 / 4)), rel=0.03)
    assert anybody.same_speaker == within_group.same_speaker


def test_distances_are_those_of_pairs():
    faces, identity, _ = planted(n=25, m=2, seed=3)
    apart = np.sqrt(((faces[:, None] - faces[None]) ** 2).sum(-1).mean(-1))
    other = identity[:, None] != identity[None]
    same = ~other & ~np.eye(len(faces), dtype=bool)
    found = face_spread(faces, identity, n_resamples=50)
    assert found.same_speaker == pytest.approx(np.sqrt((apart[same] ** 2).mean()), rel=1e-9)
    assert found.different_speakers == pytest.approx(np.sqrt((apart[other] ** 2).mean()), rel=1e-9)


def test_people_with_different_numbers_of_utterances_count_rightly():
    faces, identity, _ = planted(n=600, m=4, seed=1)
    kept = np.random.default_rng(0).random(len(faces)) < 0.6
    found = face_spread(faces[kept], identity[kept], n_resamples=50)
    assert found.icc == pytest.approx(0.8, abs=0.02)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = 0
    for seed in range(100):
        faces, identity, group = planted(n=60, n_vertices=2, seed=seed)
        found = face_spread(faces, identity, group, n_resamples=200)
        held += found.icc_ci_low <= 0.8 <= found.icc_ci_high
    assert 83 <= held <= 100


def test_a_constant_and_a_sex_mean_are_perfectly_coherent():
    _, identity, group = planted(n=20)
    constant = np.full((60, 4, 3), 0.1)
    found = face_spread(constant, identity, n_resamples=50)
    assert found.same_speaker == found.different_speakers == 0
    assert np.isnan(found.icc)
    by_sex = constant + 0.3 * group[:, None, None]
    assert face_spread(by_sex, identity, n_resamples=50).icc == 1
    assert np.isnan(face_spread(by_sex, identity, group, n_resamples=50).icc)
    table = coherence_table(by_sex[:, 0], identity)
    assert table["icc"].to_numpy() == pytest.approx(1)
    assert coherence_table(by_sex[:, 0], identity, group)["icc"].isna().all()


def test_the_table_is_that_of_the_one_way_coefficient():
    faces, identity, group = planted(n=80, group_gap=4.0, seed=5)
    values = pd.DataFrame(faces[:, 0], columns=["width", "height", "depth"])
    plain = coherence_table(values, identity)
    expected = icc(values, identity).query("form == 'icc_1_1'")
    assert plain["icc"].to_numpy() == pytest.approx(expected["icc"].to_numpy(), rel=1e-9)
    assert plain["within_sd"].to_numpy() == pytest.approx(1, abs=0.15)
    ours = plain["between_sd"] ** 2 / (plain["between_sd"] ** 2 + plain["within_sd"] ** 2)
    assert ours.to_numpy() == pytest.approx(plain["icc"].to_numpy(), rel=1e-9)
    within = coherence_table(values, identity, group)
    assert within["between_sd"].to_numpy() == pytest.approx(2, abs=0.6)
    assert (within["icc"] < plain["icc"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identity": [0, 1, 2, 3]}, "one for each speaker"),
        ({"identity": [0, 0, 0, 0]}, "one speaker"),
        ({"group": [0, 1, 0, 1]}, "not one for each identity"),
        ({"group": [0, 0, 1, 1]}, "has one speaker"),
        ({"faces": [[0.0], [1.0], [np.nan], [2.0]]}, "NaN or infinity"),
    ],
)
def test_what_has_no_coherence_is_refused(change, message):
    given = {"faces": [[0.0], [1.0], [2.0], [3.0]], "identity": [0, 0, 1, 1]} | change
    with pytest.raises(InputError, match=message):
        face_spread(**given)
    with pytest.raises(ShapeError, match="identity has shape"):
        face_spread([[0.0], [1.0]], [0])


def test_charts_hold_what_they_were_given():
    names = [
        n + e for n in ("same_speaker", "same_sex", "anybody") for e in ("", "_ci_low", "_ci_high")
    ]
    table = pd.DataFrame([[1.0, 0.9, 1.1, 2.0, 1.9, 2.1, 3.0, 2.9, 3.1]] * 2, columns=names)
    chart = plot_coherence.distances(table.assign(method=["a_b", "c"]), title="Distances")
    assert list(chart.data[-1].x) == [3.0, 3.0]
    assert "(mm" in chart.layout.xaxis.title.text
    rows = pd.DataFrame({"speaker": ["s", "s", "t"], "value": [1.0, 2.0, 3.0], "truth": 2.5})
    dots = plot_coherence.utterances(rows, axis="width (mm)", references={"mean": 2.0})
    assert list(dots.data[-2].y) == [0, 0, 1]
    for figure in (chart, dots):
        assert len(png_bytes(figure)) > 3000
    with pytest.raises(InputError, match="lacks truth"):
        plot_coherence.utterances(rows.drop(columns="truth"), axis="width (mm)")
