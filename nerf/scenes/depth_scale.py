"""The scale of depth images: that of the poses, or one that is estimated where possible.

Depth from a sensor is in metres, and poses that a phone tracked are, too; COLMAP's poses have a
scale of their own, and so has depth that a network guessed from single images.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MIN_PAIRS = 50  # of depths, from which a scale is found
_ROUNDS = 20
_SAME = 0.03  # of a scale of 1, which is then kept
_MOST_SPREAD = 0.15  # of depths around the truth, after the alignment
_SCALES = np.exp2(np.arange(-40, 41) / 4.0)  # that are tried, and finer ones near the best
_FINER = np.exp2(np.arange(-12, 13) / 48.0)
_LEAST_SHARE = 0.02  # of pixels that have a partner in another view
_DISTINCT = 1.5  # the spread at twice and half the best scale, by that at the best
_BETTER = 0.7  # the spread with a shift, by that without, for which the shift is used


class Alignment(NamedTuple):
    """How depths become true ones: `scale depth + shift`; `spread` is the relative error left."""

    scale: float
    shift: float
    spread: float

    @property
    def is_needed(self) -> bool:
        """Whether it changes anything."""
        return abs(self.scale - 1.0) > _SAME or self.shift != 0.0

    @property
    def is_good(self) -> bool:
        """Whether depths are near the true ones after the correction."""
        return self.spread < _MOST_SPREAD and self.scale > 0


def align(depths: Floats, truth: Floats) -> Alignment | None:
    """The scale, and the shift where it helps much, from depths to true ones of the same pixels.

    Args:
      depths, truth: `[num_pairs]`, > 0; some may be wrong by far, since a point can be hidden.

    Returns:
      The alignment; None for fewer than `MIN_PAIRS`.

    >>> depths = np.linspace(1.0, 5.0, 200)
    >>> found = align(depths, 0.5 * depths)
    >>> found.scale, found.shift, round(found.spread, 6)
    (0.5, 0.0, 0.0)
    """
    if len(depths) < MIN_PAIRS:
        return None
    scale = float(np.exp(np.median(np.log(truth / depths))))
    plain = Alignment(scale, 0.0, _spread(scale * depths, truth))
    if plain.spread < 0.5 * _MOST_SPREAD:
        return plain
    a, b = scale, 0.0
    for _ in range(_ROUNDS):  # least squares of the relative error, with less weight on the worst
        relative = (a * depths + b) / truth - 1.0
        weight = 1.0 / (np.abs(relative) + 0.01)
        terms = np.stack([depths / truth, 1.0 / truth], axis=-1)
        normal = (terms * weight[:, None]).T @ terms
        if not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e12:
            return plain
        a, b = (float(x) for x in np.linalg.solve(normal, terms.T @ weight))
    shifted = Alignment(a, b, _spread(a * depths + b, truth))
    return shifted if shifted.spread < _BETTER * plain.spread else plain


def scale_by_views(
    compared: Callable[[float], tuple[Floats, Floats]], num_pixels: int
) -> Alignment | None:
    """The scale under which the depths of views agree with those of other views.

    Under a wrong scale, a pixel's point is where another view sees something else. Where all
    cameras are at nearly one place, that shows nothing.

    Args:
      compared: from a scale to the depths of points in other views, and the scaled depths that
        these views have there, `[num_pairs]` each.
      num_pixels: how many pixels could have a partner.

    Returns:
      The alignment; None where too few pixels have a partner, or no scale is better than others.
    """

    def spread(scale: float) -> float:
        theirs, own = compared(scale)
        enough = len(own) >= max(MIN_PAIRS, _LEAST_SHARE * num_pixels)
        return _spread(theirs, own) if enough else np.inf

    spreads = np.array([spread(float(scale)) for scale in _SCALES])
    if not np.isfinite(spreads).any():
        return None
    finer = float(_SCALES[np.argmin(spreads)]) * _FINER
    finer_spreads = np.array([spread(float(scale)) for scale in finer])
    best, least = float(finer[np.argmin(finer_spreads)]), float(finer_spreads.min())
    if least >= _MOST_SPREAD:  # they contradict each other
        return Alignment(best, 0.0, least)
    if min(spread(2.0 * best), spread(0.5 * best)) < _DISTINCT * least:
        return None
    if spread(1.0) < 1.1 * least:
        best, least = 1.0, spread(1.0)
    return Alignment(best, 0.0, least)


def _spread(depths: Floats, truth: Floats) -> float:
    """The median of the relative error, scaled to the standard deviation of a normal error."""
    return float(1.4826 * np.median(np.abs(depths / truth - 1.0)))
