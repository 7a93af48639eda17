"""Depths that are known along some rays, and those of them that a step draws."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.config.settings import RenderConfig
from nerf.geometry.cameras import Cameras, pinhole_rays, pixel_cameras
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space

Ints = jax.Array | npt.NDArray[np.int32]
Floats = jax.Array | npt.NDArray[np.float32]

_STREAM = 0x0DE97  # folded into a step's key, so that the pixels of the step stay what they are


class DepthTable(NamedTuple):
    """Known depths of the training views.

    Attributes:
      view: `[num_samples]` int32, the index among the training views.
      column, row: `[num_samples]` float32, pixel coordinates.
      depth: `[num_samples]` float32, > 0, the parameter of the pinhole ray in scene units: depth
        along the viewing axis; of a panorama, the distance.
      sigma: `[num_samples]` float32, > 0, the standard deviation of `depth`, in scene units.
      weight: `[num_samples]` float32, >= 0, how much each counts.
    """

    view: Ints
    column: Floats
    row: Floats
    depth: Floats
    sigma: Floats
    weight: Floats


class DepthPixels(NamedTuple):
    """What a step is given: some entries of a table, and `[num_rays]` random keys, one a ray."""

    samples: DepthTable
    ray_keys: jax.Array


class DepthRays(NamedTuple):
    """Rays, and where along each the surface is.

    Attributes:
      rays: `[num_rays]`.
      t, sigma: `[num_rays]`, the parameter of the surface, and its standard deviation.
      weight: `[num_rays]`, how much each counts.
      ray_keys: `[num_rays]`, one random key a ray.
    """

    rays: Rays
    t: jax.Array
    sigma: jax.Array
    weight: jax.Array
    ray_keys: jax.Array


def draw_depths(key: jax.Array, table: DepthTable, num_rays: int) -> DepthPixels:
    """Draws entries of a table uniformly, with replacement.

    Args:
      key: of the step, see `nerf.training.batch.draw_pixels`, whose draws it leaves alone.
      table: at least one entry.
      num_rays: the number of rays.
    """
    which_key, ray_key = jax.random.split(jax.random.fold_in(key, _STREAM))
    which = jax.random.randint(which_key, (num_rays,), 0, len(table.view))
    samples: DepthTable = jax.tree.map(lambda x: jnp.asarray(x)[which], table)
    return DepthPixels(samples, jax.random.split(ray_key, num_rays))


def make_depth_rays(
    pixels: DepthPixels, cameras: Cameras, *, space: Space, config: RenderConfig
) -> DepthRays:
    """The rays of some known depths.

    Args:
      pixels: `[num_rays]`.
      cameras: `[num_views]`.
      space: the space that the field lives in.
      config: pixel and direction conventions.
    """
    samples, offset = pixels.samples, config.pixel_offset
    where = jnp.asarray(samples.column), jnp.asarray(samples.row)
    own = pixel_cameras(cameras, jnp.asarray(samples.view))
    rays = scene_rays(*where, own, space, viewdir_space=config.viewdir_space, pixel_offset=offset)
    origins, directions = pinhole_rays(*where, own, pixel_offset=offset)
    near, far = jnp.moveaxis(jnp.asarray(own.bounds), -1, 0)
    depth, sigma = jnp.asarray(samples.depth), jnp.asarray(samples.sigma)
    # A third of the depth is left where sigma is large: no depth is behind the camera.
    around = depth, jnp.maximum(depth - sigma, depth / 3.0), depth + sigma
    t, below, above = (space.parameter(x, origins, directions, near, far) for x in around)
    weight = jnp.asarray(samples.weight)
    return DepthRays(rays, t, 0.5 * (above - below), weight, pixels.ray_keys)
