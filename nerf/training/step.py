"""One step of training: draw rays, render them, follow the gradient.

A step depends on its state and the images alone. The key and the step number in the state decide
which rays are drawn, so a run that stops can resume with the same results. Images and cameras go to
the devices once; from then on nothing but the batch does.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nerf.config.settings import Config, RenderConfig
from nerf.corrections.corrections import Corrections
from nerf.field import Params, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.geometry.spaces import Space
from nerf.render.checks import checked
from nerf.render.rays import can_skip_empty_space
from nerf.runtime import fixed_order, global_arrays, parallel, processes
from nerf.runtime.devices import IMAGE_MEMORY
from nerf.training import health
from nerf.training.batch import PixelBatch, TrainingViews, make_batch
from nerf.training.batch_source import make_draw, with_depths
from nerf.training.corrected_batch import corrected_parts, placed_cameras
from nerf.training.corrected_state import with_corrections
from nerf.training.depth_batch import make_depth_rays
from nerf.training.depth_loss import with_depth_loss
from nerf.training.gradient import loss_and_gradients
from nerf.training.health import StepHealth
from nerf.training.loss import BatchStats
from nerf.training.optimizer import (
    TimeBudget,
    budgeted_step,
    learning_rate,
    learning_rates,
    make_optimizer,
    share_of_run,
)
from nerf.training.state import TrainState, place_state, state_shardings
from nerf.training.view_gradients import ViewGradients, pose_equations

CPU_RAYS_PER_MICROBATCH = 8  # at the least; more where a ray takes few evaluations
_CPU_EVALUATIONS_PER_MICROBATCH = 2048
_ACCELERATOR_MICROBATCHES = 8  # where rays may meet nothing, so that some can be left out


class Metrics(NamedTuple):
    """Scalars of one step.

    Attributes:
      loss: over the batch.
      psnr: of the fine pass, in dB.
      grad_norm: the Euclidean norm of the gradient of all parameters.
      acc: the mean opacity of the fine pass.
    """

    loss: jax.Array
    psnr: jax.Array
    grad_norm: jax.Array
    acc: jax.Array


class StepFn(Protocol):
    def __call__(
        self,
        state: TrainState,
        num_steps: int = 1,
        budget: TimeBudget | None = None,
        /,
    ) -> tuple[TrainState, Metrics]:
        """The state after `num_steps` steps, and the metrics of the last one.

        At least one step is taken. The buffers of `state` are reused, so it cannot be used
        afterwards. The learning rate follows the number of steps done, or the time budget where
        there is one.
        """


def cpu_rays_per_microbatch(config: RenderConfig) -> int:
    """The number of rays whose activations fit into the cache of a CPU core."""
    return max(
        CPU_RAYS_PER_MICROBATCH, _CPU_EVALUATIONS_PER_MICROBATCH // config.evaluations_per_ray
    )


def make_step(
    field: RadianceField,
    config: Config,
    views: TrainingViews,
    *,
    space: Space,
    rays_per_microbatch: int | None = None,
    image_memory: float = IMAGE_MEMORY,
    debug: bool = False,
) -> StepFn:
    """The compiled training step, on all devices; those of all processes where there are several.

    Args:
      field: what is trained.
      config: samples, loss, optimiser.
      views: what to draw rays from. Their arrays must not change any more.
      space: the space that the field lives in.
      rays_per_microbatch: the most rays in a microbatch of one device, see `loss_and_gradient`. By
        default all rays of the device on an accelerator; on a CPU about 2,000 evaluations, but no
        fewer rays than `CPU_RAYS_PER_MICROBATCH`.
      image_memory: see `nerf.training.batch_source.make_draw`.
      debug: whether values are checked, see `nerf.render.checks`; on one device.

    Raises:
      UserError: in a job of several processes, if their devices cannot share the rays evenly.
    """
    depths = views.depths if config.train.depth == "on" else None
    num_rays, num_depth_rays = config.train.num_rays, config.train.num_depth_rays
    shared_by = num_rays if depths is None else math.gcd(num_rays, num_depth_rays)
    shards = None
    if processes.is_distributed():
        mesh = global_arrays.mesh_of_all(num_rays, 0 if depths is None else num_depth_rays)
        shards = fixed_order.num_shards(shared_by, mesh.size)
    else:
        mesh = parallel.make_mesh(1 if debug else shared_by)
    jitted = jit_step(
        field,
        config,
        mesh,
        space=space,
        rays_per_microbatch=rays_per_microbatch,
        num_shards=shards,
        debug=debug,
    )
    step = checked(jitted) if debug else jitted
    platform = parallel.platform_of(mesh)
    views = dataclasses.replace(views, depths=None)
    draw = with_depths(make_draw(mesh, views, num_rays, image_memory), mesh, depths, num_depth_rays)
    cameras = global_arrays.replicate_on_all(mesh, views.cameras)

    def steps(
        state: TrainState, num_steps: int = 1, budget: TimeBudget | None = None, /
    ) -> tuple[TrainState, Metrics]:
        if not parallel.is_placed(state_shardings(mesh, state), state):
            state = place_state(mesh, state)
        metrics: Metrics
        for number in range(num_steps):
            batch = draw(state.key, state.step)
            done = None if budget is None else _share_done(mesh, budget, number)
            state, metrics = parallel.wait_on_cpu(step(state, batch, cameras, done), platform)
        return state, metrics

    return steps


def _share_done(mesh: Mesh, budget: TimeBudget, number: int) -> jax.Array:
    """The share of the run that is over before one of several steps, on the mesh."""
    done: Any = np.float32(budget.done) + np.float32(number) * np.float32(budget.per_step)
    placed: jax.Array = global_arrays.replicate_on_all(mesh, done)
    return placed


def jit_step(
    field: RadianceField,
    config: Config,
    mesh: Mesh,
    *,
    space: Space,
    rays_per_microbatch: int | None = None,
    num_shards: int | None = None,
    platform: str | None = None,
    debug: bool = False,
) -> Any:
    """The step of `make_step`, for a batch and arrays that are on the devices of a mesh.

    Args:
      field, config, space, rays_per_microbatch, debug: see `make_step`.
      mesh: the devices.
      num_shards: into how many shards the rays are cut, for a result that does not depend on the
        number of devices, see `nerf.runtime.fixed_order`; None cuts them by devices.
      platform: where the program will run; None for the platform of the mesh. It can be lowered
        for another platform, see `jax.stages.Traced.lower`.

    Returns:
      A function as `jax.jit` returns it, `(state, batch, cameras, done) -> (state, metrics)`: the
      state is where `place_state` puts it, the batch is sharded over the mesh, the others are on
      every device. `done` is the share of a run
      of limited time that is over, or None.
    """
    platform = platform or parallel.platform_of(mesh)
    rays_at_once = config.train.num_rays // (num_shards or mesh.size)
    if (
        rays_per_microbatch is None
        and platform != "cpu"
        and can_skip_empty_space(field, config.render, space)
    ):
        rays_per_microbatch = max(1, rays_at_once // _ACCELERATOR_MICROBATCHES)
    optimizer, schedule = make_optimizer(config.train), learning_rate(config.train)
    microbatch_size = parallel.choose_microbatch_size(
        rays_at_once,
        rays_per_microbatch,
        on_cpu=cpu_rays_per_microbatch(config.render),
        platform=platform,
    )

    def on_one_device(
        replicated: tuple[Params, Cameras, jax.Array, jax.Array, Corrections | None],
        pixels: PixelBatch,
    ) -> tuple[jax.Array, BatchStats, Params, jax.Array, ViewGradients | None]:
        params, cameras, number, progress, corrections = replicated
        batch = make_batch(pixels, cameras, space=space, config=config.render)
        if config.train.robust_loss != "none":
            batch = batch._replace(progress=jnp.broadcast_to(progress, batch.ray_keys.shape))
        moments = jnp.stack([jnp.mean(batch.rgb, axis=0), jnp.mean(jnp.square(batch.rgb), axis=0)])
        share = functools.partial(
            loss_and_gradients, field, params, batch, config, microbatch_size, number
        )
        of_views: ViewGradients | None = None
        if corrections is None:
            found = share()[:3]
        else:
            correct = functools.partial(
                corrected_parts, pixels, cameras, space=space, config=config.render
            )
            parts, pull_back = jax.vjp(correct, corrections)
            *gradients, of_parts = share(parts)
            assert of_parts is not None
            found, equations = tuple(gradients), None
            if of_parts.rays is not None:
                equations = pose_equations(
                    field, params, pixels, cameras, corrections, of_parts.rays, config,
                    space=space, microbatch_size=microbatch_size,
                )  # fmt: skip
            of_views = ViewGradients(pull_back(of_parts)[0].log_gains, equations)
        if pixels.depths is not None:
            placed = placed_cameras(cameras, corrections)
            rays = make_depth_rays(pixels.depths, placed, space=space, config=config.render)
            size = parallel.largest_divisor(len(rays.t), microbatch_size)
            found = with_depth_loss(found, field, params, rays, config, size, progress)
        return *found, moments, of_views

    replicated_sharding = NamedSharding(mesh, PartitionSpec())

    def step(
        state: TrainState, batch: PixelBatch, cameras: Cameras, done: jax.Array | None
    ) -> tuple[TrainState, Metrics]:
        rows = parallel.row_shardings(mesh, state.params)
        stats_at: Any = BatchStats._make([replicated_sharding] * len(BatchStats._fields))
        values = state.corrections and state.corrections.values
        of_views = values and ViewGradients(values.log_gains, state.pose_equations)
        views_at = jax.tree.map(lambda _: replicated_sharding, of_views)
        shardings = (replicated_sharding, stats_at, rows, replicated_sharding, views_at)
        if num_shards is None:
            all_shares = parallel.shard(mesh, on_one_device, average=True, shardings=shardings)
        else:
            all_shares = fixed_order.mean_in_fixed_order(mesh, on_one_device, num_shards)
        progress = share_of_run(config.train, state.step, done)
        loss, stats, gradient, moments, of_views = all_shares(
            (state.params, cameras, state.step, progress, values), batch
        )
        with jax.numpy_dtype_promotion("standard"):  # Optax raises floats to integer powers
            updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            rate = schedule(
                state.step if done is None else budgeted_step(config.train, state.step, done)
            )
        grad_norm = optax.tree.norm(gradient)
        corrected, extra = with_corrections(
            state,
            of_views,
            share_of_rate=rate / config.train.learning_rate,
            progress=progress,
            config=config.train,
        )
        loss = loss + extra
        is_finite = health.is_finite(loss, grad_norm)

        def updated(x: jax.Array, update: jax.Array, factor: float) -> jax.Array:
            return jnp.where(is_finite, x - rate * factor * update, x)

        factors = learning_rates(field, state.params, config.render)
        params = jax.tree.map(updated, state.params, updates, factors)
        params = jax.lax.with_sharding_constraint(params, rows) if mesh.size > 1 else params
        if debug:
            chex.assert_tree_all_finite((loss, gradient))
        step_health = _step_health(loss, grad_norm, stats, moments)
        taken = TrainState(
            params,
            opt_state,
            state.step + 1,
            state.key,
            health.update(state.health, step_health),
            corrected.corrections,
            corrected.pose_equations,
        )
        skipped = taken._replace(
            opt_state=state.opt_state,
            corrections=state.corrections,
            pose_equations=state.pose_equations,
        )
        new_state = jax.tree.map(lambda a, b: jnp.where(is_finite, a, b), taken, skipped)
        if mesh.size > 1:
            at = state_shardings(mesh, new_state)
            new_state = jax.lax.with_sharding_constraint(new_state, at)
        metrics = Metrics(loss, -10.0 * jnp.log10(stats.mse), grad_norm, stats.acc[-1])
        return new_state, metrics

    replicated, sharded = (
        NamedSharding(mesh, spec) if mesh.size > 1 else None
        for spec in (PartitionSpec(), PartitionSpec(parallel.AXIS))
    )
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(None, sharded, replicated, replicated),  # of the state: where it is
        out_shardings=(None, replicated),
        compiler_options=None if debug else parallel.compiler_options(platform),  # none: checkify
    )


def _step_health(
    loss: jax.Array, grad_norm: jax.Array, stats: BatchStats, moments: jax.Array
) -> StepHealth:
    """The statistics of one step that a collapse would show in.

    Args:
      loss, grad_norm, stats: of the batch.
      moments: `[2, 3]`, means of the colours of the batch and of their squares.
    """
    rgb_std, pixel_std = (
        jnp.sqrt(jnp.maximum(mean_square - jnp.square(mean), 0.0))
        for mean, mean_square in (stats.rgb, moments)
    )
    # Without regularisation: the proposal loss, for one, grows as the field gets sharper, which is
    # no explosion.
    return StepHealth(
        loss - stats.regularization, grad_norm, stats.acc, jnp.max(rgb_std), jnp.max(pixel_std)
    )
