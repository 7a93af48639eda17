"""The poses of a trajectory: lines of TUM or KITTI; see `nerf.captures.readers.trajectory`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import Array, InvalidCapture
from nerf.captures.readers.posed_images import (
    MAX_VIEWS,
    finite_number,
    from_opencv,
    pose_of_quaternion,
    read_text_file,
)
from nerf.captures.safe_files.reading import files_with, natural_key
from nerf.captures.safe_files.tables import (
    has_decimal_commas,
)
from nerf.errors import UserError, counted, listed
from nerf.geometry.poses import are_orthonormal

_NUMBERED = (13, 17)  # words of a line with a matrix behind another one
_LENGTHS = (8, 12, 16, *_NUMBERED)
NUMBERS = ("id", "index", "frame_id", "frame_index")  # that say nothing of a pose
_POSE_SUFFIX = ".pose"  # of 7-Scenes, whose poses lie beside the images
POSITION = ("tx", "ty", "tz")
QUATERNION = ("qx", "qy", "qz", "qw")
OTHER_NAMES = {
    **dict.fromkeys(("file", "filename", "file_name", "file_path", "filepath", "path"), "name"),
    **dict.fromkeys(("image", "image_name", "image_path", "image_file", "img", "img_name"), "name"),
    **dict.fromkeys(("img_path", "frame", "rgb", "rgb_path", "label"), "name"),
    **dict.fromkeys(("time", "timestamp_s", "stamp", "ts", "time_s"), "timestamp"),
    **dict.fromkeys(("timestamp_ns", "timestamp_us", "timestamp_ms", "time_ns"), "timestamp"),
    **dict.fromkeys(("x", "pos_x"), "tx"),
    **dict.fromkeys(("y", "pos_y"), "ty"),
    **dict.fromkeys(("z", "pos_z"), "tz"),
    "fl_x": "fx",
    "fl_y": "fy",
    "focal_x": "fx",
    "focal_y": "fy",
}


class _Order(NamedTuple):
    """Where the values of a line are.

    Attributes:
      places: of timestamp or name, position and quaternion.
      num_words: of a line.
    """

    places: list[int]
    num_words: int

    def of(self, words: Sequence[str]) -> Sequence[str]:
        """The words in the order of TUM; empty if their number differs."""
        return [words[at] for at in self.places] if len(words) == self.num_words else []


class Pose(NamedTuple):
    """One pose of a trajectory.

    Attributes:
      camtoworld: `[3, 4]`, columns right, up, back | position.
      timestamp: in seconds, if the file has one.
      name: of its image, if the file has one.
      lens: the words of its lens by the names of their columns, if the file has some.
    """

    camtoworld: Array
    timestamp: float | None = None
    name: str | None = None
    lens: Mapping[str, str] = {}


def read_text(path: Path, text: str) -> list[Pose]:
    """The poses of the text of a file in TUM's or KITTI's format.

    The name of an image may stand in place of TUM's timestamp; its name, number or timestamp before
    a matrix.
    """
    poses: list[Pose] = []
    problems: list[tuple[str, str]] = []
    count = None
    order: _Order | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not poses and not problems:
            named = _order(line)
            order = named or order
            if named and not line.lstrip().startswith("#"):
                continue
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
        if count is None:
            count = len(words)
            order = order if order is not None and order.num_words == count else None
        where = f"{path}, line {number}"
        try:
            if len(words) != count or count not in (
                _LENGTHS if order is None else (order.num_words,)
            ):
                raise _wrong_number(words, where)
            poses.append(_pose_of_line(words if order is None else order.of(words), where))
        except UserError as problem:
            problems.append((f"line {number}", str(problem)))
    return checked(path, poses, problems)


def _wrong_number(words: Sequence[str], where: str) -> UserError:
    return UserError(
        f"{where} has {counted(len(words), 'number')}, but each line must have 8 (TUM: timestamp "
        "tx ty tz qx qy qz qw), 12 (KITTI: a 3x4 matrix) or 16; the name of an image may stand in "
        "place of the timestamp, or before a matrix"
    )


def _pose_of_line(words: Sequence[str], where: str) -> Pose:
    """The pose of a line, and the name or the timestamp of its image where it begins with one."""
    first, rest = (None, words) if len(words) in (12, 16) else (words[0], words[1:])
    pose = pose_of_numbers([finite_number(word, where) for word in rest], where)
    if first is None:
        return pose
    try:
        float(first)
    except ValueError:
        return pose._replace(name=first.strip("\"'"))
    if len(words) in _NUMBERED and not are_orthonormal(pose.camtoworld[None, :, :3]).all():
        raise _wrong_number(words, where)  # the number is not before the matrix
    return pose._replace(timestamp=finite_number(first, where))


def _order(line: str) -> _Order | None:
    """Where the values of TUM's format are, by a line that names all of them; None for others.

    >>> _order("# timestamp tx ty tz qw qx qy qz").places, _order("1.0 2 3")
    ([0, 1, 2, 3, 5, 6, 7, 4], None)
    """
    words = [word.lower() for word in re.findall("[A-Za-z_]+", line)]
    words = [OTHER_NAMES.get(word, word) for word in words]
    for first in ("timestamp", "name"):
        expected = (first, *POSITION, *QUATERNION)
        if sorted(word for word in words if word not in NUMBERS) == sorted(expected):
            return _Order([words.index(word) for word in expected], len(words))
    return None


def checked(path: Path, poses: list[Pose], problems: Sequence[tuple[str, str]]) -> list[Pose]:
    """The poses of a file; raises if lines are faulty or no line has a pose."""
    if problems:
        raise InvalidCapture(merge_faults(problems, "lines"))
    if not poses:
        raise UserError(f"{path} has no poses: write one in each line")
    return poses


def pose_of_numbers(numbers: Sequence[float], where: str) -> Pose:
    """The pose of a position and a quaternion, or of a matrix 3x4 or 4x4."""
    if len(numbers) == 7:
        return Pose(from_opencv(pose_of_quaternion(numbers[3:], numbers[:3], where)))
    return Pose(from_opencv(np.array(numbers).reshape(-1, 4)))


def is_pose_text(lines: Sequence[str]) -> bool:
    """Whether the first line that is not a comment is one that `read_text` reads.

    >>> (
    ...     is_pose_text(["# poses", "1.5 0 0 0 0 0 0 1"]),
    ...     is_pose_text(["1.5 rgb/1.5.png"]),
    ... )
    (True, False)
    """
    order = next((found for line in lines[:1] if (found := _order(line))), None)
    for line in lines[0 if order is None or lines[0].lstrip().startswith("#") else 1 :]:
        words = line.partition("#")[0].replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        words = words if order is None else list(order.of(words))
        try:
            _pose_of_line(words if len(words) in _LENGTHS else [], "")
        except (UserError, IndexError):
            return False
        return True
    return False


def are_lines_with_rotations(lines: Sequence[str]) -> bool:
    """Whether two or more lines have poses, all with rotations: no other file is like that.

    >>> (
    ...     are_lines_with_rotations(["1 0 0 0 0 0.6 0 0.8"] * 3),
    ...     are_lines_with_rotations(["1 2 3 4 0.5 0.5 0.5 0.4"] * 3),
    ... )
    (True, False)
    """
    rows = [line.split() for line in lines[:-1] if line.strip() and not line.startswith("#")]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1 or len(rows[0]) not in _LENGTHS:
        return False
    try:
        numbers = np.array([[float(word) for word in row[-(len(row) // 4 * 4) :]] for row in rows])
    except ValueError:
        return False
    if numbers.shape[1] == 8:
        return bool(np.allclose(np.linalg.norm(numbers[:, 4:], axis=1), 1.0, atol=1e-3))
    return bool(are_orthonormal(numbers.reshape(len(rows), -1, 4)[:, :3, :3]).all())


def is_matrix(text: str) -> bool:
    """Whether a text is a matrix of 3x4 or 4x4, row by row or in one line."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if len(rows) == 1:
        return len(rows[0]) in (12, 16)
    return len(rows) in (3, 4) and all(len(row) == 4 for row in rows)


def read_folder(folder: Path, *, follow_links: bool = False) -> tuple[list[Pose], list[str]]:
    """The poses of a folder with a matrix for each image, in a file of its name; and notes.

    NAME.pose.txt is that of NAME.color.png. A matrix that is not finite is that of an image whose
    place was lost.
    """
    paths = sorted(files_with(folder, ".txt"), key=lambda path: natural_key(path.name))
    with_suffix = [path for path in paths if path.stem.lower().endswith(_POSE_SUFFIX)]
    paths = with_suffix or paths
    poses: list[Pose] = []
    problems: list[tuple[str, str]] = []
    lost: list[str] = []
    for path in paths[:MAX_VIEWS]:
        try:
            text = read_text_file(path, follow_links=follow_links)
            if not is_matrix(text):
                raise UserError(f"{path} is not a 3x4 or 4x4 matrix: write it row by row")
            words = text.split()
            if any(word.lower().lstrip("+-") in ("nan", "inf", "infinity") for word in words):
                lost.append(path.name)
                continue
            numbers = [finite_number(word, str(path)) for word in words]
            name = f"{path.stem[: -len(_POSE_SUFFIX)]}.color" if with_suffix else path.stem
            poses.append(pose_of_numbers(numbers, str(path))._replace(name=name))
        except UserError as problem:
            problems.append((path.name, str(problem)))
    if problems:
        raise InvalidCapture(merge_faults(problems, "files"))
    if not poses:
        raise UserError(f"no pose in {folder} is finite: record the images again")
    left_out = "pose is not finite and is left out", "poses are not finite and are left out"
    return poses, [f"{counted(len(lost), *left_out)}: {listed(lost)}"] if lost else []
