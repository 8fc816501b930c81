"""Comparing faces, without a browser."""

import base64
import io

import numpy as np
import pytest
import trimesh
from PIL import Image

import v2mlib as v2m
from v2mlib.checks import InputError, ShapeError
from v2mlib.widgets import compare, packing


@pytest.fixture(scope="module")
def ball():
    return trimesh.creation.icosphere(3, 80.0)


@pytest.fixture
def faces(ball):
    """A ball, one that is 2 mm larger, and one moved by 3 mm along x."""
    points = np.asarray(ball.vertices)
    moved = points + np.array([3.0, 0, 0])
    return {
        "ball": ball,
        "larger": (points * 82 / 80, ball.faces),
        "moved": (moved, ball.faces),
    }


def test_differences_are_the_distances_we_made(faces, ball):
    shown = compare(faces)
    assert list(shown.differences) == ["larger", "moved"]
    np.testing.assert_allclose(shown.differences["larger"], 2.0, atol=1e-9)
    np.testing.assert_allclose(shown.differences["moved"], 3.0, atol=1e-9)
    signed = compare(faces, signed=True).differences
    assert signed["larger"].min() > 1.99  # outwards is positive
    along = 3.0 * np.asarray(ball.vertices)[:, 0] / 80.0
    np.testing.assert_allclose(signed["moved"], along, atol=0.05)


def test_faces_share_one_colour_map_in_mm(faces):
    packed = compare(faces, limits=(0, 4))._packed()
    assert packed["map"]["unit"] == "mm"
    assert packed["map"]["name"] == "from ball"
    assert (packed["map"]["low"], packed["map"]["high"]) == (0.0, 4.0)
    assert packed["faces"][2]["summary"] == "mean 3.00, largest 3.00 mm"
    assert np.frombuffer(packed["faces"][2]["values"], "<f4")[5] == pytest.approx(3.0)
    assert "values" not in packed["faces"][0]
    np.testing.assert_allclose(
        packing.unpack_vertices(packed["faces"][1]), faces["larger"][0], atol=0.01
    )
    assert compare(faces, signed=True)._packed()["map"]["low"] < 0


def test_sequences_and_bare_vertices_get_names_and_triangles(ball):
    pair = [(ball.vertices, ball.faces)] * 2
    assert compare(pair).names == ["face 1", "face 2"]
    model = v2m.load_face_model("phantom")
    shown = compare({"mean": model.mean, "same": model.mean.numpy()}, model=model)
    assert shown.differences["same"].max() == 0
    with pytest.raises(ShapeError, match="topology of 'the model'"):
        compare({"a": ball, "b": ball}, model=model)


def test_what_cannot_be_compared_is_refused(faces, ball):
    with pytest.raises(InputError, match="faces are 1: give at least two"):
        compare([ball])
    small = trimesh.creation.icosphere(1)
    with pytest.raises(ShapeError, match=r"'b' has 42 vertices, expected .*'a' with 642"):
        compare({"a": ball, "b": small})
    turned = np.asarray(ball.faces)[:, ::-1]
    with pytest.raises(ShapeError, match="vertex by vertex"):
        compare({"a": ball, "b": (ball.vertices, turned)})
    with pytest.raises(InputError, match="blink is not a way to compare"):
        compare(faces, mode="blink")
    with pytest.raises(InputError, match="back is not a camera preset"):
        compare(faces, camera="back")
    with pytest.raises(InputError, match=r"nose is not a face to compare: use one of"):
        compare(faces, shown="nose")


def test_the_browsers_choices_reach_python(faces):
    shown, seen = compare(faces), []
    shown.observe(lambda event: seen.append(event["new"]), "mode")
    shown.set_state({"mode": "wipe", "wipe": 0.25, "shown": "moved"})
    assert (shown.mode, shown.wipe, shown.shown) == ("wipe", 0.25, "moved")
    assert seen == ["wipe"]


def test_every_mode_leaves_its_picture(faces):
    shown, pictures = compare(faces, camera="front"), {}
    for mode, width in {
        "side_by_side": 912,
        "difference": 912,
        "flicker": 606,
        "wipe": 300,
    }.items():
        shown.mode = mode
        bundled = shown._repr_mimebundle_()
        data = bundled[0] if isinstance(bundled, tuple) else bundled
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        caption = 24 if mode == "difference" else 0
        assert image.size == (width, 300 + caption), mode
        pictures[mode] = np.asarray(image, int)
    first = pictures["side_by_side"][40:, :300]
    # The wipe is the first face left of its line and the second one right of it.
    assert (np.abs(pictures["wipe"][40:] - first).sum(-1)[:, :145] > 60).mean() < 0.01
    apart = np.abs(pictures["difference"][:300] - pictures["side_by_side"]).sum(-1)
    assert (apart > 60).mean() > 0.1
    state = shown.get_state()
    assert not any(isinstance(value, (bytes, memoryview)) for value in state.values())
