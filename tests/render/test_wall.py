"""Laws of training with a proposal, on a scene that is known in closed form: a painted wall."""

import jax
import numpy as np
import pytest

from nerf.config import presets
from nerf.config import text as config_text
from nerf.field import SceneFacts, make_field
from nerf.geometry.cameras import Cameras
from nerf.geometry.ndc import NDC
from nerf.render.image_metrics import psnr
from nerf.render.images import make_exact_program, render_image
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.support.cameras import training_views

pytestmark = pytest.mark.slow

DISTANCE, HEIGHT, WIDTH, FOCAL = 2.0, 18, 24, 20.0
SPACE = NDC.of_views(focal=FOCAL, height=HEIGHT, width=WIDTH)

SMALL = {
    "planes": ("field.resolution=[12, 10, 8]", "field.num_features=8", "field.width=16"),
    "quick": (
        "field.width=64",
        "field.rgb_width=32",
        "field.num_layers=3",
        "field.skip_layer=2",
        "train.learning_rate=5e-3",
        "train.final_learning_rate=5e-4",
    ),
}
EVERY_CASE = [("flax", "planes", "planes"), ("nnx", "mlp", "quick"), ("haiku", "mlp", "quick")]
# What 200 steps reach: share of the first loss that is left after 20, PSNR, error of the depth.
REACHED = {"planes": (0.7, 25.0, 0.15), "quick": (0.85, 20.0, 0.1)}
every_case = pytest.mark.parametrize(("backend", "name", "preset"), EVERY_CASE)


def wall(position):
    """The camera looks straight ahead from `position`."""
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    x = position[0] + DISTANCE * (columns - WIDTH / 2) / FOCAL
    y = position[1] - DISTANCE * (rows - HEIGHT / 2) / FOCAL
    waves = [np.sin(7.0 * x + 1.0), np.cos(6.0 * y), np.sin(5.0 * (x + y))]
    return np.float32(0.5 + 0.4 * np.stack(waves, axis=-1))


def cameras_at(camtoworlds):
    return Cameras.pinhole(camtoworlds, focal=FOCAL, height=HEIGHT, width=WIDTH, near=1.0, far=10.0)


def wall_views():
    positions = [(x, y) for x in (-0.3, 0.0, 0.3) for y in (-0.2, 0.2)]
    camtoworlds = np.tile(np.eye(3, 4, dtype=np.float32), (len(positions), 1, 1))
    camtoworlds[:, :2, 3] = positions
    images = np.stack([wall(position) for position in positions])
    return training_views(images, cameras_at(camtoworlds))


def wall_config(preset, *assignments):
    config = config_text.override(
        presets.preset(preset),
        *SMALL[preset],
        "field.proposal.resolution=[8, 8, 16]",
        "train.num_rays=256",
        "train.num_steps=200",
        *assignments,
    )
    box = (-1.5, -1.5, -1.01), (1.5, 1.5, 1.01)
    facts = SceneFacts(16, "black", is_360=False, is_bounded=False, box=box)
    return presets.fit(config, facts)


@every_case
def test_training_finds_the_wall(backend, name, preset):
    """A view from where no camera was: its colours, and the distance of the wall."""
    config, (share_left, decibels, off) = wall_config(preset), REACHED[preset]
    field = make_field(backend, name, config.field)
    step = make_step(field, config, wall_views(), space=SPACE)
    state, losses = init_state(field, config, jax.random.key(0)), []
    for _ in range(200):
        state, metrics = step(state)
        losses.append(float(metrics.loss))
    assert np.mean(losses[15:20]) < share_left * losses[0]
    assert np.mean(losses[-20:]) < 0.1 * np.mean(losses[15:20])
    between = np.eye(3, 4, dtype=np.float32)
    between[:2, 3] = 0.15, 0.0
    program = make_exact_program(field, config.render, SPACE)
    image = render_image(program.with_params(state.params), cameras_at(between))
    assert psnr(image.rgb, wall(between[:2, 3])) > decibels
    assert np.median(image.depth) == pytest.approx(DISTANCE, rel=off)


@every_case
@pytest.mark.parametrize("rays_per_microbatch", [16, 256])
def test_a_step_does_not_depend_on_the_microbatches(backend, name, preset, rays_per_microbatch):
    config = wall_config(preset, "train.warmup_steps=0")
    field, views = make_field(backend, name, config.field), wall_views()

    def after_one_step(rays_per_microbatch):
        step = make_step(field, config, views, space=SPACE, rays_per_microbatch=rays_per_microbatch)
        _, metrics = step(init_state(field, config, jax.random.key(0)))
        return np.array(metrics)

    np.testing.assert_allclose(after_one_step(rays_per_microbatch), after_one_step(64), rtol=1e-4)


@every_case
def test_a_large_proposal_loss_is_no_exploding_loss(backend, name, preset):
    """What collapse is judged by is the error of the colours, and the penalty."""
    config = wall_config(preset)
    field = make_field(backend, name, config.field)
    before = init_state(field, config, jax.random.key(0))
    penalty = float(field.penalty(before.params["fine"]))
    after, metrics = make_step(field, config, wall_views(), space=SPACE)(before)
    error = 10 ** (-float(metrics.psnr) / 10)
    assert float(after.health.mean_loss) == pytest.approx(error + penalty, rel=1e-3)
    assert float(metrics.loss) > error + penalty
