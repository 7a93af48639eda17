"""Laws of empty space: rays that meet nothing are background, cost nothing, and change nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.backends import proposal_grid
from nerf.config.presets import PLANES, QUICK
from nerf.config.settings import GridConfig
from nerf.field import FieldOutput, RadianceField, make_field
from nerf.geometry.cameras import Cameras
from nerf.geometry.contraction import Contracted
from nerf.geometry.occupancy import is_occupied
from nerf.geometry.world import World
from nerf.render.images import image_rays, make_exact_program, render_image
from nerf.render.rays import hits_occupied, init_params, known_occupancy, render_rays
from nerf.training.batch import Batch
from nerf.training.gradient import loss_and_gradient
from nerf.training.loss import photometric_loss
from nerf.training.state import init_state

pytestmark = pytest.mark.slow

GRID = GridConfig(resolution=(9, 9, 9), outside="empty")
SPACE = World.cube(1.0)
CONFIG = dataclasses.replace(
    PLANES,
    render=dataclasses.replace(PLANES.render, background="white", num_coarse=16, num_fine=8),
    train=dataclasses.replace(PLANES.train, opacity_loss_weight=0.0),
)
CAMERA = Cameras.pinhole(
    [[1, 0, 0, 0.1], [0, 1, 0, -0.2], [0, 0, 1, 3.0]],
    focal=18.0,
    height=20,
    width=24,
    near=1.0,
    far=6.0,
)


def occupied_cells():
    """A block of cells somewhat beside the middle."""
    occupied = np.zeros((8, 8, 8), bool)
    occupied[2:5, 3:6, 4:7] = True
    return occupied


def fog(params, points, viewdirs, /, *, key=None):
    """Dense everywhere, also where nothing can be."""
    rgb = jax.nn.sigmoid(params["slope"] * points)
    return FieldOutput(rgb, params["density"] * jnp.ones(points.shape[:-1]))


def fog_field(apply=fog):
    def init(key, /):
        return {"slope": jnp.float32(3.0), "density": jnp.float32(1.5)}

    return RadianceField(init, apply, proposal=proposal_grid.make(GRID))


def carved_params(field, config=CONFIG):
    return init_state(field, config, jax.random.key(0), occupied=occupied_cells()).params


def all_rays():
    return image_rays(CAMERA, space=SPACE, config=CONFIG.render)


def batch_of(rays, seed=0):
    num_rays = len(rays.near)
    rng = np.random.default_rng(seed)
    rgb, alpha = rng.uniform(size=(num_rays, 3)), rng.uniform(size=num_rays)
    keys = jax.random.split(jax.random.key(seed), num_rays)
    return Batch(rays, jnp.asarray(rgb, jnp.float32), keys, jnp.asarray(alpha, jnp.float32))


def occupancy_of(field, params):
    return known_occupancy(field, params, CONFIG.render, SPACE)


def test_a_proposal_keeps_the_cells_that_it_was_given():
    field = fog_field()
    occupancy = occupancy_of(field, carved_params(field))
    np.testing.assert_array_equal(occupancy.occupied, occupied_cells())
    fresh = init_params(field, CONFIG.render, jax.random.key(0))
    assert np.all(occupancy_of(field, fresh).occupied)


def test_an_extrapolated_proposal_knows_no_empty_space():
    proposal = proposal_grid.make(dataclasses.replace(GRID, outside="border"))
    assert proposal.occupancy is None


def test_bent_rays_are_not_clipped():
    field = fog_field()
    assert known_occupancy(field, carved_params(field), CONFIG.render, Contracted()) is None


def test_rays_that_meet_nothing_are_background_at_the_far_end():
    field, rays = fog_field(), all_rays()
    params = carved_params(field)
    meets = np.asarray(hits_occupied(rays, occupancy_of(field, params)))
    assert 0.05 < meets.mean() < 0.5
    fine = render_rays(field, params, rays, CONFIG.render).fine
    np.testing.assert_array_equal(fine.acc[~meets], 0.0)
    np.testing.assert_array_equal(fine.rgb[~meets], 1.0)
    np.testing.assert_array_equal(fine.depth[~meets], rays.far[~meets])
    assert np.asarray(fine.acc)[meets].min() >= 0
    assert np.asarray(fine.acc)[meets].max() > 0.3


def test_light_comes_from_occupied_cells_alone():
    """Fog that fills all of space is seen as a block; its opacity is that of the block."""
    field, rays = fog_field(), all_rays()
    params = carved_params(field)
    fine = render_rays(field, params, rays, CONFIG.render).fine
    t_vals = rays.near[:, None] + (rays.far - rays.near)[:, None] * jnp.linspace(0, 1, 4001)[None]
    points = rays.origins[:, None] + t_vals[..., None] * rays.directions[:, None]
    holds = np.asarray(is_occupied(occupancy_of(field, params), points))
    length = np.asarray((rays.far - rays.near) * jnp.linalg.norm(rays.directions, axis=-1))
    expected = 1.0 - np.exp(-1.5 * holds.mean(axis=1) * length)
    np.testing.assert_allclose(np.asarray(fine.acc), expected, atol=0.15)
    assert np.abs(np.asarray(fine.acc) - expected).mean() < 0.01


def test_an_image_is_its_rays_whatever_the_tiles():
    field, rays = fog_field(), all_rays()
    params = carved_params(field)
    fine = render_rays(field, params, rays, CONFIG.render).fine
    for microbatch, tile in ((8, 32), (30, 480), (7, 7)):
        program = make_exact_program(
            field, CONFIG.render, SPACE, rays_per_microbatch=microbatch, rays_per_tile=tile
        )
        found = render_image(program.with_params(params), CAMERA)
        np.testing.assert_allclose(found.rgb.reshape(-1, 3), fine.rgb, atol=1e-5)
        np.testing.assert_allclose(found.acc.reshape(-1), fine.acc, atol=1e-5)
        np.testing.assert_allclose(found.depth.reshape(-1), fine.depth, atol=1e-5)


def counted(calls):
    def apply(params, points, viewdirs, /, *, key=None):
        jax.debug.callback(lambda x: calls.append(len(x)), points)
        return fog(params, points, viewdirs, key=key)

    return fog_field(apply)


def num_needed(field, params, rays, microbatch):
    """Microbatches of rays that meet something."""
    meets = np.asarray(hits_occupied(rays, occupancy_of(field, params)))
    return -(-meets.sum() // microbatch)


def test_rays_that_meet_nothing_cost_nothing_in_rendering():
    calls, microbatch = [], 8
    field, rays = counted(calls), all_rays()
    params = carved_params(field)
    num_pixels = CAMERA.height * CAMERA.width
    program = make_exact_program(
        field,
        CONFIG.render,
        SPACE,
        rays_per_microbatch=microbatch,
        rays_per_tile=num_pixels // len(jax.local_devices()),
    )
    render_image(program.with_params(params), CAMERA)
    jax.effects_barrier()
    at_least = num_needed(field, params, rays, microbatch)
    assert at_least <= len(calls) <= at_least + len(jax.local_devices())


def test_rays_that_meet_nothing_cost_nothing_in_training():
    calls, microbatch = [], 8
    field, rays = counted(calls), all_rays()
    params = carved_params(field)
    found = jax.jit(
        functools.partial(loss_and_gradient, field, config=CONFIG, rays_per_microbatch=microbatch)
    )(params, batch_of(rays))
    jax.block_until_ready(found)
    jax.effects_barrier()
    assert len(calls) == num_needed(field, params, rays, microbatch)


def value_and_gradient(field, params, batch, microbatch):
    return jax.jit(
        functools.partial(loss_and_gradient, field, config=CONFIG, rays_per_microbatch=microbatch)
    )(params, batch)


@pytest.mark.parametrize("microbatch", [480, 60, 1])
def test_loss_statistics_and_gradient_are_those_of_all_rays(microbatch):
    field, batch = fog_field(), batch_of(all_rays())
    params = carved_params(field)

    def whole(params):
        return photometric_loss(field, params, batch, CONFIG)

    (loss, stats), gradient = jax.value_and_grad(whole, has_aux=True)(params)
    found = value_and_gradient(field, params, batch, microbatch)
    for ours, theirs in zip(
        jax.tree.leaves(found), jax.tree.leaves((loss, stats, gradient)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-6)


def test_a_batch_that_meets_nothing_at_all_has_the_loss_of_the_background():
    field = fog_field()
    params = init_state(field, CONFIG, jax.random.key(0), occupied=np.zeros((8, 8, 8), bool)).params
    batch = batch_of(all_rays())
    loss, stats, gradient = value_and_gradient(field, params, batch, 60)
    error, alpha = 1.0 - np.asarray(batch.rgb), np.asarray(batch.alpha)[:, None]
    expected = np.mean((error - 0.5 * alpha) ** 2 + alpha**2 / 12)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert float(stats.mse) == pytest.approx(np.mean(error**2), rel=1e-4)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_what_is_known_to_be_empty_has_no_gradient():
    field, batch = fog_field(), batch_of(all_rays())
    params = carved_params(field)
    _, _, gradient = value_and_gradient(field, params, batch, 60)
    corners = np.asarray(params["proposal"]["grid"]["log_density"])
    moved = np.asarray(gradient["proposal"]["grid"]["log_density"])
    assert np.abs(moved[corners < -1]).max() == 0.0
    assert np.abs(moved[corners > -1]).max() > 0.0


@pytest.mark.parametrize(("field_name", "preset"), [("mlp", QUICK), ("planes", PLANES)])
def test_every_field_that_has_a_proposal_skips(backend, field_name, preset):
    """The field itself is dense everywhere at first."""
    config = dataclasses.replace(
        preset,
        field=dataclasses.replace(preset.field, proposal=GRID),
        render=dataclasses.replace(CONFIG.render, num_fine=4),
    )
    field = make_field(backend, field_name, config.field)
    params = init_state(field, config, jax.random.key(0), occupied=occupied_cells()).params
    rays = jax.tree.map(lambda x: x[::7], all_rays())
    occupancy = known_occupancy(field, params, config.render, SPACE)
    meets = np.asarray(hits_occupied(rays, occupancy))
    acc = np.asarray(render_rays(field, params, rays, config.render).fine.acc)
    assert np.all(acc[~meets] == 0.0)
    assert acc[meets].max() > 0.01
