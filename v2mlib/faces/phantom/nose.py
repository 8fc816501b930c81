"""Nose patch: arches from the dorsum over the wing to the upper lip, nostril and columella.

Nose length 51, width 34.5, protrusion 20 mm. Arch order: midline, tip side, three along the wing;
the last vertex of each arch lies on the mouth's outer ring.
"""

LOBULE = [
    (0, -42.6, 117.2),
    (6.4, -41.0, 114.6),
    (11.2, -41.2, 110.3),
    (15.6, -43.2, 103.4),
    (14.9, -46.2, 97.8),
]
TIP = [
    (0, -37.3, 119.8),
    (6.2, -36.0, 117.2),
    (12.0, -36.2, 110.0),
    (17.0, -39.3, 101.6),
    (17.0, -45.0, 95.3),
]
CREASE = [
    (0, -30.3, 114.2),
    (5.9, -29.8, 111.4),
    (11.2, -30.5, 103.8),
    (15.6, -32.6, 95.6),
    (18.0, -40.0, 91.4),
]
OUTER = [
    (0, -21.5, 106.6),
    (5.2, -22.0, 104.0),
    (15.6, -23.0, 87.6),
    (19.5, -31.0, 87.8),
    (22.8, -41.0, 88.6),
]
COLUMELLA = (0, -44.8, 111.6)
RIM = [
    (5.6, -43.2, 112.0),
    (8.8, -42.8, 109.5),
    (11.8, -43.5, 105.0),
    (11.9, -45.6, 100.8),
    (8.2, -46.8, 100.4),
    (4.8, -46.4, 102.6),
    (3.5, -45.3, 106.4),
    (3.7, -44.1, 110.2),
]


def build(cage):
    """Place the nose; the mouth and eye patches must be placed already.

    Parameters
    ----------
    cage : HalfCage
        Receives vertices and polygons.
    """
    lobule = [*cage.ring("nose.lobule", LOBULE, "nose"), "mouth.outer.1"]
    tip = [*cage.ring("nose.tip", TIP, "nose"), "mouth.outer.2"]
    crease = [*cage.ring("nose.crease", CREASE, "nose"), "mouth.outer.3"]
    places = ["R1.c0", "R1.c1", "R1.c2", "R2.c2", "R3.c2"]
    outer = [cage.add(place, point) for place, point in zip(places, OUTER, strict=True)]
    outer.append("mouth.outer.4")
    for first, second in ((lobule, tip), (tip, crease), (crease, outer)):
        cage.strip(first, second)
    columella = cage.add("nose.columella", COLUMELLA, "nose")
    around = [*lobule[1:], "mouth.outer.0", columella, lobule[0]]
    rim = cage.ring("nostril.rim", RIM, "nose", "nostril")
    cage.strip(rim, around, closed=True)
    rim_inside = cage.ring("nostril.inside", [_shrunk(p, 0.88, 1.2) for p in RIM], "nostril.dark")
    deep = cage.ring("nostril.deep", [_shrunk(p, 0.75, 7.0) for p in RIM], "nostril.dark")
    cage.strip(rim, rim_inside, closed=True)
    cage.strip(rim_inside, deep, closed=True)
    a = deep
    cage.polygons += [(a[0], a[1], a[6], a[7]), (a[1], a[2], a[5], a[6]), (a[2], a[3], a[4], a[5])]


def _shrunk(point, factor, rise):
    centre = (7.6, -44.8, 105.6)
    x, y, z = (c + factor * (p - c) for p, c in zip(point, centre, strict=True))
    return (x, y + rise, z)
