"""Raw folders of a few phantom people, with files spoilt in known ways."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import soundfile

from v2mlib.building import BuildConfig, build_dataset
from v2mlib.datasets import find_sources
from v2mlib.phantom import make_world
from v2mlib.phantom.sizes import Size

SIZE = Size(12, 4, utterances=2, test_utterances=2, photos=3, test_photos=2)


def made_raw(folder):
    """Make the folders: recordings, photographs, names; and spoil some files."""
    world = Path(folder) / "raw"
    make_world(SIZE, world, workers=1, progress=False)
    return world


def spoil(world, into):
    """Copy the folders and add files that cannot be used; returns reasons by path."""
    into = Path(shutil.copytree(world, into, copy_function=shutil.copy2))
    clip = sorted(into.glob("wav/*/*/*.wav"))[0].parent
    soundfile.write(clip / "silent.wav", np.zeros(16_000), 16_000)
    (clip / "empty.wav").touch()
    (clip / "text.wav").write_text("not a recording")
    photo = sorted(into.glob("faces/*/*.jpg"))[0]
    (photo.parent / "torn.jpg").write_bytes(photo.read_bytes()[:400])
    shutil.copy(photo, photo.parent / "unknown.jpg")  # without landmarks
    return into, {
        clip / "silent.wav": "is silent",
        clip / "empty.wav": "empty",
        clip / "text.wav": "is not audio that can be read",
        photo.parent / "torn.jpg": "truncated",
        photo.parent / "unknown.jpg": "shows no face that files finds",
    }


def config_of(world, **changes):
    """Settings for the phantom; a third of the few training names validate."""
    settings = {"landmarks": "files", "landmark_folder": str(world), "face_model": "phantom"}
    return BuildConfig(**{**settings, "validation": 0.3, **changes})


def build(world, out, *, n_workers=1, config=None, **options):
    """Build from the folders, quietly."""
    sources = find_sources(voxceleb=world, vggface=world, progress=False)
    config = config or config_of(world)
    return build_dataset(
        sources, out, config=config, n_workers=n_workers, progress=False, **options
    )


def digests(out):
    """Checksums of all files of a data set."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(out).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
