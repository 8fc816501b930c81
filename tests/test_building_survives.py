"""Builds that are killed and started again: the result is the same in every byte."""

import json
import os
import re
import resource
import subprocess
import sys
import time

import building_made as made
import pytest

from v2mlib.building import build as building
from v2mlib.building import publishing
from v2mlib.checks import InputError
from v2mlib.cli import main
from v2mlib.datasets import load_dataset


@pytest.fixture(scope="module")
def raw(tmp_path_factory, made_once):
    folder = tmp_path_factory.mktemp("surviving")
    return made.spoil(made.made_raw(folder, made_once), folder / "spoilt")[0]


@pytest.fixture(scope="module")
def whole(raw, tmp_path_factory):
    """Checksums of a build that nothing has disturbed."""
    out = tmp_path_factory.mktemp("whole") / "data"
    made.build(raw, out)
    return made.digests(out)


class _Killed(BaseException):
    """What a kill is in a test: nothing that the code could handle."""


def _command(raw, out, *more):
    words = ["data", "voxceleb3d", "--voxceleb", raw, "--vggface", raw / "faces", "--out", out,
             "--validation", "0.3", "--files-per-task", "4", *more]  # fmt: skip
    return [sys.executable, "-m", "v2mlib", *map(str, words)]


@pytest.mark.parametrize("moment", ["chunk 1", "chunk 9", "tables", "store", "plan", "move 1",
                                    "move 5", "marker"])  # fmt: skip
def test_killed_at_every_stage_it_goes_on(raw, whole, tmp_path, monkeypatch, moment):
    out, count = tmp_path / "data", [0]

    def dying(function, number=1, *, after=False):
        def inner(*args, **kwargs):
            count[0] += 1
            if count[0] == number and not after:
                raise _Killed
            result = function(*args, **kwargs)
            if count[0] == number:
                raise _Killed
            return result

        return inner

    with monkeypatch.context() as patch:
        if moment.startswith("chunk"):
            number = int(moment.split()[1])
            for kind, function in building._MEASURE.items():
                patch.setitem(building._MEASURE, kind, dying(function, number, after=True))
        elif moment == "tables":
            patch.setattr(building, "write_tables", dying(building.write_tables, after=True))
        elif moment == "store":
            patch.setattr(building, "write_frames", dying(building.write_frames))
        elif moment == "plan":
            patch.setattr(publishing, "carry_out", dying(publishing.carry_out, 2))
        elif moment == "marker":
            patch.setattr(publishing, "clear", dying(publishing.clear))
        else:
            real, number = os.replace, int(moment.split()[1])
            moves = [0]

            def replace(source, target):
                if "/next/" in str(source):
                    moves[0] += 1
                    if moves[0] == number:
                        raise _Killed
                real(source, target)

            patch.setattr(publishing.os, "replace", replace)
        with pytest.raises(_Killed):
            made.build(raw, out, files_per_task=4)
    if moment != "marker":
        with pytest.raises(InputError, match="is not finished"):
            load_dataset(out)
    made.build(raw, out, files_per_task=4)
    assert made.digests(out) == whole


def test_a_finished_data_set_serves_until_the_next_one_is_whole(raw, whole, tmp_path, monkeypatch):
    out = tmp_path / "data"
    made.build(raw, out)
    with monkeypatch.context() as patch:

        def killed(*args):
            raise _Killed

        patch.setattr(publishing, "publish", killed)
        with pytest.raises(_Killed):
            made.build(raw, out, config=made.config_of(raw, split="random"))
    assert load_dataset(out).config["build"]["split"] == "paper"
    made.build(raw, out)
    assert made.digests(out) == whole


def test_an_update_killed_while_files_move_is_not_taken_for_whole(raw, whole, tmp_path):
    out = tmp_path / "data"
    made.build(raw, out, config=made.config_of(raw, split="random"))
    real, moves = os.replace, []

    def replace(source, target):
        if "/next/" in str(source):
            moves.append(target)
            if len(moves) == 3:
                raise _Killed
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing.os, "replace", replace)
        with pytest.raises(_Killed):
            made.build(raw, out)
    with pytest.raises(InputError, match="is not finished"):
        load_dataset(out)
    made.build(raw, out)
    assert made.digests(out) == whole


def test_the_command_survives_kills(raw, whole, tmp_path, capsys):
    out = tmp_path / "data"
    for n_workers in ("2", "1"):
        command = _command(raw, out, "--workers", n_workers)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            known = len(list(out.rglob("build/*/[!.]*.npz")))
            deadline = time.monotonic() + 300
            while len(list(out.rglob("build/*/[!.]*.npz"))) <= known and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            process.kill()
            process.wait()
        with pytest.raises(InputError, match="is not finished"):
            load_dataset(out)
    _, _, _, *words = _command(raw, out, "--workers", "1", "--json")
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["nothing_to_do"] is False
    assert made.digests(out) == whole


def test_a_full_disk_ends_the_command_with_one_line(raw, whole, tmp_path):
    limit = 200_000  # bytes: a chunk of 4 recordings needs more than twice as many

    def confine():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = _command(raw, tmp_path / "data", "--workers", "1", "--files-per-task", "16")
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=confine)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert re.search(r"v2m: .*data cannot be written or read \(File too large\): free space", last)
    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {".lock", "dataset.json", "workers.log"}
