"""What the engines share: the largest face of an image, boxes checked."""

import numpy as np

from v2mlib.checks import InputError, check_shape
from v2mlib.photos.reading import as_photo


class LandmarkEngine:
    """Base of the landmark engines; a subclass has ``name`` and ``faces_in``."""

    name = ""

    def faces_in(self, image, boxes):
        """Find the faces of one image.

        Parameters
        ----------
        image : ndarray of uint8, (row, column, rgb=3)
            The photograph.
        boxes : ndarray of float, (face, 4), pixels, or None
            Where the faces are, if that is known.

        Returns
        -------
        list of Landmarks
            In any order; with boxes, in theirs.
        """
        raise NotImplementedError

    def detect_all(self, images, boxes=None):
        """Find all faces of each image.

        Parameters
        ----------
        images : sequence of path or ndarray of uint8, (row, column, rgb=3)
            Photographs.
        boxes : sequence of array_like, (face, 4) or (4,), pixels, optional
            Per image the faces' boxes ``x_low, y_low, x_high, y_high``, or None to look for
            them. Then the answers are in the boxes' order.

        Returns
        -------
        list of list of Landmarks
            Per image its faces, the largest first; empty where there is none.

        Raises
        ------
        InputError
            If an image cannot be read or boxes do not fit the images.
        """
        images = list(images)
        boxes = checked_boxes(boxes, len(images))
        found = []
        for image, given in zip(images, boxes, strict=True):
            faces = self.faces_in(as_photo(image), given)
            found.append(faces if given is not None else sorted(faces, key=_area, reverse=True))
        return found

    def detect(self, images, boxes=None):
        """Find the largest face of each image.

        Parameters
        ----------
        images : sequence of path or ndarray of uint8, (row, column, rgb=3)
            Photographs.
        boxes : sequence of array_like, (4,), pixels, optional
            As in `detect_all`.

        Returns
        -------
        list of Landmarks or None
            Per image, in the same order; None where no face was found.

        Raises
        ------
        InputError
            If an image cannot be read or boxes do not fit the images.
        """
        found = self.detect_all(images, boxes)
        known = [[face for face in faces if np.isfinite(face.points).any()] for faces in found]
        return [max(faces, key=_area, default=None) for faces in known]


def checked_boxes(boxes, n_images):
    """Bring face boxes into one form.

    Parameters
    ----------
    boxes : sequence of array_like, (face, 4) or (4,), pixels, or None
        Per image its boxes, or None.
    n_images : int
        Number of images.

    Returns
    -------
    list of ndarray of float, (face, 4), or None
        One entry per image.

    Raises
    ------
    InputError
        If their number is another one, or a box is empty or not finite.
    ShapeError
        If a box has not four numbers.

    Examples
    --------
    >>> checked_boxes([[0, 0, 9, 9], None], 2)
    [array([[0., 0., 9., 9.]]), None]
    """
    if boxes is None:
        return [None] * n_images
    boxes = list(boxes)
    if len(boxes) != n_images:
        raise InputError("boxes", f"are {len(boxes)} for {n_images} images", "give one per image")
    checked = []
    for given in boxes:
        if given is not None:
            given = np.asarray(given, dtype=float)
            given = given[None] if given.ndim == 1 else given
            check_shape(given, {"face": None, "x_low y_low x_high y_high": 4}, "boxes of an image")
            if not (np.isfinite(given).all() and (given[:, 2:] > given[:, :2]).all()):
                raise InputError(
                    f"box {given.tolist()}",
                    "encloses nothing",
                    "give x_low, y_low, x_high, y_high in pixels",
                )
        checked.append(given)
    return checked


def _area(face):
    """Of a face in the picture."""
    low_x, low_y, high_x, high_y = face.box
    return (high_x - low_x) * (high_y - low_y)
