"""Why images could not be placed, and what to do, by COLMAP's database."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerf.posing import process

_MIN_FEATURES = 100  # of an image; fewer cannot place it
_MIN_SHARE = 0.5  # of the images or pairs, for which something is taken as the reason
# The kinds of a pair in COLMAP's table `two_view_geometries`.
_GOOD = (2, 3, 4, 8)
_NO_PARALLAX = (5, 6)  # panoramic, or planar or panoramic


class Diagnosis(NamedTuple):
    """What features and matches show.

    Attributes:
      num_images: that features were looked for in.
      num_poor: of these, the images with few features.
      median_features: of an image.
      num_pairs: pairs of images that show the same things.
      num_without_parallax: of these, the pairs that a turn of the camera or one plane explains.
    """

    num_images: int
    num_poor: int
    median_features: int
    num_pairs: int
    num_without_parallax: int

    @property
    def reason(self) -> str:
        """The likeliest reason and what to do, as the end of a sentence."""
        if self.num_poor > _MIN_SHARE * self.num_images:
            return (
                f"the images have few features to compare (half of them {self.median_features} or "
                "fewer): take sharp, bright images, and put things with texture into plain scenes"
            )
        if self.num_pairs < self.num_images - 1:
            return (
                "too few images show the same things: take more images, each with two thirds of "
                "what the one before shows"
            )
        if self.num_without_parallax > _MIN_SHARE * self.num_pairs:
            return (
                "the images seem to be taken from one position, or show one plane: take a step to "
                "the side between two images instead of turning on the spot"
            )
        return (
            "the images do not fit together: take 30 to 100 sharp images of a scene in which "
            "nothing moves, each a step from the one before"
        )


def diagnose(folder: Path, num_images: int) -> Diagnosis:
    """Reads the database in `folder`."""
    rows = [int(row[0]) for row in process.query(folder, "SELECT rows FROM keypoints")]
    features = rows + [0] * (num_images - len(rows))
    kinds = dict(
        process.query(
            folder,
            "SELECT config, COUNT(*) FROM two_view_geometries WHERE rows > 0 GROUP BY config",
        )
    )
    return Diagnosis(
        num_images,
        sum(count < _MIN_FEATURES for count in features),
        int(np.median(features)) if features else 0,
        sum(kinds.get(kind, 0) for kind in (*_GOOD, *_NO_PARALLAX)),
        sum(kinds.get(kind, 0) for kind in _NO_PARALLAX),
    )
