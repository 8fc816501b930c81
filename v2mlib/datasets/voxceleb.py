"""VoxCeleb1 as people have it: recordings in `wav/idNNNNN/<video>/<clip>.wav`, names in a table."""


def read_meta(path):
    """Read the list of people, `vox1_meta.csv`.

    Tabs separate the columns of the original; copies with commas or semicolons (and spaces after
    them), with spaces for tabs, with a byte-order mark or Windows line ends are read alike.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    pandas.DataFrame
        `identity`, `name` (as VGGFace spells it), `sex` ("m" or "f"), `nationality`, `set`
        ("dev" or "test"); the last two None where the file lacks them. In the file's order.

    Raises
    ------
    InputError
        If the file is absent, lacks a column, names an identity twice, or does not say "m" or
        "f"; file, line and remedy are named.
    """
    raise NotImplementedError


def find_recordings(folder, *, progress=True):
    """Find the recordings of a VoxCeleb1 tree.

    Parameters
    ----------
    folder : path
        The folder of the `idNNNNN` folders, or one up to three levels above (`wav`, `dev/wav` and
        `test/wav`, a phantom world).
    progress : bool
        Whether to show a progress bar on the standard error stream where it takes long.

    Returns
    -------
    Found
        Table of `identity`, `video`, `clip`, `path`, and what was rejected.

    Raises
    ------
    InputError
        If there is no such tree.
    """
    raise NotImplementedError
