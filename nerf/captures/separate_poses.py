"""Poses in a folder of their own, beside that of the images, as many programs leave them.

The images are then below the folder that is given, and the poses in one below it that has no
images: `colmap/text`, `distorted/sparse/0`, `slam`, `nerfstudio`.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from nerf.captures.advice import unposed
from nerf.captures.safe_files.reading import MAX_FOLDERS, folders_in
from nerf.errors import UserError, listed

_MAX_DEPTH = 4  # of folders that are searched
_MAX_ABOVE = 2  # folders above that are searched

Formats = Callable[[Path], list[str]]


class NestedFolders(NamedTuple):
    """The nearest folders below a folder in which poses are.

    Attributes:
      scenes: those with images.
      poses: those without.
    """

    scenes: list[Path]
    poses: list[Path]


def nested_folders(folder: Path, formats_in: Formats) -> NestedFolders:
    """The nearest folders with poses below a folder; `formats_in` gives the formats in one."""
    paths = folders_in(folder)
    for _ in range(_MAX_DEPTH):
        found = [path for path in paths if formats_in(path)]
        scenes = [path for path in found if unposed.find_images(path)[1]]
        if found:
            return NestedFolders(scenes, [path for path in found if path not in scenes])
        paths = [inner for path in paths for inner in folders_in(path)][:MAX_FOLDERS]
    return NestedFolders([], [])


def find_poses_of_images(folder: Path, formats_in: Formats) -> Path | None:
    """The folder of the poses of the images below a folder; None without such poses.

    Raises:
      UserError: if several folders may be meant.
    """
    found = nested_folders(folder, formats_in)
    if found.scenes or not found.poses or not unposed.find_images(folder)[1]:
        return None
    if len(found.poses) > 1:
        names = listed(path.relative_to(folder).as_posix() for path in found.poses)
        kinds = [formats_in(path)[0] for path in found.poses]
        choose = f", or choose `format`, {listed(kinds)}" * (len({*kinds}) == len(kinds))
        raise UserError(
            f"{names} in {folder} may each have the poses of its images: move all but the right "
            f"one to another place{choose}"
        )
    return found.poses[0]


def candidate_image_folders(poses: Path, has_scene: Callable[[Path], bool]) -> Iterator[Path]:
    """The folders above a folder of poses that may have its images, the nearest first.

    `has_scene` tells whether another folder looks like a scene.
    """
    whole = poses.resolve()

    def formats_in(path: Path) -> list[str]:
        return ["of poses"] if path == whole or has_scene(path) else []

    for count, above in enumerate(whole.parents[:_MAX_ABOVE]):
        with contextlib.suppress(UserError):
            if above != above.parent and find_poses_of_images(above, formats_in) == whole:
                yield as_given(poses, count)


def as_given(folder: Path, count: int) -> Path:
    """The folder `count + 1` above another: relative if that is given so, and its name is known."""
    above = folder.resolve().parents[count]
    for shown in folder.parents[count : count + 1]:
        if shown.name and shown.resolve() == above:
            return shown
    return above
