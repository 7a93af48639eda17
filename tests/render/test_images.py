"""Whole pictures, and a third field, an analytic sphere, to show that any field can be rendered."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nerf.field
from nerf.config.presets import NOTEBOOK, PAPER
from nerf.field import FieldOutput, RadianceField, make_field, register
from nerf.geometry.cameras import Cameras
from nerf.geometry.world import World
from nerf.render import images
from nerf.render.images import image_rays, make_chunk_renderer, render_image
from nerf.render.rays import init_params, render_rays
from tests.support.cameras import cameras_at_origin, ndc_of, space_of

pytestmark = pytest.mark.slow

PRESETS = {
    config.preset: dataclasses.replace(config.render, num_coarse=8, num_fine=8)
    for config in (NOTEBOOK, PAPER)
}
TINY = dataclasses.replace(PAPER.field, width=16, rgb_width=8, num_layers=2, skip_layer=1)
BOUNDS = np.array([2.0, 6.0], np.float32)
POSE = np.array(  # turned about all three axes, beside the origin
    [[0.96, -0.0896, 0.2653, 0.2], [0.0, 0.9475, 0.32, -0.1], [-0.28, -0.3072, 0.9096, 0.3]],
    np.float32,
)


@pytest.fixture(autouse=True)
def fast_compilation():
    """Nearly all time would go to the compiler, and tiny inputs need no fast code."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


CENTRE = np.array([-0.8, -1.3, -3.3], np.float32)  # on the camera's axis, but for rounding
RADIUS, DENSITY, COLOUR = 1.0, 1.5, (0.9, 0.5, 0.1)


def make_sphere(config):
    def init(key, /):
        return {"density": jnp.float32(DENSITY)}

    def apply(params, points, viewdirs, /, *, key=None):
        inside = jnp.sum(jnp.square(points - CENTRE[(None,) * (points.ndim - 1)]), -1) < RADIUS**2
        rgb = jnp.broadcast_to(jnp.array(COLOUR)[(None,) * (points.ndim - 1)], points.shape)
        return FieldOutput(rgb, jnp.where(inside, params["density"], 0.0))

    return RadianceField(init, apply)


@pytest.fixture
def sphere(own_registry):
    """The sphere, made through the registry, which forgets it afterwards."""
    register("analytic", "sphere", make_sphere)
    return make_field("analytic", "sphere", NOTEBOOK.field)


def sphere_in_closed_form(rays):
    """acc and the mean t of each ray in float64; t is NaN where the ray misses."""
    origins, directions = (np.asarray(x, np.float64) for x in (rays.origins, rays.directions))
    speed = np.linalg.norm(directions, axis=-1)
    units, to_centre = directions / speed[:, None], CENTRE - origins
    middle = np.sum(units * to_centre, axis=-1)
    squared = RADIUS**2 - np.sum(to_centre**2, axis=-1) + middle**2
    half_chord = np.sqrt(np.maximum(squared, 0))
    chord = 2 * half_chord
    acc = 1 - np.exp(-DENSITY * chord)
    with np.errstate(invalid="ignore"):
        into = 1 / DENSITY - chord * (1 - acc) / acc  # mean length until the light is absorbed
    return acc, (middle - half_chord + into) / speed


def camera(height, width):
    return Cameras.pinhole(
        POSE, focal=1.1 * width, height=height, width=width, near=BOUNDS[0], far=BOUNDS[1]
    )


def assert_is_the_sphere(config, rays, rgb, depth, acc):
    expected_acc, expected_depth = sphere_in_closed_form(rays)
    hit = expected_acc > 0
    assert 0.2 < np.mean(hit) < 0.8
    np.testing.assert_allclose(acc, expected_acc, atol=0.02)
    np.testing.assert_allclose(rgb, expected_acc[:, None] * COLOUR, atol=0.02)
    np.testing.assert_array_equal(acc[~hit], 0)
    well_inside = expected_acc > 0.3
    np.testing.assert_allclose(depth[well_inside], expected_depth[well_inside], atol=0.02)
    last_t = 6.0 if config.coarse_t == "linspace" else 6.0 - 2.0 / config.num_coarse
    np.testing.assert_allclose(depth[~hit], last_t, atol=4.0 / config.num_coarse)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_third_field_renders_to_its_closed_form(preset, sphere, key):
    config = dataclasses.replace(PRESETS[preset], num_coarse=128, num_fine=256)
    view = camera(9, 12)
    params = init_params(sphere, config, key)
    rays = image_rays(view, space=World(), config=config)
    fine = jax.jit(functools.partial(render_rays, sphere, config=config))(params, rays).fine
    assert_is_the_sphere(config, rays, *map(np.asarray, (fine.rgb, fine.depth, fine.acc)))

    picture = render_image(
        make_chunk_renderer(sphere, config), params, view, space=World(), config=config
    )
    flat = (picture.rgb.reshape(-1, 3), picture.depth.ravel(), picture.acc.ravel())
    assert_is_the_sphere(config, rays, *flat)


def test_the_third_field_is_gone_after_its_test():
    assert nerf.field.backends() == ("flax", "haiku", "nnx")


@pytest.mark.parametrize("space", ["world", "ndc", "contracted"])
def test_a_picture_is_its_rays_one_by_one(backend, space, key):
    field, config, view = make_field(backend, "mlp", TINY), PRESETS["paper"], camera(3, 5)
    params = init_params(field, config, key)
    render_chunk = make_chunk_renderer(field, config)
    picture = render_image(render_chunk, params, view, space=space_of(space, view), config=config)
    render = jax.jit(functools.partial(render_rays, field, config=config))
    rays = jax.tree.map(np.asarray, image_rays(view, space=space_of(space, view), config=config))
    for row in range(3):
        for column in range(5):
            ray = jax.tree.map(lambda x, n=row * 5 + column: x[n : n + 1], rays)
            fine = render(params, ray).fine
            np.testing.assert_allclose(picture.rgb[row, column], fine.rgb[0], atol=1e-5)
            np.testing.assert_allclose(picture.acc[row, column], fine.acc[0], atol=1e-5)
            if space == "world":
                np.testing.assert_allclose(picture.depth[row, column], fine.depth[0], rtol=1e-5)


@pytest.mark.parametrize("rays_per_chunk", [4, 36, 100])
def test_neither_chunks_nor_their_padding_change_the_picture(
    rays_per_chunk, sphere, monkeypatch, key
):
    config, view = PRESETS["notebook"], camera(7, 13)
    params = init_params(sphere, config, key)

    def picture(rays_per_microbatch):
        render_chunk = make_chunk_renderer(sphere, config, rays_per_microbatch=rays_per_microbatch)
        return render_image(render_chunk, params, view, space=World(), config=config)

    expected = picture(images.RAYS_PER_CHUNK)
    monkeypatch.setattr(images, "RAYS_PER_CHUNK", rays_per_chunk)
    found = picture(4)
    assert [x.shape for x in found] == [(7, 13, 3), (7, 13), (7, 13)]
    assert {x.dtype for x in found} == {np.dtype(np.float32)}
    for name in found._fields:
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), atol=1e-5, err_msg=name
        )


def test_one_compilation_whatever_the_resolution(sphere, monkeypatch, key):
    monkeypatch.setattr(images, "RAYS_PER_CHUNK", 32)
    traces = []

    def apply(params, points, viewdirs, /, *, key=None):
        traces.append(points.shape)
        return sphere.apply(params, points, viewdirs, key=key)

    config = PRESETS["notebook"]
    render_chunk = make_chunk_renderer(
        RadianceField(sphere.init, apply), config, rays_per_microbatch=8
    )
    params = init_params(sphere, config, key)
    counts = []
    for height, width in [(2, 3), (9, 7), (1, 1)]:
        render_image(render_chunk, params, camera(height, width), space=World(), config=config)
        counts.append(len(traces))
    assert set(traces) == {(64, 3)}  # pieces of the chunk, never the whole of it
    assert counts == [2, 2, 2]  # the coarse and the new samples, traced once


def test_progress_counts_the_rays_of_the_picture(sphere, monkeypatch, key):
    monkeypatch.setattr(images, "RAYS_PER_CHUNK", 16)
    config, calls = PRESETS["notebook"], []
    render_image(
        make_chunk_renderer(sphere, config, rays_per_microbatch=16),
        init_params(sphere, config, key),
        camera(5, 8),
        space=World(),
        config=config,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(16, 40), (32, 40), (40, 40)]


def halves(params, points, viewdirs, /, *, key=None):
    """Opaque; red to the right of the axis, green above it."""
    rgb = jnp.stack(
        [points[..., 0] > 0, points[..., 1] > 0, jnp.zeros(points.shape[:-1], bool)], -1
    )
    return FieldOutput(rgb.astype(jnp.float32), jnp.full(points.shape[:-1], 1e6))


@pytest.mark.parametrize("space", ["world", "ndc", "contracted"])
def test_right_is_to_the_right_and_up_is_at_the_top(space):
    config = dataclasses.replace(PRESETS["notebook"], pixel_offset=0.5)
    view = cameras_at_origin(1, 4, 6, focal=5.0, near=BOUNDS[0], far=BOUNDS[1])[0]
    render_chunk = make_chunk_renderer(RadianceField(None, halves), config)
    space = space_of(space, view)
    rgb = render_image(render_chunk, {"shared": {}}, view, space=space, config=config).rgb
    np.testing.assert_allclose(rgb[..., 0], np.tile([0, 0, 0, 1, 1, 1], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(rgb[..., 1].T, np.tile([1, 1, 0, 0], (6, 1)), atol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
def test_depth_is_along_the_axis_in_scene_units_although_the_field_lives_in_ndc(
    preset, pixel_offset, monkeypatch
):
    """An opaque wall at world z = -4, which the warp takes to z = 1 - 2/4."""

    def wall(params, points, viewdirs, /, *, key=None):
        behind = points[..., 2] > 0.5
        return FieldOutput(jnp.ones(points.shape), jnp.where(behind, 1e6, 0.0))

    monkeypatch.setattr(images, "RAYS_PER_CHUNK", 40)
    config = dataclasses.replace(PRESETS[preset], num_coarse=512, pixel_offset=pixel_offset)
    turned = np.array([[0.96, 0, 0.28, 0.2], [0, 1, 0, -0.1], [-0.28, 0, 0.96, 0.3]], np.float32)
    view = Cameras.pinhole(turned, focal=4.0, height=5, width=8, near=2.0, far=6.0)
    render_chunk = make_chunk_renderer(RadianceField(None, wall), config, rays_per_microbatch=40)
    params = {"shared": {}, "coarse": {}, "fine": {}}
    depth = render_image(render_chunk, params, view, space=ndc_of(view), config=config).depth
    rows, columns = np.mgrid[0:5, 0:8] + pixel_offset
    local = np.stack([(columns - 4) / 4, -(rows - 2.5) / 4, -np.ones((5, 8))], axis=-1)
    expected = (-4 - turned[2, 3]) / (local @ turned[2, :3])
    np.testing.assert_allclose(depth, expected, rtol=0.01)
    assert np.ptp(expected) > 1
