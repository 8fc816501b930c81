"""Invented names, spread over the alphabet so that the A-E test split finds its people.

No name is a real person's by intent: given and family names are strung from syllables.
"""

import numpy as np

#: As in Voxceleb-3D: names that start with these letters are for testing.
TEST_INITIALS = "ABCDE"
TRAIN_INITIALS = "FGHIJKLMNOPRSTVWYZ"

_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "io")
_MIDDLES = ("b", "d", "l", "ll", "m", "n", "nd", "nn", "r", "rl", "rr", "s", "ss", "t", "th", "v")
_GIVEN_ENDINGS = ("", "n", "l", "s", "ra", "na", "lin", "mar", "vy", "ne")
_FAMILY_ONSETS = ("B", "Br", "D", "F", "G", "Gr", "H", "K", "L", "M", "N", "P", "Qu", "R", "S",
                  "St", "T", "Tr", "V", "W", "Z")  # fmt: skip
_FAMILY_ENDINGS = ("ck", "den", "dor", "ffe", "kell", "llen", "mber", "nby", "rrow", "sk", "thor",
                   "vane", "wick", "zel")  # fmt: skip


def invent_names(n_names, initials, rng):
    """Invent distinct names whose initials cover a range of the alphabet evenly.

    Parameters
    ----------
    n_names : int
        How many.
    initials : str
        Allowed first letters.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    list of str
        `Given_Family`, sorted.

    Examples
    --------
    >>> names = invent_names(40, TEST_INITIALS, np.random.default_rng(0))
    >>> len(set(names)), sorted({name[0] for name in names})
    (40, ['A', 'B', 'C', 'D', 'E'])
    """
    names = set()
    while len(names) < n_names:
        names.add(_name(initials[len(names) % len(initials)], rng))
    return sorted(names)


def _name(initial, rng):
    def pick(options):
        return options[int(rng.integers(len(options)))]

    stem = initial + (pick(_MIDDLES) if initial in "AEIOU" else pick(_VOWELS))
    if initial in "AEIOU":
        stem += pick(_VOWELS)
    given = stem + pick(_MIDDLES) + pick(_VOWELS) + pick(_GIVEN_ENDINGS)
    family = pick(_FAMILY_ONSETS) + pick(_VOWELS) + pick(_FAMILY_ENDINGS)
    return f"{given}_{family}"


def balanced_sexes(n_people, rng):
    """Half men, half women, in random order.

    Parameters
    ----------
    n_people : int
        How many; an odd one is dealt at random.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, (person,)
        +1 male, -1 female.
    """
    sexes = np.repeat([1.0, -1.0], [(n_people + 1) // 2, n_people // 2])
    return rng.permutation(sexes * rng.choice([1.0, -1.0]))
