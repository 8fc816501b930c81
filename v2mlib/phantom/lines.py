"""Named lines of a face as functions of its shape coefficients, without decoding the face.

A line is the distance between two vertices. Both ends move linearly with the coefficients, so
`length(c) = |offset + directions @ c|`: a dozen small products instead of a whole mesh, which
lets a law be checked on tens of thousands of people in a moment.
"""

from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.lines import DIVISOR, RATIO_LINES


class LineFrame(NamedTuple):
    """Lines of one face model and one definition.

    Attributes
    ----------
    names : tuple of str
        Line names.
    offset : ndarray, (line, xyz=3), mm
        From one end to the other on the mean face.
    directions : ndarray, (line, xyz=3, shape), mm
        Change of the offset per standardised coefficient.
    """

    names: tuple
    offset: np.ndarray
    directions: np.ndarray

    def lengths(self, coefficients):
        """Lengths of all lines.

        Parameters
        ----------
        coefficients : array_like, (..., shape)
            Standardised shape coefficients.

        Returns
        -------
        ndarray, (..., line), mm
            In the order of `names`.
        """
        n_lines, _, n_shape = self.directions.shape
        flat = self.directions.reshape(3 * n_lines, n_shape)
        moved = np.asarray(coefficients, dtype=float) @ flat.T
        ends = self.offset + moved.reshape(*moved.shape[:-1], n_lines, 3)
        return np.sqrt((ends**2).sum(-1))

    def ratios(self, coefficients):
        """Ratios of the four lines to the outer interocular distance.

        Parameters
        ----------
        coefficients : array_like, (..., shape)
            Standardised shape coefficients.

        Returns
        -------
        ndarray, (..., ratio=4)
            Ear, forehead, midline, cheek.
        """
        lengths = self.lengths(coefficients)
        return lengths[..., self._ratio_rows()] / lengths[..., [self.names.index(DIVISOR)]]

    def length_jacobian(self):
        """Derivative of the lengths at the mean face.

        Returns
        -------
        ndarray, (line, shape), mm
            Per standardised coefficient.
        """
        unit = self.offset / np.linalg.norm(self.offset, axis=1, keepdims=True)
        return np.einsum("lx,lxs->ls", unit, self.directions)

    def ratio_jacobian(self):
        """Derivative of the four ratios at the mean face.

        Returns
        -------
        ndarray, (ratio=4, shape)
            Per standardised coefficient.
        """
        lengths = np.linalg.norm(self.offset, axis=1)
        jacobian = self.length_jacobian()
        rows, divisor = self._ratio_rows(), self.names.index(DIVISOR)
        ratio = (lengths[rows] / lengths[divisor])[:, None]
        return (jacobian[rows] - ratio * jacobian[divisor]) / lengths[divisor]

    def _ratio_rows(self):
        return [self.names.index(name) for name in RATIO_LINES]


def line_frame(model, definition="corrected"):
    """Read the lines of a morphable model.

    Parameters
    ----------
    model : MorphableModel
        Any face with named lines.
    definition : {"corrected", "published"}
        Which vertex pairs.

    Returns
    -------
    LineFrame
        The model's lines in its own order.

    Raises
    ------
    InputError
        If the model lacks the divisor or one of the four lines.
    """
    lines = model.lines if definition == "corrected" else model.published_lines
    missing = [name for name in (DIVISOR, *RATIO_LINES) if name not in lines]
    if missing:
        raise InputError(
            f"face model {model.name}",
            f"has no {definition} line {', '.join(missing)}",
            "the population's law is stated on these lines; choose another face model",
        )
    names = tuple(lines)
    first, second = np.array([lines[name] for name in names]).T
    mean = _array(model.mean)
    basis = _array(model.shape_basis[second]) - _array(model.shape_basis[first])
    return LineFrame(names, mean[second] - mean[first], basis * _array(model.shape_std))


def _array(values):
    return np.asarray(values, dtype=np.float64)
