"""Poses with a known fault: every camera is turned and moved a little, in random directions.

    python -m tools.corrections poses --scene=flower,table --steps=2000

Lengths are told as a share of the diagonal of the visible surface: the box around the points that
the pixels of all views show, without the farthest and nearest hundredth along each axis.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

import nerf
from nerf.geometry.cameras import pinhole_rays

_EVERY = 7  # pixels, of rows and columns, that a surface is measured by
_OUTSIDE = 1.0  # percent


def surface_diagonal(scene: nerf.Scene) -> float:
    """The diagonal of the visible surface of a bundled scene, in scene units."""
    assert scene.depth is not None
    points = []
    for index in range(scene.num_views):
        camera = scene.cameras[index]
        rows, columns = np.mgrid[0 : camera.height : _EVERY, 0 : camera.width : _EVERY]
        cameras = camera.broadcast_to(rows.shape)
        origins, directions = pinhole_rays(jnp.asarray(columns), jnp.asarray(rows), cameras)
        depth = scene.depth[index][rows, columns]
        found = np.asarray(origins) + depth[..., None] * np.asarray(directions)
        points.append(found[np.isfinite(depth)])
    low, high = np.percentile(np.concatenate(points), [_OUTSIDE, 100.0 - _OUTSIDE], axis=0)
    return float(np.linalg.norm(high - low))


def with_pose_noise(
    scene: nerf.Scene, *, degrees: float = 0.5, share: float = 0.01, seed: int = 0
) -> nerf.Scene:
    """A scene with wrong poses of all views.

    Args:
      scene: with exact poses and depth.
      degrees: by which each camera is turned, about a random axis.
      share: of the diagonal of the visible surface, by which each is moved in a random direction.
      seed: of the axes and the directions.
    """
    rng = np.random.default_rng(seed)
    axes, directions = (_unit_vectors(rng, scene.num_views) for _ in range(2))
    turned = Rotation.from_rotvec(np.radians(degrees) * axes).as_matrix()
    poses = np.array(scene.cameras.camtoworlds, np.float64)
    poses[..., :3] = turned @ poses[..., :3]
    poses[..., 3] += share * surface_diagonal(scene) * directions
    cameras = dataclasses.replace(scene.cameras, camtoworlds=poses.astype(np.float32))
    return dataclasses.replace(scene, cameras=cameras)


def _unit_vectors(rng: np.random.Generator, num: int) -> npt.NDArray[np.float64]:
    vectors = rng.normal(size=(num, 3))
    unit: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
