"""Laws of a scene's split into training views and held-out views."""

import numpy as np
import pytest

from nerf.config import presets
from nerf.errors import UserError
from nerf.geometry.world import World
from nerf.scenes.image_store import ImageStore
from nerf.scenes.scene import Scene
from tests.support.cameras import cameras_at_origin


def scene(num_views):
    return Scene(
        name="plain",
        source="procedural",
        origin="here",
        image_names=tuple(f"image{i:03d}.png" for i in range(num_views)),
        images=ImageStore.of(np.zeros((num_views, 2, 3, 3), np.uint8)),
        cameras=cameras_at_origin(num_views, 2, 3),
        space=World(),
        capture_to_scene=np.eye(4),
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


# Views.


def test_a_view_is_found_by_its_index_and_by_its_name():
    meadow = scene(4)
    for view in (meadow.view(2), meadow.view("image002.png"), meadow.view(-2)):
        assert (view.index, view.name) == (2, "image002.png")
        assert view.camera.camtoworlds.shape == (3, 4)
        assert view.camera.bounds.tolist() == [1.0, 5.0]
        assert view.image.shape == (view.camera.height, view.camera.width, 3)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (4, "no view 4: there are views 0 to 3"),
        (-5, "no view -5"),
        ("image2", "no view 'image2': there are image000.png, image001.png"),
    ],
)
def test_a_view_that_there_is_not_is_refused(which, message):
    with pytest.raises(UserError, match=message):
        scene(4).view(which)
