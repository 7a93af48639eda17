"""Laws of a few steps of each backend and preset: they learn, compile once, and repeat."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.field import make_field
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.support.cameras import cameras_at_origin, ndc_of, views_from_origin
from tests.training.test_step import HEIGHT, WIDTH, tiny

pytestmark = pytest.mark.slow

PRESETS = ["notebook", "paper", "quick"]


@functools.cache
def learner(backend, preset):
    """Settings, field and step of a tiny run, and how often the field has been traced."""
    settings = tiny(
        preset, learning_rate=1e-2, final_learning_rate=1e-3, num_steps=150, num_rays=32
    )
    field, traces = make_field(backend, "mlp", settings.field), []

    def apply(*args, **kwargs):
        traces.append(1)
        return field.apply(*args, **kwargs)

    space = ndc_of(cameras_at_origin(1, HEIGHT, WIDTH))
    image = jnp.broadcast_to(jnp.linspace(0.0, 1.0, WIDTH)[None, None, :, None], (1, 4, WIDTH, 3))
    views, field_of = views_from_origin(image), field._replace(apply=apply)
    step = make_step(field_of, settings, views, space=space, rays_per_microbatch=8)
    return settings, field, step, traces


def learn(backend, preset, seed, num_steps):
    """Parameters and losses after a few steps on one image, dark on the left."""
    settings, field, step, _ = learner(backend, preset)
    state, losses = init_state(field, settings, jax.random.key(seed)), []
    for _ in range(num_steps):
        state, metrics = step(state)
        losses.append(float(metrics.loss))
    return jax.device_get(state.params), losses


@pytest.mark.parametrize("preset", PRESETS)
def test_a_few_steps_bring_the_loss_down(backend, preset):
    _, losses = learn(backend, preset, seed=0, num_steps=150)
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:3])


@pytest.mark.parametrize("preset", PRESETS)
def test_the_step_is_compiled_once(backend, preset):
    learn(backend, preset, seed=0, num_steps=1)
    *_, traces = learner(backend, preset)
    traced = len(traces)
    assert traced > 0
    learn(backend, preset, seed=1, num_steps=5)
    assert len(traces) == traced


@pytest.mark.parametrize("preset", PRESETS)
def test_one_seed_gives_one_result_bit_for_bit_and_another_does_not(backend, preset):
    first, again, other = (learn(backend, preset, seed, num_steps=3) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first[0], again[0])
    assert first[1] == again[1]
    assert set(first[1]).isdisjoint(other[1])
    for ours, theirs in zip(jax.tree.leaves(first[0]), jax.tree.leaves(other[0]), strict=True):
        assert not np.array_equal(ours, theirs)
