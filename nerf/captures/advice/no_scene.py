"""The error messages for a folder or a file in which no reader finds a scene.

The first that holds: a folder below or above it is a scene; a part of a scene is missing; there are
files of another program; there are images or a video without poses.
"""

import contextlib
import re
from pathlib import Path

from nerf.captures.advice import unposed
from nerf.captures.advice.incomplete import what_is_missing
from nerf.captures.advice.other_programs import (
    message_on_unsupported_file,
    unsupported_kind,
    unsupported_message,
)
from nerf.captures.formats import FORMATS, formats_in
from nerf.captures.safe_files.reading import MAX_FOLDERS, check_inside, contents
from nerf.captures.separate_poses import as_given, nested_folders
from nerf.errors import UserError, counted, listed

# Folders that are parts of scenes by their names, whatever the format.
_PARTS = re.compile(
    r"(images|image|input|rgbd?|frames|color|masks?|depths?|train|test|val|left|right)(_[0-9]+)?"
)
_MAX_ABOVE = 3  # folders above that are searched


def not_a_folder(path: Path) -> UserError:
    """The error for what is not a folder: a file of poses, of another program, or nothing."""
    kind = unsupported_kind(path) if path.is_file() else None
    if kind is not None:
        return UserError(unsupported_message(path, kind))
    if path.is_file():
        above = scene_above(path) or path.parent
        return UserError(
            f"{path} is not a folder: give the folder of the scene, with its poses and images"
            f"{f', {above}' if above.name else ''}"
        )
    return UserError(f"{path} is not a folder: give the folder of a scene")


def no_scene(folder: Path, *, follow_links: bool = False) -> UserError:
    """The error for a folder without a scene.

    Args:
      folder: the folder.
      follow_links: whether symbolic links that lead out of the folder are followed.
    """
    check_links(folder, follow_links)
    inner = nested_folders(folder, formats_in)
    found = [str(path) for path in inner.scenes or inner.poses]
    if found:
        there = "there is one" if len(found) == 1 else f"there are {len(found)}"
        which = "that folder" if len(found) == 1 else "one of these folders"
        return UserError(f"no scene in {folder}, but {there} in {listed(found)}: give {which}")
    above = scene_above(folder)
    _, images = unposed.find_images(folder)
    if above is not None and is_part(folder):
        return UserError(
            f"no scene in {folder}, which is a part of the one in {above}: give that folder"
        )
    missing = what_is_missing(folder) or message_on_unsupported_file(
        folder, has_images=bool(images), follow_links=follow_links
    )
    if missing and images:
        what = f"and {counted(len(images), 'image')} there without poses"
        return UserError(f"{missing}; {what} can be posed with {unposed.pose_command(folder)}")
    videos = [path for path in sorted(folder.iterdir()) if unposed.is_video(path)]
    if missing and not videos:
        return UserError(missing)
    if images:
        what = f"has {counted(len(images), 'image')} and no poses"
        what += f"; if they are of the scene in {above}, give that folder, else" if above else ""
        return unposed.no_poses(folder, what)
    if videos:
        return unposed.no_poses(videos[0], "is a video")
    *first, last = (each.files_in_words for each in FORMATS.values() if each.files_in_words)
    return UserError(
        f"no scene in {folder} ({contents(folder)}): it must contain {', '.join(first)}, or "
        f"{last}; docs/captures.md says how to make them from photographs"
    )


def is_part(folder: Path) -> bool:
    """Whether a folder is named like a subfolder of a scene."""
    name = folder.resolve().name.lower()
    is_of_format = any(name in each.names.parts for each in FORMATS.values())
    return is_of_format or _PARTS.fullmatch(name) is not None


def scene_above(folder: Path) -> Path | None:
    """The nearest folder above that has a scene with images; None without one.

    Of the next folder files are looked into, of those above names alone.
    """
    whole = folder.resolve()
    for count, above in enumerate(whole.parents[:_MAX_ABOVE]):
        if above == above.parent:  # the root
            return None
        is_scene = formats_in(above) if count == 0 else has_scene(above)
        if is_scene and unposed.find_images(above)[1]:
            return as_given(folder, count)
    return None


def has_scene(folder: Path) -> bool:
    """Whether a folder looks like a scene by the names in it; no file is opened."""
    names = (name for each in FORMATS.values() for name in each.names.scene)
    return any((folder / name).exists() for name in names)


def check_links(folder: Path, follow_links: bool) -> None:
    """Raises a UserError if a file that may be one of a format is a link out of the folder."""
    opened = {
        suffix for each in FORMATS.values() if each.opens_files for suffix in each.names.suffixes
    }
    with contextlib.suppress(OSError):
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in opened)
        for path in paths[:MAX_FOLDERS]:
            check_inside(folder, path, follow_links=follow_links)
