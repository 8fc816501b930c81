"""The simulated population: published moments of lengths, and the shape modes they imply."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.faces.phantom import fields as f
from v2mlib.faces.phantom.controls import NAMES, control_fields, measures
from v2mlib.paths import shipped

N_SHAPE = 40
RESIDUAL_MM, ASYMMETRY_MM = 0.6, 0.3
N_SYMMETRIC, N_ASYMMETRIC = 4, 1
LENGTH_WEIGHT_MM = 0.5
_DIFFERENCE = "male minus female "
# Groups of lengths that grow together where no survey gives their correlation.
_FACTORS = {
    "size": ("head_breadth head_length head_height bizygomatic bitragion_breadth forehead_breadth "
             "jaw_width midcheek_width neck_breadth menton_sellion nose_length face_depth "
             "jaw_angle_height outer_interocular mouth_width ear_length", 0.42),
    "breadth": ("head_breadth bizygomatic bitragion_breadth forehead_breadth jaw_width "
                "midcheek_width outer_interocular interpupillary intercanthal mouth_width "
                "nose_width neck_breadth", 0.42),
    "height": ("menton_sellion nose_length upper_lip_height jaw_angle_height head_height", 0.45),
    "fat": ("jaw_width midcheek_width cheek_width neck_breadth bizygomatic", 0.5),
    "eyes": ("interpupillary intercanthal outer_interocular nasal_root_breadth", 0.55),
    "nose": ("nose_width nose_tip_breadth nose_projection alar_height", 0.4),
    "lips": ("upper_vermilion lower_vermilion lip_protrusion", 0.6),
    "ear": ("ear_length ear_breadth ear_protrusion", 0.35),
}  # fmt: skip
# Lengths that share a stretch of the face: parts and wholes, neighbours.
_PAIRS = {
    ("menton_sellion", "nose_length"): 0.62, ("menton_sellion", "upper_lip_height"): 0.50,
    ("nose_length", "upper_lip_height"): 0.10, ("interpupillary", "intercanthal"): 0.88,
    ("interpupillary", "outer_interocular"): 0.93, ("intercanthal", "outer_interocular"): 0.75,
    ("bizygomatic", "bitragion_breadth"): 0.80, ("head_breadth", "bitragion_breadth"): 0.60,
    ("bizygomatic", "midcheek_width"): 0.75, ("bizygomatic", "jaw_width"): 0.60,
    ("jaw_width", "midcheek_width"): 0.60, ("jaw_width", "cheek_width"): 0.75,
    ("midcheek_width", "cheek_width"): 0.75, ("bizygomatic", "cheek_width"): 0.50,
    ("bizygomatic", "forehead_breadth"): 0.50, ("head_breadth", "forehead_breadth"): 0.60,
    ("jaw_width", "chin_width"): 0.40, ("lower_vermilion", "upper_vermilion"): 0.55,
}  # fmt: skip


class Moments(NamedTuple):
    """Moments of the controls' lengths.

    Attributes
    ----------
    mean : ndarray, (control,), mm
        Over the 50/50 mixture of sexes; NaN where no survey gives it.
    half_difference : ndarray, (control,), mm
        Half the male minus female difference.
    within : ndarray, (control, control), mm^2
        Covariance within a sex.
    """

    mean: np.ndarray
    half_difference: np.ndarray
    within: np.ndarray


def anthropometry():
    """Target moments of every control's length, with sources.

    Returns
    -------
    DataFrame
        Index: measure. Columns: ``female_mean_mm``, ``female_sd_mm``, ``male_mean_mm``,
        ``male_sd_mm`` (mean NaN where assumed), ``male_minus_female_mm``, ``status`` (computed
        from survey data, quoted from a publication, or assumed), ``source``.
    """
    table = pd.read_csv(shipped("anthropometry.csv")).set_index("measure").loc[list(NAMES)]
    difference = table.male_mean_mm - table.female_mean_mm
    assumed = table.status == "assumed"
    text = table.source[assumed].str.removeprefix(_DIFFERENCE).str.split().str[0]
    difference[assumed] = text.astype(float)
    table["male_minus_female_mm"] = difference
    return table


def moments():
    """Joint moments of the lengths: survey figures, ANSUR II correlations, factors for the rest.

    Returns
    -------
    Moments
        In the order of the controls.
    """
    table = anthropometry()
    sd = np.sqrt((table.female_sd_mm**2 + table.male_sd_mm**2) / 2).to_numpy()
    loading = np.zeros((len(NAMES), len(_FACTORS)))
    for column, (members, strength) in enumerate(_FACTORS.values()):
        loading[[NAMES.index(name) for name in members.split()], column] = strength
    correlation = loading @ loading.T
    for (one, other), value in _PAIRS.items():
        i, j = NAMES.index(one), NAMES.index(other)
        correlation[i, j] = correlation[j, i] = value
    measured = pd.read_csv(shipped("anthropometry_correlation.csv"), index_col=0)
    rows = [NAMES.index(name) for name in measured.index]
    correlation[np.ix_(rows, rows)] = measured.to_numpy()
    np.fill_diagonal(correlation, 1.0)
    correlation = _nearest_correlation(correlation)
    mean = ((table.female_mean_mm + table.male_mean_mm) / 2).to_numpy()
    half = table.male_minus_female_mm.to_numpy() / 2
    return Moments(mean, half, correlation * np.outer(sd, sd))


class ShapeModes(NamedTuple):
    """Shape space of the population.

    Attributes
    ----------
    mean : ndarray, (cage vertex, xyz=3), mm
        Mean cage, with the surveys' mean lengths.
    basis : ndarray, (cage vertex, xyz=3, shape), mm
        Displacement by one standard deviation of each mode.
    std : ndarray, (shape,), mm
        Root-mean-square displacement of the weighted surface by one standard deviation.
    sex_direction : ndarray, (shape,)
        Half the male minus female difference in standardised coefficients.
    from_controls : ndarray, (shape, control)
        Standardised coefficients per within-sex sd of each length, the other lengths unchanged.
    explained : float
        Share of the weighted variance that the modes keep.
    """

    mean: np.ndarray
    basis: np.ndarray
    std: np.ndarray
    sex_direction: np.ndarray
    from_controls: np.ndarray
    explained: float


def shape_modes(head, n_shape=N_SHAPE):
    """Principal modes of the population, exactly from its moments.

    Parameters
    ----------
    head : Head
        The sculpted head.
    n_shape : int
        Modes to keep.

    Returns
    -------
    ShapeModes
        Whose coefficients have identity covariance over the mixture (up to truncation).
    """
    target = moments()
    fields = control_fields(head)
    count = len(NAMES)
    onto = measures(head).reshape(count, -1)
    mixing = onto @ lift(head, fields).reshape(-1, count)
    unmix = np.linalg.inv(mixing)
    wanted = np.where(np.isnan(target.mean), 0.0, target.mean - onto @ head.vertices.ravel())
    mean = head.cage + fields @ (unmix @ wanted)

    per_length = fields @ unmix  # one mm of one length, the others unchanged
    residual = residual_fields(head, per_length, onto)
    generators = np.concatenate([per_length, residual], axis=-1)
    n_residual = residual.shape[-1]
    half = np.concatenate([target.half_difference, np.zeros(n_residual)])
    covariance = np.zeros((len(half), len(half)))
    covariance[:count, :count] = target.within
    size = np.repeat([RESIDUAL_MM, ASYMMETRY_MM], [N_SYMMETRIC, N_ASYMMETRIC])
    covariance[count:, count:] = np.diag(size**2)
    total = covariance + np.outer(half, half)

    weight = np.sqrt(vertex_weights(head))
    moved = lift(head, generators) * weight[:, None, None]
    # By displacement alone, lids and lips would drown in jaw and skull: the lengths count too.
    lengths = onto @ lift(head, generators).reshape(-1, len(half))
    sd = np.sqrt(np.diag(target.within))
    flat = np.concatenate([moved.reshape(-1, len(half)), LENGTH_WEIGHT_MM * lengths / sd[:, None]])
    root = np.linalg.cholesky(total)
    _, singular, right = np.linalg.svd(flat @ root, full_matrices=False)
    generator = root @ right[:n_shape].T  # columns: generator amounts for one sd of each mode
    basis = generators @ generator
    # Deterministic signs: a positive coefficient makes the face broader at the zygomata.
    bizygomatic = onto[NAMES.index("bizygomatic")] @ lift(head, basis).reshape(-1, n_shape)
    sign = np.where(bizygomatic < 0, -1.0, 1.0)
    basis, generator = basis * sign, generator * sign
    # Coefficients of a generator amount a: the least-squares inverse in the weighted metric.
    to_modes = sign[:, None] * (right[:n_shape] @ np.linalg.inv(root))
    return ShapeModes(
        mean,
        basis,
        singular[:n_shape],
        to_modes @ half,
        to_modes[:, :count] * sd,
        float((singular[:n_shape] ** 2).sum() / (singular**2).sum()),
    )


def residual_fields(head, per_length, onto, *, symmetric=N_SYMMETRIC, asymmetric=N_ASYMMETRIC):
    """Smooth unnamed fields that leave every named length alone.

    Parameters
    ----------
    head : Head
        The sculpted head.
    per_length : ndarray, (cage vertex, xyz=3, control), mm per mm
        Fields that change one length each.
    onto : ndarray, (control, vertex * xyz)
        The measures.
    symmetric, asymmetric : int
        How many of each kind.

    Returns
    -------
    ndarray, (cage vertex, xyz=3, field), mm
        Each with a root-mean-square displacement of 1 mm over the face.
    """
    place = f.Place(head)
    generator = np.random.default_rng(20261121)
    weight = vertex_weights(head)
    fields = []
    for number in range(symmetric + asymmetric):
        field = np.zeros((len(place.names), 3))
        for _ in range(14):
            centre = np.array([generator.uniform(0, 60), generator.uniform(-110, 60),
                               generator.uniform(45, 105)])  # fmt: skip
            window = place.gauss(centre, (24, 24, 30))
            push = generator.normal(size=3)
            push[0] *= 0.6
            field += np.outer(window, push)
        field[:, 0] *= np.minimum(place.x / 20, 1)
        field = place.finish(field, "residual")
        if number >= symmetric:
            field *= (place.side * place.up("x", 0, 18))[:, None]
            field[place.part(r"teeth|mouth\.(back|deep)")] = 0
        field -= per_length @ (onto @ (head.matrix @ field).ravel())
        moved = head.matrix @ field
        fields.append(field / np.sqrt((weight[:, None] * moved**2).sum() / weight.sum()))
    return np.stack(fields, axis=-1)


def lift(head, fields):
    """Fields on the surface from fields on the cage.

    Parameters
    ----------
    head : Head
        Whose subdivision matrix is used.
    fields : ndarray, (cage vertex, xyz=3, field)
        On the cage.

    Returns
    -------
    ndarray, (vertex, xyz=3, field)
        On the surface.
    """
    flat = head.matrix @ fields.reshape(len(fields), -1)
    return flat.reshape(-1, *fields.shape[1:])


def vertex_weights(head):
    """Weight of each vertex in the modes: its area, more on the face, less behind.

    Parameters
    ----------
    head : Head
        The sculpted head.

    Returns
    -------
    ndarray, (vertex,)
        Sums to one.
    """
    vertices = head.vertices
    corner = vertices[head.triangles]
    area = np.linalg.norm(
        np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1
    )
    weight = np.bincount(head.triangles.ravel(), np.repeat(area / 6, 3), len(vertices))
    y, z = vertices[:, 1], vertices[:, 2]
    front = np.clip((z - 0) / 60, 0.08, 1) * np.clip((y + 150) / 30, 0.1, 1)
    detail = 1 + 3 * np.exp(-((y + 30) ** 2) / 2 / 45**2) * np.clip((z - 60) / 25, 0, 1)
    weight = weight * front * detail
    return weight / weight.sum()


def _nearest_correlation(matrix, floor=0.02):
    """Clip eigenvalues from below and restore the unit diagonal."""
    for _ in range(30):
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        matrix = (vectors * np.maximum(values, floor)) @ vectors.T
        scale = np.sqrt(np.diag(matrix))
        matrix = matrix / np.outer(scale, scale)
    return matrix
