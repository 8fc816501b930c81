"""What a face with coefficients sends to the browser, and when."""

import functools
import threading

import numpy as np

from v2mlib.widgets.packing import as_array, pack_modes


@functools.lru_cache(maxsize=2)
def pack_model_modes(model):
    """Quantise a model's modes once, however many views show it.

    Parameters
    ----------
    model : MorphableModel
        Its modes are taken as unchanging.

    Returns
    -------
    dict
        As from `v2mlib.widgets.packing.pack_modes`, shape before expression, in mm per standard
        deviation.
    """
    bases = [as_array(model.shape_basis), as_array(model.expression_basis)]
    sds = [as_array(model.shape_std), as_array(model.expression_std)]
    scaled = [basis * sd for basis, sd in zip(bases, sds, strict=True)]
    return pack_modes(np.concatenate(scaled, axis=-1))


def coefficient_names(model):
    """Labels of the sliders.

    Parameters
    ----------
    model : MorphableModel
        Its expressions may have names of their own.

    Returns
    -------
    dict
        ``shape_names`` and ``expression_names``, lists of str.
    """
    names = model.expression_names
    if not names and model.name == "phantom":
        from v2mlib.faces.phantom.expressions import EXPRESSIONS

        names = EXPRESSIONS
    names = [name.replace("_", " ") for name in names]
    if len(names) != model.n_expression:
        names = [f"expression {k + 1}" for k in range(model.n_expression)]
    shape_names = [f"shape {k + 1}" for k in range(model.n_shape)]
    return {"shape_names": shape_names, "expression_names": names}


def soon(act, seconds=1.0):
    """Call a function a little later, so that what a reader waits for comes first.

    Parameters
    ----------
    act : callable
        Takes nothing. Called in a thread, so that it does not wait for a long cell either.
    seconds : float, s
        How much later.

    Returns
    -------
    threading.Timer
        Whose thread ends with the process.
    """
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    return timer
