import socket
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config import presets, text
from nerf.field import FieldOutput, RadianceField
from nerf.geometry.poses import similarity
from nerf.geometry.world import World
from nerf.jobs.trained_field import TrainedField
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Split
from nerf.viewer.server import Viewer
from tests.support.cameras import forward_cameras
from tests.support.viser_client import ViserClient


def meadow():
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


@pytest.fixture
def record():
    """Five cameras in the box of an object; the capture's own frame is turned, moved and scaled."""
    return meadow()


def _ball(focus, points, viewdirs, /, *, key=None):
    """An opaque ball around a point, red on the left, blue on the right, in a thin green mist."""
    is_inside = jnp.sum((points - jnp.broadcast_to(focus, points.shape)) ** 2, axis=-1) < 1.0
    is_left = points[..., :1] < 0.0
    red, blue, green = (
        jnp.broadcast_to(jnp.array(rgb), points.shape)
        for rgb in ([1.0, 0.1, 0.0], [0.0, 0.1, 1.0], [0.0, 0.5, 0.0])
    )
    rgb = jnp.where(is_inside[..., None], jnp.where(is_left, red, blue), green)
    return FieldOutput(rgb, jnp.where(is_inside, 50.0, 0.05))


@pytest.fixture(scope="session")
def ball():
    """A field that needs no training: see `_ball`. All windows of all tests share its program."""
    record = meadow()
    config = text.override(presets.preset("notebook"), "render.num_coarse=12", "render.num_fine=12")
    focus = jnp.array([0.0, 0.0, -3.0])
    return TrainedField(
        backend="flax",
        field_name="ball",
        field=RadianceField(lambda key: {"shared": focus}, _ball),
        params={"shared": focus},
        config=config,
        step=7,
        space=record.space,
        scene=record,
        scene_name=record.name,
        source=record.source,
        provenance="",
        origin="",
    )


@pytest.fixture
def open_page(ball, tmp_path):
    """Opens pages, which are closed after the test."""
    opened = []

    def start(*arguments, **options):
        options = {"folder": tmp_path / "files", "port": any_port(), **options}
        opened.append(Viewer(ball, *arguments, **options))
        return opened[-1]

    yield start
    for page in opened:
        assert page.close()
        assert page.close()  # a second time does nothing
    assert not [t for t in threading.enumerate() if t.name.startswith("nerf-viewer")]


def any_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def window(page):
    with ViserClient(page.address) as client:
        yield client
