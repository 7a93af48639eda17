"""Laws of the optimiser: Adam by hand, and its learning rate over steps and over time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config import presets
from nerf.training.optimizer import budgeted_step, learning_rate, make_optimizer

PRESETS = ["notebook", "paper"]


def settings_of(preset, **changes):
    return dataclasses.replace(presets.preset(preset).train, **changes)


def updates(settings, gradients):
    optimizer = make_optimizer(settings)
    params = jax.tree.map(jnp.zeros_like, gradients[0])
    state = optimizer.init(params)
    for number, gradient in enumerate(gradients):
        with jax.numpy_dtype_promotion("standard"):  # as in the step
            update, state = optimizer.update(gradient, state, params)
            rate = learning_rate(settings)(number)
        yield jax.device_get(jax.tree.map(lambda x, rate=rate: -rate * x, update))


@pytest.mark.parametrize("preset", PRESETS)
def test_adams_first_step_is_the_learning_rate_against_the_gradients_sign(preset):
    settings = settings_of(preset)
    gradient = {"a": jnp.array([3.0, -0.02]), "b": jnp.array([[4.0]])}
    (update,) = updates(settings, [gradient])
    lr = settings.learning_rate
    np.testing.assert_allclose(update["a"], [-lr, lr], rtol=1e-4)
    np.testing.assert_allclose(update["b"], [[-lr]], rtol=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("warmup_steps", [0, 1, 20])
def test_the_learning_rate_warms_up_then_falls_to_its_end(preset, warmup_steps):
    settings = dataclasses.replace(
        presets.preset(preset).train, num_steps=100, warmup_steps=warmup_steps
    )
    rate = learning_rate(settings)
    first, last = settings.learning_rate, settings.final_learning_rate
    assert float(rate(warmup_steps)) == pytest.approx(first, rel=1e-5)
    assert float(rate(100)) == pytest.approx(last, rel=1e-4)
    middle = (warmup_steps + 100) / 2
    assert float(rate(middle)) == pytest.approx(np.sqrt(first * last), rel=1e-4)
    if warmup_steps:
        assert float(rate(0)) == pytest.approx(0.01 * first, rel=1e-4)
        assert float(rate(warmup_steps / 2)) == pytest.approx(0.505 * first, rel=1e-4)


@pytest.mark.parametrize(("preset", "first"), [("notebook", 2e-4), ("paper", 5e-4)])
def test_the_learning_rate_is_divided_by_ten_over_the_run(preset, first):
    """Under a constant gradient each of Adam's steps is as long as the learning rate."""
    settings = settings_of(preset, num_steps=20)
    gradient = {"a": jnp.array([0.5])}
    rates = [-float(update["a"][0]) for update in updates(settings, [gradient] * 21)]
    assert rates[0] == pytest.approx(first, rel=1e-4)
    assert rates[10] == pytest.approx(first / 10**0.5, rel=1e-4)
    assert rates[20] == pytest.approx(first / 10, rel=1e-4)
    ratios = np.divide(rates[1:], rates[:-1])
    np.testing.assert_allclose(ratios, 10 ** (-1 / 20), rtol=1e-4)


@pytest.mark.parametrize(
    ("step", "done", "expected"),
    [(0, 0.0, 0), (3, 0.9, 3), (5, 0.0, 5), (9, 0.5, 52.5), (9, 1, 100)],
)
def test_a_run_of_some_time_stands_where_one_of_some_steps_does(step, done, expected):
    """The warm-up by steps, then the share of what is left that is over."""
    settings = dataclasses.replace(settings_of("notebook"), num_steps=100, warmup_steps=5)
    found = budgeted_step(settings, jnp.int32(step), jnp.float32(done))
    assert float(found) == pytest.approx(expected)


def adam_by_hand(gradients, lr, final_lr, num_steps, clip_norm):
    m = v = np.zeros(2)
    for step, gradient in enumerate(np.array(gradients, np.float64)):
        norm = np.sqrt(np.sum(gradient**2))
        if clip_norm and norm > clip_norm:
            gradient = gradient * clip_norm / norm
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        rate = lr * (final_lr / lr) ** (step / num_steps)
        yield -rate * m_hat / (np.sqrt(v_hat) + 1e-8)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_adam_behind_clipping_by_hand(clip_norm):
    gradients = [(3.0, 4.0), (0.3, -0.4), (-6.0, 0.0), (0.0, 0.01)]
    settings = settings_of("notebook", clip_norm=clip_norm, num_steps=4)
    trees = [{"a": jnp.array([a]), "b": jnp.array([[b]])} for a, b in gradients]
    by_hand = adam_by_hand(gradients, 2e-4, 2e-5, 4, clip_norm)
    for update, expected in zip(updates(settings, trees), by_hand, strict=True):
        found = [update["a"][0], update["b"][0, 0]]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-9)
