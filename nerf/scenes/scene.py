"""What every loader returns: posed images of one scene, in one set of conventions.

Cameras look along their own -z axis with x to the right and y up. Positions, bounds and depths are
in scene units; `unit_scale` tells how many of them make one unit of the files they came from.
"""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.config.settings import Background
from nerf.geometry.cameras import Cameras, Space

Source = Literal["photographs", "procedural"]


class Split(NamedTuple):
    """Indices of the views to train on and of those held out."""

    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Scene:
    """Posed images of one scene.

    Attributes:
      name: what the user called it, without a prefix such as `llff:`.
      source: whether the images are photographs or the bundled ray-traced scene.
      origin: where it was found, for the first lines of a run (never stored in a run folder).
      image_names: one name a view, `[num_views]`.
      images: `[num_views, height, width, 3]` float32, sRGB in [0, 1].
      cameras: `camtoworlds` is `[num_views, 3, 4]`.
      bounds: `[num_views, 2]` float32, nearest and farthest depth of each view in scene units.
      space: which a field of it lives in.
      unit_scale: scene units per unit of the source files.
      background: what is seen where nothing is, and what transparent images lie over.
      alpha: `[num_views, height, width]` float32, in [0, 1], of transparent images; else None.
      depth: `[num_views, height, width]` float32, along the viewing axis in scene units, inf where
        there is nothing; where it is known exactly, else None.
      given_split: training and test views where the files name them, else None.
    """

    name: str
    source: Source
    origin: str
    image_names: tuple[str, ...]
    images: npt.NDArray[np.float32]
    cameras: Cameras
    bounds: npt.NDArray[np.float32]
    space: Space
    unit_scale: float
    background: Background = "black"
    alpha: npt.NDArray[np.float32] | None = None
    depth: npt.NDArray[np.float32] | None = None
    given_split: Split | None = None

    @property
    def num_views(self) -> int:
        return len(self.images)

    def split(self, holdout: int) -> Split:
        """Holds out every `holdout`-th view, from view 0 on, unless the files say which.

        >>> every_third = [i for i in range(7) if i % 3 == 0]
        >>> every_third
        [0, 3, 6]
        """
        if self.given_split is not None:
            return self.given_split
        test = tuple(range(0, self.num_views, holdout))
        return Split(tuple(i for i in range(self.num_views) if i not in test), test)
