"""Laws of images: every depth and kind is read right, and a smaller one is a mean of areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nerf.captures.images.files import read_header, read_image, read_images, shrink
from nerf.scenes.loading import load_folder
from tests.support.captures import refusal, write_nerfstudio


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def ramp(*shape):
    return np.arange(np.prod(shape)).reshape(shape)


def test_grey_with_16_bits(tmp_path):
    pixels = (ramp(4, 5) * 3000).astype(np.uint16)
    found = read_image(save(tmp_path / "a.png", pixels))
    np.testing.assert_allclose(found, np.repeat(pixels[..., None] / 65535, 3, -1), atol=1e-6)


def test_colour_with_16_bits(tmp_path):
    """Written by hand: few writers make such files, and all cameras' raw converters do."""
    import struct
    import zlib

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (3, 4, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )  # fmt: skip

    head = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    found = read_image(tmp_path / "a.png")
    np.testing.assert_allclose(found, pixels / 65535, atol=1 / 255)


def test_palettes_and_transparency(tmp_path):
    grey = Image.fromarray((ramp(4, 4) * 16).astype(np.uint8))
    grey.convert("P").save(tmp_path / "p.png")
    grey.convert("LA").save(tmp_path / "la.png")
    grey.convert("1").save(tmp_path / "1.png")
    assert read_image(tmp_path / "p.png").shape == (4, 4, 3)
    assert read_image(tmp_path / "la.png").shape == (4, 4, 4)
    assert set(np.unique(read_image(tmp_path / "1.png"))) <= {0.0, 1.0}


def test_a_transparent_image_lies_over_the_background(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 0] = 255
    pixels[0, :, 3] = [0, 51, 255]
    file = save(tmp_path / "a.png", pixels)
    white, black = (read_images([file], background=name)[0] for name in ("white", "black"))
    np.testing.assert_allclose(white[0], [[1, 1, 1], [1, 0.8, 0.8], [1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(black[0], [[0, 0, 0], [0.2, 0, 0], [1, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_orientation_turns_an_image_upright_where_that_is_asked(tmp_path, orientation, ending):
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = save(tmp_path / f"a.{ending}", pixels, exif=exif)
    assert read_header(file).size == (24, 16)
    np.testing.assert_allclose(read_image(file), pixels / 255, atol=0.05)
    turned = np.asarray(read_image(file, orient=True))
    assert turned.shape[:2] == ((24, 16) if orientation > 4 else (16, 24))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1)}
    assert turned[corner.get(orientation, (-1, 0))].min() > 0.9


def test_orientation_counts_where_only_so_the_lens_fits(tmp_path):
    """Poses made from upright images, beside files that are stored lying down, and the like."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for size, turned in (((8, 12), True), ((12, 8), False)):
        folder = write_nerfstudio(tmp_path / str(turned), w=size[0], h=size[1])
        for i in range(6):
            pixels = np.full((8, 12, 3), 10 * i, np.uint8)
            save(folder / "images" / f"view_{i}.png", pixels, exif=exif)
        loaded = load_folder(folder)
        assert loaded.scene.images.stack().shape[1:3] == (size[1], size[0])
        assert any("turned as EXIF says" in note for note in loaded.notes) == turned


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 4), st.integers(0, 2**32 - 1))
def test_shrinking_keeps_the_mean(sizes, seed):
    rows, columns, height, width = sizes
    height, width = min(height, rows), min(width, columns)
    pixels = np.random.default_rng(seed).random((rows, columns, 3)).astype(np.float32)
    small = shrink(pixels, height, width)
    assert small.shape == (height, width, 3)
    np.testing.assert_allclose(small.mean(axis=(0, 1)), pixels.mean(axis=(0, 1)), atol=1e-6)
    if (height, width) == (rows, columns):
        np.testing.assert_allclose(small, pixels, atol=1e-6)


def test_what_is_transparent_gives_no_colour_to_smaller_images():
    pixels = np.zeros((1, 2, 4), np.float32)
    pixels[0, 0] = [1.0, 0.0, 0.0, 1.0]
    pixels[0, 1] = [0.0, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(shrink(pixels, 1, 1)[0, 0], [1.0, 0.0, 0.0, 0.5])


def test_a_header_that_announces_two_gigapixels_is_refused_unread(tmp_path):
    folder = write_nerfstudio(tmp_path)
    file = folder / "images" / "view_0.png"
    content = bytearray(file.read_bytes())
    content[16:24] = (2**15).to_bytes(4, "big") + (2**16).to_bytes(4, "big")
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    file.write_bytes(bytes(content))
    message = refusal(folder)
    assert "pixels: give a smaller `max_size`" in message
    assert "make smaller copies in an images_N folder" in message
