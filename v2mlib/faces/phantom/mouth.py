"""Mouth patch: rings of eleven half vertices, from inside the lips to the chin; teeth.

Ring order: 0 upper midline, 1 peak of Cupid's bow, 5 corner, 10 lower midline. Mouth width 52,
subnasale-stomion 22, stomion-menton 45, upper and lower vermilion 8 and 9 mm.
"""

import itertools

OUTER = [
    (0, -47.3, 104.6),
    (7.5, -48.1, 101.5),
    (13.0, -50.0, 97.8),
    (19.0, -50.5, 93.0),
    (27.0, -53.0, 89.0),
    (37.0, -70.0, 80.6),
    (34.0, -89.0, 79.0),
    (26.5, -98.0, 85.0),
    (17.5, -102.0, 92.3),
    (8.8, -103.2, 98.3),
    (0, -103.0, 100.8),
]
MIDDLE = [
    (0, -51.50, 104.4),
    (5.5, -51.40, 105.2),
    (12.3, -54.00, 102.0),
    (19.0, -56.50, 97.5),
    (26.0, -60.50, 91.8),
    (32.5, -69.30, 85.2),
    (29.0, -80.00, 86.6),
    (21.8, -86.00, 90.6),
    (14.0, -87.50, 95.0),
    (7.0, -87.80, 97.2),
    (0, -87.80, 97.8),
]
SKIN_EDGE = [
    (0, -56.80, 105.0),
    (5.6, -55.60, 105.9),
    (12.0, -57.70, 103.7),
    (17.8, -60.70, 99.7),
    (23.7, -64.30, 94.6),
    (28.6, -68.50, 89.6),
    (24.8, -73.00, 92.9),
    (18.8, -77.00, 96.8),
    (12.2, -79.30, 99.5),
    (6.0, -80.30, 100.7),
    (0, -80.60, 100.9),
]
VERMILION = [
    (0, -59.40, 105.9),
    (5.2, -58.10, 106.1),
    (11.0, -60.20, 103.9),
    (16.5, -63.00, 100.4),
    (21.8, -65.90, 95.8),
    (26.0, -68.50, 91.6),
    (22.4, -71.00, 94.8),
    (17.0, -74.00, 98.8),
    (11.3, -76.20, 101.6),
    (5.6, -77.20, 103.1),
    (0, -77.40, 103.4),
]
CREST = [
    (0, -63.60, 106.7),
    (5.2, -63.00, 106.7),
    (10.5, -63.90, 104.7),
    (15.8, -65.30, 101.2),
    (20.6, -67.10, 96.3),
    (24.8, -68.60, 92.0),
    (21.0, -69.90, 95.3),
    (16.0, -71.70, 100.0),
    (10.6, -72.90, 103.4),
    (5.2, -73.50, 105.0),
    (0, -73.50, 105.1),
]
CONTACT = [
    (0, -68.45, 103.4),
    (5.0, -68.1, 103.4),
    (10.0, -68.0, 102.0),
    (15.0, -68.2, 98.8),
    (19.8, -68.45, 94.7),
    (24.4, -68.7, 90.7),
    (19.8, -68.8, 94.1),
    (15.0, -68.6, 98.0),
    (10.0, -68.4, 101.1),
    (5.0, -68.5, 102.4),
    (0, -68.8, 102.4),
]
INSIDE = [
    (0, -65.0, 98.4),
    (4.8, -64.8, 98.2),
    (9.6, -64.8, 96.6),
    (14.4, -65.6, 93.4),
    (19.2, -67.0, 89.8),
    (23.8, -68.6, 86.6),
    (19.2, -70.4, 89.6),
    (14.4, -71.8, 93.2),
    (9.6, -72.4, 96.2),
    (4.8, -72.6, 97.6),
    (0, -72.8, 97.8),
]
DEEP = [
    (0, -54.0, 92.0),
    (6.0, -54.0, 91.2),
    (12.4, -55.0, 87.8),
    (18.0, -58.0, 82.0),
    (22.0, -63.0, 76.5),
    (24.0, -69.0, 73.0),
    (22.0, -75.5, 76.0),
    (18.0, -80.5, 81.0),
    (12.4, -82.5, 86.0),
    (6.0, -83.5, 89.5),
    (0, -83.5, 90.3),
]
BACK = [
    (0, -54.0, 60.0),
    (5.5, -54.5, 60.0),
    (11.0, -56.0, 59.0),
    (15.5, -59.0, 58.0),
    (19.0, -64.0, 57.0),
    (20.5, -69.5, 56.0),
    (19.0, -76.0, 57.0),
    (15.5, -81.0, 58.0),
    (11.0, -83.5, 59.0),
    (5.5, -85.0, 59.5),
    (0, -85.0, 60.0),
]
# Dental arch: x and z of the front faces; upper teeth hang to -71, lower ones stand to -70.5.
ARCH = [(0, 94.0), (5.6, 93.0), (10.8, 89.2), (14.8, 83.0), (16.8, 77.5), (17.8, 71.5)]


def build(cage):
    """Place the mouth patch.

    Parameters
    ----------
    cage : HalfCage
        Receives vertices and polygons.
    """
    rings = [
        cage.ring("mouth.outer", OUTER),
        cage.ring("mouth.middle", MIDDLE),
        cage.ring("mouth.edge", SKIN_EDGE, "lip"),
        cage.ring("mouth.vermilion", VERMILION, "lip"),
        cage.ring("mouth.crest", CREST, "lip"),
        cage.ring("mouth.contact", CONTACT, "lip"),
        cage.ring("mouth.inside", INSIDE, "inner"),
        cage.ring("mouth.deep", DEEP, "inner"),
        cage.ring("mouth.back", BACK, "inner"),
    ]
    for outer, inner in itertools.pairwise(rings):
        cage.strip(outer, inner)
    back = rings[-1]
    for k in range(4):
        cage.polygons.append((back[k], back[k + 1], back[9 - k], back[10 - k]))
    cage.polygons.append((back[4], back[5], back[6]))


def teeth(upper):
    """Half of a dental arch: a curved band.

    Parameters
    ----------
    upper : bool
        Upper or lower teeth.

    Returns
    -------
    list of list of tuple, mm
        Rows from the gum over the biting edge to the back.
    """
    root, edge = (-61.5, -72.4) if upper else (-76.5, -69.4)
    set_back = 0.0 if upper else 3.6
    rows = []
    for height, inwards in ((root, 1.5), ((root + 2 * edge) / 3, 0.0), (edge, 0.4), (edge, 2.2)):
        row = []
        for x, z in ARCH:
            shrink = 1 - (inwards + set_back) / 34
            row.append((x * shrink, height, z - inwards - set_back))
        rows.append(row)
    return rows
