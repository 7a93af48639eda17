"""Laws of all spaces: points, depths and gradients of rays, and what a JSON file holds of them."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.geometry import spaces
from nerf.geometry.camera_paths import PATHS
from nerf.geometry.cameras import pinhole_rays
from nerf.geometry.contraction import Contracted
from nerf.geometry.ndc import NDC
from nerf.geometry.rays import normalize, positions, scene_rays
from nerf.geometry.world import World
from tests.support.cameras import (
    FOCAL,
    HEIGHT,
    WIDTH,
    forward_cameras,
    forward_facing,
    random_pixels,
    world_rays,
)

NUM = 20
BOX = World(((-9.0, -8.0, -7.0), (9.0, 8.0, 0.5)))
EVERY = {
    "ndc": NDC.of_views(focal=FOCAL, height=HEIGHT, width=WIDTH),
    "world": World(),
    "box": BOX,
    "contracted": Contracted(),
}
every_space = pytest.mark.parametrize("space", EVERY.values(), ids=EVERY)
VIEWDIR_SPACES = ["ndc", "world"]


def rays_in(space, cameras=None, viewdir_space="world", pixel_offset=0.0):
    return scene_rays(
        *random_pixels(NUM),
        forward_cameras(NUM) if cameras is None else cameras,
        space,
        viewdir_space=viewdir_space,
        pixel_offset=pixel_offset,
    )


def within(rays, shares):
    """Ray parameters `[num_rays, num_samples]` at shares of the way from near to far."""
    return rays.near[:, None] + (rays.far - rays.near)[:, None] * jnp.float32(shares)[None]


def depths_of(rays, t_vals):
    """Depths `[num_rays, num_samples]` at ray parameters."""
    cameras = forward_cameras(NUM)
    origins, directions = pinhole_rays(*random_pixels(NUM), cameras)
    near, far = jnp.asarray(cameras.bounds).T
    columns = [rays.space.depth(t, origins, directions, near, far) for t in t_vals.T]
    return jnp.stack(columns, axis=1)


@every_space
def test_points_along_a_ray_are_those_of_its_depths_in_the_fields_space(space):
    """The record's four functions fit together: t to depth to a point in scene units, warped."""
    rays = rays_in(space)
    t_vals = within(rays, [0.05, 0.3, 0.6, 0.9])
    origins, directions = world_rays(NUM)
    depths = np.asarray(depths_of(rays, t_vals), np.float64)
    points = origins[:, None] + depths[..., None] * directions[:, None]
    expected = space.field_points(jnp.float32(points))
    np.testing.assert_allclose(positions(rays, t_vals), expected, rtol=1e-4, atol=1e-5)


@every_space
def test_points_go_to_the_fields_space_and_back(space):
    rays = rays_in(space)
    origins, directions = world_rays(NUM)
    depths = np.asarray(depths_of(rays, within(rays, [0.1, 0.5, 0.8])), np.float64)
    points = jnp.float32(origins[:, None] + depths[..., None] * directions[:, None])
    back = space.scene_points(space.field_points(points))
    np.testing.assert_allclose(back, points, rtol=1e-4, atol=1e-4)


@every_space
def test_depth_rises_along_a_ray(space):
    rays = rays_in(space)
    depths = np.asarray(depths_of(rays, within(rays, np.linspace(0.0, 1.0, 20))))
    assert (np.diff(depths) > 0).all()
    assert (depths > 0).all()


@every_space
def test_speed_along_straight_rays_is_that_of_their_directions(space):
    rays = rays_in(space)
    t_vals = within(rays, np.linspace(0.0, 1.0, 9))
    points = np.asarray(positions(rays, t_vals), np.float64)
    lengths = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    speed = np.linalg.norm(np.asarray(rays.directions, np.float64), axis=-1, keepdims=True)
    is_straight = np.allclose(lengths, speed * np.diff(t_vals, axis=1), rtol=1e-3)
    assert is_straight == space.has_straight_rays


@every_space
@pytest.mark.parametrize("viewdir_space", VIEWDIR_SPACES)
def test_viewdirs_are_unit_and_differ_from_the_worlds_in_ndc_alone(space, viewdir_space):
    rays = rays_in(space, viewdir_space=viewdir_space)
    _, directions = world_rays(NUM)
    viewdirs = rays.directions if (space.name, viewdir_space) == ("ndc", "ndc") else directions
    unit = viewdirs / np.linalg.norm(viewdirs, axis=-1, keepdims=True)
    np.testing.assert_allclose(rays.viewdirs, unit, atol=1e-6)
    assert {leaf.dtype for leaf in jax.tree.leaves(rays)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("viewdir_space", VIEWDIR_SPACES)
def test_in_world_space_rays_are_those_of_the_pinhole_camera(viewdir_space):
    rays = rays_in(World(), viewdir_space=viewdir_space)
    origins, directions = world_rays(NUM)
    for found, expected in (
        (rays.origins, origins),
        (rays.directions, directions),
        (rays.near, np.full(NUM, 2.0)),
        (rays.far, np.full(NUM, 6.0)),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["ndc", "contracted"])
def test_in_other_spaces_the_ray_parameter_runs_from_0_to_1(name):
    rays = rays_in(EVERY[name])
    np.testing.assert_array_equal(rays.near, np.zeros(NUM))
    np.testing.assert_array_equal(rays.far, np.ones(NUM))


@every_space
def test_the_pixel_offset_reaches_the_rays(space):
    right, up, _, _ = np.moveaxis(forward_facing(NUM), -1, 0)
    origins, directions = (jnp.float32(x) for x in world_rays(NUM))
    near, far = jnp.asarray(forward_cameras(NUM).bounds).T
    shifted = directions + jnp.float32(0.5 / FOCAL * (right - up))
    expected = space.warp(origins, shifted, near, far)
    found = rays_in(space, viewdir_space="ndc", pixel_offset=0.5)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


# Gradients, for cameras that are learned.


@every_space
@pytest.mark.parametrize("name", ["focal", "camtoworlds"])
@pytest.mark.parametrize("viewdir_space", VIEWDIR_SPACES)
def test_gradients_of_cameras_agree_with_finite_differences(space, name, viewdir_space):
    cameras = forward_cameras(NUM)
    rng = np.random.default_rng(0)
    point_weights, viewdir_weights = (
        jnp.float32(rng.normal(size=shape)) / NUM for shape in ((NUM, 3, 3), (NUM, 3))
    )

    def loss(values):
        changed = dataclasses.replace(cameras, **{name: values})
        rays = rays_in(space, changed, viewdir_space)
        points = positions(rays, within(rays, [0.1, 0.4, 0.8]))
        return jnp.sum(points * point_weights) + jnp.sum(rays.viewdirs * viewdir_weights)

    values = jnp.asarray(getattr(cameras, name))
    jax.test_util.check_grads(
        loss, (values,), order=1, modes=("rev",), eps=1e-2, atol=2e-3, rtol=1e-2
    )
    gradient = np.asarray(jax.grad(loss)(values))
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).reshape(NUM, -1).max(axis=1) > 1e-5).mean() > 0.9


# Records.


@every_space
def test_a_space_survives_a_json_file(space):
    values = json.loads(json.dumps(spaces.to_json(space)))
    found = spaces.from_json(values)
    assert found == space
    assert hash(found) == hash(space)
    assert values["name"] == space.name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "flat"}, "unknown space 'flat': choose one of ndc, world, contracted"),
        ({}, "unknown space None"),
        ({"name": "ndc"}, "'ndc' has other numbers"),
        ({"name": "world", "scale": [1, 2]}, "'world' has other numbers"),
    ],
)
def test_what_is_no_space_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        spaces.from_json(values)


def test_the_table_names_every_kind_and_what_it_is_for():
    assert list(spaces.SPACES) == ["ndc", "world", "contracted"]
    for space in EVERY.values():
        assert spaces.SPACES[space.name] == space.description


@every_space
def test_a_space_is_a_static_argument_that_counts_by_its_numbers(space):
    traces = []

    def function(space, x):
        traces.append(space)
        return x

    jitted = jax.jit(function, static_argnums=0)
    jitted(space, 1.0)
    jitted(spaces.from_json(spaces.to_json(space)), 1.0)
    assert traces == [space]
    jitted(NDC((7.0, 7.0)), 1.0)
    assert len(traces) == 2


@every_space
def test_the_default_camera_path_is_one_that_there_is(space):
    assert space.default_camera_path(forward_facing(5)) in PATHS


@every_space
def test_a_box_of_the_space_holds_what_cameras_see(space):
    rays = rays_in(space)
    points = np.asarray(positions(rays, within(rays, np.linspace(0.0, 1.0, 30))))
    if space.box is None:
        assert space.name == "ndc" or not space.is_bounded
        return
    low, high = np.array(space.box)
    assert ((points >= low - 1e-4) & (points <= high + 1e-4)).all()


# Vectors.


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_normalised_vectors_are_unit_and_keep_their_direction(scale):
    vectors = scale * np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    units = np.asarray(normalize(jnp.asarray(vectors)))
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(units * lengths, vectors, rtol=1e-5)


def test_a_zero_vector_stays_zero():
    np.testing.assert_array_equal(normalize(jnp.zeros((2, 3))), np.zeros((2, 3)))


@every_space
def test_the_parameter_at_a_depth_is_the_inverse_of_the_depth_at_a_parameter(space):
    rays = rays_in(space)
    shares = within(rays, [0.02, 0.3, 0.6, 0.9])
    depths = depths_of(rays, shares)
    cameras = forward_cameras(NUM)
    origins, directions = pinhole_rays(*random_pixels(NUM), cameras)
    near, far = jnp.asarray(cameras.bounds).T
    found = [rays.space.parameter(x, origins, directions, near, far) for x in depths.T]
    np.testing.assert_allclose(jnp.stack(found, axis=1), shares, rtol=1e-4, atol=1e-5)
