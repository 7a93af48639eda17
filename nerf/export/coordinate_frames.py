"""The coordinates of exported files: those of the capture's own files, or scene units."""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.errors import UserError
from nerf.geometry.poses import scale_of, transform_poses

Array = npt.NDArray[np.float64]
FrameName = Literal["capture", "scene"]
FRAMES: tuple[FrameName, ...] = ("capture", "scene")
_TEXTS = {
    "capture": "coordinates and unit of length of the capture's own files",
    "scene": "scene units; scene_to_capture leads to those of the capture's own files",
}
_UNITS = {"capture": "the unit of length of the capture's own files", "scene": "scene units"}


class CoordinateFrame(NamedTuple):
    """Coordinates to write in.

    Attributes:
      name: one of `FRAMES`.
      from_scene: `[4, 4]`, the similarity from scene units to these coordinates.
      scene_to_capture: `[4, 4]`, that to the coordinates of the capture's files.
    """

    name: FrameName
    from_scene: Array
    scene_to_capture: Array

    @classmethod
    def of(cls, name: str, capture_to_scene: Array) -> "CoordinateFrame":
        """The coordinates called `name`.

        Raises:
          UserError: if there are none of that name.
        """
        if name not in FRAMES:
            raise UserError(f"no `frame` {name!r}: choose one of {', '.join(FRAMES)}")
        to_capture = np.linalg.inv(np.asarray(capture_to_scene, np.float64))
        chosen = FRAMES[FRAMES.index(name)]
        return cls(chosen, to_capture if name == "capture" else np.eye(4), to_capture)

    @property
    def text(self) -> str:
        """What the coordinates are, for a comment in a file."""
        return _TEXTS[self.name]

    @property
    def unit(self) -> str:
        """The unit of length, for people."""
        return _UNITS[self.name]

    @property
    def scale(self) -> float:
        """Units of length of these coordinates in one scene unit."""
        return scale_of(self.from_scene)

    def points(self, points: npt.NDArray[np.floating]) -> Array:
        """Points `[..., 3]` from scene units."""
        return points @ self.from_scene[:3, :3].T + self.from_scene[:3, 3]

    def normals(self, normals: npt.NDArray[np.floating]) -> Array:
        """Unit vectors `[..., 3]` from scene units."""
        return normals @ (self.from_scene[:3, :3] / self.scale).T

    def poses(self, poses: npt.NDArray[np.floating]) -> Array:
        """Poses `[..., 3, 4]` from scene units."""
        return transform_poses(self.from_scene, np.asarray(poses, np.float64))

    def to_json(self) -> dict[str, Any]:
        """The entry of `export.json` for the coordinates."""
        return {
            "frame": self.name,
            "coordinates": self.text,
            "scene_to_capture": self.scene_to_capture.tolist(),
        }
