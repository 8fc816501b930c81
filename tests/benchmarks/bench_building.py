"""Building data sets: measuring recordings, and drawing training crops, beside plain loops.

The peer for recordings is what a script would do: librosa loads each file, drops what is 40 dB
below the peak, makes a normalised log-mel matrix and saves it as ``.npy``. Ours also takes a
checksum, judges quality and runs the WebRTC detector. The peer for crops loads each utterance's
own ``.npy`` whole and cuts. All files are in the page cache, where reading costs least.
"""

import atexit
import sys
import tempfile
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import soundfile
import torch
from bench_voices import librosa_front_end
from harness import Row

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from voices_literal import synthetic_speech

from v2mlib.building.voices import measure_voices
from v2mlib.datasets.features import LogMelStore
from v2mlib.datasets.shards import map_frames, write_frames
from v2mlib.datasets.torch_datasets import CropConfig, ResidentUtterances

CLIPS, SECONDS = 16, 8.2
UTTERANCES, BATCH, CROP = 400, 64, CropConfig(3.0, 8.0)


def rows():
    """Rows on 16 clips of 8.2 s, and on crops of 400 utterances of 8 to 30 s."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)  # the rows are run after this function has ended
    files = Path(folder.name)
    yield _voices(files)
    yield _crops(files)


def _voices(files):
    paths = [files / f"{number}.wav" for number in range(CLIPS)]
    for number, path in enumerate(paths):
        soundfile.write(path, synthetic_speech(SECONDS, seed=number), 16_000)
    job = {"file": str(files / "chunk.npz"), "paths": [str(path) for path in paths]}

    def plain():
        for path in paths:
            np.save(path.with_suffix(".npy"), librosa_front_end(path))

    assert librosa.get_duration(path=paths[0]) == SECONDS
    return Row(
        "recordings into the store, 16 of 8.2 s",
        lambda: measure_voices(job),
        plain,
        "librosa and np.save",
        CLIPS * SECONDS / 3600 * 60,
        "h audio/min",
    )


def _crops(files):
    rng = np.random.default_rng(0)
    lengths = rng.integers(800, 3000, UTTERANCES)
    paths = [files / f"utterance{number}.npy" for number in range(UTTERANCES)]
    for path, length in zip(paths, lengths, strict=True):
        np.save(path, rng.standard_normal((length, 64), np.float32))
    write_frames(files / "log_mel.npy", map(np.load, paths), lengths.sum())
    index = pd.DataFrame({"identity": [f"id{number % 50}" for number in range(UTTERANCES)]})
    index = index.assign(utterance=[f"{number:05d}" for number in range(UTTERANCES)], split="train")
    index = index.assign(n_frames=lengths, start=np.cumsum(lengths) - lengths)
    store = LogMelStore(map_frames(files / "log_mel.npy"), index)
    mapped = ResidentUtterances(store, index["identity"].unique(), resident=False)

    def plain():
        n_frames = int(rng.integers(300, 801))
        crops = []
        for number in rng.integers(0, UTTERANCES, BATCH):
            whole = np.load(paths[number])
            first = rng.integers(0, len(whole) - n_frames + 1)
            crops.append(torch.from_numpy(whole[first : first + n_frames]))
        return torch.stack(crops)

    steps = iter(range(10**9))
    return Row(
        "64 random crops of 3 to 8 s from disk",
        lambda: mapped.sample(next(steps), BATCH, crop=CROP),
        plain,
        "np.load of whole files",
        BATCH,
        "crop",
    )
