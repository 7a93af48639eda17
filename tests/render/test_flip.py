"""FLIP, where flip-evaluator is installed, and its absence where not."""

import importlib.util

import numpy as np
import pytest

from nerf.render.flip import flip, has_flip


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(24, 30, 3)).astype(np.float32)
    return image, np.clip(image + rng.normal(0, 0.1, image.shape), 0, 1).astype(np.float32)


needs_flip = pytest.mark.skipif(not has_flip(), reason="flip-evaluator is not installed")


@needs_flip
def test_flip_is_zero_for_equal_images_and_large_for_black_and_white(pair):
    image, copy = pair
    assert flip(image, image) == 0.0
    assert 0.0 < flip(copy, image) < 1.0
    black = np.zeros_like(image)
    assert flip(black + 1, black) > 0.9


@needs_flip
def test_flip_is_that_of_the_package(pair):
    import flip_evaluator

    image, copy = pair
    _, mean, used = flip_evaluator.evaluate(image, copy, "LDR")
    assert used["ppd"] == pytest.approx(67.0, abs=0.1)
    assert flip(copy, image) == pytest.approx(mean, abs=1e-4)


@needs_flip
def test_values_beyond_the_range_count_as_the_nearest(pair):
    image, copy = pair
    assert flip(np.where(copy > 0.9, 5.0, copy), image) == flip(
        np.where(copy > 0.9, np.float32(1.0), copy), image
    )


@needs_flip
def test_masked_pixels_do_not_count(pair):
    image, copy = pair
    everything = np.ones(image.shape[:2], bool)
    assert flip(copy, image, everything) == flip(copy, image)
    mask = everything.copy()
    mask[5:12, 8:20] = False
    changed = copy.copy()
    changed[5:12, 8:20] = 0.0
    assert flip(changed, image, mask) == flip(copy, image, mask)
    assert flip(np.where(mask[..., None], image, copy), image, mask) == 0.0
    assert flip(copy, image, np.zeros_like(mask)) is None


def test_without_the_package_there_is_no_flip(pair, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not has_flip()
    assert flip(*pair) is None
