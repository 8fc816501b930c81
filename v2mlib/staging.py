"""A long job as stages that survive a kill: each is done once, and resumed where it stopped."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks: there two runs at once are not refused
    fcntl = None

from v2mlib.checks import InputError
from v2mlib.files import atomic


@contextlib.contextmanager
def only_one(folder, job):
    """Hold a folder for one process; the system lets go of it however the process ends.

    Parameters
    ----------
    folder : path
        The folder, which must exist.
    job : str
        What a second process is told that the first one is.

    Raises
    ------
    InputError
        If another process holds the folder.
    """
    with open(Path(folder) / ".lock", "a+") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "another process"
                raise InputError(
                    folder,
                    f"is in use by {job} ({holder})",
                    "wait for it, or choose another --out",
                ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}\n")
        lock.flush()
        yield


@contextlib.contextmanager
def in_turn(path):
    """Let processes do something one after the other, by holding a file; they wait for it.

    Parameters
    ----------
    path : path
        The file; made, and left behind empty. Its folder must exist.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    with open(path, "a") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it however the process ends
        yield


class Stages:
    """Stages of a job in one folder, each with a marker that says what it was made from.

    A stage's key digests its name, the configuration and the key of the stage before it: when
    the configuration changes, the stage and those after it are made anew. A stage that was
    stopped finds its own folder as it was left; it is up to the stage to go on from there.

    Parameters
    ----------
    folder : path
        Where the stages live; each has a folder of its own in it.
    config : dict
        What all stages depend on, as plain data.
    announce : callable
        Called with a line of text before and after each stage.
    """

    def __init__(self, folder, config, *, announce=lambda line: None):
        self.folder = Path(folder)
        self.announce = announce
        self.seconds = {}
        self._key = _digest(config)

    def run(self, name, title, build, *, results=(), **config):
        """Do a stage, or find it done.

        Parameters
        ----------
        name : str
            Of the stage and its folder.
        title : str
            What it does, for the reader.
        build : callable
            Called with the stage's folder; leaves its results there.
        results : sequence of str
            Files, relative to the stage's folder, that must be there for it to be done.
        **config
            What this stage and those after it depend on besides, as plain data.

        Returns
        -------
        pathlib.Path
            The stage's folder with its results.

        Raises
        ------
        InputError
            If a folder of the stage's name is there that no stage has made.
        """
        self._key = key = _digest([self._key, name, config])
        place, marker = self.folder / name, self.folder / "stages" / f"{name}.json"
        state = _read(marker)
        there = place.is_dir() and all((place / result).exists() for result in results)
        if state.get("key") == key and state.get("finished") and there:
            self.seconds[name] = state["seconds"]
            self.announce(f"{title}: done before ({state['seconds']:.0f} s then)")
            return place
        if place.exists() and state.get("key") != key:
            if not state:
                raise InputError(place, "was not made by this job", "choose another --out")
            shutil.rmtree(place)  # made from another configuration
        spent = state.get("seconds", 0.0) if state.get("key") == key else 0.0
        _write(marker, {"key": key, "finished": False, "seconds": spent})
        place.mkdir(parents=True, exist_ok=True)
        for torn in place.rglob(".*.partial*"):  # of an attempt that was killed
            torn.unlink()
        self.announce(f"{title} ...")
        start = time.perf_counter()
        try:
            build(place)
        finally:  # an interrupted attempt counts too; a killed one cannot
            spent += time.perf_counter() - start
            _write(marker, {"key": key, "finished": False, "seconds": spent})
        _write(marker, {"key": key, "finished": True, "seconds": spent})
        self.seconds[name] = spent
        self.announce(f"{title}: {spent:.0f} s")
        return place


def _digest(value):
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(marker):
    try:
        return json.loads(marker.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        return {"key": "unreadable"}


def _write(marker, state):
    with atomic(marker) as partial:
        partial.write_text(json.dumps(state) + "\n", "utf-8")
