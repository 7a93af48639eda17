"""The number of images of each size, in words."""

from collections import Counter

import numpy as np
import numpy.typing as npt

from nerf.errors import listed


def size_counts(sizes: npt.NDArray[np.integer]) -> dict[str, int]:
    """The number of images of each size, the most common size first.

    Args:
      sizes: `[num_images, 2]`, width and height in pixels.

    >>> size_counts(np.array([[64, 48], [48, 64], [48, 64]]))
    {'48x64': 2, '64x48': 1}
    """
    return dict(Counter(f"{width}x{height}" for width, height in sizes.tolist()).most_common())


def sizes_in_words(sizes: npt.NDArray[np.integer]) -> str:
    """The size of all images, or the number of each size; see `size_counts`.

    >>> sizes_in_words(np.array([[64, 48]]))
    '64x48'
    >>> sizes_in_words(np.array([[64, 48], [48, 64], [48, 64]]))
    '2 of 48x64, 1 of 64x48'
    """
    counts = size_counts(sizes)
    if len(counts) == 1:
        return next(iter(counts))
    return listed(f"{number} of {size}" for size, number in counts.items())
