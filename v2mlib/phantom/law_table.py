"""The law as data one can read: per line, what is stated and what is realised."""

import numpy as np
import pandas as pd

from v2mlib.faces.lines import RATIO_LINES
from v2mlib.phantom.attributes import VOICE_ATTRIBUTES


def law_table(law, *, n_people=20_000, seed=0):
    """Tabulate which lines are linked to the voice, and how strongly.

    Parameters
    ----------
    law : Law
        The law of a population.
    n_people : int
        Simulated people for the realised columns.
    seed : int
        Of the simulation.

    Returns
    -------
    pandas.DataFrame
        See `Law.table`.
    """
    sex, voice, coefficients = law.draw(n_people, seed)
    quantities = [("ratio", line) for line in RATIO_LINES]
    quantities += [("length", line) for line in law.frame.names]
    jacobian = np.vstack([law.frame.ratio_jacobian(), law.frame.length_jacobian()])
    values = np.hstack([law.frame.ratios(coefficients), law.frame.lengths(coefficients)])

    whitened = jacobian @ law.within_root
    spread = np.linalg.norm(whitened, axis=1)
    correlations = whitened @ law.voice_link / spread[:, None]  # (line, voice)
    r_squared, realised, d = (correlations**2).sum(1), *realised_link(sex, voice, values)
    table = pd.DataFrame(
        {
            "line": [line for _, line in quantities],
            "quantity": [quantity for quantity, _ in quantities],
            "r_squared": r_squared,
            "r_squared_realised": realised,
            # Large-sample standard error of a squared multiple correlation.
            "r_squared_se": np.sqrt(4 * realised * (1 - realised) ** 2 / n_people),
            "d_natural": 2 * jacobian @ law.natural_half_difference / spread,
            "d": 2 * jacobian @ law.half_difference / spread,
            "d_realised": d,
            "d_se": np.sqrt(4 / n_people + d**2 / (2 * n_people)),
        }
    )
    for column, name in enumerate(VOICE_ATTRIBUTES):
        table[f"r_{name}"] = correlations[:, column]
    for column, statistic in (("r_squared_stated", "r_squared"), ("d_stated", "d")):
        rows = law.statements[law.statements["statistic"] == statistic]
        stated = dict(
            zip(zip(rows["quantity"], rows["name"], strict=True), rows["value"], strict=True)
        )
        factor = law.coupling**2 if statistic == "r_squared" else 1.0
        table[column] = [factor * stated.get(quantity, np.nan) for quantity in quantities]
    table["stated"] = table["r_squared_stated"].notna()
    first = ["line", "quantity", "stated", "r_squared_stated", "r_squared"]
    return table[first + [name for name in table if name not in first]]


def realised_link(sex, voice, values):
    """Within-sex share explained by the voice, and the sex difference, measured on people.

    Parameters
    ----------
    sex : ndarray, (person,)
        +1 male, -1 female.
    voice : ndarray, (person, voice)
        Standardised voice attributes.
    values : ndarray, (person, line)
        Lengths or ratios.

    Returns
    -------
    r_squared : ndarray, (line,)
        Of the regression on the voice within each sex.
    d : ndarray, (line,)
        Male minus female mean in within-sex sds.
    """
    male = np.asarray(sex) > 0
    difference = values[male].mean(0) - values[~male].mean(0)

    def centred(array):
        return array - np.where(male[:, None], array[male].mean(0), array[~male].mean(0))

    within, predictors = centred(values), centred(np.asarray(voice, dtype=float))
    fitted = predictors @ np.linalg.lstsq(predictors, within, rcond=None)[0]
    variance = (within**2).mean(0)
    return (fitted**2).mean(0) / variance, difference / np.sqrt(variance)
