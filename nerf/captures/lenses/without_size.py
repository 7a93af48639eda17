"""A lens that is given once, without the size of the images, for images that differ in size."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nerf.captures.images.size_counts import sizes_in_words
from nerf.captures.json_files.lens import FrameLens
from nerf.errors import UserError

_PIXELS = 1000.0  # of the height of an image to which shapes are scaled
_MAX_DIFFERENCE = 0.02  # of sizes that one lens can mean: undistorting cuts off a few pixels


def check_shared_lenses(
    where: str, lenses: Sequence[FrameLens], sizes: Sequence[tuple[int, int]]
) -> None:
    """Raises a UserError where one lens would have to fit images of two sizes.

    A focal length in pixels alone holds for landscape and portrait, and an angle of view alone for
    each size of one shape; everything else holds for one size.

    Args:
      where: the file, for the message.
      lenses: `[num_views]`.
      sizes: `[num_views]`, width and height of the images.
    """
    sizes_of: dict[str, list[tuple[int, int]]] = defaultdict(list)
    kind_of: dict[str, FrameLens] = {}
    for lens, size in zip(lenses, sizes, strict=True):
        if min(lens.size) > 0 or lens.model == "panorama":
            continue
        key = repr((lens.model, lens.focal, lens.angles, lens.centre, lens.distortion))
        sizes_of[key].append(size)
        kind_of[key] = lens
    for key, group in sizes_of.items():
        lens, rows = kind_of[key], np.array(group, np.float64)
        if np.isnan(lens.centre).all():
            is_angle = np.isnan(lens.focal).all()
            rows = _PIXELS * rows / rows[:, 1:] if is_angle else np.sort(rows, axis=1)
        if (np.ptp(rows, axis=0) > _MAX_DIFFERENCE * rows.max(axis=0) + 2).any():
            raise UserError(
                f"{where} has one lens without w and h, and the images are "
                f"{sizes_in_words(np.array(group))}: give w and h, and each image its own lens, "
                "in a transforms.json"
            )
