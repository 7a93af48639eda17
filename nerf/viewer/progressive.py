"""Sizes of an image, coarse at first and then finer, chosen by the rate of rays drawn so far."""

import dataclasses

MOVING_SECONDS = 0.085  # for the first image: a little less than a tenth of a second
MIN_PIXELS = 32 * 24  # fewer show nothing
COARSEST_PIXELS = round(1.1 * MIN_PIXELS)  # at most: what is not made coarser
_GROWTH = 4.0  # times as many pixels from one size to the next
_SMOOTHING = 0.3  # the weight of the newest measurement
_SUDDEN = 0.6  # times as fast as before: what is slower than that counts at once
_SHORTEST = 1e-4  # seconds


def sizes(
    width: int, height: int, rays_per_second: float, max_pixels: int | None = None
) -> list[tuple[int, int]]:
    """Heights and widths of the images that are drawn for a camera that stands still.

    Args:
      width, height: of the window in pixels.
      rays_per_second: as measured.
      max_pixels: pixels of the largest image; None for no limit.

    Returns:
      At least one; each has more pixels than the one before, and the last is as large as the
      window, or has about `max_pixels` pixels.

    >>> sizes(1280, 800, 150_000)
    [(89, 143), (179, 286), (357, 571), (800, 1280)]
    >>> sizes(640, 480, 1e8)
    [(480, 640)]
    """
    whole = width * height if max_pixels is None else min(width * height, max_pixels)
    pixels = min(max(MOVING_SECONDS * rays_per_second, MIN_PIXELS), whole)
    counts = []
    while pixels * 0.5 * _GROWTH < whole:
        counts.append(pixels)
        pixels *= _GROWTH
    return [_scaled(width, height, count) for count in [*counts, whole]]


def _scaled(width: int, height: int, pixels: float) -> tuple[int, int]:
    scale = (pixels / (width * height)) ** 0.5
    return max(1, round(height * scale)), max(1, round(width * scale))


@dataclasses.dataclass
class Speed:
    """How many rays are drawn in a second; the mean of the last measurements.

    A measurement that is much slower replaces the mean, so that the next image is coarse enough to
    be there at once.

    Attributes:
      rays_per_second: at the beginning a guess, which the second measurement replaces; the first
        includes compilation and counts for nothing.
    """

    rays_per_second: float = 20_000.0
    _num_measured: int = 0

    def add_measurement(self, num_rays: int, seconds: float) -> None:
        """Takes a measurement."""
        rate = num_rays / max(seconds, _SHORTEST)
        weight = (0.0, 1.0)[self._num_measured] if self._num_measured < 2 else _SMOOTHING
        if self._num_measured >= 2 and rate < _SUDDEN * self.rays_per_second:
            weight = 1.0
        self.rays_per_second += weight * (rate - self.rays_per_second)
        self._num_measured += 1
