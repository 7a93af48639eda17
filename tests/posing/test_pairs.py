"""Which images are compared: each pair once, every image with its neighbours, ends with starts."""

import pytest

from nerf.posing.pairs import chosen_matcher, image_pairs


@pytest.mark.parametrize("matcher", ["exhaustive", "sequential"])
@pytest.mark.parametrize("num_images", [3, 12, 100, 333])
def test_every_pair_is_in_order_and_there_once(matcher, num_images):
    pairs = image_pairs(num_images, matcher)
    assert len(set(pairs)) == len(pairs)
    assert all(0 <= i < j < num_images for i, j in pairs)


def test_exhaustive_is_all_pairs():
    assert len(image_pairs(20, "exhaustive")) == 20 * 19 // 2


@pytest.mark.parametrize("num_images", [40, 150, 1000])
def test_sequential_compares_neighbours_and_closes_the_path_at_a_cost_that_grows_linearly(
    num_images,
):
    pairs = set(image_pairs(num_images, "sequential"))
    assert all(
        (i, j) in pairs for i in range(num_images) for j in range(i + 1, min(i + 11, num_images))
    )
    far = [(i, j) for i, j in pairs if i < num_images // 10 and j >= num_images - num_images // 10]
    assert far
    assert len(pairs) < 20 * num_images + 500


def test_a_named_matcher_is_used_and_auto_knows_the_order_of_a_video():
    assert chosen_matcher("sequential", 5, is_video=False) == "sequential"
    assert chosen_matcher("exhaustive", 5000, is_video=True) == "exhaustive"
    assert chosen_matcher("auto", 30, is_video=True) == "exhaustive"
    assert chosen_matcher("auto", 101, is_video=False) == "sequential"
