"""Building data sets: what is measured, what is left out and why, what is done again."""

import errno
import shutil
from types import SimpleNamespace

import building_made as made
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from v2mlib.building import build as building
from v2mlib.building import build_dataset, report
from v2mlib.building.assembly import assemble
from v2mlib.checks import InputError
from v2mlib.datasets import find_sources, load_data, load_dataset, load_world, log_mel_store
from v2mlib.datasets.manifest import COLUMNS
from v2mlib.files import sha256
from v2mlib.staging import only_one
from v2mlib.voices import front_end, read_audio, trim_silence


@pytest.fixture(scope="module")
def raw(tmp_path_factory, made_once):
    folder = tmp_path_factory.mktemp("building")
    world = made.made_raw(folder, made_once)
    return made.spoil(world, folder / "spoilt")


@pytest.fixture(scope="module")
def built(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "data"
    first = made.build(raw[0], out)
    return SimpleNamespace(
        world=raw[0], reasons=raw[1], out=out, report=first, data=load_dataset(out)
    )


@pytest.fixture
def copy(built, tmp_path):
    """A finished data set and its raw folders, to be changed."""
    world = shutil.copytree(built.world, tmp_path / "raw", copy_function=shutil.copy2)
    out = tmp_path / "data"
    made.build(world, out)
    return SimpleNamespace(world=world, out=out)


@pytest.fixture
def measured(monkeypatch):
    """Paths of the files that are worked on."""
    paths = []
    for kind, function in list(building._MEASURE.items()):

        def spy(job, function=function):
            paths.extend(job["paths"])
            return function(job)

        monkeypatch.setitem(building._MEASURE, kind, spy)
    return paths


class TestManifest:
    def test_every_file_has_a_row_with_its_checksum(self, built):
        manifest = built.data.manifest
        assert list(manifest.columns) == list(COLUMNS)
        files = [*built.world.glob("wav/*/*/*.wav"), *built.world.glob("faces/*/*.jpg")]
        assert sorted(manifest["path"]) == sorted(map(str, files))
        for row in manifest.itertuples():
            assert row.sha256 == sha256(row.path)
            assert row.accepted == (row.reason == "")

    def test_every_file_left_out_has_its_reason(self, built):
        manifest = built.data.manifest.set_index("path")
        for path, reason in built.reasons.items():
            assert reason in manifest.loc[str(path), "reason"]
        left_out = manifest[~manifest["accepted"]]
        assert set(map(str, built.reasons)) <= set(left_out.index)
        others = left_out.drop(list(map(str, built.reasons)))
        assert set(others["rule"]) <= {"residual", "person", "blur", "yaw"}
        assert built.report.rejected["utterances"] == 3

    def test_quality_of_recordings(self, built):
        rows = built.data.manifest.query("kind == 'utterance' and accepted")
        for row in rows.itertuples():
            samples, rate = read_audio(row.path)
            spoken = trim_silence(samples)
            assert row.duration_s == len(samples) / rate
            assert row.speech_s == len(spoken) / rate
            assert row.speech_share == pytest.approx(len(spoken) / len(samples))
            assert row.level_db == pytest.approx(10 * np.log10(np.mean(spoken**2.0)), abs=1e-2)
            assert 3 < row.snr_db < 60
            assert 0 <= row.clipped_share < 0.01

    def test_quality_of_photographs(self, built):
        rows = built.data.manifest.query("kind == 'photo' and accepted")
        assert (rows["width_px"] == 128).all()
        assert rows["residual_relative"].between(0, 0.05).all()
        assert rows["sharpness"].between(0.01, 2).all()
        world = load_world(built.world)
        true = world.photos.set_index("path")["yaw_deg"]
        names = [path.removeprefix(f"{built.world}/") for path in rows["path"]]
        # The world turns the camera, the fit the head.
        assert np.corrcoef(-true[names], rows["yaw_deg"])[0, 1] > 0.95


class TestContent:
    def test_the_store_holds_what_the_front_end_gives(self, built):
        store = log_mel_store(built.data)
        assert len(store) == len(built.data.utterances) == 24
        assert isinstance(store.frames, np.memmap)
        for row, path in enumerate(built.data.utterances["path"]):
            np.testing.assert_array_equal(
                store.log_mel(row), front_end(path).astype(np.float16).astype(np.float32)
            )
        assert not (built.out / "build").exists()

    def test_faces_resemble_the_true_ones(self, built):
        data, world = built.data, load_world(built.world)
        assert data.identities["identity"].tolist() == world.identities["identity"].tolist()
        assert (data.reference_sd > 0).all()
        variance = np.einsum("iss->is", data.reference_covariance)
        np.testing.assert_allclose(data.reference_sd**2, variance, rtol=1e-6)
        spread = np.abs(data.reference_coefficients - world.reference_coefficients)
        assert (spread < 4 * data.reference_sd).mean() > 0.95
        one, other = data.reference_coefficients[:, :5], world.reference_coefficients[:, :5]
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.7

    def test_landmarks_are_aligned_with_the_photographs(self, built):
        data, world = built.data, load_world(built.world)
        true = dict(zip(world.photos["path"], world.landmarks, strict=True))
        for path, points in zip(data.photos["path"], data.landmarks, strict=True):
            known = true.get(path.removeprefix(f"{built.world}/"))
            if known is None or path in map(str, built.reasons):
                assert np.isnan(points).all()
            else:
                np.testing.assert_array_equal(points, known)

    def test_people_with_one_kind_of_file_are_left_out(self, built):
        sources = find_sources(voxceleb=built.world, vggface=built.world, progress=False)
        voices = pd.DataFrame({"path": sources.utterances["path"], "n_frames": 100, "reason": "",
                               "duration_s": 1.0, "speech_s": 1.0, "sha256": ""})  # fmt: skip
        first = (sources.utterances["identity"] == "id00001").to_numpy()
        voices.loc[first, ["n_frames", "reason"]] = 0, "is silent"
        photos = pd.DataFrame({"path": sources.photos["path"], "reason": "", "sharpness": 1.0,
                               "sha256": ""})  # fmt: skip
        second = (sources.photos["identity"] == "id00002").to_numpy()
        photos.loc[second, "reason"] = "is torn"
        by_path = dict(zip(built.data.photos["path"], built.data.landmarks, strict=True))
        landmarks = np.array([by_path[path] for path in photos["path"]])
        from v2mlib.faces import load_face_model

        found = assemble(sources, voices, photos, landmarks, load_face_model("phantom"),
                         made.config_of(built.world))  # fmt: skip
        people = found.people.set_index("identity")
        assert people.loc["id00001", ["accepted", "reason", "split"]].tolist() == [
            False, "no usable recording", "none"]  # fmt: skip
        assert people.loc["id00002", "reason"] == "no readable photograph"
        manifest = found.manifest
        theirs = manifest[manifest["identity"].eq("id00001") & manifest["kind"].eq("photo")]
        of_person = "of a person who is left out: no usable recording"
        assert set(theirs["reason"][theirs["rule"].isna() | theirs["rule"].eq("")]) == {of_person}
        assert found.index.set_index("identity").loc["id00002", "split"].eq("none").all()


class TestAgain:
    def test_the_number_of_threads_changes_no_byte(self, built, tmp_path):
        before = torch.get_num_threads()
        for n_threads in (1, 4):
            try:
                torch.set_num_threads(n_threads)
                with threadpool_limits(n_threads):
                    made.build(built.world, tmp_path / str(n_threads))
                assert torch.get_num_threads() == n_threads  # given back
            finally:
                torch.set_num_threads(before)
        assert made.digests(tmp_path / "1") == made.digests(tmp_path / "4")

    def test_faces_are_fitted_with_one_thread(self, built, tmp_path, monkeypatch):
        seen = []

        def spy(*arguments):
            seen.append([torch.get_num_threads(), *(p["num_threads"] for p in threadpool_info())])
            return assemble(*arguments)

        monkeypatch.setattr(building, "assemble", spy)
        with threadpool_limits(3):
            made.build(built.world, tmp_path / "data")
            after = {pool["num_threads"] for pool in threadpool_info()}
        assert set(seen[0]) == {1}
        assert 3 in after

    def test_a_second_run_does_nothing(self, built, measured):
        before = {path: path.stat().st_mtime_ns for path in built.out.rglob("*.*")}
        again = made.build(built.world, built.out, n_workers=2)
        assert again.nothing_to_do
        assert not measured
        assert again.counts == built.report.counts
        after = {path: path.stat().st_mtime_ns for path in built.out.rglob("*.*")}
        before.pop(built.out / ".lock"), after.pop(built.out / ".lock")
        assert after == before
        assert "nothing to do" in "\n".join(report.describe(again))

    def test_only_new_and_changed_files_are_measured(self, copy, measured):
        clips = [path for path in sorted(copy.world.glob("wav/*/*/*.wav")) if path.stem.isdigit()]
        photo = sorted(copy.world.glob("faces/*/*.jpg"))[-1]
        samples, _ = soundfile.read(clips[4])
        soundfile.write(clips[4], samples[:40_000], 16_000)
        new = clips[9].with_name("99999.wav")
        soundfile.write(new, samples[8_000:], 16_000)
        gone = clips[-1]
        gone.unlink()
        shutil.copy(photo, photo.with_name("zz.jpg"))
        done = made.build(copy.world, copy.out)
        assert sorted(measured) == sorted(map(str, [clips[4], new, photo.with_name("zz.jpg")]))
        assert (done.voices.files, done.photos.files) == (2, 1)
        made.build(copy.world, copy.out.with_name("fresh"))
        assert made.digests(copy.out) == made.digests(copy.out.with_name("fresh"))
        assert str(gone) not in set(load_dataset(copy.out).manifest["path"])

    def test_changed_settings_redo_what_depends_on_them(self, copy, measured):
        config = made.config_of(copy.world, split="random", seed=3)
        made.build(copy.world, copy.out, config=config)
        assert not measured
        made.build(copy.world, copy.out.with_name("fresh"), config=config)
        assert made.digests(copy.out) == made.digests(copy.out.with_name("fresh"))
        measured.clear()
        with np.load(copy.world / "truth/coefficients.npz"):
            landmarks = np.load(copy.world / "truth/landmarks.npy")
        np.save(copy.world / "truth/landmarks.npy", landmarks + 1)
        made.build(copy.world, copy.out, config=config)
        assert {path.rsplit(".", 1)[1] for path in measured} == {"jpg"}

    def test_landmark_files_that_change_are_noticed(self, copy, measured):
        world = load_world(copy.world)
        files = [copy.world / path for path in world.photos["path"]]
        for path, points in zip(files, world.landmarks, strict=True):
            np.save(path.with_suffix(".npy"), points)
        config = made.config_of(copy.world, landmark_folder=str(copy.world / "faces"))
        made.build(copy.world, copy.out, config=config)
        found = load_dataset(copy.out)
        np.testing.assert_array_equal(found.landmarks[0], world.landmarks[0])
        assert not found.manifest["path"].str.endswith(".npy").any()
        measured.clear()
        assert made.build(copy.world, copy.out, config=config).nothing_to_do
        np.save(files[0].with_suffix(".npy"), world.landmarks[0] + 1)
        made.build(copy.world, copy.out, config=config)
        assert str(files[0]) in measured
        again = load_dataset(copy.out)
        np.testing.assert_array_equal(again.landmarks[0], world.landmarks[0] + 1)

    def test_verify_finds_what_size_and_time_hide(self, copy, measured):
        import os

        clip = sorted(copy.world.glob("wav/*/*/*.wav"))[5]
        status, content = clip.stat(), bytearray(clip.read_bytes())
        content[20_000:30_000] = bytes(10_000)
        clip.write_bytes(content)
        os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert made.build(copy.world, copy.out).nothing_to_do
        made.build(copy.world, copy.out, verify=True)
        assert measured == [str(clip)]
        manifest = load_dataset(copy.out).manifest.set_index("path")
        assert manifest.loc[str(clip), "sha256"] == sha256(clip)
        measured.clear()
        assert made.build(copy.world, copy.out, verify=True).nothing_to_do
        with open(copy.out / "features/log_mel.npy", "r+b") as store:
            store.seek(5_000)
            store.write(bytes(100))
        made.build(copy.world, copy.out, verify=True)
        assert len(measured) == len(manifest)


class TestRefusals:
    def test_folders_of_somebody_else_are_left_alone(self, built, tmp_path):
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(InputError, match=r"is not empty \(it holds thesis.txt\)"):
            made.build(built.world, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_two_builds_at_once_are_refused(self, built):
        with (
            only_one(built.out, "another build of a data set"),
            pytest.raises(InputError, match="is in use by another build of a data set"),
        ):
            made.build(built.world, built.out)

    def test_a_full_disk_ends_clearly_and_the_next_run_goes_on(
        self, built, tmp_path, monkeypatch, measured
    ):
        out, left = tmp_path / "data", [2]

        def full(file, rows, **arrays):
            from v2mlib.building import chunks

            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device", str(file))
            left[0] -= 1
            chunks.write_chunk(file, rows, **arrays)

        with monkeypatch.context() as patch:
            patch.setattr("v2mlib.building.voices.write_chunk", full)
            with pytest.raises(InputError, match=r"\(No space left on device\): free space"):
                made.build(built.world, out, files_per_task=8)
        with pytest.raises(InputError, match="is not finished: build it again"):
            load_dataset(out)
        done = len(measured)
        made.build(built.world, out)
        assert len(measured) == done + len(built.data.manifest) - 16
        assert made.digests(out) == made.digests(built.out)

    def test_nothing_usable_is_said(self, built, tmp_path):
        sources = find_sources(voxceleb=built.world, vggface=built.world, progress=False)
        config = made.config_of(tmp_path)  # no landmarks there
        with pytest.raises(InputError, match="hold no usable face: the first one shows no face"):
            build_dataset(sources, tmp_path / "d", config=config, n_workers=1, progress=False)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"split": "mine"}, "choose paper, random, unheard"),
            ({"validation": 1.5}, "validation=1.5 is not possible"),
            ({"landmarks": "mediapipe"}, "landmark_folder is not for landmarks by 'mediapipe'"),
        ],
    )
    def test_impossible_settings(self, tmp_path, change, message):
        with pytest.raises(InputError, match=message):
            made.config_of(tmp_path, **change)


class TestLoading:
    def test_worlds_and_data_sets_are_told_apart(self, built, tmp_path):
        assert type(load_data(built.out)).__name__ == "Dataset"
        assert type(load_data(built.world)).__name__ == "World"
        with pytest.raises(InputError, match="holds neither a world nor a built data set"):
            load_data(tmp_path)
        with pytest.raises(InputError, match="holds no built data set"):
            load_dataset(built.world)

    def test_a_data_set_that_is_not_whole_is_refused(self, copy):
        store = copy.out / "features/log_mel.npy"
        content = store.read_bytes()
        store.write_bytes(content[:-1])
        with pytest.raises(InputError, match=r"features/log_mel.npy is missing or cut short"):
            load_dataset(copy.out)
        made.build(copy.world, copy.out)
        assert store.read_bytes() == content
