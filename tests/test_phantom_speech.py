"""Phantom speech: the planned voice is the one that sounds, the same in every process."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from v2mlib.checks import InputError, V2MError
from v2mlib.phantom import Population, SpeechConfig
from v2mlib.phantom.corpus import BASE_VOICES, base_corpus
from v2mlib.phantom.speech import SAMPLE_RATE, synthesise
from v2mlib.processes import run_in_fresh_process, run_jobs

parselmouth = pytest.importorskip("parselmouth")

#: Hardly any room, channel or noise.
STUDIO = SpeechConfig(
    snr_low_db=60, snr_high_db=60, tilt_sd_db=0, reverberation_low_s=0.01,
    reverberation_high_s=0.01, direct_low_db=60, direct_high_db=60,
)  # fmt: skip


@pytest.fixture(scope="module")
def people():
    return Population(120, seed=6)


def median_pitch(samples):
    pitch = parselmouth.Sound(samples.astype(float), SAMPLE_RATE).to_pitch(
        pitch_floor=60, pitch_ceiling=420
    )
    hertz = pitch.selected_array["frequency"]
    return np.median(hertz[hertz > 0])


def log_spectrum(samples, n_bins=400):
    """Smooth log spectrum on a logarithmic frequency axis from 300 to 6,000 Hz."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    smooth = np.convolve(power, np.hanning(1200) / 600, mode="same")
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    axis = np.geomspace(300, 6000, n_bins)
    return np.log(np.interp(axis, hertz, smooth)), np.log(axis[1] / axis[0])


def test_speech_is_four_seconds_of_bounded_sound(people):
    samples = people.speak("id00003", 1)
    assert samples.dtype == np.float32
    assert samples.shape == (4 * SAMPLE_RATE,)
    assert 0.02 < np.abs(samples).max() <= 1.0
    assert people.speak(0, config=SpeechConfig(duration_s=2.0)).shape == (2 * SAMPLE_RATE,)
    with pytest.raises(InputError, match=r"duration_s=0\.1 is not possible"):
        SpeechConfig(duration_s=0.1)


def test_same_utterance_same_sound_others_differ(people):
    first = people.speak(5, 2)
    people.speak(6, 0)
    np.testing.assert_array_equal(first, people.speak("id00006", 2))
    assert not np.array_equal(first, people.speak(5, 3))


def test_pitch_is_the_planned_one(people):
    for row in range(0, 120, 17):
        plan = people.utterance(row, 0, config=STUDIO)._replace(breathiness_db=-40.0)
        heard = median_pitch(synthesise(plan, STUDIO))
        # The median over one utterance's melody scatters about the base voice's.
        assert heard == pytest.approx(plan.pitch_hz, rel=0.06)
        higher = synthesise(plan._replace(pitch_hz=1.2 * plan.pitch_hz), STUDIO)
        assert median_pitch(higher) / heard == pytest.approx(1.2, abs=0.02)


@pytest.mark.parametrize("factor", [0.9, 1.15])
def test_a_longer_vocal_tract_lowers_the_spectrum_by_its_factor(people, factor):
    plan = people.utterance(10, 0, config=STUDIO)._replace(
        breathiness_db=-60.0, vocal_tract_length_mm=160.0
    )
    longer = plan._replace(vocal_tract_length_mm=160.0 * factor)
    one, step = log_spectrum(synthesise(plan, STUDIO))
    other, _ = log_spectrum(synthesise(longer, STUDIO))
    width = 60  # bins tried on either side
    middle = one[width:-width]
    fits = [
        np.corrcoef(middle, other[width + lag : len(other) - width + lag])[0, 1]
        for lag in range(-width, width + 1)
    ]
    shift = (int(np.argmax(fits)) - width) * step
    assert shift == pytest.approx(-np.log(factor), abs=0.025)


def test_breath_adds_high_frequencies(people):
    plan = people.utterance(3, 0, config=STUDIO)

    def share_above_5_khz(breathiness_db):
        samples = synthesise(plan._replace(breathiness_db=breathiness_db), STUDIO)
        power = np.abs(np.fft.rfft(samples)) ** 2
        return power[len(power) * 5 // 8 :].sum() / power.sum()

    shares = [share_above_5_khz(level) for level in (-40.0, -20.0, -10.0)]
    assert shares[0] < shares[1] < shares[2]


def test_phones_follow_rate_and_sound(people):
    plan = people.utterance(8, 0, config=STUDIO)
    samples = synthesise(plan, STUDIO)
    phones = people.phones(8, 0, config=STUDIO)
    assert phones["end_s"].iloc[-1] <= 4.0
    assert (phones["end_s"] > phones["start_s"]).all()

    def level(rows):
        spans = [samples[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] for a, b in rows]
        return np.sqrt(np.mean(np.concatenate(spans) ** 2))

    is_vowel = phones["phone"].str.contains("[aeiouæɐɑɔəɛɪʊʌ]")
    spans = phones[["start_s", "end_s"]].to_numpy()
    pauses = (phones["phone"] == "") & (phones["end_s"] - phones["start_s"] > 0.05)
    assert level(spans[is_vowel]) > 5 * level(spans[pauses])
    base = base_corpus().voices[plan.base_voice]["rate_hz"]
    rows = base_corpus().phones.query(
        f"voice == '{plan.base_voice}' and sentence == {plan.sentences[0]}"
    )
    stretched = rows["end_s"].to_numpy()[:20] * base / plan.speaking_rate_hz
    np.testing.assert_allclose(phones["end_s"][:20], stretched)


def test_latents_can_be_heard(people):
    """Within a sex, measured pitch follows the latent one but for the session noise."""
    sex = np.where(people.voices["voice_sex"] == "m", 1, -1)
    short = SpeechConfig(duration_s=2.0)
    heard = np.log([median_pitch(people.speak(row, config=short)) for row in range(len(people))])
    latent = people.voices["z_pitch"].to_numpy()
    centred = [v - np.where(sex > 0, v[sex > 0].mean(), v[sex < 0].mean()) for v in (heard, latent)]
    assert np.corrcoef(*centred)[0, 1] ** 2 > 0.7


def test_each_sex_speaks_with_several_base_voices():
    voices = Population(2_000, seed=1).voices
    for sex, names in BASE_VOICES.items():
        counts = voices.loc[voices["voice_sex"] == sex, "base_voice"].value_counts()
        assert set(counts.index) == set(names)
        assert counts.min() > 0.2 * counts.sum()
    # Nothing else about a person goes with the base voice.
    dummies = pd.get_dummies(voices["base_voice"]).to_numpy(dtype=float)
    numbers = voices.filter(regex="^z_").assign(row=np.arange(len(voices)))
    correlations = np.corrcoef(np.column_stack([dummies, numbers]).T)[:8, 8:]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(len(voices))


def test_sentences_are_own_and_varied():
    sentences = base_corpus().sentences.drop_duplicates("sentence")
    assert len(sentences) >= 40
    assert sentences["duration_s"].between(2.5, 5.0).all()
    heard = set("".join(base_corpus().phones["phone"]))
    assert set("ptkbdɡfvszʃʒθðhmnŋlɹwj") <= heard


def test_base_corpus_comes_out_the_same_in_another_process(tmp_path):
    run_in_fresh_process("v2mlib.phantom.corpus:speak_sentences", ("Male4", str(tmp_path)))
    again = np.load(tmp_path / "Male4.samples.npy")
    corpus = base_corpus()
    cached = [corpus.sentence("Male4", number).samples for number in range(corpus.n_sentences)]
    np.testing.assert_array_equal(again, np.concatenate(cached))


def test_missing_parselmouth_is_explained(monkeypatch):
    import importlib.metadata

    from v2mlib.phantom import corpus

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(corpus.importlib.metadata, "version", absent)
    with pytest.raises(InputError, match=r"pip install 'v2mlib\[phantom\]'"):
        corpus.ensure_corpus()


def test_plans_do_not_depend_on_the_face(people):
    plan = people.utterance(0, 0)
    other = Population(120, seed=6, world="sex_only").utterance(0, 0)
    assert plan == other
    assert dataclasses.asdict(SpeechConfig()) == dataclasses.asdict(people.speakers().config)


def test_a_dead_worker_is_an_error_and_not_a_wait():
    with pytest.raises(V2MError, match="a worker process died"):
        list(run_jobs("os:_exit", [1, 2, 3], setup=3, workers=2))


def test_an_error_in_a_worker_keeps_its_words():
    with pytest.raises(InputError, match="face model 'nobody' is neither a known name nor a path"):
        run_in_fresh_process("v2mlib.faces:load_face_model", "nobody")
    with pytest.raises(V2MError, match="a worker process failed: ValueError"):
        run_in_fresh_process("math:sqrt", -1)


def test_jobs_come_back_with_their_numbers():
    jobs = [[i, -i] for i in range(20)]
    found = dict(run_jobs("operator:itemgetter", jobs, setup=1, workers=2))
    assert found == {i: -i for i in range(20)}
