"""The contact sheet: what is drawn where."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from v2mlib.checks import InputError, ShapeError
from v2mlib.photos import Landmarks, contact_sheet
from v2mlib.photos.contact_sheet import PART_COLOURS

CELL, GAP = 160, 10


def face():
    """68 points on a grid of 60 x 60 pixels, parts far apart."""
    rows, columns = np.divmod(np.arange(68), 9)
    return np.stack([20 + 60 * columns / 8, 20 + 60 * rows / 7], axis=1)


def photo(level=128):
    return np.full((100, 100, 3), level, np.uint8)


def drawn(sheet, column, row=0):
    """Pixels of one cell's photograph."""
    x, step = GAP + column * (CELL + GAP), CELL + GAP
    return np.asarray(sheet, dtype=int)[GAP + row * step :, x:][:CELL, :CELL]


def is_colour(pixel, colour, tolerance=40):
    return np.abs(pixel - ImageColor.getrgb(colour)).max() <= tolerance


def test_landmarks_are_drawn_where_they_are():
    landmarks = Landmarks(face().astype(np.float32), np.zeros(4, np.float32), 1.0)
    shown = drawn(contact_sheet([photo()], [landmarks], cell=CELL, whole=True), 0)
    scale = CELL / 100
    for number, part in ((4, "jaw"), (30, "nose"), (38, "right_eye"), (50, "outer_lips")):
        x, y = np.rint((face()[number] + 0.5) * scale - 0.5).astype(int)
        around = shown[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3)
        assert any(is_colour(pixel, PART_COLOURS[part]) for pixel in around), part
    assert (np.abs(shown[5:25, 5:25] - 128) <= 1).all()  # nothing but the photograph


def test_view_follows_the_face():
    image = photo()
    image[:, 90:] = (250, 0, 0)
    near = drawn(contact_sheet([image], [face() * 0.2], cell=CELL), 0)
    far = drawn(contact_sheet([image], [face() * 0.2], cell=CELL, whole=True), 0)
    assert not (near[..., 0] > near[..., 1] + 200).any()
    assert (far[..., 0] > far[..., 1] + 200).any()


def test_rejected_photos_are_grey_and_framed_and_say_why():
    red = np.zeros((100, 100, 3), np.uint8) + np.uint8([200, 20, 20])
    sheet = contact_sheet([red, red], reasons=[None, "turned too far"], cell=CELL)
    used, rejected = drawn(sheet, 0), drawn(sheet, 1)
    assert (np.abs(used[80, 80] - [200, 20, 20]) <= 2).all()
    assert np.ptp(rejected[80, 80]) < 50
    assert is_colour(rejected[80, 1], "#c0392b")
    plain = contact_sheet([red, red], cell=CELL)
    assert sheet.height > plain.height  # room for reasons only where there are any
    words = np.asarray(sheet, dtype=int)[GAP + CELL + 18 : GAP + CELL + 34]
    written = (words[..., 0] - words[..., 1] > 60).any(0)
    assert written[GAP + CELL + GAP :].any()
    assert not written[: GAP + CELL].any()


def test_unreadable_photos_do_not_stop_the_sheet(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"")
    Image.fromarray(photo()).save(tmp_path / "good.png")
    sheet = contact_sheet([tmp_path / "broken.jpg", tmp_path / "good.png"], cell=CELL)
    assert is_colour(drawn(sheet, 0)[80, 1], "#c0392b")
    assert (np.abs(drawn(sheet, 1)[80, 80] - 128) <= 1).all()


def test_names_and_residuals_change_the_text():
    def below(**given):
        return np.asarray(contact_sheet([photo()], cell=CELL, **given))[GAP + CELL :]

    nameless = below(names=[""])
    assert (nameless[:20] == 255).all()
    named, measured = below(names=["0001"]), below(names=["0001"], residuals=[2.5], unit="%")
    assert (named[:20] < 200).any()
    half = GAP + CELL // 2
    assert (named[:20, :half] == measured[:20, :half]).all()
    assert (named[:20, half:] == 255).all()
    assert (measured[:20, half:] < 200).any()
    long = below(names=["a name that is far too long to fit below its photograph"])
    assert (long[:20, GAP + CELL + 1 :] == 255).all()


def test_rows_and_columns():
    sheet = contact_sheet([photo()] * 5, columns=2, cell=CELL)
    assert sheet.width == 2 * (CELL + GAP) + GAP
    assert sheet.height > 3 * (CELL + GAP)
    assert sheet.mode == "RGB"
    unknown = np.full((68, 2), np.nan)
    partly = face()
    partly[30:] = np.nan
    shown = drawn(contact_sheet([photo()] * 2, [unknown, partly], cell=CELL, whole=True), 0)
    assert (np.abs(shown - 128) <= 1).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="cannot show 0 photos"):
        contact_sheet([])
    with pytest.raises(InputError, match="landmarks are 2 for 1 photos"):
        contact_sheet([photo()], [None, None])
    with pytest.raises(InputError, match="reasons are 0 for 1 photos"):
        contact_sheet([photo()], reasons=[])
    with pytest.raises(ShapeError, match="Transposed"):
        contact_sheet([photo()], [face().T])
