"""Numbers on a face as colours: one map for Python's pictures and the browser's."""

from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError, ShapeError

_STOPS = 33


class ScalarMap(NamedTuple):
    """Numbers per vertex and how to colour them."""

    values: np.ndarray | None  # (vertex,); None: distance from the rest face, worked out live
    low: float
    high: float
    stops: list  # (stop, 3) bytes, evenly spaced from low to high
    name: str
    unit: str

    def colours(self, values=None):
        """Colours of the vertices.

        Parameters
        ----------
        values : ndarray (vertex,), optional
            Other numbers on the same map.

        Returns
        -------
        ndarray, (vertex, 3)
            sRGB from 0 to 1; grey where a number is not finite.
        """
        values = np.asarray(self.values if values is None else values, float)
        share = np.clip((values - self.low) / ((self.high - self.low) or 1.0), 0, 1)
        grid = np.linspace(0, 1, len(self.stops))
        channels = np.asarray(self.stops).T / 255
        colours = np.stack([np.interp(share, grid, channel) for channel in channels], axis=-1)
        return np.where(np.isfinite(values)[:, None], colours, 0.5)

    def packed_values(self):
        """Numbers for the browser.

        Returns
        -------
        bytes or None
            Little-endian float32; None where the browser works them out.
        """
        return None if self.values is None else self.values.astype("<f4").tobytes()

    def legend(self):
        """What the browser needs besides the numbers.

        Returns
        -------
        dict
            Ends, colours, name and unit, and whether the browser works the numbers out.
        """
        kept = {name: value for name, value in self._asdict().items() if name != "values"}
        return {**kept, "live": self.values is None}

    def message(self):
        """Everything in one.

        Returns
        -------
        dict
            `legend` and, as ``values``, `packed_values`.
        """
        return {**self.legend(), "values": self.packed_values()}


def scalar_map(values, *, name="distance", unit="mm", limits=None, colour_map=None):
    """Choose limits and colours for numbers on a face.

    Parameters
    ----------
    values : array_like (vertex,), list of such, or None
        The numbers; a list shares its limits. None is the live distance from the rest face.
    name, unit : str
        For the scale bar.
    limits : (float, float), optional
        Ends of the map. By default 0 to the 99.5th percentile (rounded up to two digits), or
        symmetric about 0 where some numbers are negative.
    colour_map : str, optional
        A matplotlib colour map; ``viridis``, or ``RdBu_r`` where some numbers are negative.

    Returns
    -------
    ScalarMap or list of ScalarMap
        As many as were given.

    Raises
    ------
    InputError
        If the limits are not in order.
    ShapeError
        If the values are not one number per vertex.

    Examples
    --------
    >>> scalar_map([0.0, 1.0, 4.0], limits=(0, 4)).high
    4.0
    """
    many = isinstance(values, list) and len(values) > 0 and np.ndim(values[0]) == 1
    every = (
        [np.asarray(v, float) for v in (values if many else [values])] if values is not None else []
    )
    for one in every:
        if one.ndim != 1:
            raise ShapeError(f"scalars have shape {one.shape}, expected (vertex,)")
    finite = np.concatenate([one[np.isfinite(one)] for one in every]) if every else np.zeros(0)
    signed = bool((finite < 0).any())
    if limits is None:
        top = float(np.percentile(np.abs(finite), 99.5)) if finite.size else 5.0
        magnitude = 10 ** (np.floor(np.log10(top)) - 1) if top > 0 else 1.0
        top = float(np.ceil(top / magnitude) * magnitude) or 1.0
        limits = (-top if signed else 0.0, top)
    low, high = map(float, limits)
    if not low < high:
        raise InputError("limits", f"are not in order: {low} to {high}", "give (low, high)")
    import matplotlib  # later than the first face, which it would keep waiting

    table = matplotlib.colormaps[colour_map or ("RdBu_r" if signed else "viridis")]
    stops = np.round(table(np.linspace(0, 1, _STOPS))[:, :3] * 255).astype(int).tolist()
    maps = [ScalarMap(one, low, high, stops, name, unit) for one in every or [None]]
    return maps if many else maps[0]
