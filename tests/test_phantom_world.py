"""Worlds on disk: laid out as the real data, the same bytes however they were made."""

import dataclasses
import errno
import hashlib
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from test_phantom_law import toy_model

from v2mlib.checks import InputError
from v2mlib.datasets import load_world
from v2mlib.phantom import SIZES, Population, Size, build_world, make_world, world
from v2mlib.phantom.names import TEST_INITIALS
from v2mlib.phantom.photos import PhotoConfig

pytest.importorskip("parselmouth")

SMALL = Size(10, 4, utterances=4, test_utterances=2, photos=2, test_photos=1)
N_CLIPS, N_PHOTOS = 6 * 4 + 4 * 2, 6 * 2 + 4


def checksums(folder):
    """Of every file but the lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small world, made in this process."""
    out = tmp_path_factory.mktemp("world") / "one"
    make_world(SMALL, out, seed=5, workers=1, progress=False)
    return out


def remake(out, **changes):
    arguments = {"seed": 5, "workers": 1, "progress": False} | changes
    return make_world(SMALL, out, **arguments)


def test_layout_is_that_of_the_real_data(folder):
    loaded = load_world(folder)
    clips = sorted(str(p.relative_to(folder)) for p in folder.glob("wav/*/*/*.wav"))
    assert len(clips) == N_CLIPS == len(loaded.utterances)
    assert all(re.fullmatch(r"wav/id\d{5}/[\w-]{11}/\d{5}\.wav", path) for path in clips)
    assert sorted(loaded.utterances["path"]) == clips
    for path in clips[:5]:
        info = soundfile.info(folder / path)
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (
            16_000, 1, "PCM_16", 64_000
        )  # fmt: skip
    photos = sorted(folder.glob("faces/*/*.jpg"))
    assert len(photos) == N_PHOTOS == len(loaded.photos)
    assert {path.parent.name for path in photos} == set(loaded.identities["name"])
    with Image.open(photos[0]) as image:
        assert (image.size, image.mode, image.format) == ((128, 128), "RGB", "JPEG")
    assert sorted(p.name for p in folder.iterdir()) == [
        ".lock", "faces", "truth", "vox1_meta.csv", "wav", "world.json"
    ]  # fmt: skip


def test_names_table_has_the_real_header(folder):
    meta = pd.read_csv(folder / "vox1_meta.csv", sep="\t")
    assert list(meta) == ["VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"]
    assert set(meta["Gender"]) == {"m", "f"}
    is_test = meta["VGGFace1 ID"].str[0].isin(list(TEST_INITIALS))
    assert is_test.sum() == SMALL.n_test
    assert ((meta["Set"] == "test") == meta["VGGFace1 ID"].str.startswith("E")).all()


@pytest.mark.real_data
def test_names_table_reads_like_the_real_one(folder, real_data):
    real = pd.read_csv(real_data / "speech_voxceleb_demo/vox1_meta.tsv", sep="\t")
    ours = pd.read_csv(folder / "vox1_meta.csv", sep="\t")
    assert list(ours) == list(real)
    assert [str(dtype) for dtype in ours.dtypes] == [str(dtype) for dtype in real.dtypes]
    assert set(ours["Gender"]) == set(real["Gender"])


def test_loaded_world_is_the_population(folder):
    loaded, people = load_world(folder), Population(10, seed=5, n_test=4)
    pd.testing.assert_frame_equal(loaded.identities, people.identities)
    pd.testing.assert_frame_equal(loaded.voices, people.voices)
    np.testing.assert_array_equal(loaded.reference_coefficients, people.shape_coefficients)
    np.testing.assert_array_equal(loaded.ceiling_coefficients, people.conditional_mean())
    assert loaded.config["world"] == "default"
    assert loaded.face_model == "phantom"
    counts = loaded.utterances.groupby("split")["identity"].value_counts()
    assert set(counts["test"]) == {2}
    assert set(counts["train"]) == {4}
    assert loaded.landmarks.shape == (N_PHOTOS, 68, 2)
    row = loaded.utterances.iloc[7]
    stored, _ = soundfile.read(folder / row["path"], dtype="int16")
    spoken = people.speak(row["identity"], row["utterance"])
    np.testing.assert_array_equal(stored, np.round(spoken * 32767).astype(np.int16))


def test_no_identity_is_in_two_splits(folder):
    loaded = load_world(folder)
    for table in (loaded.utterances, loaded.photos):
        assert (table.groupby("identity")["split"].nunique() == 1).all()
    validating = loaded.identities.query("split == 'validation'")["name"]
    assert len(validating)
    assert not validating.str[0].isin(list(TEST_INITIALS)).any()


def test_bytes_do_not_depend_on_the_number_of_processes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(world, "_FILES_PER_WORKER", N_CLIPS // 2)
    remake(tmp_path / "two", workers=2)
    assert checksums(tmp_path / "two") == checksums(folder)


KILLED = """
import os, signal
from v2mlib.phantom import make_world, Size, world

def killed(*arguments, **options):
    for number, answer in enumerate(run_jobs(*arguments, **options)):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield answer

run_jobs, world.run_jobs, world._FILES_PER_WORKER = world.run_jobs, killed, {2}
make_world(Size(**{0}), {1!r}, seed=5, workers=2)
"""


def test_a_killed_build_goes_on_to_the_same_bytes(folder, tmp_path):
    out = tmp_path / "killed"
    script = KILLED.format(dataclasses.asdict(SMALL), str(out), N_CLIPS // 2)
    # Read from standard input: there is no script that a worker could import.
    command = [sys.executable, "-"]
    build = subprocess.run(command, input=script, stderr=subprocess.DEVNULL, text=True)
    assert build.returncode == -signal.SIGKILL
    done = len(list(out.glob("wav/*/*/*.wav")))
    assert 6 <= done < N_CLIPS
    (out / "wav/.00001.4711.partial.wav").write_bytes(b"RIFF")  # as a worker leaves it
    with pytest.raises(InputError, match="holds a world that is not finished"):
        load_world(out)
    remake(out)
    assert checksums(out) == checksums(folder)


def test_second_run_does_nothing(folder, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(world, "run_jobs", None)  # would fail if it were called
    remake(folder)
    for path, changed in before.items():
        assert path.name == ".lock" or path.stat().st_mtime_ns == changed


def test_lost_files_are_reported_and_made_again(tmp_path):
    first = remake(tmp_path, photos=0)
    assert len(first.photos) == 0
    lost = tmp_path / first.utterances["path"].iloc[3]
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(InputError, match=f"lacks 1 of its files, for instance wav.*{lost.name}"):
        load_world(tmp_path)
    remake(tmp_path, photos=0)
    assert lost.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 6}, "its seed is 5, not 6"),
        ({"world": "null"}, "its world is default, not null"),
        ({"photos": 0}, "holds another world"),
    ],
)
def test_another_world_is_not_overwritten(folder, change, message):
    with pytest.raises(InputError, match=message):
        remake(folder, **change)
    load_world(folder)


def test_unfit_folders_are_refused(folder, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"is not empty \(it holds thesis.tex\)"):
        remake(tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        remake(tmp_path / "thesis.tex")
    with pytest.raises(InputError, match="holds no world"):
        load_world(tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/world.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        load_world(tmp_path / "bad")
    with pytest.raises(InputError, match="size 'huge' is unknown: choose one of tiny, tutorial"):
        make_world("huge", tmp_path / "new")
    with pytest.raises(InputError, match="does not fit a population of 12"):
        build_world(Population(12), tmp_path / "new", size=SMALL)


def test_a_world_of_another_face_is_refused(folder, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(folder), str(copy)], check=True)
    marker = json.loads((copy / "world.json").read_text())
    marker["made_from"]["face_model"][3] += 1.0
    (copy / "world.json").write_text(json.dumps(marker))
    with pytest.raises(InputError, match="another version of the face model phantom"):
        load_world(copy)


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("v2mlib.phantom.workers.soundfile.write", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        remake(tmp_path / "full")
    assert not list((tmp_path / "full").rglob("*.partial*"))


def test_a_face_model_without_a_name_travels_with_the_world(tmp_path):
    size = dataclasses.replace(SMALL, n_identities=6, n_test=2, photos=0, test_photos=0)
    made = make_world(size, tmp_path, face_model=toy_model(), workers=1, progress=False)
    assert made.face_model == str(tmp_path / "truth/face_model.npz")
    assert made.reference_coefficients.shape == (6, 12)
    assert load_world(tmp_path).config["face_model"] == "truth/face_model.npz"


def test_sizes_have_the_published_counts():
    paper = SIZES["paper"]
    assert paper.n_identities - paper.n_test == 924
    assert paper.n_test * paper.test_utterances == 903
    assert 924 * paper.utterances == pytest.approx(113_000, rel=0.01)
    assert 924 * paper.photos == pytest.approx(107_000, rel=0.01)
    with pytest.raises(InputError, match="a world needs speech"):
        dataclasses.replace(paper, utterances=0)


def test_photographs_show_the_face_at_its_landmarks():
    people = Population(8, seed=2)
    first, again, other = (people.photograph(3, number) for number in (0, 0, 1))
    np.testing.assert_array_equal(np.asarray(first.image), np.asarray(again.image))
    assert not np.array_equal(np.asarray(first.image), np.asarray(other.image))
    np.testing.assert_array_equal(first.plan.tone, other.plan.tone)  # one skin per person
    for row in range(8):
        photo = people.photograph(row, 2, config=PhotoConfig(size=32))
        assert photo.landmarks.shape == (68, 2)
        assert ((photo.landmarks > 0) & (photo.landmarks < 31)).mean() > 0.98
    # Seen from the front, the subject's left eye (42-47) is on the picture's right.
    eyes = first.landmarks[36:42].mean(0), first.landmarks[42:48].mean(0)
    assert eyes[1][0] - eyes[0][0] > 20
    pixels = np.asarray(first.image, dtype=float)
    # The pupils' neighbourhood varies more than the cheek's: the landmarks lie where eyes are.
    column, row = np.round(eyes[0]).astype(int)
    cheek_column, cheek_row = np.round(first.landmarks[[2, 30]].mean(0)).astype(int)

    def contrast(r, c):
        return pixels[r - 4 : r + 5, c - 4 : c + 5].std()

    assert contrast(row, column) > contrast(cheek_row, cheek_column)
