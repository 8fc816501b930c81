"""The command line: help, exit codes, one line per error, JSON on stdout and only there."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from v2mlib import cli
from v2mlib.checks import InputError, ShapeError
from v2mlib.cli import COMMANDS, main
from v2mlib.commands import json_line
from v2mlib.faces import load_face_model
from v2mlib.phantom import SIZES, Size

SUBCOMMANDS = [
    ["demo"],
    ["predict"],
    ["data"],
    ["data", "phantom"],
    ["train"],
    ["train", "supervised"],
    ["evaluate"],
    ["study"],
    ["study", "build"],
    ["study", "status"],
    ["study", "analyse"],
    ["faces"],
    ["faces", "add"],
    ["faces", "list"],
    ["faces", "show"],
    ["doctor"],
]


@pytest.mark.parametrize("words", [[], *SUBCOMMANDS], ids=" ".join)
def test_help_everywhere(words, capsys):
    with pytest.raises(SystemExit) as exited:
        main([*words, "--help"])
    assert exited.value.code == 0
    said = capsys.readouterr()
    assert "usage: v2m" in said.out
    assert said.err == ""


def test_every_command_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n    {name} " in said
    assert "never an identification" in said


def test_help_is_light():
    code = (
        "import sys\n"
        "from v2mlib.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_m_v2mlib_is_v2m():
    done = subprocess.run(
        [sys.executable, "-m", "v2mlib", "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("v2mlib ")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing"],
        ["demo", "--world", "flat"],
        ["demo", "--size", "paper"],
        ["predict"],
        ["data", "phantom"],
        ["data", "phantom", "--out", "x", "--seed", "one"],
        ["faces", "show"],
        ["train"],
        ["doctor", "--mend"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_exits_2(words, capsys):
    with pytest.raises(SystemExit) as exited:
        main(words)
    assert exited.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "usage: v2m" in said.err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a.wav", "is empty", "record it again"), 1, "a.wav is empty: record it again"),
        (ShapeError("x has shape (2,),\n  expected (3,)"), 1, "x has shape (2,), expected (3,)"),
        (OSError(28, "No space left on device", "w.npy"), 1, "w.npy: No space left on device"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_errors_are_one_line_and_a_code(error, code, line, monkeypatch, capsys):
    from v2mlib import doctor

    def fail(argv):
        raise error

    monkeypatch.setattr(doctor, "main", fail)
    assert main(["doctor"]) == code
    said = capsys.readouterr()
    assert said.err == f"v2m: {line}\n"
    assert said.out == ""


def test_our_own_mistakes_are_not_hidden(monkeypatch):
    from v2mlib import doctor

    def fail(argv):
        raise ZeroDivisionError

    monkeypatch.setattr(doctor, "main", fail)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_a_reader_that_goes_away_is_no_error_message():
    done = subprocess.run(
        f"'{sys.executable}' -m v2mlib faces show phantom | true",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_doctor_passes_its_options_on(monkeypatch):
    from v2mlib import doctor

    seen = []
    monkeypatch.setattr(doctor, "main", lambda argv: seen.append(argv) or 1)
    assert main(["doctor"]) == 1
    assert main(["doctor", "--repair", "--json"]) == 1
    assert seen == [[], ["--repair", "--json"]]


def test_json_is_strict():
    import numpy as np

    line = json_line(
        {"a": np.float32("nan"), "b": np.arange(2), "c": (1.5, None), 4: float("inf"), "e": cli}
    )
    found = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert found["a"] is None
    assert found["b"] == [0, 1]
    assert found["c"] == [1.5, None]
    assert found["4"] is None
    assert "\n" not in line


# --- faces -----------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("V2M_HOME", str(tmp_path / "home"))


def test_faces_add_list_show(tmp_path, home, capsys):
    load_face_model("phantom").truncated(n_shape=12).save(tmp_path / "small.npz")
    assert main(["faces", "add", "small", str(tmp_path / "small.npz")]) == 0
    assert "small: " in capsys.readouterr().out
    assert main(["faces", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"]: row["n_shape"] for row in rows} == {"phantom": 40, "small": 12}
    assert main(["faces", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    picture = tmp_path / "mean.png"
    assert main(["faces", "show", "small", "--out", str(picture), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["n_shape"] == 12
    assert {line["name"] for line in shown["lines"]} >= {"ear", "menton_sellion"}
    with Image.open(picture) as image:
        assert image.size == (1200, 480)
    assert main(["faces", "show", "small"]) == 0
    assert "outer_interocular" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "nobody"], "face model 'nobody' is neither a known name nor a path"),
        (["show", "phantom", "--out", "mean.jpg"], "mean.jpg is not a PNG name: end it in .png"),
        (["add", "phantom", "."], "name 'phantom' belongs to an embedded model"),
        (["add", "mine", "absent.npz"], "absent.npz does not exist"),
    ],
)
def test_faces_refusals(words, said, home, capsys):
    assert main(["faces", *words]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"v2m: {said}")
    assert line.count("\n") == 1


def test_faces_show_into_a_file_that_cannot_be(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert main(["faces", "show", "phantom", "--out", str(tmp_path / "file" / "a.png")]) == 1
    assert "a.png cannot be written" in capsys.readouterr().err


# --- data ------------------------------------------------------------------------------------


def test_data_phantom(tmp_path, one_processor, capsys, monkeypatch):
    assert (SIZES["tiny"].n_identities, SIZES["tiny"].photos) == (36, 1)  # fewer are made here
    monkeypatch.setitem(SIZES, "tiny", Size(9, 3, 2, 1, photos=1, test_photos=1))
    words = ["data", "phantom", "--size", "tiny", "--world", "sex_only", "--seed", "3", "--json",
             "--photos", "2"]  # fmt: skip
    assert main([*words, "--out", str(tmp_path / "world")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    shown = json.loads(printed)
    assert shown["identities"] == 9
    assert shown["photos"] == 2 * 9
    assert shown["world"] == "sex_only"
    clips = list((tmp_path / "world" / "wav").rglob("*.wav"))
    assert len(clips) == shown["utterances"]
    # Another world does not go into the same folder.
    words[5] = "null"
    assert main([*words, "--out", str(tmp_path / "world")]) == 1
    assert "v2m: " in capsys.readouterr().err
