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
from v2mlib.staging import in_turn

SIZE = Size(12, 4, utterances=2, test_utterances=2, photos=3, test_photos=2)


def made_raw(folder, made_once):
    """Make the folders: recordings, photographs, names. They are copied from those made once."""
    with in_turn(made_once / "raw.lock"):
        make_world(SIZE, made_once / "raw", workers=1, progress=False)  # or finds it made
    return Path(shutil.copytree(made_once / "raw", Path(folder) / "raw"))


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


def made_package(folder, model, *, people=8, faces=6, matrix=None, seed=0):
    """Make public Voxceleb-3D files of people with known shapes; returns those shapes."""
    rng, folder = np.random.default_rng(seed), Path(folder)
    names = [f"{initial}_Made" for initial in "AFBGCHDIEJ"[:people]]
    rows = [f"id{n:05d}\t{name}\t{'mf'[n // 2 % 2]}\tUK\tdev" for n, name in enumerate(names)]
    folder.mkdir(parents=True)
    head = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
    (folder / "vox1_meta.csv").write_text("\n".join([head, *rows]) + "\n", "utf-8")
    own = rng.normal(size=(people, model.n_shape))
    for number, name in enumerate(names):
        side = "AtoE" if name[0] <= "E" else "FtoZ"
        (folder / "faces" / side / name).mkdir(parents=True)
        for face in range(faces):
            shape = own[number] + 0.5 * rng.normal(size=model.n_shape)
            raw = np.zeros(199)
            raw[: model.n_shape] = model.to_raw(shape).shape
            np.save(folder / "faces" / side / name / f"{face:04d}.npy", raw)
        for clip in range(3):
            place = folder / "fbank" / f"id{number:05d}" / f"video{number}"
            place.mkdir(parents=True, exist_ok=True)
            frames = rng.normal(size=(1000, 64)) if matrix is None else matrix(number, clip)
            np.save(place / f"{clip:05d}.npy", frames.astype(np.float32))
    return own
