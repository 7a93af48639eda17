import numpy as np
import pytest

from nerf.geometry.poses import similarity
from nerf.geometry.world import World
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Split
from tests.support.cameras import forward_cameras


@pytest.fixture
def record():
    """Five cameras in the box of an object; the capture's own frame is turned, moved and scaled."""
    turn = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    return SceneRecord(
        name="meadow",
        source="photographs",
        space=World.cube(3.0),
        cameras=forward_cameras(5),
        view_names=tuple("abcde"),
        split=Split((0, 1, 2, 3), (4,)),
        capture_to_scene=similarity(turn, 0.25, np.array([4.0, -2.0, 7.0])),
    )
