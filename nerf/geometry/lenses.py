"""Lenses: from a pixel to the slopes of its ray and back, with distortion.

The slopes (x, y) of a ray are its steps to the right and downwards per unit of depth.

Pixel coordinates are those of the rest of the library: (i, j) is the centre of the pixel in column
i and row j. COLMAP, nerfstudio and tools based on OpenCV put this centre at (i + 0.5, j + 0.5); the
principal point in their files is greater by 0.5 than `centre` here.

A lens maps slopes (x, y) to (u, v):

    perspective:  s = 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8,   r^2 = x^2 + y^2
                  u = x s + 2 p1 x y + p2 (r^2 + 2 x^2)
                  v = y s + 2 p2 x y + p1 (r^2 + 2 y^2)
    fisheye:      (u, v) = (x, y) / r * a (1 + k1 a^2 + k2 a^4 + k3 a^6 + k4 a^8),   a = atan r

and these to the pixel (focal_x u + centre_x, focal_y v + centre_y).

An equirectangular panorama shows directions on the sphere, also behind the camera, which have no
slopes. Its pixel is (focal_x azimuth + centre_x, centre_y - focal_y elevation), with the azimuth
from forward to the right and the elevation upwards, in radians: `focal` is pixels per radian, and
the rows are even in elevation.

    direction = (cos e sin a, sin e, -cos e cos a),   a azimuth, e elevation; right, up, back

Source: OpenCV, "Camera Calibration and 3D Reconstruction" and "Fisheye camera model"; COLMAP,
`src/colmap/sensor/models.h`, whose models are special cases of these; nerfstudio `cameras.py`
(EQUIRECTANGULAR) and instant-ngp `common_device.cuh` (`latlong`) for panoramas.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

_NEWTON_STEPS = 12
_MAX_SLOPE = 100.0  # an undistorted slope beyond it is taken for a diverging iteration
_MAX_ANGLE = 1.5  # radians between a fisheye's axis and a ray; at pi / 2 slopes are infinite

Array = jax.Array | npt.NDArray[np.float64] | npt.NDArray[np.float32]


class Lens(NamedTuple):
    """The intrinsics of one camera, or of several.

    Attributes:
      focal: `[..., 2]`, focal lengths fx and fy in pixels.
      centre: `[..., 2]`, the principal point cx and cy in pixel coordinates (see above).
      distortion: `[..., 6]`, k1, k2, k3, k4, p1, p2; None if no camera has distortion.
      fisheye: `[...]` bool, True for the fisheye model, False for the perspective one; None if
        `distortion` is None.
      panorama: `[...]` bool, True for an equirectangular panorama, which has no distortion; None if
        no camera is one.
    """

    focal: Array
    centre: Array
    distortion: Array | None = None
    fisheye: Array | None = None
    panorama: Array | None = None


def directions(columns: jax.Array, rows: jax.Array, lens: Lens) -> jax.Array:
    """The directions of the rays through pixels, in the axes of their camera.

    Args:
      columns, rows: `[...]`, pixel coordinates.
      lens: `[...]`, one for each pixel.

    Returns:
      `[..., 3]` to the right, up and back. One unit of depth long, `(x, -y, -1)`; of a panorama,
      which shows what is behind the camera too, one unit of distance long.

    >>> front = Lens(jnp.array([2.0, 2.0]), jnp.array([4.0, 3.0]))
    >>> directions(jnp.array(6), jnp.array(3), front).tolist()
    [1.0, 0.0, -1.0]
    """
    x, y = jnp.moveaxis(slopes(columns, rows, lens), -1, 0)
    ahead = jnp.stack([x, -y, -jnp.ones_like(x)], axis=-1)
    if lens.panorama is None:
        return ahead
    chex.assert_shape(lens.panorama, columns.shape)
    azimuth, depression = jnp.moveaxis(_from_centre(columns, rows, lens), -1, 0)
    level = jnp.cos(depression)
    on_sphere = jnp.stack(
        [level * jnp.sin(azimuth), -jnp.sin(depression), -level * jnp.cos(azimuth)], axis=-1
    )
    return jnp.where(jnp.asarray(lens.panorama)[..., None], on_sphere, ahead)


def panorama_pixels(directions: jax.Array, lens: Lens) -> jax.Array:
    """The pixels at which panoramas show rays; the inverse of `directions`.

    Args:
      directions: `[..., 3]` to the right, up and back, of any length but zero.
      lens: `[...]`, one for each ray, all of panoramas.

    Returns:
      `[..., 2]`, column and row in pixel coordinates. An azimuth is between -pi and pi.
    """
    (*batch_shape, _) = directions.shape
    chex.assert_shape([lens.focal, lens.centre], (*batch_shape, 2))
    right, up, back = jnp.moveaxis(directions, -1, 0)
    azimuth = jnp.arctan2(right, -back)
    depression = jnp.arctan2(-up, jnp.hypot(right, back))
    angles = jnp.stack([azimuth, depression], axis=-1)
    return angles * jnp.asarray(lens.focal) + jnp.asarray(lens.centre)


def slopes(columns: jax.Array, rows: jax.Array, lens: Lens) -> jax.Array:
    """The slopes of the rays through pixels; the inverse of `pixels`.

    Args:
      columns, rows: `[...]`, pixel coordinates.
      lens: `[...]`, one for each pixel; panoramas have no slopes, see `directions`.

    Returns:
      `[..., 2]`, x to the right and y downwards, per unit of depth.

    >>> lens = Lens(jnp.array([2.0, 2.0]), jnp.array([4.0, 3.0]))
    >>> slopes(jnp.array(6), jnp.array(3), lens).tolist()
    [1.0, 0.0]
    """
    batch_shape = columns.shape
    chex.assert_shape(rows, batch_shape)
    chex.assert_shape([lens.focal, lens.centre], (*batch_shape, 2))
    distorted = _from_centre(columns, rows, lens)
    if lens.distortion is None or lens.fisheye is None:
        return distorted
    chex.assert_shape(lens.distortion, (*batch_shape, 6))
    chex.assert_shape(lens.fisheye, batch_shape)
    distortion = jnp.asarray(lens.distortion)
    perspective = _undistort_perspective(distorted, distortion)
    fisheye = _undistort_fisheye(distorted, distortion)
    return jnp.where(jnp.asarray(lens.fisheye)[..., None], fisheye, perspective)


def pixels(slopes: jax.Array, lens: Lens) -> jax.Array:
    """The pixels at which a lens shows rays; the inverse of `slopes`.

    Args:
      slopes: `[..., 2]`, x to the right and y downwards, per unit of depth.
      lens: `[...]`, one for each ray.

    Returns:
      `[..., 2]`, column and row in pixel coordinates.
    """
    (*batch_shape, _) = slopes.shape
    chex.assert_shape([slopes, lens.focal, lens.centre], (*batch_shape, 2))
    distorted = slopes
    if lens.distortion is not None and lens.fisheye is not None:
        distortion = jnp.asarray(lens.distortion)
        radius = jnp.maximum(jnp.linalg.norm(slopes, axis=-1, keepdims=True), 1e-12)
        angle = jnp.arctan(radius)
        fisheye = slopes / radius * angle * _radial(jnp.square(angle), distortion)
        perspective = _distort_perspective(slopes, distortion)
        distorted = jnp.where(jnp.asarray(lens.fisheye)[..., None], fisheye, perspective)
    return distorted * jnp.asarray(lens.focal) + jnp.asarray(lens.centre)


def fraction_without_ray(lens: Lens, height: int, width: int) -> float:
    """The fraction of an image's pixels for which `slopes` has no solution.

    Beyond some radius, strong distortion maps two rays to one pixel, or none; and a fisheye may see
    rays at more than 90 degrees to its axis, which have no slopes. `slopes` then returns the ray of
    another pixel.

    Args:
      lens: of one camera, with distortion.
      height, width: of its images, in pixels.

    Returns:
      A fraction in [0, 1], measured on a grid of 25 x 25 pixels.
    """
    columns, rows = np.meshgrid(np.linspace(0, width - 1, 25), np.linspace(0, height - 1, 25))
    num = columns.size
    lenses = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x)[None], (num, *x.shape)), lens)
    found = _round_trip(columns.ravel(), rows.ravel(), lenses)
    error = np.abs(np.asarray(found) - np.stack([columns.ravel(), rows.ravel()], axis=-1))
    return float(np.mean(~(error.max(axis=-1) < 0.5)))


def _from_centre(columns: jax.Array, rows: jax.Array, lens: Lens) -> jax.Array:
    """(u, v) of pixels, `[..., 2]`: from the principal point, in focal lengths."""
    found = jnp.stack([columns, rows], axis=-1).astype(jnp.float32)
    return (found - jnp.asarray(lens.centre)) / jnp.asarray(lens.focal)


@jax.jit
def _round_trip(columns: jax.Array, rows: jax.Array, lens: Lens) -> jax.Array:
    """From pixels to slopes and back to pixels `[..., 2]`."""
    return pixels(slopes(columns, rows, lens), lens)


def _radial(squared: jax.Array, distortion: jax.Array) -> jax.Array:
    """1 + k1 q + k2 q^2 + k3 q^3 + k4 q^4, where q is `squared`, `[..., 1]`."""
    k1, k2, k3, k4 = (distortion[..., i, None] for i in range(4))
    return 1.0 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4)))


def _radial_derivative(squared: jax.Array, distortion: jax.Array) -> jax.Array:
    """The derivative of `_radial` with respect to `squared`."""
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


def _undistort_perspective(distorted: jax.Array, distortion: jax.Array) -> jax.Array:
    """Solves `_distort_perspective` for slopes `[..., 2]` by Newton's method in two variables.

    A step that would leave the plausible range is not taken.
    """
    p1, p2 = distortion[..., 4], distortion[..., 5]

    def newton_step(_: int, slopes: jax.Array) -> jax.Array:
        x, y = slopes[..., 0], slopes[..., 1]
        squared = (jnp.square(x) + jnp.square(y))[..., None]
        scale = _radial(squared, distortion)[..., 0]
        bend = _radial_derivative(squared, distortion)[..., 0]
        xx = scale + 2.0 * x * x * bend + 2.0 * p1 * y + 6.0 * p2 * x
        xy = 2.0 * x * y * bend + 2.0 * p1 * x + 2.0 * p2 * y
        yy = scale + 2.0 * y * y * bend + 2.0 * p2 * x + 6.0 * p1 * y
        error = _distort_perspective(slopes, distortion) - distorted
        determinant = xx * yy - xy * xy
        safe = jnp.where(jnp.abs(determinant) > 1e-6, determinant, 1.0)
        step_x = (yy * error[..., 0] - xy * error[..., 1]) / safe
        step_y = (xx * error[..., 1] - xy * error[..., 0]) / safe
        better = slopes - jnp.stack([step_x, step_y], axis=-1)
        good = (jnp.abs(determinant) > 1e-6)[..., None] & (jnp.abs(better) < _MAX_SLOPE)
        return jnp.where(good, better, slopes)

    found: jax.Array = jax.lax.fori_loop(0, _NEWTON_STEPS, newton_step, distorted)
    return found


def _undistort_fisheye(distorted: jax.Array, distortion: jax.Array) -> jax.Array:
    """Solves the fisheye model for slopes `[..., 2]` by Newton's method for the ray's angle."""
    radius = jnp.linalg.norm(distorted, axis=-1, keepdims=True)

    def newton_step(_: int, angle: jax.Array) -> jax.Array:
        squared = jnp.square(angle)
        scale = _radial(squared, distortion)
        slope = scale + 2.0 * squared * _radial_derivative(squared, distortion)
        safe = jnp.where(jnp.abs(slope) > 1e-6, slope, 1.0)
        return jnp.clip(angle - (angle * scale - radius) / safe, 0.0, _MAX_ANGLE)

    start = jnp.minimum(radius, _MAX_ANGLE)
    angle = jax.lax.fori_loop(0, _NEWTON_STEPS, newton_step, start)
    return distorted * jnp.where(radius > 1e-8, jnp.tan(angle) / jnp.maximum(radius, 1e-8), 1.0)
