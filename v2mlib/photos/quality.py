"""How good a photograph of a face is, as far as pixels tell."""

import numpy as np
from PIL import Image

from v2mlib.photos.landmarks import box_of_points

_SIDE = 128  # pixels to which a face is brought: sharpness must not depend on resolution


def sharpness(image, points):
    """How much fine detail a photographed face has.

    The face is cut out, brought to 128 x 128 pixels and made grey; the standard deviation of its
    discrete Laplacian is divided by that of its grey levels. Small faces, enlarged for it, come
    out blurred, as they are.

    Parameters
    ----------
    image : ndarray of uint8, (row, column, rgb=3)
        The photograph.
    points : array_like, (landmark, xy or xyz), pixels
        Of the face; NaN where unknown.

    Returns
    -------
    float
        Without unit: about 0 for a face out of focus, mostly 0.1 to 0.6 for photographs; 0 where
        no point of the face is in the picture.

    References
    ----------
    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study",
    ICPR 2000 (variance of the Laplacian).
    """
    rows, columns = image.shape[:2]
    box = np.round(box_of_points(points)).clip(0, [columns, rows, columns, rows])
    if not np.isfinite(box).all() or (box[2:] - box[:2] < 2).any():
        return 0.0
    face = Image.fromarray(image).crop([int(edge) for edge in box]).convert("L")
    grey = np.asarray(face.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), dtype=np.float64)
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.std() / max(inner.std(), 1.0))
