"""Laws of images for people: bytes, colours of depth, comparisons."""

import numpy as np
import pytest
from PIL import Image

from nerf.output import images

GREY = 100 / 255


def luminance(image):
    return image @ np.array([0.2126, 0.7152, 0.0722])


# Bytes.


@pytest.mark.parametrize(
    ("value", "byte"),
    [
        (0.0, 0),
        (1.0, 255),
        (0.5, 128),
        (0.4 / 255, 0),
        (0.6 / 255, 1),
        (254.6 / 255, 255),
        (-3.0, 0),
        (1.5, 255),
        (np.inf, 255),
        (GREY, 100),
    ],
)
def test_bytes_are_rounded_and_clipped(value, byte):
    found = images.to_bytes(np.full((1, 1, 3), value, np.float32))
    assert found.dtype == np.uint8
    assert found.tolist() == [[[byte] * 3]]


def test_every_byte_comes_back():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(images.to_bytes(levels / np.float32(255)), levels)


def test_a_png_is_the_image_pixel_for_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    images.write_png(tmp_path / "a.png", pixels / np.float32(255))
    images.write_sheet(tmp_path / "b.png", pixels)
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / name) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (7, 5))
            np.testing.assert_array_equal(np.asarray(image), pixels)


# Depth.


def test_near_is_bright_and_far_is_dark():
    depth = np.linspace(1.0, 50.0, 400, dtype=np.float32).reshape(20, 20)
    colours = images.colorize_depth(depth)
    assert colours.shape == (20, 20, 3)
    assert colours.dtype == np.float32
    brightness = luminance(colours).ravel()
    assert (np.diff(brightness) <= 0).all()
    assert brightness[0] > 0.9
    assert brightness[-1] < 0.05
    assert len(np.unique(brightness)) > 300


def test_colours_are_even_in_the_inverse_of_depth():
    """The middle of the colour map lies at twice the near depth when far is infinity."""
    disparity = np.linspace(0.0, 1.0, 101)
    depth = (1.0 / np.maximum(disparity, 1e-6)).astype(np.float32)[None]
    colours = images.colorize_depth(depth)[0]
    twice = images.colorize_depth(2 * depth)[0]
    np.testing.assert_allclose(colours, twice, atol=1e-4)  # the image's own range
    np.testing.assert_allclose(colours[50], np.divide((181.5, 55, 120.5), 255), atol=1e-3)


def test_outliers_do_not_take_the_range():
    depth = np.linspace(2.0, 4.0, 1000, dtype=np.float32).reshape(25, 40)
    spoilt = depth.copy()
    spoilt[0, 0], spoilt[-1, -1] = 1e-4, 1e6
    inner = (slice(2, -2), slice(None))
    np.testing.assert_allclose(
        images.colorize_depth(spoilt)[inner], images.colorize_depth(depth)[inner], atol=0.02
    )


@pytest.mark.parametrize("depth", [0.0, 1e-30, 3.0, 1e30, np.inf])
def test_one_depth_everywhere_has_one_finite_colour(depth):
    colours = images.colorize_depth(np.full((3, 4), depth, np.float32))
    assert np.isfinite(colours).all()
    assert (colours >= 0).all()
    assert (colours <= 1).all()
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 1


# Comparisons.


@pytest.mark.parametrize(
    ("width", "factor"), [(1, 480), (160, 3), (161, 3), (240, 2), (479, 2), (480, 1), (1000, 1)]
)
def test_small_images_are_enlarged_by_a_whole_factor(width, factor):
    image = np.full((2, width, 3), 77, np.uint8)
    enlarged = images.enlarge(image)
    assert enlarged.shape == (2 * factor, width * factor, 3)
    assert (enlarged == 77).all()


def test_an_enlarged_image_keeps_its_places():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0], image[1, 1] = (255, 0, 0), (0, 0, 255)
    enlarged = images.enlarge(image, min_width=40)
    assert enlarged.shape == (40, 40, 3)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        found = enlarged[5 + 29 * row, 5 + 29 * column].astype(int)
        assert np.abs(found - image[row, column]).max() < 40


@pytest.mark.parametrize(
    ("num", "rows", "columns"), [(1, 1, 1), (4, 1, 4), (5, 2, 3), (8, 2, 4), (11, 3, 4)]
)
def test_a_contact_sheet_is_read_row_by_row(num, rows, columns):
    shades = np.linspace(0.2, 0.8, num)
    panels = [(str(n), np.full((30, 480, 3), shade, np.float32)) for n, shade in enumerate(shades)]
    sheet = images.contact_sheet(panels)
    height, width = (30 + 30 + 8) * rows, (480 + 8) * columns + 8
    assert sheet.shape == (height, width, 3)
    for n, shade in enumerate(shades):
        row, column = divmod(n, columns)
        middle = sheet[row * 68 + 30 + 15, 8 + column * 488 + 240]
        assert middle.tolist() == [round(shade * 255)] * 3


def test_panels_lie_side_by_side_under_their_captions():
    rng = np.random.default_rng(0)
    panels = [(name, rng.uniform(size=(20, 500, 3)).astype(np.float32)) for name in "abc"]
    sheet = images.side_by_side(panels)
    top, gap = 30, 8
    assert sheet.shape == (top + 20 + gap, gap + 3 * (500 + gap), 3)
    rest = np.ones(sheet.shape[:2], bool)
    for number, (_, image) in enumerate(panels):
        left = gap + number * (500 + gap)
        place = (slice(top, top + 20), slice(left, left + 500))
        np.testing.assert_array_equal(sheet[place], images.to_bytes(image))
        rest[place] = False
        assert (sheet[:top, left : left + 100] < 128).any()  # the caption
        rest[:top, left : left + 100] = False
    assert (sheet[rest] == 255).all()


def test_panels_of_two_sizes_are_refused():
    panels = [("a", np.zeros((5, 500, 3), np.float32)), ("b", np.zeros((6, 500, 3), np.float32))]
    with pytest.raises(AssertionError):
        images.side_by_side(panels)


def test_captions_are_drawn_alike_in_each_form_of_unicode():
    image = np.zeros((20, 200, 3), np.float32)
    composed, decomposed = "S\u00e4ule", "Sa\u0308ule"
    one, other = (images.side_by_side([(text, image)]) for text in (composed, decomposed))
    np.testing.assert_array_equal(one, other)


# Errors.


def test_the_colour_of_an_error_says_its_size_on_one_scale_for_all_images():
    truth = np.full((1, 5, 3), 0.5, np.float32)
    errors = np.array([0.0, 0.01, 0.04, images.MAX_ERROR, 0.5], np.float32)
    colours = images.colorize_error(truth + errors[None, :, None], truth)
    assert np.allclose(colours[0], images.magma(np.array([0.0, 0.2, 0.4, 1.0, 1.0])), atol=1e-4)
    assert (np.diff(luminance(colours)[0][:4]) > 0).all()
    alone = images.colorize_error(truth[:, :1] + errors[1], truth[:, :1])
    assert np.allclose(alone[0, 0], colours[0, 1], atol=1e-6)


def test_pixels_that_do_not_count_are_hatched_in_the_errors():
    truth = np.zeros((16, 16, 3), np.float32)
    mask = np.arange(16)[None, :].repeat(16, axis=0) < 8
    one, other = (images.colorize_error(truth + x, truth, mask) for x in (0.0, 0.2))
    assert not np.allclose(one[:, :8], other[:, :8])
    assert np.ptp(luminance(one)[:, 8:]) > 0.2
