"""Laws of scaling by area in strips: the strips do not matter."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nerf.captures.images.area_scaling import shrink, shrink_strips


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 12)] * 4),
    st.sampled_from([3, 4]),
    st.lists(st.integers(1, 11), max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_strips_give_the_same_bits_as_the_whole(sizes, channels, cuts, seed):
    rows, columns, height, width = sizes
    height, width = min(height, rows), min(width, columns)
    levels = np.random.default_rng(seed).integers(0, 256, (rows, columns, channels))
    pixels = (levels / 255).astype(np.float32)
    strips = [strip for strip in np.split(pixels, sorted(cuts)) if len(strip)]
    np.testing.assert_array_equal(
        shrink_strips(strips, rows, height, width), shrink(pixels, height, width)
    )


def test_a_smaller_image_is_the_means_of_blocks():
    pixels = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    blocks = pixels.reshape(3, 2, 2, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(pixels, 3, 2), blocks, rtol=1e-6)


def test_an_interval_may_end_within_a_pixel():
    """Three pixels become two, each of one and a half."""
    pixels = np.array([0.0, 0.3, 0.9], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(shrink(pixels, 2, 1).ravel(), [0.1, 0.7], atol=1e-6)
