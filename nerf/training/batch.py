"""The views that are trained on, and the rays that a step draws from them."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import RenderConfig
from nerf.geometry.cameras import Cameras, Rays, Space, scene_rays
from nerf.geometry.lenses import Lens


class TrainingViews(NamedTuple):
    """The views that rays are drawn from, on the device.

    Attributes:
      images: `[num_views, height, width, 3]`, sRGB in [0, 1].
      camtoworlds: `[num_views, 3, 4]`.
      bounds: `[num_views, 2]`, near and far in scene units.
      lens: `[num_views]`, see `nerf.geometry.cameras.Cameras`.
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


def sample_batch(
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
