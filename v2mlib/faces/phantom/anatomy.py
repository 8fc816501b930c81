"""Landmarks, measured lines and regions of the phantom face, by the names of cage vertices."""

import numpy as np

_LEFT_JAW = ("J1.m2", "J1.c3", "J1.c5", "J1.c7", "J1.c8", "R4.c9", "R2.c9", "EB.c9")
_LEFT_BROW = ("ET.c2", "ET.c3", "ET.c4", "ET.c5", "ET.c6")

# Pairs run from the subject's right to the left, or from above to below.
LINES = {
    "outer_interocular": ("eye.margin.6'", "eye.margin.6"),
    "ear": ("ear.helix.10'", "ear.helix.10"),
    "forehead": ("F1.c6'", "F1.c6"),
    "midline": ("R3.c6'", "R3.c6"),
    "cheek": ("R5.c6'", "R5.c6"),
    "menton_sellion": ("EM.c0", "J1.m4"),
    "nose_length": ("EM.c0", "mouth.outer.0"),
    "nose_width": ("nose.tip.3'", "nose.tip.3"),
    "nose_projection": ("mouth.outer.0", "nose.tip.0"),
    "mouth_width": ("mouth.vermilion.5'", "mouth.vermilion.5"),
    "chin_height": ("mouth.contact.10", "J1.m4"),
    "jaw_width": ("J1.c7'", "J1.c7"),
    "bizygomatic": ("R1.c8'", "R1.c8"),
}


def landmarks(head):
    """The 68 iBUG landmarks.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    ndarray of int, (68,)
        Vertex numbers.
    """
    eye = (0, 2, 4, 6, 8, 10)
    names = [name + "'" for name in _LEFT_JAW[::-1]] + ["J1.m4", *_LEFT_JAW]
    names += [name + "'" for name in _LEFT_BROW[::-1]] + list(_LEFT_BROW)
    names += ["EM.c0", "EB.c0", "R1.c0", "nose.tip.0"]
    names += ["nose.lobule.4'", "mouth.outer.1'", "mouth.outer.0", "mouth.outer.1", "nose.lobule.4"]
    names += [f"eye.margin.{k}'" for k in (6, 4, 2, 0, 10, 8)]
    names += [f"eye.margin.{k}" for k in eye]
    lip = "mouth.vermilion"
    names += [f"{lip}.{k}'" for k in (5, 3, 1)] + [f"{lip}.0"]
    names += [f"{lip}.{k}" for k in (1, 3, 5, 7, 9, 10)] + [f"{lip}.{k}'" for k in (9, 7)]
    inner = "mouth.contact"
    names += [f"{inner}.5'", f"{inner}.2'", f"{inner}.0", f"{inner}.2", f"{inner}.5"]
    names += [f"{inner}.8", f"{inner}.10", f"{inner}.8'"]
    return np.array([head.index(name) for name in names])


def lines(head):
    """Corrected lines: near-mirror pairs between named points.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    dict of str to tuple of int
        Vertex pairs.
    """
    return {name: tuple(head.index(end) for end in ends) for name, ends in LINES.items()}


def published_lines(head):
    """The published definitions' faults, on this topology.

    The released outer interocular line ends on the cheek about 16 mm below the left canthus, and
    the "midline" is a slanted cheek-level width whose ends miss mirror symmetry by 11 mm.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    dict of str to tuple of int
        Vertex pairs.
    """
    exact = lines(head)
    pairs = {name: exact[name] for name in ("ear", "forehead", "cheek")}
    vertices = head.vertices
    skin = np.unique(head.triangles)

    def near(start, offset):
        target = vertices[start] + offset
        return int(skin[np.argmin(np.linalg.norm(vertices[skin] - target, axis=1))])

    right, left = exact["outer_interocular"]
    pairs["outer_interocular"] = (right, near(left, [8.5, -16.0, -6.0]))
    right, left = exact["midline"]
    pairs["midline"] = (right, near(left, [-1.0, 10.5, 3.0]))
    return pairs


def regions(head):
    """Six face regions, and the whole face without scalp, neck, ears and inner mouth.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    dict of str to ndarray of int
        Vertex numbers.
    """
    vertices = head.vertices
    used = np.zeros(len(vertices), bool)
    used[head.triangles] = True
    x, y, z = np.abs(vertices[:, 0]), vertices[:, 1], vertices[:, 2]
    left = vertices[:, 0] > 0
    hidden = _share(head, ("mouth.inside", "mouth.deep", "mouth.back", "teeth", "eye.inside",
                           "nostril.inside", "nostril.deep")) > 0.5  # fmt: skip
    ears = _share(head, ("ear",)) > 0.3
    face = used & ~hidden & ~ears & (z > 8 - 0.25 * y.clip(None, 0)) & (y > -116) & (y < 72)
    face &= ~((y < -100) & (z < 40))
    eye = face & (((x - 31.5) / 23) ** 2 + ((y + 1) / 18) ** 2 < 1) & (z > 58)
    nose = face & (y < 8) & (y > -49) & (x < 8 + 12.5 * np.clip((4 - y) / 45, 0, 1)) & ~eye
    mouth = face & ((x / 35) ** 2 + ((y + 69) / 19.5) ** 2 < 1) & ~nose
    cheek = face & (x > 20) & (x < 66) & (y < -14) & (y > -80) & ~eye & ~nose & ~mouth
    found = {
        "left_eye": eye & left, "right_eye": eye & ~left, "nose": nose, "mouth": mouth,
        "left_cheek": cheek & left, "right_cheek": cheek & ~left, "whole": face,
    }  # fmt: skip
    return {name: np.flatnonzero(mask) for name, mask in found.items()}


def _share(head, prefixes):
    """How much of each vertex is controlled by cage vertices of some parts."""
    plain = [name.rstrip("'") for name in head.names]
    weight = np.array([any(n == p or n.startswith(p + ".") for p in prefixes) for n in plain])
    return head.matrix @ weight.astype(float)
