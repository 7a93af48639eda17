"""What corrections of the training views change in a batch: its rays, and gains of its colours."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nerf.config.settings import RenderConfig
from nerf.corrections.corrections import Corrections, pixel_gains
from nerf.corrections.poses import apply_motions, corrected_cameras, middle_depth, motions_of
from nerf.geometry.cameras import Cameras, pixel_cameras
from nerf.geometry.rays import Rays
from nerf.geometry.spaces import Space
from nerf.training.batch import Batch, PixelBatch, rays_at, rays_through


class Corrected(NamedTuple):
    """The parts of a batch that depend on the corrections of its views; None for parts that do not.

    Attributes:
      log_gains, rays: see `Batch`.
    """

    log_gains: jax.Array | None = None
    rays: Rays | None = None


def corrected_parts(
    pixels: PixelBatch,
    cameras: Cameras,
    corrections: Corrections,
    *,
    space: Space,
    config: RenderConfig,
) -> Corrected:
    """The corrected parts of the batch of some pixels, a differentiable function of corrections.

    Args:
      pixels, cameras, space, config: see `make_batch`.
      corrections: of the training views.
    """
    rays = None
    if corrections.pose_tangents is not None:
        corrected = corrected_cameras(cameras, corrections.pose_tangents)
        rays = rays_through(pixels, corrected, space, config)
    return Corrected(pixel_gains(corrections, pixels.view), rays)


def placed_cameras(cameras: Cameras, corrections: Corrections | None) -> Cameras:
    """The cameras `[num_views]` where their corrections put them, without a gradient."""
    if corrections is None or corrections.pose_tangents is None:
        return cameras
    return corrected_cameras(cameras, jax.lax.stop_gradient(corrections.pose_tangents))


def moved_rays(
    pixels: PixelBatch,
    cameras: Cameras,
    placed: Cameras,
    tangents: jax.Array,
    *,
    space: Space,
    config: RenderConfig,
) -> Rays:
    """The rays through pixels when the camera of each is moved by other tangents.

    Args:
      pixels, space, config: see `make_batch`.
      cameras: `[num_views]`, before their corrections.
      placed: the same after these, from which the cameras are moved.
      tangents: `[num_rays, 6]`, see `nerf.corrections.poses.motions_of`.
    """
    at_pixels = pixel_cameras(placed, pixels.view)
    camtoworlds = jnp.asarray(at_pixels.camtoworlds)
    motions = motions_of(tangents, camtoworlds, middle_depth(cameras))
    at_pixels = dataclasses.replace(at_pixels, camtoworlds=apply_motions(camtoworlds, motions))
    return rays_at(at_pixels, pixels, space, config)


def with_corrected(batch: Batch, parts: Corrected) -> Batch:
    """The batch with its corrected parts in place."""
    rays = batch.rays if parts.rays is None else parts.rays
    return batch._replace(log_gains=parts.log_gains, rays=rays)
