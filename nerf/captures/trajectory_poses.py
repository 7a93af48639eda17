"""The poses of a trajectory: lines of TUM or KITTI, or a table; see `nerf.captures.trajectory`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerf.captures.capture import Array, InvalidCapture
from nerf.captures.faults import merge_faults
from nerf.captures.files import IMAGE_SUFFIXES, files_with, natural_key
from nerf.captures.posed_images import (
    MAX_VIEWS,
    finite_number,
    from_opencv,
    pose_of_quaternion,
    text_of,
)
from nerf.captures.tables import (
    Header,
    find_header,
    has_decimal_commas,
    note_on_columns,
    rows_of,
)
from nerf.errors import UserError, counted, listed

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


class Pose(NamedTuple):
    """One pose of a trajectory.

    Attributes:
      camtoworld: `[3, 4]`, columns right, up, back | position.
      timestamp: in seconds, if the file has one.
      name: of its image, if the file has one.
    """

    camtoworld: Array
    timestamp: float | None = None
    name: str | None = None


def header_of(lines: Sequence[str]) -> Header:
    """The names of the columns of a table of poses; none if it is not one."""
    return find_header(lines, (*_POSITION, *_QUATERNION), _OTHER_NAMES, within=1)


def read_text(path: Path, text: str) -> list[Pose]:
    """The poses of the text of a file in TUM's or KITTI's format."""
    poses: list[Pose] = []
    problems: list[tuple[str, str]] = []
    count = None
    order: list[int] | None = None
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
        count = count or len(words)
        where = f"{path}, line {number}"
        try:
            if len(words) != count or count not in (8, 12, 16):
                raise UserError(
                    f"{where} has {counted(len(words), 'number')}, but each line must have 8 "
                    "(TUM: timestamp tx ty tz qx qy qz qw), 12 (KITTI: a 3x4 matrix) or 16"
                )
            numbers = [finite_number(word, where) for word in words]
            numbers = [numbers[at] for at in order] if order and count == 8 else numbers
            poses.append(_pose(numbers, where))
        except UserError as problem:
            problems.append((f"line {number}", str(problem)))
    return _checked(path, poses, problems)


def _order(line: str) -> list[int] | None:
    """Where the values of TUM's format are, by a line that names all of them; None for others.

    >>> _order("# timestamp tx ty tz qw qx qy qz"), _order("1.0 2 3")
    ([0, 1, 2, 3, 5, 6, 7, 4], None)
    """
    words = [word.lower() for word in re.findall("[A-Za-z_]+", line)]
    words = [_OTHER_NAMES.get(word, word) for word in words]
    wanted = ("timestamp", *_POSITION, *_QUATERNION)
    return [words.index(word) for word in wanted] if sorted(words) == sorted(wanted) else None


def _checked(path: Path, poses: list[Pose], problems: Sequence[tuple[str, str]]) -> list[Pose]:
    """The poses of a file, unless lines are at fault or there is none."""
    if problems:
        raise InvalidCapture(merge_faults(problems, "lines"))
    if not poses:
        raise UserError(f"{path} has no poses: write one in each line")
    return poses


def _pose(numbers: Sequence[float], where: str) -> Pose:
    if len(numbers) == 8:
        matrix = pose_of_quaternion(numbers[4:], numbers[1:4], where)
        return Pose(from_opencv(matrix), timestamp=numbers[0])
    return Pose(from_opencv(np.array(numbers).reshape(-1, 4)))


def is_matrix(text: str) -> bool:
    """Whether a text is a matrix of 3x4 or 4x4."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    return len(rows) in (3, 4) and all(len(row) == 4 for row in rows)


def read_folder(folder: Path, *, follow_links: bool = False) -> tuple[list[Pose], list[str]]:
    """The poses of a folder with a matrix for each image, in a file of its name; and notes.

    A matrix that is not finite is that of an image whose place was lost.
    """
    paths = sorted(files_with(folder, ".txt"), key=lambda path: natural_key(path.name))
    poses: list[Pose] = []
    problems: list[tuple[str, str]] = []
    lost: list[str] = []
    for path in paths[:MAX_VIEWS]:
        try:
            text = text_of(path, follow_links=follow_links)
            if not is_matrix(text):
                raise UserError(f"{path} is no 3x4 or 4x4 matrix: write it row by row")
            words = text.split()
            if any(word.lower().lstrip("+-") in ("nan", "inf", "infinity") for word in words):
                lost.append(path.name)
                continue
            numbers = [finite_number(word, str(path)) for word in words]
            poses.append(_pose(numbers, str(path))._replace(name=path.stem))
        except UserError as problem:
            problems.append((path.name, str(problem)))
    if problems:
        raise InvalidCapture(merge_faults(problems, "files"))
    if not poses:
        raise UserError(f"no pose in {folder} is finite: record the images again")
    left_out = "pose is not finite and is left out", "poses are not finite and are left out"
    return poses, [f"{counted(len(lost), *left_out)}: {listed(lost)}"] if lost else []


def read_csv(path: Path, text: str) -> tuple[list[Pose], list[str]]:
    """The poses of a table, and notes on its columns."""
    lines = text.splitlines()[: MAX_VIEWS + 1]
    header = header_of(lines)
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
            poses.append(Pose(matrix, timestamp, (row.get("name") or "").strip() or None))
        except UserError as problem:
            problems.append((f"line {number}", str(problem)))
    return _checked(path, poses, problems), notes


def _with_names(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The columns with the first one that holds names of images as `name`, if there is one.

    Without it, poses would be matched by their order, though the file says which image each has.
    """
    whole = [row for row in rows if len(row) >= len(columns)]
    for index in range(len(columns) if whole else 0):
        words = [row[index].strip().strip('"').lower() for row in whole]
        if all(word.endswith(IMAGE_SUFFIXES) for word in words):
            others = ("" if column == "name" else column for column in columns)
            return tuple("name" if at == index else column for at, column in enumerate(others))
    return tuple(columns)
