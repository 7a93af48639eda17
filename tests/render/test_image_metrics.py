"""PSNR and SSIM against closed forms and a slow oracle."""

import math

import numpy as np
import pytest

from nerf.render.image_metrics import depth_error, psnr, ssim


@pytest.fixture
def pair():
    """A random image and a blurred, noisy copy of it, `[14, 17, 3]`."""
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(14, 17, 3)).astype(np.float32)
    copy = 0.7 * image + 0.3 * np.roll(image, 1, axis=1) + rng.normal(0, 0.05, image.shape)
    return image, np.clip(copy, 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("error", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0), (0.5, 6.0206)]
)
def test_a_constant_error_has_its_decibels(error, decibels):
    black = np.zeros((3, 4, 3), np.float32)
    assert psnr(black + np.float32(error), black) == pytest.approx(decibels, abs=1e-4)
    assert psnr(black, black + np.float32(error)) == pytest.approx(decibels, abs=1e-4)


def test_psnr_averages_the_squares_and_not_the_decibels():
    truth = np.zeros((2, 2, 3), np.float32)
    image = truth.copy()
    image[0, 0] = 0.2  # one pixel in four: mean square 0.01
    assert psnr(image, truth) == pytest.approx(20.0, abs=1e-5)
    image = truth.copy()
    image[..., 1] = 0.3  # one channel in three: mean square 0.03
    assert psnr(image, truth) == pytest.approx(-10 * math.log10(0.03), abs=1e-5)


def test_equal_images_have_an_infinite_psnr_and_ssim_one(pair):
    image, _ = pair
    assert psnr(image, image) == math.inf
    assert ssim(image, image) == pytest.approx(1.0, abs=1e-6)


def test_ssim_of_two_constant_images_compares_their_luminance():
    a, b = np.full((12, 12, 3), 0.25, np.float32), np.full((12, 12, 3), 0.75, np.float32)
    luminance = (2 * 0.25 * 0.75 + 0.01**2) / (0.25**2 + 0.75**2 + 0.01**2)
    assert ssim(a, b) == pytest.approx(luminance, abs=1e-4)


def test_ssim_is_symmetrical(pair):
    image, copy = pair
    assert ssim(image, copy) == pytest.approx(ssim(copy, image), abs=1e-6)


def test_ssim_agrees_with_a_slow_loop(pair):
    """Wang et al. 2004, equation 13, in windows that lie wholly inside."""
    image, copy = (x.astype(np.float64) for x in pair)
    offsets = np.arange(11) - 5
    bell = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    bell /= bell.sum()
    values = []
    for channel in range(3):
        for top in range(14 - 10):
            for left in range(17 - 10):
                x = image[top : top + 11, left : left + 11, channel]
                y = copy[top : top + 11, left : left + 11, channel]
                mean_x, mean_y = np.sum(bell * x), np.sum(bell * y)
                var_x = np.sum(bell * (x - mean_x) ** 2)
                var_y = np.sum(bell * (y - mean_y) ** 2)
                both = np.sum(bell * (x - mean_x) * (y - mean_y))
                numerator = (2 * mean_x * mean_y + 0.01**2) * (2 * both + 0.03**2)
                denominator = (mean_x**2 + mean_y**2 + 0.01**2) * (var_x + var_y + 0.03**2)
                values.append(numerator / denominator)
    assert 0.5 < np.mean(values) < 0.95
    assert ssim(*pair) == pytest.approx(np.mean(values), abs=1e-5)


@pytest.mark.parametrize(("height", "width"), [(10, 20), (20, 10)])
def test_an_image_smaller_than_the_window_has_no_ssim(height, width):
    image = np.zeros((height, width, 3), np.float32)
    assert math.isnan(ssim(image, image))


def test_the_smallest_image_with_an_ssim():
    image = np.zeros((11, 11, 3), np.float32)
    assert ssim(image, image) == pytest.approx(1.0)


def test_images_of_two_sizes_are_refused():
    small, large = np.zeros((12, 12, 3), np.float32), np.zeros((12, 13, 3), np.float32)
    for measure in (psnr, ssim):
        with pytest.raises(AssertionError):
            measure(small, large)


def test_the_error_of_the_depth_is_relative_and_of_what_is_there_alone():
    truth = np.array([[1.0, 2.0], [4.0, np.inf]], np.float32)
    depth = np.array([[1.1, 1.8], [4.4, 5.0]], np.float32)
    assert depth_error(depth, truth) == pytest.approx(0.1)
    assert depth_error(3.0 * depth, 3.0 * truth) == pytest.approx(0.1)
    assert math.isnan(depth_error(depth, np.full_like(truth, np.inf)))
    with pytest.raises(AssertionError):
        depth_error(depth, truth[:1])


# With a mask.


def test_masked_pixels_do_not_count():
    rng = np.random.default_rng(0)
    truth, image = rng.random((2, 24, 30, 3)).astype(np.float32)
    mask = np.ones((24, 30), bool)
    assert psnr(image, truth, mask) == pytest.approx(psnr(image, truth))
    assert ssim(image, truth, mask) == pytest.approx(ssim(image, truth), abs=1e-6)
    mask[5:12, 8:20] = False
    other = image.copy()
    other[5:12, 8:20] = rng.random((7, 12, 3))
    assert psnr(other, truth, mask) == psnr(image, truth, mask)
    assert ssim(other, truth, mask) == ssim(image, truth, mask)
    spoiled = np.where(mask[..., None], truth, image)
    assert psnr(spoiled, truth, mask) == math.inf
    assert ssim(spoiled, truth, mask) == pytest.approx(1.0, abs=1e-5)
    squares = np.square(image[mask] - truth[mask])
    assert psnr(image, truth, mask) == pytest.approx(-10 * np.log10(squares.mean()), abs=1e-4)


def test_without_a_pixel_that_counts_there_is_no_score():
    image = np.zeros((12, 12, 3), np.float32)
    nothing = np.zeros((12, 12), bool)
    assert math.isnan(psnr(image, image, nothing))
    assert math.isnan(ssim(image, image, nothing))
