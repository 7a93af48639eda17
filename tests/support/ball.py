"""A field in closed form: a ball whose colour is that of its normal, in any space."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from nerf.config import presets
from nerf.field import FieldOutput, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.geometry.contraction import Contracted
from nerf.geometry.ndc import NDC
from nerf.geometry.poses import look_at, similarity
from nerf.geometry.world import World
from nerf.jobs.trained_field import TrainedField
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Split

SIZE, FOCAL = 40, 48.0
SPACES = ("ndc", "world", "contracted")
# A capture's unit is a third of a scene unit, and its axes are turned.
CAPTURE_TO_SCENE = similarity(
    np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), 1 / 3, np.array([0.1, 0.2, -0.3])
)


class Ball(dict):
    """Where the ball is in scene units: `centre` and `radius`."""

    __getattr__ = dict.__getitem__


def ball_in(space):
    """The ball in the space of a name, where that space's cameras see it."""
    centre = [0.0, 0.0, -3.0] if space == "ndc" else [0.0, 0.0, 0.0]
    return Ball(centre=np.array(centre), radius=0.6)


def ball_field(space, density=2e4):
    """A trained field that shows the ball to 12 cameras; nothing where `density` is 0."""
    cameras = _cameras(space)
    config = presets.preset("paper")
    render = dataclasses.replace(
        config.render,
        num_coarse=64,
        num_fine=64,
        background="white" if space == "world" else "black",
    )
    record = SceneRecord(
        name="ball",
        source="photographs",
        space=_space(space),
        cameras=cameras,
        view_names=tuple(f"side/view_{i}" for i in range(len(cameras.focal))),
        split=Split(tuple(range(1, len(cameras.focal))), (0,)),
        capture_to_scene=CAPTURE_TO_SCENE,
    )
    params = {
        "coarse": {"density": jnp.float32(density)},
        "fine": {"density": jnp.float32(density)},
    }
    return TrainedField(
        backend="flax",
        field_name="mlp",
        field=_field(space, ball_in(space)),
        params=params,
        config=dataclasses.replace(config, render=render),
        step=7,
        space=record.space,
        scene=record,
        scene_name="ball",
        source="photographs",
        provenance="closed form",
        origin="closed form",
    )


def _space(name):
    scale = (2 * FOCAL / SIZE, 2 * FOCAL / SIZE)
    return {"ndc": NDC(scale), "world": World.cube(1.2), "contracted": Contracted()}[name]


def _cameras(space):
    if space == "ndc":
        places = [
            [0.4 * x, 0.4 * y, 0.1 * (x - y)] for x in (-1, 0, 1) for y in (-1.5, -0.5, 0.5, 1.5)
        ]
        poses = [
            look_at(np.array(at) - ball_in(space).centre, np.eye(3)[1], np.array(at))
            for at in places
        ]
    else:
        sides = np.array([*np.eye(3), *-np.eye(3), *(np.eye(3) - 0.6), *(0.6 - np.eye(3))])
        sides /= np.linalg.norm(sides, axis=-1, keepdims=True)
        poses = [look_at(side, np.roll(side, 1) + 0.1, 2.2 * side) for side in sides]
    return Cameras.pinhole(
        np.stack(poses).astype(np.float32),
        focal=FOCAL,
        height=SIZE,
        width=SIZE + 8,
        near=1.0,
        far=6.0,
    )


def _field(space, ball):
    def scene_points(points):
        if space == "ndc":
            z = 2.0 / (points[..., 2:] - 1.0)
            return jnp.concatenate([-points[..., :2] * z / (2 * FOCAL / SIZE), z], axis=-1)
        return 2.0 * points if space == "contracted" else points  # the ball is within 1

    def apply(params, points, viewdirs, /, *, key=None):
        del viewdirs, key
        centre = jnp.asarray(ball.centre, jnp.float32).reshape((1,) * (points.ndim - 1) + (3,))
        out = scene_points(points) - centre
        distance = jnp.linalg.norm(out, axis=-1)
        rgb = 0.5 + 0.4 * out / jnp.maximum(distance, 1e-6)[..., None]
        return FieldOutput(rgb, jnp.where(distance < ball.radius, params["density"], 0.0))

    return RadianceField(lambda key: {"density": jnp.float32(1.0)}, apply)
