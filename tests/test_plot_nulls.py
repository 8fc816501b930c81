"""Pictures of nulls, ceilings, power and bits: what they show changes when the numbers do."""

import numpy as np
import pandas as pd
import pytest

from v2mlib import plot_nulls
from v2mlib.checks import InputError

RED, GREEN = (192, 57, 43), (0, 158, 115)


def count(picture, colour):
    """Pixels near a colour."""
    gap = np.abs(np.asarray(picture.convert("RGB"), dtype=int) - colour).max(-1)
    return int((gap < 30).sum())


def columns_of(picture, colour):
    gap = np.abs(np.asarray(picture.convert("RGB"), dtype=int) - colour).max(-1)
    return np.flatnonzero((gap < 30).any(0))


@pytest.fixture
def shares():
    rows = [
        (m, k, 0.4, 0.3, 0.5) for m in ("ear_ratio", "chin_mm") for k in ("supervised", "ridge")
    ]
    return pd.DataFrame(rows, columns=["measure", "method", "r_squared", "ci_low", "ci_high"])


def test_the_true_pairing_stands_where_it_is():
    rng = np.random.default_rng(0)
    nulls = {name: pd.DataFrame({"ear": rng.normal(0, 0.05, 500)}) for name in ("freely", "within")}
    near, far = (
        plot_nulls.permutation_histograms(nulls, {"ear": value}, columns=1) for value in (0.0, 0.5)
    )
    assert columns_of(near, RED).max() < columns_of(far, RED).max() - 100
    many = {"freely": pd.DataFrame(rng.normal(size=(50, 5)), columns=list("abcde"))}
    grid = plot_nulls.permutation_histograms(many, dict.fromkeys("abcde", 0.0), title="T")
    assert grid.height > near.height
    with pytest.raises(InputError, match="lacks"):
        plot_nulls.permutation_histograms(nulls, {})


def test_ceilings_are_marked(shares):
    without = plot_nulls.explained_bars(shares, {})
    marks = {"law": {"ear_ratio": 0.5, "chin_mm": 0.45}}
    assert count(plot_nulls.explained_bars(shares, marks), GREEN) > count(without, GREEN) + 50
    with pytest.raises(InputError, match="lacks ci_high"):
        plot_nulls.explained_bars(shares.drop(columns="ci_high"), {})


def test_power_has_a_curve_per_strength():
    theory = pd.DataFrame([(r, n, 0.5) for r in (0.1, 0.3) for n in (50, 500)], columns=list("rnp"))
    theory = theory.rename(columns={"p": "power"})
    simulated = theory.assign(band_low=0.4, band_high=0.6)
    plain = plot_nulls.power_curves(theory)
    marked = plot_nulls.power_curves(theory, simulated, marks={"here": (100, 0.7)}, title="T")
    assert count(marked, RED) > 30 > count(plain, RED)
    with pytest.raises(InputError, match="lacks power"):
        plot_nulls.power_curves(theory[["r", "n"]])


def test_bits_and_calibration():
    bits = pd.DataFrame({"case": ["a", "b"], "sex": [1.0, 0.5], "within_sex": [2.0, 0.0]})
    assert count(plot_nulls.bits_bars(bits, needed={"one of 301": 8.2}, title="T"), RED) > 100
    rows = pd.DataFrame(
        {"what": ["t"], "observed": [0.05], "band_low": [0.03], "band_high": [0.07]}
    )
    good = plot_nulls.calibration(rows, nominal=0.05, axis="share (%)")
    bad = plot_nulls.calibration(rows.assign(observed=0.2), nominal=0.05, axis="share (%)")
    assert count(bad, RED) > 20 > count(good, RED)
    with pytest.raises(InputError, match="lacks"):
        plot_nulls.calibration(rows[["what"]], nominal=0.05, axis="x")
    with pytest.raises(InputError, match="lacks"):
        plot_nulls.bits_bars(bits[["case"]], needed={})
