"""A scene: posed images in one set of conventions, as every loader returns them.

Cameras look along their own -z axis with x to the right and y up. Positions, bounds and depths are
in scene units; `capture_to_scene` transforms the coordinates of the files to them.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Split as Split
from nerf.captures.checks import brightness, white_balance
from nerf.config.settings import Background
from nerf.errors import UserError, listed
from nerf.geometry.cameras import Cameras
from nerf.geometry.poses import scale_of
from nerf.geometry.spaces import Space
from nerf.geometry.upright import quarter_turns
from nerf.scenes.depth_samples import DepthSamples
from nerf.scenes.image_store import ImageStore
from nerf.scenes.splits import Holdout, make_split

Source = Literal["photographs", "procedural"]


@dataclasses.dataclass(frozen=True)
class View:
    """One posed image of a scene.

    Attributes:
      index: its index in the scene.
      name: the name of its image file, without a suffix.
      camera: one camera, with its bounds.
      image: `[height, width, 3]` float32, sRGB in [0, 1]; None if it is not available.
      mask: `[height, width]`, the pixels that are scored; None for all.
    """

    index: int
    name: str
    camera: Cameras
    image: npt.NDArray[np.float32] | None = None
    mask: npt.NDArray[np.bool_] | None = None

    @property
    def label(self) -> str:
        """Its index and its name, for people."""
        return f"view {self.index} ({self.name})"

    @property
    def turns(self) -> int:
        """How often its image is turned to the left by 90 degrees to be shown upright."""
        return quarter_turns(self.camera.camtoworlds)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Posed images of one scene.

    Attributes:
      name: its name, without a prefix such as `llff:`.
      source: whether the images are photographs or a bundled ray-traced scene.
      origin: its format and folder, for messages (never stored in a run folder).
      image_names: `[num_views]`, the names of the images, without suffixes.
      images: `[num_views]`: `images[i]` is `[height, width, 3]` float32, sRGB in [0, 1], made on
        demand of 8-bit pixels.
      cameras: `[num_views]`, NumPy arrays; each view is as large as its image.
      space: the space that a field of the scene lives in.
      capture_to_scene: `[4, 4]` float64, the similarity transform from the coordinates of the
        capture's files to scene units, see `nerf.geometry.poses.transform_poses`.
      background: the colour where the scene is empty, and behind transparent images.
      depth: `[num_views, height, width]` float32, exact depth along the viewing axis in scene
        units, inf for the background; None if it is not known.
      depth_samples: depths that the capture knows at some pixels; None where it knows none.
      given_split: training and held-out views, if the files define them; else None.
      path_poses: `[num_poses, 3, 4]` float32, poses in scene units that the files have without
        images, as a camera path; None if there are none.
      folder: the folder it was loaded from; None for a bundled scene (never stored in a run
        folder).
      notes: what the check of the capture said when it was loaded.
    """

    name: str
    source: Source
    origin: str
    image_names: tuple[str, ...]
    images: ImageStore
    cameras: Cameras
    space: Space
    capture_to_scene: npt.NDArray[np.float64]
    background: Background = "black"
    depth: npt.NDArray[np.float32] | None = None
    depth_samples: DepthSamples | None = None
    given_split: Split | None = None
    path_poses: npt.NDArray[np.float32] | None = None
    folder: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def truth_name(self) -> str:
        """The word for the scene's own images."""
        return truth_name(self.source)

    @property
    def is_transparent(self) -> bool:
        """Whether the images show an object on a transparent background."""
        return self.images.is_transparent

    @property
    def has_hull(self) -> bool:
        """Whether the images show where in a box an object can be, see `scenes.visual_hull`."""
        lens = self.cameras.lens  # a panorama has a seam, beyond which a cell's corners are apart
        has_panorama = lens is not None and lens.panorama is not None
        return self.is_transparent and self.space.is_bounded and not has_panorama

    @property
    def num_views(self) -> int:
        return len(self.images)

    @property
    def unit_scale(self) -> float:
        """The number of scene units in one unit of length of the capture's files."""
        return scale_of(self.capture_to_scene)

    @functools.cached_property
    def exposure_notes(self) -> tuple[str, ...]:
        """Notes if exposure or white balance change between views; empty if no process has read all
        images.
        """
        if self.images.read is not None:
            return ()
        poses = np.asarray(self.cameras.camtoworlds, np.float64)
        images = [self.images.bytes_of(index) for index in range(len(self.images))]
        return tuple(
            brightness.notes_on_brightness(
                np.stack([brightness.quantiles_of(image) for image in images]),
                poses,
                is_object=self.is_transparent,
            )
            or white_balance.notes_on_white_balance(
                np.stack([white_balance.ratios_of(image) for image in images]), poses
            )
        )

    @property
    def exposure_varies(self) -> bool:
        """Whether the images show that exposure or white balance change between views."""
        return bool(self.exposure_notes)

    def view(self, index_or_name: int | str) -> View:
        """One view, by its index (negative counts from the end) or its name.

        Raises:
          UserError: if there is no such view.
        """
        index = find_view(self.image_names, index_or_name)
        image, mask = self.images[index], self.images.mask_of(index)
        return View(index, self.image_names[index], self.cameras[index], image, mask)

    def split(self, holdout: int | Holdout) -> Split:
        """The views to train on and those held out.

        Args:
          holdout: a number N holds out every N-th view, from view 0 on, unless the files define a
            split; 0 then holds out none.

        Raises:
          UserError: if names are given, and one is that of no view, or of several.

        >>> every_third = [i for i in range(7) if i % 3 == 0]
        >>> every_third
        [0, 3, 6]
        """
        rule = Holdout(holdout) if isinstance(holdout, int) else holdout
        return make_split(self.image_names, self.given_split, rule)


def truth_name(source: str) -> str:
    """The word for the images of a scene of a source, see `Scene.source`."""
    return "photograph" if source == "photographs" else "ray-traced truth"


def find_view(names: Sequence[str], index_or_name: int | str) -> int:
    """The index of a view.

    Args:
      names: of all views.
      index_or_name: an index (negative counts from the end) or a name.

    Raises:
      UserError: if there is no such view.
    """
    if isinstance(index_or_name, str):
        if index_or_name not in names:
            raise UserError(f"no view {index_or_name!r}: there are {listed(names)}")
        return names.index(index_or_name)
    if not -len(names) <= index_or_name < len(names):
        raise UserError(f"no view {index_or_name}: there are views 0 to {len(names) - 1}")
    return int(index_or_name) % len(names)
