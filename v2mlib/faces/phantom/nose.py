"""Nose patch: arches from the dorsum over the wing to the upper lip, nostril and columella.

Nose length 51, width 34.5, protrusion 20 mm. Arch order: midline, tip side, three along the wing;
the last vertex of each arch lies on the mouth's outer ring.
"""

LOBULE = [
    (0, -43.6, 118.2),
    (6.2, -42.0, 115.4),
    (10.3, -41.6, 109.8),
    (15.2, -43.4, 103.2),
    (14.8, -46.2, 97.6),
]
TIP = [
    (0, -37.2, 120.6),
    (6.2, -36.4, 117.6),
    (10.8, -37.0, 109.6),
    (17.0, -39.6, 101.4),
    (17.4, -45.0, 95.0),
]
CREASE = [
    (0, -29.8, 115.8),
    (5.7, -29.2, 112.4),
    (10.4, -31.0, 104.4),
    (15.0, -34.0, 95.6),
    (17.6, -41.0, 90.6),
]
OUTER = [
    (0, -21.0, 108.4),
    (5.0, -21.5, 105.2),
    (13.6, -24.0, 89.4),
    (18.8, -32.0, 88.4),
    (22.6, -41.5, 89.2),
]
COLUMELLA = (0, -46.4, 111.6)
RIM = [
    (5.6, -43.6, 111.6),
    (8.6, -42.6, 109.2),
    (11.5, -43.0, 105.0),
    (11.8, -44.8, 101.4),
    (8.2, -45.8, 101.0),
    (4.8, -46.0, 103.4),
    (3.5, -45.6, 106.8),
    (3.7, -44.7, 110.0),
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
