"""Laws of a step that corrects poses: the identity, gradients, the inverse of what was put in."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.config.presets import PLANES
from nerf.corrections.corrections import Corrections
from nerf.corrections.poses import corrected_cameras
from nerf.field import FieldOutput, RadianceField
from nerf.geometry.alignment import pose_errors
from nerf.geometry.cameras import Cameras
from nerf.geometry.world import World
from nerf.render.find_pose import PoseFinder
from nerf.render.images import make_exact_program, render_image
from nerf.render.rays import render_rays
from nerf.training.batch import draw_batch, make_batch
from nerf.training.corrected_batch import Corrected, corrected_parts, moved_rays, placed_cameras
from nerf.training.gradient import loss_and_gradient, loss_and_gradients
from nerf.training.state import init_state
from nerf.training.step import make_step
from nerf.training.view_gradients import pose_equations
from tests.render.test_skipping import CONFIG, all_rays, batch_of, carved_params, fog_field
from tests.support.cameras import space_of, training_views

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 12, 16


def _waves(params, points, viewdirs, /, *, key=None):
    """A field that is known: a bumpy wall at about z = -3, with waves of colour."""
    x, y, z = jnp.moveaxis(jax.lax.stop_gradient(params["scale"]) * points, -1, 0)
    rgb = 0.5 + 0.4 * jnp.stack(
        [jnp.sin(3.0 * x + y), jnp.sin(2.5 * y - x), jnp.sin(2.0 * (x + y) + z)], axis=-1
    )
    depth = 3.0 + jnp.sin(1.5 * x) * jnp.cos(1.2 * y)
    return FieldOutput(rgb, 6.0 * jax.nn.sigmoid(6.0 * (-depth - z)))


WAVES = RadianceField(lambda key, /: {"scale": jnp.ones(())}, _waves)
WITH_POSES = dataclasses.replace(
    PLANES,
    render=dataclasses.replace(
        PLANES.render, networks="shared", coarse_t="bins", fine_t="between_samples",
        fine_gradient=True, num_coarse=32, num_fine=8,
    ),
    train=dataclasses.replace(
        PLANES.train, num_rays=256, num_steps=250, opacity_loss_weight=0.0,
        distortion_loss_weight=0.0, poses="on",
    ),
)  # fmt: skip


def rig(num=6):
    """Cameras on an arc that look at the wall."""
    rng = np.random.default_rng(2)
    turns = Rotation.from_rotvec(rng.uniform(-0.15, 0.15, (num, 3))).as_matrix()
    positions = rng.uniform([-1.0, -0.8, -0.3], [1.0, 0.8, 0.3], (num, 3))
    return Cameras.pinhole(
        np.concatenate([turns, positions[..., None]], axis=-1),
        focal=10.0, height=HEIGHT, width=WIDTH, near=1.5, far=5.0,
    )  # fmt: skip


def images_of(cameras):
    params = {"shared": WAVES.init(jax.random.key(0))}
    program = make_exact_program(WAVES, WITH_POSES.render, World()).with_params(params)
    return np.stack([render_image(program, cameras[i]).rgb for i in range(len(cameras.focal))])


@pytest.fixture(scope="module", name="images")
def _images():
    return images_of(rig())


def small_tangents(num=6, size=0.02, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(0.0, size, (num, 6)), jnp.float32)


def test_poses_that_were_put_wrong_are_brought_back(images):
    """By the same transform: the field is known, and the poses alone are learnt."""
    exact = rig()
    wrong = jax.device_get(corrected_cameras(exact, small_tangents()))
    views = training_views(images, wrong)
    step = make_step(WAVES, WITH_POSES, views, space=World())
    state, _ = step(init_state(WAVES, WITH_POSES, jax.random.key(0), num_views=6), 250)
    found = corrected_cameras(wrong, state.corrections.values.pose_tangents)
    before, after = (pose_errors(each.camtoworlds, exact.camtoworlds) for each in (wrong, found))
    assert np.mean(after.angles) < 0.7 * np.mean(before.angles)
    assert np.mean(after.distances) < 0.4 * np.mean(before.distances)


def test_the_pose_of_one_image_is_found(images):
    exact = rig()
    wrong = jax.device_get(corrected_cameras(exact, small_tangents(size=0.04)))
    params = {"shared": WAVES.init(jax.random.key(0))}
    finder = PoseFinder(WAVES, params, WITH_POSES.render, World())
    for index in (0, 3):
        log_gains = np.full(3, 0.2, np.float32) * index
        pixels = finder.choose_pixels(images[index], None, None)
        found = finder.find(wrong[index], pixels)
        np.testing.assert_allclose(found, exact.camtoworlds[index], atol=2e-3)
        assert np.abs(wrong.camtoworlds[index] - exact.camtoworlds[index]).max() > 0.03
        assert finder.choose_pixels(images[index], None, log_gains).log_gains[0] == log_gains[0]


def test_pixels_that_a_mask_leaves_out_do_not_move_a_pose(images):
    exact, mask = rig(), np.ones((HEIGHT, WIDTH), np.bool_)
    mask[:, :5] = False
    image = np.where(mask[..., None], images[2], 1.0 - images[2])
    params = {"shared": WAVES.init(jax.random.key(0))}
    finder = PoseFinder(WAVES, params, WITH_POSES.render, World())
    found = finder.find(exact[2], finder.choose_pixels(image, mask))
    np.testing.assert_allclose(found, exact.camtoworlds[2], atol=2e-3)


@pytest.mark.parametrize(
    ("name", "microbatch", "scale"),
    [("world", 64, 1.0), ("world", 16, 1.0), ("ndc", 64, 3.5)],
)
def test_the_gradient_of_tangents_is_that_of_finite_differences(images, name, microbatch, scale):
    """Through rays, sample positions, colours and lengths."""
    cameras = rig()
    views, space = training_views(images, cameras), space_of(name, cameras)
    pixels = draw_batch(jax.random.key(3), views, 64)
    params = {"shared": {"scale": jnp.float32(scale)}}
    batch = make_batch(pixels, cameras, space=space, config=WITH_POSES.render)
    correct = functools.partial(
        corrected_parts, pixels, cameras, space=space, config=WITH_POSES.render
    )

    @jax.jit
    def found(tangents):
        parts, pull_back = jax.vjp(correct, Corrections(None, tangents))
        loss, _, _, of_parts = loss_and_gradients(
            WAVES, params, batch, WITH_POSES, microbatch, corrected=parts
        )
        return loss, pull_back(of_parts)[0].pose_tangents

    at, towards, step = small_tangents(), small_tangents(size=1.0, seed=7), 2e-4
    slope = jnp.vdot(found(at)[1], towards)
    difference = (found(at + step * towards)[0] - found(at - step * towards)[0]) / (2 * step)
    assert jnp.abs(slope) > 1e-2
    # New samples pass old ones between the two differences, which bends the loss a little.
    np.testing.assert_allclose(slope, difference, rtol=5e-2)


def _red(params, points, viewdirs, /, *, key=None):
    """The same wall in one channel alone."""
    found = _waves(params, points, viewdirs)
    return found._replace(rgb=found.rgb.at[..., 1:].set(0.0))


@pytest.mark.parametrize(("loss", "channels"), [("mean", 1.0), ("sum", 3.0)])
def test_the_hessian_of_poses_is_that_of_the_jacobian_of_the_colours(images, loss, channels):
    """With one channel the random signs have no effect on the estimate."""
    field, cameras = WAVES._replace(apply=_red), rig()
    config = dataclasses.replace(WITH_POSES, train=dataclasses.replace(WITH_POSES.train, loss=loss))
    params = {"shared": field.init(jax.random.key(0))}
    corrections = Corrections(None, small_tangents())
    pixels = draw_batch(jax.random.key(3), training_views(images, cameras), 64)
    placed = placed_cameras(cameras, corrections)
    rays_of = functools.partial(moved_rays, pixels, cameras, placed, space=World())

    def found(of_rays, microbatch):
        return pose_equations(
            field, params, pixels, cameras, corrections, of_rays, config,
            space=World(), microbatch_size=microbatch,
        )  # fmt: skip

    def colours(tangents):
        rays = rays_of(tangents, config=config.render)
        return render_rays(field, params, rays, config.render).fine.rgb

    zero = jnp.zeros((64, 6))
    nothing = jax.tree.map(jnp.zeros_like, rays_of(zero, config=config.render))
    equations = jax.jit(functools.partial(found, microbatch=8))(nothing)
    np.testing.assert_array_equal(equations.slope, 0.0)
    # One ray in four counts. One column of the Jacobian for each tangent.
    jacobian = jax.jit(
        lambda: jnp.stack([
            jax.jvp(colours, (zero,), (zero.at[:, i].set(1.0),))[1][::4, 0] for i in range(6)
        ], axis=-1)
    )()  # fmt: skip
    expected = np.zeros((6, 6, 6))
    for view, row in zip(np.asarray(pixels.view)[::4], np.asarray(jacobian), strict=True):
        expected[view] += 2.0 * channels / (3.0 * 16) * np.outer(row, row)
    np.testing.assert_allclose(equations.hessian, expected, rtol=1e-3, atol=1e-5)
    assert np.abs(expected).max() > 1e-2


def test_with_the_same_rays_a_step_is_the_uncorrected_one_bit_for_bit(unoptimised_compilation):
    batch = batch_of(all_rays())
    compute = functools.partial(loss_and_gradient, fog_field(), config=CONFIG)
    plain = jax.jit(functools.partial(compute, rays_per_microbatch=60))
    loss, _, gradient = plain(carved_params(fog_field()), batch)
    corrected = functools.partial(
        loss_and_gradients, fog_field(), config=CONFIG, rays_per_microbatch=60
    )
    ours, _, our_gradient, of_parts = jax.jit(corrected)(
        carved_params(fog_field()), batch, corrected=Corrected(None, batch.rays)
    )
    np.testing.assert_array_equal(ours, loss)
    jax.tree.map(np.testing.assert_array_equal, our_gradient, gradient)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(of_parts))
    assert jnp.abs(of_parts.rays.origins).max() > 0


def test_off_and_on_at_the_start_take_the_same_step(images, unoptimised_compilation):
    """The learning rate of poses is zero at first."""
    views = training_views(images, rig())
    states = []
    for setting in ("off", "on"):
        train = dataclasses.replace(WITH_POSES.train, poses=setting)
        config = dataclasses.replace(WITH_POSES, train=train)
        step = make_step(WAVES, config, views, space=World())
        state, metrics = step(init_state(WAVES, config, jax.random.key(0), num_views=6), 1)
        states.append((state, metrics))
    np.testing.assert_array_equal(states[0][1].loss, states[1][1].loss)
    assert states[0][0].corrections is None
    np.testing.assert_array_equal(states[1][0].corrections.values.pose_tangents, 0.0)


def test_known_depths_are_those_of_the_corrected_cameras_and_leave_these_alone():
    cameras = rig()
    assert placed_cameras(cameras, None) is cameras
    assert placed_cameras(cameras, Corrections(log_gains=jnp.zeros((6, 3)))) is cameras
    tangents = jax.random.normal(jax.random.key(1), (6, 6)) * 0.05

    def poses(tangents):
        return placed_cameras(cameras, Corrections(pose_tangents=tangents)).camtoworlds

    expected = corrected_cameras(cameras, tangents).camtoworlds
    np.testing.assert_array_equal(poses(tangents), expected)
    assert not np.allclose(expected, cameras.camtoworlds, atol=1e-3)
    slope = jax.grad(lambda tangents: jnp.sum(jnp.square(poses(tangents))))(tangents)
    np.testing.assert_array_equal(slope, 0.0)
