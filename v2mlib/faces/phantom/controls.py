"""Named anthropometric controls: smooth displacements of the cage, each with its own measure.

Every control is a linear displacement field that mainly changes one measured length. A measure
is a linear function of the cage (a difference of coordinates of named vertices), so that the
exact mix of controls that produces given lengths is one matrix solve.
"""

from typing import NamedTuple

import numpy as np

from v2mlib.faces.phantom import ear, eye
from v2mlib.faces.phantom import fields as f


class Control(NamedTuple):
    """A displacement field and the length it sets.

    Attributes
    ----------
    name : str
        Row of ``anthropometry.csv``.
    field : callable
        ``field(place) -> (cage vertex, xyz)``, mm per unit before normalisation.
    measure : tuple
        ``(axis, {vertex name: weight})``: the length in mm is the weighted sum of that
        coordinate; ``"2x"`` counts a half breadth twice.
    """

    name: str
    field: callable
    measure: tuple


# Directions in (y, z) along which the caliper's direct distances run, on the mean face.
_SLOPES = {"tip": (0.5, 0.866), "bridge": (0.978, -0.209)}


def _breadth(vertex):
    return ("2x", {vertex: 1.0})


def _height(upper, lower):
    return ("y", {upper: 1.0, lower: -1.0})


def _depth(front, back):
    return ("z", {front: 1.0, back: -1.0})


CONTROLS = (
    Control("head_breadth", lambda p: f.widen(p, 75, p.up("y", -30, 25)
            * (1 - 0.75 * p.up("z", 35, 75))), _breadth("F1.c10")),
    Control("head_length", lambda p: f.along("z", -p.down("z", -75, 0) * p.up("y", -95, -30)),
            _depth("ET.c0", "EM.c15")),
    Control("head_height", lambda p: f.along("y", p.up("y", 25, 113)),
            _height("crown.0.2", "ear.helix.10")),
    Control("bizygomatic", lambda p: f.widen(p, 69, p.bell("y", -20, 25) * p.up("z", -8, 28), 1.6),
            _breadth("R1.c8")),
    Control("bitragion_breadth", lambda p: f.widen(p, 70, p.gauss((72, -12, -8), (40, 32, 20))),
            _breadth("ear.helix.10")),
    Control("forehead_breadth", lambda p: f.widen(p, 56, p.bell("y", 34, 24) * p.up("z", 0, 60)),
            _breadth("F1.c6")),
    Control("jaw_width", lambda p: f.widen(p, 57, p.bell("y", -80, 20) * p.up("z", -40, 5)
            * (1 - 0.6 * p.up("z", 35, 65)), 1.8),
            _breadth("J1.c7")),
    Control("midcheek_width", lambda p: f.widen(p, 57, p.gauss((58, -42, 56), (22, 17, 26))),
            _breadth("R3.c6")),
    Control("cheek_width", lambda p: f.widen(p, 52, p.gauss((53, -68, 50), (22, 18, 28))),
            _breadth("R5.c6")),
    Control("chin_width", lambda p: f.widen(p, 22, p.gauss((22, -104, 84), (13, 15, 18))),
            _breadth("mouth.outer.8")),
    Control("neck_breadth", lambda p: f.widen(p, 56, p.down("y", -128, -92))
            + f.along("z", np.sign(p.z + 12) * np.abs(p.z + 12) / 58 * p.down("y", -128, -100) / 2),
            _breadth("N1.11")),
    Control("menton_sellion", lambda p: f.along("y", -p.down("y", -113, -80) * p.up("z", -25, 45)
            * p.up("y", -158, -120)), _height("EM.c0", "J1.m4")),
    Control("nose_length", lambda p: f.along("y", -p.down("y", -44, 6) * p.up("z", 0, 55)
            * p.up("y", -158, -120)), ("bridge", {"EM.c0": 1.0, "mouth.outer.0": -1.0})),
    Control("upper_lip_height", lambda p: f.along("y", -p.down("y", -65, -44) * p.up("z", 0, 55)
            * p.up("y", -158, -120)), _height("mouth.outer.0", "mouth.contact.0")),
    Control("jaw_angle_height", lambda p: f.along("y", -p.gauss((57, -80, 18), (16, 20, 24))),
            _height("ear.helix.10", "J1.c7")),
    Control("chin_projection", lambda p: f.along("z", p.gauss((0, -104, 96), (22, 16, 26))),
            _depth("mouth.outer.10", "mouth.outer.0")),
    Control("face_depth", lambda p: f.along("z", p.up("z", 5, 70) * p.up("y", -150, -112)
            * p.down("y", 10, 60)), _depth("mouth.outer.0", "ear.helix.10")),
    Control("forehead_slope", lambda p: f.along("z", -p.up("y", 25, 75) * p.up("z", 20, 75)),
            _depth("F1.c0", "F3.c0")),
    Control("brow_ridge", lambda p: f.along("z", p.gauss((22, 20, 94), (26, 9, 22))),
            ("z", {"ET.c3": 1.0, "EM.c6": -1.0})),
    Control("brow_height", lambda p: f.along("y", p.gauss((31, 22, 90), (26, 9, 22))),
            _height("ET.c4", "ball.pupil.0")),
    Control("cheekbone_projection", lambda p: f.along("z", p.gauss((41, -30, 82), (15, 13, 20)))
            + f.widen(p, 41, 0.4 * p.gauss((41, -30, 82), (15, 13, 20))),
            _depth("R1.c4", "EM.c6")),
    Control("interpupillary", lambda p: f.widen(p, 31.5, p.gauss((31.5, 0, 78), (19, 18, 24)), 1),
            _breadth("ball.pupil.0")),
    Control("intercanthal", lambda p: f.lids(p, "x", {0: 1, 1: 0.55, 11: 0.55, 2: 0.15, 10: 0.15}),
            _breadth("eye.margin.0")),
    Control("outer_interocular", lambda p: f.lids(p, "x", {6: 1, 5: 0.55, 7: 0.55, 4: 0.15,
            8: 0.15}), _breadth("eye.margin.6")),
    Control("eye_opening", lambda p: f.lids(p, "y", {1: 0.4, 2: 0.65, 3: 0.72, 4: 0.65, 5: 0.4,
            7: -0.15, 8: -0.25, 9: -0.28, 10: -0.25, 11: -0.15}),
            _height("eye.margin.3", "eye.margin.9")),
    Control("canthal_tilt", lambda p: f.lids(p, "y", {0: -0.4, 1: -0.25, 11: -0.25, 6: 0.6,
            5: 0.35, 7: 0.35, 4: 0.1, 8: 0.1}), _height("eye.margin.6", "eye.margin.0")),
    Control("lid_crease", lambda p: f.crease(p), _height("eye.crease.3", "eye.margin.3")),
    Control("eye_depth", lambda p: f.along("z", p.gauss((31.5, 0, 78), (16, 15, 20))),
            ("z", {"ball.pupil.0": 1.0, "EM.c6": -1.0})),
    Control("nasal_root_breadth", lambda p: f.widen(p, 9, p.gauss((9, 1, 88), (5, 14, 10))),
            _breadth("EM.c2")),
    Control("nasal_bridge", lambda p: f.along("z", p.gauss((0, 2, 94), (8, 13, 16))),
            ("z", {"EM.c0": 1.0, "EM.c6": -1.0})),
    Control("dorsum_convexity", lambda p: f.along("z", p.gauss((0, -15, 101), (7, 9, 14))),
            ("z", {"EB.c0": 1.0, "EM.c0": -0.55, "nose.tip.0": -0.45})),
    Control("nose_projection", lambda p: f.along("z", p.down("y", -34, 6) * p.up("y", -48.5, -40)
            * p.bell("x", 0, 12) * p.up("z", 86, 106)),
            ("tip", {"nose.tip.0": 1.0, "mouth.outer.0": -1.0})),
    Control("nose_tip_rise", lambda p: f.along("y", p.gauss((0, -38, 118), (11, 9, 12))),
            _height("nose.tip.0", "mouth.outer.0")),
    Control("nose_tip_breadth", lambda p: f.widen(p, 6, p.gauss((7, -37, 116), (7, 9, 9))),
            _breadth("nose.tip.1")),
    Control("nose_width", lambda p: f.widen(p, 17, p.gauss((17, -43, 98), (10, 12, 14))),
            _breadth("nose.tip.3")),
    Control("alar_height", lambda p: f.along("y", -p.gauss((15, -45, 99), (8, 8, 10))),
            ("y", {"nose.crease.3": 1.0, "nose.lobule.3": -1.0})),
    Control("mouth_width", lambda p: f.mouth_width(p), _breadth("mouth.vermilion.5")),
    Control("philtrum_width", lambda p: f.widen(p, 5.3, p.gauss((6, -57, 107), (4.5, 6, 8)), 1),
            _breadth("mouth.vermilion.1")),
    Control("upper_vermilion", lambda p: f.vermilion(p, upper=True),
            _height("mouth.vermilion.0", "mouth.contact.0")),
    Control("lower_vermilion", lambda p: f.vermilion(p, upper=False),
            _height("mouth.contact.10", "mouth.vermilion.10")),
    Control("lip_protrusion", lambda p: f.along("z", p.gauss((0, -69, 104), (22, 12, 22))),
            _depth("mouth.crest.0", "mouth.outer.0")),
    Control("ear_length", lambda p: f.ear_scale(p, up=1 / 62), ("y", {"ear.helix.2": 1.0,
            "ear.helix.7": -1.0})),
    Control("ear_breadth", lambda p: f.ear_scale(p, back=1 / 34), ("z", {"ear.helix.10": 1.0,
            "ear.helix.4": -1.0})),
    Control("ear_protrusion", lambda p: f.ear_scale(p, out=1.0), ("x", {"ear.helix.4": 1.0,
            "R4.c11": -1.0})),
)  # fmt: skip

NAMES = tuple(control.name for control in CONTROLS)


def control_fields(head):
    """Displacement fields of the controls, one mm of its own measure each.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    ndarray, (cage vertex, xyz=3, control), mm per mm
        Mirror-symmetric.
    """
    place = f.Place(head)
    measure = measures(head)
    fields = []
    for number, control in enumerate(CONTROLS):
        field = place.finish(control.field(place), control.name)
        own = measure[number] @ (head.matrix @ field).ravel()
        fields.append(field / own)
    return np.stack(fields, axis=-1)


def measures(head):
    """Measured lengths as linear functions of the surface.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    ndarray, (control, vertex * xyz)
        ``lengths = measures @ vertices.ravel()``, mm.
    """
    rows = np.zeros((len(CONTROLS), head.matrix.shape[0], 3))
    for number, control in enumerate(CONTROLS):
        axis, weights = control.measure
        for vertex, weight in weights.items():
            if axis == "2x":
                rows[number, head.index(vertex), 0] += weight
                rows[number, head.index(vertex + "'"), 0] -= weight
            elif axis in _SLOPES:
                rows[number, head.index(vertex), 1:] += weight * np.array(_SLOPES[axis])
            else:
                column = "xyz".index(axis)
                rows[number, head.index(vertex), column] += weight
    return rows.reshape(len(CONTROLS), -1)


__all__ = ["CONTROLS", "NAMES", "Control", "control_fields", "ear", "eye", "measures"]
