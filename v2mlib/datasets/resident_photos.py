"""Batches of face images, cropped once from photographs and kept on the device.

As with utterances, what is in a batch follows from the seed and the step's number alone.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from v2mlib.checks import InputError
from v2mlib.processes import processors


@dataclasses.dataclass(frozen=True)
class FaceCrop:
    """How faces are cut out of photographs.

    Attributes
    ----------
    size : int, pixels
        Rows and columns of the result.
    margin : float
        Side of the square over the larger extent of the 68 landmarks.
    scale_jitter : float
        Largest change of the side, as a share, when a batch is drawn.
    shift_jitter : float
        Largest shift, as a share of the side, when a batch is drawn.
    """

    size: int = 64
    margin: float = 1.35
    scale_jitter: float = 0.0
    shift_jitter: float = 0.0

    def __post_init__(self):
        """Refuse crops that cannot be."""
        if self.size < 8 or not self.margin > 0:
            raise InputError(
                f"crops of {self.size} pixels with margin {self.margin}",
                "are not possible",
                "choose a size of 8 or more and a positive margin",
            )
        if not (0 <= self.scale_jitter < 0.5 and 0 <= self.shift_jitter < 0.5):
            raise InputError("jitter", "is not a share below a half", "choose 0 to 0.3")

    @property
    def room(self):
        """Side of what is stored over the side of a crop.

        Returns
        -------
        float
            Enough for every jitter.
        """
        return 1 + self.scale_jitter + 2 * self.shift_jitter


class PhotoBatch(NamedTuple):
    """Face images and whose they are.

    Attributes
    ----------
    images : tensor of float32, (batch, rgb=3, row, column)
        In [-1, 1].
    identity : tensor of int64, (batch,)
        Position of the identity among those of the data set.
    photo : tensor of int64, (batch,)
        Position of the photograph here.
    square : tensor of float32, (batch, 3), pixels
        Left and top of the crop in the photograph, and its side.
    """

    images: torch.Tensor
    identity: torch.Tensor
    photo: torch.Tensor
    square: torch.Tensor


class ResidentPhotos:
    """Cropped photographs of some identities, on a device.

    Parameters
    ----------
    world : World
        The data set; its landmarks say where the faces are.
    identities : sequence of str
        Whose to use.
    crop : FaceCrop, optional
        How to cut.
    device : torch.device or str
        Where to put them.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Attributes
    ----------
    pixels : tensor of uint8, (photo, rgb=3, row, column)
        Crops with room for jitter.
    identity : tensor of int64, (photo,)
        Position of the identity among `identities`, ascending.
    row : ndarray of int, (photo,)
        Row of the world's table of photographs.
    side : ndarray of float, (photo,), pixels
        Of the crop in the photograph, without room.
    corner : ndarray of float, (photo, column and row), pixels
        Its top left corner (of the corner pixel, not its centre), without room.
    identities : list of str
        Those with at least one usable photograph, in the order given.

    Raises
    ------
    InputError
        If no identity has a usable photograph, or one cannot be read.
    """

    def __init__(self, world, identities, *, crop=None, device="cpu", progress=True):
        self.crop = crop or FaceCrop()
        found = np.isfinite(world.landmarks).all((1, 2))
        position = {identity: number for number, identity in enumerate(identities)}
        owner = world.photos["identity"].map(position).to_numpy(dtype=float)
        rows = np.flatnonzero(found & np.isfinite(owner))
        if not len(rows):
            raise InputError(
                f"{len(position)} identities",
                "have no photograph with a face",
                "make the world with photographs (v2m data phantom --photos 6)",
            )
        self.row = rows[np.argsort(owner[rows], kind="stable")]
        self.corner, self.side = face_squares(world.landmarks[self.row], self.crop.margin)
        kept, whose = np.unique(owner[self.row].astype(int), return_inverse=True)
        self.identities = [list(identities)[number] for number in kept]
        self.identity = torch.from_numpy(whose).to(device)
        self._count = torch.bincount(self.identity, minlength=len(kept))
        self._first = self._count.cumsum(0) - self._count
        self.pixels = self._read(world, progress).to(device)
        squares = np.hstack([self.corner, self.side[:, None]])
        self._squares = torch.tensor(squares, dtype=torch.float32, device=device)

    def __len__(self):
        """Count the photographs."""
        return len(self.identity)

    def _read(self, world, progress):
        paths = [world.folder / path for path in world.photos["path"].iloc[self.row]]
        room, stored = self.crop.room, round(self.crop.size * self.crop.room)
        half = self.side[:, None] * (room - 1) / 2
        squares = np.hstack([self.corner - half, self.corner + self.side[:, None] + half])
        pixels = torch.empty(len(paths), 3, stored, stored, dtype=torch.uint8)

        def read(number):
            image = cut_square(paths[number], squares[number], stored)
            pixels[number] = torch.from_numpy(image).permute(2, 0, 1)

        with ThreadPoolExecutor(min(processors(), 4)) as pool:
            jobs = pool.map(read, range(len(paths)))
            label = "cropping photographs"
            for _ in tqdm(jobs, total=len(paths), desc=label, unit="file", disable=not progress):
                pass
        return pixels

    def images(self, photos):
        """Cut the middle out of stored crops.

        Parameters
        ----------
        photos : tensor of int64, (batch,)
            Which.

        Returns
        -------
        tensor of float32, (batch, rgb=3, row, column)
            In [-1, 1].
        """
        stored = _to_range(self.pixels[photos])
        if stored.shape[-1] == self.crop.size:
            return stored
        still = torch.zeros(len(photos), device=stored.device)
        return self._cut(stored, 1 + still, torch.stack([still, still], 1))

    def squares(self, photos):
        """Where crops lie in their photographs.

        Parameters
        ----------
        photos : tensor of int64, (batch,)
            Which.

        Returns
        -------
        tensor of float32, (batch, 3), pixels
            Left, top and side.
        """
        return self._squares[photos]

    def sample(self, step, batch_size, *, seed=0, rank=0, n_ranks=1, flip=False):
        """Draw a training batch in which every identity is as likely as any other.

        Parameters
        ----------
        step : int
            Number of the batch, from 0.
        batch_size : int
            Images in the batch, over all processes.
        seed : int
            Of all draws.
        rank, n_ranks : int
            Which share of the batch to return, of how many.
        flip : bool
            Whether to mirror every other image, at random.

        Returns
        -------
        PhotoBatch
            The process's share; together the same whatever the number of processes.
        """
        state = np.random.SeedSequence((seed, 7, step)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state))
        whose = torch.randint(len(self.identities), (batch_size,), generator=generator)
        shares = torch.rand(5, batch_size, generator=generator)[:, rank::n_ranks]
        whose, shares = whose[rank::n_ranks].to(self.pixels.device), shares.to(self.pixels.device)
        within = (shares[0] * self._count[whose]).long().clamp_max(self._count[whose] - 1)
        photos = self._first[whose] + within
        square = self.squares(photos)
        if self.crop.room > 1:
            scale = 1 + self.crop.scale_jitter * (2 * shares[1] - 1)
            shift = self.crop.shift_jitter * (2 * shares[2:4].T - 1)
            images = self._cut(_to_range(self.pixels[photos]), scale, shift)
            side = square[:, 2:]
            corner = square[:, :2] + side * (shift + (1 - scale[:, None]) / 2)
            square = torch.cat([corner, side * scale[:, None]], 1)
        else:
            images = self.images(photos)
        if flip:
            images = torch.where(shares[4, :, None, None, None] < 0.5, images.flip(3), images)
        return PhotoBatch(images, whose, photos, square)

    def _cut(self, stored, scale, shift):
        """Cut squares of `scale` sides, their centres shifted by shares of a side."""
        zero = torch.zeros_like(scale)
        room = self.crop.room
        turn = torch.stack([scale, zero, zero, scale], 1).view(-1, 2, 2)
        maps = torch.cat([turn, 2 * shift[:, :, None]], 2) / room
        size = (len(stored), 3, self.crop.size, self.crop.size)
        grid = torch.nn.functional.affine_grid(maps, size, align_corners=False)
        return torch.nn.functional.grid_sample(
            stored, grid, padding_mode="border", align_corners=False
        )


def face_squares(landmarks, margin):
    """Square around each face.

    Parameters
    ----------
    landmarks : ndarray, (photo, landmark=68, column and row), pixels
        The centre of the top left pixel is (0, 0).
    margin : float
        Side over the larger extent of the landmarks.

    Returns
    -------
    corner : ndarray, (photo, column and row), pixels
        Of the top left pixel's outer corner, which is at (0, 0) here.
    side : ndarray, (photo,), pixels
        Of the square.

    Examples
    --------
    >>> corner, side = face_squares(np.array([[[10.0, 20.0], [30.0, 60.0]]]), 1.5)
    >>> corner.tolist(), side.tolist()
    ([[-9.5, 10.5]], [60.0])
    """
    low, high = landmarks.min(1), landmarks.max(1)
    side = margin * (high - low).max(1)
    return (low + high) / 2 + 0.5 - side[:, None] / 2, side


def cut_square(path, square, size):
    """Cut a square out of a picture; beyond its edge the edge is repeated.

    Parameters
    ----------
    path : path or PIL.Image.Image
        The picture.
    square : sequence of float, (left, top, right, bottom), pixels
        The picture spans from 0 to its width and height.
    size : int, pixels
        Rows and columns of the result.

    Returns
    -------
    ndarray of uint8, (row, column, rgb=3)
        The square.

    Raises
    ------
    InputError
        If the picture cannot be read.
    """
    try:
        with path if isinstance(path, Image.Image) else Image.open(path) as opened:
            picture = np.asarray(opened.convert("RGB"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read as a picture ({error})", "replace it") from None
    height, width = picture.shape[:2]
    left, top, right, bottom = square
    beyond = max(-left, -top, right - width, bottom - height, 0)
    pad = int(np.ceil(beyond)) + 2  # so that interpolation does not see the end either
    padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    box = tuple(float(edge) + pad for edge in square)
    resized = Image.fromarray(padded).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.array(resized)


def _to_range(pixels):
    return pixels.float() / 127.5 - 1
