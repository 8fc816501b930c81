"""A study's folder: the plan, the pictures with their checksums, the answers beside them.

``study.json`` says which picture is whose: participants see pictures only.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from v2mlib.checks import InputError
from v2mlib.files import sha256
from v2mlib.study.plan import order_for

DOCUMENT = "study.json"
CONSENT = "consent.md"
PICTURES = "pictures"
ANSWERS = "answers"
KIND = "preference study"


class Picture(NamedTuple):
    """A picture file below the study's folder, with one or more ``frames`` side by side."""

    file: str
    frames: int


class Item(NamedTuple):
    """A question: ``identity`` of the reference, and pictures of three faces by role.

    ``pictures`` has the roles "reference", "a" (the first method) and "b"; in an attention
    check "a" is the reference itself and "b" another person's reference.
    """

    section: str
    item: int
    kind: str
    identity: str
    pictures: dict


class Study(NamedTuple):
    """A study that was built.

    ``folder`` holds it, ``key`` digests its document, ``methods`` are the names of "a" and
    "b", ``items`` all questions by (section, item), ``question`` what is asked, ``seed`` that
    of the orders.
    """

    folder: Path
    key: str
    methods: dict
    question: str
    seed: int
    items: dict

    @property
    def consent(self):
        """Text that participants agree to, read from its file, str."""
        path = self.folder / CONSENT
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                path, f"cannot be read ({type(error).__name__})", "write what people agree to"
            ) from None

    def order(self, participant):
        """Questions in the order of a participant.

        Parameters
        ----------
        participant : str
            The code.

        Returns
        -------
        list of Asked
            All of them.
        """
        items = [(item.section, item.item, item.kind) for item in self.items.values()]
        return order_for(participant, items, self.seed)


def load_study(folder, *, verify=True):
    """Read a study from its folder.

    Parameters
    ----------
    folder : path
        As `build_study` made it.
    verify : bool
        Whether to compare every picture with its checksum.

    Returns
    -------
    Study
        Ready to be answered.

    Raises
    ------
    InputError
        If there is none, its document is damaged, or a picture is absent or another.
    """
    folder = Path(folder)
    path = folder / DOCUMENT
    if not path.is_file():
        raise InputError(folder, f"holds no {DOCUMENT}", "build one: v2m study build --out DIR")
    try:
        data = path.read_bytes()
        document = json.loads(data)
        if document["kind"] != KIND:
            raise ValueError(document["kind"])
        items = [_item(entry) for entry in document["items"]]
        checksums = dict(document["pictures"])
        fields = {name: document[name] for name in ("methods", "question", "seed")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            path, f"is damaged ({type(error).__name__}: {error})", "copy it again, or build anew"
        ) from None
    study = Study(
        folder,
        hashlib.sha256(data).hexdigest()[:16],
        items={(item.section, item.item): item for item in items},
        **fields,
    )
    _require_pictures(study, checksums, verify=verify)
    return study


def _item(entry):
    pictures = {
        role: [Picture(one["file"], int(one["frames"])) for one in entry["pictures"][role]]
        for role in ("reference", "a", "b")
    }
    names = [entry[name] for name in ("section", "item", "kind", "identity")]
    return Item(*names, pictures)


def _require_pictures(study, checksums, *, verify):
    used = {
        picture.file
        for item in study.items.values()
        for several in item.pictures.values()
        for picture in several
    }
    for name in sorted(used):
        path = study.folder / name
        # A document from elsewhere may not reach outside its folder.
        if Path(name).parent != Path(PICTURES) or Path(name).name != name.partition("/")[2]:
            raise InputError(path, "is no picture of the study", "build the study anew")
        if name not in checksums or not path.is_file():
            raise InputError(path, "is missing", "copy the whole folder, or build the study anew")
        if verify and sha256(path) != checksums[name]:
            raise InputError(path, "is not the picture that was built", "build the study anew")
