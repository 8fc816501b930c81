"""The detector's state machine against a literal one, and its quirks one by one."""

import numpy as np
import pytest
import webrtcvad
from voices_literal import speech_loop, synthetic_speech

from v2mlib.checks import InputError
from v2mlib.voices import ActivityConfig, read_audio, trim_silence, voice_activity


def scripted_detector(monkeypatch, script):
    """Replace the detector by one that answers from a script and remembers what it was asked."""
    asked = []

    class Detector:
        def __init__(self, aggressiveness):
            assert aggressiveness == 2

        def is_speech(self, frame, sample_rate, length):
            assert (len(frame), sample_rate, length) == (640, 16000, 320)
            number = int(np.frombuffer(frame, "<i2")[0])
            asked.append(number)
            answer = script[number]
            return answer.pop(0) if isinstance(answer, list) else answer

    monkeypatch.setattr(webrtcvad, "Vad", Detector)
    return asked


def numbered_frames(n_frames, extra=1):
    """Samples whose frames carry their own number in every sample."""
    numbers = np.repeat(np.arange(n_frames + 1), 320)[: n_frames * 320 + extra]
    return numbers.astype(np.float32) / 32768


@pytest.mark.parametrize("seed", range(4))
def test_synthetic_speech_agrees_with_the_literal_machine(seed):
    samples = synthetic_speech(3.0 + 0.01 * seed, pitch_hz=90 + 40 * seed, seed=seed)
    kept = trim_silence(samples)
    expected = speech_loop(samples)
    assert 0.2 < kept.size / samples.size < 0.95
    np.testing.assert_array_equal(np.round(kept * 32768).clip(-32768, 32767) / 32768, expected)


@pytest.mark.real_data
def test_real_clips_agree_with_the_literal_machine(real_data):
    paths = sorted(real_data.glob("speech_*/**/*.flac"))[::12]
    assert len(paths) > 20
    for path in paths:
        samples, _ = read_audio(path)
        np.testing.assert_array_equal(trim_silence(samples), speech_loop(samples))


def test_two_frames_start_and_two_frames_end_speech(monkeypatch):
    script = [0, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1]
    scripted_detector(monkeypatch, [bool(answer) for answer in script])
    mask = voice_activity(numbered_frames(12))
    # Speech starts with frames 3 and 4, ends with 7 and 8, and starts again with 10 and 11.
    assert np.flatnonzero(mask[::320]).tolist() == [3, 4, 5, 6, 7, 8, 10, 11]


def test_frames_are_judged_again_when_the_ring_is_counted(monkeypatch):
    asked = scripted_detector(monkeypatch, [True, True, True, False, False, True])
    voice_activity(numbered_frames(6))
    # Once on entering, once beside the next frame; the ring is emptied at each change.
    assert asked == [0, 0, 1, 2, 2, 3, 3, 4, 5]


def test_the_second_judgement_counts(monkeypatch):
    # Frame 0 is voiced at first and not when judged again beside frame 1.
    scripted_detector(monkeypatch, [[True, False], [True, True], [True]])
    mask = voice_activity(numbered_frames(3))
    assert np.flatnonzero(mask[::320]).tolist() == [1, 2]


@pytest.mark.parametrize(("extra", "frames"), [(0, 3), (1, 4), (319, 4)])
def test_a_frame_that_ends_at_the_last_sample_is_dropped(monkeypatch, extra, frames):
    asked = scripted_detector(monkeypatch, [True] * 5)
    mask = voice_activity(numbered_frames(4, extra))
    assert max(asked) == frames - 1
    assert mask.sum() == frames * 320
    assert mask.size == 4 * 320 + extra


def test_calls_leave_no_state_behind():
    samples = synthetic_speech(2.0)
    first = voice_activity(samples)
    voice_activity(np.random.default_rng(1).uniform(-1, 1, 50_000))
    np.testing.assert_array_equal(voice_activity(samples), first)


def test_what_is_shorter_than_a_frame_holds_no_speech():
    for n_samples in (1, 319, 320):
        assert not voice_activity(np.full(n_samples, 0.5)).any()


def test_other_rates_and_settings():
    samples = synthetic_speech(3.0)
    mask = voice_activity(samples)
    twice = voice_activity(samples.repeat(2), 32_000)
    assert np.mean(twice[::2] == mask) > 0.9
    gentle = voice_activity(samples, config=ActivityConfig(aggressiveness=0))
    assert gentle.sum() >= mask.sum()


def test_refusals():
    with pytest.raises(InputError, match=r"22050 Hz is unknown to the detector: call resample"):
        voice_activity(np.zeros(100), 22_050)
    with pytest.raises(InputError, match="NaN"):
        trim_silence(np.array([np.nan]))
    for setting in ({"aggressiveness": 4}, {"frame_ms": 25}, {"padding_ms": 10}, {"agreement": 1}):
        with pytest.raises(InputError, match=next(iter(setting))):
            ActivityConfig(**setting)
