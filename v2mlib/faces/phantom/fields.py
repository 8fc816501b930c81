"""Smooth displacement fields on the cage, from which controls and expressions are made."""

import re

import numpy as np

from v2mlib.faces.phantom import ear, eye

# Eyeball and lids move as one body in every field that is not about the lids themselves.
_EYE_BODY = {"ball": 1.0, "eye.inside": 1.0, "eye.rim": 1.0, "eye.margin": 1.0, "eye.lid": 1.0,
             "eye.crease": 0.65, "eye.fold": 0.3}  # fmt: skip
_EAR_BODY = (
    {"ear.back": 0.9, "ear": 1.0}
    | {f"{row}.c{column}": 0.92 for row in ("EM", "EB", "R1", "R2", "R3") for column in (9, 10, 11)}
    | {f"{row}.c{column}": 0.4 for row in ("ET", "R4") for column in (9, 10, 11)}
    | {f"{row}.c{column}": 0.35 for row in ("EM", "EB", "R1", "R2", "R3") for column in (8, 12)}
)
_MOUTH_BODY = {"teeth": 1.0, "mouth.back": 1.0, "mouth.deep": 0.85}


class Place:
    """Where each cage vertex lies, and smooth windows over it.

    Parameters
    ----------
    head : Head
        The mean head.
    """

    def __init__(self, head):
        self.names = [name.rstrip("'") for name in head.names]
        points = head.vertices[: len(head.names)]
        self.side = np.where(points[:, 0] >= 0, 1.0, -1.0)
        self.side[np.abs(points[:, 0]) < 1e-6] = 0.0
        self.onto = head.matrix[: len(head.names)]
        self.x, self.y, self.z = np.abs(points[:, 0]), points[:, 1], points[:, 2]

    def up(self, axis, low, high):
        """Smooth step from 0 at `low` to 1 at `high`.

        Parameters
        ----------
        axis : str
            ``x`` (distance from the midline), ``y`` or ``z``.
        low, high : float, mm
            Where it starts and ends.

        Returns
        -------
        ndarray, (cage vertex,)
            From 0 to 1.
        """
        t = np.clip((getattr(self, axis) - low) / (high - low), 0, 1)
        return t * t * (3 - 2 * t)

    def down(self, axis, low, high):
        """Smooth step from 1 at `low` to 0 at `high`.

        Parameters
        ----------
        axis : str
            ``x``, ``y`` or ``z``.
        low, high : float, mm
            Where it starts and ends.

        Returns
        -------
        ndarray, (cage vertex,)
            From 0 to 1.
        """
        return 1 - self.up(axis, low, high)

    def bell(self, axis, centre, width):
        """Gaussian window along one axis.

        Parameters
        ----------
        axis : str
            ``x``, ``y`` or ``z``.
        centre, width : float, mm
            Middle and standard deviation.

        Returns
        -------
        ndarray, (cage vertex,)
            From 0 to 1.
        """
        return np.exp(-0.5 * ((getattr(self, axis) - centre) / width) ** 2)

    def gauss(self, centre, widths):
        """Gaussian window in space, mirrored.

        Parameters
        ----------
        centre, widths : tuple of float, (xyz=3), mm
            Middle (left side) and standard deviations.

        Returns
        -------
        ndarray, (cage vertex,)
            From 0 to 1.
        """
        window = 1.0
        for axis, middle, width in zip("xyz", centre, widths, strict=True):
            window = window * self.bell(axis, middle, width)
        return window

    def part(self, pattern):
        """Vertices whose name matches.

        Parameters
        ----------
        pattern : str
            Regular expression, matched from the start of the name without side mark.

        Returns
        -------
        ndarray of bool, (cage vertex,)
            The vertices, both sides.
        """
        found = re.compile(pattern)
        return np.array([found.match(name) is not None for name in self.names])

    def hold(self, field, chosen):
        """Adjust a field so that the surface stands still at some vertices.

        Parameters
        ----------
        field : ndarray, (cage vertex, xyz=3), mm
            Changed in place.
        chosen : ndarray of bool, (cage vertex,)
            Where the surface shall not move.
        """
        for _ in range(12):
            field[chosen] -= (self.onto @ field)[chosen]

    def finish(self, field, name):
        """Put signs on x, and move eyes, ears and teeth as bodies.

        Parameters
        ----------
        field : ndarray, (cage vertex, xyz=3), mm
            Displacement as for the left side.
        name : str
            The control: lid, ear and mouth controls deform those bodies themselves.

        Returns
        -------
        ndarray, (cage vertex, xyz=3), mm
            Mirror-symmetric displacement.
        """
        field = field.copy()
        if name not in _EYE_OWN:
            self._rigid(field, _EYE_BODY, ("ball.pupil.0",))
        if not name.startswith("ear_"):
            self._rigid(field, _EAR_BODY, ("ear.helix.10",))
        if name not in _MOUTH_OWN:
            self._rigid(field, _MOUTH_BODY, ("mouth.contact.0", "mouth.contact.10"))
            self._meet(field)
        field[:, 0] *= self.side
        return field

    def _meet(self, field):
        """Move both lips alike where they touch."""
        for ring in ("crest", "contact", "inside"):
            share = 0.5 if ring == "crest" else 1.0
            for k in range(5):
                upper = np.flatnonzero(self.part(rf"mouth\.{ring}\.{k}$"))
                lower = np.flatnonzero(self.part(rf"mouth\.{ring}\.{10 - k}$"))
                gap = share * (field[upper] - field[lower]) / 2
                field[upper] -= gap
                field[lower] += gap

    def _rigid(self, field, body, anchors):
        held = np.zeros(len(field), bool)
        anchor = np.mean([field[self.names.index(a)] for a in anchors], axis=0)
        if anchors[0].startswith("mouth"):
            anchor[0] = 0.0
        for prefix, weight in body.items():
            chosen = self.part(re.escape(prefix) + r"\b") & ~held
            field[chosen] = weight * anchor + (1 - weight) * field[chosen]
            held |= chosen


_EYE_OWN = ("intercanthal", "outer_interocular", "eye_opening", "canthal_tilt", "lid_crease")
_MOUTH_OWN = ("mouth_width", "upper_vermilion", "lower_vermilion")


def along(axis, amount):
    """Displacement along one axis.

    Parameters
    ----------
    axis : str
        ``x``, ``y`` or ``z``.
    amount : ndarray, (cage vertex,), mm
        How far.

    Returns
    -------
    ndarray, (cage vertex, xyz=3), mm
        The field.
    """
    field = np.zeros((len(amount), 3))
    field[:, "xyz".index(axis)] = amount
    return field


def widen(place, at, window, power=1.0):
    """Sideways displacement that grows with the distance from the midline.

    Parameters
    ----------
    place : Place
        Where the vertices lie.
    at : float, mm
        Distance from the midline where the displacement is the window itself.
    window : ndarray, (cage vertex,)
        Where it acts.
    power : float
        Growth; the displacement is capped a little beyond `at`.

    Returns
    -------
    ndarray, (cage vertex, xyz=3), mm
        The field, as for the left side.
    """
    return along("x", np.minimum(place.x / at, 1.15) ** power * window)


def lids(place, axis, weights):
    """Move the lid opening's edge, sliding on the eyeball.

    Parameters
    ----------
    place : Place
        Where the vertices lie.
    axis : str
        ``x`` (outwards) or ``y``.
    weights : dict of int to float
        Displacement in mm of each of the twelve positions.

    Returns
    -------
    ndarray, (cage vertex, xyz=3), mm
        The field, as for the left side.
    """
    field = np.zeros((len(place.names), 3))
    share = {"inside": 0.9, "rim": 1.0, "margin": 1.0, "lid": 0.75, "crease": 0.4, "fold": 0.15}
    centre = eye.BALL_CENTRE
    for ring, strength in share.items():
        for k, weight in weights.items():
            at = np.flatnonzero(place.part(rf"eye\.{ring}\.{k}$"))
            move = np.zeros(3)
            at_corner = axis == "x" and k in (0, 6)
            hidden = {"inside": 0.4, "rim": 0.55}.get(ring, 1.0) if at_corner else 1.0
            move["xyz".index(axis)] = weight * strength * hidden
            # The tangent plane of the eyeball: moving up the lid also moves it back.
            normal = np.array([place.x[at[0]], place.y[at[0]], place.z[at[0]]]) - centre
            if ring in ("inside", "rim", "margin", "lid") and k not in (0, 6):
                slope = move @ normal / max(normal[2], 6.0)
                move[2] -= 0.85 * np.clip(slope, -0.9, 0.9)
            field[at] = move
    return field


def crease(place):
    """Raise the crease of the upper lid.

    Parameters
    ----------
    place : Place
        Where the vertices lie.

    Returns
    -------
    ndarray, (cage vertex, xyz=3), mm
        The field.
    """
    field = np.zeros((len(place.names), 3))
    for k, weight in {1: 0.5, 2: 0.9, 3: 1.0, 4: 0.9, 5: 0.5}.items():
        field[place.part(rf"eye\.crease\.{k}$"), 1] = weight
        field[place.part(rf"eye\.fold\.{k}$"), 1] = 0.8 * weight
        field[place.part(rf"eye\.lid\.{k}$"), 1] = 0.3 * weight
    return field


def mouth_width(place):
    """Widen the mouth; beyond the corners the cheek gives way.

    Parameters
    ----------
    place : Place
        Where the vertices lie.

    Returns
    -------
    ndarray, (cage vertex, xyz=3), mm
        The field, as for the left side.
    """
    beyond = np.exp(-0.5 * (np.maximum(place.x - 26, 0) / 12) ** 2)
    window = beyond * place.bell("y", -68.5, 13) * place.up("z", 55, 80)
    field = along("x", np.minimum(place.x / 26, 1) ** 1.3 * window)
    field[:, 2] = -0.45 * np.minimum(place.x / 26, 1) ** 3 * window
    field[place.part(r"teeth|mouth\.(back|deep)")] = 0
    return field


def vermilion(place, *, upper):
    """Make one lip fuller: its border moves away from the contact line.

    Parameters
    ----------
    place : Place
        Where the vertices lie.
    upper : bool
        Upper or lower lip.

    Returns
    -------
    ndarray, (cage vertex, xyz=3), mm
        The field.
    """
    field = np.zeros((len(place.names), 3))
    share = {"vermilion": (1.0, 0.10), "edge": (0.9, 0.0), "crest": (0.45, 0.30),
             "middle": (0.5, 0.0)}  # fmt: skip
    for ring, (height, depth) in share.items():
        for k in range(11):
            if (k < 5) != upper or k == 5:
                continue
            taper = 1 - (abs((0 if upper else 10) - k) / 5) ** 2
            sign = 1.0 if upper else -1.0
            field[place.part(rf"mouth\.{ring}\.{k}$")] = (0, sign * height * taper, depth * taper)
    # Else the lips would meet, or part, with their fullness.
    place.hold(field, place.part(r"mouth\.contact"))
    return field


def ear_scale(place, *, up=0.0, back=0.0, out=0.0):
    """Stretch the ear along its own axes.

    Parameters
    ----------
    place : Place
        Where the vertices lie.
    up, back : float
        Relative stretch of length and breadth.
    out : float
        Relative flare of the free edge, mm.

    Returns
    -------
    ndarray, (cage vertex, xyz=3), mm
        The field, as for the left side.
    """
    tilt = np.radians(ear.TILT_DEG)
    axis_up = np.array([0.0, np.cos(tilt), -np.sin(tilt)])
    axis_back = np.array([0.0, -np.sin(tilt), -np.cos(tilt)])
    offset = np.stack([place.x, place.y, place.z], 1) - ear.ORIGIN
    height, depth = offset @ axis_up, offset @ axis_back
    weight = place.part(r"ear\.").astype(float)
    # The root follows, or the ear would grow over it.
    weight = np.where(place.part(r"(EM|EB|R1|R2|R3)\.c(9|10|11)$"), 0.95, weight)
    weight = np.where(place.part(r"((EM|EB|R1|R2|R3)\.c(8|12)|(ET|R4)\.c(9|10|11))$"), 0.45, weight)
    field = np.outer(weight * height * up, axis_up) + np.outer(weight * depth * back, axis_back)
    # The auricle turns as a whole; the skin behind it gives way a little.
    turn = np.where(place.part(r"ear\.back"), 0.75, place.part(r"ear\.").astype(float))
    turn = np.where(place.part(r"(EB|R1|R2)\.c11$"), 0.4, turn)
    turn = np.where(place.part(r"(EM|R3)\.c11$|(EB|R1|R2)\.c12$"), 0.15, turn)
    flare = out * turn * np.clip(depth / 30, 0, 1.1)
    field[:, 0] += flare
    field[:, 2] += 0.3 * flare
    return field
