"""The released front end written out literally, frame by frame in float64: slow, for comparison.

Nothing here is shared with the package; the recipe is read off its description alone.
"""

import math

import numpy as np
import webrtcvad


def mel_filter_matrix():
    """Triangles between FFT bins, one weight at a time, (513, 64)."""

    def to_mel(hz):
        return 2595.0 * math.log10(1.0 + hz / 700.0)

    def to_hz(mel):
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)

    bin_hz = 16000 / 1024
    step = (to_mel(7200.0) - to_mel(20.0)) / 65
    edges = [round(to_hz(to_mel(20.0) + step * i) / bin_hz) for i in range(66)]
    filters = np.zeros((513, 64))
    for number in range(64):
        left, centre, right = edges[number : number + 3]
        height = 2.0 / ((right - left) * bin_hz)
        for k in range(left + 1, right):
            if k < centre:
                filters[k, number] = height * (k - left) / (centre - left)
            elif k == centre:
                filters[k, number] = height
            else:
                filters[k, number] = height * (right - k) / (right - centre)
    return filters


FILTERS = mel_filter_matrix()
WINDOW = np.array([0.54 - 0.46 * math.cos(2 * math.pi * i / 399) for i in range(400)])


def log_mel_loop(samples):
    """Un-normalised log-mel matrix (frame, 64) of samples in [-1, 1]."""
    signal = np.asarray(samples, dtype=np.float64) * 32768.0
    rows, prior = [], 0.0
    for number in range(int(len(signal) / 160 + 1)):
        frame = list(signal[number * 160 : number * 160 + 400])
        if not frame:
            frame = [0.0] * 400
        available = len(frame)
        while len(frame) < 400:
            frame.append(frame[len(frame) - available])
        emphasised = []
        for sample in frame:
            emphasised.append(sample - 0.97 * prior)
            prior = sample
        spectrum = np.fft.rfft(np.array(emphasised) * WINDOW, 1024)
        power = spectrum.real**2 + spectrum.imag**2
        rows.append(np.log(np.maximum(power @ FILTERS, 1e-5)))
    return np.array(rows)


def normalise_loop(rows):
    """Mean 0 and population standard deviation 1, band by band."""
    columns = []
    for column in np.asarray(rows, dtype=np.float64).T:
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / len(column)
        columns.append((column - mean) / (math.sqrt(variance) + np.finfo(np.float32).eps))
    return np.array(columns).T


def speech_loop(samples):
    """Samples that the detector keeps, as a state machine over 20 ms frames of bytes."""
    pcm = np.clip(np.round(np.asarray(samples, float) * 32768), -32768, 32767).astype("<i2")
    data, detector = pcm.tobytes(), webrtcvad.Vad(2)
    state, waiting, kept, offset = "silence", [], b"", 0
    while offset + 640 < len(data):
        frame = data[offset : offset + 640]
        offset += 640
        waiting = [*waiting, frame][-2:]
        votes = [detector.is_speech(each, 16000) for each in waiting]
        if state == "silence" and votes == [True, True]:
            kept, state, waiting = kept + b"".join(waiting), "speech", []
        elif state == "speech":
            kept += frame
            if votes == [False, False]:
                state, waiting = "silence", []
    return np.frombuffer(kept, dtype="<i2") / 32768


def synthetic_speech(seconds, *, pitch_hz=120.0, seed=0):
    """Harmonics under moving formants, with pauses: enough for the detector to call it speech."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 16000)) / 16000
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * t))) / 16000
    formant = 600 + 200 * np.sin(2 * np.pi * 1.3 * t)
    voice = sum(
        np.exp(-(((k * pitch_hz - formant) / 300) ** 2) / 2) * np.sin(k * phase)
        + 0.3 * np.exp(-(((k * pitch_hz - 2.5 * formant) / 400) ** 2) / 2) * np.sin(k * phase)
        for k in range(1, 30)
    )
    syllables = np.clip(2.0 * np.sin(2 * np.pi * 1.1 * t) + 0.8, 0, 1)
    noise = 0.0005 * rng.standard_normal(t.size)
    return (0.12 * voice * syllables + noise).astype(np.float32)
