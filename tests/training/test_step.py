"""Laws of one training step: what is drawn, the loss, its gradient, Adam, and what is random."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nerf.config import presets
from nerf.config import text as config_text
from nerf.field import FieldOutput, RadianceField, make_field
from nerf.geometry.cameras import Cameras
from nerf.render.images import make_exact_program, render_image
from nerf.training import loss as loss_lib
from nerf.training.batch import Batch
from nerf.training.optimizer import TimeBudget, learning_rate
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.support.cameras import ndc_of, space_of, training_views, views_from_origin
from tests.support.compiled import image_rays, loss_and_gradient, photometric_loss, sample_batch

pytestmark = pytest.mark.slow

NUM_VIEWS, HEIGHT, WIDTH = 3, 4, 5
NUM_PIXELS = NUM_VIEWS * HEIGHT * WIDTH
PRESETS = ["notebook", "paper"]


def tiny(preset, **train):
    """A preset with few samples, few rays and a tiny field."""
    base = presets.preset(preset)
    encoding = dataclasses.replace(base.field.point_encoding, num_frequencies=3)
    return dataclasses.replace(
        base,
        field=dataclasses.replace(
            base.field, point_encoding=encoding, num_layers=2, skip_layer=1, width=16, rgb_width=8
        ),
        render=dataclasses.replace(base.render, num_coarse=6, num_fine=6),
        train=dataclasses.replace(base.train, **{"num_rays": 12, "num_steps": 10, **train}),
    )


@pytest.fixture(scope="module")
def cameras():
    """Three cameras in a row, each turned a little, all looking along -z."""
    poses = np.zeros((NUM_VIEWS, 3, 4), np.float32)
    for view, angle in enumerate((0.0, 0.1, -0.2)):
        cos, sin = np.cos(angle), np.sin(angle)
        poses[view, :, :3] = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
        poses[view, :, 3] = 0.3 * view, -0.2 * view, 0.1 * view
    view = np.arange(NUM_VIEWS)
    return Cameras.pinhole(
        poses, focal=6.0, height=HEIGHT, width=WIDTH, near=1.0 + view, far=5.0 + view
    )


@pytest.fixture(scope="module")
def views(cameras):
    """The colour of a pixel is its view, row and column, in tenths."""
    pixels = np.indices((NUM_VIEWS, HEIGHT, WIDTH)).transpose(1, 2, 3, 0)
    return training_views(pixels / 10.0, cameras)


def pixels_of(batch):
    """View, row and column of each ray, read from its colour."""
    return np.rint(np.asarray(batch.rgb) * 10).astype(int).T


def draw(views, key, num_rays, preset="notebook", space="ndc"):
    render, space = presets.preset(preset).render, space_of(space, views.cameras)
    return sample_batch(key, views, num_rays=num_rays, space=space, config=render)


def _colour(params, points, viewdirs, /, *, key=None):
    rgb = jnp.broadcast_to(params["rgb"], points.shape)
    return FieldOutput(rgb, jnp.full(points.shape[:-1], 1e9))


def _mist(params, points, viewdirs, /, *, key=None):
    rgb = jax.nn.sigmoid(params["slope"] * points)
    return FieldOutput(rgb, jnp.ones(points.shape[:-1]))


# Opaque and of one colour, so every ray has that colour; and one whose colour depends on where it
# is sampled.
WALL = RadianceField(lambda key, /: {"rgb": jnp.full(3, 0.5)}, _colour)
MIST = RadianceField(lambda key, /: {"slope": jnp.float32(3.0)}, _mist)


# What is drawn.


def test_every_pixel_is_drawn_equally_often(views, cameras, key):
    batch = draw(views, key, 100 * NUM_PIXELS)
    drawn = np.ravel_multi_index(pixels_of(batch), (NUM_VIEWS, HEIGHT, WIDTH))
    counts = np.bincount(drawn, minlength=NUM_PIXELS)
    assert len(counts) == NUM_PIXELS
    assert counts.min() > 0
    statistic, _ = stats.chisquare(counts)
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], NUM_PIXELS - 1)
    assert low < statistic < high


@pytest.mark.parametrize("space", ["ndc", "world", "contracted"])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_rays_colour_is_that_of_its_pixel(views, cameras, key, preset, space):
    batch = draw(views, key, 200, preset, space)
    every = [
        image_rays(cameras[v], space=space_of(space, cameras), config=presets.preset(preset).render)
        for v in range(NUM_VIEWS)
    ]
    for i, (view, row, column) in enumerate(pixels_of(batch).T):
        expected = jax.tree.map(lambda x, at=row * WIDTH + column: x[at], every[view])
        leaves = (jax.tree.leaves(rays) for rays in (batch.rays, expected))
        for ours, theirs in zip(*leaves, strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-5, atol=1e-6)


def test_a_ray_starts_at_its_camera_and_goes_through_its_pixel(views, cameras, key):
    batch = draw(views, key, 100, space="world")
    view, row, column = pixels_of(batch)
    local = [(column - WIDTH / 2) / 6.0, -(row - HEIGHT / 2) / 6.0, -np.ones(100)]
    directions = np.einsum("nij,jn->ni", cameras.camtoworlds[view, :, :3], np.array(local))
    np.testing.assert_allclose(batch.rays.directions, directions, atol=1e-6)
    np.testing.assert_allclose(batch.rays.origins, cameras.camtoworlds[view, :, 3])
    np.testing.assert_allclose(batch.rays.near, 1.0 + view)
    np.testing.assert_allclose(batch.rays.far, 5.0 + view)


def test_every_ray_and_every_draw_has_its_own_key(views, cameras, key):
    first, second = (draw(views, k, 50) for k in jax.random.split(key))
    keys = np.concatenate([jax.random.key_data(batch.ray_keys) for batch in (first, second)])
    assert len(np.unique(keys, axis=0)) == 100
    assert not np.array_equal(pixels_of(first), pixels_of(second))
    again = draw(views, jax.random.split(key)[0], 50)
    np.testing.assert_array_equal(pixels_of(again), pixels_of(first))


# The loss and its gradient.


def two_rays(cameras, key):
    """A black pixel and a white one."""
    render = presets.NOTEBOOK.render
    rays = image_rays(cameras[0], space=ndc_of(cameras), config=render)
    rays = jax.tree.map(lambda x: x[:2], rays)
    truth = jnp.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    return Batch(rays, truth, jax.random.split(key, 2))


def test_the_notebooks_loss_sums_over_rgb_and_both_passes(cameras, key):
    params = {"shared": {"rgb": jnp.array([0.5, 0.75, 1.0])}}
    loss, batch_stats = photometric_loss(WALL, params, two_rays(cameras, key), tiny("notebook"))
    black, white = 0.25 + 0.5625 + 1.0, 0.25 + 0.0625 + 0.0
    assert float(loss) == pytest.approx(2 * (black + white) / 2, rel=1e-6)
    assert float(batch_stats.mse) == pytest.approx((black + white) / 6, rel=1e-6)


def test_batch_stats_are_opacity_and_the_moments_of_the_colour(cameras, key):
    rgb = jnp.array([0.5, 0.75, 1.0])
    _, batch_stats = photometric_loss(
        WALL, {"shared": {"rgb": rgb}}, two_rays(cameras, key), tiny("notebook")
    )
    np.testing.assert_allclose(batch_stats.acc, [1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(batch_stats.rgb, [rgb, rgb**2], rtol=1e-6)


@pytest.mark.parametrize("rays_per_microbatch", [1, 4, 12])
def test_batch_stats_do_not_depend_on_the_microbatches(views, cameras, key, rays_per_microbatch):
    batch = draw(views, key, 12)
    params, settings = {"shared": {"slope": jnp.float32(3.0)}}, tiny("notebook")
    _, whole = photometric_loss(MIST, params, batch, settings)
    _, batch_stats, _ = loss_and_gradient(MIST, params, batch, settings, rays_per_microbatch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), batch_stats, whole)


def test_the_papers_loss_is_the_mean_of_each_pass(cameras, key):
    params = {
        "coarse": {"rgb": jnp.array([0.0, 0.0, 0.5])},
        "fine": {"rgb": jnp.array([0.5, 0.75, 1.0])},
    }
    loss, batch_stats = photometric_loss(WALL, params, two_rays(cameras, key), tiny("paper"))
    coarse = (0.25 + 1.0 + 1.0 + 0.25) / 6
    fine = (0.25 + 0.5625 + 1.0 + 0.25 + 0.0625 + 0.0) / 6
    assert float(loss) == pytest.approx(coarse + fine, rel=1e-6)
    assert float(batch_stats.mse) == pytest.approx(fine, rel=1e-6)


@pytest.mark.parametrize("rays_per_microbatch", [1, 4, 12])
@pytest.mark.parametrize(("preset", "factor"), [("notebook", 4.0), ("paper", 2 / 3)])
def test_the_gradient_of_one_colour_is_its_distance_from_the_mean(
    views, cameras, key, preset, factor, rays_per_microbatch
):
    """Both passes have d/dc of the mean square: 2 (c - mean), over rgb or for each channel."""
    settings = tiny(preset)
    batch = draw(views, key, 12)
    names = {"notebook": ["shared"], "paper": ["coarse", "fine"]}[preset]
    params = {name: {"rgb": jnp.array([0.5, 0.1, 0.9])} for name in names}
    loss, batch_stats, gradient = loss_and_gradient(
        WALL, params, batch, settings, rays_per_microbatch
    )
    expected = factor * (np.array([0.5, 0.1, 0.9]) - np.asarray(batch.rgb).mean(axis=0))
    for name in names:
        np.testing.assert_allclose(gradient[name]["rgb"], expected, rtol=1e-5, atol=1e-6)
    factor = {"notebook": 6, "paper": 2}[preset]
    assert float(loss) == pytest.approx(factor * float(batch_stats.mse), rel=1e-6)


def assert_grouping_does_not_matter(field, settings, batch, key, sizes):
    params = init_state(field, settings, key).params
    whole, *others = (loss_and_gradient(field, params, batch, settings, n) for n in sizes)
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(whole[2]))
    assert scale > 1e-3
    for other in others:
        for ours, theirs in zip(jax.tree.leaves(other), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_gradient_does_not_depend_on_how_rays_are_grouped(views, cameras, key, preset):
    batch = draw(views, key, 12, preset)
    assert_grouping_does_not_matter(MIST, tiny(preset), batch, key, (12, 1))


def test_a_noisy_networks_gradient_does_not_depend_on_the_grouping(views, cameras, key, backend):
    settings = tiny("paper")
    field = make_field(backend, "mlp", settings.field)
    batch = draw(views, key, 12, "paper")
    assert_grouping_does_not_matter(field, settings, batch, key, (12, 4))


def test_the_gradient_of_a_field_with_a_table_does_not_depend_on_the_grouping(
    views, cameras, key, backend
):
    """All microbatches add to one buffer."""
    small = ("field.resolution=[4,5,3]", "field.num_features=2", "field.width=8")
    settings = config_text.override(
        presets.preset("planes"), *small, "field.proposal.resolution=[4,4,4]", "train.num_rays=12"
    )
    field = make_field(backend, "planes", settings.field)
    batch = draw(views, key, 12)
    assert_grouping_does_not_matter(field, settings, batch, key, (12, 4, 1))


@pytest.mark.parametrize("rays_per_microbatch", [12, 4])
def test_a_penalty_every_few_steps_is_the_same_in_sum(views, cameras, key, rays_per_microbatch):
    settings, batch = tiny("notebook"), draw(views, key, 12)
    field = MIST._replace(penalty=lambda params: 0.3 * params["slope"], penalty_every=4)
    params = {"shared": MIST.init(key)}

    def gradient(field, step):
        _, _, found = loss_and_gradient(field, params, batch, settings, rays_per_microbatch, step)
        return float(found["shared"]["slope"])

    without = gradient(MIST, None)
    assert gradient(field, None) == pytest.approx(without + 0.3, abs=1e-5)
    added = [gradient(field, jnp.int32(step)) - without for step in range(8)]
    np.testing.assert_allclose(added, [1.2, 0, 0, 0, 1.2, 0, 0, 0], atol=1e-5)


@pytest.mark.parametrize("rays_per_microbatch", [5, 24])
def test_microbatches_that_would_leave_rays_out_are_refused(
    views, cameras, key, rays_per_microbatch
):
    params, batch = {"shared": WALL.init(key)}, draw(views, key, 12)
    with pytest.raises(AssertionError):
        loss_and_gradient(WALL, params, batch, tiny("notebook"), rays_per_microbatch)


# The step.


def test_a_step_is_draw_then_descend(views, cameras, key):
    settings = tiny("notebook", learning_rate=0.1)
    step = make_step(WALL, settings, views, space=ndc_of(cameras), rays_per_microbatch=4)
    before = init_state(WALL, settings, key)._replace(step=jnp.int32(7))
    batch = draw(views, jax.random.fold_in(before.key, 7), 12)
    run_key = np.array(jax.random.key_data(before.key))
    after, metrics = step(before)
    error = np.square(0.5 - np.asarray(batch.rgb))
    gradient = 4 * (0.5 - np.asarray(batch.rgb).mean(axis=0))
    assert metrics.loss == pytest.approx(6 * error.mean(), rel=1e-5)
    assert metrics.psnr == pytest.approx(-10 * np.log10(error.mean()), rel=1e-5)
    assert metrics.grad_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    rate = float(learning_rate(settings.train)(7))
    colour = 0.5 - rate * np.sign(gradient)  # Adam's first step
    np.testing.assert_allclose(after.params["shared"]["rgb"], colour, rtol=1e-4)
    assert after.step == 8
    np.testing.assert_array_equal(jax.random.key_data(after.key), run_key)


def test_the_learning_rate_follows_the_time_budget(views, cameras, key):
    """Half of the time gone, with steps of a tenth of it: two of them end at the rate of 0.6."""
    settings = tiny("notebook", learning_rate=0.1, num_steps=1000)
    step = make_step(WALL, settings, views, space=ndc_of(cameras))
    after, _ = step(init_state(WALL, settings, key), 1, TimeBudget(0.5, 0.1))
    moved = np.abs(0.5 - np.asarray(after.params["shared"]["rgb"]))
    np.testing.assert_allclose(moved, float(learning_rate(settings.train)(500)), rtol=1e-3)
    again, _ = step(after, 2, TimeBudget(1.0, 0.0))
    assert again.step == 3


def test_jitter_is_fresh_for_every_ray_and_at_every_step(key):
    """One pixel drawn again and again: whatever changes is jitter."""
    samples = []

    def apply(params, points, viewdirs, /, *, key=None):
        jax.debug.callback(lambda z: samples.extend(np.reshape(z, (-1, 6))), points[..., 2])
        return _mist(params, points, viewdirs)

    views = views_from_origin(jnp.ones((1, 1, 1, 3)), focal=6.0)
    field = RadianceField(MIST.init, apply)
    space = ndc_of(views.cameras)
    step = make_step(field, tiny("notebook"), views, space=space, rays_per_microbatch=12)
    losses = []
    for number in (0, 1, 2):
        state = init_state(MIST, tiny("notebook"), key)._replace(step=jnp.int32(number))
        losses.append(float(step(state)[1].loss))
    jax.effects_barrier()
    assert len(set(losses)) == 3
    assert np.shape(samples) == (3 * 2 * 12, 6)
    assert len(np.unique(samples, axis=0)) == len(samples)


@pytest.mark.parametrize("preset", PRESETS)
def test_keys_reach_the_field_in_training_and_never_in_evaluation(views, cameras, key, preset):
    settings, keys = tiny(preset), []

    def apply(params, points, viewdirs, /, *, key=None):
        keys.append(key)
        return _mist(params, points, viewdirs)

    field = RadianceField(MIST.init, apply)
    params = init_state(field, settings, key).params
    batch = draw(views, key, 12, preset)
    jax.eval_shape(lambda: loss_lib.photometric_loss(field, params, batch, settings))
    assert len(keys) == 2
    assert all(key is not None for key in keys)
    keys.clear()
    program = make_exact_program(field, settings.render, ndc_of(cameras))
    render_image(program.with_params(params), cameras[0])
    assert keys == [None, None]


def test_density_noise_changes_the_training_loss(views, cameras, key, backend):
    batch = draw(views, key, 12)
    losses = []
    for noise in (0.0, 1.0):
        settings = config_text.override(tiny("notebook"), f"field.density_noise={noise}")
        field = make_field(backend, "mlp", settings.field)
        params = init_state(field, settings, key).params
        losses.append(float(photometric_loss(field, params, batch, settings)[0]))
    assert abs(losses[0] - losses[1]) > 1e-4 * losses[0]


def test_debug_refuses_a_loss_that_is_not_finite(views, cameras, key):
    settings = tiny("notebook")
    bad = {"shared": {"rgb": jnp.array([jnp.nan, 0.5, 0.5])}}
    state = init_state(WALL, settings, key, bad)
    step = make_step(
        WALL, settings, views, space=ndc_of(cameras), rays_per_microbatch=12, debug=True
    )
    with pytest.raises(AssertionError):
        step(state)


def test_given_parameters_are_where_training_starts(key):
    params = {"shared": {"rgb": jnp.array([0.1, 0.2, 0.3])}}
    state = init_state(WALL, tiny("notebook"), key, params)
    np.testing.assert_array_equal(state.params["shared"]["rgb"], params["shared"]["rgb"])
    assert state.step == 0
    fresh = init_state(WALL, tiny("paper"), key)
    assert sorted(fresh.params) == ["coarse", "fine"]
