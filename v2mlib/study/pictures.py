"""Pictures of a study's faces, drawn once, all to one scale."""

import dataclasses
import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from v2mlib.checks import InputError
from v2mlib.faces import rendering
from v2mlib.study.folder import PICTURES, Picture
from v2mlib.widgets.packing import as_array, gloss_of
from v2mlib.widgets.stills import beside, occlusion_of, still

_TURN_DEG = 60.0  # a turnable face turns this far to either side
_IMAGES = (".png", ".jpg", ".jpeg")


class Painter:
    """Draws faces of one model, and keeps each picture once under a name that tells nothing.

    Parameters
    ----------
    folder : pathlib.Path
        Of the study.
    model : MorphableModel
        What the faces are of.
    plan : StudyPlan
        Size and number of frames.

    Attributes
    ----------
    checksums : dict of str to str
        SHA-256 by file, of all pictures so far.
    """

    def __init__(self, folder, model, plan):
        self.checksums = {}
        self._drawn = {}
        self._folder, self._plan = folder, plan
        self._size = plan.picture_px, round(0.86 * plan.picture_px)
        self._triangles = as_array(model.triangles)
        mean = as_array(model.mean)
        colours = getattr(model, "colours", None)
        self._look = {
            "colours": None if colours is None else as_array(colours),
            "occlusion": occlusion_of(model, mean, self._triangles),
            "gloss": gloss_of(model),
        }
        # Each face framed for itself would hide who has the larger face.
        self._camera = rendering.frame(mean, "front", margin=1.2, size=self._size)

    def view(self, vertices):
        """Draw a face from the front and the side.

        Parameters
        ----------
        vertices : ndarray, (vertex, xyz=3), mm
            The face.

        Returns
        -------
        Picture
            Of one frame.
        """
        return self._from_directions(vertices, (0.0, 75.0))._replace(frames=1)

    def turn(self, vertices):
        """Draw a face from all directions it can be turned to.

        Parameters
        ----------
        vertices : ndarray, (vertex, xyz=3), mm
            The face.

        Returns
        -------
        Picture
            Frames from the subject's right to its left.
        """
        directions = np.linspace(-_TURN_DEG, _TURN_DEG, self._plan.frames)
        return self._from_directions(vertices, tuple(directions.tolist()))

    def image(self, folder, identity):
        """Take somebody's image from a folder.

        Parameters
        ----------
        folder : path
            Holds ``IDENTITY.png`` or ``.jpg``.
        identity : str
            Whose.

        Returns
        -------
        Picture
            Fitted to the height of the others, without what the file says about itself.
        """
        height = self._plan.picture_px
        path = image_of(folder, identity)
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(path, f"is no image ({error})", "write it as PNG or JPEG") from None
        width = max(1, round(image.width * height / image.height))
        return self._keep(image.resize((width, height), Image.Resampling.LANCZOS), 1)

    def _from_directions(self, vertices, directions):
        """Pictures side by side; a face that was drawn before is not drawn again."""
        key = hashlib.sha256(np.ascontiguousarray(vertices)).digest(), directions
        if key not in self._drawn:
            frames = [self._draw(vertices, yaw) for yaw in directions]
            self._drawn[key] = self._keep(beside(frames, gap=0), len(frames))
        return self._drawn[key]

    def _draw(self, vertices, yaw):
        camera = dataclasses.replace(self._camera, yaw_deg=float(yaw))
        return still(vertices, self._triangles, camera=camera, size=self._size, **self._look)

    def _keep(self, image, frames):
        stream = io.BytesIO()
        image.save(stream, "jpeg", quality=88)
        digest = hashlib.sha256(stream.getvalue()).hexdigest()
        name = f"{PICTURES}/{digest[:16]}.jpg"
        if name not in self.checksums:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stream.getvalue())
            self.checksums[name] = digest
        return Picture(name, frames)


def image_of(folder, identity):
    """Find somebody's image.

    Parameters
    ----------
    folder : path
        Holds ``IDENTITY.png`` or ``.jpg``.
    identity : str
        Whose.

    Returns
    -------
    pathlib.Path or None
        None where there is none.
    """
    # A name with a separator is no file name.
    if Path(identity).name != identity:
        return None
    found = (Path(folder) / f"{identity}{kind}" for kind in _IMAGES)
    return next((path for path in found if path.is_file()), None)
