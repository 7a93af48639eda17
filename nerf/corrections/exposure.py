"""Exposure and white balance: a gain for each channel of a view, in linear light.

A camera multiplies the light of each channel by a gain (exposure and white balance), clips it at
the brightest level, and stores it in sRGB. A field has the colours of the mean camera; a view's
gains turn them into those of its own image. A gain k is nearly affine in sRGB:

    a (c + 0.055) - 0.055   with a = k^(1 / 2.4),   where c and the result are above 0.04
    k c                     where both are below

Source: the curve, IEC 61966-2-1 (sRGB).
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_OFFSET, _EXPONENT = 0.055, 2.4
_SLOPE = 12.92  # of the curve's linear part
_TOE = 0.04045  # sRGB, where the linear part ends
_CLIPPED = 1.0001  # what is above 1 by more than rounding
_MAX_LOG_GAIN = 2.5  # of a held-out view: 3.6 stops
_GRID, _ROUNDS = 21, 4  # each round looks at a tenth of the range of the one before


def with_gains(rgb: jax.Array, log_gains: jax.Array) -> jax.Array:
    """Colours as a camera with other gains would store them, without clipping.

    Without a gain, values and gradients are those of `rgb`, bit for bit.

    Args:
      rgb: `[..., 3]`, sRGB, >= 0.
      log_gains: `[..., 3]`, natural logarithms of the gains, in linear light.

    Returns:
      `[..., 3]`, sRGB, >= 0; more than 1 where a camera would clip.

    >>> grey = jnp.full((1, 3), 0.5)
    >>> with_gains(grey, jnp.log(jnp.array([[0.5, 1.0, 2.0]]))).round(3).tolist()
    [[0.361, 0.5, 0.686]]
    """
    chex.assert_equal_shape([rgb, log_gains])
    gain, scale = jnp.exp(log_gains), jnp.exp(log_gains / _EXPONENT)
    curved = scale * rgb + _OFFSET * (scale - 1.0)
    linear = gain * rgb
    is_toe = rgb <= _TOE
    # The two cases where the end of the linear part is between colour and result; elsewhere, they
    # are given values at which their gradients are finite.
    rises, falls = is_toe & (linear > _TOE), ~is_toe & (curved <= _TOE)
    light = jnp.where(rises, linear, 1.0) / _SLOPE
    risen = (1.0 + _OFFSET) * light ** (1.0 / _EXPONENT) - _OFFSET
    root = (jnp.where(falls, rgb, 1.0) + _OFFSET) / (1.0 + _OFFSET)
    fallen = _SLOPE * gain * root**_EXPONENT
    return jnp.where(is_toe, jnp.where(rises, risen, linear), jnp.where(falls, fallen, curved))


def with_gains_over(
    rgb: jax.Array, acc: jax.Array, log_gains: jax.Array, background: float | jax.Array
) -> jax.Array:
    """`with_gains` of an object on a background that no camera saw, which has no gain.

    The linear part of the curve, in which only black objects are, is left out.

    Args:
      rgb: `[..., 3]`, the object's colours over the background.
      acc: `[...]`, its opacity.
      log_gains: see `with_gains`.
      background: the background, 0 or 1 in all channels.
    """
    scale = jnp.exp(log_gains / _EXPONENT)
    opacity = acc[..., None]
    shift = _OFFSET * (scale - 1.0) * opacity + background * (1.0 - scale) * (1.0 - opacity)
    return scale * rgb + shift


def clipped_error(rgb: jax.Array, pixels: jax.Array) -> jax.Array:
    """The error `[..., 3]` of colours that a camera would clip.

    A clipped pixel only shows that the colour is at least 1. A colour above 1 at any other pixel is
    wrong by more than a clipped one would be: so its gradient leads back.

    Args:
      rgb: `[..., 3]`, sRGB before clipping.
      pixels: `[..., 3]`, of the image, in [0, 1].
    """
    is_right = (pixels >= 1.0) & (rgb > _CLIPPED)
    return jnp.where(is_right, 0.0, rgb - pixels)


def centred(log_gains: jax.Array) -> jax.Array:
    """Gains `[num_views, 3]` whose mean logarithm over the views is 0, so that no cast remains."""
    chex.assert_shape(log_gains, (None, 3))
    return log_gains - jnp.mean(log_gains, axis=0, keepdims=True)


def fit_log_gains(
    rgb: Floats, pixels: Floats, acc: Floats | None = None, background: float = 0.0
) -> Floats:
    """The gains that bring colours closest to pixels, clipped as a camera clips.

    Args:
      rgb: `[num_pixels, 3]`, sRGB in [0, 1].
      pixels: `[num_pixels, 3]`, the same pixels in an image.
      acc, background: see `clipped`.

    Returns:
      `[3]`, natural logarithms; zeros without pixels.

    >>> rgb = np.linspace(0.1, 0.6, 30, dtype=np.float32).reshape(10, 3)
    >>> log_gains = np.log(np.array([0.7, 1.0, 1.5], np.float32))
    >>> found = fit_log_gains(rgb, clipped(rgb, log_gains))
    >>> bool(np.abs(found - log_gains).max() < 1e-3)
    True
    """
    chex.assert_equal_shape([rgb, pixels])
    best = np.zeros(3, np.float32)
    if len(rgb) == 0:
        return best
    reach = _MAX_LOG_GAIN
    for _ in range(_ROUNDS):
        steps = np.linspace(-reach, reach, _GRID, dtype=np.float32)
        candidates = best + np.concatenate([np.zeros(1, np.float32), steps])[:, None]
        errors = [
            np.mean(np.square(clipped(rgb, each, acc, background) - pixels), axis=0)
            for each in candidates
        ]
        best = np.take_along_axis(candidates, np.argmin(errors, axis=0)[None], axis=0)[0]
        reach *= 2.0 / (_GRID - 1)
    return best


def clipped(
    rgb: Floats, log_gains: Floats, acc: Floats | None = None, background: float = 0.0
) -> Floats:
    """Colours as a camera stores them.

    Args:
      rgb: `[..., 3]`, sRGB in [0, 1].
      log_gains: `[3]`, natural logarithms of its gains.
      acc: `[...]`, opacity, of an object on a background that the camera did not see; None where
        it saw all.
      background: that background, 0 or 1.

    Returns:
      `[..., 3]`, sRGB in [0, 1].
    """
    each = np.broadcast_to(log_gains, rgb.shape)
    if acc is None:
        return np.asarray(_jitted_gains(rgb, each))
    return np.asarray(_jitted_gains_over(rgb, acc, each, np.float32(background)))


@jax.jit
def _jitted_gains(rgb: jax.Array, log_gains: jax.Array) -> jax.Array:
    return jnp.minimum(with_gains(rgb, log_gains), 1.0)


@jax.jit
def _jitted_gains_over(
    rgb: jax.Array, acc: jax.Array, log_gains: jax.Array, background: jax.Array
) -> jax.Array:
    return jnp.clip(with_gains_over(rgb, acc, log_gains, background), 0.0, 1.0)
