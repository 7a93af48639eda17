"""Lenses: from a pixel to the direction that it looks in, with distortion.

Pixel coordinates are those of the rest of the library: (i, j) is the pixel in column i and row j,
and half a pixel further is its corner. Files that put a pixel's centre at (i + 0.5, j + 0.5), as
COLMAP, OpenCV-based tools and nerfstudio do, have a `centre` that is greater by 0.5.

A point at slopes (x, y), x to the right and y downwards, one unit of depth away, is seen at

    perspective:  s = 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8,   r^2 = x^2 + y^2
                  u = x s + 2 p1 x y + p2 (r^2 + 2 x^2)
                  v = y s + 2 p2 x y + p1 (r^2 + 2 y^2)
    fisheye:      (u, v) = (x, y) / r * a (1 + k1 a^2 + k2 a^4 + k3 a^6 + k4 a^8),   a = atan r

and on the pixel (focal_x u + centre_x, focal_y v + centre_y).

Source: OpenCV, "Camera Calibration and 3D Reconstruction" and "Fisheye camera model"; COLMAP,
`src/colmap/sensor/models.h`, whose models are special cases of these two.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

_NEWTON_STEPS = 12
_MAX_ANGLE = 1.5  # radians off the axis that a fisheye may see; a slope is infinite at pi / 2

Array = jax.Array | npt.NDArray[np.float64] | npt.NDArray[np.float32]


class Lens(NamedTuple):
    """The intrinsics of one camera, or of several.

    Attributes:
      focal: `[..., 2]`, focal lengths in pixels along columns and rows.
      centre: `[..., 2]`, column and row of the principal point, see the module's text.
      distortion: `[..., 6]`, k1, k2, k3, k4, p1, p2; None where there is none.
      fisheye: `[...]` bool, which model; None where `distortion` is.
    """

    focal: Array
    centre: Array
    distortion: Array | None = None
    fisheye: Array | None = None


def slopes(columns: jax.Array, rows: jax.Array, lens: Lens) -> jax.Array:
    """The slopes of the rays through pixels; the inverse of `pixels`.

    Args:
      columns, rows: `[...]`, pixel coordinates.
      lens: `[...]`, one a pixel.

    Returns:
      `[..., 2]`, x to the right and y downwards for one unit of depth.

    >>> lens = Lens(jnp.array([2.0, 2.0]), jnp.array([4.0, 3.0]))
    >>> slopes(jnp.array(6), jnp.array(3), lens).tolist()
    [1.0, 0.0]
    """
    batch_shape = columns.shape
    chex.assert_shape(rows, batch_shape)
    chex.assert_shape([lens.focal, lens.centre], (*batch_shape, 2))
    seen = jnp.stack([columns, rows], axis=-1).astype(jnp.float32)
    seen = (seen - jnp.asarray(lens.centre)) / jnp.asarray(lens.focal)
    if lens.distortion is None or lens.fisheye is None:
        return seen
    chex.assert_shape(lens.distortion, (*batch_shape, 6))
    chex.assert_shape(lens.fisheye, batch_shape)
    distortion = jnp.asarray(lens.distortion)
    straight = _undistort_perspective(seen, distortion)
    bent = _undistort_fisheye(seen, distortion)
    return jnp.where(jnp.asarray(lens.fisheye)[..., None], bent, straight)


def pixels(slopes: jax.Array, lens: Lens) -> jax.Array:
    """Where a lens shows the point at some slopes: column and row.

    Args:
      slopes: `[..., 2]`, x to the right and y downwards for one unit of depth.
      lens: `[...]`, one a point.

    Returns:
      `[..., 2]`.
    """
    (*batch_shape, _) = slopes.shape
    chex.assert_shape([slopes, lens.focal, lens.centre], (*batch_shape, 2))
    shown = slopes
    if lens.distortion is not None and lens.fisheye is not None:
        distortion = jnp.asarray(lens.distortion)
        radius = jnp.maximum(jnp.linalg.norm(slopes, axis=-1, keepdims=True), 1e-12)
        angle = jnp.arctan(radius)
        bent = slopes / radius * angle * _radial(jnp.square(angle), distortion)
        straight = _distort_perspective(slopes, distortion)
        shown = jnp.where(jnp.asarray(lens.fisheye)[..., None], bent, straight)
    return shown * jnp.asarray(lens.focal) + jnp.asarray(lens.centre)


def share_without_ray(lens: Lens, height: int, width: int) -> float:
    """The share of a picture's pixels that no ray leads to, on a grid.

    Beyond some radius strong distortion turns back, and a fisheye may see farther off its axis
    than a slope can say; the ray that such a pixel gets is another pixel's.

    Args:
      lens: of one camera, with distortion.
      height, width: of its pictures.
    """
    columns, rows = np.meshgrid(np.linspace(0, width - 1, 25), np.linspace(0, height - 1, 25))
    num = columns.size
    each = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x)[None], (num, *x.shape)), lens)
    found = _there_and_back(columns.ravel(), rows.ravel(), each)
    error = np.abs(np.asarray(found) - np.stack([columns.ravel(), rows.ravel()], axis=-1))
    return float(np.mean(~(error.max(axis=-1) < 0.5)))


@jax.jit
def _there_and_back(columns: jax.Array, rows: jax.Array, lens: Lens) -> jax.Array:
    return pixels(slopes(columns, rows, lens), lens)


def _radial(squared: jax.Array, distortion: jax.Array) -> jax.Array:
    """1 + k1 q + k2 q^2 + k3 q^3 + k4 q^4 of `[..., 1]`."""
    k1, k2, k3, k4 = (distortion[..., i, None] for i in range(4))
    return 1.0 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4)))


def _radial_slope(squared: jax.Array, distortion: jax.Array) -> jax.Array:
    """The derivative of `_radial` by `squared`."""
    k1, k2, k3, k4 = (distortion[..., i, None] for i in range(4))
    return k1 + squared * (2.0 * k2 + squared * (3.0 * k3 + squared * 4.0 * k4))


def _distort_perspective(slopes: jax.Array, distortion: jax.Array) -> jax.Array:
    x, y = slopes[..., 0], slopes[..., 1]
    squared = jnp.square(x) + jnp.square(y)
    p1, p2 = distortion[..., 4], distortion[..., 5]
    tangential_x = 2.0 * p1 * x * y + p2 * (squared + 2.0 * jnp.square(x))
    tangential_y = 2.0 * p2 * x * y + p1 * (squared + 2.0 * jnp.square(y))
    tangential = jnp.stack([tangential_x, tangential_y], axis=-1)
    return slopes * _radial(squared[..., None], distortion) + tangential


def _undistort_perspective(seen: jax.Array, distortion: jax.Array) -> jax.Array:
    """Newton's method in two variables; a point that it leaves is kept where it was."""
    p1, p2 = distortion[..., 4], distortion[..., 5]

    def improve(_: int, slopes: jax.Array) -> jax.Array:
        x, y = slopes[..., 0], slopes[..., 1]
        squared = (jnp.square(x) + jnp.square(y))[..., None]
        scale, bend = _radial(squared, distortion), _radial_slope(squared, distortion)
        scale, bend = scale[..., 0], bend[..., 0]
        xx = scale + 2.0 * x * x * bend + 2.0 * p1 * y + 6.0 * p2 * x
        xy = 2.0 * x * y * bend + 2.0 * p1 * x + 2.0 * p2 * y
        yy = scale + 2.0 * y * y * bend + 2.0 * p2 * x + 6.0 * p1 * y
        error = _distort_perspective(slopes, distortion) - seen
        determinant = xx * yy - xy * xy
        safe = jnp.where(jnp.abs(determinant) > 1e-6, determinant, 1.0)
        step_x = (yy * error[..., 0] - xy * error[..., 1]) / safe
        step_y = (xx * error[..., 1] - xy * error[..., 0]) / safe
        better = slopes - jnp.stack([step_x, step_y], axis=-1)
        good = (jnp.abs(determinant) > 1e-6)[..., None] & (jnp.abs(better) < 100.0)
        return jnp.where(good, better, slopes)

    found: jax.Array = jax.lax.fori_loop(0, _NEWTON_STEPS, improve, seen)
    return found


def _undistort_fisheye(seen: jax.Array, distortion: jax.Array) -> jax.Array:
    """Newton's method for the angle off the axis."""
    shown = jnp.linalg.norm(seen, axis=-1, keepdims=True)

    def improve(_: int, angle: jax.Array) -> jax.Array:
        squared = jnp.square(angle)
        scale = _radial(squared, distortion)
        slope = scale + 2.0 * squared * _radial_slope(squared, distortion)
        safe = jnp.where(jnp.abs(slope) > 1e-6, slope, 1.0)
        return jnp.clip(angle - (angle * scale - shown) / safe, 0.0, _MAX_ANGLE)

    start = jnp.minimum(shown, _MAX_ANGLE)
    angle = jax.lax.fori_loop(0, _NEWTON_STEPS, improve, start)
    return seen * jnp.where(shown > 1e-8, jnp.tan(angle) / jnp.maximum(shown, 1e-8), 1.0)
