"""Feature store, training batches, baselines."""

import json
import threading
from types import SimpleNamespace

import fitting_made
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from v2mlib.checks import InputError
from v2mlib.datasets import features
from v2mlib.datasets.ahead import Ahead
from v2mlib.datasets.features import LogMelStore
from v2mlib.datasets.shards import map_frames, write_frames
from v2mlib.datasets.torch_datasets import CropConfig, ResidentUtterances, identity_mean
from v2mlib.fitting import baselines
from v2mlib.fitting.praat_features import COLUMNS, praat_features, voice_measures
from v2mlib.voices import front_end


def hum(seconds, pitch_hz=120.0, formants_hz=(500.0, 1500.0, 2500.0, 3500.0)):
    """Pulses through resonances: a voice whose pitch and formants are known."""
    from scipy.signal import lfilter

    samples = np.zeros(int(16_000 * seconds))
    samples[np.arange(0, len(samples), 16_000 / pitch_hz).astype(int)] = 1.0
    for centre in formants_hz:
        radius = np.exp(-np.pi * 80 / 16_000)
        samples = lfilter(
            [1], [1, -2 * radius * np.cos(2 * np.pi * centre / 16_000), radius**2], samples
        )
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


@pytest.fixture
def world(tmp_path):
    """Four people with two recordings each, one of which is silent."""
    rows = []
    for person in range(4):
        for number in range(2):
            path = f"wav/id{person}/{number}.wav"
            sound = hum(1.0 + 0.1 * number, 110 + 30 * person)
            if (person, number) == (3, 1):
                sound = np.zeros(16_000, dtype=np.float32)
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / path, sound, 16_000)
            split = "test" if person == 0 else "train"
            rows.append((f"id{person}", number, path, split))
    utterances = pd.DataFrame(rows, columns=["identity", "utterance", "path", "split"])
    identities = pd.DataFrame(
        {
            "identity": [f"id{person}" for person in range(4)],
            "sex": ["m", "m", "f", "f"],
            "split": ["test", "train", "train", "train"],
        }
    )
    return SimpleNamespace(
        folder=tmp_path,
        utterances=utterances,
        identities=identities,
        config={"seed": 0},
        reference_coefficients=np.arange(8.0).reshape(4, 2),
    )


class TestStore:
    def test_it_holds_what_the_front_end_gives(self, world, monkeypatch):
        monkeypatch.setattr(features, "_UTTERANCES_PER_SHARD", 3)
        store = features.log_mel_store(world, workers=1, progress=False)
        assert len(store) == 8
        for row in range(7):
            wanted = front_end(world.folder / world.utterances["path"][row])
            np.testing.assert_allclose(store.log_mel(row), wanted, rtol=6e-4, atol=1e-6)
        assert store.index["n_frames"].iloc[7] == 0
        assert store.index["problem"].iloc[7]
        assert not store.index["problem"].iloc[:7].any()
        assert isinstance(store.frames, np.memmap)
        assert sorted(path.name for path in (world.folder / "features").iterdir()) == [
            "features.json", "index.parquet", "log_mel.npy"]  # fmt: skip

    def test_a_stopped_run_goes_on_and_a_changed_recording_is_noticed(self, world, monkeypatch):
        monkeypatch.setattr(features, "_UTTERANCES_PER_SHARD", 3)
        made = []

        def stopping(target, jobs, **options):
            from v2mlib.processes import run_jobs

            for number, answer in run_jobs(target, jobs, **options):
                made.append(jobs[number][0])
                yield number, answer
                if len(made) == 2:
                    raise KeyboardInterrupt

        monkeypatch.setattr(features, "run_jobs", stopping)
        with pytest.raises(KeyboardInterrupt):
            features.log_mel_store(world, workers=1, progress=False)
        store = features.log_mel_store(world, workers=1, progress=False)
        assert len(made) == len(set(made)) == 3  # no shard was made twice
        features.log_mel_store(world, workers=1, progress=False)
        assert len(made) == 3
        soundfile.write(world.folder / world.utterances["path"][0], hum(2.0), 16_000)
        again = features.log_mel_store(world, workers=1, progress=False)
        assert len(made) == 6
        assert again.index["n_frames"].iloc[0] > store.index["n_frames"].iloc[0]

    def test_processes_that_begin_together_make_it_once(self, world, monkeypatch):
        stores, made = [], []
        make = features._make_shards

        def begin():
            stores.append(features.log_mel_store(world, workers=1, progress=False))

        second = threading.Thread(target=begin)

        def first_of_two(*given):
            made.append(given)
            if len(made) == 1:
                second.start()
                second.join(timeout=0.5)  # it waits for us
            return make(*given)

        monkeypatch.setattr(features, "_make_shards", first_of_two)
        begin()
        second.join(timeout=60)
        assert len(made) == 1
        np.testing.assert_array_equal(stores[0].frames, stores[1].frames)

    def test_worlds_without_speech_are_refused(self, world):
        for path in world.utterances["path"]:
            (world.folder / path).unlink()
        with pytest.raises(InputError, match="has no usable recording: the first one does not"):
            features.log_mel_store(world, workers=1, progress=False)


@pytest.fixture(scope="module")
def utterances():
    made, store = fitting_made.made_world()
    names = made.identities.query("split == 'train'")["identity"].tolist()
    return ResidentUtterances(store, names), store


class TestBatches:
    def test_crops_come_from_their_own_utterance(self, utterances):
        resident, store = utterances
        batch = resident.sample(3, 32, crop=CropConfig(0.4, 0.6))
        length = batch.log_mel.shape[1]
        assert 40 <= length <= 60
        for crop, row, person in zip(*batch[::2], batch.identity, strict=True):
            whole = store.log_mel(int(row))
            starts = range(len(whole) - length + 1)
            assert any(np.array_equal(crop, whole[at : at + length]) for at in starts)
            assert store.index["identity"].iloc[int(row)] == resident.identities[int(person)]

    def test_identities_are_dealt_evenly(self, utterances):
        resident, _ = utterances
        crop = CropConfig(0.1, 0.1)
        drawn = torch.cat([resident.sample(step, 16, crop=crop).identity for step in range(9)])
        assert torch.bincount(drawn).tolist() == [6] * 24
        assert len(set(drawn[:24].tolist())) == 24
        every = torch.cat([resident.sample(step, 24, crop=crop).utterance for step in range(30)])
        assert len(every.unique()) == 72

    def test_batches_follow_from_seed_and_step(self, utterances):
        resident, _ = utterances
        first, again = resident.sample(5, 8, seed=1), resident.sample(5, 8, seed=1)
        assert torch.equal(first.log_mel, again.log_mel)
        assert not torch.equal(first.utterance, resident.sample(5, 8, seed=2).utterance)

    def test_processes_share_each_batch(self, utterances):
        resident, _ = utterances
        whole = resident.sample(2, 12)
        parts = [resident.sample(2, 12, rank=rank, n_ranks=3) for rank in range(3)]
        for rank, part in enumerate(parts):
            assert torch.equal(part.log_mel, whole.log_mel[rank::3])
        with pytest.raises(InputError, match="batch of 10 cannot be shared evenly by 3 proc"):
            resident.sample(2, 10, n_ranks=3)

    def test_crops_from_disk_are_those_from_memory(self, utterances, tmp_path):
        _, store = utterances
        write_frames(
            tmp_path / "log_mel.npy", [store.frames[:50], store.frames[50:]], len(store.frames)
        )
        mapped = LogMelStore(map_frames(tmp_path / "log_mel.npy"), store.index)
        names = store.index["identity"].unique()[5:20].tolist()
        disk = ResidentUtterances(mapped, names, resident=False)
        memory = ResidentUtterances(mapped, names, resident=True)
        assert isinstance(disk.frames, np.memmap)
        assert isinstance(memory.frames, torch.Tensor)
        crop = CropConfig(0.5, 3.0)
        for step in (0, 1, 2, 3, 7, 8, 2):  # also where a run goes on from elsewhere
            one, other = (kept.sample(step, 32, crop=crop) for kept in (disk, memory))
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert len(disk._ahead._begun) == 2
        one, other = (kept.crops(torch.tensor([3, 1]), 80) for kept in (disk, memory))
        assert torch.equal(one, other)

    def test_batches_are_made_ahead_in_another_thread(self):
        made = []

        def make(step, size):
            made.append((step, size, threading.current_thread().name))
            return step * size

        ahead = Ahead(make)
        assert [ahead(step, 10) for step in (0, 1, 2)] == [0, 10, 20]
        assert ahead(2, 7) == 14
        here = threading.current_thread().name
        assert [entry[:2] for entry in made if entry[2] == here] == [(0, 10), (2, 7)]
        assert {(1, 10), (2, 10)} <= {entry[:2] for entry in made if entry[2] != here}

    def test_what_goes_wrong_ahead_is_told_when_it_is_needed(self):
        ahead = Ahead(lambda step: 1 / (step - 2))
        assert ahead(0) == -0.5
        assert ahead(1) == -1.0
        with pytest.raises(ZeroDivisionError):
            ahead(2)

    def test_a_batch_names_its_utterances(self, utterances):
        resident, store = utterances
        batch = resident.sample(4, 6)
        batch.log_mel[2, 5, 7] = torch.nan
        names = resident.names(batch)
        assert names["not finite"] == [names["utterances"][2]]
        for name, row in zip(names["utterances"], batch.utterance, strict=True):
            found = store.index.iloc[int(row)]
            assert name == f"{found['identity']}/{found['utterance']}"

    def test_promised_and_written_frames_must_agree(self, tmp_path):
        with pytest.raises(InputError, match="would hold 3 frames, not 4"):
            write_frames(tmp_path / "log_mel.npy", [np.zeros((3, 64))], 4)
        assert not list(tmp_path.iterdir())

    def test_short_utterances_are_repeated(self, utterances):
        resident, store = utterances
        row = int(resident.utterance[0])
        found = resident.crops(torch.tensor([0]), 300)[0].numpy()
        whole = store.log_mel(row)
        np.testing.assert_array_equal(found, np.tile(whole, (4, 1))[:300])

    def test_whole_utterances_come_once_each(self, utterances):
        resident, store = utterances
        seen = []
        for clips, log_mel, n_frames in resident.whole(batch_frames=500):
            assert log_mel.shape[0] * log_mel.shape[1] <= 500
            for clip, matrix, length in zip(clips, log_mel, n_frames, strict=True):
                row = int(resident.utterance[clip])
                np.testing.assert_array_equal(matrix[:length], store.log_mel(row))
                seen.append(row)
        assert sorted(seen) == store.index.query("split == 'train'").index.tolist()

    def test_identity_mean_agrees_with_a_loop(self):
        values, identity = torch.randn(10, 3), torch.randint(0, 4, (10,))
        found = identity_mean(values, identity, 4)
        for person in range(4):
            torch.testing.assert_close(
                found[person], values[identity == person].mean(0), equal_nan=True
            )

    @pytest.mark.parametrize("lengths", [(3.0, 2.0), (0.0, 1.0)])
    def test_impossible_crops_are_refused(self, lengths):
        with pytest.raises(InputError, match="are not possible"):
            CropConfig(*lengths)

    def test_identities_without_recordings_are_refused(self, utterances):
        with pytest.raises(InputError, match="have no usable recording"):
            ResidentUtterances(utterances[1], ["nobody"])


class TestBaselines:
    def test_praat_hears_the_pitch_and_formants_that_were_made(self):
        # On harmonics: between them no method could see a formant's centre.
        low, high = (550, 1540, 2530, 3520, 4510), (660, 1760, 2860, 3960, 4950)
        for pitch, formants in ((110, low), (220, high)):
            found = voice_measures(hum(1.0, pitch, formants))
            assert np.exp(found["log_pitch"]) == pytest.approx(pitch, rel=0.01)
            for number, centre in enumerate(formants[:4], 1):
                assert np.exp(found[f"log_f{number}"]) == pytest.approx(centre, rel=0.12)

    def test_silence_has_no_pitch(self):
        assert all(np.isnan(value) for value in voice_measures(np.zeros(16_000)).values())

    def test_ridge_agrees_with_brute_force(self):
        rng = np.random.default_rng(0)
        features = rng.standard_normal((30, 5)) * [1, 10, 0.1, 1, 1] + 3
        targets = features[:, :1] + rng.standard_normal((30, 2))
        penalties = (0.1, 1.0, 10.0, 100.0)
        found = baselines.fit_ridge(features, targets, penalties=penalties)
        centre, scale = features.mean(0), features.std(0)
        scaled = (features - centre) / scale

        def solve(rows, penalty):
            x, y = scaled[rows], targets[rows]
            gram = (x - x.mean(0)).T @ (x - x.mean(0)) + penalty * np.eye(5)
            weights = np.linalg.solve(gram, (x - x.mean(0)).T @ (y - y.mean(0)))
            return weights, y.mean(0) - x.mean(0) @ weights

        def left_out(penalty):
            total = 0.0
            for row in range(30):
                weights, intercept = solve(np.arange(30) != row, penalty)
                total += ((targets[row] - scaled[row] @ weights - intercept) ** 2).sum()
            return total

        assert found.penalty == min(penalties, key=left_out)
        weights, intercept = solve(np.arange(30), found.penalty)
        np.testing.assert_allclose(found.weights, weights, atol=1e-10)
        np.testing.assert_allclose(found.predict(features), scaled @ weights + intercept)

    def test_baselines_know_the_training_names_only(self, world):
        np.testing.assert_allclose(baselines.mean_face(world).to_numpy(), [[4.0, 5.0]])
        by_sex = baselines.sex_mean_face(world)
        np.testing.assert_allclose(by_sex.to_numpy(), [[2.0, 3.0]])
        assert by_sex.index.tolist() == ["id0"]
        train = baselines.sex_mean_face(world, split="train")
        np.testing.assert_allclose(train.loc["id3"], [5.0, 6.0])

    def test_ridge_on_praat_features_predicts_each_utterance(self, world):
        found = baselines.praat_ridge(world, workers=1, progress=False)
        assert found.index.tolist() == ["id0", "id0"]
        assert np.isfinite(found.to_numpy()).all()
        measured = praat_features(world, workers=1, progress=False)
        assert measured[list(COLUMNS)].iloc[:7].notna().all(axis=None)
        assert measured[list(COLUMNS)].iloc[7].isna().all()
        known = json.loads((world.folder / "features_praat.json").read_text("utf-8"))
        assert len(known["digest"]) == 64
