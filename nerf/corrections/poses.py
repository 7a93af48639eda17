"""Poses that are a little wrong: a small rotation and translation of each training view.

A motion (w, u) of a view turns its camera about its own position by the rotation vector w, and
moves it by u; both are along the axes of the scene:

    R -> exp([w]x) R,   p -> p + u

What is learnt are tangents (a, b), along the axes of the camera, R; their rotation is about a point
in front of it:

    w = 0.3 R a,   u = d (R b + w x back),   d a middle depth of the scene

A camera that turns about itself, and one that moves sideways, change an image nearly alike: both
together are found slowly. About the point in front, b moves the image by about b radians, and a
turn changes little but perspective. Pixels say little of it, and it would wander from step to step:
so it is learnt more slowly.

Turning, moving or scaling the whole scene and all of its cameras changes no image. Motions that do
so, to first order, are taken out, so that a scene stays where it is.

Source: the rotation, Rodrigues' formula; poses that are trained beside a field, Lin et al. 2021
(BARF); parameters that change images independently, Park et al. 2023 (CamP).
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp

from nerf.geometry.cameras import Cameras

_SMALL = 1e-3  # square of an angle, below which a series is exact to float32
_NEAREST = 0.3  # scene units: bounds may begin at a camera, and what it sees does not
_TURN = 0.3  # see above
_NUM_GAUGES = 7  # of a similarity: rotation, translation, scale
_INDEPENDENT = 1e-3  # of the length of a vector, what must be left of it without the others


def rotation_of(vectors: jax.Array) -> jax.Array:
    """The rotation matrices of rotation vectors; the identity, bit for bit, at zero.

        exp([w]x) = 1 + sin|w| / |w| [w]x + (1 - cos|w|) / |w|^2 [w]x^2

    Values and gradients are finite everywhere.

    Args:
      vectors: `[..., 3]`, an axis times an angle in radians.

    Returns:
      `[..., 3, 3]`.

    Source: Rodrigues' formula.

    >>> quarter = rotation_of(jnp.array([0.0, 0.0, 0.5 * jnp.pi]))
    >>> (abs(quarter @ jnp.array([1.0, 0.0, 0.0])).round(3)).tolist()
    [0.0, 1.0, 0.0]
    """
    chex.assert_axis_dimension(vectors, -1, 3)
    squared = jnp.sum(jnp.square(vectors), axis=-1)[..., None, None]
    is_small = squared < _SMALL
    safe = jnp.where(is_small, 1.0, squared)
    angle = jnp.sqrt(safe)
    first = jnp.where(is_small, 1.0 - squared / 6.0 + squared**2 / 120.0, jnp.sin(angle) / angle)
    second = jnp.where(
        is_small,
        0.5 - squared / 24.0 + squared**2 / 720.0,
        2.0 * jnp.square(jnp.sin(0.5 * angle)) / safe,
    )
    x, y, z = jnp.moveaxis(vectors, -1, 0)
    zero = jnp.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    cross = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
    one = jnp.broadcast_to(jnp.eye(3, dtype=vectors.dtype), cross.shape)
    return one + first * cross + second * _matrix_product(cross, cross)


def apply_motions(camtoworlds: jax.Array, motions: jax.Array) -> jax.Array:
    """Poses after small motions; the same poses, bit for bit, where the motions are zero.

    Args:
      camtoworlds: `[..., 3, 4]`, scene units.
      motions: `[..., 6]`, a rotation vector in radians, and a translation in scene units.

    Returns:
      `[..., 3, 4]`.

    >>> turned = apply_motions(
    ...     jnp.eye(3, 4), jnp.array([0.0, 0.0, 0.5 * jnp.pi, 1.0, 0.0, 0.0])
    ... )
    >>> abs(turned).round(3).tolist()
    [[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    chex.assert_shape(camtoworlds, (*motions.shape[:-1], 3, 4))
    chex.assert_axis_dimension(motions, -1, 6)
    rotations = _matrix_product(rotation_of(motions[..., :3]), camtoworlds[..., :3])
    positions = camtoworlds[..., 3] + motions[..., 3:]
    return jnp.concatenate([rotations, positions[..., None]], axis=-1)


def corrected_cameras(cameras: Cameras, tangents: jax.Array) -> Cameras:
    """Cameras `[num_views]` after their corrections.

    Args:
      cameras: of the training views.
      tangents: `[num_views, 6]`, see `motions_of`; what `without_gauge` takes out has no effect.
    """
    chex.assert_shape(tangents, (*cameras.focal.shape, 6))
    camtoworlds = jnp.asarray(cameras.camtoworlds)
    motions = motions_of(tangents, camtoworlds, middle_depth(cameras))
    motions = without_gauge(motions, camtoworlds)
    return dataclasses.replace(cameras, camtoworlds=apply_motions(camtoworlds, motions))


def motions_of(tangents: jax.Array, camtoworlds: jax.Array, depth: jax.Array) -> jax.Array:
    """The motions `[num, 6]` of cameras that tangents of them mean, see `apply_motions`.

    Args:
      tangents: `[num, 6]`.
      camtoworlds: `[num, 3, 4]`, before the motion.
      depth: `[]`, `middle_depth` of all cameras.
    """
    axes = camtoworlds[..., :3]
    vectors, shifts = (
        jnp.sum(axes * each[:, None, :], axis=-1) for each in (tangents[:, :3], tangents[:, 3:])
    )
    vectors = _TURN * vectors
    along = depth * (shifts + jnp.cross(vectors, axes[..., 2]))
    return jnp.concatenate([vectors, along], axis=-1)


def middle_depth(cameras: Cameras) -> jax.Array:
    """A depth of what the cameras see, in scene units: even in disparity between their bounds."""
    inverse = jnp.mean(1.0 / jnp.maximum(jnp.asarray(cameras.bounds), _NEAREST), axis=-1)
    return 1.0 / jnp.mean(inverse)


def without_gauge(motions: jax.Array, camtoworlds: jax.Array) -> jax.Array:
    """The part of motions that changes images: without motions of the scene as a whole.

    Args:
      motions: `[num_views, 6]`, see `apply_motions`.
      camtoworlds: `[num_views, 3, 4]`, before the correction.

    Returns:
      `[num_views, 6]`, orthogonal to every similarity transform of all cameras, to first order.
    """
    for direction in _gauge(camtoworlds):
        motions = motions - jnp.sum(motions * direction) * direction
    return motions


def _gauge(camtoworlds: jax.Array) -> list[jax.Array]:
    """The motions `[num_views, 6]` of all cameras when the scene is moved, turned and scaled.

    They are orthonormal; a motion that depends linearly on the others is zero: cameras at one
    place do not see a scale, for example.
    """
    positions = camtoworlds[..., 3]
    positions = positions - jnp.mean(positions, axis=0, keepdims=True)
    axes = jnp.broadcast_to(jnp.eye(3)[:, None], (3, *positions.shape))
    zero = jnp.zeros_like(positions)
    motions = [jnp.concatenate([zero, axis], axis=-1) for axis in axes]
    motions += [jnp.concatenate([axis, jnp.cross(axis, positions)], axis=-1) for axis in axes]
    motions += [jnp.concatenate([zero, positions], axis=-1)]
    found: list[jax.Array] = []
    for motion in motions:
        left = motion
        for _ in range(2):  # the second time for what rounding has left
            for other in found:
                left = left - jnp.sum(left * other) * other
        squared, before = jnp.sum(jnp.square(left)), jnp.sum(jnp.square(motion))
        is_new = squared > _INDEPENDENT**2 * jnp.maximum(before, 1e-12)
        found.append(jnp.where(is_new, left * jax.lax.rsqrt(jnp.where(is_new, squared, 1.0)), 0.0))
    chex.assert_equal(len(found), _NUM_GAUGES)
    return found


def _matrix_product(left: jax.Array, right: jax.Array) -> jax.Array:
    """Products of `[..., 3, 3]` matrices in float32, whatever the precision of matrix products."""
    return jnp.sum(left[..., :, :, None] * right[..., None, :, :], axis=-2)
