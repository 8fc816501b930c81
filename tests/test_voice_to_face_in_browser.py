"""The voice widget in a real browser, with the real Python behind it."""

import base64
import re

import numpy as np
import pytest
import soundfile
from predict_made import RATE, made_speech
from test_notebooks_in_browser import change, is_blank, pixels
from voice_made import UNSAFE, chromium, new_page, show_voice

from v2mlib.models import Voice2Mesh
from v2mlib.widgets import VoiceToFace
from v2mlib.widgets.voice_to_face_uploads import CHUNK_BYTES


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Files to send, and one that a microphone plays."""
    folder = tmp_path_factory.mktemp("sounds")
    speech = made_speech()
    soundfile.write(folder / "hello.wav", speech, RATE)
    soundfile.write(folder / "long.flac", np.tile(speech, 8), RATE)
    (folder / "diary.wav").write_text("Dear diary, today I recorded nothing.\n" * 50)
    (folder / "empty.wav").touch()
    return folder


@pytest.fixture(scope="module")
def browser(sounds):
    with chromium(
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={sounds / 'hello.wav'}",
    ) as browser:
        yield browser


@pytest.fixture(scope="module")
def phantom():
    return Voice2Mesh.load("phantom")


@pytest.fixture
def page(browser):
    page = new_page(browser, permissions=["microphone"])
    yield page
    assert page.complaints == []
    page.context.close()


def columns(page, count):
    """Wait until so many faces stand there, in full."""
    page.wait_for_function(
        "(count) => document.querySelectorAll('.v2m-stage canvas').length === count",
        arg=count,
    )
    wait_until_drawn(page)


def wait_until_drawn(page):
    page.wait_for_function(
        """() => [...document.querySelectorAll(".v2m-stage canvas")]
          .every((one) => one.dataset.drawn === "fine")"""
    )


def test_chosen_files_become_faces_and_bad_ones_are_named(page, phantom, sounds):
    voice = VoiceToFace(phantom)
    show_voice(page, voice)
    columns(page, 1)
    assert page.get_by_text("will stand here, beside the mean face").is_visible()
    names = ["hello.wav", "diary.wav", "empty.wav", "long.flac"]
    page.locator("input[type=file]").set_input_files([sounds / name for name in names])
    columns(page, 4)  # mean face, average, two recordings
    assert list(voice.faces) == ["hello.wav", "long.flac", "average"]
    alert = page.get_by_role("alert").first
    assert "diary.wav is not audio that can be read" in alert.inner_text()
    assert "empty.wav is empty (0 bytes): record or download it again" in alert.inner_text()
    for k in range(4):
        assert not is_blank(pixels(page.locator(".v2m-stage canvas").nth(k)))
    heard = page.get_by_role("img", name="hello.wav: waveform of 3.0 s and log-mel")
    assert not is_blank(pixels(heard))
    assert page.get_by_text("never an identification").is_visible()
    # Pieces of limited size, and nothing twice.
    sizes = page.evaluate("model.sizes")
    assert max(sizes) == CHUNK_BYTES
    assert sum(sizes) == sum((sounds / name).stat().st_size for name in names)


def test_faces_are_coloured_measured_and_removed(page, phantom):
    speech = made_speech()
    voice = VoiceToFace(phantom, recordings={"one": speech, "two": speech[::-1].copy()})
    show_voice(page, voice)
    columns(page, 4)
    canvas = page.locator(".v2m-stage canvas").nth(2)
    plain = pixels(canvas)
    page.get_by_role("button", name="Show: distance from the mean face").click()
    wait_until_drawn(page)
    assert voice.shown == "distance"
    distance = pixels(page.locator(".v2m-stage canvas").nth(2))
    assert change(plain, distance) > 0.2
    page.get_by_role("button", name="Show: expected error").click()
    wait_until_drawn(page)
    assert change(distance, pixels(page.locator(".v2m-stage canvas").nth(2))) > 0.2
    assert page.get_by_text("expected error 5.").count() == 3
    page.get_by_role("button", name="Measure one").click()
    assert voice.selected == "one"
    row = page.get_by_role("row", name="jaw width")
    table = voice.lines("one").set_index("line").loc["jaw_width"]
    said = row.get_by_role("cell").all_inner_texts()
    assert said[0] == f"{table.predicted_mm:.1f}"
    assert said[1] == f"{table.ci_low:.1f} to {table.ci_high:.1f}"
    page.get_by_role("button", name="Remove two").press("Enter")
    columns(page, 2)
    assert list(voice.faces) == ["one"]
    assert page.evaluate("document.activeElement.className").startswith("v2m v2m-voice")
    page.get_by_role("button", name="Remove all").click()
    columns(page, 1)
    assert page.get_by_role("table").count() == 0


def test_all_faces_turn_together(page, phantom):
    voice = VoiceToFace(phantom, recordings={"me": made_speech()})
    show_voice(page, voice)
    columns(page, 3)
    before = pixels(page.locator(".v2m-stage canvas").nth(1))
    page.locator(".v2m-stage canvas").first.press("3")
    wait_until_drawn(page)
    assert change(before, pixels(page.locator(".v2m-stage canvas").nth(1))) > 0.1


def test_files_can_be_dropped(page, phantom, sounds):
    voice = VoiceToFace(phantom)
    show_voice(page, voice)
    content = base64.b64encode((sounds / "hello.wav").read_bytes()).decode()
    page.evaluate(
        """(content) => {
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], "dropped.wav", { type: "audio/wav" }));
          const root = document.querySelector(".v2m-voice");
          for (const kind of ["dragover", "drop"]) {
            const how = { dataTransfer: data, bubbles: true, cancelable: true };
            const event = new DragEvent(kind, how);
            root.dispatchEvent(event);
            if (!event.defaultPrevented) throw new Error(`${kind} is left to the page`);
          }
        }""",
        content,
    )
    columns(page, 3)
    assert list(voice.faces) == ["dropped.wav"]


def test_the_microphone_is_recorded_by_keyboard(page, phantom):
    voice = VoiceToFace(phantom)
    show_voice(page, voice)
    record = page.get_by_role("button", name="Record from the microphone")
    record.focus()
    page.keyboard.press("Enter")
    page.get_by_text(re.compile(r"Recording ([3-9]|\d\d) s")).wait_for()
    assert record.get_attribute("aria-pressed") == "true"
    assert page.get_by_role("meter", name="loudness").is_visible()
    page.keyboard.press("Enter")
    columns(page, 3)
    (utterance,) = voice.utterances
    assert utterance.name == "recording 1.wav"
    assert 2.5 < utterance.duration_s <= 60
    # What was played is what was heard: the made voice has its pitch near 120 Hz.
    spectrum = np.abs(np.fft.rfft(utterance.samples))
    pitch = np.fft.rfftfreq(len(utterance.samples), 1 / RATE)[spectrum.argmax()]
    assert 100 < pitch < 140
    assert voice.message == ""


def test_a_forbidden_microphone_is_explained(browser, phantom):
    """No permission; a page that is neither https nor localhost; no device."""
    missing = """() => { navigator.mediaDevices.getUserMedia =
      () => Promise.reject(new DOMException("no", "NotFoundError")); }"""
    for address, script, words in (
        (None, None, "The microphone was not allowed: allow it beside the address"),
        (UNSAFE, None, "only pages from https or localhost use the microphone"),
        (None, missing, "No microphone was found: plug one in, or choose a file."),
    ):
        page = new_page(browser)
        voice = VoiceToFace(phantom)
        show_voice(page, voice, **({"address": address} if address else {}))
        if script:
            page.evaluate(script)
        page.get_by_role("button", name="Record from the microphone").click()
        page.get_by_role("alert").get_by_text(words).wait_for()
        assert words in voice.message
        for name in ("Record from the microphone", "Choose recordings"):
            button = page.get_by_role("button", name=name)
            assert button.get_attribute("aria-disabled") != "true"
        assert page.complaints == []
        page.context.close()


def test_a_recording_that_is_too_large_is_not_sent(page, phantom, sounds):
    voice = VoiceToFace(phantom, max_upload_mb=0.05)
    show_voice(page, voice)
    page.locator("input[type=file]").set_input_files(sounds / "hello.wav")
    page.get_by_role("alert").get_by_text("hello.wav has 0.1 MB, more than the limit").wait_for()
    assert sum(page.evaluate("model.sizes")) == 0


def test_a_silent_kernel_is_noticed(page, phantom, sounds):
    page.clock.install()
    show_voice(page, VoiceToFace(phantom))
    page.evaluate("globalThis.deaf = true")
    page.locator("input[type=file]").set_input_files(sounds / "hello.wav")
    page.get_by_text("Sending hello.wav").wait_for()
    said = page.get_by_role("alert").get_by_text("Python does not answer: wait until it is free")
    for _ in range(50):  # the question may not have been asked yet
        page.clock.fast_forward(31_000)
        if said.count():
            break
    said.wait_for()


def test_every_control_has_a_name_and_a_second_view_shows_the_same(page, phantom):
    voice = VoiceToFace(phantom, recordings={"me": made_speech()}, theme="dark")
    show_voice(page, voice)
    columns(page, 3)
    controls = "[...document.querySelectorAll('.v2m-voice :is(canvas, button, select, input)')]"
    nameless = page.evaluate(
        f"{controls}.filter((c) => !(c.ariaLabel || c.textContent.trim())).map((c) => c.outerHTML)"
    )
    assert nameless == []
    page.evaluate("document.activeElement.blur()")
    order = []
    for _ in range(10):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "[...document.querySelectorAll('.v2m-voice *')].indexOf(document.activeElement)"
            )
        )
    assert order == sorted(order)
    assert len(set(order)) == 10
    page.evaluate("closeView()")
    assert page.locator(".v2m-voice").count() == 0


def test_a_stored_widget_without_its_kernel_shows_its_picture(page, phantom):
    voice = VoiceToFace(phantom, recordings={"me": made_speech()})
    voice._repr_mimebundle_()
    page.goto("about:blank")
    show_voice(page, voice)
    page.evaluate(
        """(state) => {
          globalThis.deaf = true;
          const el = document.body.appendChild(document.createElement("div")), widget = factory();
          el.id = "stored";
          const model = voiceModel(state);
          widget.initialize({ model });
          widget.render({ model, el });
        }""",
        {"_still": voice._still, "message": "", "selected": "", "shown": "face"},
    )
    page.wait_for_function("document.querySelector('#stored img')?.naturalWidth > 300")
