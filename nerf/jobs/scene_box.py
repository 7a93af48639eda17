"""The box around what a scene's cameras see, in the space that the field lives in."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nerf.config.settings import RenderConfig
from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space
from nerf.render import density_grid

_TICKS_WITH_LENS = 7  # pixels along each side whose rays bound those of a view


def scene_box(space: Space, config: RenderConfig, *cameras: Cameras) -> tuple[jax.Array, jax.Array]:
    """Corners `[3]` and `[3]` of a box, in the field's space, around what cameras see.

    Args:
      space: the space that the field lives in; if it has a box, that box is returned.
      config: pixel conventions.
      *cameras: groups `[num_cameras]` of one image size each.
    """
    if space.box is not None:
        low, high = space.box
        return jnp.array(low), jnp.array(high)
    return density_grid.box_around([_corner_rays(group, space, config) for group in cameras])


@functools.partial(jax.jit, static_argnums=(1, 2))
def _corner_rays(cameras: Cameras, space: Space, config: RenderConfig) -> Rays:
    """Rays `[num_cameras, num_rays]` between which all rays of the cameras lie.

    They are those of the corners of each image; with a lens, those of pixels along its border,
    which is nearly enough.
    """
    ticks = np.linspace(0, 1, 2 if cameras.lens is None else _TICKS_WITH_LENS)
    columns, rows = jnp.meshgrid(
        jnp.asarray(np.round(ticks * (cameras.width - 1)).astype(np.int32)),
        jnp.asarray(np.round(ticks * (cameras.height - 1)).astype(np.int32)),
    )
    shape = (len(cameras.focal), columns.size)
    return scene_rays(
        jnp.broadcast_to(columns.reshape(1, -1), shape),
        jnp.broadcast_to(rows.reshape(1, -1), shape),
        cameras[:, None].broadcast_to(shape),
        space,
        viewdir_space=config.viewdir_space,
        pixel_offset=config.pixel_offset,
    )
