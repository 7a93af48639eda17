"""The images of a trajectory, and which of its poses belongs to which of them."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from nerf.captures.advice.unposed import is_video
from nerf.captures.depths.search import is_depth_name
from nerf.captures.images.files import advice_on_other_files, image_files
from nerf.captures.images.index import NO_VIEWS
from nerf.captures.images.names import NoImagesFound
from nerf.captures.safe_files.reading import (
    MAX_FOLDERS,
    check_inside,
    folder_at,
    folders_in,
    has_image_suffix,
    natural_key,
)
from nerf.captures.trajectories.poses import Pose
from nerf.captures.trajectories.timestamps import MAX_SECONDS, match_in_any_unit
from nerf.errors import UserError, counted, listed

_IMAGE_FOLDERS = (
    *("images", "rgb", "image_2", "image_0", "color", "frames", "results", "."),
)  # fmt: skip
_MIN_MATCHED = 0.5  # of the images, the least whose names are then taken for timestamps
_MAX_DEPTH = 3  # of folders that are searched for images


def images_of_trajectory(folder: Path, follow_links: bool) -> tuple[str, list[str]]:
    """The folder of images, and their names in order."""
    for name in _IMAGE_FOLDERS:
        place = folder_at(folder, name)
        if place.is_dir():
            check_inside(folder, place, follow_links=follow_links)
            every = [file.name for file in image_files(place)]
            names = [name for name in every if not is_depth_name(name)] or every
            if names:
                return place.relative_to(folder).as_posix(), sorted(names, key=natural_key)
    fitting = _inner_images(folder)
    if len(fitting) > 1:
        raise UserError(
            f"the images of {folder} may be those of each of "
            f"{listed(path.relative_to(folder).as_posix() for path in fitting)}: put the poses, "
            "called trajectory.txt, into the folder that has the right one, and give that folder"
        )
    for inner in fitting:
        names = [file.name for file in image_files(inner)]
        return inner.relative_to(folder).as_posix(), sorted(names, key=natural_key)
    there = [folder / name for name in _IMAGE_FOLDERS if (folder / name).is_dir()]
    more = next((text for text in map(advice_on_other_files, there) if text), "")
    looked_in = ", ".join(_IMAGE_FOLDERS[:-1])
    for video in sorted(path for path in folder.iterdir() if is_video(path)):
        frames = shlex.quote(str(folder / "rgb"))
        raise NoImagesFound(
            f"no images in {folder}, but a video, {video.name}: write its frames, `mkdir {frames} "
            f"&& ffmpeg -i {shlex.quote(str(video))} -start_number 0 {frames}/%06d.png`"
        )
    raise NoImagesFound(f"no images in {folder}: put them into one of {looked_in}{more}")


def _inner_images(folder: Path) -> list[Path]:
    """The folders of images somewhere below a folder; if some have a usual name, these alone."""
    found, paths = [], [folder]
    for _ in range(_MAX_DEPTH):
        paths = [
            inner
            for path in paths
            for inner in folders_in(path)
            if not NO_VIEWS.search(inner.name.lower())
        ][:MAX_FOLDERS]
        found += [path for path in paths if image_files(path)]
    usual = ([path for path in found if path.name.lower() == name] for name in _IMAGE_FOLDERS)
    return next((paths for paths in usual if paths), found)


# Which image belongs to which pose.


def _from_one(
    named: Sequence[tuple[str, Pose]], names: Sequence[str]
) -> tuple[list[tuple[str, Pose]], list[str]]:
    """Poses with their names, and a note; numbers from 0 are raised where images count from 1, as
    ffmpeg does.
    """
    numbers = [int(stem) if stem.isdecimal() else -1 for stem in _stems(name for name, _ in named)]
    of_images = [int(stem) if stem.isdecimal() else -1 for stem in _stems(names)]
    if not names or sorted(numbers) != [*range(len(names))]:
        return list(named), []
    if sorted(of_images) != [*range(1, len(names) + 1)]:
        return list(named), []
    by_number = dict(zip(of_images, names, strict=True))
    note = "the images count from 1 and their poses from 0: the first image has pose 0"
    moved = zip(numbers, named, strict=True)
    return [(by_number[number + 1], pose) for number, (_, pose) in moved], [note]


def _stems(names: Iterable[str]) -> list[str]:
    """The bare names of images without their suffix, cut to 18 characters."""
    bare = (name.replace("\\", "/").rpartition("/")[2] for name in names)
    return [(Path(name).stem if has_image_suffix(name) else name)[:18] for name in bare]


def match_poses(
    path: Path,
    poses: Sequence[Pose],
    image_folder: Path,
    names: Sequence[str],
    stamps: Sequence[tuple[float, str]],
) -> tuple[list[tuple[str, Pose]], list[str]]:
    """The name of the image of each pose that has one, and notes.

    Args:
      path: the file of the poses.
      poses: all of them.
      image_folder: the folder of the images.
      names: of the images, in order.
      stamps: timestamps and names of images; none if the poses have no timestamps.
    """
    named = [(pose.name, pose) for pose in poses if pose.name is not None]
    if named and len(named) < len(poses):
        raise UserError(
            f"{path}: {counted(len(poses) - len(named), 'pose has', 'poses have')} no name of an "
            "image, and others have: "
            "name the images of all"
        )
    if named:
        return _from_one(named, names)
    if stamps:
        pairs = match_in_any_unit(stamps, [pose.timestamp or 0.0 for pose in poses])
        matched = [(stamps[image][1], poses[pose]) for image, pose in pairs.items()]
        if len(matched) > _MIN_MATCHED * len(stamps):  # fewer may be numbers that are no times
            note = f"poses and images are matched to within {MAX_SECONDS} s by their timestamps"
            return matched, [note] if len(matched) < len(stamps) else []
    if len(names) != len(poses):
        raise UserError(
            f"{path.name} has {counted(len(poses), 'pose')} and {image_folder} "
            f"{counted(len(names), 'image')}, "
            "and nothing says which belong together: give one pose for each image, or call the "
            "images by the timestamps of their poses"
        )
    return list(zip(names, poses, strict=True)), [
        "poses and images are matched in the order of the images' names"
    ]
