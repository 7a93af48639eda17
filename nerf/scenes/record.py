"""The record of a scene that a trained field keeps: cameras, names, space, transform; no images.

It is `scene.json` in a run folder. With it, any view of the scene can be rendered again, and poses
and meshes can be transformed back to the capture's own coordinates.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import jax
import numpy as np
import numpy.typing as npt

from nerf.errors import UserError
from nerf.geometry import spaces
from nerf.geometry.cameras import Cameras
from nerf.geometry.lenses import Lens
from nerf.geometry.spaces import Space
from nerf.scenes.scene import Scene, Source, Split, View, find_view
from nerf.scenes.splits import Holdout


@dataclasses.dataclass(frozen=True)
class SceneRecord:
    """A scene without its images.

    Attributes:
      name, source: see `nerf.scenes.scene.Scene`.
      space: the space that the field lives in.
      cameras: `[num_views]`, in scene units.
      view_names: `[num_views]`, the names of the images.
      split: the views for training and the views held out.
      capture_to_scene: `[4, 4]`, from the capture's own coordinates to scene units.
      path_poses: `[num_poses, 3, 4]`, poses without images, see `Scene`; None if there are none.
    """

    name: str
    source: Source
    space: Space
    cameras: Cameras
    view_names: tuple[str, ...]
    split: Split
    capture_to_scene: npt.NDArray[np.float64]
    path_poses: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(cls, scene: Scene, holdout: int | Holdout) -> "SceneRecord":
        """The record of a scene, with a split, see `Scene.split`."""
        return cls(
            name=scene.name,
            source=scene.source,
            space=scene.space,
            cameras=scene.cameras,
            view_names=scene.image_names,
            split=scene.split(holdout),
            capture_to_scene=scene.capture_to_scene,
            path_poses=scene.path_poses,
        )

    @property
    def num_views(self) -> int:
        return len(self.view_names)

    @property
    def test_names(self) -> tuple[str, ...]:
        """The names of the held-out views."""
        return tuple(self.view_names[index] for index in self.split.test)

    def has_coordinates_of(self, other: "SceneRecord") -> bool:
        """Whether the scene units of both mean the same in the coordinates of the files."""
        mine, theirs = self.capture_to_scene, other.capture_to_scene
        return bool(np.allclose(mine, theirs, rtol=1e-3, atol=1e-3))

    def view(self, index_or_name: int | str) -> View:
        """The camera of one view.

        Args:
          index_or_name: its index or its name.

        Raises:
          UserError: if there is no such view.
        """
        index = find_view(self.view_names, index_or_name)
        return View(index, self.view_names[index], self.cameras[index], None)

    def to_json(self) -> dict[str, Any]:
        """The record as values of JSON; see `from_json`."""
        cameras, path = self.cameras, self.path_poses
        return {
            **({} if path is None else {"path_poses": _plain(path)}),
            "name": self.name,
            "source": self.source,
            "space": spaces.to_json(self.space),
            "capture_to_scene": self.capture_to_scene.tolist(),
            "split": {"train": list(self.split.train), "test": list(self.split.test)},
            "height": cameras.height,
            "width": cameras.width,
            "views": [
                {
                    "name": name,
                    **_size_to_json(cameras, index),
                    "camtoworld": _plain(cameras.camtoworlds[index]),
                    "focal": _plain(cameras.focal[index]),
                    "bounds": _plain(cameras.bounds[index]),
                    "lens": _lens_to_json(cameras[index].lens),
                }
                for index, name in enumerate(self.view_names)
            ],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SceneRecord":
        """The inverse of `to_json`.

        Raises:
          UserError: if values are missing or wrong.
        """
        try:
            views = values["views"]
            if values["source"] not in get_args(Source):
                raise ValueError(f"unknown source {values['source']!r}")
            lenses = [_lens_from_json(view["lens"]) for view in views]
            size = {side: values[side] for side in ("height", "width")}
            sizes = [[int({**size, **view}[side]) for side in size] for view in views]
            return cls(
                name=str(values["name"]),
                source=values["source"],
                space=spaces.from_json(values["space"]),
                cameras=Cameras(
                    camtoworlds=_array(views, "camtoworld", (3, 4)),
                    focal=_array(views, "focal", ()),
                    bounds=_array(views, "bounds", (2,)),
                    lens=None if lenses[0] is None else _stacked(lenses),
                    height=0,
                    width=0,
                ).with_sizes(sizes),
                view_names=tuple(str(view["name"]) for view in views),
                split=Split(*(tuple(map(int, values["split"][k])) for k in ("train", "test"))),
                capture_to_scene=np.array(values["capture_to_scene"], np.float64).reshape(4, 4),
                path_poses=_path_from_json(values.get("path_poses")),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise UserError(
                f"the record of the scene cannot be read ({reason}): bring it back from a copy, or "
                "train the run anew"
            ) from error


def _path_from_json(values: Any) -> npt.NDArray[np.float32] | None:
    if values is None:
        return None
    return np.array(values, np.float32).reshape(len(values), 3, 4)


def _plain(array: Any) -> Any:
    """A float32 array as nested lists of the shortest numbers that give the same bits."""
    numbers = np.asarray(array, np.float32)
    exact = [float(np.format_float_positional(x, unique=True)) for x in numbers.ravel()]
    return np.array(exact).reshape(numbers.shape).tolist()


def _size_to_json(cameras: Cameras, index: int) -> dict[str, int]:
    """Height and width of a view; nothing where all views have one size."""
    if cameras.sizes is None:
        return {}
    return {"height": cameras[index].height, "width": cameras[index].width}


def _array(views: Any, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    array = np.array([view[name] for view in views], np.float32)
    return array.reshape(len(views), *shape)


def _lens_to_json(lens: Lens | None) -> dict[str, Any] | None:
    if lens is None:
        return None
    plain = {name: x for name, x in lens._asdict().items() if x is not None}
    return {
        name: bool(x) if np.asarray(x).dtype == bool else _plain(x) for name, x in plain.items()
    }


def _lens_from_json(values: Mapping[str, Any] | None) -> Lens | None:
    if values is None:
        return None
    return Lens(
        **{
            name: np.array(x, bool if isinstance(x, bool) else np.float32)
            for name, x in values.items()
        }
    )


def _stacked(lenses: list[Lens | None]) -> Lens:
    stacked: Lens = jax.tree.map(lambda *each: np.stack(each), *lenses)
    return stacked
