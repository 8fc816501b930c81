"""3D-FAN of face-alignment as a landmark engine."""

import warnings

import numpy as np

from v2mlib.checks import InputError
from v2mlib.photos.engine_base import LandmarkEngine
from v2mlib.photos.fan_weights import check_fan_files
from v2mlib.photos.landmarks import Landmarks


class Engine(LandmarkEngine):
    """Landmarks of 3D-FAN: the same places of the head from every side, hidden ones included.

    Parameters
    ----------
    device : str
        Where to compute; on a processor it takes about a second per face.

    Raises
    ------
    InputError
        If face-alignment or its weights are missing, naming what to do; nothing is fetched.

    References
    ----------
    Bulat & Tzimiropoulos, "How far are we from solving the 2D & 3D Face Alignment problem?",
    ICCV 2017.
    """

    name = "fan"

    def __init__(self, device="cpu"):
        check_fan_files()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its imports
            from face_alignment import FaceAlignment, LandmarksType

            try:
                self._network = FaceAlignment(
                    LandmarksType.TWO_HALF_D, device=device, compile=False
                )
            except (RuntimeError, AssertionError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(
                    f"device {device!r}", f"cannot run face-alignment ({reason})", "try cpu"
                ) from None

    def faces_in(self, image, boxes):
        """Find the faces of one image.

        Parameters
        ----------
        image : ndarray of uint8, (row, column, rgb=3)
            The photograph.
        boxes : ndarray of float, (face, 4), pixels, or None
            Where the faces are; None asks its own detector, whose boxes it was trained on.

        Returns
        -------
        list of Landmarks
            Without depth.
        """
        given = None if boxes is None else [np.append(box, np.nan) for box in boxes]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where there is no face
            points, _, found = self._network.get_landmarks_from_image(
                image, detected_faces=given, return_bboxes=True
            )
        faces = zip(points or [], found if found is not None else [], strict=True)
        return [
            Landmarks(
                np.asarray(face, np.float32)[:, :2],
                np.asarray(box[:4], np.float32),
                float(box[4]),
            )
            for face, box in faces
        ]
