"""What each worker process of a world's build does; imports no more than it needs."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from v2mlib.checks import InputError
from v2mlib.datasets.world import face_model_path, read_marker
from v2mlib.files import atomic
from v2mlib.phantom.speakers import Speakers
from v2mlib.phantom.speech import SAMPLE_RATE, synthesise


def clip_maker(setup):
    """Prepare to write the clips of identities; runs in each worker.

    Parameters
    ----------
    setup : dict
        `folder` of the world and `seed` of its population.

    Returns
    -------
    callable
        Takes (row of the identity, number of clips), writes those that are not there yet, and
        returns a table row for each.
    """
    folder = Path(setup["folder"])
    speakers = Speakers(pd.read_parquet(folder / "truth/voices.parquet"), setup["seed"])

    def make(job):
        row, n_clips = job
        rows = []
        for number in range(n_clips):
            path, plan = speakers.clip(row, number), speakers.utterance(row, number)
            if not (folder / path).exists():
                samples = np.round(synthesise(plan, speakers.config) * 32767).astype(np.int16)
                _save(folder / path, lambda partial, samples=samples: soundfile.write(
                    partial, samples, SAMPLE_RATE, subtype="PCM_16"))  # fmt: skip
            clip = {"identity": speakers.voices["identity"].iloc[row], "utterance": number}
            clip |= {"path": path, "duration_s": speakers.config.duration_s}
            rows.append(clip | plan._asdict() | {"sentences": list(plan.sentences)})
        return rows

    return make


def photo_maker(setup):
    """Prepare to write the photographs of identities; runs in each worker.

    Parameters
    ----------
    setup : dict
        `folder` of the world and `seed` of its population.

    Returns
    -------
    callable
        Takes (row of the identity, number of photographs), writes those that are not there yet,
        and returns a table row for each.
    """
    from v2mlib.faces import load_face_model
    from v2mlib.phantom.photos import Photographer

    folder = Path(setup["folder"])
    marker = read_marker(folder)
    identities = pd.read_parquet(folder / "truth/identities.parquet")
    with np.load(folder / "truth/coefficients.npz", allow_pickle=False) as truth:
        coefficients = truth["reference"]
    model = load_face_model(face_model_path(folder, marker["config"]["face_model"]))
    photographer = Photographer(model, setup["seed"])

    def make(job):
        row, n_photos = job
        rows = []
        for number in range(n_photos):
            path = f"faces/{identities['name'].iloc[row]}/{number + 1:08d}.jpg"
            plan = photographer.plan(row, number)
            if not (folder / path).exists():
                image = photographer.image(coefficients[row], plan)
                _save(folder / path, lambda partial, image=image: image.save(partial, quality=92))
            landmarks = photographer.landmarks(coefficients[row], plan).tolist()
            photo = {"identity": identities["identity"].iloc[row], "photo": number, "path": path}
            rows.append(photo | plan.pose() | {"landmarks": landmarks})
        return rows

    return make


def _save(path, write):
    try:
        with atomic(path) as partial:
            write(partial)
    except (OSError, soundfile.SoundFileError) as error:
        raise unwritable(path, error) from error


def unwritable(path, error):
    """Say that a file cannot be written.

    Parameters
    ----------
    path : path
        The file or folder.
    error : Exception
        What the system said.

    Returns
    -------
    InputError
        To be raised.
    """
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(
        path, f"cannot be written ({reason})", "free space, or choose a folder you may write to"
    )
