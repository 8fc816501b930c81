"""Ten expressions as linear displacements of the cage; 1 is the full expression."""

import numpy as np

from v2mlib.faces.phantom import fields as f
from v2mlib.faces.phantom.eye import BALL_CENTRE

EXPRESSIONS = ("jaw_open", "smile", "pucker", "mouth_stretch", "brow_raise", "brow_lower",
               "blink_left", "blink_right", "sneer", "cheek_puff")  # fmt: skip
JAW_OPEN_DEG, CONDYLE = 13.0, np.array([0.0, -14.0, 6.0])
# How much of the jaw's motion each of the eleven positions round the mouth follows.
_JAW_SHARE = {
    "contact": (0, 0, 0, 0.02, 0.16, 0.42, 0.72, 0.92, 0.99, 1, 1),
    "outer": (0, 0, 0, 0, 0.06, 0.42, 0.86, 0.97, 1, 1, 1),
}


def expression_fields(head):
    """Displacement field of each expression.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    ndarray, (cage vertex, xyz=3, expression), mm
        In the order of `EXPRESSIONS`.
    """
    place = f.Place(head)
    both = {
        "jaw_open": _jaw_open(place), "smile": _smile(place), "pucker": _pucker(place),
        "mouth_stretch": _stretch(place), "brow_raise": _brow_raise(place),
        "brow_lower": _brow_lower(place), "blink": _blink(place), "sneer": _sneer(place),
        "cheek_puff": _cheek_puff(place),
    }  # fmt: skip
    fields = []
    for name in EXPRESSIONS:
        field = both["blink" if name.startswith("blink") else name].copy()
        field[:, 0] *= place.side
        if name == "blink_left":
            field[place.side < 0] = 0
        elif name == "blink_right":
            field[place.side > 0] = 0
        fields.append(field)
    return np.stack(fields, axis=-1)


def _jaw_open(place):
    angle = np.radians(JAW_OPEN_DEG)
    y, z = place.y - CONDYLE[1], place.z - CONDYLE[2]
    turned = np.zeros((len(place.names), 3))
    turned[:, 1] = y * (np.cos(angle) - 1) - z * np.sin(angle) - 1.0
    # The condyle glides forwards while the jaw opens.
    turned[:, 2] = y * np.sin(angle) + z * (np.cos(angle) - 1) + 6.0
    weight = place.down("y", -100, -58) * place.up("z", -12, 40) * place.up("y", -150, -112)
    weight[place.part("ear|ball|eye|nose|nostril|teeth.upper")] = 0
    weight[place.part("teeth.lower")] = 1
    for ring in ("edge", "vermilion", "crest", "contact", "inside", "middle", "outer", "deep",
                 "back"):  # fmt: skip
        outside = ring in ("outer",)
        share = np.array(_JAW_SHARE["outer" if outside else "contact"])
        if ring == "middle":
            share = (np.array(_JAW_SHARE["outer"]) + share) / 2
        scale = {"deep": 1.0, "back": 0.85}.get(ring, 1.0)
        for k in range(11):
            weight[place.part(rf"mouth\.{ring}\.{k}$")] = scale * share[k]
    return turned * weight[:, None]


def _smile(place):
    corner = place.gauss((28, -67, 90), (13, 12, 18))
    cheek = place.gauss((40, -36, 82), (15, 12, 20))
    lower_lid = f.lids(place, "y", {7: 0.4, 8: 0.7, 9: 0.8, 10: 0.6, 11: 0.3})
    field = np.outer(corner, (5.5, 7.0, -4.5)) + np.outer(cheek, (1.0, 3.0, 2.8)) + lower_lid
    return _still(place, field)


def _pucker(place):
    inwards = place.gauss((26, -69.7, 92), (13, 15, 20))
    forwards = place.gauss((0, -69.7, 103), (19, 15, 22))
    field = np.outer(inwards, (-8.0, 0.0, 2.0)) + np.outer(forwards, (0.0, 0.0, 5.0))
    field[:, 0] *= np.minimum(place.x / 18, 1)
    return _still(place, field)


def _stretch(place):
    corner = place.gauss((28, -70, 90), (14, 14, 18))
    lower = place.gauss((16, -78, 98), (16, 9, 20))
    field = np.outer(corner, (6.0, -1.0, -5.0)) + np.outer(lower, (0.8, -1.2, -1.0))
    return _still(place, field)


def _brow_raise(place):
    brow = place.gauss((30, 24, 90), (30, 11, 26))
    forehead = place.gauss((22, 44, 95), (34, 15, 30))
    crease = f.crease(place)
    lids = f.lids(place, "y", {1: 0.2, 2: 0.4, 3: 0.5, 4: 0.4, 5: 0.2})
    return _still(place, np.outer(brow, (0, 5.5, -0.6)) + np.outer(forehead, (0, 2.2, 0)) + lids
                  + 0.8 * crease)  # fmt: skip


def _brow_lower(place):
    brow = place.gauss((13, 19, 94), (15, 9, 22))
    outer = place.gauss((34, 23, 90), (16, 9, 22))
    field = np.outer(brow, (-2.2, -4.2, 0.8)) + np.outer(outer, (-0.6, -1.2, 0.2))
    field[:, 0] *= np.minimum(place.x / 8, 1)
    lids = f.lids(place, "y", {1: -0.2, 2: -0.4, 3: -0.45, 4: -0.35, 5: -0.15})
    return _still(place, field + lids - 0.5 * f.crease(place))


def _blink(place):
    """Upper lid down to the lower one; straight, so it needs clearance over the eyeball."""
    field = np.zeros((len(place.names), 3))
    rings = ("inside", "rim", "margin", "lid", "crease")
    where = {
        (ring, k): np.flatnonzero(place.part(rf"eye\.{ring}\.{k}$"))
        for ring in rings
        for k in range(12)
    }

    def at(ring, k):
        n = where[ring, k][0]
        return np.array([place.x[n], place.y[n], place.z[n]])

    def onto(point, radius):
        offset = point[:2] - BALL_CENTRE[:2]
        inside = radius**2 - offset @ offset
        depth = BALL_CENTRE[2] + np.sqrt(max(inside, 0.0))
        return np.array([*point[:2], max(depth, point[2]) if inside > 4 else point[2]])

    for k in range(1, 6):
        low = at("margin", 12 - k)
        closed = low + np.array([0.0, 0.9, 0.0])
        field[where["margin", k]] = onto(closed + np.array([0, 0.35, 0]), 14.9) - at("margin", k)
        field[where["rim", k]] = onto(closed + np.array([0, 0.15, -0.8]), 14.2) - at("rim", k)
        sunk = at("inside", k) + 0.3 * (closed - at("margin", k))
        field[where["inside", k]] = onto(sunk, 13.5) - at("inside", k)
        target = 0.52 * at("crease", k) + 0.48 * closed
        field[where["lid", k]] = onto(target, 15.2) - at("lid", k)
        field[where["crease", k]] = (0, -1.2, 0.6)
        for ring, share in (("margin", 0.75), ("rim", 0.75), ("lid", 0.4)):
            field[where[ring, 12 - k]] += (0, share, 0.1)
    return field


def _sneer(place):
    wing = place.gauss((16, -38, 98), (9, 10, 14))
    fold = place.gauss((14, -52, 100), (13, 10, 16))
    bridge = place.gauss((9, -14, 92), (8, 10, 14))
    field = (np.outer(wing, (1.4, 3.4, -0.6)) + np.outer(fold, (0.6, 2.6, 0.0))
             + np.outer(bridge, (0.0, 1.8, 0.8)))  # fmt: skip
    return _still(place, field)


def _cheek_puff(place):
    cheek = place.gauss((46, -62, 74), (15, 17, 24))
    lip = place.gauss((0, -58, 105), (26, 9, 20))
    return _still(place, np.outer(cheek, (5.0, 0.0, 5.0)) + np.outer(lip, (0, 0, 1.4)))


def _still(place, field):
    """Keep eyeballs, teeth and the back of the mouth in place."""
    field[place.part(r"ball|teeth|mouth\.back")] = 0
    field[place.part(r"mouth\.deep")] *= 0.4
    return field
