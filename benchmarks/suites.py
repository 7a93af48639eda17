"""Suites of scenes: how the papers read the data sets LLFF and Blender, and any other folder."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

import nerf
from benchmarks import published as published_scores
from nerf.captures.formats import formats_in
from nerf.errors import UserError, listed
from nerf.runtime.events import Callback

_TEST_VIEWS = "transforms_test.json"


class LoadFn(Protocol):
    def __call__(self, folder: Path, callback: Callback, /) -> nerf.Scene:
        """Loads the scene of a folder by the suite's protocol.

        Raises:
          UserError: if it cannot be read, or does not have what the protocol needs.
        """


class Suite(NamedTuple):
    """A protocol.

    Attributes:
      protocol: what it prescribes, for people.
      load: see `LoadFn`.
      overrides: settings that it prescribes, by their dotted names.
      size: height and width in pixels of the published scores.
      published: scores of other methods under the same protocol.
    """

    protocol: str
    load: LoadFn
    overrides: Mapping[str, int] = MappingProxyType({})
    size: tuple[int, int] | None = None
    published: tuple[published_scores.Method, ...] = ()


def _load_llff(folder: Path, callback: Callback) -> nerf.Scene:
    """Reads `images_4`, as the papers do, or else the originals, scaled down to the same size."""
    only_originals = not (folder / "images_4").is_dir() and (folder / "images").is_dir()
    factor = 1 if only_originals else 4
    return nerf.load_scene(folder, format="llff", factor=factor, max_size=1008, callback=callback)


def _load_blender(folder: Path, callback: Callback) -> nerf.Scene:
    scene = nerf.load_scene(
        folder, format="blender", max_size=800, background="white", callback=callback
    )
    if scene.given_split is None or not (folder / _TEST_VIEWS).is_file():
        raise UserError(
            f"{folder} has no test views: put {_TEST_VIEWS} and its images there, or name the "
            "folder of all scenes with `suite`, which then holds out other views"
        )
    return scene


def _load_any(folder: Path, callback: Callback) -> nerf.Scene:
    return nerf.load_scene(folder, callback=callback)


SUITES = {
    "llff": Suite(
        "images of 1008x756 (`images_4`), every 8th view held out",
        _load_llff,
        {"train.holdout": 8},
        (756, 1008),
        published_scores.LLFF,
    ),
    "blender": Suite(
        "images of 800x800 on white, the files' own test views",
        _load_blender,
        size=(800, 800),
        published=published_scores.BLENDER,
    ),
}
FOLDER = Suite("the size and the split that `nerf.main` chooses", _load_any)


def scene_folders(folder: Path, names: tuple[str, ...] | None = None) -> tuple[Path, ...]:
    """The folders of the scenes in a folder: its subfolders, in the order of their names.

    Args:
      folder: holds the scenes.
      names: of the scenes that are wanted; None for all.

    Raises:
      UserError: if there are none, or one of the names is not there.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name the one that holds the scenes' folders")
    if formats_in(folder):
        raise UserError(f"{folder} is one scene: name the folder that holds the scenes' folders")
    found = {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith((".", "__"))
    }
    if not found:
        raise UserError(f"{folder} holds no folders: name the one that holds the scenes' folders")
    missing = [name for name in names or () if name not in found]
    if missing:
        raise UserError(f"{folder} has no folder {listed(missing)}: there is {listed(found)}")
    return tuple(found[name] for name in found if names is None or name in names)
