"""The box around what a scene's cameras see, in the space that the field lives in."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.config.settings import RenderConfig
from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space
from nerf.render import density_grid

Pixels = npt.NDArray[np.int32]

_TICKS_WITH_LENS = 7  # pixels along each side whose rays bound those of a view


def scene_box(space: Space, config: RenderConfig, *cameras: Cameras) -> tuple[jax.Array, jax.Array]:
    """Corners `[3]` and `[3]` of a box, in the field's space, around what cameras see.

    Args:
      space: the space that the field lives in; if it has a box, that box is returned.
      config: pixel conventions.
      *cameras: groups `[num_cameras]`.
    """
    if space.box is not None:
        low, high = space.box
        return jnp.array(low), jnp.array(high)
    return density_grid.box_around(
        [_rays_of(*_corner_pixels(group), group, space, config) for group in cameras]
    )


def _corner_pixels(cameras: Cameras) -> tuple[Pixels, Pixels]:
    """Columns and rows `[num_cameras, num_pixels]` of pixels between whose rays all others lie.

    They are the corners of each image; with a lens, pixels along its border, which is nearly
    enough.
    """
    ticks = np.linspace(0, 1, 2 if cameras.lens is None else _TICKS_WITH_LENS)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(1, -1, 2)
    last = np.asarray(cameras.image_sizes)[:, None, ::-1] - 1
    columns, rows = np.moveaxis(np.round(grid * last).astype(np.int32), -1, 0)
    return columns, rows


@functools.partial(jax.jit, static_argnums=(3, 4))
def _rays_of(
    columns: jax.Array, rows: jax.Array, cameras: Cameras, space: Space, config: RenderConfig
) -> Rays:
    """The rays `[num_cameras, num_pixels]` of some pixels of each camera."""
    return scene_rays(
        columns,
        rows,
        cameras[:, None].broadcast_to(columns.shape),
        space,
        viewdir_space=config.viewdir_space,
        pixel_offset=config.pixel_offset,
    )
