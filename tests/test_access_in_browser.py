"""Basics of access, measured in a real browser: names, focus, contrast, size, motion, themes.

Our own few checks after the Web Content Accessibility Guidelines 2.2 (1.4.3 contrast of words,
1.4.11 of what shows focus, 2.4.7 visible focus, 2.5.8 size, 4.1.2 names, 2.3.3 motion).
"""

import numpy as np
import pytest
from browser import browser_page, show_widgets, wait_until_drawn
from test_notebooks_in_browser import change, pixels

import v2mlib as v2m
from v2mlib.widgets import compare

WIDGETS = ("view", "comparison")

LIGHT = """
  const light = (css) => css.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = (node) => {
    const css = getComputedStyle(node).backgroundColor;
    return /, 0\\)/.test(css) || css === "transparent" ? ground(node.parentElement) : css;
  };
  const contrast = (a, b) => {
    const pair = [light(a), light(b)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
"""


@pytest.fixture(scope="module")
def page():
    with browser_page((900, 1000)) as page:
        yield page
        assert page.complaints == []


@pytest.fixture(scope="module")
def model():
    return v2m.load_face_model("phantom")


@pytest.fixture
def show(page, model):
    def open_widget(kind, **traits):
        if kind == "view":
            return show_widgets(page, [v2m.MeshView(model, title="face", **traits)], "widget.js")
        far = model.decode(2 * model.shape_std.new_ones(model.n_shape) / 3)
        faces = {"mean": model.mean, "far": far, "half": (model.mean + far) / 2}
        return show_widgets(page, [compare(faces, model=model, **traits)], "compare.js")

    return open_widget


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", WIDGETS)
def test_all_words_stand_out(page, show, kind, theme):
    show(kind, theme=theme)
    found = page.evaluate(
        "() => {"
        + LIGHT
        + """
          const words = [...document.querySelectorAll(".v2m *")].filter((node) => node.offsetParent
            && [...node.childNodes].some((part) => part.nodeType === 3 && part.data.trim()));
          return words.filter((node) => node.tagName !== "OPTION")
            .map((node) => [node.textContent.trim(), contrast(getComputedStyle(node).color, ground(node))]);
        }"""  # noqa: E501
    )
    assert len(found) > (60 if kind == "view" else 10)  # with the sliders' labels and numbers
    assert min(ratio for _, ratio in found) >= 4.5, sorted(found, key=lambda pair: pair[1])[:3]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", WIDGETS)
def test_focus_is_seen_on_every_control(page, show, kind, theme):
    show(kind, theme=theme)
    page.locator("body").click(position={"x": 2, "y": 2})
    measure = (
        "() => {"
        + LIGHT
        + """
          const node = document.activeElement, style = getComputedStyle(node);
          return { name: node.ariaLabel || node.textContent, tag: node.tagName,
            wide: parseFloat(style.outlineWidth), drawn: style.outlineStyle !== "none",
            // With an offset there is a gap, and the line lies on what surrounds the control.
            contrast: contrast(style.outlineColor,
              ground(parseFloat(style.outlineOffset) > 0 ? node.parentElement : node)),
            inside: !!node.closest(".v2m") };
        }"""
    )
    seen = []
    for _ in range(16):
        page.keyboard.press("Tab")
        found = page.evaluate(measure)
        if not found["inside"]:
            break
        seen.append(found["tag"])
        assert found["drawn"], found
        assert found["wide"] >= 2, found
        assert found["contrast"] >= 3, found
    assert {"CANVAS", "BUTTON"} <= set(seen)


@pytest.mark.parametrize("kind", WIDGETS)
def test_controls_have_names_roles_and_room(page, show, kind):
    show(kind)
    found = page.evaluate(
        """() => {
          const all = [...document.querySelectorAll(".v2m :is(canvas, button, select, input)")];
          const name = (node) => node.ariaLabel || node.textContent.trim();
          return {
            nameless: all.filter((node) => !name(node)).map((node) => node.outerHTML),
            small: all.filter((node) => node.matches("button, select") && node.offsetParent)
              .filter((node) => Math.min(node.offsetWidth, node.offsetHeight) < 24).map(name),
            forced: all.filter((node) => node.tabIndex > 0).map(name),
            bars: [...document.querySelectorAll("[role=toolbar]")].map((bar) => bar.ariaLabel),
            pictures: [...document.querySelectorAll(".v2m canvas")].map((one) => one.getAttribute("role")),
            same: all.map((node) => node.id).filter(Boolean)
              .filter((id, k, ids) => ids.indexOf(id) !== k),
          };
        }"""  # noqa: E501
    )
    assert found["nameless"] == found["small"] == found["forced"] == found["same"] == []
    assert all(found["bars"])
    assert set(found["pictures"]) == {"img"}


def test_toggles_tell_their_state(page, show):
    show("view")
    for name in ("Show the triangles", "Show the 68 landmarks"):
        one = page.get_by_role("button", name=name)
        assert one.get_attribute("aria-pressed") == "false"
        one.click()
        assert one.get_attribute("aria-pressed") == "true"


def test_nothing_flickers_for_those_who_asked_for_less_motion(page, show):
    page.emulate_media(reduced_motion="reduce")
    try:
        show("comparison", mode="flicker")
        title, seen = page.locator(".v2m-cell .v2m-title"), set()
        for _ in range(12):
            page.wait_for_timeout(100)
            seen.add(title.inner_text())
        assert len(seen) == 1
        assert page.get_by_role("button", name="Pause or go on").inner_text() == "Play"
    finally:
        page.emulate_media(reduced_motion="no-preference")


def test_the_theme_follows_jupyterlab_and_the_button(page, show):
    page.emulate_media(color_scheme="light")
    show("view", sliders=False)
    corner = lambda: pixels(page.locator(".v2m canvas"))[12, 12].mean()  # noqa: E731
    assert corner() > 220
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    wait_until_drawn(page)
    assert corner() < 60
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    wait_until_drawn(page)
    page.get_by_role("button", name="Dark or light").click()
    wait_until_drawn(page)
    assert corner() < 60
    assert page.evaluate("models[0].get('theme')") == "dark"


def test_reset_brings_everything_back(page, show):
    show("view", camera="front")
    canvas = page.locator(".v2m canvas")
    first = pixels(canvas)
    page.get_by_role("slider", name="shape 1, standard deviations").fill("3")
    page.get_by_role("slider", name="jaw open, standard deviations").fill("2")
    canvas.press("ArrowRight")
    wait_until_drawn(page)
    assert change(first, pixels(canvas)) > 0.05
    page.get_by_role("button", name="Reset view and sliders").click()
    wait_until_drawn(page)
    assert change(first[8:-8, 8:-8], pixels(canvas)[8:-8, 8:-8]) < 0.005
    for kind in ("shape_coefficients", "expression_coefficients"):
        assert not np.any(page.evaluate("(kind) => models[0].get(kind)", kind))


def test_the_wheel_zooms_a_face_in_use_and_scrolls_past_others(page, show):
    show("view", sliders=False, camera="front")
    canvas = page.locator(".v2m canvas")
    before = pixels(canvas)
    canvas.hover()
    page.mouse.wheel(0, -300)
    wait_until_drawn(page)
    assert change(before, pixels(canvas)) < 0.005
    canvas.click()
    page.mouse.wheel(0, -300)
    wait_until_drawn(page)
    assert change(before, pixels(canvas)) > 0.05


def test_python_sets_what_the_browser_shows(page, show):
    show("view", sliders=False, camera="front")
    canvas = page.locator(".v2m canvas")
    before = pixels(canvas)
    for name, value in (
        ("selected_region", "nose"), ("lines", ["ear"]), ("show_landmarks", True),
        ("wireframe", True), ("camera", "profile"), ("theme", "dark"),
    ):  # fmt: skip
        page.evaluate("([name, value]) => models[0].set(name, value)", [name, value])
        wait_until_drawn(page)
        after = pixels(canvas)
        assert change(before, after) > 0.005, name
        before = after
    assert page.get_by_role("combobox", name="Highlight a region").input_value() == "nose"


def test_numbers_arrive_as_a_message_and_colour_the_face(page, show, model):
    show("view", sliders=False, camera="front")
    canvas = page.locator(".v2m canvas")
    before = pixels(canvas)
    view = v2m.MeshView(model).colour_by(model.mean[:, 1], name="height")
    numbers = list(view._map.packed_values())
    page.evaluate(
        """([legend, numbers]) => {
          models[0].tell({ kind: "scalars" }, [new DataView(Uint8Array.from(numbers).buffer)]);
          models[0].set("_scalars", legend);
        }""",
        [view._scalars, numbers],
    )
    wait_until_drawn(page)
    coloured = pixels(canvas)
    assert change(before, coloured) > 0.1
    page.evaluate("models[0].set('_scalars', {})")
    wait_until_drawn(page)
    assert change(before, pixels(canvas)) < 0.005
