"""Something that stands in a third of the views only: put into a bundled scene.

A ball is drawn into some views where a camera would see it: behind what is nearer by the scene's
exact depth, shaded by one light, in every view at the same place. The other views show the place
without it, so no field can show both.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.geometry.cameras import Cameras, pinhole_rays
from nerf.scenes.scene import Scene

Floats = npt.NDArray[np.float32]

_COLOUR = np.array([0.85, 0.15, 0.75], np.float32)
_TO_LIGHT = np.array([0.4, 0.8, 0.45], np.float32) / np.linalg.norm([0.4, 0.8, 0.45])
_AMBIENT = 0.35


def every_third(views: Sequence[int]) -> tuple[int, ...]:
    """Every third view.

    >>> every_third([0, 1, 2, 4, 5, 6, 7])
    (0, 4, 7)
    """
    return tuple(views[::3])


def with_ball(
    scene: Scene, views: Sequence[int], *, depth: float = 0.6, radius: float = 0.22
) -> Scene:
    """A scene in some views of which there is a ball.

    Args:
      scene: with exact depth, on an opaque background.
      views: those that show the ball.
      depth: of its centre, relative to the median depth of the scene in the middle one of all
        views, along that view's axis.
      radius: relative to the same depth.

    Returns:
      The scene with other images; poses, depth and all other views are the same.
    """
    assert scene.depth is not None
    middle = scene.num_views // 2
    distance = depth * float(np.median(scene.depth[middle]))
    camtoworld = np.asarray(scene.cameras.camtoworlds[middle])
    centre = (camtoworld[:, 3] - distance * camtoworld[:, 2]).astype(np.float32)
    pixels = scene.images.pixels.copy()
    for index in views:
        start, height, width = (
            int(x[index]) for x in (scene.images.offsets, scene.images.heights, scene.images.widths)
        )
        colours, is_ball = draw_ball(
            scene.cameras[index], scene.depth[index], centre, radius * distance
        )
        image = pixels[start : start + height * width].reshape(height, width, -1)
        image[is_ball, :3] = np.round(255.0 * colours[is_ball]).astype(np.uint8)
    return dataclasses.replace(scene, images=dataclasses.replace(scene.images, pixels=pixels))


def draw_ball(
    camera: Cameras, depth: Floats, centre: Floats, radius: float
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What a camera sees of a ball.

    Args:
      camera: one camera.
      depth: `[height, width]`, of the scene along the viewing axis.
      centre: `[3]`, scene units.
      radius: scene units.

    Returns:
      Colours `[height, width, 3]`, and where the ball is seen, `[height, width]`.
    """
    rows, columns = np.indices(depth.shape)
    rays = pinhole_rays(jnp.asarray(columns), jnp.asarray(rows), camera.broadcast_to(depth.shape))
    origins, directions = (np.asarray(x) for x in rays)
    # |o + t d - c|^2 = r^2, a quadratic in t, which is the depth
    to_origin = origins - centre
    a = np.sum(directions * directions, axis=-1)
    b = np.sum(directions * to_origin, axis=-1)
    c = np.sum(to_origin * to_origin, axis=-1) - radius**2
    discriminant = b * b - a * c
    t = (-b - np.sqrt(np.maximum(discriminant, 0.0))) / a
    normal = (to_origin + t[..., None] * directions) / radius
    shade = _AMBIENT + (1.0 - _AMBIENT) * np.maximum(normal @ _TO_LIGHT, 0.0)
    return shade[..., None] * _COLOUR, (discriminant > 0.0) & (t > 0.0) & (t < depth)
