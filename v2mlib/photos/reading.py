"""Read a photograph: any common format, upright, as 8-bit RGB, one clear error per thing amiss."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from v2mlib.checks import InputError, ShapeError

MAXIMUM_PIXELS = 89_000_000  # just below where Pillow warns
"""Larger pictures are refused: a small file can unfold into more memory than there is."""

SMALLEST = 16
"""Fewest rows and columns in which there can be a face."""

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")
_AGAIN = "copy or download it again"
_PAPER = (255, 255, 255)  # behind what is transparent


def read_photo(path):
    """Read a photograph as it is meant to be seen.

    It is turned as its EXIF orientation says. Greyscale, palettes, CMYK and 16 bits are
    converted to 8-bit RGB, transparent parts laid on white; of several pictures in a file the
    first is taken. Colour profiles are not applied.

    Parameters
    ----------
    path : path
        JPEG, PNG, WebP, BMP, TIFF, GIF, PPM; AVIF and JPEG 2000 where Pillow reads them.

    Returns
    -------
    ndarray of uint8, (row, column, rgb=3)
        The photograph.

    Raises
    ------
    InputError
        With the file's name and a remedy: missing, a folder, not readable, empty, not a photo,
        truncated, too large, too small, or pixels whose range is not known (32-bit numbers).
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(path, "is a folder", "name the photos in it")
        if path.stat().st_size == 0:
            raise InputError(path, "is empty (0 bytes)", _AGAIN)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.init()  # loads the readers there are
            known = [name for name in _FORMATS if name in Image.OPEN]
            with Image.open(path, formats=known) as stored:
                return _upright_rgb(stored, path)
    except InputError:  # a ValueError too: not to be wrapped below
        raise
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the spelling and the folder") from None
    except PermissionError:
        raise InputError(
            path, "cannot be read (permission denied)", f"allow it with chmod +r {path.name}"
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_large(path) from None
    except UnidentifiedImageError:
        raise InputError(
            path, "is not a photograph that can be read", "use JPEG, PNG, WebP, BMP or TIFF"
        ) from None
    except MemoryError:
        raise InputError(path, "does not fit into memory", "scale it down first") from None
    # A damaged file can fail anywhere in a decoder.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InputError(path, f"is truncated or damaged ({reason})", _AGAIN) from None


def as_photo(image):
    """Take a photograph as a path or as an array, checked.

    Parameters
    ----------
    image : path or ndarray of uint8, (row, column, rgb=3)
        See `read_photo`.

    Returns
    -------
    ndarray of uint8, (row, column, rgb=3)
        Contiguous.

    Raises
    ------
    InputError
        If it cannot be read, or is not of 8-bit numbers.
    ShapeError
        If an array has other axes.

    Examples
    --------
    >>> as_photo(np.zeros((20, 30, 4), np.uint8))
    Traceback (most recent call last):
    v2mlib.checks.ShapeError: photo has shape (20, 30, 4), expected (row, column, rgb=3).
    """
    if isinstance(image, (str, Path)):
        return read_photo(image)
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        slip = " Colours first?" if image.ndim == 3 and image.shape[0] == 3 else ""
        raise ShapeError(f"photo has shape {image.shape}, expected (row, column, rgb=3).{slip}")
    if image.dtype != np.uint8:
        raise InputError(
            "photo", f"is of type {image.dtype}", "give 8-bit numbers, 0 to 255 (uint8)"
        )
    return np.ascontiguousarray(image)


def _upright_rgb(stored, path):
    columns, rows = stored.size
    if columns * rows > MAXIMUM_PIXELS:
        raise _too_large(path)
    if min(columns, rows) < SMALLEST:
        raise InputError(
            path,
            f"has {columns} x {rows} pixels",
            f"use photos of at least {SMALLEST} x {SMALLEST}",
        )
    stored.load()
    return np.asarray(_as_rgb(_turned(stored), path))


def _turned(stored):
    try:
        return ImageOps.exif_transpose(stored)
    except Exception:  # metadata so damaged that there is no orientation in it
        return stored


def _as_rgb(image, path):
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.float32) / 257
        image = Image.fromarray(np.rint(levels).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise InputError(
            path, "holds 32-bit numbers whose range is not known", "save it with 8 bits per colour"
        )
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _PAPER), image).convert("RGB")
    return image.convert("RGB")


def _too_large(path):
    return InputError(
        path,
        f"unfolds to more than {MAXIMUM_PIXELS // 10**6} million pixels",
        "scale it down, or leave it out if you do not know where it comes from",
    )
