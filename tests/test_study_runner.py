"""The study widget: what Python does with what a browser says, and a real browser that says it."""

import base64
import io
import json

import nbformat
import pytest
from browser import browser_page, jupyter_lab, open_notebook, run_all
from PIL import Image
from study_made import small_study

from v2mlib.checks import InputError
from v2mlib.study import Participation, load_study, read_answers, run_study
from v2mlib.widgets import StudyRunner


@pytest.fixture
def study(tmp_path):
    return small_study(tmp_path / "study")


@pytest.fixture
def runner(study, monkeypatch):
    """A widget and what it sent to the browser."""
    runner = run_study(study.folder, "aaaa")
    sent = []
    monkeypatch.setattr(runner, "send", lambda content, buffers=(): sent.append((content, buffers)))
    runner.sent = sent
    return runner


def hear(runner, **content):
    runner._handle_custom_msg(content, [])


def test_a_participant_goes_from_consent_to_thanks(runner, study):
    assert (runner.stage, runner.answered, runner.total) == ("consent", 0, 8)
    hear(runner, kind="want screen")
    assert "Taking part is voluntary" in runner.sent[-1][0]["screen"]["text"]
    hear(runner, kind="choose", side="first", number=0)
    assert runner.problem.startswith("the study is at its stage 'consent'")
    assert not list((study.folder / "answers").iterdir())
    hear(runner, kind="agree")
    assert (runner.stage, runner.problem) == ("question", "")
    for number in range(8):
        hear(runner, kind="choose", side="second", number=number)
        assert runner.answered == number + 1
    assert runner.stage == "finished"
    assert runner.sent[-1][0]["screen"]["title"] == "Thank you"
    table = read_answers(study)
    assert (table["chosen"] != table["shown_first"]).all()
    assert run_study(study, "aaaa").stage == "finished"


def test_the_browser_gets_the_pictures_in_the_order_shown(runner, study):
    runner.agree()
    for asked in study.order("aaaa"):
        content, buffers = runner.sent[-1]
        panels = content["screen"]["panels"]
        assert [panel["heading"] for panel in panels] == ["Reference", "1", "2"]
        pictures = study.items[asked.section, asked.item].pictures
        roles = ["reference", "a", "b"] if asked.shown_first else ["reference", "b", "a"]
        for panel, role in zip(panels, roles, strict=True):
            for shown, picture in zip(panel["pictures"], pictures[role], strict=True):
                assert buffers[shown["buffer"]] == (study.folder / picture.file).read_bytes()
                assert shown["frames"] == picture.frames
        # Nothing else travels: neither method nor person.
        assert "ours" not in json.dumps(content)
        assert "id0" not in json.dumps(content)
        runner.choose("first")


def test_a_second_click_is_taken_once(runner, study):
    runner.agree()
    hear(runner, kind="choose", side="first", number=0)
    hear(runner, kind="choose", side="second", number=0)
    assert (runner.answered, runner.problem) == (1, "")
    assert len(read_answers(study)) == 1
    hear(runner, kind="choose", side="up", number=1)
    assert runner.problem == "side 'up' is none: choose first or second"
    other = run_study(study, "aaaa")
    other.choose("first")
    with pytest.raises(InputError, match="question 2 has an answer already"):
        runner.choose("second")
    assert runner.answered == 2  # it has looked again
    hear(runner, kind="sing")
    assert runner.answered == 2


def test_a_pause_hides_the_question_and_a_later_widget_goes_on(runner, study):
    runner.agree()
    runner.choose("first")
    hear(runner, kind="pause")
    assert runner.stage == "paused"
    assert "panels" not in runner.sent[-1][0]["screen"]
    with pytest.raises(InputError, match="at its stage 'paused'"):
        runner.choose("first")
    hear(runner, kind="go on")
    assert (runner.stage, runner.answered) == ("question", 1)
    later = StudyRunner(Participation(load_study(study.folder), "aaaa"))
    assert (later.stage, later.answered) == ("question", 1)


def test_an_answer_that_cannot_be_written_is_not_taken(runner, study, monkeypatch):
    runner.agree()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("v2mlib.study.answer_files.os.write", full)
        hear(runner, kind="choose", side="first", number=0)
    assert "cannot be written (No space left on device): make room" in runner.problem
    assert (runner.answered, runner.stage) == (0, "question")
    hear(runner, kind="choose", side="first", number=0)
    assert (runner.answered, runner.problem) == (1, "")


def test_the_stored_notebook_keeps_a_picture_and_no_faces(runner):
    for prepare in (lambda: None, runner.agree):
        prepare()
        found = runner._repr_mimebundle_()
        data = found[0] if isinstance(found, tuple) else found
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        assert min(image.size) > 100
    state = {name: value for name, value in runner.get_state().items() if name[:2] != "_e"}
    assert len(json.dumps(state, default=str)) < 30_000


LIVE = """
import v2mlib as v2m
runner = v2m.study.run_study("study", "browser")
runner
"""


@pytest.mark.browser
def test_a_browser_clicks_through_questions(tmp_path):
    book, state = tmp_path / "book", tmp_path / "state"
    book.mkdir()
    state.mkdir()
    study = small_study(book / "study")
    live = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LIVE.strip())])
    live.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(live, book / "live.ipynb")
    with browser_page((1280, 1100)) as page, jupyter_lab(book, state) as address:
        open_notebook(page, address, "live.ipynb")
        # Cells that are run before the kernel is there are forgotten.
        page.locator("[data-status=idle]").first.wait_for(state="attached")
        run_all(page)
        page.get_by_role("button", name="I agree and want to begin").click()
        count = page.locator(".v2m-study-head span")
        faces = page.get_by_role("radio")
        faces.nth(1).wait_for()
        assert count.inner_text() == "1 of 8"
        assert page.get_by_role("button", name="Next").is_disabled()
        page.keyboard.press("ArrowLeft")  # moves between cells in JupyterLab, chooses here
        page.keyboard.press("2")  # the last choice before Enter counts
        assert faces.nth(1).get_attribute("aria-checked") == "true"
        page.keyboard.press("Enter")
        _wait_for_text(page, "2 of 8")
        faces.nth(0).click()
        page.get_by_role("button", name="Next").click()
        _wait_for_text(page, "3 of 8")
        page.keyboard.press("p")
        page.get_by_role("button", name="Go on").click()
        for number, key in ((4, "1"), (5, "ArrowRight")):
            page.get_by_role("button", name="Pause").wait_for()
            page.keyboard.press(key)
            page.keyboard.press("Enter")
            _wait_for_text(page, f"{number} of 8")
        turn = page.get_by_role("slider", name="turn all faces")
        image = page.locator(".v2m-study-frame img").first
        before = image.get_attribute("style")
        turn.focus()
        turn.press("End")
        assert image.get_attribute("style") != before
        assert faces.nth(1).get_attribute("aria-checked") == "false"
        page.screenshot(path=tmp_path / "question.png")
        assert page.locator(".jp-Notebook .jp-Cell").count() == 1  # no key reached JupyterLab
        assert page.complaints == []
    table = read_answers(study)
    sides = (table["chosen"] == table["shown_first"]).tolist()
    assert sides == [False, True, True, False]
    again = run_study(study, "browser")
    assert (again.stage, again.answered) == ("question", 4)


def _wait_for_text(page, text):
    wanted = f"document.querySelector('.v2m-study-head span')?.textContent === '{text}'"
    page.wait_for_function(wanted)
