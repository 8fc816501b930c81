"""Photographs of every common kind, and what is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from v2mlib.checks import InputError, ShapeError
from v2mlib.photos import read_photo
from v2mlib.photos.reading import as_photo

ROWS, COLUMNS = 24, 40


def picture():
    """Red upper left quarter, blue lower right: no turn or mirror image looks the same."""
    levels = np.full((ROWS, COLUMNS, 3), 90, np.uint8)
    levels[: ROWS // 2, : COLUMNS // 2] = (200, 30, 30)
    levels[ROWS // 2 :, COLUMNS // 2 :] = (30, 30, 200)
    return levels


@pytest.mark.parametrize("name", ["p.png", "p.bmp", "p.tiff", "p.webp", "p.ppm", "p.gif"])
def test_lossless_formats_come_back_as_stored(tmp_path, name):
    Image.fromarray(picture()).save(tmp_path / name, lossless=True)
    found = read_photo(tmp_path / name)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, picture())


_AS_STORED = {  # how a camera stores an upright picture, by EXIF orientation
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path, orientation):
    stored = _AS_STORED[orientation](picture())
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "p.png", exif=exif)
    np.testing.assert_array_equal(read_photo(tmp_path / "p.png"), picture())


def test_greyscale_palette_and_cmyk_become_rgb(tmp_path):
    grey = Image.fromarray(picture()).convert("L")
    grey.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(
        read_photo(tmp_path / "grey.png"), np.asarray(grey)[..., None].repeat(3, 2)
    )
    Image.fromarray(picture()).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "p.png"), picture())
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "p.jpg", quality=100)
    found = read_photo(tmp_path / "p.jpg").astype(int)
    assert np.abs(found[4, 4] - [200, 30, 30]).max() < 12
    assert np.abs(found[-4, -4] - [30, 30, 200]).max() < 12


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    ramp = np.linspace(0, 65535, ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "p.png")
    found = read_photo(tmp_path / "p.png")
    np.testing.assert_array_equal(found[..., 0], np.rint(ramp / 257).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_lie_on_white(tmp_path, mode):
    image = Image.fromarray(picture()).convert("RGBA")
    opaque = np.full((ROWS, COLUMNS), 255, np.uint8)
    opaque[:, :8] = 0
    image.putalpha(Image.fromarray(opaque))
    if mode == "P":
        image = image.quantize(8)
        assert image.mode == "P"
    image.convert(mode).save(tmp_path / "p.png")
    found = read_photo(tmp_path / "p.png")
    assert (found[:, :8] == 255).all()
    assert (found[:, 8:] < 220).all()


def test_the_first_of_several_pictures_is_taken(tmp_path):
    first, other = Image.fromarray(picture()), Image.new("RGB", (COLUMNS, ROWS), "white")
    first.save(tmp_path / "p.tiff", save_all=True, append_images=[other])
    np.testing.assert_array_equal(read_photo(tmp_path / "p.tiff"), picture())


def jpeg():
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(
        stream, "JPEG"
    )
    return stream.getvalue()


def bomb():
    """A small PNG that promises 20,000 x 20,000 pixels."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty .*: copy or download it again"),
        (b"<html>not found</html>" * 9, "is not a photograph that can be read: use JPEG"),
        (jpeg()[:900], "is truncated or damaged .*: copy or download it again"),
        (bomb(), "unfolds to more than 89 million pixels: scale it down"),
    ],
)
def test_bad_files_are_refused_with_a_remedy(tmp_path, content, message):
    (tmp_path / "p.jpg").write_bytes(content)
    with pytest.raises(InputError, match=rf"p\.jpg {message}"):
        read_photo(tmp_path / "p.jpg")


def test_postscript_is_never_interpreted(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "p.eps")
    with pytest.raises(InputError, match="is not a photograph"):
        read_photo(tmp_path / "p.eps")


def test_missing_folders_and_tiny_or_unscaled_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist: check the spelling"):
        read_photo(tmp_path / "p.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_photo(tmp_path)
    Image.new("RGB", (5, 80)).save(tmp_path / "p.png")
    with pytest.raises(InputError, match="has 5 x 80 pixels: use photos of at least 16 x 16"):
        read_photo(tmp_path / "p.png")
    Image.fromarray(np.zeros((30, 30), np.float32)).save(tmp_path / "p.tiff")
    with pytest.raises(InputError, match="32-bit numbers"):
        read_photo(tmp_path / "p.tiff")


def test_arrays_are_checked():
    with pytest.raises(ShapeError, match="Colours first"):
        as_photo(np.zeros((3, 40, 40), np.uint8))
    with pytest.raises(ShapeError, match=r"\(40, 40\)"):
        as_photo(np.zeros((40, 40), np.uint8))
    with pytest.raises(InputError, match="float64: give 8-bit"):
        as_photo(np.zeros((40, 40, 3)))
