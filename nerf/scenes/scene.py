"""What every loader returns: posed images of one scene, in one set of conventions.

Cameras look along their own -z axis with x to the right and y up. Positions, bounds and depths are
in scene units; `capture_to_scene` leads there from the coordinates of the files.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Split as Split
from nerf.config.settings import Background
from nerf.errors import UserError, listed
from nerf.geometry.cameras import Cameras
from nerf.geometry.poses import scale_of
from nerf.geometry.spaces import Space

Source = Literal["photographs", "procedural"]


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
      folder: it was loaded from; None for a bundled scene (never stored in a run folder).
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
    folder: Path | None = None

    @property
    def truth_name(self) -> str:
        """What the scene's own images are called."""
        return "photograph" if self.source == "photographs" else "ray-traced truth"

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
        index = find_view(self.image_names, which)
        return View(index, self.image_names[index], self.cameras[index], self.images[index])

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


def find_view(names: Sequence[str], which: int | str) -> int:
    """The index of a view.

    Args:
      names: of all views.
      which: an index, from the end if negative, or a name.

    Raises:
      UserError: if there is no such view.
    """
    if isinstance(which, str):
        if which not in names:
            raise UserError(f"no view {which!r}: there are {listed(names)}")
        return names.index(which)
    if not -len(names) <= which < len(names):
        raise UserError(f"no view {which}: there are views 0 to {len(names) - 1}")
    return int(which) % len(names)
