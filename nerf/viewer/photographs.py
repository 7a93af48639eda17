"""The photographs of a scene, which are read while the page is already shown."""

import threading
from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from nerf.errors import UserError
from nerf.geometry.poses import transform_poses
from nerf.output.images import ByteImage, FloatImage, to_bytes
from nerf.runtime.events import LOGGER
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene

THUMBNAIL = 96  # pixels of the longer side
_TOLERANCE = 0.01  # of the extent of the cameras


class Photographs:
    """The images of the views of a run, by their names.

    Args:
      record: the run's scene.
      load: returns the scene with its images; it may take long, and runs in a thread. None
        without images.
      say: receives a sentence for the user if they cannot be read.
    """

    def __init__(
        self,
        record: SceneRecord,
        load: Callable[[], Scene] | None,
        say: Callable[[str], None] = lambda text: None,
    ):
        self._record, self._load, self._say = record, load, say
        self._scene: Scene | None = None
        self._index_of: dict[str, int] = {}
        self._ready = threading.Event()
        if load is None:
            self._ready.set()
        else:
            threading.Thread(target=self._read, name="nerf-photographs", daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until they are read, or cannot be read; returns whether that has happened."""
        return self._ready.wait(seconds)

    @property
    def are_loaded(self) -> bool:
        return self._scene is not None

    def image(self, view: int) -> FloatImage | None:
        """The photograph `[height, width, 3]` of a view of the run, in [0, 1]; None without one."""
        index = self._index_of.get(self._record.view_names[view])
        if self._scene is None or index is None:
            return None
        return self._scene.images[index]

    def thumbnail(self, view: int, longer_side: int = THUMBNAIL) -> ByteImage | None:
        """The photograph of a view, made small."""
        image = self.image(view)
        if image is None:
            return None
        small = Image.fromarray(to_bytes(image))
        small.thumbnail((longer_side, longer_side))
        return np.asarray(small)

    def _read(self) -> None:
        assert self._load is not None
        try:
            scene = self._load()
            names = {name: index for index, name in enumerate(scene.image_names)}
            if not have_same_poses(self._record, scene):
                self._say(
                    f"no photographs are shown: the views of {scene.name} have the names of those "
                    "of the run and other poses: give the `scene` that it was trained on"
                )
                return
            missing = sum(name not in names for name in self._record.view_names)
            if missing:
                self._say(
                    f"{missing} of {self._record.num_views} views of the run are not among the "
                    f"{scene.num_views} images of the scene, and show no photograph: give the "
                    "`scene` that it was trained on"
                )
            self._index_of, self._scene = names, scene
        except (UserError, OSError) as error:
            self._say(f"no photographs are shown: {error}")
        except Exception:
            LOGGER.warning("no photographs are shown", exc_info=True)
        finally:
            self._ready.set()


def have_same_poses(record: SceneRecord, scene: Scene) -> bool:
    """Whether views with the same name have the same position in both, in the capture's frame.

    Args:
      record: of a run.
      scene: possibly another scene, or the same one in other scene units.
    """
    both = set(record.view_names) & set(scene.image_names)
    ours, theirs = (
        _positions(names, owner.cameras.camtoworlds, owner.capture_to_scene, both)
        for names, owner in ((record.view_names, record), (scene.image_names, scene))
    )
    spread = np.linalg.norm(ours - ours.mean(axis=0), axis=1).max() if both else 0.0
    return bool(np.allclose(ours, theirs, rtol=0.0, atol=_TOLERANCE * spread + 1e-6))


def _positions(
    names: Sequence[str], poses: npt.ArrayLike, to_scene: npt.ArrayLike, chosen: Collection[str]
) -> npt.NDArray[np.float64]:
    """Positions `[num_chosen, 3]` in the capture's frame, in the order of the names' letters."""
    index = [names.index(name) for name in sorted(chosen)]
    back = np.linalg.inv(np.asarray(to_scene, np.float64))
    return transform_poses(back, np.asarray(poses, np.float64)[index])[:, :, 3]
