"""Base corpus: our own sentences, spoken once by eSpeak's voices inside Praat.

The synthesiser carries state from one sentence into the next (the same text twice in one process
differs in length), so each voice speaks in a fresh process, in a fixed order, and the corpus is
cached under a name that hashes everything it depends on. Pitch pulses are found here, once, too:
what is left per utterance is the overlap-add itself.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
except ImportError:  # Windows has no such locks: there two processes may do the same work
    fcntl = None

import numpy as np
import pandas as pd

from v2mlib import paths
from v2mlib.checks import InputError
from v2mlib.files import sha256
from v2mlib.processes import run_in_fresh_process

#: Sampling rate of the base corpus: at 16 kHz formant ratios below 1 would empty the top bins.
BASE_RATE = 24_000
#: Apparent vocal-tract length of eSpeak's voices in mm: c / (2 dF) with dF fitted to the medians
#: of F1-F4 over the vowels of six sentences (Reby and McComb 2003), Burg formants at a ceiling of
#: 5 dF. Several voices per sex, or the voice itself would tell the sex.
BASE_VOICES = {
    "m": {"Male1": 186.6, "Male2": 176.6, "Male4": 172.7, "Male5": 173.1},
    "f": {"Female1": 163.4, "Female2": 159.6, "Female3": 143.5, "Female5": 156.5},
}
_SETTINGS = {
    "language": "English (America)",
    "words_per_minute": 200,
    "pitch_floor_hz": 60,
    "pitch_ceiling_hz": 400,
    "recipe": 1,
}
_SPEAKER = "v2mlib.phantom.corpus:speak_sentences"
_SENTENCE_COLUMNS = ["voice", "sentence", "text", "duration_s", "pitch_hz", "syllables",
                     "n_samples", "n_pulses"]  # fmt: skip
_PHONE_COLUMNS = ["voice", "sentence", "start_s", "end_s", "phone"]
_VOWEL_SIGNS = set("aeiouæɐɑɒɔəɚɛɜɪʊʌ")


class BaseSentence(NamedTuple):
    """One sentence by one base voice.

    Attributes
    ----------
    samples : ndarray of int16, (sample,)
        At `BASE_RATE`.
    pulses : ndarray, (pulse,), s
        Glottal pulses of the voiced parts.
    """

    samples: np.ndarray
    pulses: np.ndarray


class Corpus(NamedTuple):
    """The base corpus, memory-mapped.

    Attributes
    ----------
    samples : ndarray of int16, (sample,)
        All sentences end to end.
    pulses : ndarray, (pulse,), s
        Pulse times within each sentence, end to end.
    index : dict of (str, int) to tuple of int
        Base voice and sentence number to (first sample, end sample, first pulse, end pulse).
    sentences : pandas.DataFrame
        `voice`, `sentence`, `text`, `duration_s`, `pitch_hz` (median), `syllables`.
    phones : pandas.DataFrame
        `voice`, `sentence`, `start_s`, `end_s`, `phone` (IPA; empty for silence).
    voices : dict of str to dict of str to float
        Per base voice: `pitch_hz` (median), `rate_hz` (syllables per second).
    checksum : str
        SHA-256 of the samples, recorded with every world made from them.
    """

    samples: np.ndarray
    pulses: np.ndarray
    index: dict
    sentences: pd.DataFrame
    phones: pd.DataFrame
    voices: dict
    checksum: str

    @property
    def n_sentences(self):
        """Number of different sentences.

        Returns
        -------
        int
            Each is spoken by every base voice.
        """
        return len(self.index) // len(self.voices)

    def sentence(self, voice, number):
        """Look one sentence up.

        Parameters
        ----------
        voice : str
            Base voice.
        number : int
            Sentence number.

        Returns
        -------
        BaseSentence
            Its samples and pulses.
        """
        first, end, first_pulse, end_pulse = self.index[voice, number]
        return BaseSentence(self.samples[first:end], self.pulses[first_pulse:end_pulse])


def base_corpus():
    """Load the base corpus, making it on the first call on a machine (some ten seconds).

    Returns
    -------
    Corpus
        Memory-mapped from the cache folder.

    Raises
    ------
    InputError
        If praat-parselmouth is missing or the cache folder cannot be written.
    V2MError
        If the process that makes it dies.
    """
    return _cached(str(paths.cache_dir()))


@functools.lru_cache(maxsize=1)
def _cached(cache_folder):
    """Load once per cache folder."""
    return _load(ensure_corpus())


def ensure_corpus():
    """Make the base corpus if this machine has none yet.

    Returns
    -------
    pathlib.Path
        Its folder in the cache.

    Raises
    ------
    InputError
        If praat-parselmouth is missing or the cache folder cannot be written.
    V2MError
        If the process that makes it dies.
    """
    try:
        version = importlib.metadata.version("praat-parselmouth")
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            "praat-parselmouth", "is not installed", "pip install 'v2mlib[phantom]'"
        ) from None
    recipe = json.dumps([_SETTINGS, BASE_RATE, BASE_VOICES, _texts(), version], sort_keys=True)
    name = f"phantom_speech_{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    folder = paths.cache_dir() / name
    if folder.exists():
        return folder
    partial = folder.with_name(f".{name}.{os.getpid()}.partial")
    try:
        with _turn(folder.with_name(f".{name}.lock")):
            if folder.exists():  # made while this process waited
                return folder
            partial.mkdir(parents=True)
            _speak_all(partial)
            os.rename(partial, folder)
    except OSError as error:
        raise InputError(
            folder, f"cannot be written ({error.strerror})", "free space, or set V2M_CACHE"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _turn(path):
    """Let one process at a time make the corpus; the others wait."""
    with open(path, "w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _speak_all(folder):
    """One fresh process per voice, then everything in one file, voice after voice."""
    names = [name for voices in BASE_VOICES.values() for name in voices]
    arguments = [(name, str(folder)) for name in names]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(functools.partial(run_in_fresh_process, _SPEAKER), arguments))
    for part in ("samples", "pulses"):
        pieces = [np.load(folder / f"{name}.{part}.npy", allow_pickle=False) for name in names]
        np.save(folder / f"{part}.npy", np.concatenate(pieces))
        for name in names:
            (folder / f"{name}.{part}.npy").unlink()
    (folder / "samples.sha256").write_text(sha256(folder / "samples.npy"))


def _texts():
    return paths.shipped("phantom_sentences.txt").read_text(encoding="utf-8").split("\n")[:-1]


def speak_sentences(argument):
    """Speak every sentence with one voice; to be run in a process of its own.

    Parameters
    ----------
    argument : tuple of (str, path)
        Base voice, and the folder (which exists) to write to.
    """
    from parselmouth.praat import call

    voice, folder = argument[0], Path(argument[1])
    samples, pulses, rows, phones = [], [], [], []
    speaker = call("Create SpeechSynthesizer", _SETTINGS["language"], voice)
    call(speaker, "Speech output settings", BASE_RATE, 0.01, 1.0, 1.0,
         _SETTINGS["words_per_minute"], "IPA")  # fmt: skip
    for number, text in enumerate(_texts()):
        grid, sound = call(speaker, "To Sound", text, "yes")
        pitch = sound.to_pitch(
            pitch_floor=float(_SETTINGS["pitch_floor_hz"]),
            pitch_ceiling=float(_SETTINGS["pitch_ceiling_hz"]),
        )
        points = call([sound, pitch], "To PointProcess (cc)")
        hertz = pitch.selected_array["frequency"]
        heard = _phones(grid, voice, number)
        n_syllables = sum(bool(_VOWEL_SIGNS & set(phone[4])) for phone in heard)
        samples.append(np.round(np.clip(sound.values[0], -1, 1) * 32767).astype(np.int16))
        pulses.append(call(points, "To Matrix").values[0])
        rows.append((voice, number, text, sound.duration, np.median(hertz[hertz > 0]),
                     n_syllables, len(samples[-1]), len(pulses[-1])))  # fmt: skip
        phones += heard
    np.save(folder / f"{voice}.samples.npy", np.concatenate(samples))
    np.save(folder / f"{voice}.pulses.npy", np.concatenate(pulses))
    pd.DataFrame(rows, columns=_SENTENCE_COLUMNS).to_parquet(folder / f"{voice}.sentences.parquet")
    pd.DataFrame(phones, columns=_PHONE_COLUMNS).to_parquet(folder / f"{voice}.phones.parquet")


def _phones(grid, voice, number):
    """Rows of the phoneme tier; silence has an empty label (Praat lists it as a question mark)."""
    from parselmouth.praat import call

    tier = call(grid, "Extract one tier", 4)  # sentence, clause, word, phoneme
    listing = call(tier, "List", False, 9, False, True).strip().split("\n")[1:]
    cells = [line.split("\t") for line in listing]
    return [
        (voice, number, float(start), float(end), label.replace("?", ""))
        for start, label, end in cells
    ]


def _load(folder):
    names = [name for voices in BASE_VOICES.values() for name in voices]
    try:
        samples = np.load(folder / "samples.npy", mmap_mode="r", allow_pickle=False)
        pulses = np.load(folder / "pulses.npy", allow_pickle=False)
        sentences = _together(folder, names, "sentences")
        phones = _together(folder, names, "phones")
        checksum = (folder / "samples.sha256").read_text()
    except (OSError, ValueError) as error:
        raise InputError(
            folder, f"is damaged ({type(error).__name__})", "delete it; it is made again"
        ) from error
    ends = sentences[["n_samples", "n_pulses"]].cumsum().to_numpy()
    starts = ends - sentences[["n_samples", "n_pulses"]].to_numpy()
    index = {
        (voice, int(number)): (int(start[0]), int(end[0]), int(start[1]), int(end[1]))
        for voice, number, start, end in zip(
            sentences["voice"], sentences["sentence"], starts, ends, strict=True
        )
    }
    voices = {
        voice: {
            "pitch_hz": float(np.median(rows["pitch_hz"])),
            "rate_hz": float(rows["syllables"].sum() / rows["duration_s"].sum()),
        }
        for voice, rows in sentences.groupby("voice", sort=False)
    }
    return Corpus(samples, pulses, index, sentences, phones, voices, checksum)


def _together(folder, names, part):
    return pd.concat(
        [pd.read_parquet(folder / f"{name}.{part}.parquet") for name in names], ignore_index=True
    )
