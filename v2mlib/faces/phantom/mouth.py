"""Mouth patch: rings of eleven half vertices, from inside the lips to the chin; teeth.

Ring order: 0 upper midline, 1 peak of Cupid's bow, 5 corner, 10 lower midline. Mouth width 52,
subnasale-stomion 22, stomion-menton 45, upper and lower vermilion 8 and 9 mm.
"""

OUTER = [
    (0, -46.5, 104.8),
    (7.5, -47.5, 101.8),
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
    (0, -52.0, 104.4),
    (5.5, -51.9, 105.2),
    (12.3, -54.5, 102.0),
    (19.0, -57.0, 97.5),
    (26.0, -61.0, 91.8),
    (32.5, -69.8, 85.2),
    (29.0, -80.5, 86.6),
    (21.8, -86.5, 90.6),
    (14.0, -88.0, 95.0),
    (7.0, -88.3, 97.2),
    (0, -88.3, 97.8),
]
SKIN_EDGE = [
    (0, -58.0, 106.0),
    (5.6, -56.8, 106.8),
    (12.0, -58.9, 104.4),
    (17.8, -61.9, 100.3),
    (23.7, -65.5, 94.9),
    (28.6, -69.7, 89.6),
    (24.8, -74.2, 93.2),
    (18.8, -78.2, 97.4),
    (12.2, -80.5, 100.2),
    (6.0, -81.5, 101.6),
    (0, -81.8, 101.9),
]
VERMILION = [
    (0, -60.6, 107.3),
    (5.2, -59.3, 107.4),
    (11.0, -61.4, 105.0),
    (16.5, -64.2, 101.2),
    (21.8, -67.1, 96.4),
    (26.0, -69.7, 91.6),
    (22.4, -72.2, 95.3),
    (17.0, -75.2, 99.6),
    (11.3, -77.4, 102.7),
    (5.6, -78.4, 104.4),
    (0, -78.6, 104.8),
]
CREST = [
    (0, -64.8, 108.6),
    (5.2, -64.2, 108.4),
    (10.5, -65.1, 106.2),
    (15.8, -66.5, 102.4),
    (20.6, -68.3, 97.2),
    (24.8, -69.8, 92.4),
    (21.0, -71.1, 96.2),
    (16.0, -72.9, 101.2),
    (10.6, -74.1, 104.9),
    (5.2, -74.7, 106.7),
    (0, -74.7, 107.0),
]
CONTACT = [
    (0, -69.4, 104.6),
    (5.0, -69.0, 104.6),
    (10.0, -68.9, 103.0),
    (15.0, -69.2, 99.7),
    (19.8, -69.6, 95.3),
    (23.6, -69.9, 91.6),
    (19.8, -70.0, 95.0),
    (15.0, -69.9, 99.2),
    (10.0, -69.8, 102.4),
    (5.0, -69.8, 103.9),
    (0, -70.1, 104.1),
]
INSIDE = [
    (0, -65.0, 99.6),
    (4.8, -65.0, 99.4),
    (9.6, -65.2, 97.8),
    (14.4, -65.8, 95.0),
    (19.0, -67.2, 91.4),
    (23.2, -69.8, 87.2),
    (19.0, -72.0, 91.0),
    (14.4, -73.6, 94.6),
    (9.6, -74.4, 97.4),
    (4.8, -74.6, 99.0),
    (0, -74.6, 99.2),
]
DEEP = [
    (0, -56.0, 88.0),
    (6.0, -56.0, 87.5),
    (12.0, -57.0, 85.0),
    (17.0, -59.5, 81.0),
    (21.5, -64.0, 76.0),
    (24.0, -70.0, 72.0),
    (21.5, -76.5, 76.0),
    (17.0, -80.5, 81.0),
    (12.0, -82.5, 84.5),
    (6.0, -83.5, 86.5),
    (0, -83.5, 87.0),
]
BACK = [
    (0, -56.0, 62.0),
    (5.0, -56.5, 62.0),
    (10.0, -58.0, 61.0),
    (14.0, -60.5, 60.0),
    (17.0, -65.0, 59.0),
    (18.5, -70.0, 58.0),
    (17.0, -75.5, 59.0),
    (14.0, -79.0, 60.0),
    (10.0, -81.5, 61.0),
    (5.0, -83.0, 61.5),
    (0, -83.0, 62.0),
]
# Dental arch: x and z of the front faces; upper teeth hang to -71, lower ones stand to -70.5.
ARCH = [(0, 97.4), (6.0, 96.8), (12.0, 94.0), (16.8, 88.6), (20.0, 80.0), (21.6, 70.0)]


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
    for outer, inner in zip(rings[:-1], rings[1:], strict=True):
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
    root, edge = (-59.0, -71.0) if upper else (-80.5, -71.4)
    set_back = 0.0 if upper else 2.2
    rows = []
    for height, inwards in ((root, 1.5), ((root + 2 * edge) / 3, 0.0), (edge, 0.6), (edge, 5.0)):
        row = []
        for x, z in ARCH:
            shrink = 1 - (inwards + set_back) / 34
            row.append((x * shrink, height, z - inwards - set_back))
        rows.append(row)
    return rows
