"""The folder of a run: what it was made from, its states and its history, whole or absent."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import torch

import v2mlib
from v2mlib.checks import InputError
from v2mlib.files import atomic

#: Settings of the engine that change no result: a run may go on with others.
WITHOUT_EFFECT = ("checkpoint_every", "keep_every", "profile", "tensorboard")


class RunFolder:
    """Reads and writes one run's files.

    Parameters
    ----------
    path : path
        The folder; created.
    writes : bool
        Whether this process is the one that writes.

    Raises
    ------
    OSError
        If it cannot be created.
    """

    def __init__(self, path, *, writes=True):
        self.path, self.writes = Path(path), writes
        self.path.mkdir(parents=True, exist_ok=True)

    def __contains__(self, name):
        """Whether a file is there."""
        return (self.path / name).exists()

    def claim(self, made_from):
        """Write down what the run is made from, or see that it is the same.

        A setting that an older run does not know of counts as the default of today.

        Parameters
        ----------
        made_from : dict
            Plain data and config dataclasses.

        Raises
        ------
        InputError
            If the folder holds another training or its description is damaged.
        """
        wanted = _plain({**made_from, "version": v2mlib.__version__})
        path = self.path / "config.json"
        try:
            found = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            with atomic(path) as partial:
                partial.write_text(json.dumps(wanted, indent=1) + "\n", "utf-8")
            return
        except ValueError:
            raise damaged(path) from None
        found = _filled(found, _plain(_defaults(made_from)))
        for name, was, now in _differences(found, wanted):
            if name.split(".")[-2:-1] == ["engine"] and name.split(".")[-1] in WITHOUT_EFFECT:
                continue
            raise InputError(
                self.path,
                f"holds another training: its {name} is {was}, not {now}",
                "choose another folder, or delete this one",
            )

    def write(self, name, state):
        """Write a state that only this process may write.

        Parameters
        ----------
        name : str
            Of the file.
        state : dict
            Tensors and plain data.
        """
        if self.writes:
            with atomic(self.path / name) as partial:
                torch.save(state, partial)

    def write_history(self, rows):
        """Write the history as a table, `history.parquet`.

        Parameters
        ----------
        rows : list of dict
            See `Training.history`.
        """
        if self.writes and rows:
            with atomic(self.path / "history.parquet") as partial:
                pd.DataFrame(rows).to_parquet(partial, index=False)

    def write_plain(self, name, value):
        """Write plain data as JSON.

        Parameters
        ----------
        name : str
            Of the file.
        value : dict
            Plain data.
        """
        if self.writes:
            with atomic(self.path / name) as partial:
                partial.write_text(json.dumps(value, indent=1) + "\n", "utf-8")

    def read(self, name, device):
        """Read a state.

        Parameters
        ----------
        name : str
            Of the file.
        device : torch.device
            Where to put its tensors.

        Returns
        -------
        dict
            As written.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        path = self.path / name
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # torch raises whatever the damage makes it stumble over
            raise damaged(path) from error


def damaged(path):
    """Say that a file of a run is damaged.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    InputError
        To be raised.
    """
    return InputError(path, "is damaged", "delete the folder and train again")


def _plain(value):
    """Plain data as JSON knows it, out of dictionaries of configs and plain data."""
    return json.loads(json.dumps(value, default=dataclasses.asdict))


def _defaults(value):
    """Defaults of the configs in a tree, by the same names; what has none is left out."""
    if isinstance(value, dict):
        known = {name: _defaults(item) for name, item in value.items()}
        return {name: item for name, item in known.items() if item}
    found = {}
    if not dataclasses.is_dataclass(value):
        return found
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if dataclasses.is_dataclass(item):
            found[field.name] = _defaults(item)
        elif field.default is not dataclasses.MISSING:
            found[field.name] = field.default
    return found


def _filled(found, defaults):
    """What a run was made from, completed with the defaults of what it does not name."""
    if not isinstance(found, dict):
        return found
    filled = {name: _filled(item, defaults.get(name, {})) for name, item in found.items()}
    return {**defaults, **filled} if defaults else filled


def _differences(one, other, prefix=""):
    """Names and values in which two trees of plain data differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _differences(one.get(key), other.get(key), f"{prefix}.{key}".lstrip("."))
    elif one != other:
        yield prefix, one, other
