"""MediaPipe's face mesh as a landmark engine: 478 points, of which 68 are kept.

The wheel of version 0.10.14 carries its models and works offline; later ones do not.
"""

import contextlib
import importlib.util
import os
import sys
import tempfile
import warnings

import numpy as np

from v2mlib.checks import InputError
from v2mlib.photos.engine_base import LandmarkEngine
from v2mlib.photos.landmarks import Landmarks, box_of_points

MESH_POINTS = np.array(
    # Jaw from the subject's right ear over the chin to the left ear, on the mesh's border.
    [(p, p) for p in (127, 93, 132, 58, 172, 136, 150, 176, 152)]
    + [(p, p) for p in (400, 379, 365, 397, 288, 361, 323, 356)]
    # Brows: halfway between their upper and lower edges.
    + [(70, 46), (63, 53), (105, 52), (66, 65), (107, 55)]
    + [(336, 285), (296, 295), (334, 282), (293, 283), (300, 276)]
    # Bridge and base of the nose.
    + [(p, p) for p in (168, 197, 195, 4, 59, 60, 94, 290, 289)]
    # Eyes, clockwise in the picture from its left.
    + [(p, p) for p in (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)]
    # Lips, clockwise from the subject's right corner: outside, then inside.
    + [(p, p) for p in (61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91)]
    + [(62, 62), (81, 82), (13, 13), (311, 312), (292, 292), (402, 317), (14, 14), (178, 87)]
)
"""For each of the 68 landmarks the two mesh points whose middle it is, (68, 2).

Chosen by anatomy and checked on rendered faces whose landmarks are known and on photographs of
AFLW2000-3D. The mesh ends at the jaw's outline as seen, so landmarks 0 to 16 are not the same
places of the head from every side; brow and lip points differ by a few hundredths of the face.
"""

_VERSION = "0.10.14"
_MOST_FACES = 16
_LEAST_CONFIDENCE = 0.5
_MARGIN = 0.5  # around a given box, share of its side


class Engine(LandmarkEngine):
    """Landmarks of MediaPipe's face mesh.

    It gives no confidence, and looks for faces that fill a good part of the picture: small
    faces in large photographs need boxes. Depth is relative, in pixels.

    Raises
    ------
    InputError
        If MediaPipe is not installed, naming what to do.
    """

    name = "mediapipe"

    def __init__(self):
        require_mediapipe()
        self._one, self._many = None, None

    def faces_in(self, image, boxes):
        """Find the faces of one image.

        Parameters
        ----------
        image : ndarray of uint8, (row, column, rgb=3)
            The photograph.
        boxes : ndarray of float, (face, 4), pixels, or None
            Where to look, one face in each.

        Returns
        -------
        list of Landmarks
            With relative depth; a face that is not found in its box has points of NaN.
        """
        if boxes is None:
            self._many = self._many or _mesh(_MOST_FACES)
            meshes = _process(self._many, image)
            return [Landmarks(p, box_of_points(p).astype(np.float32), np.nan) for p in meshes]
        self._one = self._one or _mesh(1)
        return [self._face_in_box(image, box) for box in boxes]

    def _face_in_box(self, image, box):
        margin = _MARGIN * (box[2:] - box[:2]).max()
        height, width = image.shape[:2]
        low = np.floor(box[:2] - margin).clip(0).astype(int)
        high = np.ceil(box[2:] + margin).clip(0, [width, height]).astype(int)
        part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        found = _process(self._one, part) if min(part.shape[:2]) > 1 else []
        points = found[0] + np.float32([*low, 0]) if found else np.full((68, 3), np.nan, np.float32)
        return Landmarks(points, box.astype(np.float32), np.nan)


def require_mediapipe():
    """Refuse to go on without MediaPipe.

    Raises
    ------
    InputError
        Naming the extra to install or, for Python 3.13 and later, that there is no wheel.
    """
    if importlib.util.find_spec("mediapipe") is not None:
        return
    if sys.version_info >= (3, 13):
        remedy = (
            f"version {_VERSION}, the last that carries its models, has no wheel for Python "
            f"{sys.version_info.major}.{sys.version_info.minor}: use Python 3.11 or 3.12, or the "
            "engine teacher, fan or files"
        )
    else:
        remedy = 'pip install "v2mlib[photos]"'
    raise InputError("MediaPipe", "is not installed", remedy)


def _mesh(most_faces):
    """Load a graph and run it once: on its first picture it talks to stderr."""
    with _quiet():
        try:
            from mediapipe.python.solutions.face_mesh import FaceMesh
        except (ImportError, TypeError, AttributeError) as error:  # another version, or protobuf
            reason = str(error).splitlines()[0]
            raise InputError(
                "MediaPipe",
                f"cannot be imported ({reason})",
                f'version {_VERSION} is needed: pip install "v2mlib[photos]"',
            ) from None
        try:
            mesh = FaceMesh(
                static_image_mode=True,
                max_num_faces=most_faces,
                refine_landmarks=True,
                min_detection_confidence=_LEAST_CONFIDENCE,
            )
            mesh.process(np.zeros((64, 64, 3), np.uint8))
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                "MediaPipe",
                f"cannot load its models ({str(error).splitlines()[0]})",
                f"version {_VERSION} carries them: pip install mediapipe=={_VERSION}",
            ) from None
    return mesh


def _process(mesh, image):
    """68 points per face, float32, (68, xyz) in pixels of the image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own calls of what protobuf wants to drop
        found = mesh.process(image).multi_face_landmarks or []
    height, width = image.shape[:2]
    faces = []
    for face in found:
        shares = np.array([(p.x, p.y, p.z) for p in face.landmark])  # (478, xyz)
        # The share 0 is the outer edge of the first pixel; depth is in widths, small where near.
        pixels = shares * [width, height, -width] - [0.5, 0.5, 0.0]
        faces.append(pixels[MESH_POINTS].mean(1).astype(np.float32))
    return faces


@contextlib.contextmanager
def _quiet():
    """Keep what the native code writes to stderr from the reader, unless it fails."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stderr = stack.enter_context(tempfile.TemporaryFile())
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(stderr.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
