"""Arithmetic of bfloat16 numbers in compiled loops, where they are known by their bits.

A bfloat16 is the upper half of a float32.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from v2mlib.compiling import compiled

_HALF = np.uint32(16)
_ONE = np.uint32(1)
_BELOW_HALF = np.uint32(0x7FFF)

# Sums may take any order, and a product and a sum be one instruction. NaN stays NaN.
kernel = functools.partial(compiled, fastmath={"reassoc", "contract", "nsz"})


@intrinsic
def _as_float(context, bits):
    """The float32 of these bits."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), code


@intrinsic
def _as_bits(context, value):
    """The bits of this float32."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), code


@kernel
def wide(bits):
    """Give the number of a bfloat16's bits.

    Parameters
    ----------
    bits : uint16
        Of any number.

    Returns
    -------
    float32
        The same number.
    """
    return _as_float(np.uint32(bits) << _HALF)


@kernel
def halved(value):
    """Round to the nearest bfloat16, to the even one of two as near.

    Parameters
    ----------
    value : float32
        Any number.

    Returns
    -------
    uint16
        Its bits.
    """
    bits = _as_bits(value)
    return np.uint16((bits + _BELOW_HALF + ((bits >> _HALF) & _ONE)) >> _HALF)
