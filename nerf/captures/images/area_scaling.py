"""Scaling images down by area, a strip of rows at a time."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt


def shrink(pixels: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Scales an image down by area: each new pixel is the mean of the area that it covers.

    Args:
      pixels: `[rows, columns, channels]`; with 4 channels, colours are weighted by alpha.
      height, width: of the result, in pixels, at most those of `pixels`.

    >>> row = np.array([0.0, 3.0, 6.0], np.float32).reshape(1, 3, 1)
    >>> shrink(row, 1, 2)[0, :, 0].tolist()  # of a pixel and a half each
    [1.0, 5.0]
    """
    return shrink_strips([pixels], len(pixels), height, width)


def shrink_strips(
    strips: Iterable[npt.NDArray[np.float32]], num_rows: int, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Scales an image down that is given in strips; the result does not depend on their number.

    Args:
      strips: each `[rows, columns, channels]`, from the top; see `shrink`.
      num_rows: of all strips together.
      height, width: of the result, in pixels.

    Returns:
      `[height, width, channels]`.
    """
    rows = _row_means(map(_weighted, strips), num_rows, height)
    small = np.concatenate([_column_means(some, width) for some in rows])
    if small.shape[-1] == 4:
        alpha = small[..., 3:]
        rgb = np.where(alpha > 0, small[..., :3] / np.where(alpha > 0, alpha, 1.0), 0.0)
        small = np.concatenate([rgb, alpha], axis=-1)
    return small.astype(np.float32)


def _weighted(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Pixels whose colours are multiplied by alpha, where they have alpha."""
    if pixels.shape[-1] != 4:
        return pixels
    return np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], axis=-1)


def _row_means(
    strips: Iterable[npt.NDArray[np.float32]], num_rows: int, number: int
) -> Iterator[npt.NDArray[np.float64]]:
    """Means over `number` equal intervals of the rows; each strip gives those that end in it.

    An interval may end within a row. The sum of all rows above is carried from strip to strip, so
    the order of the additions is that of one strip.
    """
    left, within = _edges(num_rows, number)
    top, carried, above = 0, None, None
    for strip in strips:
        first = np.zeros((1, *strip.shape[1:])) if carried is None else carried
        total = np.cumsum(np.concatenate([first, strip]), axis=0, dtype=np.float64)
        bottom = top + len(strip)
        chosen = slice(*np.searchsorted(left, [top, bottom]))
        index, part = left[chosen] - top, within[chosen, None, None]
        sums = total[index] + part * (total[index + 1] - total[index])
        if above is not None:
            sums = np.concatenate([above, sums])
        if len(sums) > 1:
            yield (sums[1:] - sums[:-1]) * (number / num_rows)
        top, carried, above = bottom, total[-1:], sums[-1:]


def _column_means(values: npt.NDArray[np.float64], number: int) -> npt.NDArray[np.float64]:
    """Means over `number` equal intervals of the columns; an interval may end within a column."""
    num_columns = values.shape[1]
    left, within = _edges(num_columns, number)
    start = np.zeros((len(values), 1, *values.shape[2:]))
    total = np.concatenate([start, np.cumsum(values, axis=1)], axis=1)
    sums = total[:, left] + within[:, None] * (total[:, left + 1] - total[:, left])
    return np.asarray((sums[:, 1:] - sums[:, :-1]) * (number / num_columns))


def _edges(length: int, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The edges of `number` equal intervals: the pixel of each, and its position in that pixel."""
    edges = np.linspace(0, length, number + 1)
    left = np.minimum(edges.astype(np.int64), length - 1)
    return left, edges - left
