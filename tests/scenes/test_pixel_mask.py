"""Laws of the mask of a scene: runs say the same as masks."""

import numpy as np
import pytest

from nerf.scenes.image_store import ImageStore
from nerf.scenes.pixel_mask import PixelMask


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_runs_give_back_the_masks_of_all_views(share):
    rng = np.random.default_rng(0)
    masks = [rng.random(size) < share for size in ((3, 4), (1, 1), (5, 2))]
    whole = PixelMask.of(masks)
    start = 0
    for mask in masks:
        found = whole.to_array(start, start + mask.size)
        np.testing.assert_array_equal(found, mask.ravel())
        assert whole.within(start, start + mask.size).count == mask.sum()
        start += mask.size
    assert whole.count == sum(mask.sum() for mask in masks)
    assert (whole.starts < whole.ends).all()
    assert (np.diff(whole.starts) > 0).all()


def test_a_part_of_a_run_is_cut_at_its_ends():
    part = PixelMask.of([np.ones((2, 5), bool)]).within(3, 8)
    assert (part.starts.tolist(), part.ends.tolist()) == ([3], [8])
    assert PixelMask.of([]).count == 0


def test_a_store_knows_the_mask_of_each_view():
    images = np.zeros((2, 2, 3, 3), np.uint8)
    assert ImageStore.of(images).mask_of(1) is None
    masks = [np.ones((2, 3), bool), np.array([[True, False, True], [False, False, True]])]
    store = ImageStore.of(images)
    store = ImageStore(store.pixels, store.heights, store.widths, mask=PixelMask.of(masks))
    for index, mask in enumerate(masks):
        np.testing.assert_array_equal(store.mask_of(index), mask)
