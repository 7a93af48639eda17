"""What a run says of its corrections, and which images each process of a job reads."""

import dataclasses

import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK, PLANES
from nerf.config.text import override
from nerf.jobs.training_run.views import corrections_in_words, training_views
from nerf.runtime import processes
from nerf.scenes.image_store import ImageStore, empty_pixels
from nerf.training.batch import draw_pixels


@pytest.mark.parametrize(
    ("config", "settings", "names"),
    [
        (PLANES, (), []),
        (PLANES, ("train.exposure=on", "train.poses=on"), ["exposure", "poses"]),
        (PLANES, ("train.few_views=on",), ["few_views"]),
        (NOTEBOOK, ("train.poses=on", "train.few_views=on"), ["poses"]),  # which does no more
    ],
)
def test_a_run_says_each_correction_that_is_on_and_how_it_is_turned_off(config, settings, names):
    messages = corrections_in_words(override(config, *settings))
    assert [text.split("`")[1] for text in messages] == [f'{name}="off"' for name in names]


@pytest.mark.parametrize(("count", "expected"), [(1, [[1, 2, 3, 4]]), (2, [[1, 2], [3, 4]])])
def test_each_process_reads_the_pixels_that_its_rays_need(
    meadow, monkeypatch, key, count, expected
):
    """View 0 is held out; the rays are those of all processes, cut into equal parts."""
    found, num_rays, images = [], 240, meadow.images

    def read(indices):
        found.append(list(indices))
        return np.concatenate([images.bytes_of(index).reshape(-1, 3) for index in indices])

    lazy = ImageStore(empty_pixels(0, 3), images.heights, images.widths, read=read)
    lazy_scene, which = dataclasses.replace(meadow, images=lazy), [1, 2, 3, 4]
    monkeypatch.setattr(processes, "count", lambda: count)
    for number in range(count):
        monkeypatch.setattr(processes, "index", lambda number=number: number)
        views = training_views(lazy_scene, which, num_strata=8)
        drawn = draw_pixels(key, views.layout, num_rays, num_strata=8)
        own = slice(number * num_rays // count, (number + 1) * num_rays // count)
        position, view, row, column = (
            np.asarray(x)[own] for x in (drawn.position, drawn.view, drawn.row, drawn.column)
        )
        colours = views.pixels[position - views.share.first]
        for index, true_view in enumerate(which):
            mine = view == index
            there = images.bytes_of(true_view)[row[mine], column[mine]]
            np.testing.assert_array_equal(colours[mine], there)
    assert found == expected
    np.testing.assert_array_equal(lazy_scene.view(3).image, meadow.view(3).image)
