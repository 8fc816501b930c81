"""What a build depends on besides its files."""

import dataclasses
import json
import os

from v2mlib.checks import InputError
from v2mlib.datasets.splits import SPLITS
from v2mlib.fitting.truth import TruthConfig

WORLD_LANDMARKS = "truth/landmarks.npy"
FITTED = "fitted"


@dataclasses.dataclass(frozen=True)
class BuildConfig:
    """How a data set is built.

    Attributes
    ----------
    landmarks : str
        The landmark engine, one of `v2mlib.photos.ENGINES`; or "fitted" where not photographs
        are given but coefficients of faces on the Basel model.
    landmark_folder : str, optional
        For the engine "files": where they lie; beside the photographs by default.
    teacher_weights : str, optional
        For the engine "teacher": its weights.
    teacher_face_model : str, optional
        For the engine "teacher": the Basel face model.
    face_model : str
        Name or path of the face model to fit.
    split : {"paper", "random", "unheard"}
        Who trains and who tests; see `v2mlib.datasets.splits`.
    validation : float
        Share of the training identities that choose the model.
    seed : int
        Of the split.
    truth : TruthConfig
        When a photograph counts.
    """

    landmarks: str = "mediapipe"
    landmark_folder: str | None = None
    teacher_weights: str | None = None
    teacher_face_model: str | None = None
    face_model: str = "ict"
    split: str = "paper"
    validation: float = 0.1
    seed: int = 0
    truth: TruthConfig = dataclasses.field(default_factory=TruthConfig)

    def __post_init__(self):
        """Refuse what no build could do."""
        if self.split not in SPLITS:
            raise InputError(f"split {self.split!r}", "is unknown", f"choose {', '.join(SPLITS)}")
        if not 0 < self.validation < 1:
            raise InputError(
                f"validation={self.validation}", "is not possible", "choose a share, such as 0.1"
            )
        owners = {
            "landmark_folder": "files",
            "teacher_weights": "teacher",
            "teacher_face_model": "teacher",
        }
        for option, engine in owners.items():
            if getattr(self, option) is not None and self.landmarks != engine:
                raise InputError(
                    option, f"is not for landmarks by {self.landmarks!r}", f"it is for {engine!r}"
                )

    @property
    def engine(self):
        """What the landmark engine is loaded with.

        Returns
        -------
        dict of str to str
            `name` and options of `v2mlib.photos.load_engine`.
        """
        options = {
            "folder": self.landmark_folder,
            "weights": self.teacher_weights,
            "face_model": self.teacher_face_model,
        }
        return {"name": self.landmarks, **{k: v for k, v in options.items() if v is not None}}


def voices_recipe():
    """All that log-mels and measurements of a recording depend on.

    Returns
    -------
    dict
        Plain data.
    """
    from v2mlib.building.voices import RECIPE
    from v2mlib.voices import RELEASED_ACTIVITY, RELEASED_LOG_MEL

    parts = {"activity": RELEASED_ACTIVITY, "log_mel": RELEASED_LOG_MEL}
    return {"recipe": RECIPE, **{name: dataclasses.asdict(part) for name, part in parts.items()}}


def photos_recipe(config, photos=()):
    """All that landmarks and measurements of a photograph depend on.

    Parameters
    ----------
    config : BuildConfig
        Names the engine.
    photos : sequence of str
        The photographs' paths.

    Returns
    -------
    dict
        Plain data. Landmark files are known together, by names, sizes and times: when one of
        them changes, all photographs are looked at again.
    """
    from v2mlib.building.photographs import RECIPE

    recipe = {"recipe": RECIPE, "engine": config.engine}
    if config.landmarks == "files":
        recipe["files"] = [list(entry) for entry in _landmark_files(config, photos)]
    return recipe


def _landmark_files(config, photos):
    """Files in which the engine "files" may look, as they are now."""
    from v2mlib.building.chunks import entry_of
    from v2mlib.photos.landmark_files import SUFFIXES

    places = {os.path.dirname(path) for path in photos}
    if config.landmark_folder is not None:
        folder = config.landmark_folder
        common = os.path.join(folder, WORLD_LANDMARKS)
        if os.path.isfile(common):
            return [entry_of(common)]
        places = {folder, *(os.path.join(folder, os.path.basename(place)) for place in places)}
    found = []
    for place in places:
        if os.path.isdir(place):
            with os.scandir(place) as files:
                found += [file.path for file in files if file.name.endswith(SUFFIXES)]
    return [entry_of(path) for path in sorted(found)]


def as_plain(config):
    """Describe a config for the data set's marker.

    Parameters
    ----------
    config : BuildConfig
        How the data set is built.

    Returns
    -------
    dict
        Plain data, as JSON gives it back.
    """
    return json.loads(json.dumps(dataclasses.asdict(config)))
