"""The whole front end, on files and samples, beside the publicly stored features."""

import numpy as np
import pytest
import soundfile
from voices_literal import log_mel_loop, normalise_loop, speech_loop, synthetic_speech

from v2mlib.checks import InputError
from v2mlib.voices import front_end, log_mel, read_audio, repeat_to, trim_silence


def clip_of(matrix):
    """The clip that was repeated to 1,000 frames, and whether it was."""
    for n_frames in range(1, len(matrix)):
        if np.array_equal(matrix[n_frames:], matrix[:-n_frames]):
            return matrix[:n_frames], True
    return matrix, False


@pytest.fixture(scope="module")
def stored(real_data):
    archive = np.load(real_data / "voxceleb_logmel" / "cmp_logmel_15.npz", allow_pickle=False)
    return [archive[key] for key in archive.files]


@pytest.mark.real_data
def test_stored_matrices_follow_the_recipe(stored):
    """Normalised with ddof 0 before the repetition; odd frame counts, as after the detector."""
    repeated = 0
    for matrix in stored:
        assert matrix.dtype == np.float32
        assert matrix.shape[1] == 64
        assert len(matrix) >= 1000
        clip, again = clip_of(matrix)
        repeated += again
        # The detector's output is a multiple of 320 samples, hence int(n / 160 + 1) is odd.
        assert len(clip) % 2 == 1
        np.testing.assert_allclose(clip.mean(axis=0, dtype=float), 0, atol=2e-5)
        np.testing.assert_allclose(clip.std(axis=0, dtype=float), 1, atol=1e-5)
        np.testing.assert_array_equal(repeat_to(clip), matrix)
    assert repeated == 13


@pytest.mark.real_data
def test_ours_have_the_stored_matrices_statistics(real_data, stored):
    theirs, ours, rng = [clip_of(matrix)[0] for matrix in stored], [], np.random.default_rng(0)
    for path in sorted(real_data.glob("speech_voxceleb_demo/*.flac")):
        samples, _ = read_audio(path)
        # Cut anywhere, as those clips are: what the last, empty frame holds depends on the end.
        for end in rng.integers(2.5 * 16000, samples.size, size=8):
            ours.append(front_end(samples[:end]))
    for matrix in ours:
        assert matrix.dtype == np.float32
        assert matrix.shape[1] == 64
        assert len(matrix) % 2 == 1
        np.testing.assert_allclose(matrix.mean(axis=0, dtype=float), 0, atol=2e-5)
        np.testing.assert_allclose(matrix.std(axis=0, dtype=float), 1, atol=1e-5)

    def statistics(matrices):
        body = [m[:-1] for m in matrices]
        values = np.concatenate(body)
        return {
            "quantiles": np.quantile(values, [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]),
            "next frame": np.mean([np.mean(m[1:] * m[:-1]) for m in body]),
            "next band": np.mean([np.mean(m[:, 1:] * m[:, :-1]) for m in body]),
            # The frame after the end is nearly empty: the lowest of the clip by far.
            "last frame": np.median([m[-1].mean() for m in matrices]),
            "last is lowest": np.mean([np.mean(m[-1] <= m.min(axis=0)) > 0.7 for m in matrices]),
        }

    mine, other = statistics(ours), statistics(theirs)
    np.testing.assert_allclose(mine["quantiles"], other["quantiles"], atol=0.4)
    assert mine["next frame"] == pytest.approx(other["next frame"], abs=0.07)
    assert mine["next band"] == pytest.approx(other["next band"], abs=0.07)
    assert mine["last frame"] == pytest.approx(other["last frame"], abs=1.0)
    assert mine["last is lowest"] > 0.7
    assert other["last is lowest"] == 1


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["id10023", "id11238"])
def test_real_file_agrees_with_the_literal_loops(real_data, name):
    path = real_data / "speech_voxceleb_demo" / f"{name}.flac"
    expected = normalise_loop(log_mel_loop(speech_loop(read_audio(path)[0])))
    np.testing.assert_allclose(front_end(path), expected, rtol=0, atol=5e-5)


@pytest.mark.real_data
def test_every_real_recording_is_accepted(real_data):
    paths = sorted(real_data.glob("speech_*/**/*.flac"))
    assert len(paths) >= 300
    for path in paths[::4]:
        matrix = front_end(path)
        assert len(matrix) > 50
        assert np.isfinite(matrix).all()


def test_file_and_samples_give_the_same(tmp_path):
    speech = synthetic_speech(3.0)
    pcm = np.round(speech * 32767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", pcm, 16000)
    samples = pcm / 32768
    from_file, from_samples = front_end(tmp_path / "a.wav"), front_end(samples)
    np.testing.assert_allclose(from_file, from_samples, atol=1e-6)
    np.testing.assert_allclose(from_samples, log_mel(trim_silence(samples)), atol=0)
    assert from_file.shape[0] < 301  # pauses were removed
    assert front_end(samples, trim=False).shape == (301, 64)
    assert front_end(str(tmp_path / "a.wav"), normalise=False).max() > 5


def test_samples_at_another_rate_are_resampled(tmp_path):
    speech = synthetic_speech(3.0).repeat(3)  # 48 kHz, held: its images lie above 8 kHz
    soundfile.write(tmp_path / "a.wav", speech, 48000, subtype="FLOAT")
    np.testing.assert_array_equal(front_end(speech, 48000), front_end(tmp_path / "a.wav"))


def test_refuses_too_little_speech(tmp_path):
    noise = 0.001 * np.random.default_rng(0).standard_normal(32000)
    with pytest.raises(InputError, match=r"^samples hold 0\.\d\d s of speech: at least 0\.5 s"):
        front_end(noise)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    with pytest.raises(InputError, match=r"noise\.wav holds 0\.\d\d s of speech: at least 0\.5 s"):
        front_end(tmp_path / "noise.wav")
    short = synthetic_speech(3.0)
    kept = trim_silence(short).size / 16000
    assert len(front_end(short, minimum_speech_s=kept)) > 0
    with pytest.raises(InputError, match="s of speech"):
        front_end(short, minimum_speech_s=kept + 0.01)
    with pytest.raises(InputError, match="s of speech"):
        front_end(np.zeros(16000), minimum_speech_s=0)
