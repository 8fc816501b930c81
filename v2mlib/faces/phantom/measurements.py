"""The phantom face's lengths beside the surveys' figures."""

import numpy as np
import pandas as pd

from v2mlib.faces.phantom.controls import NAMES, measures
from v2mlib.faces.phantom.head import head
from v2mlib.faces.phantom.loading import phantom_model
from v2mlib.faces.phantom.population import anthropometry


def anthropometry_table():
    """Lengths of the phantom population, measured on its faces, beside their targets.

    The population is linear and Gaussian within a sex, so means and standard deviations follow
    from the modes exactly; nothing is sampled. Both sexes share one covariance, hence one
    standard deviation, whose target is the root mean square of the surveys'.

    Returns
    -------
    DataFrame
        Index: the controls' names. Columns, in mm: ``female_mean_mm``, ``female_target_mm``,
        ``male_mean_mm``, ``male_target_mm``, ``difference_mm`` (male minus female),
        ``difference_target_mm``, ``sd_mm`` (within a sex), ``sd_target_mm``; ``status`` of the
        target (``computed`` from survey data, ``quoted`` from a publication, ``assumed``) and
        its ``source``. Target means are NaN where only differences are assumed.
    """
    model = phantom_model()
    onto = measures(head())
    mean = onto @ model.mean.double().numpy().ravel()
    basis = model.shape_basis.double() * model.shape_std.double()
    per_mode = onto @ basis.numpy().reshape(-1, model.n_shape)  # (length, shape), mm
    sex = model.extras["sex_direction"].double().numpy()
    half = per_mode @ sex
    within = np.eye(model.n_shape) - np.outer(sex, sex)
    variance = np.einsum("ls,st,lt->l", per_mode, within, per_mode)
    target = anthropometry()
    spread = np.sqrt((target.female_sd_mm**2 + target.male_sd_mm**2) / 2)
    return pd.DataFrame(
        {
            "female_mean_mm": mean - half,
            "female_target_mm": target.female_mean_mm.to_numpy(),
            "male_mean_mm": mean + half,
            "male_target_mm": target.male_mean_mm.to_numpy(),
            "difference_mm": 2 * half,
            "difference_target_mm": target.male_minus_female_mm.to_numpy(),
            "sd_mm": np.sqrt(variance),
            "sd_target_mm": spread.to_numpy(),
            "status": target.status.to_numpy(),
            "source": target.source.to_numpy(),
        },
        index=pd.Index(NAMES, name="measure"),
    )
