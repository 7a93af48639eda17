"""Laws of the Gauss-Newton steps of poses: what they find, and when they are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.corrections.pose_steps import (
    PoseEquations,
    next_tangents,
    no_equations,
)

NUM_VIEWS, BETWEEN = 5, 4


def bowl(tangents, at, hessian):
    """The equations of a step of a loss that is least at some tangents: each view has its share."""
    slope = jnp.einsum("vij,vj->vi", hessian, tangents - at)
    return PoseEquations(slope / NUM_VIEWS, hessian / NUM_VIEWS, jnp.ones(()))


def bowls(condition, seed=0):
    """Where the loss is least, and Hessians `[num_views, 6, 6]` with this ratio of curvatures."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(NUM_VIEWS, 6, 6)))[0]
    curvatures = 1e4 * np.geomspace(1.0, 1.0 / condition, 6)
    hessian = np.einsum("vik,k,vjk->vij", axes, curvatures, axes)
    at = rng.normal(0.0, 0.01, (NUM_VIEWS, 6))
    return jnp.asarray(at, jnp.float32), jnp.asarray(hessian, jnp.float32)


@jax.jit
def after(tangents, equations, at, hessian, step, progress):
    found = bowl(tangents, at, hessian)
    return next_tangents(tangents, equations, found, step=step, progress=progress, between=BETWEEN)


def run(at, hessian, num_steps, progress=0.5):
    tangents, equations = jnp.zeros_like(at), no_equations(NUM_VIEWS)
    for step in range(num_steps):
        tangents, equations = after(tangents, equations, at, hessian, step, progress)
    return tangents


def test_steps_lead_down_a_narrow_valley():
    """Whose floor is thirty times less steep than its walls."""
    at, hessian = bowls(condition=30.0)
    left = run(at, hessian, 60 * BETWEEN, progress=0.2) - at
    assert jnp.linalg.norm(left) < 0.05 * jnp.linalg.norm(at)


def test_poses_are_moved_only_when_a_step_is_due_and_not_at_first():
    at, hessian = bowls(condition=2.0)
    np.testing.assert_array_equal(run(at, hessian, BETWEEN - 1), 0.0)
    assert jnp.abs(run(at, hessian, BETWEEN)).max() > 1e-4
    np.testing.assert_array_equal(run(at, hessian, BETWEEN, progress=0.04), 0.0)


def test_late_steps_are_small_and_no_step_is_large():
    at, hessian = bowls(condition=2.0)
    early, late = (run(at, hessian, BETWEEN, progress) for progress in (0.1, 1.0))
    assert jnp.linalg.norm(late) < 0.1 * jnp.linalg.norm(early)
    assert jnp.abs(run(1000.0 * at, hessian, BETWEEN, 0.1)).max() <= 0.0501


def test_images_that_say_nothing_leave_the_poses_as_they_are_given():
    """Also those that are moved already: they are pulled back."""
    at, hessian = bowls(condition=2.0)
    np.testing.assert_array_equal(run(at, 0.0 * hessian, BETWEEN), 0.0)
    tangents, _ = after(
        0.04 + 0.0 * at, no_equations(NUM_VIEWS), at, 0.0 * hessian, BETWEEN - 1, 0.2
    )
    assert (tangents >= 0.0).all()
    assert tangents.max() < 0.04


@pytest.mark.parametrize("name", ["slope", "hessian"])
def test_what_is_not_finite_is_left_out(name):
    at, hessian = bowls(condition=2.0)
    zero, before = jnp.zeros_like(at), no_equations(NUM_VIEWS)
    found = bowl(zero, at, hessian)
    broken = found._replace(**{name: getattr(found, name).at[0, 0].set(jnp.nan)})
    tangents, equations = next_tangents(
        zero, before, broken, step=jnp.int32(0), progress=jnp.float32(0.5), between=BETWEEN
    )
    np.testing.assert_array_equal(tangents, 0.0)
    jax.tree.map(np.testing.assert_array_equal, equations, before)
