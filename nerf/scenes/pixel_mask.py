"""Which pixels of a scene are used: runs of neighbouring pixels in the array of all pixels.

Masks are made of few large areas, so a row of a view has few runs, and neighbouring rows without
masked pixels are one: runs take far less memory than a number for each pixel.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class PixelMask:
    """The pixels that are trained on and scored.

    Attributes:
      starts: `[num_runs]`, indices of the first pixels of the runs, ascending.
      ends: `[num_runs]`, one after the last pixel of each run.

    >>> mask = PixelMask.of(
    ...     [np.array([[True, False], [True, True]]), np.array([[True]])]
    ... )
    >>> mask.starts.tolist(), mask.ends.tolist(), mask.count
    ([0, 2, 4], [1, 4, 5], 4)
    """

    starts: Indices
    ends: Indices

    @classmethod
    def of(cls, masks: Iterable[Mask]) -> "PixelMask":
        """Makes it from one mask `[height, width]` a view, True for pixels that are used."""
        starts, ends, offset = [], [], 0
        for mask in masks:
            padded = np.concatenate([[False], mask.ravel(), [False]])
            changes = np.flatnonzero(padded[1:] != padded[:-1]) + offset
            starts.append(changes[::2])
            ends.append(changes[1::2])
            offset += mask.size
        if not starts:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))
        return cls(*(np.concatenate(x).astype(np.int64) for x in (starts, ends)))

    @property
    def count(self) -> int:
        """The number of used pixels."""
        return int(np.sum(self.ends - self.starts))

    def within(self, start: int, end: int) -> "PixelMask":
        """The part in the pixels from `start` to before `end`, e.g. those of one view."""
        first = np.searchsorted(self.ends, start, side="right")
        last = np.searchsorted(self.starts, end, side="left")
        starts, ends = self.starts[first:last], self.ends[first:last]
        return PixelMask(np.maximum(starts, start), np.minimum(ends, end))

    def to_array(self, start: int, end: int) -> Mask:
        """`[end - start]`, which of the pixels from `start` to before `end` are used."""
        part = self.within(start, end)
        changes = np.zeros(end - start + 1, np.int8)
        changes[part.starts - start] += 1
        changes[part.ends - start] -= 1
        return np.asarray(np.cumsum(changes[:-1], dtype=np.int8) > 0)
