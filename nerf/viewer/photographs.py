"""The photographs of a scene, which are read while the page is shown already."""

import threading
from collections.abc import Callable

import numpy as np
from PIL import Image

from nerf.errors import UserError
from nerf.output.images import ByteImage, FloatImage, to_bytes
from nerf.runtime.events import LOGGER
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene

THUMBNAIL = 96  # pixels of the longer side


class Photographs:
    """The images of the views of a run, by their names.

    Args:
      record: the run's scene.
      load: returns the scene with its images; it may take long, and runs in a thread. None if
        there are none.
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
        """Waits until they are read, or cannot be read; whether that is so."""
        return self._ready.wait(seconds)

    @property
    def are_there(self) -> bool:
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
