"""Data sets from the public Voxceleb-3D files: log-mel matrices, faces that come fitted."""

import json
import shutil
from types import SimpleNamespace

import building_made as made
import numpy as np
import pandas as pd
import pytest
from faces_made import basel, small_model

from v2mlib.building import BuildConfig, build_dataset
from v2mlib.building.fitted import mean_faces
from v2mlib.building.report import as_dict, describe
from v2mlib.checks import InputError
from v2mlib.cli import main
from v2mlib.datasets import find_sources, load_data, log_mel_store
from v2mlib.datasets.packages import read_log_mel
from v2mlib.faces import load_face_model
from v2mlib.files import sha256


def spoil(folder):
    """Add files that cannot be used; returns reasons by path."""
    person, clips = folder / "faces/FtoZ/F_Made", folder / "fbank/id00001/video1"
    good = np.load(person / "0000.npy")
    np.save(person / "stranger.npy", np.where(good, -good, good))
    np.save(person / "short.npy", good[:62])
    np.save(person / "0000_exp.npy", np.zeros(29))
    for name in ("0001.obj", "0002.jpg"):
        (person / name).touch()
    np.save(clips / "raw.npy", np.load(clips / "00000.npy") * 3 - 9)
    np.save(clips / "turned.npy", np.zeros((64, 300), np.float32))
    (clips / "torn.npy").write_bytes((clips / "00000.npy").read_bytes()[:999])
    return {
        person / "stranger.npy": "times as far from this person's other faces as usual",
        person / "short.npy": "holds 62 numbers",
        person / "0000_exp.npy": "holds the expression",
        person / "0001.obj": "is a mesh or cloud",
        person / "0002.jpg": "is not needed",
        clips / "raw.npy": "is not normalised (mean 9, standard deviation 3)",
        clips / "turned.npy": "Transposed?",
        clips / "torn.npy": "",
    }


def build(folder, out, model, **options):
    sources = find_sources(
        log_mels=folder / "fbank",
        fitted_faces=sorted((folder / "faces").iterdir()),
        progress=False,
    )
    config = BuildConfig(landmarks="fitted", face_model=str(model))
    options = {"n_workers": 1, "progress": False, **options}
    return build_dataset(sources, out, config=config, **options)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    basel().save(folder / "basel.npz")
    own = made.made_package(folder / "raw", basel())
    reasons = spoil(folder / "raw")
    report = build(folder / "raw", folder / "data", folder / "basel.npz", files_per_task=7)
    return SimpleNamespace(
        folder=folder / "raw", out=folder / "data", model=folder / "basel.npz", own=own,
        reasons=reasons, report=report, data=load_data(folder / "data"),
    )  # fmt: skip


def test_every_file_has_a_row_and_every_rejected_one_its_reason(built):
    manifest = built.data.manifest.set_index("path")
    files = [path for path in built.folder.rglob("*.*") if path.suffix != ".csv"]
    assert sorted(manifest.index) == sorted(map(str, files))
    for path, reason in built.reasons.items():
        assert not manifest.loc[str(path), "accepted"]
        assert reason in manifest.loc[str(path), "reason"]
    assert set(manifest.index[~manifest["accepted"]]) == set(map(str, built.reasons))
    for path, row in manifest[manifest["accepted"]].iterrows():
        assert row["sha256"] == sha256(path)
    assert manifest["kind"].value_counts().to_dict() == {"photo": 53, "utterance": 27}
    stranger = built.folder / "faces/FtoZ/F_Made/stranger.npy"
    assert manifest.loc[str(stranger), "rule"] == "person"
    assert (built.report.counts["utterances"], built.report.counts["photos"]) == (24, 48)


def test_log_mels_are_stored_as_they_are(built):
    store = log_mel_store(built.data)
    assert len(store) == 24
    for row, path in enumerate(built.data.utterances["path"]):
        np.testing.assert_array_equal(
            store.log_mel(row), read_log_mel(path).astype(np.float16).astype(np.float32)
        )
    assert built.data.utterances["speech_s"].isna().all()


def test_faces_are_means_with_their_uncertainty(built):
    data = built.data
    people = data.identities
    assert people["name"].str[0].tolist() == list("AFBGCHDI")
    assert people["sex"].tolist() == list("mmffmmff")
    assert (people.set_index("name")["n_used"] == 6).all()
    assert set(people.loc[people["name"].str[0] <= "E", "split"]) == {"test"}
    assert {"train", "validation"} <= set(people["split"])
    gap = data.reference_coefficients - built.own
    # Six faces, each 0.5 standard deviations off.
    assert 0.5 / np.sqrt(6) == pytest.approx(data.reference_sd.mean(), rel=0.1)
    assert (gap / data.reference_sd).std() == pytest.approx(1, abs=0.12)
    first = sorted((built.folder / "faces/AtoE/A_Made").glob("*.npy"))
    raw = np.mean([np.load(path)[:40] for path in first], axis=0)
    expected = load_face_model(built.model).from_raw(raw).shape
    np.testing.assert_allclose(data.reference_coefficients[0], expected, atol=1e-4)
    assert np.isnan(data.landmarks).all()
    assert len(data.landmarks) == len(data.photos)
    assert data.lines["sd"].gt(0).all()


def test_again_and_after_a_stop_and_in_any_portions(built, tmp_path, monkeypatch):
    before = made.digests(built.out)
    assert build(built.folder, built.out, built.model).nothing_to_do
    assert made.digests(built.out) == before
    whole = "v2mlib.building.photographs.write_chunk"
    with monkeypatch.context() as patch:
        patch.setattr(whole, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(built.folder, tmp_path / "data", built.model)
    done = build(built.folder, tmp_path / "data", built.model)
    assert (done.voices.files, done.photos.files) == (0, 50)
    assert made.digests(tmp_path / "data") == before


def test_new_files_alone_are_read(built, tmp_path):
    folder = shutil.copytree(built.folder, tmp_path / "raw", copy_function=shutil.copy2)
    build(folder, tmp_path / "data", built.model)
    person = folder / "faces/FtoZ/G_Made"
    np.save(person / "new.npy", np.load(person / "0000.npy") * 1.01)
    done = build(folder, tmp_path / "data", built.model)
    assert (done.voices.files, done.photos.files) == (0, 1)
    build(folder, tmp_path / "fresh", built.model)
    assert made.digests(tmp_path / "data") == made.digests(tmp_path / "fresh")


def test_a_data_set_may_change_to_fitted_faces(built, made_once, tmp_path):
    world = made.made_raw(tmp_path, made_once)
    made.build(world, tmp_path / "data")
    assert (tmp_path / "data/truth/landmarks.npy").exists()
    build(built.folder, tmp_path / "data", built.model)
    assert made.digests(tmp_path / "data") == made.digests(built.out)


def test_training_and_evaluation_take_it(built, tmp_path, capsys):
    words = ["--data", built.out, "--out", tmp_path, "--steps", "2", "--batch-size", "4", "--json"]
    assert main(["train", "supervised", *map(str, words)]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    weights = tmp_path / "model.safetensors"
    words = ["--data", built.out, "--model", weights, "--measures", "are", "--json"]
    assert main(["evaluate", *map(str, words)]) == 0
    methods = {row["method"] for row in json.loads(capsys.readouterr().out)["summary"]}
    assert methods == {"mean_face", "sex_mean_face", str(weights)}  # no pitch, no ridge


def test_fitted_faces_beside_recordings(built, made_once, tmp_path, capsys):
    """Matrices of one source may meet photographs of another, and faces recordings."""
    world = made.made_raw(tmp_path, made_once)
    names = pd.read_csv(world / "vox1_meta.csv", sep="\t")
    names = names[next(c for c in names if "VGG" in c)].tolist()
    faces = tmp_path / "faces"
    for old, new in zip(sorted((built.folder / "faces").glob("*/*_Made")), names, strict=False):
        shutil.copytree(old, faces / new)
    words = ["--voxceleb", world, "--fitted-faces", faces, "--meta", world / "vox1_meta.csv",
             "--face-model", built.model, "--out", tmp_path / "data", "--workers", "1"]  # fmt: skip
    assert main(["data", "voxceleb3d", *map(str, words), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["identities"], shown["utterances"]) == (8, 16)
    data = load_data(tmp_path / "data")
    assert data.utterances["duration_s"].gt(0).all()
    assert set(data.utterances["identity"]) == set(data.identities["identity"])


def test_faces_or_voices_alone_are_no_data_set(built, tmp_path):
    config = BuildConfig(landmarks="fitted", face_model=str(built.model))
    for kind, place, message in (
        ("log_mels", built.folder / "fbank", "the photographs hold no usable face: add photo"),
        ("fitted_faces", built.folder / "faces/AtoE", r"have not both .* \(no recording: 4 of"),
    ):
        sources = find_sources(**{kind: place}, progress=False)
        with pytest.raises(InputError, match=message):
            build_dataset(sources, tmp_path / kind, config=config, n_workers=1, progress=False)


def test_a_run_without_a_usable_recording_reports(built, tmp_path):
    folder = shutil.copytree(built.folder, tmp_path / "raw", copy_function=shutil.copy2)
    build(folder, tmp_path / "data", built.model)
    (folder / "fbank/id00001/video1/new.npy").write_bytes(b"torn")
    done = build(folder, tmp_path / "data", built.model)
    assert (done.voices.files, done.voices.amount) == (1, 0)
    assert not any("nan" in line for line in describe(done))
    assert np.isnan(as_dict(done)["voices_core_hours"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--log-mels", "a", "--voxceleb", "b"], "a is given beside recordings"),
        (["--fitted-faces", "a", "--vggface", "b"], "a is given beside photographs"),
        (["--fitted-faces", "a", "--table", "b"], "do not go with a table of one's own"),
    ],
)
def test_one_source_for_each_kind(tmp_path, capsys, options, message):
    assert main(["data", "voxceleb3d", "--out", str(tmp_path / "data"), *options]) == 1
    assert message in capsys.readouterr().err


def test_faces_mean_something_on_the_basel_model_alone(built, tmp_path, capsys, monkeypatch):
    small_model().save(tmp_path / "other.npz")
    with pytest.raises(InputError, match="has other modes than BFM 2009"):
        build(built.folder, tmp_path / "data", tmp_path / "other.npz")
    monkeypatch.setenv("V2M_HOME", str(tmp_path))
    words = ["--log-mels", built.folder / "fbank", "--fitted-faces",
             *sorted((built.folder / "faces").iterdir()), "--out", tmp_path / "data"]  # fmt: skip
    assert main(["data", "voxceleb3d", *map(str, words)]) == 1
    assert "run `v2m faces add bfm PATH`, or name it" in capsys.readouterr().err
    assert main(["data", "voxceleb3d", *map(str, words), "--landmarks", "fan"]) == 1
    assert "are not looked for in fitted faces" in capsys.readouterr().err


class TestMeanFaces:
    def faces(self, counts, seed=0, spread=0.5):
        rng, model = np.random.default_rng(seed), basel()
        codes = np.repeat(np.arange(len(counts)), counts)
        own = rng.normal(size=(len(counts), 40))
        shapes = own[codes] + spread * rng.normal(size=(len(codes), 40))
        return pd.DataFrame({"identity": codes.astype(str)}), shapes, model

    def run(self, photos, shapes, model):
        raw = np.zeros((len(shapes), 199))
        raw[:, :40] = model.to_raw(shapes).shape
        return mean_faces(photos, raw, model)

    def test_strangers_are_found_and_nobody_else(self):
        photos, shapes, model = self.faces([8] * 20 + [3] * 5 + [1] * 5, spread=0.35)
        rows = np.r_[np.arange(0, 80, 8), 81, 82, 160]  # of 12 people; 2 of the eleventh
        shapes[rows] = np.random.default_rng(1).normal(size=(len(rows), 40))
        found = self.run(photos, shapes, model)
        assert np.flatnonzero(found.photos["rule"] == "person").tolist() == rows.tolist()
        assert found.photos["used"].sum() == len(photos) - len(rows)
        assert found.identities["n_used"].min() == 1

    def test_single_wild_coefficients_make_no_stranger(self):
        photos, shapes, model = self.faces([10] * 30)
        shapes[np.arange(0, 300, 7), np.arange(43) % 40] += 8
        assert self.run(photos, shapes, model).photos["used"].all()

    def test_of_two_that_differ_neither_is_believed(self):
        photos, shapes, model = self.faces([6] * 10 + [2] * 3)
        shapes[-1] = -shapes[-1]
        found = self.run(photos, shapes, model)
        assert found.photos["rule"].tolist() == [""] * (len(photos) - 2) + ["majority"] * 2
        last = found.identities.iloc[-1]
        assert (last["usable"], last["n_used"]) == (False, 0)
        assert last["reason"] == "all photographs rejected: 2 by majority"
        assert np.isnan(found.shape_coefficients[-1]).all()
        assert np.isfinite(found.shape_coefficients[:-1]).all()

    def test_uncertainty_is_that_of_the_spread(self):
        photos, shapes, model = self.faces([20] * 30 + [1])
        shapes[:20] += 0.4 * (shapes[:20] - shapes[:20].mean(0))
        found = self.run(photos, shapes, model)
        sd = np.sqrt(np.einsum("iss->is", found.shape_covariance))
        np.testing.assert_allclose(sd[1:30].mean(), 0.5 / np.sqrt(20), rtol=0.1)
        assert sd[0].mean() / sd[1:30].mean() == pytest.approx(1.28, abs=0.05)
        assert sd[-1].mean() == pytest.approx(sd[1:30].mean() * np.sqrt(20), rel=0.3)
        assert found.identities["determined"].between(0.5, 1).all()

    def test_where_nobody_has_two_nothing_is_known(self):
        found = self.run(*self.faces([1] * 6))
        assert found.photos["used"].all()
        assert found.identities["shape_sd"].eq(1).all()
        assert found.identities["determined"].abs().max() < 1e-6

    def test_copies_of_one_face(self):
        photos, shapes, model = self.faces([4] * 3, spread=0.0)
        found = self.run(photos, shapes, model)
        assert found.photos["used"].all()
        np.testing.assert_allclose(found.shape_coefficients, shapes[::4], atol=1e-6)


def test_the_public_matrices_on_the_real_basis(real_data, tmp_path, capsys):
    """Made coefficients on BFM's 68 landmarks, the public log-mel matrices."""
    slices = real_data / "bfm_derived_noncommercial/bfm_landmark68_basis.npz"
    oracle = np.load(real_data / "voxceleb_logmel/cmp_logmel_15.npz", allow_pickle=False)
    heard = [name.split("/") for name in oracle.files]
    speakers = pd.read_csv(real_data / "voxceleb_logmel/speakers.csv")
    speakers["name"] = ["Asa", "Ben", "Fay", "Gil", "Hal"]  # some train, some test
    speakers["sex"] = list("mffmf")
    columns = {"rand_id": "identity"}
    speakers.rename(columns=columns).to_csv(tmp_path / "vox1_meta.csv", index=False, sep="\t")
    rng, model = np.random.default_rng(0), load_face_model(slices)
    for identity, video, clip in heard:
        (tmp_path / "fbank" / identity / video).mkdir(parents=True, exist_ok=True)
        matrix = oracle[f"{identity}/{video}/{clip}"]
        np.save(tmp_path / "fbank" / identity / video / f"{clip}.npy", matrix)
    own = rng.normal(size=(5, 40))
    for name, shape in zip(speakers["name"], own, strict=True):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for photo in range(4):
            raw = rng.normal(scale=1e3, size=199)
            raw[:40] = model.to_raw(shape + 0.3 * rng.normal(size=40)).shape
            np.save(tmp_path / "faces" / name / f"{photo}.npy", raw.astype(np.float32)[:, None])
    words = ["--log-mels", tmp_path / "fbank", "--fitted-faces", tmp_path / "faces",
             "--face-model", slices, "--out", tmp_path / "data", "--workers", "1"]  # fmt: skip
    assert main(["data", "voxceleb3d", *map(str, words), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["identities"], shown["utterances"], shown["photos"]) == (5, 15, 20)
    data = load_data(tmp_path / "data")
    assert sorted(data.identities["split"]) == ["test"] * 2 + ["train"] * 2 + ["validation"]
    store = log_mel_store(data)
    for row, names in enumerate(heard):
        np.testing.assert_allclose(
            store.log_mel(row), oracle["/".join(names)], rtol=1e-3, atol=1e-4
        )
    gap = (data.reference_coefficients - own) / data.reference_sd
    assert np.square(gap).mean() == pytest.approx(1, abs=0.35)
    words = ["--data", tmp_path / "data", "--out", tmp_path / "run", "--steps", "2"]
    assert main(["train", "supervised", *map(str, words), "--batch-size", "4", "--json"]) == 0
