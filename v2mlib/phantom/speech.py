"""One utterance: a base voice's sentences moved to a speaker's anatomy, in a session, in a room.

Pitch, formants and rate are moved as Praat's *Change gender* does it: the samples are played at
another rate (which scales the formants), then overlap-add restores duration and sets pitch. Its
parts are called one by one, as the base corpus holds the pulses already: 4 ms instead of 33 ms
for 4 s of speech.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.phantom.attributes import session_noise_ratio, to_physical
from v2mlib.phantom.corpus import BASE_RATE, BASE_VOICES, base_corpus

#: Rate of every recording.
SAMPLE_RATE = 16_000
#: Where overlap-add is accurate (spectral warp within .005, pitch within 2 Hz).
_FORMANT_RATIOS = (0.75, 1.35)
_PITCHES_HZ = (60.0, 400.0)
_GAP_S = 0.15  # silence between two sentences
_LONGEST_PERIOD_S = 0.02
_RUMBLE = np.concatenate([[1.0], 0.4 * 0.9 ** np.arange(24)])  # noise that is stronger below 1 kHz


@dataclasses.dataclass(frozen=True)
class SpeechConfig:
    """What a recording is like, apart from the speaker.

    Attributes
    ----------
    duration_s : float, s
        Length of every clip.
    snr_low_db, snr_high_db : float, dB
        Range of the signal-to-noise ratio.
    tilt_sd_db : float, dB per octave
        Spread of the channel's spectral tilt about 1 kHz.
    reverberation_low_s, reverberation_high_s : float, s
        Range of the time in which the room's sound falls by 60 dB.
    direct_low_db, direct_high_db : float, dB
        Range of the direct sound's level over the room's.
    liveliness_sd : float
        Spread of the factor on the melody's excursions (log scale).
    level_db : float, dB re full scale
        Root mean square of the speech; varies by 3 dB.
    """

    duration_s: float = 4.0
    snr_low_db: float = 20.0
    snr_high_db: float = 35.0
    tilt_sd_db: float = 1.0
    reverberation_low_s: float = 0.1
    reverberation_high_s: float = 0.35
    direct_low_db: float = 6.0
    direct_high_db: float = 16.0
    liveliness_sd: float = 0.15
    level_db: float = -26.0

    def __post_init__(self):
        """Refuse clips without room for speech."""
        if not 1.0 <= self.duration_s <= 20.0:
            raise InputError(f"duration_s={self.duration_s}", "is not possible", "choose 1 to 20 s")

    @property
    def n_samples(self):
        """Samples per clip.

        Returns
        -------
        int
            At 16 kHz.
        """
        return round(self.duration_s * SAMPLE_RATE)


class Utterance(NamedTuple):
    """What is said and how, before any sound is made.

    Attributes
    ----------
    base_voice : str
        The identity's base voice.
    sentences : tuple of int
        Sentence numbers, in order.
    pitch_hz : float, Hz
        Median pitch in this session.
    vocal_tract_length_mm : float, mm
        As it sounds in this session.
    speaking_rate_hz : float, syllables/s
        In this session.
    breathiness_db : float, dB
        Aspiration noise relative to the voice in this session.
    liveliness : float
        Factor on the melody's excursions.
    level_db, snr_db, tilt_db, reverberation_s, direct_db : float
        The recording, see `SpeechConfig`.
    noise_seed : int
        Of breath, room, noise and Praat's overlap-add.
    """

    base_voice: str
    sentences: tuple
    pitch_hz: float
    vocal_tract_length_mm: float
    speaking_rate_hz: float
    breathiness_db: float
    liveliness: float
    level_db: float
    snr_db: float
    tilt_db: float
    reverberation_s: float
    direct_db: float
    noise_seed: int


def plan_utterance(voice, male, base_voice, rng, config):
    """Draw one session of a speaker.

    Parameters
    ----------
    voice : ndarray, (voice=4,)
        The speaker's standardised voice attributes.
    male : bool
        Sex of the voice.
    base_voice : str
        The speaker's base voice.
    rng : numpy.random.Generator
        The utterance's own.
    config : SpeechConfig
        The recording.

    Returns
    -------
    Utterance
        Everything but the sound.
    """
    session = np.asarray(voice) + session_noise_ratio() * rng.standard_normal(4)
    pitch, length, rate, breathiness = to_physical(session, np.bool_(male))
    return Utterance(
        base_voice=base_voice,
        sentences=tuple(int(i) for i in rng.permutation(base_corpus().n_sentences)[:8]),
        pitch_hz=float(np.clip(pitch, *_PITCHES_HZ)),
        vocal_tract_length_mm=float(length),
        speaking_rate_hz=float(rate),
        breathiness_db=float(breathiness),
        liveliness=float(np.exp(config.liveliness_sd * rng.standard_normal())),
        level_db=float(config.level_db + rng.uniform(-3, 3)),
        snr_db=float(rng.uniform(config.snr_low_db, config.snr_high_db)),
        tilt_db=float(config.tilt_sd_db * rng.standard_normal()),
        reverberation_s=float(rng.uniform(config.reverberation_low_s, config.reverberation_high_s)),
        direct_db=float(rng.uniform(config.direct_low_db, config.direct_high_db)),
        noise_seed=int(rng.integers(1, 2**31 - 1)),
    )


def synthesise(utterance, config):
    """Speak a planned utterance.

    Parameters
    ----------
    utterance : Utterance
        The plan.
    config : SpeechConfig
        The recording; as in the plan.

    Returns
    -------
    ndarray of float32, (sample,)
        16 kHz mono in [-1, 1].
    """
    rng = np.random.default_rng(utterance.noise_seed)
    dry = move(utterance, config)
    speech = dry * (10 ** (utterance.level_db / 20) / _rms(dry))
    speech = _in_room(speech + _breath(speech, utterance.breathiness_db, rng), utterance, rng)
    noise = np.convolve(rng.standard_normal(len(speech)), _RUMBLE, mode="same")
    noise *= _rms(speech) / _rms(noise) * 10 ** (-utterance.snr_db / 20)
    sound = speech + noise
    return (sound / max(1.0, np.abs(sound).max() / 0.99)).astype(np.float32)


def utterance_phones(utterance, config):
    """When each phone is heard.

    Parameters
    ----------
    utterance : Utterance
        The plan.
    config : SpeechConfig
        The recording; as in the plan.

    Returns
    -------
    pandas.DataFrame
        `start_s`, `end_s`, `phone` (IPA; empty for silence), until the clip ends.
    """
    corpus = base_corpus()
    stretch = stretch_factor(utterance)
    start, parts = 0.0, []
    for number in utterance.sentences:
        if start * stretch >= config.duration_s:
            break
        rows = corpus.phones
        rows = rows[(rows["voice"] == utterance.base_voice) & (rows["sentence"] == number)]
        parts.append(rows[["start_s", "end_s"]].add(start).mul(stretch).assign(phone=rows["phone"]))
        start += len(corpus.sentence(utterance.base_voice, number).samples) / BASE_RATE + _GAP_S
    phones = pd.concat(parts, ignore_index=True)
    phones["end_s"] = phones["end_s"].clip(upper=config.duration_s)
    return phones[phones["start_s"] < config.duration_s].reset_index(drop=True)


def stretch_factor(utterance):
    """Find the factor on durations from the base voice's rate to the speaker's.

    Parameters
    ----------
    utterance : Utterance
        The plan.

    Returns
    -------
    float
        Above 1 for slow speakers.
    """
    return base_corpus().voices[utterance.base_voice]["rate_hz"] / utterance.speaking_rate_hz


def formant_ratio(utterance):
    """Find the factor on formants from the base voice's vocal tract to the speaker's.

    Parameters
    ----------
    utterance : Utterance
        The plan.

    Returns
    -------
    float
        Above 1 for a shorter vocal tract; cut where overlap-add is no longer accurate.
    """
    lengths = BASE_VOICES["m"] | BASE_VOICES["f"]
    ratio = lengths[utterance.base_voice] / utterance.vocal_tract_length_mm
    return float(np.clip(ratio, *_FORMANT_RATIOS))


def excerpt(utterance, needed_s):
    """Cut base samples and pulses from as many sentences as are needed.

    Parameters
    ----------
    utterance : Utterance
        The plan.
    needed_s : float, s
        Length at the base voice's rate.

    Returns
    -------
    samples : ndarray, (sample,)
        At `BASE_RATE`, in [-1, 1].
    pulses : ndarray, (pulse,), s
        Glottal pulses.
    """
    corpus, samples, pulses, start = base_corpus(), [], [], 0.0
    for number in utterance.sentences:
        sentence = corpus.sentence(utterance.base_voice, number)
        pulses.append(sentence.pulses + start)
        samples += [sentence.samples, np.zeros(round(_GAP_S * BASE_RATE), dtype=np.int16)]
        start += (len(sentence.samples) + len(samples[-1])) / BASE_RATE
        if start >= needed_s:
            break
    pulses = np.concatenate(pulses)
    samples = np.concatenate(samples)[: int(np.ceil(needed_s * BASE_RATE))] / 32768
    return samples, pulses[pulses < needed_s]


def move(utterance, config):
    """Give the base voice the session's pitch, vocal-tract length and rate.

    Parameters
    ----------
    utterance : Utterance
        The plan.
    config : SpeechConfig
        The recording.

    Returns
    -------
    ndarray, (sample,)
        16 kHz mono, dry.
    """
    import parselmouth
    import soxr
    from parselmouth.praat import call, run

    ratio, stretch = formant_ratio(utterance), stretch_factor(utterance)
    samples, pulses = excerpt(utterance, (config.duration_s + 0.1) / stretch)
    # Played `ratio` times as fast: formants move by the ratio, and so do all times.
    sound = parselmouth.Sound(samples, BASE_RATE * ratio)
    points = call("Create empty PointProcess", "pulses", 0, sound.duration)
    call(points, "Add points", pulses / ratio)
    melody = call(points, "To PitchTier", _LONGEST_PERIOD_S)
    base_pitch = base_corpus().voices[utterance.base_voice]["pitch_hz"] * ratio
    log_base, log_pitch = np.log([base_pitch, utterance.pitch_hz]).tolist()
    call(melody, "Formula", f"exp({log_pitch!r} + {utterance.liveliness!r} * "
                            f"(ln(self) - {log_base!r}))")  # fmt: skip
    durations = call("Create DurationTier", "durations", 0, sound.duration)
    call(durations, "Add point", 0.0, stretch * ratio)
    # Overlap-add deals noise into voiceless parts from Praat's global generator.
    run(f"random_initializeWithSeedUnsafelyButPredictably: {utterance.noise_seed}")
    try:
        moved = call([sound, points, melody, durations], "To Sound", _LONGEST_PERIOD_S)
    finally:
        run("random_initializeSafelyAndUnpredictably()")
    resampled = soxr.resample(moved.values[0], moved.sampling_frequency, SAMPLE_RATE, "HQ")
    clip = np.zeros(config.n_samples)
    clip[: len(resampled)] = resampled[: config.n_samples]
    return clip


def _breath(speech, breathiness_db, rng):
    """Aspiration noise that follows the voice, rising by 6 dB per octave."""
    noise = np.diff(rng.standard_normal(len(speech) + 1))
    noise *= np.sqrt(_moving_average(speech**2, 320))
    return noise * (_rms(speech) / _rms(noise) * 10 ** (breathiness_db / 20))


def _in_room(speech, utterance, rng):
    """Small room and tilted channel, as one filter."""
    length = round(utterance.reverberation_s * SAMPLE_RATE)
    decay = 10 ** (-3 * np.arange(length) / length)
    tail = decay * rng.standard_normal(length)
    tail[: round(0.003 * SAMPLE_RATE)] = 0  # nothing before the first reflection
    tail *= 10 ** (-utterance.direct_db / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    n_fft = 2 ** int(np.ceil(np.log2(len(speech) + length)))
    hertz = np.maximum(np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE), 60.0)
    channel = 10 ** (utterance.tilt_db * np.log2(hertz / 1000) / 20)
    spectrum = np.fft.rfft(speech, n_fft) * np.fft.rfft(tail, n_fft) * channel
    filtered = np.fft.irfft(spectrum, n_fft)[: len(speech)]
    return filtered * (_rms(speech) / _rms(filtered))


def _moving_average(power, width):
    """Mean of a non-negative signal over a window about each sample, shorter at the ends."""
    total = np.concatenate([np.zeros(1), np.cumsum(power)])
    here, half = np.arange(len(power)), width // 2
    ends, starts = np.minimum(here + half, len(power)), np.maximum(here - half, 0)
    return np.maximum(total[ends] - total[starts], 0) / (ends - starts)


def _rms(signal):
    return np.sqrt(np.mean(signal**2)) + 1e-12
