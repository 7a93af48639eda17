"""Gradients and equations of the corrections of views, from the rays of a batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nerf.config.settings import Config
from nerf.corrections.corrections import Corrections
from nerf.corrections.pose_steps import PoseEquations
from nerf.field import Params, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import Rays
from nerf.geometry.spaces import Space
from nerf.render.images import map_microbatches
from nerf.render.rays import known_occupancy, render_rays
from nerf.runtime import parallel
from nerf.training.batch import PixelBatch
from nerf.training.corrected_batch import moved_rays, placed_cameras

_EVERY = 4  # of the rays is in the Hessian, which changes slowly and is summed over steps


class ViewGradients(NamedTuple):
    """A mean over the rays of a batch; None for what is not corrected.

    Attributes:
      log_gains: `[num_views, 3]`, the gradient with respect to the gains.
      poses: of one step.
    """

    log_gains: jax.Array | None = None
    poses: PoseEquations | None = None


def pose_equations(
    field: RadianceField,
    params: Params,
    pixels: PixelBatch,
    cameras: Cameras,
    corrections: Corrections,
    of_rays: Rays,
    config: Config,
    *,
    space: Space,
    microbatch_size: int,
) -> PoseEquations:
    """The loss of a batch as a function of the poses, to second order.

    The Hessian is that of the squared error of the colours without the second derivatives of these,
    J^T J. It is estimated: the product of J^T with random signs, one for each channel of a ray, has
    it as the mean of its square.

    Args:
      field: what is trained.
      params: its parameters.
      pixels: `[num_rays]`.
      cameras: `[num_views]`, before their corrections.
      corrections: of the training views, their poses among them.
      of_rays: `[num_rays]`, the gradient of the loss with respect to the rays.
      config: networks and loss.
      space: the space that the field lives in.
      microbatch_size: the most rays that go through the field at once.

    Source: the estimate of a trace or diagonal by random signs, Hutchinson 1989.
    """
    (num_rays,) = pixels.view.shape
    (num_views,) = cameras.focal.shape
    placed = placed_cameras(cameras, corrections)

    def rays_of(pixels: PixelBatch, tangents: jax.Array) -> Rays:
        return moved_rays(pixels, cameras, placed, tangents, space=space, config=config.render)

    def by_view(values: jax.Array, view: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(values, view, num_views)

    _, of_tangents = jax.vjp(lambda tangents: rays_of(pixels, tangents), jnp.zeros((num_rays, 6)))
    slope = by_view(of_tangents(of_rays)[0], pixels.view)

    some = pixels.every(_EVERY if num_rays % _EVERY == 0 else 1)  # on any number of devices
    (size,) = some.view.shape
    rays, of_tangents = jax.vjp(lambda tangents: rays_of(some, tangents), jnp.zeros((size, 6)))
    random_signs = jax.vmap(lambda key: jax.random.rademacher(key, (3,), jnp.float32))(
        some.ray_keys
    )
    occupancy = known_occupancy(field, params, config.render, rays.space)

    def of_colours(given: tuple[Rays, jax.Array]) -> Rays:
        def colours(rays: Rays) -> jax.Array:
            return render_rays(field, params, rays, config.render, occupancy=occupancy).fine.rgb

        of_some: Rays = jax.vjp(colours, given[0])[1](given[1])[0]
        return of_some

    microbatch_size = parallel.largest_divisor(size, microbatch_size)
    (signed,) = of_tangents(map_microbatches(of_colours, (rays, random_signs), microbatch_size))
    channels = {"sum": 3.0, "mean": 1.0}[config.train.loss]
    squares = signed[:, :, None] * signed[:, None, :] * (2.0 * channels / (3.0 * size))
    return PoseEquations(slope, by_view(squares, some.view), jnp.ones(()))
