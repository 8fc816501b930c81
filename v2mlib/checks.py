"""Shape checks and the errors they raise: what I got, what I expected, the likely slip."""


class V2MError(Exception):
    """Base of every error that v2mlib raises on purpose."""


class ShapeError(V2MError, ValueError):
    """An array has the wrong shape, or two faces differ in topology."""


class InputError(V2MError, ValueError):
    """A file or value from outside cannot be used.

    Parameters
    ----------
    what : str or path
        The file or argument at fault.
    problem : str
        What is wrong with it, as a predicate ("is empty", "holds no speech").
    remedy : str
        What the reader can do about it.
    """

    def __init__(self, what, problem, remedy=""):
        self.what, self.problem, self.remedy = str(what), problem, remedy
        super().__init__(f"{what} {problem}" + (f": {remedy}" if remedy else ""))


def check_shape(array, expected, name):
    """Refuse an array whose shape is not the expected one.

    Parameters
    ----------
    array : array_like with ``.shape``
        The reader's input.
    expected : dict of str to int or None
        Axis names and sizes in order; ``None`` accepts any size. A leading ``"..."`` accepts
        any batch axes.
    name : str
        What the array is called in the message.

    Returns
    -------
    array_like
        The same array.

    Raises
    ------
    ShapeError
        Naming both shapes, and a transposition where that explains the difference.

    Examples
    --------
    >>> import numpy as np
    >>> check_shape(np.zeros((3, 5)), {"vertex": 5, "xyz": 3}, "reference")
    Traceback (most recent call last):
    v2mlib.checks.ShapeError: reference has shape (3, 5), expected (vertex=5, xyz=3). Transposed?
    """
    sizes = {axis: size for axis, size in expected.items() if axis != "..."}
    shape = tuple(array.shape)
    core = shape[len(shape) - len(sizes) :] if "..." in expected else shape

    def fits(candidate):
        return len(candidate) == len(sizes) and all(
            want is None or got == want for got, want in zip(candidate, sizes.values(), strict=True)
        )

    if fits(core):
        return array
    axes = [f"{axis}={size}" if size is not None else axis for axis, size in sizes.items()]
    wanted = ", ".join((["..."] if "..." in expected else []) + axes)
    slip = " Transposed?" if fits(core[::-1]) else ""
    raise ShapeError(f"{name} has shape {shape}, expected ({wanted}).{slip}")


def one_line(error):
    """Text of an error or a warning on one line.

    Parameters
    ----------
    error : Exception
        Anything that was raised.

    Returns
    -------
    str
        Without line breaks; for errors of the system, the file and the reason.

    Examples
    --------
    >>> one_line(FileNotFoundError(2, "No such file or directory", "a.wav"))
    'a.wav: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
