"""Laws of a state that changes its backend: nothing but names changes, and it can come back."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf import field as field_lib
from nerf.backends.convert import convert
from nerf.errors import UserError
from nerf.runs import resume, run_folder
from nerf.runs.checkpoints import Checkpoints
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.conftest import BACKENDS
from tests.support.cameras import ndc_of, views_from_origin
from tests.support.fields import make, other, small_config

pytestmark = pytest.mark.slow

PRESETS = ["notebook", "paper", "quick", "planes"]
VIEWS = views_from_origin(jax.random.uniform(jax.random.key(5), (1, 3, 4, 3)))


def tiny(preset):
    base = small_config(preset)
    return dataclasses.replace(
        base,
        render=dataclasses.replace(base.render, num_coarse=4, num_fine=4),
        train=dataclasses.replace(base.train, num_rays=8, num_steps=20, learning_rate=1e-3),
    )


def name_of(preset):
    return field_lib.name_of(tiny(preset).field)


def fresh(backend, preset, seed=0):
    settings = tiny(preset)
    field = make(backend, settings.field)
    return init_state(field, settings, jax.random.key(seed))


@functools.cache
def step_of(backend, preset):
    settings = tiny(preset)
    field = make(backend, settings.field)
    return make_step(field, settings, VIEWS, space=ndc_of(VIEWS.cameras), rays_per_microbatch=4)


def trained(backend, preset, state, num_steps):
    """The state after some steps; the one given stays."""
    state = jax.tree.map(lambda leaf: leaf.copy(), state)
    for _ in range(num_steps):
        state, metrics = step_of(backend, preset)(state)
    return state, metrics


def bits(state):
    key = jax.random.key_data(state.key)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state._replace(key=key))]


def assert_equal(first, second):
    for ours, theirs in zip(bits(first), bits(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("preset", PRESETS)
def test_there_and_back_changes_no_bit(backend, preset):
    state, _ = trained(backend, preset, fresh(backend, preset), 3)
    for other_backend in set(BACKENDS) - {backend}:
        there = resume.convert_state(state, name_of(preset), backend, other_backend)
        assert jax.tree.structure(there) == jax.tree.structure(fresh(other_backend, preset))
        assert_equal(resume.convert_state(there, name_of(preset), other_backend, backend), state)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_moments_stay_with_their_parameters(backend, preset):
    state, _ = trained(backend, preset, fresh(backend, preset), 3)
    there = resume.convert_state(state, name_of(preset), backend, other(backend))
    (before,) = (
        part for part in jax.tree.leaves(state.opt_state, is_leaf=is_adam) if is_adam(part)
    )
    (after,) = (part for part in jax.tree.leaves(there.opt_state, is_leaf=is_adam) if is_adam(part))
    for name in ("mu", "nu"):
        expected = convert(getattr(before, name), name_of(preset), backend, other(backend))
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), expected)
    assert after.count == before.count == 3


def is_adam(node):
    return type(node).__name__ == "ScaleByAdamState"


@pytest.mark.parametrize("preset", PRESETS)
def test_training_resumes_as_if_it_had_not_been_stopped(backend, preset, tmp_path):
    state, _ = trained(backend, preset, fresh(backend, preset), 5)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
    run_folder.write_json(tmp_path / "config.json", {"backend": backend, "field": name_of(preset)})
    there = resume.resumed_state(tmp_path, other(backend), fresh(other(backend), preset, seed=9))
    stayed, metrics = trained(backend, preset, state, 10)
    moved, other_metrics = trained(other(backend), preset, there, 10)
    assert moved.step == stayed.step == 15
    np.testing.assert_allclose(other_metrics.loss, metrics.loss, rtol=1e-3)
    back = resume.convert_state(moved, name_of(preset), other(backend), backend)
    for ours, theirs in zip(
        jax.tree.leaves(back.params), jax.tree.leaves(stayed.params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    without_moments = init_state(
        make(backend, tiny(preset).field),
        tiny(preset),
        jax.random.key(0),
        jax.tree.map(lambda leaf: leaf.copy(), state.params),
    )
    anew, _ = trained(backend, preset, without_moments._replace(step=state.step, key=state.key), 10)
    difference = max(
        float(jnp.max(jnp.abs(ours - theirs)))
        for ours, theirs in zip(
            jax.tree.leaves(anew.params), jax.tree.leaves(stayed.params), strict=True
        )
    )
    assert difference > 1e-3  # a law that a lost optimiser state would break


def test_a_run_without_a_state_is_refused(tmp_path):
    run_folder.write_json(tmp_path / "config.json", {"backend": "haiku", "field": "mlp"})
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="no training state in"):
        resume.resumed_state(tmp_path, "flax", fresh("flax", "notebook"))


def test_the_metrics_are_copied(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    resume.copy_metrics(source, target)
    assert list(target.iterdir()) == []
    (source / "metrics.jsonl").write_text('{"step": 1}\n')
    resume.copy_metrics(source, target)
    assert (target / "metrics.jsonl").read_text() == '{"step": 1}\n'
