"""MS-SSIM against closed forms and a slow oracle."""

import numpy as np
import pytest

from nerf.render.image_metrics import ssim
from nerf.render.multiscale_ssim import MIN_SIDE, _halved, ms_ssim

WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


@pytest.fixture(scope="module")
def pair():
    """A smooth random image and a noisy copy of it, sides of an odd and an even number."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.2, 0.8, size=(21, 23, 3))
    image = np.kron(coarse, np.ones((8, 8, 1)))[:MIN_SIDE, :180]
    copy = np.clip(image + rng.normal(0, 0.1, image.shape), 0, 1)
    return image.astype(np.float32), copy.astype(np.float32)


def slow_terms(x, y, bell):
    """Mean of contrast times structure, and mean of that times luminance, window by window."""
    both, whole = [], []
    for top in range(x.shape[0] - 10):
        windows_x = np.stack([x[top : top + 11, c : c + 11] for c in range(x.shape[1] - 10)])
        windows_y = np.stack([y[top : top + 11, c : c + 11] for c in range(x.shape[1] - 10)])
        mean_x, mean_y = ((bell * w).sum((1, 2)) for w in (windows_x, windows_y))
        off_x, off_y = windows_x - mean_x[:, None, None], windows_y - mean_y[:, None, None]
        var_x, var_y = ((bell * off**2).sum((1, 2)) for off in (off_x, off_y))
        covariance = (bell * off_x * off_y).sum((1, 2))
        contrast_structure = (2 * covariance + 0.03**2) / (var_x + var_y + 0.03**2)
        luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        both.append(contrast_structure)
        whole.append(luminance * contrast_structure)
    return np.mean(both), np.mean(whole)


def test_it_agrees_with_a_slow_loop_over_windows(pair):
    offsets = np.arange(11) - 5
    bell = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    bell /= bell.sum()
    x, y = (image[..., :1].astype(np.float64) for image in pair)
    found = ms_ssim(*(image[..., :1] for image in pair))
    expected = 1.0
    for scale, weight in enumerate(WEIGHTS):
        contrast_structure, whole = slow_terms(x[..., 0], y[..., 0], bell)
        expected *= (whole if scale == 4 else contrast_structure) ** weight
        x, y = (  # twice the last row and column, where it is odd
            np.array(
                [
                    [
                        np.mean([z[min(2 * r + i, z.shape[0] - 1), min(2 * c + j, z.shape[1] - 1)]
                                 for i in (0, 1) for j in (0, 1)])
                        for c in range((z.shape[1] + 1) // 2)
                    ]
                    for r in range((z.shape[0] + 1) // 2)
                ]
            )[..., None]
            for z in (x, y)
        )  # fmt: skip
    assert 0.5 < expected < 0.99
    assert found == pytest.approx(expected, abs=1e-6)


def test_equal_images_have_one_and_others_less(pair):
    image, copy = pair
    assert ms_ssim(image, image) == pytest.approx(1.0, abs=1e-9)
    assert ms_ssim(image, copy) == pytest.approx(ms_ssim(copy, image), abs=1e-9)
    assert ms_ssim(image, copy) > ssim(image, copy)  # noise is less at coarse scales


def test_constant_images_differ_in_luminance_at_the_coarsest_scale_alone():
    a, b = (np.full((MIN_SIDE, MIN_SIDE, 3), value, np.float32) for value in (0.25, 0.75))
    luminance = (2 * 0.25 * 0.75 + 0.01**2) / (0.25**2 + 0.75**2 + 0.01**2)
    assert ms_ssim(a, b) == pytest.approx(luminance ** WEIGHTS[-1], abs=1e-6)


def test_the_negative_of_an_image_has_none_of_its_structure(pair):
    image, _ = pair
    assert ms_ssim(image, 1.0 - image) == 0.0


@pytest.mark.parametrize("size", [(MIN_SIDE - 1, 300), (300, MIN_SIDE - 1), (1, 1)])
def test_a_side_of_160_pixels_is_too_short(size):
    image = np.zeros((*size, 3), np.float32)
    assert ms_ssim(image, image) is None
    assert MIN_SIDE == 161


def test_a_last_odd_row_is_repeated():
    image = np.array([[1.0, 3.0, 5.0], [1.0, 3.0, 5.0], [2.0, 4.0, 8.0]])
    assert _halved(image).tolist() == [[2.0, 5.0], [3.0, 8.0]]


def test_masked_pixels_do_not_count(pair):
    image, copy = pair
    everything = np.ones(image.shape[:2], bool)
    assert ms_ssim(image, copy, everything) == pytest.approx(ms_ssim(image, copy), abs=1e-12)
    mask = everything.copy()
    mask[30:70, 40:90] = False
    changed = copy.copy()
    changed[30:70, 40:90] = 0.0
    assert ms_ssim(changed, image, mask) == ms_ssim(copy, image, mask)
    spoiled = np.where(mask[..., None], image, copy)
    assert ms_ssim(spoiled, image, mask) == pytest.approx(1.0, abs=1e-9)
    assert ms_ssim(image, copy, np.zeros_like(mask)) is None
