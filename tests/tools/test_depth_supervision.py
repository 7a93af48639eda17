"""The noisy points of the measurement are on the surfaces that the views see."""

import numpy as np

import nerf
from nerf.runtime.events import ignore_event
from tools.depth_supervision import noisy_points


def test_points_have_the_depth_of_the_surface_but_for_noise_and_outliers():
    scene = nerf.load_scene("procedural:room@24x18", callback=ignore_event)
    samples = noisy_points(scene, [1, 9, 20], 300, noise=0.01, outliers=0.1)
    at = np.round(samples.row).astype(int), np.round(samples.column).astype(int)
    inside = (at[0] >= 0) & (at[0] < 18) & (at[1] >= 0) & (at[1] < 24)
    true = scene.depth[samples.view[inside], at[0][inside], at[1][inside]]
    relative = samples.depth[inside] / true - 1.0
    assert np.percentile(np.abs(relative), 60) < 0.02
    assert 0.03 < np.mean(np.abs(relative) > 0.1) < 0.2
    assert set(samples.view.tolist()) == {1, 9, 20}
    assert len(samples) > 500
