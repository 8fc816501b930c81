"""Landmarks computed before, as a landmark engine: from files, or a phantom world's truth."""

from pathlib import Path

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.datasets.world import LANDMARKS, MARKER
from v2mlib.photos.engine_base import LandmarkEngine
from v2mlib.photos.landmark_files import SUFFIXES, read_landmarks
from v2mlib.photos.landmarks import Landmarks, box_of_points

_WORLD_DEPTH = 3  # a world's photographs are at faces/Name/photo.jpg


class Engine(LandmarkEngine):
    """Landmarks that lie in files.

    For ``photos/Name/01.jpg`` it looks for ``01`` with one of the endings that
    `v2mlib.photos.read_landmarks` reads, in ``folder/Name``, then in ``folder``, or without a
    folder beside the photograph. In a phantom world, or with one as the folder, the true
    landmarks are taken. A photograph without a file counts as one without a face.

    Parameters
    ----------
    folder : path, optional
        Where to look.

    Raises
    ------
    InputError
        If the folder does not exist.
    """

    name = "files"

    def __init__(self, folder=None):
        self.folder = None if folder is None else Path(folder).expanduser()
        if self.folder is not None and not self.folder.is_dir():
            raise InputError(self.folder, "is not a folder", "give the folder of the landmarks")
        self._worlds = {}

    def detect_all(self, images, boxes=None):
        """Look up the landmarks of photographs.

        Parameters
        ----------
        images : sequence of path
            Photographs; they are found by their names and not opened.
        boxes : object
            Not needed, and not used.

        Returns
        -------
        list of list of Landmarks
            One face per photograph, or none.

        Raises
        ------
        InputError
            If an image is not a path, or a file of landmarks is damaged.
        """
        found = []
        for image in images:
            if not isinstance(image, (str, Path)):
                raise InputError(
                    "an image",
                    f"is given as {type(image).__name__}",
                    "landmark engine 'files' finds landmarks by path: give paths",
                )
            points = self._points(Path(image).expanduser())
            if points is None:
                found.append([])
            else:
                box = box_of_points(points).astype(np.float32)
                found.append([Landmarks(points, box, np.nan)])
        return found

    def _points(self, photo):
        if self.folder is not None and (self.folder / MARKER).is_file():
            return self._true_points(self.folder, photo)
        folders = [photo.parent]
        if self.folder is not None:
            folders = [self.folder / photo.parent.name, self.folder]
        for folder in folders:
            for suffix in SUFFIXES:
                path = folder / f"{photo.stem}{suffix}"
                if path.is_file():
                    return read_landmarks(path)
        if self.folder is None:
            for folder in list(photo.absolute().parents)[:_WORLD_DEPTH]:
                if (folder / MARKER).is_file():
                    return self._true_points(folder, photo)
        return None

    def _true_points(self, world, photo):
        if world not in self._worlds:
            self._worlds[world] = _read_truth(world)
        try:
            name = photo.resolve().relative_to(world.resolve()).as_posix()
        except ValueError:
            return None
        return self._worlds[world].get(name)


def _read_truth(world):
    table = world / "truth" / "photos.parquet"
    try:
        landmarks = np.load(world / LANDMARKS, allow_pickle=False)
        paths = pd.read_parquet(table, columns=["path"])["path"]
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise InputError(
            world,
            f"is a phantom world without sound landmarks ({error})",
            "make it again: `v2m data phantom` goes on where it stopped",
        ) from None
    if len(landmarks) != len(paths):
        raise InputError(
            world,
            f"has landmarks of {len(landmarks)} photos and lists {len(paths)}",
            "make it again: `v2m data phantom` goes on where it stopped",
        )
    return dict(zip(paths, landmarks.astype(np.float32), strict=True))
