"""One step of training: draw rays, render them, descend.

Everything a step needs is in its arguments and its state, and the state's key and step number
decide what is drawn, so a run can stop and go on exactly.
"""

from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nerf import parallel
from nerf.cameras import Cameras, Rays, Space, scene_rays
from nerf.config import Config, RenderConfig
from nerf.field import Params, Proposal, RadianceField
from nerf.lenses import Lens
from nerf.render.checks import checked
from nerf.render.rays import init_params, parts, render_rays
from nerf.render.volume import Composite
from nerf.training import health
from nerf.training.health import Health, Signs
from nerf.training.optimizer import (
    Pace,
    learning_rate,
    learning_rates,
    make_optimizer,
    paced_step,
)

CPU_RAYS_PER_PIECE = 8  # at the least; more where a ray takes few evaluations
_CPU_EVALUATIONS_PER_PIECE = 2048


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


class TrainingViews(NamedTuple):
    """The views that rays are drawn from, on the device.

    Attributes:
      images: `[num_views, height, width, 3]`, sRGB in [0, 1].
      camtoworlds: `[num_views, 3, 4]`.
      bounds: `[num_views, 2]`, near and far in scene units.
      lens: `[num_views]`, see `nerf.cameras.Cameras`.
      alpha: `[num_views, height, width]`, in [0, 1], of transparent pictures; else None.
    """

    images: jax.Array
    camtoworlds: jax.Array
    bounds: jax.Array
    lens: Lens | None = None
    alpha: jax.Array | None = None


class Batch(NamedTuple):
    """Rays `[num_rays]`, the colours `[num_rays, 3]` to match, one key a ray, and what is covered.

    `alpha` is `[num_rays]` of transparent pictures, whose colours lie over the background; or None.
    """

    rays: Rays
    rgb: jax.Array
    ray_keys: jax.Array
    alpha: jax.Array | None = None


class Metrics(NamedTuple):
    """Scalars of one step: the loss, the PSNR of the fine pass in dB, the gradient's norm, and the
    mean coverage of the fine pass.
    """

    loss: jax.Array
    psnr: jax.Array
    grad_norm: jax.Array
    acc: jax.Array


class Seen(NamedTuple):
    """Means over the rays of a batch, apart from the loss.

    Attributes:
      mse: `[]`, squared error of the fine pass, over all channels.
      acc: `[2]`, coverage in the coarse and in the fine pass.
      rgb: `[2, 3]`, the fine pass's colour, and its square.
      mismatch: `[]`, of the proposal, zero where there is none.
    """

    mse: jax.Array
    acc: jax.Array
    rgb: jax.Array
    mismatch: jax.Array


class StepFn(Protocol):
    def __call__(
        self,
        state: TrainState,
        views: TrainingViews,
        num_steps: int = 1,
        pace: Pace | None = None,
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
    jitted = jax.jit(init, compiler_options=parallel.quick_compilation())
    state: TrainState = jitted(key, params)
    return state


def draw_batch(
    key: jax.Array,
    views: TrainingViews,
    cameras: Cameras,
    *,
    num_rays: int,
    space: Space,
    config: RenderConfig,
) -> Batch:
    """Draws pixels uniformly from every pixel of every view, with replacement.

    Args:
      key: for the pixels and for the rays' own keys.
      views: where to draw from.
      cameras: the size and the focal length that the views share.
      num_rays: how many.
      space: which the field lives in.
      config: how rays are made.
    """
    num_views, height, width, _ = views.images.shape
    chex.assert_shape(views.camtoworlds, (num_views, 3, 4))
    chex.assert_shape(views.bounds, (num_views, 2))
    pixel_key, ray_key = jax.random.split(key)
    pixels = jax.random.randint(pixel_key, (num_rays,), 0, num_views * height * width)
    view, row, column = jnp.unravel_index(pixels, (num_views, height, width))
    rays = scene_rays(
        column,
        row,
        views.camtoworlds[view],
        cameras,
        views.bounds[view, 0],
        views.bounds[view, 1],
        space=space,
        viewdir_space=config.viewdir_space,
        pixel_offset=config.pixel_offset,
        lens=jax.tree.map(lambda x: x[view], views.lens),
    )
    alpha = None if views.alpha is None else views.alpha[view, row, column]
    rgb = views.images[view, row, column]
    return Batch(rays, rgb, jax.random.split(ray_key, num_rays), alpha)


def photometric_loss(
    field: RadianceField, params: Params, batch: Batch, config: Config
) -> tuple[jax.Array, Seen]:
    """The squared error of both passes.

    Args:
      field: what is trained.
      params: its parameters.
      batch: rays and colours.
      config: `train.loss` sums or averages over the three channels; rays are averaged.

    Returns:
      The loss, and what was seen. A proposal has no colour of its own; in the place of its error
      stands its mismatch. See `squared_error` for transparent pictures.

    Source: Mildenhall et al. 2020, equation 6; Barron et al. 2022, equation 13.
    """
    rendering = render_rays(field, params, batch.rays, config.render, ray_keys=batch.ray_keys)
    fine = jnp.mean(jnp.square(rendering.fine.rgb - batch.rgb))
    channels = {"sum": 3.0, "mean": 1.0}[config.train.loss]
    mismatch = jnp.mean(rendering.mismatch)
    loss = channels * squared_error(rendering.fine, batch, config.render)
    if config.render.networks == "proposal":
        loss = loss + mismatch
    else:
        loss = loss + channels * squared_error(rendering.coarse, batch, config.render)
    rgb = rendering.fine.rgb
    seen = Seen(
        mse=fine,
        acc=jnp.stack([jnp.mean(rendering.coarse.acc), jnp.mean(rendering.fine.acc)]),
        rgb=jnp.mean(jnp.stack([rgb, jnp.square(rgb)]), axis=1),
        mismatch=mismatch,
    )
    return loss, jax.lax.stop_gradient(seen)


def squared_error(seen: Composite, batch: Batch, config: RenderConfig) -> jax.Array:
    """The mean squared error of colours; of transparent pictures over all backgrounds.

        mean over b in [0, 1] of |error of the colours over b|^2
          = |error over 1/2|^2 + (error of the coverage)^2 / 12

    Before the one background that pictures lie over, a fog of its colour costs nothing where there
    should be none.

    Args:
      seen: `[num_rays]`, over the background of `config`.
      batch: `[num_rays]`, over the same.
      config: which background.

    Source: random backgrounds in training, Müller et al. 2022 (Instant NGP); here their mean.
    """
    error = seen.rgb - batch.rgb
    if batch.alpha is None:
        return jnp.mean(jnp.square(error))
    behind = {"black": 0.0, "white": 1.0}[config.background]
    excess = (batch.alpha - seen.acc)[:, None]  # of the background
    return jnp.mean(jnp.square(error + (0.5 - behind) * excess) + jnp.square(excess) / 12.0)


def penalty(field: RadianceField, params: Params, config: RenderConfig) -> jax.Array:
    """What the parameters of all networks add to the loss by themselves."""
    owners = parts(field, config).items()
    named = [
        owner.penalty(params[name]) for name, owner in owners if not isinstance(owner, Proposal)
    ]
    return sum(named, jnp.zeros(()))


def loss_and_gradient(
    field: RadianceField, params: Params, batch: Batch, config: Config, rays_per_piece: int
) -> tuple[jax.Array, Seen, Params]:
    """`photometric_loss` with `penalty`, and the gradient, accumulated over pieces of the batch.

    Small pieces keep a CPU's activations in its cache; the result is the same to rounding.

    Args:
      field: what is trained.
      params: its parameters.
      batch: `[num_rays]`; `rays_per_piece` must divide it.
      config: see `photometric_loss`.
      rays_per_piece: how many rays go through at once.

    Returns:
      The loss, what was seen, the gradient.
    """
    (num_rays, _) = batch.rgb.shape
    num_pieces = num_rays // rays_per_piece
    chex.assert_equal(num_pieces * rays_per_piece, num_rays)
    value_and_grad = jax.value_and_grad(
        lambda params, piece: photometric_loss(field, params, piece, config), has_aux=True
    )
    penalised = jax.value_and_grad(lambda params: penalty(field, params, config.render))(params)
    if num_pieces == 1:
        (loss, seen), gradient = value_and_grad(params, batch)
        loss, gradient = jax.tree.map(jnp.add, (loss, gradient), penalised)
        return loss, seen, gradient

    def add_piece(total: Any, piece: Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, value_and_grad(params, piece)), None

    pieces = jax.tree.map(lambda x: x.reshape(num_pieces, rays_per_piece, *x.shape[1:]), batch)
    one_piece = jax.tree.map(lambda x: x[0], pieces)
    (_, nothing), _ = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(value_and_grad, params, one_piece)
    )
    extra, extra_gradient = jax.tree.map(lambda x: x * num_pieces, penalised)
    total, _ = jax.lax.scan(add_piece, ((extra, nothing), extra_gradient), pieces)
    (loss, seen), gradient = jax.tree.map(lambda x: x / num_pieces, total)
    return loss, seen, gradient


def cpu_rays_per_piece(config: RenderConfig) -> int:
    """So many that the activations of one piece stay in a core's cache."""
    return max(CPU_RAYS_PER_PIECE, _CPU_EVALUATIONS_PER_PIECE // config.evaluations_per_ray)


def make_step(
    field: RadianceField,
    config: Config,
    cameras: Cameras,
    *,
    space: Space,
    rays_per_piece: int | None = None,
    debug: bool = False,
) -> StepFn:
    """The compiled training step, on all devices; it takes over the buffers of its state.

    Args:
      field: what is trained.
      config: samples, loss, optimiser.
      cameras: the intrinsics of the views.
      space: which the field lives in.
      rays_per_piece: the most rays that go through a device at once, see `loss_and_gradient`; by
        default all of its share on an accelerator, and on a CPU as many as make about 2,000
        evaluations, but no fewer than `CPU_RAYS_PER_PIECE`.
      debug: whether values are checked, see `nerf.render.checks`; on one device.
    """
    mesh = parallel.make_mesh(1 if debug else config.train.num_rays)
    jitted = jit_step(
        field, config, cameras, mesh, space=space, rays_per_piece=rays_per_piece, debug=debug
    )
    placed = parallel.placing(mesh, checked(jitted) if debug else jitted)
    return lambda *arguments: parallel.one_at_a_time(placed(*arguments))


def jit_step(
    field: RadianceField,
    config: Config,
    cameras: Cameras,
    mesh: Mesh,
    *,
    space: Space,
    rays_per_piece: int | None = None,
    debug: bool = False,
) -> Any:
    """`make_step` for arrays that lie on the devices of a mesh already, see `parallel.everywhere`.

    Returns:
      What `jax.jit` returns, of state, views and number of steps.
    """
    optimizer, schedule = make_optimizer(config.train), learning_rate(config.train)
    piece = parallel.choose_rays_per_piece(
        config.train.num_rays // mesh.size, rays_per_piece, on_cpu=cpu_rays_per_piece(config.render)
    )

    def one_share(params: Params, batch: Batch) -> tuple[jax.Array, Seen, Params]:
        return loss_and_gradient(field, params, batch, config, piece)

    all_shares = parallel.share_out(mesh, one_share, average=True)

    def step(
        state: TrainState, views: TrainingViews, done: jax.Array | None
    ) -> tuple[TrainState, Metrics]:
        batch = draw_batch(
            jax.random.fold_in(state.key, state.step),
            views,
            cameras,
            num_rays=config.train.num_rays,
            space=space,
            config=config.render,
        )
        loss, seen, gradient = all_shares(state.params, batch)
        with jax.numpy_dtype_promotion("standard"):  # Optax raises floats to integer counts
            updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            rate = schedule(
                state.step if done is None else paced_step(config.train, state.step, done)
            )
        rates = learning_rates(field, state.params, config.render)
        params = jax.tree.map(
            lambda x, update, times: x - rate * times * update, state.params, updates, rates
        )
        if debug:
            chex.assert_tree_all_finite((loss, gradient))
        signs = _signs(loss, _norm(gradient), seen, batch)
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
        pace: Pace | None = None,
    ) -> tuple[TrainState, Metrics]:
        def body(
            number: jax.Array, carry: tuple[TrainState, Metrics]
        ) -> tuple[TrainState, Metrics]:
            done = None if pace is None else pace.done + number.astype(jnp.float32) * pace.per_step
            return step(carry[0], views, done)

        nothing = Metrics(*jnp.zeros(len(Metrics._fields), jnp.float32))
        last: tuple[TrainState, Metrics] = jax.lax.fori_loop(0, num_steps, body, (state, nothing))
        return last

    everywhere = NamedSharding(mesh, PartitionSpec()) if mesh.size > 1 else None
    return jax.jit(
        steps,
        donate_argnums=0,
        in_shardings=everywhere,
        out_shardings=everywhere,
        compiler_options=None if debug else parallel.compiler_options(),  # not under checkify
    )


def _signs(loss: jax.Array, grad_norm: jax.Array, seen: Seen, batch: Batch) -> Signs:
    """What a step shows of the run's health."""
    mean, mean_square = seen.rgb
    rgb_std = jnp.sqrt(jnp.maximum(mean_square - jnp.square(mean), 0.0))
    pixel_std = jnp.std(batch.rgb, axis=0)
    # A proposal's mismatch grows as the field gets sharper, which is no explosion.
    return Signs(loss - seen.mismatch, grad_norm, seen.acc, jnp.max(rgb_std), jnp.max(pixel_std))


def _norm(tree: Params) -> jax.Array:
    """The Euclidean norm over all arrays of a tree."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))
