"""The weights of face-alignment: fetched when told to, never by themselves, and checked."""

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import torch

from v2mlib.checks import InputError
from v2mlib.files import sha256

COMMAND = "v2m data landmark-weights"


class WeightsFile(NamedTuple):
    """A file that face-alignment needs.

    Attributes
    ----------
    url : str
        Where its authors keep it.
    path : pathlib.Path
        Where face-alignment looks for it.
    checksum : str
        First digits of its SHA-256, which the name carries.
    """

    url: str
    path: Path
    checksum: str


def fan_files():
    """List the files that the engine ``fan`` needs.

    Returns
    -------
    list of WeightsFile
        The face detector and the landmark network.

    Raises
    ------
    InputError
        If face-alignment is not installed.
    """
    require_face_alignment()
    from face_alignment.api import models_urls as networks
    from face_alignment.detection.sfd.sfd_detector import models_urls as detectors

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = []
    for url in (detectors["s3fd"], networks["3DFAN-4"]):
        name = url.rsplit("/", 1)[1]
        checksum = re.search(r"-([0-9a-f]{8,})\.", name).group(1)
        files.append(WeightsFile(url, folder / name, checksum))
    return files


def require_face_alignment():
    """Refuse to go on without face-alignment.

    Raises
    ------
    InputError
        Naming the extra to install.
    """
    if importlib.util.find_spec("face_alignment") is None:
        raise InputError("face-alignment", "is not installed", 'pip install "v2mlib[fan]"')


def check_fan_files():
    """Refuse to go on without sound weights; nothing is fetched.

    Raises
    ------
    InputError
        If a file is missing or is not what its checksum says, naming the command that fetches
        it and where to put it by hand.
    """
    for file in fan_files():
        if not file.path.is_file():
            raise InputError(
                file.path,
                "is missing: face-alignment's weights are fetched on request only",
                f"run `{COMMAND}`, or without a network copy it there from {file.url}",
            )
        if not sha256(file.path).startswith(file.checksum):
            raise InputError(
                file.path,
                f"is damaged (its SHA-256 does not begin with {file.checksum})",
                f"delete it and run `{COMMAND}`",
            )


def fetch_fan_files(*, progress=True):
    """Fetch the weights of the engine ``fan``, about 180 MB.

    Files that are there and sound are left alone. A file appears under its name only once it is
    whole and its checksum is right.

    Parameters
    ----------
    progress : bool
        Whether to show a bar on stderr.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    InputError
        If face-alignment is not installed, there is no network, or what came is not the file.
    """
    files = fan_files()
    for url, path, checksum in files:
        if path.is_file() and sha256(path).startswith(checksum):
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), checksum, progress=progress)
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise InputError(
                url, f"cannot be fetched ({reason})", f"fetch it elsewhere and copy it to {path}"
            ) from None
        except RuntimeError as error:  # how torch says that the checksum is wrong
            raise InputError(url, f"sent something else ({error})", "try again later") from None
    return [file.path for file in files]
