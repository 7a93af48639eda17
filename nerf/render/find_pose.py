"""The pose at which a fixed field best matches an image: least squares, from a given pose.

Every ray's colour depends on the six numbers of a pose. Their squared error over a choice of
pixels is minimised by damped Gauss-Newton steps: the Jacobian is that of the colours with respect
to the rays, by the field's own gradient, times that of the rays with respect to the pose.

Source: the damping, Marquardt 1963; poses of images in a radiance field, Yen-Chen et al. 2021
(iNeRF), which follows the gradient alone.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.config.settings import RenderConfig
from nerf.corrections import exposure
from nerf.corrections.poses import apply_motions
from nerf.field import Params, RadianceField
from nerf.geometry.cameras import Cameras
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space
from nerf.render.rays import render_rays

_EVALUATIONS = 2**16  # of the field in a step, from which the number of pixels follows
_MIN_PIXELS, _MAX_PIXELS = 256, 2048
_MAX_TRIES = 100  # from poses that are wrong by several pixels, a few dozen are usual
_DAMPING, _LESS, _MORE = 1e-2, 0.2, 10.0
_SMALL_STEP = 1e-5  # radians and scene units
_SMALL_GAIN = 1e-3  # share of the loss


class PosePixels(NamedTuple):
    """Pixels of one image.

    Attributes:
      columns, rows: `[num_pixels]` int32.
      rgb: `[num_pixels, 3]`, sRGB in [0, 1].
      log_gains: `[3]`, of the image's camera, see `nerf.corrections.exposure`.
    """

    columns: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]
    rgb: npt.NDArray[np.float32]
    log_gains: npt.NDArray[np.float32]


class _Equations(NamedTuple):
    """The normal equations of a step.

    Attributes:
      loss: `[]`, the mean squared error.
      hessian: `[6, 6]`, half of it, by the Jacobian.
      slope: `[6]`, half of the gradient.
    """

    loss: jax.Array
    hessian: jax.Array
    slope: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class PoseFinder:
    """Finds poses in one field.

    Attributes:
      field, params, config, space: the field, see `nerf.render.rays.render_rays`.
    """

    field: RadianceField
    params: Params
    config: RenderConfig
    space: Space

    def choose_pixels(
        self,
        image: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_] | None,
        log_gains: npt.NDArray[np.float32] | None = None,
    ) -> PosePixels:
        """The pixels of an image that are compared: always the same.

        Args:
          image: `[height, width, 3]`, sRGB in [0, 1].
          mask: `[height, width]`, the pixels that count, at least one; None for all.
          log_gains: `[3]`, of the image's camera; None for none.
        """
        height, width, _ = image.shape
        index = np.arange(height * width) if mask is None else np.flatnonzero(mask)
        num = _EVALUATIONS // self.config.evaluations_per_ray
        num = min(max(num, _MIN_PIXELS), _MAX_PIXELS)
        # With repetitions, so that their number is the same for all images.
        chosen = np.random.default_rng(0).choice(index, num, replace=len(index) < num)
        rows, columns = np.divmod(chosen.astype(np.int32), np.int32(width))
        gains = np.zeros(3, np.float32) if log_gains is None else log_gains
        return PosePixels(columns, rows, image[rows, columns], gains)

    def find(self, camera: Cameras, pixels: PosePixels) -> npt.NDArray[np.float32]:
        """The pose that explains pixels best, near that of a camera.

        Args:
          camera: one camera.
          pixels: from `choose_pixels`.

        Returns:
          `[3, 4]`; the camera's own where no other is better.
        """
        plain = camera if camera.lens is None else dataclasses.replace(camera, height=0, width=0)
        best = np.zeros(6, np.float32)
        here = self._equations(plain, best, pixels)
        damping = _DAMPING
        for _ in range(_MAX_TRIES):
            step = _damped_step(here, damping)
            there = self._equations(plain, best + step, pixels)
            gain = 1.0 - float(there.loss) / max(float(here.loss), 1e-30)
            if gain > 0.0:
                best, here, damping = best + step, there, damping * _LESS
            else:
                damping *= _MORE
            if 0.0 < gain < _SMALL_GAIN or np.abs(step).max() < _SMALL_STEP:
                break
        found = apply_motions(jnp.asarray(camera.camtoworlds), jnp.asarray(best))
        return np.asarray(found, np.float32)

    def _equations(
        self, camera: Cameras, tangent: npt.NDArray[np.float32], pixels: PosePixels
    ) -> _Equations:
        found: _Equations = jax.device_get(
            self._compiled(self.params, camera, jnp.asarray(tangent), pixels)
        )
        return found

    @functools.cached_property
    def _compiled(self) -> Any:
        return jax.jit(functools.partial(_equations, self.field, self.config, self.space))


def _equations(
    field: RadianceField,
    config: RenderConfig,
    space: Space,
    params: Params,
    camera: Cameras,
    tangent: jax.Array,
    pixels: PosePixels,
) -> _Equations:
    """The normal equations at a tangent, see `nerf.corrections.poses.apply_motions`."""

    def rays_of(tangent: jax.Array) -> Rays:
        placed = dataclasses.replace(
            camera, camtoworlds=apply_motions(jnp.asarray(camera.camtoworlds), tangent)
        )
        return scene_rays(
            jnp.asarray(pixels.columns),
            jnp.asarray(pixels.rows),
            placed.broadcast_to(pixels.columns.shape),
            space,
            viewdir_space=config.viewdir_space,
            pixel_offset=config.pixel_offset,
        )

    def colours_of(rays: Rays) -> jax.Array:
        rgb = render_rays(field, params, rays, config).fine.rgb
        return exposure.with_gains(rgb, jnp.broadcast_to(pixels.log_gains, rgb.shape))

    rays, of_tangent = rays_of(tangent), jax.jacfwd(rays_of)(tangent)
    rgb, pull_back = jax.vjp(colours_of, rays)
    error = exposure.clipped_error(rgb, jnp.asarray(pixels.rgb))
    counts = (error != 0.0).astype(jnp.float32)  # a clipped pixel has no slope
    rows = []
    for channel in range(3):
        (of_rays,) = pull_back(jnp.zeros_like(rgb).at[:, channel].set(1.0))
        parts = jax.tree.map(_chain_rule, of_rays, of_tangent)
        rows.append(sum(jax.tree.leaves(parts)) * counts[:, channel, None])
    jacobian = jnp.concatenate(rows)
    num = error.size
    residual = jnp.moveaxis(error, -1, 0).reshape(-1)
    return _Equations(
        jnp.sum(jnp.square(residual)) / num,
        jnp.sum(jacobian[:, :, None] * jacobian[:, None, :], axis=0) / num,
        jnp.sum(jacobian * residual[:, None], axis=0) / num,
    )


def _chain_rule(of_ray: jax.Array, of_tangent: jax.Array) -> jax.Array:
    """`[num_rays, 6]` from gradients `[num_rays, ...]` and Jacobians `[num_rays, ..., 6]`."""
    product = of_ray[..., None] * of_tangent
    return jnp.sum(product.reshape(len(product), -1, 6), axis=1)


def _damped_step(equations: _Equations, damping: float) -> npt.NDArray[np.float32]:
    hessian = np.asarray(equations.hessian, np.float64)
    diagonal = np.diag(hessian)
    floor = 1e-9 * max(float(diagonal.max()), 1e-30)
    damped = hessian + np.diag(damping * diagonal + floor)
    return -np.linalg.solve(damped, np.asarray(equations.slope, np.float64)).astype(np.float32)
