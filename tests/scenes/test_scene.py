"""Laws of a scene's split into training views and held-out views."""

import numpy as np
import pytest

from nerf.config import presets
from nerf.geometry.cameras import Cameras
from nerf.scenes.scene import Scene


def scene(num_views):
    return Scene(
        name="plain",
        source="procedural",
        origin="here",
        image_names=tuple(f"image{i:03d}.png" for i in range(num_views)),
        images=np.zeros((num_views, 2, 3, 3), np.float32),
        cameras=Cameras(np.zeros((num_views, 3, 4), np.float32), 1.0, 2, 3),
        bounds=np.ones((num_views, 2), np.float32),
        space="ndc",
        unit_scale=1.0,
    )


@pytest.mark.parametrize(
    ("preset", "num_views", "test"),
    [
        ("notebook", 34, (0, 16, 32)),
        ("notebook", 41, (0, 16, 32)),
        ("notebook", 32, (0, 16)),
        ("paper", 34, (0, 8, 16, 24, 32)),
        ("paper", 41, (0, 8, 16, 24, 32, 40)),
        ("paper", 1, (0,)),
    ],
)
def test_each_preset_holds_out_every_nth_view_from_the_first(preset, num_views, test):
    assert scene(num_views).split(presets.preset(preset).train.holdout).test == test


@pytest.mark.parametrize("holdout", [2, 3, 8, 16])
@pytest.mark.parametrize("num_views", [1, 2, 7, 16, 17, 34])
def test_train_and_test_are_disjoint_and_complete(num_views, holdout):
    split = scene(num_views).split(holdout)
    assert sorted(split.train + split.test) == list(range(num_views))
    assert split.train == tuple(sorted(split.train))
    assert all(index % holdout == 0 for index in split.test)
    assert all(index % holdout != 0 for index in split.train)
    assert scene(num_views).num_views == num_views
