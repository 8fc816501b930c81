"""The voice widget without a browser: what Python hears, measures, refuses and stores."""

import json
import warnings

import numpy as np
import pytest
import soundfile
from predict_made import RATE, made_speech, untrained

import v2mlib as v2m
from v2mlib.checks import InputError
from v2mlib.fitting import shipped_predictions
from v2mlib.hearing import DISCLAIMER, Listener
from v2mlib.models import Face, Voice2Mesh
from v2mlib.predicting import predict_files
from v2mlib.widgets import VoiceToFace
from v2mlib.widgets.voice_to_face_packing import mel_slots, mel_ticks, waveform_slots


@pytest.fixture(scope="module")
def phantom():
    return Voice2Mesh.load("phantom")


@pytest.fixture(scope="module")
def listener(phantom):
    return Listener(phantom)


@pytest.fixture(scope="module")
def speech():
    return made_speech()


@pytest.fixture
def voice(phantom):
    """A widget and what it sent to the browser."""
    voice = VoiceToFace(phantom)
    voice.sent = []
    voice.send = lambda content, buffers=(): voice.sent.append((content, list(buffers)))
    return voice


def ask(voice, content, *buffers):
    """Say something as a browser does; the reply to it."""
    voice.sent.clear()
    voice._handle_custom_msg(content, list(buffers))
    replies = [c for c, _ in voice.sent if c["kind"] == "reply"]
    return replies[-1] if replies else None


def upload(voice, name, content, chunk=100_000):
    reply = ask(voice, {"kind": "offer", "key": "k", "name": name, "size": len(content)})
    for at in range(0, len(content), chunk):
        if "refused" in reply:
            break
        reply = ask(voice, {"kind": "piece", "key": "k"}, memoryview(content[at : at + chunk]))
    return reply


def wav_bytes(samples, path, **how):
    soundfile.write(path, samples, RATE, **how)
    return path.read_bytes()


# --- what is heard and measured ---------------------------------------------------------------


def test_the_widget_predicts_what_the_model_predicts(voice, phantom, speech, tmp_path):
    wav_bytes(speech, tmp_path / "hello.wav")
    utterance = voice.add(tmp_path / "hello.wav")
    expected = phantom.predict(tmp_path / "hello.wav")
    assert np.array_equal(voice.faces["hello.wav"].vertices, expected.vertices)
    assert utterance.duration_s == 3.0
    assert utterance.log_mel.shape[1] == 64
    assert voice.selected == "hello.wav"
    assert voice.message == ""


def test_several_utterances_have_an_average_and_names_of_their_own(voice, speech):
    for samples in (speech, speech[::-1].copy(), 0.5 * speech):
        voice.add(samples, name="me")
    assert list(voice.faces) == ["me", "me (2)", "me (3)", "average"]
    each = [voice.faces[name].coefficients.shape for name in list(voice.faces)[:3]]
    assert np.allclose(voice.faces["average"].coefficients.shape, np.mean(each, axis=0), atol=1e-6)
    voice.selected = "average"
    voice.remove("me (2)")
    assert list(voice.faces) == ["me", "me (3)", "average"]
    voice.remove("me")
    assert list(voice.faces) == ["me (3)"]
    assert voice.selected == "me (3)"
    with pytest.raises(InputError, match="me is not here"):
        voice.remove("me")
    voice.clear()
    assert (voice.faces, voice.utterances, voice.selected) == ({}, (), "")


def test_lines_are_measured_beside_the_mean_face(voice, speech):
    voice.add(speech)
    table = voice.lines().set_index("line")
    model, face = voice.listener.face_model, voice.faces["recording"]
    lengths = v2m.metrics.line_lengths(face.vertices, model)
    means = v2m.metrics.line_lengths(model.mean.numpy(), model)
    for line, row in table.iterrows():
        assert row.predicted_mm == pytest.approx(float(lengths[line]), abs=1e-3)
        assert row.mean_face_mm == pytest.approx(float(means[line]), abs=1e-3)
        assert row.ci_low < row.predicted_mm < row.ci_high
    ratios = v2m.metrics.line_ratios(face.vertices, model)
    assert table.ratio["ear"] == pytest.approx(float(ratios["ear"]), abs=1e-5)
    assert table.ratio["outer_interocular"] == 1.0


def test_intervals_cover_people_who_did_not_make_them(phantom):
    """Intervals from half of the held-out people hold for the other half."""
    every = shipped_predictions()
    rng, hits = np.random.default_rng(0), []
    order = rng.permutation(len(every.identity))
    first, second = np.array_split(order, 2)
    half = every._replace(
        reference=every.reference[first],
        predicted={name: rows[first] for name, rows in every.predicted.items()},
    )
    listener = Listener(phantom, held_out=half)
    truth = listener._lengths(every.reference[second])
    for row, person in enumerate(second):
        shape = every.predicted["supervised"][person, 0].astype(np.float32)
        table = listener.lines(Face.from_coefficients(phantom.face_model, shape))
        hits.append((table.ci_low <= truth[row]) & (truth[row] <= table.ci_high))
    assert 0.92 < np.mean(hits) < 0.98
    assert np.mean(hits, axis=0).min() > 0.87


def test_expected_error_is_that_of_decoded_faces(listener):
    every, model = shipped_predictions(), listener.face_model
    some = model.landmarks.numpy()[::8]
    for count, predicted in (
        (1, every.predicted["supervised"]),
        (3, every.averaged("supervised")[:, None]),
    ):
        true, guess = (
            model.decode(c, vertices=some).numpy() for c in (every.reference[:, None], predicted)
        )
        brute = np.sqrt(((true - guess) ** 2).sum(-1).mean((0, 1)))
        assert listener.expected_error(count)[some] == pytest.approx(brute, rel=1e-3)
    # Averaging helps, and more utterances than were measured are not said to help more.
    assert listener.expected_error(3).mean() < listener.expected_error(1).mean()
    assert np.array_equal(listener.expected_error(6), listener.expected_error(3))


def test_without_held_out_people_no_interval_is_made_up(speech):
    voice = VoiceToFace(untrained(), recordings={"me": speech})
    assert voice.lines().ci_low.isna().all()
    assert voice.listener.expected_error() is None
    assert "is not known" in voice.listener.uncertainty
    voice.shown = "error"
    voice._tell_everything()
    assert voice.picture().width > 300


def test_weights_of_another_training_do_not_borrow_the_shipped_errors(phantom):
    other = Voice2Mesh(
        phantom.encoder, phantom.heads, phantom.face_model, phantom.architecture, name="phantom",
        card={**phantom.card, "metrics": {"model": 0.04}},
    )  # fmt: skip
    assert Listener(other).expected_error() is None


# --- refusals ---------------------------------------------------------------------------------


def test_uploads_are_refused_in_the_words_of_the_command_line(voice, phantom, speech, tmp_path):
    good = wav_bytes(speech, tmp_path / "good.wav")
    broken = speech.copy()
    broken[1000] = np.nan
    bad = {
        "text.wav": b"Dear diary, today I recorded nothing.\n" * 50,
        "cut.wav": good[:20_000],
        "silent.wav": wav_bytes(np.zeros(3 * RATE), tmp_path / "silent.wav"),
        "nan.wav": wav_bytes(broken, tmp_path / "nan.wav", subtype="FLOAT"),
        "short.wav": wav_bytes(speech[:4000], tmp_path / "short.wav"),
        "film.mp4": b"\0\0\0\x18ftypmp42" + bytes(2000),
        "page.webm": b"\x1a\x45\xdf\xa3" + bytes(2000),
    }
    ask(voice, {"kind": "new batch"})
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        assert "refused" in upload(voice, name, content), name
    assert upload(voice, "good.wav", good)["done"] is True
    files = [tmp_path / name for name in bad]
    outcome = predict_files(files, tmp_path / "out", model=_saved(tmp_path), progress=False)
    assert len(outcome.failures) == len(bad)
    said = [failure.problem.replace(f"{tmp_path}/", "") for failure in outcome.failures]
    assert voice.message.splitlines() == said
    assert list(voice.faces) == ["good.wav"]


def _saved(folder):
    return untrained().save(folder / "untrained.safetensors")


def test_an_empty_upload_is_refused(voice):
    refused = upload(voice, "none.wav", b"")["refused"]
    assert refused == "none.wav is empty (0 bytes): record or download it again"


def test_large_uploads_are_refused_before_and_while_they_come(phantom, speech):
    voice = VoiceToFace(phantom, max_upload_mb=0.1)
    voice.send = lambda content, buffers=(): voice.sent.append((content, buffers))
    voice.sent = []
    reply = ask(voice, {"kind": "offer", "key": "k", "name": "big.wav", "size": 250_000})
    assert reply["refused"].startswith("big.wav has 0.2 MB, more than the limit of 0.1 MB: ")
    assert "not announced" in ask(voice, {"kind": "piece", "key": "k"}, b"abc")["refused"]
    # A browser that sends more than it said.
    assert ask(voice, {"kind": "offer", "key": "k", "name": "b.wav", "size": 10}) == {
        "kind": "reply", "key": "k",
    }  # fmt: skip
    assert (
        "size that was announced" in ask(voice, {"kind": "piece", "key": "k"}, b"x" * 11)["refused"]
    )
    assert voice._uploads._open == {}
    with pytest.raises(InputError, match="more than the limit"):
        voice.add(bytes(200_000), name="big.wav")
    for size in (-1, 1.5, "9", None, True):
        reply = ask(voice, {"kind": "offer", "key": "k", "name": "b.wav", "size": size})
        assert "has no size" in reply["refused"]


def test_uploads_that_are_given_up_do_not_pile_up(voice):
    for number in range(20):
        ask(voice, {"kind": "offer", "key": str(number), "name": "a.wav", "size": 1000})
    assert len(voice._uploads._open) <= 4


def test_hours_in_a_small_file_are_refused_undecoded(voice, tmp_path):
    path = tmp_path / "hours.flac"
    soundfile.write(path, np.zeros(RATE * 660, np.int16), RATE)
    assert path.stat().st_size < 200_000
    with pytest.raises(InputError, match=r"^hours.flac lasts 11.0 minutes, more than 10: cut"):
        voice.add(path)
    with pytest.raises(InputError, match=r"recording lasts 11.0 minutes"):
        voice.add(np.zeros(RATE * 660, np.float32))


def test_too_many_utterances_are_refused(voice, speech):
    for _ in range(6):
        voice.add(speech)
    with pytest.raises(InputError, match="too many beside 6 others: remove one"):
        voice.add(speech)
    assert "too many" in voice.message


def test_clipping_is_remarked_on_with_the_name_alone(voice, speech, tmp_path):
    loud = np.clip(60 * speech, -1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        voice.add(wav_bytes(loud, tmp_path / "loud.wav"), name="loud.wav")
    assert voice.message.startswith("loud.wav is clipped: ")
    assert len(voice.message.splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b\\c.wav", "", "..", None, "x" * 500, "\0\n"]
)
def test_names_from_a_browser_are_harmless(voice, name, speech, tmp_path):
    content = wav_bytes(speech, tmp_path / "a.wav")
    assert upload(voice, name, content)["done"] is True
    (kept,) = voice.faces
    assert not set("/\\") & set(kept)
    assert 0 < len(kept.encode()) <= 120


def test_nonsense_from_a_browser_changes_nothing(voice):
    for content in ({}, {"kind": "dance"}, {"kind": "piece"}, {"kind": "remove"}, [], "x", None):
        voice._handle_custom_msg(content, [])
    assert voice.faces == {}


# --- what travels and what is stored ----------------------------------------------------------


def test_what_travels_is_small(voice, speech):
    long = np.tile(speech, 60)  # three minutes
    voice.add(long, name="long")
    told = {content["kind"]: buffers for content, buffers in voice.sent}
    assert sum(map(len, told["utterance"])) < 400_000
    assert sum(map(len, told["order"])) < 1000
    ask(voice, {"kind": "want everything"})
    kinds = [content["kind"] for content, _ in voice.sent]
    assert kinds == ["start", "utterance", "order"]
    start = voice.sent[0][0]
    assert DISCLAIMER in start["disclaimers"]
    assert any("says nothing about the real speaker" in text for text in start["disclaimers"])


def test_the_stored_widget_is_a_picture_without_voice_or_mesh(voice, speech):
    voice.add(speech, name="me")
    bundle = voice._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert len(data["image/png"]) > 20_000
    state = {k: v for k, v in voice.get_state().items() if k != "_still"}
    assert len(json.dumps(state, default=str)) < 16_000  # without the viewer's code, too
    assert len(voice._still) < 60_000
    assert "utterances" not in state
    assert "faces" not in state


def test_pictures_show_what_is_chosen(voice, speech):
    voice.add(speech, name="me")
    plain = np.asarray(voice.picture(), int)
    voice.shown = "distance"
    coloured = np.asarray(voice.picture(), int)
    assert plain.shape[1] > coloured.shape[1]  # alone, a face has its map beside it
    last = slice(coloured.shape[1] - 240, None)
    assert np.abs(coloured[:, last] - plain[:, : coloured.shape[1]][:, last]).mean() > 10


def test_thinned_pictures_keep_peaks_and_frequencies(voice, speech):
    samples = speech.copy()
    samples[20_000] = 0.9
    utterance = voice.add(samples)
    _, high, spoken = waveform_slots(utterance)
    assert high.max() == pytest.approx(1.0)
    assert np.argmax(high) == 20_000 * 300 // len(samples)
    assert spoken.mean() == pytest.approx(utterance.speech.mean(), abs=0.02)
    # A tone of 1.5 kHz lights the row where the axis says 1.5.
    tone = np.sin(2 * np.pi * 1500 * np.arange(RATE) / RATE).astype(np.float32)
    bands = v2m.log_mel(0.3 * tone, normalise=False).mean(0)
    place = {label: share for share, label in mel_ticks()}["1.5"]
    assert abs((bands.argmax() + 0.5) / 64 - place) < 0.02
    assert mel_slots(utterance).shape == (min(300, len(utterance.log_mel)), 64)
