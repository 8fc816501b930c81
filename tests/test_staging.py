"""Stages: done once, resumed, made anew when what they depend on changes, one run at a time."""

import subprocess
import sys

import pytest

from v2mlib.checks import InputError
from v2mlib.staging import Stages, only_one


def _job(folder, log, *, seed=0, steps=1, fail=None):
    stages = Stages(folder, {"seed": seed}, announce=log.append)

    def build(name):
        def inner(place):
            log.append(f"build {name}")
            (place / "partial").touch()
            if fail == name:
                raise KeyboardInterrupt
            (place / "result").write_text(name)

        return inner

    stages.run("one", "first", build("one"))
    stages.run("two", "second", build("two"), steps=steps)
    stages.run("three", "third", build("three"), results=("result",))
    return stages


def _built(log):
    return [line.removeprefix("build ") for line in log if line.startswith("build ")]


def test_a_second_run_reuses_everything(tmp_path):
    log = []
    _job(tmp_path, log)
    assert _built(log) == ["one", "two", "three"]
    log.clear()
    again = _job(tmp_path, log)
    assert _built(log) == []
    assert set(again.seconds) == {"one", "two", "three"}


def test_an_interrupted_stage_finds_its_folder_as_it_was(tmp_path):
    log = []
    with pytest.raises(KeyboardInterrupt):
        _job(tmp_path, log, fail="two")
    assert (tmp_path / "two" / "partial").exists()
    (tmp_path / "two" / ".result.123.partial.npy").touch()  # torn by a kill
    log.clear()
    _job(tmp_path, log)
    assert _built(log) == ["two", "three"]
    assert not (tmp_path / "two" / ".result.123.partial.npy").exists()


def test_a_changed_setting_makes_the_stage_and_its_followers_anew(tmp_path):
    log = []
    _job(tmp_path, log)
    (tmp_path / "two" / "stale").touch()
    log.clear()
    _job(tmp_path, log, steps=2)
    assert _built(log) == ["two", "three"]
    assert not (tmp_path / "two" / "stale").exists()
    log.clear()
    _job(tmp_path, log, steps=2, seed=1)
    assert _built(log) == ["one", "two", "three"]


def test_a_folder_of_somebody_else_is_never_deleted(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not made by this job"):
        _job(tmp_path, [])
    assert (tmp_path / "one" / "thesis.txt").read_text() == "mine"


def test_a_torn_marker_means_not_done(tmp_path):
    log = []
    _job(tmp_path, log)
    (tmp_path / "stages" / "two.json").write_text('{"key": ')
    log.clear()
    _job(tmp_path, log)
    assert _built(log) == ["two"]


def test_a_deleted_result_is_made_again(tmp_path):
    log = []
    _job(tmp_path, log)
    (tmp_path / "three" / "result").unlink()
    log.clear()
    _job(tmp_path, log)
    assert _built(log) == ["three"]


def test_only_one_at_a_time_and_a_kill_lets_go(tmp_path):
    code = (
        "import sys, time; from v2mlib.staging import only_one\n"
        f"with only_one({str(tmp_path)!r}, 'a job'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match=rf"in use by a job \(process {holder.pid}\)"),
            only_one(tmp_path, "a job"),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with only_one(tmp_path, "a job"):
        pass
