"""The ball that stands in some views only: where it is, and what it leaves alone."""

import numpy as np

import nerf
from benchmarks.transient_objects import every_third, with_ball
from nerf.runtime.events import ignore_event


def test_the_ball_is_in_the_named_views_alone():
    scene = nerf.load_scene("procedural:room@32x24", callback=ignore_event)
    views = every_third(scene.split(8).train)
    changed = with_ball(scene, views)
    for index in range(scene.num_views):
        share = np.mean(np.any(changed.images[index] != scene.images[index], axis=-1))
        assert 0.05 < share < 0.5 if index in views else share == 0.0


def test_what_is_nearer_hides_the_ball():
    scene = nerf.load_scene("procedural:room@32x24", callback=ignore_event)
    behind = with_ball(scene, [1], depth=50.0, radius=0.1)
    np.testing.assert_array_equal(behind.images.pixels, scene.images.pixels)
