"""Captures of images and a trajectory: poses in TUM's or KITTI's text format, or in a CSV file.

    TUM     timestamp tx ty tz qx qy qz qw     a line for each pose
    KITTI   3x4 matrix, row by row             a line for each image, in the order of their names
    4x4     4x4 matrix, row by row             likewise
    CSV     columns of those names, and `name` of the image instead of a timestamp, if you like

All are camera to world with the axes right, down, forward. TUM's timestamps are matched to the
images by `rgb.txt` (timestamp, file name) if it is there, else by the names of the images, which
are then timestamps too; a pose and an image belong together if they are at most 0.02 s apart. If
the names are no such numbers, there must be one pose for each image, in the order of their names.
The lens is in a file beside them, see `nerf.captures.intrinsics_file`.

Source: the pages of the TUM RGB-D benchmark, "File formats", and of the KITTI odometry benchmark.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerf.captures.capture import Array, Capture, InvalidCapture
from nerf.captures.faults import merge_faults
from nerf.captures.files import (
    IMAGE_SUFFIXES,
    check_inside,
    file_named,
    files_with,
    natural_key,
)
from nerf.captures.image_files import advice_on_other_files, image_files
from nerf.captures.image_times import MAX_SECONDS, image_stamps, match_by_time
from nerf.captures.intrinsics_file import SharedLens, read_intrinsics
from nerf.captures.json_lens import intrinsics
from nerf.captures.posed_images import (
    MAX_VIEWS,
    PosedImage,
    finite_number,
    from_opencv,
    make_capture,
    pose_of_quaternion,
    text_of,
)
from nerf.captures.shared_lenses import check_shared_lenses
from nerf.captures.tables import (
    Header,
    find_header,
    has_decimal_commas,
    note_on_columns,
    rows_of,
)
from nerf.captures.xml_files import text_head_of
from nerf.errors import UserError, counted

TEXT_FILES = (
    *("groundtruth.txt", "trajectory.txt", "traj.txt", "poses.txt", "pose.txt"),
    *("CameraTrajectory.txt", "KeyFrameTrajectory.txt"),  # of ORB-SLAM
)
_IMAGE_FOLDERS = (
    *("images", "rgb", "image_2", "image_0", "color", "frames", "results", "."),
)  # fmt: skip
_MIN_MATCHED = 0.5  # of the images, the least whose names are then taken for timestamps
_MAX_FILES = 20  # CSV files that are looked at
_POSITION = ("tx", "ty", "tz")
_QUATERNION = ("qx", "qy", "qz", "qw")
_KNOWN = ("name", "timestamp", *_POSITION, *_QUATERNION, "id", "index", "frame_id", "frame_index")
_OTHER_NAMES = {
    **dict.fromkeys(("file", "filename", "file_name", "file_path", "filepath", "path"), "name"),
    **dict.fromkeys(("image", "image_name", "image_path", "image_file", "img", "img_name"), "name"),
    **dict.fromkeys(("img_path", "frame", "rgb", "rgb_path", "label"), "name"),
    **dict.fromkeys(("time", "timestamp_s"), "timestamp"),
    **dict.fromkeys(("x", "pos_x"), "tx"),
    **dict.fromkeys(("y", "pos_y"), "ty"),
    **dict.fromkeys(("z", "pos_z"), "tz"),
}


class _Pose(NamedTuple):
    """One pose of a trajectory.

    Attributes:
      camtoworld: `[3, 4]`, columns right, up, back | position.
      timestamp: in seconds, if the file has one.
      name: of its image, if the file has one.
    """

    camtoworld: Array
    timestamp: float | None = None
    name: str | None = None


def trajectory_file(folder: Path, *, follow_links: bool = False) -> Path | None:
    """The file of poses in a folder; None if there is none."""
    path = file_named(folder, *TEXT_FILES)
    if path is not None:
        return path
    for path in files_with(folder, ".csv", ".tsv")[:_MAX_FILES]:
        if _header(_first_lines(path, follow_links)).columns:
            return path
    for path in files_with(folder, ".txt"):  # KITTI's own names
        if re.fullmatch("[0-9][0-9]", path.stem):
            lines = _first_lines(path, follow_links)
            if lines and len(lines[0].split()) == 12:
                return path
    return None


def _first_lines(path: Path, follow_links: bool) -> list[str]:
    """The first lines of a text file; none if it cannot be read."""
    return text_head_of(path, follow_links=follow_links).splitlines()


def _header(lines: Sequence[str]) -> Header:
    return find_header(lines, (*_POSITION, *_QUATERNION), _OTHER_NAMES, within=1)


def is_trajectory(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has such a file."""
    return trajectory_file(folder, follow_links=follow_links) is not None


def read_trajectory(
    folder: Path, factor: int | None = None, *, follow_links: bool = False
) -> Capture:
    """Reads the poses, the images that belong to them, and the lens.

    Args:
      folder: contains the files and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    path = trajectory_file(folder, follow_links=follow_links)
    if path is None:
        raise UserError(f"no trajectory in {folder}: name it {TEXT_FILES[1]}, or poses.csv")
    image_folder, names = _images(folder, follow_links)
    shared = read_intrinsics(folder, image_folder, follow_links=follow_links)
    text = text_of(path, follow_links=follow_links)
    is_table = path.suffix.lower() in (".csv", ".tsv")
    poses, more = _read_csv(path, text) if is_table else (_read_text(path, text), [])
    is_timed = all(pose.timestamp is not None and pose.name is None for pose in poses)
    stamps = image_stamps(folder, image_folder, names, follow_links) if is_timed else []
    named, notes = _match(path, poses, folder / image_folder, names, stamps)
    capture = make_capture(
        "trajectory",
        folder,
        [_posed_image(name, pose, shared) for name, pose in named],
        factor,
        [*more, *notes, *shared.notes],
        [image_folder, "."],
        follow_links=follow_links,
    )
    sizes = [(width, height) for width, height in capture.sizes.tolist()]
    check_shared_lenses(str(shared.file), [shared.lens] * capture.num_views, sizes)
    return capture


def _posed_image(name: str, pose: _Pose, shared: SharedLens) -> PosedImage:
    """The image of a pose, seen through the lens of all."""
    lens, camtoworld = shared.lens, pose.camtoworld.copy()
    camtoworld[:, 3] += camtoworld[:, :3] @ shared.offset
    return PosedImage(
        name,
        camtoworld,
        lambda width, height: intrinsics(lens, (width, height)),
        lens.size if min(lens.size) > 0 else None,
        lens.model == "fisheye",
        lens.model == "panorama",
    )


def _images(folder: Path, follow_links: bool) -> tuple[str, list[str]]:
    """The folder of images, and their names in order."""
    for name in _IMAGE_FOLDERS:
        if (folder / name).is_dir():
            check_inside(folder, folder / name, follow_links=follow_links)
            names = [file.name for file in image_files(folder / name)]
            if names:
                return name, sorted(names, key=natural_key)
    there = [folder / name for name in _IMAGE_FOLDERS if (folder / name).is_dir()]
    more = next((text for text in map(advice_on_other_files, there) if text), "")
    looked_in = ", ".join(_IMAGE_FOLDERS[:-1])
    raise UserError(f"no images in {folder}: put them into one of {looked_in}{more}")


# Reading poses.


def _read_text(path: Path, text: str) -> list[_Pose]:
    """The poses of the text of a file in TUM's or KITTI's format."""
    poses: list[_Pose] = []
    problems: list[tuple[str, str]] = []
    count = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0]
        if has_decimal_commas(line.split()):
            raise UserError(
                f"{path}, line {number} has numbers with decimal commas: write decimal points"
            )
        words = line.replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        if len(poses) + len(problems) >= MAX_VIEWS:
            raise UserError(f"{path} has more than {MAX_VIEWS:,} poses: remove some")
        count = count or len(words)
        where = f"{path}, line {number}"
        try:
            if len(words) != count or count not in (8, 12, 16):
                raise UserError(
                    f"{where} has {counted(len(words), 'number')}, but each line must have 8 "
                    "(TUM: timestamp tx ty tz qx qy qz qw), 12 (KITTI: a 3x4 matrix) or 16"
                )
            poses.append(_pose([finite_number(word, where) for word in words], where))
        except UserError as problem:
            problems.append((f"line {number}", str(problem)))
    return _checked(path, poses, problems)


def _checked(path: Path, poses: list[_Pose], problems: Sequence[tuple[str, str]]) -> list[_Pose]:
    """The poses of a file, unless lines are at fault or there is none."""
    if problems:
        raise InvalidCapture(merge_faults(problems, "lines"))
    if not poses:
        raise UserError(f"{path} has no poses: write one in each line")
    return poses


def _pose(numbers: Sequence[float], where: str) -> _Pose:
    if len(numbers) == 8:
        matrix = pose_of_quaternion(numbers[4:], numbers[1:4], where)
        return _Pose(from_opencv(matrix), timestamp=numbers[0])
    return _Pose(from_opencv(np.array(numbers).reshape(-1, 4)))


def _read_csv(path: Path, text: str) -> tuple[list[_Pose], list[str]]:
    """The poses of a table, and notes on its columns."""
    lines = text.splitlines()[: MAX_VIEWS + 1]
    header = _header(lines)
    rows = dict(rows_of(path, lines, header))
    columns = _with_names(header.columns, list(rows.values()))
    notes = note_on_columns(path, header._replace(columns=columns), _KNOWN, list(rows.values()))
    poses, problems = [], []
    for number, words in rows.items():
        row = dict(zip(columns, words, strict=False))
        where = f"{path}, line {number}"
        try:
            position, rotation = (
                [finite_number(row.get(key), f"{where}: {key}") for key in keys]
                for keys in (_POSITION, _QUATERNION)
            )
            matrix = from_opencv(pose_of_quaternion(rotation, position, where))
            stamp = row.get("timestamp")
            timestamp = None if stamp is None else finite_number(stamp, f"{where}: timestamp")
            poses.append(_Pose(matrix, timestamp, (row.get("name") or "").strip() or None))
        except UserError as problem:
            problems.append((f"line {number}", str(problem)))
    return _checked(path, poses, problems), notes


def _with_names(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The columns with the first one that holds names of images as `name`, unless one is called so.

    Without it, poses would be matched by their order, though the file says which image each has.
    """
    whole = [row for row in rows if len(row) >= len(columns)]
    found = list(columns)
    for index in range(len(columns) if whole and "name" not in columns else 0):
        words = [row[index].strip().strip('"').lower() for row in whole]
        if all(word.endswith(IMAGE_SUFFIXES) for word in words):
            found[index] = "name"
            break
    return tuple(found)


# Which image belongs to which pose.


def _match(
    path: Path,
    poses: Sequence[_Pose],
    image_folder: Path,
    names: Sequence[str],
    stamps: Sequence[tuple[float, str]],
) -> tuple[list[tuple[str, _Pose]], list[str]]:
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
        return named, []
    if stamps:
        ordered = sorted(poses, key=lambda pose: pose.timestamp or 0.0)
        pairs = match_by_time(stamps, [pose.timestamp or 0.0 for pose in ordered])
        matched = [(stamps[image][1], ordered[pose]) for image, pose in pairs.items()]
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
