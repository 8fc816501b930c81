"""What hands, keys and screen readers find in the widgets, in a real browser without a kernel."""

import base64
import io

import numpy as np
import pytest
from browser import PATIENCE_S, browser_page, show_widgets, wait_until_drawn, widget_state
from PIL import Image
from test_notebooks_in_browser import change, is_blank, pixels

import v2mlib as v2m
from v2mlib.widgets import compare, packing


@pytest.fixture(scope="module")
def page():
    with browser_page((760, 1000)) as page:
        yield page
        assert page.complaints == []


@pytest.fixture(scope="module")
def model():
    return v2m.load_face_model("phantom")


@pytest.fixture(scope="module")
def faces(model):
    """The mean and two faces some mm away from it."""
    coefficients = np.zeros((2, model.n_shape))
    coefficients[0, :5], coefficients[1, :5] = 2.0, -2.0
    far = model.decode(model.mean.new_tensor(coefficients)).numpy()
    return {"mean": model.mean.numpy(), "far": far[0], "other": far[1]}


def trait(page, name, number=0):
    return page.evaluate("([k, name]) => models[k].get(name)", [number, name])


def at_rest(page, number=0):
    """A canvas after the last motion, as pixels without the frame that shows its focus."""
    wait_until_drawn(page)
    return pixels(page.locator(".v2m canvas").nth(number))[8:-8, 8:-8]


def test_a_slider_moves_the_face_and_says_little(page, model):
    show_widgets(page, [v2m.MeshView(model, camera="front", title="face")], "widget.js")
    before = at_rest(page)
    assert not is_blank(before)
    slider = page.get_by_role("slider", name="shape 1, standard deviations")
    slider.fill("2.5")
    after = at_rest(page)
    assert change(after, before) > 0.02
    assert trait(page, "shape_coefficients")[0] == 2.5
    for k in range(2, model.n_shape):
        page.get_by_role("slider", name=f"shape {k}, standard deviations").fill("-1.35")
    wait_until_drawn(page)
    per_update = page.evaluate("models[0].bytes / models[0].sent")
    assert 10 < per_update <= 4096
    # What Python sets arrives too.
    page.evaluate("models[0].set('shape_coefficients', Array(40).fill(0))")
    assert slider.input_value() == "0"
    back = at_rest(page)
    assert change(before, back) < 0.005 < change(after, back)


def test_a_face_in_motion_is_coarse_and_at_rest_fine(page, model):
    show_widgets(page, [v2m.MeshView(model, sliders=False, camera="front")], "widget.js")
    fine = at_rest(page)
    # Seen from within the page: on a busy machine a test that asks from outside comes too late.
    drawn = page.evaluate(
        """() => {
          [...document.querySelectorAll("button")].find((b) => b.textContent === "Profile").click();
          return document.querySelector("canvas").dataset.drawn;
        }"""
    )
    assert drawn == "soon"
    page.get_by_role("button", name="Front view").click()
    assert change(at_rest(page), fine) < 0.005
    # Nothing moves: nothing is drawn.
    count = "[...globalThis[Symbol.for('v2mlib.viewer.2')].views].map((v) => v.redraws).join()"
    drawn = page.evaluate(count)
    page.wait_for_timeout(400)
    assert page.evaluate(count) == drawn


@pytest.mark.parametrize(
    ("state", "limit"),
    [
        ({}, 0.01),
        ({"theme": "dark", "camera": "profile"}, 0.01),
        ({"scalars": "displacement", "shape_coefficients": [2.0, 2.0, 2.0]}, 0.01),
        ({"selected_region": "nose", "wireframe": True}, 0.15),  # lines of other smoothness
    ],
)
def test_motion_looks_as_rest_does(page, model, state, limit):
    show_widgets(page, [v2m.MeshView(model, sliders=False, **state)], "widget.js")
    pair = page.evaluate(
        """() => {
          const [view] = globalThis[Symbol.for("v2mlib.viewer.2")].views;
          return [true, false].map((busy) => {
            Object.assign(view, { busy }).draw(busy ? 1 : 2);
            return view.canvas.toDataURL().split(",")[1];
          });
        }"""
    )
    motion, rest = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"), int)
        for text in pair
    )
    assert not is_blank(motion)
    assert change(motion, rest) < limit
    # Silhouettes are smoother at rest; no colour changes.
    assert np.abs(motion - rest).mean() < 2.5
    assert abs((motion - rest).mean()) < 1.5


def test_many_small_steps_do_not_add_up_to_an_error(page, model):
    view = v2m.MeshView(model)
    show_widgets(page, [view], "widget.js")
    # As a hand that never rests, and what a rest then makes of it.
    found = page.evaluate(
        """() => {
          const { mesh } = [...globalThis[Symbol.for("v2mlib.viewer.2")].views][0];
          const last = Array.from({ length: 50 }, (_, k) => 2.5 * Math.sin(k));
          for (let step = 1; step <= 390; step++) {
            mesh.pose(last.map((value, k) => (k % 7 ? value : Math.sin(step + k))));
          }
          mesh.pose(last);
          const moving = [...mesh.positions];
          mesh.pose(last, true);
          return [last, moving, [...mesh.positions]];
        }"""
    )
    coefficients = found[0]
    view.shape_coefficients, view.expression_coefficients = coefficients[:40], coefficients[40:]
    moving, rest = (np.abs(np.reshape(one, (-1, 3)) - view.vertices).max() for one in found[1:])
    assert moving < 0.05
    assert rest < 0.05
    assert np.abs(np.subtract(*found[1:])).max() < 0.002


def test_a_face_shows_before_its_modes_come(page, model):
    view = v2m.MeshView(model, camera="front", shape_coefficients=[2.0, -2.0])
    show_widgets(page, [view], "widget.js")
    expected = at_rest(page)
    whole = packing.as_text(view._packed())
    late = {name: whole.pop(name) for name in ("modes", "mode_steps")}
    page.evaluate(
        """([payload, state]) => {
          document.body.replaceChildren();
          models[0] = showWidget(payload, state, document.body);
        }""",
        [whole, widget_state(view)],
    )
    shown = at_rest(page)
    assert change(shown, expected) < 0.005  # as its coefficients make it
    slider = page.get_by_role("slider", name="shape 1, standard deviations")
    slider.fill("-2.5")
    assert change(at_rest(page), shown) < 0.005  # nothing to move it with
    page.evaluate("(modes) => models[0].tell({ kind: 'modes', modes })", late)
    moved = at_rest(page)
    assert change(moved, shown) > 0.02
    slider.fill("2")
    assert change(at_rest(page), expected) < 0.005


def test_keys_turn_zoom_and_reset(page, model):
    show_widgets(page, [v2m.MeshView(model, sliders=False, camera="front")], "widget.js")
    canvas, front = page.locator("canvas"), at_rest(page)
    for key, share in (("ArrowRight", 0.02), ("ArrowUp", 0.02), ("+", 0.02), ("3", 0.1)):
        before = at_rest(page)
        canvas.press(key)
        assert change(at_rest(page), before) > share, key
    canvas.press("Shift+ArrowLeft")
    canvas.press("0")
    assert change(at_rest(page), front) < 0.005


def test_touch_turns_and_pinches(page, model):
    show_widgets(page, [v2m.MeshView(model, sliders=False, camera="front")], "widget.js")
    point = """([id, kind, x, y]) => document.querySelector("canvas").dispatchEvent(
      new PointerEvent(kind, { pointerId: id, clientX: x, clientY: y, bubbles: true }))"""
    # A pointer that the browser did not make cannot be captured.
    page.evaluate("Element.prototype.setPointerCapture = () => {}")
    still = at_rest(page)
    for step in ([1, "pointerdown", 300, 200], [1, "pointermove", 380, 200]):
        page.evaluate(point, step)
    turned = at_rest(page)
    assert change(turned, still) > 0.1
    for step in ([2, "pointerdown", 420, 200], [2, "pointermove", 500, 200]):
        page.evaluate(point, step)
    assert change(at_rest(page), turned) > 0.1


def test_two_views_of_one_link_turn_together(page, model):
    views = [v2m.MeshView(model, sliders=False, height=260, link="pair") for _ in range(2)]
    show_widgets(page, views, "widget.js")
    before = at_rest(page, 1)
    page.get_by_role("button", name="Profile view").first.click()
    assert change(at_rest(page, 1), before) > 0.1
    assert trait(page, "camera") == "profile"


def test_marks_by_name(page, model):
    show_widgets(page, [v2m.MeshView(model, sliders=False, camera="front")], "widget.js")
    before = at_rest(page)
    page.get_by_role("combobox", name="Show lines").select_option("jaw_width")
    page.get_by_role("combobox", name="Highlight a region").select_option("mouth")
    page.get_by_role("button", name="Show the 68 landmarks").click()
    assert change(at_rest(page), before) > 0.02
    assert trait(page, "lines") == ["jaw_width"]
    assert trait(page, "selected_region") == "mouth"
    assert trait(page, "show_landmarks") is True


def test_faces_are_compared_in_four_ways(page, model, faces):
    shown = compare(faces, model=model, camera="front", height=260)
    show_widgets(page, [shown], "compare.js")
    canvases = page.locator("canvas")
    assert canvases.count() == 3
    plain, first = at_rest(page, 1), at_rest(page, 0)
    page.get_by_role("button", name="Difference of the faces").click()
    assert change(at_rest(page, 1), plain) > 0.2
    assert change(at_rest(page, 0), first) < 0.005  # the first keeps its colours
    assert page.get_by_text("largest").count() == 2
    before = at_rest(page, 2)
    canvases.first.press("3")
    assert change(at_rest(page, 2), before) > 0.1  # linked
    canvases.first.press("1")
    page.get_by_role("button", name="Wipe of the faces").click()
    assert canvases.count() == 1
    page.get_by_role("combobox", name="Face beside mean").select_option("other")
    knob = page.get_by_role("slider", name="Share of mean in the picture")
    pictures = {}
    for share in ("1", "0.5", "0"):
        knob.fill(share)
        pictures[share] = at_rest(page)
    assert trait(page, "wipe") == 0
    assert trait(page, "shown") == "other"
    half = pictures["1"].shape[1] // 2 - 4
    assert change(pictures["1"], pictures["0"]) > 0.02
    assert change(pictures["0.5"][:, :half], pictures["1"][:, :half]) < 0.005
    right = slice(half + 8, None)
    assert change(pictures["0.5"][:, right], pictures["0"][:, right]) < 0.005


def test_flicker_takes_turns_until_it_is_paused(page, model, faces):
    shown = compare(faces, model=model, camera="front", height=260, mode="flicker")
    show_widgets(page, [shown], "compare.js")
    title = page.locator(".v2m-cell .v2m-title")
    seen = set()
    for _ in range(10 * PATIENCE_S):
        seen.add(title.inner_text())
        if len(seen) == 2:
            break
        page.wait_for_timeout(100)
    assert seen == {"mean", "far"}
    page.get_by_role("button", name="Pause or go on").click()
    named, before = title.inner_text(), at_rest(page)
    page.wait_for_timeout(900)
    assert title.inner_text() == named
    assert change(at_rest(page), before) < 0.005


def test_every_control_has_a_name_and_focus_follows_the_page(page, model, faces):
    for widget, entry in (
        (v2m.MeshView(model, title="face"), "widget.js"),
        (compare(faces, model=model, mode="wipe"), "compare.js"),
    ):
        show_widgets(page, [widget], entry)
        controls = "[...document.querySelectorAll('.v2m :is(canvas, button, select, input)')]"
        nameless = page.evaluate(
            f"{controls}.filter((c) => !(c.ariaLabel || c.textContent.trim()))"
            ".map((c) => c.outerHTML)"
        )
        assert nameless == []
        page.evaluate("document.activeElement.blur()")
        order = []
        for _ in range(12):
            page.keyboard.press("Tab")
            order.append(
                page.evaluate(
                    "[...document.querySelectorAll('.v2m *')].indexOf(document.activeElement)"
                )
            )
        assert order == sorted(order)
        assert len(set(order)) == 12


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_stand_out_in_both_themes(page, model, faces, theme):
    show_widgets(page, [compare(faces, model=model, theme=theme, mode="difference")], "compare.js")
    found = page.evaluate(
        """() => {
          const light = (css) => css.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
          const ground = (node) => {
            const css = getComputedStyle(node).backgroundColor;
            return /, 0\\)/.test(css) || css === "transparent" ? ground(node.parentElement) : css;
          };
          const words = ".v2m-title, .v2m-caption, .v2m button, .v2m select";
          return [...document.querySelectorAll(words)].filter((node) => node.offsetParent)
            .map((node) => {
              const pair = [light(getComputedStyle(node).color), light(ground(node))];
              return [node.textContent, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
            });
        }"""
    )
    assert len(found) > 10
    assert min(ratio for _, ratio in found) >= 4.5, sorted(found, key=lambda pair: pair[1])[:3]
    picture = at_rest(page)
    corner = picture[0, 0].mean()
    assert corner > 220 if theme == "light" else corner < 60
