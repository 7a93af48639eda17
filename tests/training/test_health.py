"""Laws of the run's health: what counts as collapse, from when on, and what does not."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config import presets
from nerf.field import FieldOutput, RadianceField
from nerf.training import health
from nerf.training.health import PATIENCE, StepHealth, TrainingCollapsed
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.support.cameras import cameras_at_origin, ndc_of, views_from_origin

HEALTHY = {"loss": 0.1, "grad_norm": 1.0, "acc": [0.9, 0.9], "rgb_std": 0.2, "pixel_std": 0.25}
UPDATE = jax.jit(health.update)


def step_health(**values):
    return StepHealth(
        **{name: jnp.asarray(v, jnp.float32) for name, v in {**HEALTHY, **values}.items()}
    )


def after_steps(*steps, since=None):
    health_state = health.init() if since is None else since
    for step in steps:
        health_state = UPDATE(health_state, step)
    return jax.device_get(health_state)


def symptom_of(health_state):
    """The symptom that `check` names; None for a healthy run."""
    try:
        health.check(health_state, 7)
    except TrainingCollapsed as caught:
        collapse = caught
    else:
        return None
    assert collapse.step == 7
    for part in ("step 7", "try "):
        assert part in str(collapse)
    assert "\n" not in str(collapse)
    return collapse.symptom


COLLAPSING = {
    "transparent": [{"acc": [0.0, 0.9]}, {"acc": [0.9, 0.0]}, {"acc": [5e-4, 5e-4]}],
    "one_colour": [{"rgb_std": 0.0}, {"rgb_std": 0.004}],
}
CASES = [(symptom, values) for symptom, cases in COLLAPSING.items() for values in cases]


@pytest.mark.parametrize(("symptom", "values"), CASES)
def test_what_lasts_is_noticed_within_the_promised_steps(symptom, values):
    unwell = step_health(**values)
    almost = after_steps(*[unwell] * (PATIENCE - 1))
    assert symptom_of(almost) is None
    assert symptom_of(after_steps(unwell, since=almost)) == symptom
    assert PATIENCE < 200


@pytest.mark.parametrize(("symptom", "values"), CASES)
def test_a_step_that_is_well_starts_the_count_anew(symptom, values):
    del symptom
    unwell, well = step_health(**values), step_health()
    health_state = after_steps(*[unwell] * (PATIENCE - 1), well, *[unwell] * (PATIENCE - 1))
    assert symptom_of(health_state) is None


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_noticed_at_once(name, value):
    assert symptom_of(after_steps(step_health(), step_health(**{name: value}))) == "not_finite"


def test_a_loss_far_above_its_lowest_is_noticed():
    low = after_steps(*[step_health(loss=0.01)] * 50)
    assert symptom_of(low) is None
    high = after_steps(*[step_health(loss=0.1)] * 150, since=low)
    assert symptom_of(high) == "exploded"
    assert high.lowest_loss == pytest.approx(0.01)


@pytest.mark.parametrize(
    "losses",
    [
        np.linspace(1.0, 0.01, 400),  # falls
        0.01 + 0.02 * np.random.default_rng(0).random(400),  # noise between 1 and 3 times
        np.where(np.arange(400) % 50 == 49, 0.3, 0.01),  # one odd batch now and then
        [*np.full(100, 0.01), *np.geomspace(0.1, 0.01, 60), *np.full(240, 0.01)],  # recovers
    ],
    ids=["falls", "noise", "spikes", "recovers"],
)
def test_a_loss_that_is_only_restless_is_no_alarm(losses):
    health_state = health.init()
    for loss in losses:
        health_state = after_steps(step_health(loss=loss), since=health_state)
        assert symptom_of(health_state) is None


def test_pixels_of_one_colour_may_be_drawn_in_one_colour():
    assert (
        symptom_of(after_steps(*[step_health(rgb_std=0.0, pixel_std=0.005)] * 2 * PATIENCE)) is None
    )


def test_a_run_that_is_well_is_left_alone():
    assert symptom_of(after_steps(*[step_health()] * 2 * PATIENCE)) is None


# From the field to the symptom, through the step itself.


def _fog(params, points, viewdirs, /, *, key=None):
    del viewdirs, key
    rgb = jax.nn.sigmoid(params["slope"] * points + params["shift"])
    return FieldOutput(rgb, jnp.broadcast_to(jax.nn.relu(params["density"]), points.shape[:-1]))


def trained(params, num_steps, learning_rate=1e-3):
    """The state after some steps of a fog whose density and colours are its parameters."""
    fog = RadianceField(lambda key, /: params, _fog)
    settings = dataclasses.replace(
        presets.NOTEBOOK,
        render=dataclasses.replace(presets.NOTEBOOK.render, num_coarse=4, num_fine=4),
        train=dataclasses.replace(
            presets.NOTEBOOK.train, num_rays=16, learning_rate=learning_rate, num_steps=1000
        ),
    )
    step = step_of(fog, settings)
    state = init_state(fog, settings, jax.random.key(0))
    for _ in range(num_steps):
        state, metrics = step(state)
    return state, metrics


@functools.cache
def step_of(field, settings):
    space = ndc_of(cameras_at_origin(1, 4, 5))
    views = views_from_origin(jax.random.uniform(jax.random.key(1), (1, 4, 5, 3)))
    return make_step(field, settings, views, space=space, rays_per_microbatch=8)


def fog_params(density, slope=1.0):
    named = {"density": density, "slope": slope, "shift": 0.0}
    return {name: np.float32(value) for name, value in named.items()}


@pytest.mark.parametrize(
    ("density", "slope", "symptom"),
    [(3.0, 1.0, None), (-1.0, 1.0, "transparent"), (50.0, 0.0, "one_colour")],
)
def test_the_step_counts_what_its_rays_show(density, slope, symptom):
    state, _ = trained(fog_params(density, slope), 20, learning_rate=1e-8)
    counts = {name: int(getattr(state.health, name)) for name in health.Health._fields[:4]}
    if symptom == "transparent":  # what is nowhere opaque is black everywhere
        assert counts.pop("one_colour") == 20
    expected = dict.fromkeys(counts, 0) | ({symptom: 20} if symptom else {})
    assert counts == expected


def test_a_step_that_is_not_finite_is_not_taken():
    params = fog_params(3.0) | {"shift": np.float32(np.nan)}
    state, metrics = trained(params, 3)
    assert not np.isfinite(metrics.loss)
    assert state.step == 3
    assert state.health.not_finite == 3
    for name in ("density", "slope"):
        assert state.params["shared"][name] == params[name]
    for moment in jax.tree.leaves(state.opt_state):
        assert not np.asarray(moment).any()
