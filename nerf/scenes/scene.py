"""What every loader returns: posed images of one scene, in one set of conventions.

Cameras look along their own -z axis with x to the right and y up. Positions, bounds and depths are
in scene units; `capture_to_scene` leads there from the coordinates of the files.
"""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.config.settings import Background
from nerf.errors import UserError, listed
from nerf.geometry.cameras import Cameras
from nerf.geometry.poses import scale_of
from nerf.geometry.spaces import Space

Source = Literal["photographs", "procedural"]


class Split(NamedTuple):
    """Indices of the views to train on and of those held out."""

    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class View:
    """One posed image of a scene.

    Attributes:
      index: its place in the scene.
      name: of its image file, without an ending.
      camera: one camera, with its bounds.
      image: `[height, width, 3]` float32, sRGB in [0, 1]; None where there is none.
    """

    index: int
    name: str
    camera: Cameras
    image: npt.NDArray[np.float32] | None = None


@dataclasses.dataclass(frozen=True)
class Scene:
    """Posed images of one scene.

    Attributes:
      name: what the user called it, without a prefix such as `llff:`.
      source: whether the images are photographs or a bundled ray-traced scene.
      origin: where it was found, for the first lines of a run (never stored in a run folder).
      image_names: one name a view, `[num_views]`.
      images: `[num_views, height, width, 3]` float32, sRGB in [0, 1].
      cameras: `[num_views]`, NumPy arrays.
      space: the space that a field of the scene lives in.
      capture_to_scene: `[4, 4]` float64, the similarity transform from the coordinates of the
        capture's files to scene units, see `nerf.geometry.poses.transform_poses`.
      background: the colour where the scene is empty, and behind transparent images.
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
    space: Space
    capture_to_scene: npt.NDArray[np.float64]
    background: Background = "black"
    alpha: npt.NDArray[np.float32] | None = None
    depth: npt.NDArray[np.float32] | None = None
    given_split: Split | None = None

    @property
    def num_views(self) -> int:
        return len(self.images)

    @property
    def unit_scale(self) -> float:
        """The number of scene units in one unit of length of the capture's files."""
        return scale_of(self.capture_to_scene)

    def view(self, which: int | str) -> View:
        """One view, by its index (from the end if negative) or by its name.

        Raises:
          UserError: if there is no such view.
        """
        if isinstance(which, str):
            if which not in self.image_names:
                raise UserError(f"no view {which!r} in {self.name}: it has {self._view_names()}")
            which = self.image_names.index(which)
        if not -self.num_views <= which < self.num_views:
            last = self.num_views - 1
            raise UserError(f"no view {which} in {self.name}: it has views 0 to {last}")
        index = int(which) % self.num_views
        return View(index, self.image_names[index], self.cameras[index], self.images[index])

    def _view_names(self) -> str:
        shown = self.image_names[:10]
        return listed(shown) + (", ..." if len(shown) < self.num_views else "")

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
