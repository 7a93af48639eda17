"""The meaning of the alpha of images: a transparent background, pixels to leave out, or nothing.

    object   transparent pixels show that nothing is there
    mask     transparent pixels are neither trained on nor scored
    ignore   alpha is not used

`auto` takes alpha for an object's background only where nearly all views look like it: transparent
pixels along much of the border, and some farther inside. It is not where a few images have a
transparent corner, where things that move are cut out, or where all images have the same frame,
such as the black border that undistortion leaves.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.scenes.image_store import ImageStore

AlphaOption = Literal["auto", "object", "mask", "ignore"]
ALPHA_OPTIONS: tuple[AlphaOption, ...] = ("auto", "object", "mask", "ignore")
OPAQUE_FROM = 128  # levels of alpha from here on count as opaque
_MIN_OBJECT_VIEWS = 0.9  # of all views, the least that show an object
_MIN_TRANSPARENT = 0.05  # of the pixels of a view that shows an object
_MIN_BORDER = 0.25  # of the outermost pixels of such a view, transparent
_MIN_INSIDE = 0.1  # of the pixels on a rectangle farther inside
_INSET = 8  # that rectangle is an eighth of each side away from the border
_MAX_FRAME = 0.6  # of the pixels: a transparent frame, the same in all images, covers no more


class AlphaFacts(NamedTuple):
    """What the transparent pixels of a scene look like.

    Attributes:
      fraction: of all pixels that are transparent.
      num_views: views with any transparent pixel.
      shows_object: whether they look like the background of an object.
    """

    fraction: float
    num_views: int
    shows_object: bool


def alpha_facts(images: ImageStore) -> AlphaFacts:
    """Looks at the alpha of images, which have four channels."""
    num_transparent = num_pixels = num_views = num_objects = 0
    first: npt.NDArray[np.bool_] | None = None
    is_frame = len(images) > 1
    for index in range(len(images)):
        clear = images.bytes_of(index)[..., 3] < OPAQUE_FROM
        num_transparent += int(clear.sum())
        num_pixels += clear.size
        num_views += bool(clear.any())
        num_objects += shows_object(clear)
        first = clear if first is None else first
        is_frame = is_frame and np.array_equal(first, clear)
    fraction = num_transparent / max(num_pixels, 1)
    is_object = num_objects >= _MIN_OBJECT_VIEWS * len(images)
    return AlphaFacts(fraction, num_views, is_object and not (is_frame and fraction < _MAX_FRAME))


def shows_object(clear: npt.NDArray[np.bool_]) -> bool:
    """Whether one image looks like an object on a transparent background.

    Args:
      clear: `[height, width]`, which pixels are transparent.

    >>> clear = np.ones((32, 32), bool)
    >>> clear[10:28, 8:30] = False
    >>> shows_object(clear), shows_object(~clear)
    (True, False)
    """
    height, width = clear.shape
    rows, columns = height // _INSET, width // _INSET
    inside = clear[rows : height - rows, columns : width - columns]
    return bool(
        clear.mean() >= _MIN_TRANSPARENT
        and _rim(clear).mean() >= _MIN_BORDER
        and _rim(inside).mean() >= _MIN_INSIDE
    )


def _rim(clear: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The outermost pixels of an image."""
    return np.concatenate([clear[0], clear[-1], clear[1:-1, 0], clear[1:-1, -1]])
