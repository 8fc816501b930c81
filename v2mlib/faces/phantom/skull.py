"""Head grid: forehead, temples, cheeks, jaw, back of the head, scalp and neck.

Rows run from the top (``F4``) to the bottom of the neck (``N2``), columns from the front midline
(``c0``) over the cheek and the ear (``c9`` to ``c11``) to the back midline (``c15``). Sizes: head
length 195, head breadth 151, bizygomatic 138, sellion-menton 118, tragion-top of head 129 mm.
"""

import numpy as np

ROWS = ("F4", "F3", "F2", "F1", "ET", "EM", "EB", "R1", "R2", "R3", "R4", "R5", "R6", "J1", "J2")
N_COLUMNS = 16

# Front of the face between the eyes and the jaw: (row, column) -> position.
FRONT = {
    ("ET", 0): (0, 19.0, 99.0), ("ET", 1): (6.5, 18.2, 97.8),
    ("EM", 0): (0, 3.5, 92.6), ("EM", 1): (4.9, 2.8, 90.8),
    ("EB", 0): (0, -11.5, 101.0), ("EB", 1): (4.6, -12.0, 98.2),
    ("R1", 3): (24.0, -26.5, 86.3), ("R1", 4): (35.5, -28.5, 85.9), ("R1", 5): (47.8, -27.0, 78.8),
    ("R1", 6): (57.0, -22.0, 66.0),
    ("R2", 3): (27.5, -34.5, 87.6), ("R2", 4): (38.0, -37.0, 84.4), ("R2", 5): (49.5, -36.5, 75.8),
    ("R2", 6): (58.0, -32.0, 64.0),
    ("R3", 3): (30.5, -43.5, 87.4), ("R3", 4): (40.0, -46.0, 82.2), ("R3", 5): (49.8, -46.5, 72.6),
    ("R3", 6): (57.0, -43.0, 61.5),
    ("R4", 3): (34.5, -54.5, 85.4), ("R4", 4): (42.0, -57.0, 78.6), ("R4", 5): (49.2, -58.0, 68.2),
    ("R4", 6): (55.2, -55.0, 57.0),
    ("R5", 3): (41.5, -71.0, 76.3), ("R5", 4): (46.0, -71.5, 70.0), ("R5", 5): (50.2, -71.5, 61.5),
    ("R5", 6): (53.5, -69.0, 51.5),
    ("R6", 3): (40.0, -88.0, 71.5), ("R6", 4): (44.6, -86.5, 64.0), ("R6", 5): (48.5, -85.0, 55.3),
    ("R6", 6): (52.0, -81.5, 45.5),
}  # fmt: skip

# Side and back: one table per column, rows ET EM EB R1 R2 R3 R4 R5 R6 J1.
SIDE_ROWS = ROWS[4:14]
SIDE = {
    7: [(61, 20, 56), (64, 4, 48.5), (66, -11, 47.5), (67.2, -21, 46), (66.8, -30, 43.5),
        (65.5, -39, 40), (63.3, -49, 36.5), (61.2, -60, 31), (59.7, -71, 25), (57.3, -80, 20)],
    8: [(68, 20, 33), (69.3, 7, 28), (69.8, -7, 26.5), (69.8, -17, 25), (69.2, -25, 24),
        (68.0, -33, 22.5), (66.3, -41, 20), (64.4, -50, 16.5), (62.3, -60, 12.5), (60, -69, 9)],
    9: [(71.5, 21, 9), (70.6, 8, 4.5), (69.8, -4, 6.0), (69.2, -15, 8.0), (68.4, -28, 9.6),
        (67, -42, 9.2), (65.9, -49, 5.5), (64.4, -55, 2), (63, -60.5, -1.5), (61, -67, -5)],
    10: [(74.4, 25, -6), (72.6, 9.2, -9.5), None, None, None,
         (66.2, -48, -1), (64.9, -53.5, -4.5), (63.3, -59, -8), (61.5, -65.5, -11.5),
         (59.5, -72, -15)],
    11: [(75.2, 22, -21), (72.8, 4.5, -20), (71.6, -6, -18.8), (70.2, -15, -17.5),
         (68.8, -27, -13.5), (67, -39, -9.5), (64.5, -48.5, -15), (62.5, -56, -19),
         (60.5, -64.5, -22), (58.5, -73, -25)],
    12: [(72.6, 20, -48), (71, 7, -49), (69, -5, -49), (67, -16, -48), (64.5, -27, -46),
         (62, -37, -44), (59.5, -47, -42.5), (57.5, -57, -42), (56, -67, -42), (54.5, -78, -42)],
    13: [(57, 18, -76), (56.5, 6, -77), (55, -6, -76.5), (52.5, -17, -74.5), (50, -27, -71.5),
         (47.5, -37, -68), (45.5, -47, -65), (44, -57, -63), (43, -67.5, -61.5),
         (42.5, -79, -60.5)],
    14: [(31, 17, -93), (30.5, 5, -94), (30, -7, -93), (28.5, -18, -90), (27, -28, -86),
         (25.5, -38, -81.5), (24.5, -48, -77.5), (23.5, -58, -74.5), (23, -69, -72.5),
         (23, -81, -71.5)],
    15: [(0, 17, -98), (0, 4, -98.5), (0, -8, -97), (0, -19, -93.5), (0, -29, -89), (0, -39, -84),
         (0, -49, -79.5), (0, -59, -76), (0, -70, -74), (0, -82, -73)],
}  # fmt: skip

# Jaw border and neck: from the chin midline (four columns below the mouth), then c2 ... c15.
JAW = [(0, -113.5, 93.5), (9, -113.0, 91.2), (18, -111.2, 85.0), (26.5, -108.2, 77.0),
       (34, -104.5, 67.5), (40, -101, 58.5), (45.2, -97, 49), (50, -92.5, 39.5),
       (54, -87, 30)]  # fmt: skip
UNDER_JAW = [(0, -119, 70), (8.5, -118.6, 69.3), (16.5, -117.4, 66.5), (24, -115.4, 61),
             (30.5, -112.6, 53.5), (36, -109.5, 45.5), (41, -106, 36.5), (45.5, -102, 27),
             (49.0, -97, 17.5), (52, -91, 8.5), (54.8, -85, -0.5), (56.3, -82, -8.5),
             (56.2, -84, -17.5), (54.6, -88, -27), (50.2, -94, -43), (41.5, -97, -58.5),
             (23, -98.5, -69.5), (0, -99, -72)]  # fmt: skip
NECK = [
    (0, -127, 46),
    (8.6, -127, 45),
    (16.4, -126.4, 42.6),
    (23.5, -125.3, 38.6),
    (29.6, -124, 33.5),
    (35.2, -122.5, 27.4),
    (40.4, -121, 20.5),
    (45, -119, 13),
    (48.8, -117, 5.0),
    (51.5, -115, -3.4),
    (53, -113.5, -11.8),
    (53.7, -113, -19.6),
    (53.3, -113.5, -28),
    (51.6, -114.5, -37),
    (46.6, -116, -49.5),
    (37.6, -117, -60),
    (21.8, -118, -68.5),
    (0, -118.5, -71),
]

# Skull above the brows: height in front, half breadth, front and back depth, drop of the back.
CRANIUM = {
    "F1": (37.0, 76.0, 99.2, -97.0, 2.0), "F2": (55.0, 73.5, 97.2, -92.8, 6.0),
    "F3": (72.0, 66.5, 91.0, -86.5, 10.0), "F4": (88.5, 56.0, 78.0, -77.0, 11.0),
}  # fmt: skip
AZIMUTH = (0, 6, 12, 18.5, 26, 34.5, 43.5, 57, 72, 85, 96, 107, 124, 143, 161, 180)
CENTRE_Z, CROWN, CAP_EDGE = -20.0, 113.0, 5


def name(row, column):
    """Name of a grid vertex.

    Parameters
    ----------
    row : str
        ``F4`` ... ``J1``.
    column : int
        0 to 15.

    Returns
    -------
    str
        For instance ``"R3.c6"``.
    """
    return f"{row}.c{column}"


def build(cage):
    """Place the head grid outside the eye, nose, mouth and ear patches.

    Parameters
    ----------
    cage : HalfCage
        Receives vertices and polygons. The eye's outer ring must be placed already, and the nose
        and mouth patches' outer rows.
    """
    for (row, column), point in FRONT.items():
        cage.add(name(row, column), point)
    for column, table in SIDE.items():
        for row, point in zip(SIDE_ROWS, table, strict=True):
            if point is not None:
                cage.add(name(row, column), point)
    for row, outline in CRANIUM.items():
        for column, degrees in enumerate(AZIMUTH):
            cage.add(name(row, column), _cranium(outline, degrees))
    _close_crown(cage)
    _neck(cage)
    full = [_row(cage, row) for row in ROWS[:14]]
    cage.grid(full)


def _row(cage, row):
    mouth_side = {"R4": "mouth.outer.4", "R5": "mouth.outer.5", "R6": "mouth.outer.6"}
    names = [name(row, c) if name(row, c) in cage.points else None for c in range(N_COLUMNS)]
    if row in mouth_side:
        names[2] = mouth_side[row]
    return names


def _cranium(outline, degrees):
    height, half_breadth, front, back, drop = outline
    angle = np.radians(degrees)
    # A superellipse: foreheads and temples are flatter than an ellipse.
    across = np.abs(np.sin(angle)) ** 0.94 * half_breadth
    along = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.90
    depth = CENTRE_Z + along * ((front - CENTRE_Z) if along > 0 else (CENTRE_Z - back))
    height -= drop * (1 - np.cos(angle)) / 2
    return (0.0 if degrees in (0, 180) else across, height, depth)


def _close_crown(cage):
    """Grid cap on the top row: no pole."""
    n = CAP_EDGE
    edge = {}
    for k in range(n + 1):
        edge[k, 0] = name("F4", k)
        edge[n, k] = name("F4", n + k)
        edge[k, n] = name("F4", 3 * n - k)
    at = {key: np.array(cage.points[vertex]) for key, vertex in edge.items()}
    half_breadth, front, back, drop = CRANIUM["F4"][1:]
    grid = dict(edge)
    for j in range(1, n):
        for i in range(n):
            s, t = i / n, j / n
            side = np.array([at[n, j][0], 0, at[n, j][2]])
            middle = (1 - t) * at[0, 0] + t * at[0, n]
            ends = (1 - t) * at[i, 0] + t * at[i, n]
            corner = (1 - t) * at[n, 0] + t * at[n, n]
            point = (1 - s) * middle + s * side + ends - (1 - s) * middle - s * corner
            reach = front - CENTRE_Z if point[2] > CENTRE_Z else CENTRE_Z - back
            radius = np.hypot(point[0] / half_breadth, (point[2] - CENTRE_Z) / reach)
            low = CRANIUM["F4"][0] - drop * (1 - (point[2] - CENTRE_Z) / reach) / 2
            flat = np.sqrt(max(1 - (0.85 * radius) ** 2, 0)), np.sqrt(1 - 0.85**2)
            height = low + (CROWN - low) * (flat[0] - flat[1]) / (1 - flat[1])
            x = 0.0 if i == 0 else point[0]
            grid[i, j] = cage.add(f"crown.{i}.{j}", (x, height, point[2]))
    cage.grid([[grid[i, j] for i in range(n + 1)] for j in range(n + 1)])


def _neck(cage):
    chin = [cage.add(f"J1.m{4 - k}", point) for k, point in enumerate(JAW[:4])]
    front = [cage.add(name("J1", 2 + k), point) for k, point in enumerate(JAW[4:])]
    jaw = chin + front + [name("J1", c) for c in range(7, N_COLUMNS)]
    rows = [jaw]
    low = [(x * 1.03, y - 38, z - 7) for x, y, z in NECK]
    for row, table in (("J2", UNDER_JAW), ("N1", NECK), ("N2", low)):
        rows.append([cage.add(f"{row}.{k}", point) for k, point in enumerate(table)])
    cage.grid(rows)
    lip = [f"mouth.outer.{k}" for k in (10, 9, 8, 7, 6)]
    cage.strip(lip, jaw[:5])
