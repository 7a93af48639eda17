"""One step of training: draw rays, render them, descend.

Everything a step needs is in its arguments and its state, and the state's key and step number
decide what is drawn, so a run can stop and go on exactly.
"""

from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nerf.config.settings import Config, RenderConfig
from nerf.field import Params, RadianceField
from nerf.geometry.spaces import Space
from nerf.render.checks import checked
from nerf.render.rays import init_params
from nerf.runtime import parallel
from nerf.training import health
from nerf.training.batch import Batch, TrainingViews, sample_batch
from nerf.training.health import Health, StepHealth
from nerf.training.loss import BatchStats, loss_and_gradient
from nerf.training.optimizer import (
    TimeBudget,
    budgeted_step,
    learning_rate,
    learning_rates,
    make_optimizer,
)

CPU_RAYS_PER_MICROBATCH = 8  # at the least; more where a ray takes few evaluations
_CPU_EVALUATIONS_PER_MICROBATCH = 2048


class TrainState(NamedTuple):
    """All that changes during training.

    Attributes:
      params: one tree or two, see `nerf.render.rays`.
      opt_state: Optax's.
      step: `[]` int32, number of steps done.
      key: the run's random key; each step folds its number into it.
      health: what the steps so far have shown of collapse.
    """

    params: Params
    opt_state: Any
    step: jax.Array
    key: jax.Array
    health: Health


class Metrics(NamedTuple):
    """Scalars of one step: the loss, the PSNR of the fine pass in dB, the gradient's norm, and the
    mean coverage of the fine pass.
    """

    loss: jax.Array
    psnr: jax.Array
    grad_norm: jax.Array
    acc: jax.Array


class StepFn(Protocol):
    def __call__(
        self,
        state: TrainState,
        views: TrainingViews,
        num_steps: int = 1,
        pace: TimeBudget | None = None,
        /,
    ) -> tuple[TrainState, Metrics]:
        """The state after so many steps, and the metrics of the last; it takes the state over.

        The learning rate follows the number of steps done, or the pace where one is given.
        """


def init_state(
    field: RadianceField, config: Config, key: jax.Array, params: Params | None = None
) -> TrainState:
    """The state before the first step; fresh parameters unless some are given."""

    def init(key: jax.Array, params: Params | None) -> TrainState:
        params_key, run_key = jax.random.split(key)
        if params is None:
            params = init_params(field, config.render, params_key)
        opt_state = make_optimizer(config.train).init(params)
        return TrainState(params, opt_state, jnp.zeros((), jnp.int32), run_key, health.init())

    # One program, where otherwise each operation would be one of its own.
    jitted = jax.jit(init, compiler_options=parallel.fast_compilation_options())
    state: TrainState = jitted(key, params)
    return state


def cpu_rays_per_microbatch(config: RenderConfig) -> int:
    """So many that the activations of one piece stay in a core's cache."""
    return max(
        CPU_RAYS_PER_MICROBATCH, _CPU_EVALUATIONS_PER_MICROBATCH // config.evaluations_per_ray
    )


def make_step(
    field: RadianceField,
    config: Config,
    *,
    space: Space,
    rays_per_microbatch: int | None = None,
    debug: bool = False,
) -> StepFn:
    """The compiled training step, on all devices; it takes over the buffers of its state.

    Args:
      field: what is trained.
      config: samples, loss, optimiser.
      space: the space that the field lives in.
      rays_per_microbatch: rays per microbatch and device at most, see `loss_and_gradient`; by
        default a device's whole share on an accelerator, and on a CPU as many as make about 2,000
        evaluations, but no fewer than `CPU_RAYS_PER_MICROBATCH`.
      debug: whether values are checked, see `nerf.render.checks`; on one device.
    """
    mesh = parallel.make_mesh(1 if debug else config.train.num_rays)
    jitted = jit_step(
        field,
        config,
        mesh,
        space=space,
        rays_per_microbatch=rays_per_microbatch,
        debug=debug,
    )
    placed = parallel.with_replicated_arguments(mesh, checked(jitted) if debug else jitted)
    return lambda *arguments: parallel.wait_on_cpu(placed(*arguments))


def jit_step(
    field: RadianceField,
    config: Config,
    mesh: Mesh,
    *,
    space: Space,
    rays_per_microbatch: int | None = None,
    debug: bool = False,
) -> Any:
    """`make_step` for arrays that lie on the devices of a mesh already, see `parallel.replicate`.

    Returns:
      What `jax.jit` returns, of state, views and number of steps.
    """
    optimizer, schedule = make_optimizer(config.train), learning_rate(config.train)
    piece = parallel.choose_microbatch_size(
        config.train.num_rays // mesh.size,
        rays_per_microbatch,
        on_cpu=cpu_rays_per_microbatch(config.render),
    )

    def one_share(params: Params, batch: Batch) -> tuple[jax.Array, BatchStats, Params]:
        return loss_and_gradient(field, params, batch, config, piece)

    all_shares = parallel.shard(mesh, one_share, average=True)

    def step(
        state: TrainState, views: TrainingViews, done: jax.Array | None
    ) -> tuple[TrainState, Metrics]:
        batch = sample_batch(
            jax.random.fold_in(state.key, state.step),
            views,
            num_rays=config.train.num_rays,
            space=space,
            config=config.render,
        )
        loss, seen, gradient = all_shares(state.params, batch)
        with jax.numpy_dtype_promotion("standard"):  # Optax raises floats to integer counts
            updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            rate = schedule(
                state.step if done is None else budgeted_step(config.train, state.step, done)
            )
        rates = learning_rates(field, state.params, config.render)
        params = jax.tree.map(
            lambda x, update, times: x - rate * times * update, state.params, updates, rates
        )
        if debug:
            chex.assert_tree_all_finite((loss, gradient))
        signs = _step_health(loss, _norm(gradient), seen, batch)
        taken = TrainState(
            params, opt_state, state.step + 1, state.key, health.update(state.health, signs)
        )
        refused = taken._replace(params=state.params, opt_state=state.opt_state)
        finite = health.is_finite(loss, signs.grad_norm)
        new_state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), taken, refused)
        metrics = Metrics(loss, -10.0 * jnp.log10(seen.mse), signs.grad_norm, seen.acc[-1])
        return new_state, metrics

    def steps(
        state: TrainState,
        views: TrainingViews,
        num_steps: int | jax.Array = 1,
        pace: TimeBudget | None = None,
    ) -> tuple[TrainState, Metrics]:
        def body(
            number: jax.Array, carry: tuple[TrainState, Metrics]
        ) -> tuple[TrainState, Metrics]:
            done = None if pace is None else pace.done + number.astype(jnp.float32) * pace.per_step
            return step(carry[0], views, done)

        nothing = Metrics(*jnp.zeros(len(Metrics._fields), jnp.float32))
        last: tuple[TrainState, Metrics] = jax.lax.fori_loop(0, num_steps, body, (state, nothing))
        return last

    replicated = NamedSharding(mesh, PartitionSpec()) if mesh.size > 1 else None
    return jax.jit(
        steps,
        donate_argnums=0,
        in_shardings=replicated,
        out_shardings=replicated,
        compiler_options=None if debug else parallel.compiler_options(),  # not under checkify
    )


def _step_health(
    loss: jax.Array, grad_norm: jax.Array, seen: BatchStats, batch: Batch
) -> StepHealth:
    """What a step shows of the run's health."""
    mean, mean_square = seen.rgb
    rgb_std = jnp.sqrt(jnp.maximum(mean_square - jnp.square(mean), 0.0))
    pixel_std = jnp.std(batch.rgb, axis=0)
    # A proposal's proposal loss, for one, grows as the field gets sharper, which is no explosion.
    return StepHealth(
        loss - seen.regularization, grad_norm, seen.acc, jnp.max(rgb_std), jnp.max(pixel_std)
    )


def _norm(tree: Params) -> jax.Array:
    """The Euclidean norm over all arrays of a tree."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))
