"""Whole images, and a third field, an analytic sphere, to show that any field can be rendered."""

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
from nerf.geometry.lenses import Lens
from nerf.geometry.world import World
from nerf.render.image_renderer import ImageShare
from nerf.render.images import image_rays, make_exact_program, render_image
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


def render(field, config, space, params, view, progress=None, **options):
    """An image by the exact renderer."""
    renderer = make_exact_program(field, config, space, **options).with_params(params)
    return render_image(renderer, view, progress=progress)


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

    image = render(sphere, config, World(), params, view)
    flat = (image.rgb.reshape(-1, 3), image.depth.ravel(), image.acc.ravel())
    assert_is_the_sphere(config, rays, *flat)


def test_the_third_field_is_gone_after_its_test():
    assert nerf.field.backends() == ("flax", "haiku", "nnx")


@pytest.mark.parametrize("space", ["world", "ndc", "contracted"])
def test_an_image_is_its_rays_one_by_one(backend, space, key, usual_compilation):
    field, config, view = make_field(backend, "mlp", TINY), PRESETS["paper"], camera(3, 5)
    params = init_params(field, config, key)
    image = render(field, config, space_of(space, view), params, view)
    render_some = jax.jit(functools.partial(render_rays, field, config=config))
    rays = jax.tree.map(np.asarray, image_rays(view, space=space_of(space, view), config=config))
    for row in range(3):
        for column in range(5):
            ray = jax.tree.map(lambda x, n=row * 5 + column: x[n : n + 1], rays)
            fine = render_some(params, ray).fine
            np.testing.assert_allclose(image.rgb[row, column], fine.rgb[0], atol=1e-5)
            np.testing.assert_allclose(image.acc[row, column], fine.acc[0], atol=1e-5)
            if space == "world":
                np.testing.assert_allclose(image.depth[row, column], fine.depth[0], rtol=1e-5)


def test_neither_microbatches_nor_tiles_change_the_image(sphere, key):
    config, view = PRESETS["notebook"], camera(7, 13)
    params = init_params(sphere, config, key)
    expected = render(sphere, config, World(), params, view, rays_per_microbatch=91)
    for microbatch, tile in ((4, 4), (4, 12), (5, 40), (16, 1000), (100, 100)):
        found = render(
            sphere,
            config,
            World(),
            params,
            view,
            rays_per_microbatch=microbatch,
            rays_per_tile=tile,
        )
        assert [x.shape for x in found] == [(7, 13, 3), (7, 13), (7, 13)]
        assert {x.dtype for x in found} == {np.dtype(np.float32)}
        for name in found._fields:
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), atol=1e-5, err_msg=name
            )


@pytest.mark.parametrize("lens", [None, Lens(np.full(2, 14.0), np.array([6.1, 3.2]))])
def test_some_pixels_are_those_of_the_image(sphere, key, lens):
    config, view = PRESETS["notebook"], dataclasses.replace(camera(7, 13), lens=lens)
    program = make_exact_program(sphere, config, World(), rays_per_microbatch=4, rays_per_tile=8)
    renderer = program.with_params(init_params(sphere, config, key))
    image = render_image(renderer, view)
    index = np.random.default_rng(0).permutation(7 * 13)[:50]
    found = renderer.pixels(view, index)
    np.testing.assert_array_equal(found.rgb, image.rgb.reshape(-1, 3)[index])
    np.testing.assert_array_equal(found.depth, image.depth.reshape(-1)[index])
    np.testing.assert_array_equal(found.acc, image.acc.reshape(-1)[index])


@pytest.mark.parametrize("count", [2, 3])
def test_shares_of_an_image_are_the_image_to_the_bit(sphere, key, count):
    """Each of several processes draws its share; here one after the other."""
    config, view = PRESETS["notebook"], camera(9, 13)
    program = make_exact_program(sphere, config, World(), rays_per_microbatch=4, rays_per_tile=8)
    renderer = program.with_params(init_params(sphere, config, key))
    whole, done, num_drawn = render_image(renderer, view), [], np.zeros(9 * 13, int)
    for index in range(count):
        share, calls = ImageShare(index, count), []
        image = render_image(
            renderer, view, share=share, progress=lambda n, _, calls=calls: calls.append(n)
        )
        own = program.pixels_of(share, 9 * 13)
        num_drawn[own] += 1
        for ours, theirs in zip(image, whole, strict=True):
            ours, theirs = (x.reshape(9 * 13, -1) for x in (ours, theirs))
            np.testing.assert_array_equal(ours[own], theirs[own])
        done.append(calls)
    assert (num_drawn == 1).all()
    assert all(calls == done[0] for calls in done)
    assert done[0][-1] == 9 * 13


def test_one_compilation_whatever_the_resolution(sphere, key):
    traces = []

    def apply(params, points, viewdirs, /, *, key=None):
        traces.append(points.shape)
        return sphere.apply(params, points, viewdirs, key=key)

    config = PRESETS["notebook"]
    field = RadianceField(sphere.init, apply)
    program = make_exact_program(field, config, World(), rays_per_microbatch=8)
    counts = []
    for height, width in [(2, 3), (9, 7), (1, 1)]:
        renderer = program.with_params(init_params(sphere, config, key))
        render_image(renderer, camera(height, width))
        counts.append(len(traces))
    assert set(traces) == {(64, 3)}  # a microbatch, never the whole tile
    assert counts[0] == counts[1] == counts[2]


def test_microbatches_beyond_the_image_are_not_evaluated(key):
    """A tile may be much larger than an image."""
    calls = []

    def apply(params, points, viewdirs, /, *, key=None):
        jax.debug.callback(lambda x: calls.append(x.shape), points)
        return FieldOutput(jnp.ones(points.shape), jnp.ones(points.shape[:-1]))

    config = PRESETS["notebook"]
    render(
        RadianceField(None, apply),
        config,
        World(),
        {"shared": {}},
        camera(5, 8),
        rays_per_microbatch=10,
        rays_per_tile=10_000,
    )
    jax.effects_barrier()
    assert len(calls) == 2 * 4  # the coarse and the new samples of 40 rays


def test_progress_counts_the_rays_of_the_image(sphere, key):
    config, calls = PRESETS["notebook"], []
    num_devices = len(jax.local_devices())
    render(
        sphere,
        config,
        World(),
        init_params(sphere, config, key),
        camera(5, 8 * num_devices),
        progress=lambda done, total: calls.append((done, total)),
        rays_per_microbatch=16,
        rays_per_tile=16,
    )
    assert calls == [(n * num_devices, 40 * num_devices) for n in (16, 32, 40)]


class Crossings:
    """What crosses between the host and the devices, counted where JAX copies arrays."""

    def __init__(self, monkeypatch):
        self.put, self.got = [], []
        put, get = jax.device_put, jax.device_get

        def count(log, function):
            def call(tree, *arguments, **options):
                log.append(sum(x.nbytes for x in jax.tree.leaves(tree)))
                return function(tree, *arguments, **options)

            return call

        monkeypatch.setattr(jax, "device_put", count(self.put, put))
        monkeypatch.setattr(jax, "device_get", count(self.got, get))


@pytest.mark.parametrize("num_views", [1, 3])
def test_only_finished_images_cross(sphere, key, monkeypatch, num_views):
    """Parameters go to the devices once, whatever the number of tiles and views."""
    config, view = PRESETS["notebook"], camera(16, 20)
    params = {"density": np.float32(DENSITY), "unused": np.zeros(100_000, np.float32)}
    program = make_exact_program(sphere, config, World(), rays_per_microbatch=8, rays_per_tile=16)
    render_image(program.with_params({"shared": params}), view)  # compiles
    crossings = Crossings(monkeypatch)
    renderer = program.with_params({"shared": params})
    with jax.transfer_guard("disallow"):
        for _ in range(num_views):
            render_image(renderer, view)
    once = 4 * 100_001 + 4 * program.order().size
    assert sum(crossings.put[:2]) == once
    assert len(crossings.put) == 2 + num_views  # a camera for each view
    assert max(crossings.put[2:]) < 100
    assert sum(crossings.got) == num_views * 16 * 20 * 5 * 4  # rgb, depth and opacity


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
    field = RadianceField(None, halves)
    rgb = render(field, config, space_of(space, view), {"shared": {}}, view).rgb
    np.testing.assert_allclose(rgb[..., 0], np.tile([0, 0, 0, 1, 1, 1], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(rgb[..., 1].T, np.tile([1, 1, 0, 0], (6, 1)), atol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
def test_depth_is_along_the_axis_in_scene_units_although_the_field_lives_in_ndc(
    preset, pixel_offset
):
    """An opaque wall at world z = -4, which the warp takes to z = 1 - 2/4."""

    def wall(params, points, viewdirs, /, *, key=None):
        behind = points[..., 2] > 0.5
        return FieldOutput(jnp.ones(points.shape), jnp.where(behind, 1e6, 0.0))

    config = dataclasses.replace(PRESETS[preset], num_coarse=512, pixel_offset=pixel_offset)
    turned = np.array([[0.96, 0, 0.28, 0.2], [0, 1, 0, -0.1], [-0.28, 0, 0.96, 0.3]], np.float32)
    view = Cameras.pinhole(turned, focal=4.0, height=5, width=8, near=2.0, far=6.0)
    params = {"shared": {}, "coarse": {}, "fine": {}}
    depth = render(RadianceField(None, wall), config, ndc_of(view), params, view).depth
    rows, columns = np.mgrid[0:5, 0:8] + pixel_offset
    local = np.stack([(columns - 4) / 4, -(rows - 2.5) / 4, -np.ones((5, 8))], axis=-1)
    expected = (-4 - turned[2, 3]) / (local @ turned[2, :3])
    np.testing.assert_allclose(depth, expected, rtol=0.01)
    assert np.ptp(expected) > 1
