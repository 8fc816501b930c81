"""Voices: log-mel, activity detector and the whole front end beside librosa and literal loops.

librosa gets the same sizes (1,024-point transform, 400-sample Hamming window, hop 160, 64 filters
from 20 to 7,200 Hz, logarithm, normalisation). It pre-emphasises not at all and works in single
precision; ours in double up to the power spectrum. librosa's split by level stands in for an
activity detector, which it lacks.
"""

import atexit
import sys
import tempfile
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from harness import Row

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from voices_literal import log_mel_loop, normalise_loop, speech_loop, synthetic_speech

from v2mlib.voices import front_end, log_mel, read_audio, voice_activity

SECONDS = 4.0
MEL = {
    "sr": 16000,
    "n_fft": 1024,
    "hop_length": 160,
    "win_length": 400,
    "window": "hamming",
    "center": False,
    "n_mels": 64,
    "fmin": 20,
    "fmax": 7200,
    "htk": True,
}


def librosa_log_mel(samples):
    """Normalised log-mel by librosa."""
    features = np.log(np.maximum(librosa.feature.melspectrogram(y=samples, **MEL), 1e-9)).T
    return (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-7)


def librosa_front_end(path):
    """Load, drop what is 40 dB below the peak, log-mel: all by librosa."""
    samples, _ = librosa.load(path, sr=16000)
    spoken = librosa.effects.split(samples, top_db=40)
    return librosa_log_mel(np.concatenate([samples[a:b] for a, b in spoken]))


def literal_front_end(path):
    """The released steps, frame by frame."""
    samples, _ = soundfile.read(path)
    return normalise_loop(log_mel_loop(speech_loop(samples)))


def rows():
    """Rows on one 4 s clip, on its 48 kHz stereo version, and on a batch of 32."""
    samples = synthetic_speech(SECONDS)
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)  # the rows are run after this function has ended
    files = Path(folder.name)
    plain, stereo = files / "plain.wav", files / "stereo.wav"
    soundfile.write(plain, samples, 16000)
    soundfile.write(stereo, np.stack([samples.repeat(3)] * 2, axis=1), 48000)
    batch = torch.from_numpy(np.stack([samples] * 32))
    unit = "s of audio"
    yield Row(
        "log-mel, 4 s",
        lambda: log_mel(samples),
        lambda: librosa_log_mel(samples),
        "librosa",
        SECONDS,
        unit,
    )
    yield Row(
        "log-mel, 4 s",
        lambda: log_mel(samples),
        lambda: librosa_log_mel(samples.astype(np.float64)),
        "librosa, float64",
        SECONDS,
        unit,
    )
    yield Row(
        "log-mel, 4 s",
        lambda: log_mel(samples),
        lambda: normalise_loop(log_mel_loop(samples)),
        "literal loop",
        SECONDS,
        unit,
    )
    yield Row(
        "log-mel, 32 clips of 4 s, tensors",
        lambda: log_mel(batch),
        lambda: [librosa_log_mel(clip) for clip in batch.numpy()],
        "librosa",
        32 * SECONDS,
        unit,
    )
    yield Row(
        "voice activity, 4 s",
        lambda: voice_activity(samples),
        lambda: speech_loop(samples),
        "literal loop",
        SECONDS,
        unit,
    )
    yield Row(
        "voice activity, 4 s",
        lambda: voice_activity(samples),
        lambda: librosa.effects.split(samples, top_db=40),
        "librosa split by level",
        SECONDS,
        unit,
    )
    yield Row(
        "read 48 kHz stereo, 4 s",
        lambda: read_audio(stereo),
        lambda: librosa.load(stereo, sr=16000),
        "librosa",
        SECONDS,
        unit,
    )
    yield Row(
        "front end from file, 4 s",
        lambda: front_end(plain),
        lambda: librosa_front_end(plain),
        "librosa",
        SECONDS,
        unit,
    )
    yield Row(
        "front end from 48 kHz stereo file, 4 s",
        lambda: front_end(stereo),
        lambda: librosa_front_end(stereo),
        "librosa",
        SECONDS,
        unit,
    )
    yield Row(
        "front end from file, 4 s",
        lambda: front_end(plain),
        lambda: literal_front_end(plain),
        "literal loop",
        SECONDS,
        unit,
    )
