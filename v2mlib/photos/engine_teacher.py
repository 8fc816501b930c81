"""The teacher's own 68 landmarks as a landmark engine."""

from v2mlib.checks import InputError
from v2mlib.photos.engine_base import LandmarkEngine
from v2mlib.photos.landmarks import Landmarks


class Engine(LandmarkEngine):
    """Landmarks of 3DDFA-V2, projected from its 3D face, hidden ones included.

    Parameters
    ----------
    weights : path
        The checkpoint or its folder; see `v2mlib.photos.Teacher.load`.
    face_model : path or MorphableModel, optional
        The Basel face model; looked for beside the weights.
    runtime : {"onnx", "torch"}, optional
        What computes; ``onnx`` where it is installed.
    device : str
        For ``torch``.

    Raises
    ------
    InputError
        If no weights are given, or a file is missing or damaged.
    """

    name = "teacher"

    def __init__(self, weights=None, face_model=None, runtime=None, device="cpu"):
        if weights is None:
            raise InputError(
                "landmark engine 'teacher'",
                "needs the weights of 3DDFA-V2",
                "give the folder with mb05_120x120.pth: weights=PATH, or --teacher PATH",
            )
        from v2mlib.photos.teacher import Teacher

        self.teacher = Teacher.load(weights, face_model=face_model, runtime=runtime, device=device)

    def faces_in(self, image, boxes):
        """Find the faces of one image.

        Parameters
        ----------
        image : ndarray of uint8, (row, column, rgb=3)
            The photograph.
        boxes : ndarray of float, (face, 4), pixels, or None
            Where the faces are; None asks the detector.

        Returns
        -------
        list of Landmarks
            With depth.
        """
        found = self.teacher.predict([image], [boxes])[0]
        return [
            Landmarks(points, box.astype("float32"), float(score))
            for points, box, score in zip(found.landmarks, found.boxes, found.scores, strict=True)
        ]
