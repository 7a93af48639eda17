"""The views that are trained on, and the rays that a step draws from them."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import RenderConfig
from nerf.geometry.cameras import Cameras, pixel_cameras
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space


class TrainingViews(NamedTuple):
    """The views that rays are drawn from, on the device.

    Attributes:
      images: `[num_views, height, width, 3]`, sRGB in [0, 1].
      cameras: `[num_views]`, for images of that size.
      alpha: `[num_views, height, width]`, in [0, 1], of transparent images; else None.
    """

    images: jax.Array
    cameras: Cameras
    alpha: jax.Array | None = None


class Batch(NamedTuple):
    """Rays and the pixels that they should show.

    Attributes:
      rays: `[num_rays]`.
      rgb: `[num_rays, 3]`, sRGB in [0, 1]; colours of transparent images lie over the background.
      ray_keys: `[num_rays]`, one random key a ray.
      alpha: `[num_rays]`, in [0, 1], of transparent images; else None.
    """

    rays: Rays
    rgb: jax.Array
    ray_keys: jax.Array
    alpha: jax.Array | None = None


def sample_batch(
    key: jax.Array, views: TrainingViews, *, num_rays: int, space: Space, config: RenderConfig
) -> Batch:
    """Draws pixels uniformly from all pixels of all views, with replacement.

    Args:
      key: for the pixels and for the rays' own keys.
      views: where to draw from.
      num_rays: the number of rays.
      space: the space that the field lives in.
      config: pixel and direction conventions.
    """
    num_views, height, width, _ = views.images.shape
    chex.assert_shape(views.cameras.camtoworlds, (num_views, 3, 4))
    chex.assert_equal((views.cameras.height, views.cameras.width), (height, width))
    pixel_key, ray_key = jax.random.split(key)
    pixels = jax.random.randint(pixel_key, (num_rays,), 0, num_views * height * width)
    view, row, column = jnp.unravel_index(pixels, (num_views, height, width))
    rays = scene_rays(
        column,
        row,
        pixel_cameras(views.cameras, view),
        space,
        viewdir_space=config.viewdir_space,
        pixel_offset=config.pixel_offset,
    )
    alpha = None if views.alpha is None else views.alpha[view, row, column]
    rgb = views.images[view, row, column]
    return Batch(rays, rgb, jax.random.split(ray_key, num_rays), alpha)
