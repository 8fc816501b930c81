"""The fast log-mel against the literal loop, and what it must do by construction."""

import numpy as np
import pytest
import scipy.fft
import soundfile
import torch
from voices_literal import FILTERS, log_mel_loop, normalise_loop, synthetic_speech

from v2mlib.checks import InputError, ShapeError
from v2mlib.voices import (
    CLEAN_LOG_MEL,
    LogMelConfig,
    log_mel,
    mel_filters,
    normalise_log_mel,
    read_audio,
    repeat_to,
)

LENGTHS = [
    1,
    2,
    159,
    160,
    161,
    239,
    320,
    399,
    400,
    401,
    559,
    560,
    561,
    640,
    799,
    3200,
    10240,
    10399,
]
CLIPS = [
    "speech_librispeech/test-other/2414/2414-128291-0006.flac",  # 70 dB between its bands
    "speech_librispeech/train-clean-100/8419-286667-0000.flac",
    "speech_librispeech/train-clean-100/8051-118101-0000.flac",
    "speech_voxceleb_demo/id11238.flac",
    "speech_voxceleb_demo/id10023.flac",
    "speech_emotion_demo/a2f_Claire_anger.flac",
]


def noise(n_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def tone(frequency_hz, seconds=0.5):
    return (
        0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(int(16000 * seconds)) / 16000)
    ).astype(np.float32)


def sparse():
    clicks = np.zeros(4800, np.float32)
    clicks[[0, 399, 400, 2000, 4799]] = [0.9, -0.5, 0.5, 1.0, -1.0]
    return clicks


def array(samples):
    return samples


def with_gradient(samples):
    """A tensor that takes the path of the GPU."""
    return torch.from_numpy(samples).requires_grad_()


KINDS = [array, torch.from_numpy, with_gradient]


def as_array(features):
    return features.detach().numpy() if isinstance(features, torch.Tensor) else features


SIGNALS = {
    "noise": noise(8000),
    "tone": tone(437.0),
    "high tone": tone(7000.0),
    "zeros": np.zeros(3200, np.float32),
    "clicks": sparse(),
    "full-scale square": np.sign(tone(100.0)),
    "speech": synthetic_speech(2.0),
    "faint": noise(8000) * np.float32(1e-5),
    "loud then zeros": np.concatenate([noise(4000) * 5, np.zeros(4000, np.float32)]).clip(-1, 1),
}


def test_filters_equal_the_literal_ones():
    np.testing.assert_allclose(mel_filters(), FILTERS, rtol=0, atol=1e-15)


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_every_length_agrees_with_the_loop(n_samples):
    expected = log_mel_loop(noise(n_samples, n_samples))
    for kind in KINDS:
        features = as_array(log_mel(kind(noise(n_samples, n_samples)), normalise=False))
        assert features.shape == (n_samples // 160 + 1, 64)
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SIGNALS)
def test_synthetic_signals_agree_with_the_loop(name):
    expected = log_mel_loop(SIGNALS[name])
    for kind in KINDS:
        features = as_array(log_mel(kind(SIGNALS[name]), normalise=False))
        np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5)


@pytest.mark.real_data
@pytest.mark.parametrize("clip", CLIPS)
def test_real_clips_agree_with_the_loop(real_data, clip):
    samples, _ = read_audio(real_data / clip)
    samples = samples[: 16000 * 4]
    raw = log_mel_loop(samples)
    for kind in KINDS:
        features = as_array(log_mel(kind(samples), normalise=False))
        np.testing.assert_allclose(features, raw, rtol=0, atol=1e-5)
        features = as_array(log_mel(kind(samples)))
        np.testing.assert_allclose(features, normalise_loop(raw), rtol=0, atol=5e-5)


@pytest.mark.real_data
def test_single_precision_transform_would_not_do(real_data):
    """Why spectra are double: the same recipe in float32 misses the 5e-4 that is promised."""
    samples, _ = read_audio(real_data / CLIPS[0])
    scaled = samples[: 16000 * 4] * np.float32(32768)
    emphasised = scaled.copy()
    emphasised[1:] -= np.float32(0.97) * scaled[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, 400)[::160].copy()
    n_frames = len(frames)
    frames[1:, 0] = scaled[160::160][: n_frames - 1]
    frames[1:, 0] -= np.float32(0.97) * scaled[399::160][: n_frames - 1]
    spectrum = scipy.fft.rfft(frames * np.hamming(400).astype(np.float32), 1024)
    assert spectrum.dtype == np.complex64
    energies = np.abs(spectrum.astype(complex)) ** 2 @ FILTERS
    single = np.log(np.maximum(energies, 1e-5))
    double = log_mel(samples[: 16000 * 4], normalise=False)[:n_frames]
    assert np.abs(single - double).max() > 5e-4
    np.testing.assert_allclose(single, double, atol=1e-2)  # but it is the same recipe


def test_a_list_gives_what_each_clip_gives_alone():
    clips = [noise(n, n) for n in LENGTHS]
    for kind in KINDS:
        together = log_mel([kind(clip) for clip in clips])
        assert isinstance(together, list)
        for clip, features in zip(clips, together, strict=True):
            np.testing.assert_allclose(as_array(features), log_mel(clip), rtol=0, atol=2e-5)


@pytest.mark.parametrize("config", [LogMelConfig(), CLEAN_LOG_MEL])
def test_batches_and_arrays_agree(config):
    clips = np.stack([noise(5000, seed) for seed in range(6)])
    alone = np.stack([log_mel(clip, normalise=False, config=config) for clip in clips])
    for kind in (torch.from_numpy, with_gradient):
        batch = log_mel(kind(clips).reshape(2, 3, 5000), normalise=False, config=config)
        assert batch.shape == (2, 3, 32, 64)
        np.testing.assert_allclose(as_array(batch).reshape(6, 32, 64), alone, rtol=0, atol=1e-5)


def test_clean_recipe_is_plain_pre_emphasis_and_padding():
    samples = noise(2000)
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1].astype(float)) * 32768
    padded = np.concatenate([emphasised, np.zeros(600)])
    # Where the clip ends, pre-emphasis still steps down to the first padded zero.
    padded[2000] = -0.97 * float(samples[-1]) * 32768
    frames = np.stack([padded[160 * i : 160 * i + 400] for i in range(13)])
    energies = np.abs(np.fft.rfft(frames * np.hamming(400), 1024)) ** 2 @ FILTERS
    features = log_mel(samples, normalise=False, config=CLEAN_LOG_MEL)
    np.testing.assert_allclose(features, np.log(np.maximum(energies, 1e-5)), rtol=0, atol=1e-5)
    # The two recipes differ in nearly every frame, but little.
    released = log_mel(samples, normalise=False)
    assert 1e-3 < np.abs(features[:10] - released[:10]).mean() < 0.1


def test_a_tone_lights_its_band():
    for number in range(0, 64, 7):
        centre_hz = mel_filters()[:, number].argmax() * 16000 / 1024
        features = log_mel(tone(centre_hz), normalise=False)[5:-5]
        assert abs(int(features.mean(axis=0).argmax()) - number) <= (1 if number < 7 else 0)


def test_gain_only_adds_a_constant():
    quiet, loud = (log_mel(noise(8000) * gain, normalise=False) for gain in np.float32([0.1, 0.4]))
    np.testing.assert_allclose(loud - quiet, 2 * np.log(4.0), atol=2e-5)
    np.testing.assert_allclose(normalise_log_mel(loud), normalise_log_mel(quiet), atol=2e-4)


def test_a_shift_by_one_hop_shifts_the_frames():
    samples = noise(8000)
    whole = slice(1, (8000 - 160 - 400) // 160)  # the first frame has no frame before it
    shifted = log_mel(samples[160:], normalise=False)
    np.testing.assert_allclose(
        shifted[whole], log_mel(samples, normalise=False)[1:][whole], atol=1e-5
    )


def test_normalised_bands_have_mean_0_and_population_sd_1():
    for kind in KINDS:
        features = as_array(log_mel(kind(synthetic_speech(1.0)))).astype(float)
        np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-6)


def test_silence_gives_zeros_not_nan():
    for kind in KINDS:
        assert not as_array(log_mel(kind(np.zeros(4000, np.float32)))).any()


def test_calls_leave_no_state_behind():
    first = log_mel(noise(4000, 1), normalise=False)
    log_mel(np.ones(999, np.float32), normalise=False)
    np.testing.assert_array_equal(log_mel(noise(4000, 1), normalise=False), first)


def test_given_samples_are_not_written_to():
    array, tensor = noise(4000), torch.from_numpy(noise(4000).copy())
    log_mel(array), log_mel(tensor)
    np.testing.assert_array_equal(array, noise(4000))
    np.testing.assert_array_equal(tensor.numpy(), noise(4000))


def test_gradients_flow_through_the_tensor_path():
    samples = torch.from_numpy(noise(1000)).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: log_mel(x, normalise=True)[..., ::13], samples[:610], eps=1e-4, atol=1e-3
    )
    for constant, call in ((torch.zeros(1000), log_mel), (torch.ones(9, 64), normalise_log_mel)):
        call(constant.requires_grad_()).sum().backward()
        assert torch.isfinite(constant.grad).all()


def test_tensor_kinds_are_kept():
    assert log_mel(torch.zeros(500, dtype=torch.float64)).dtype == torch.float64
    assert log_mel(torch.zeros(500, dtype=torch.float16)).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = log_mel(with_gradient(noise(4000)), normalise=False)
    np.testing.assert_allclose(as_array(inside), log_mel(noise(4000), normalise=False), atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_gpu_agrees():
    clips = [torch.from_numpy(noise(n, n)).cuda() for n in LENGTHS]
    for clip, features in zip(clips, log_mel(clips, normalise=False), strict=True):
        assert features.is_cuda
        np.testing.assert_allclose(
            features.cpu(), log_mel(clip.cpu().numpy(), normalise=False), atol=1e-5
        )


def test_int16_samples_are_taken_at_their_scale():
    pcm = (noise(4000) * 32767).astype(np.int16)
    np.testing.assert_array_equal(log_mel(pcm), log_mel(pcm.astype(np.float32) / 32768))


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (np.zeros((2, 100)), ShapeError, r"\(2, 100\), expected \(sample,\). Average the channels"),
        (np.zeros(0), InputError, "samples holds no samples"),
        (np.array([0.0, np.nan]), InputError, "NaN or infinite"),
        (np.array([0.0, 12345.0]), InputError, "reaches 1.234e.04.*divide samples"),
        (np.zeros(10, np.int64), InputError, "type int64.*int16"),
        (torch.zeros(0), InputError, "hold no samples"),
        (torch.zeros(5, dtype=torch.int32), InputError, "type torch.int32"),
        (torch.tensor(0.0), ShapeError, r"expected \(..., sample\)"),
        ([torch.zeros(2, 100)], ShapeError, r"\(2, 100\), expected \(sample,\)"),
    ],
)
def test_refuses_what_is_not_a_clip(samples, error, message):
    with pytest.raises(error, match=message):
        log_mel(samples)


def test_refuses_another_rate():
    with pytest.raises(InputError, match=r"44100 Hz, expected 16000.*resample"):
        log_mel(np.zeros(100), 44100)


@pytest.mark.parametrize(
    "setting",
    [
        {"hop_length": 0},
        {"win_length": 2000},
        {"fmax": 9000.0},
        {"floor": 0.0},
        {"tail": "wrap"},
        {"sample_before": "none"},
        {"n_mels": 0},
    ],
)
def test_refuses_impossible_settings(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        LogMelConfig(**setting)


def test_refuses_filters_narrower_than_a_bin():
    with pytest.raises(InputError, match="narrower than a bin"):
        log_mel(np.zeros(1000), config=LogMelConfig(n_mels=400))


def test_repeat_to_repeats_and_never_crops():
    features = log_mel(noise(8000))  # 51 frames
    repeated = repeat_to(features, 120)
    np.testing.assert_array_equal(repeated, np.concatenate([features] * 3)[:120])
    assert repeat_to(features, 50) is features
    assert repeat_to(features, 51) is features
    batch = torch.from_numpy(features)[None]
    np.testing.assert_array_equal(repeat_to(batch, 120)[0].numpy(), repeated)
    with pytest.raises(InputError, match="no frames"):
        repeat_to(np.zeros((0, 64)))


def test_files_written_as_16_bit_are_taken_exactly(tmp_path):
    pcm = np.round(noise(16000) * 30000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", pcm, 16000)
    samples, _ = read_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(log_mel(samples), log_mel(pcm))
