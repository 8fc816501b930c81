"""Loops compiled to machine code, and kept on disk where that is possible."""


def compiled(function, fastmath=False):
    """Compile a function that needs no interpreter lock.

    Parameters
    ----------
    function : function
        Of numbers and arrays.
    fastmath : bool or set of str
        Which rules of floating-point arithmetic may be bent, as `numba.njit` takes them.

    Returns
    -------
    function
        Compiled when first called; for each type of its arguments.
    """
    import numba

    options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(function, **options)
