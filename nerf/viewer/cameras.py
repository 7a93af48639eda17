"""Cameras of the page (viser) and of the scene, and the conversion between them.

    page     [right, down, forward], a quaternion w x y z and a position, in page units
    scene    [right, up, back | position], in scene units

The axes of the world are the same: +y is up. A page unit is a fraction of a scene unit, so that the
keys of the page, which move 2 page units a second, suit scenes of any size.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from nerf.geometry.arrangement import find_arrangement
from nerf.geometry.cameras import Cameras
from nerf.geometry.lenses import Lens
from nerf.geometry.spaces import Space
from nerf.geometry.upright import quarter_turns, turned_pose
from nerf.scenes.record import SceneRecord

Array = npt.NDArray[np.float64]

UP = (0.0, 1.0, 0.0)
PIXEL_OFFSET = 0.5  # of what is drawn: rays go through the middle of a pixel, at every size
_PAGE_DISTANCE = 4.0  # page units from a camera to what it looks at
_FLIP = np.array([1.0, -1.0, -1.0])  # right, up, back <-> right, down, forward
_MIN_FOV, _MAX_FOV = np.radians(5.0), np.radians(150.0)
_MIN_FORWARD = 0.1  # the least component along -z of a ray that NDC can show
_LEVEL_LEAST = 0.05  # the sine of the angle to y, below which there is no level direction
_MIN_SHARE = 0.1  # of the usual distance: the least distance to what a camera looks at


class PageCamera(NamedTuple):
    """The camera of a window.

    Attributes:
      wxyz: `[4]`, the unit quaternion of [right, down, forward].
      position: `[3]`, page units.
      fov: vertical field of view in radians.
      width, height: of the window in pixels.
    """

    wxyz: Array
    position: Array
    fov: float
    width: int
    height: int

    def is_near(self, other: "PageCamera", tolerance: float = 1e-3) -> bool:
        """Whether two cameras stand and look alike; the window does not count."""
        same_turn = abs(float(self.wxyz @ other.wxyz)) > 1.0 - tolerance**2
        return same_turn and np.allclose(self.position, other.position, atol=tolerance)


@dataclasses.dataclass(frozen=True)
class PageFrame:
    """The page's unit, and the depths that are drawn.

    Attributes:
      scale: page units in a scene unit.
      near, far: bounds of the depth of free cameras, scene units.
    """

    scale: float
    near: float
    far: float

    @classmethod
    def of(cls, record: SceneRecord) -> "PageFrame":
        """The frame of a scene; in a box around an object, free cameras may come nearer to it and
        go farther away than the scene's own.
        """
        distance, bounds = look_distance(record), np.asarray(record.cameras.bounds)
        near, far = float(bounds[:, 0].min()), float(bounds[:, 1].max())
        if record.space.is_bounded:
            near, far = 0.02 * distance, far + 10.0 * distance
        return cls(_PAGE_DISTANCE / distance, near, far)

    def to_scene(self, camera: PageCamera) -> npt.NDArray[np.float32]:
        """The pose `[3, 4]` of a window's camera."""
        w, x, y, z = camera.wxyz
        axes = Rotation.from_quat([x, y, z, w]).as_matrix() * _FLIP
        position = np.asarray(camera.position, np.float64) / self.scale
        return np.concatenate([axes, position[:, None]], axis=1).astype(np.float32)

    def to_page(self, camtoworld: npt.ArrayLike) -> tuple[Array, Array]:
        """Quaternion w x y z `[4]` and position `[3]` of a pose `[3, 4]` of the scene."""
        pose = np.asarray(camtoworld, np.float64)
        x, y, z, w = Rotation.from_matrix(pose[:, :3] * _FLIP).as_quat()
        return np.array([w, x, y, z]), pose[:, 3] * self.scale

    def camera(self, camera: PageCamera, height: int, width: int) -> Cameras:
        """The scene's camera that sees what the window shows, in `height` x `width` pixels."""
        return Cameras.pinhole(
            self.to_scene(camera),
            focal=0.5 * height / np.tan(0.5 * camera.fov),
            height=height,
            width=width,
            near=self.near,
            far=self.far,
        )


def look_distance(record: SceneRecord) -> float:
    """The usual distance from a camera to what it looks at, scene units."""
    poses = np.asarray(record.cameras.camtoworlds, np.float64)
    near = float(np.median(np.asarray(record.cameras.bounds)[:, 0]))
    focus = find_arrangement(poses).focus
    ahead = -np.einsum("nj,nj->n", poses[:, :, 2], focus - poses[:, :, 3])
    return max(float(np.median(ahead)), 1.5 * near, 1e-6)


def orbit_centre(record: SceneRecord, camtoworld: npt.ArrayLike) -> Array:
    """The point `[3]` that a camera turns around: ahead of it, as far as the scene's focus is."""
    pose, usual = np.asarray(camtoworld, np.float64), look_distance(record)
    focus = find_arrangement(np.asarray(record.cameras.camtoworlds, np.float64)).focus
    ahead = float(-pose[:, 2] @ (focus - pose[:, 3]))
    distance = ahead if ahead > _MIN_SHARE * usual else usual
    return np.asarray(pose[:, 3] - distance * pose[:, 2])


def turning_axis(camtoworld: npt.ArrayLike) -> Array:
    """The axis `[3]`, unit, around which a camera of this pose turns.

    The page keeps it upright in its images. It is +y for a camera that is held level, also for one
    that looks down; a camera that is rolled by an angle has it rolled by the same angle. For one
    that looks along y it is the camera's own.
    """
    pose = np.asarray(camtoworld, np.float64)
    right, back = pose[:, 0], pose[:, 2]
    level = np.cross(UP, back)
    if np.linalg.norm(level) < _LEVEL_LEAST:
        return np.asarray(pose[:, 1])
    level = level / np.linalg.norm(level)
    roll = np.arctan2(back @ np.cross(level, right), level @ right)
    return np.asarray(Rotation.from_rotvec(roll * back).apply(UP))


def home_index(record: SceneRecord) -> int:
    """The view where the page starts: the one nearest to the middle of all that look alike."""
    poses = np.asarray(record.cameras.camtoworlds, np.float64)
    if find_arrangement(poses).kind != "forward":
        views = record.split.test or record.split.train
        return views[len(views) // 2]
    away = np.linalg.norm(poses[:, :, 3] - poses[:, :, 3].mean(axis=0), axis=1)
    return int(np.argmin(away))


def upright_pose(camtoworld: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The pose `[3, 4]` turned by quarter turns, so that its image is upright."""
    pose = np.asarray(camtoworld, np.float32)
    return turned_pose(pose, quarter_turns(pose))


def view_angles(camera: Cameras) -> tuple[float, float]:
    """The horizontal and the vertical field of view of one camera, in radians."""
    lens = camera.lens
    focal = np.broadcast_to(camera.focal if lens is None else lens.focal, (2,))
    horizontal, vertical = 2.0 * np.arctan(0.5 * np.array([camera.width, camera.height]) / focal)
    if lens is not None and lens.panorama is not None and bool(np.asarray(lens.panorama)):
        return float(_MAX_FOV), float(0.5 * _MAX_FOV)
    return float(horizontal), float(vertical)


def window_fov(camera: Cameras, aspect: float) -> float:
    """The vertical field of view at which a window shows all that a camera sees, upright.

    Args:
      camera: one camera.
      aspect: width of the window over its height.
    """
    horizontal, vertical = view_angles(camera)
    if quarter_turns(camera.camtoworlds) % 2:
        horizontal, vertical = vertical, horizontal
    slope = max(np.tan(0.5 * vertical), np.tan(0.5 * horizontal) / aspect)
    return float(np.clip(2.0 * np.arctan(slope), _MIN_FOV, _MAX_FOV))


def unseen_pixels(space: Space, camera: Cameras) -> npt.NDArray[np.bool_] | None:
    """The pixels `[height, width]` that a field in NDC cannot show: those of rays that do not go
    along -z. None where all can be shown.
    """
    if space.has_depth_axis:
        pose = np.asarray(camera.camtoworlds, np.float64)
        lens = camera.lens or Lens(np.repeat(camera.focal, 2), np.zeros(2))
        focal = np.asarray(lens.focal, np.float64)
        x = (np.arange(camera.width) + 0.5 - 0.5 * camera.width) / focal[0]
        y = (np.arange(camera.height) + 0.5 - 0.5 * camera.height) / focal[1]
        length = np.sqrt(1.0 + x[None] ** 2 + y[:, None] ** 2)
        along = pose[2, 0] * x[None] - pose[2, 1] * y[:, None] - pose[2, 2]
        unseen = along / length > -_MIN_FORWARD
        return np.asarray(unseen) if unseen.any() else None
    return None
