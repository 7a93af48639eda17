"""The poses of a trajectory in a table, see `nerf.captures.readers.trajectory`.

It may have the lens of each image too: fx, fy, cx, cy and more, as `intrinsics.txt` has them.
"""

from collections.abc import Sequence
from pathlib import Path

from nerf.captures.readers.posed_images import MAX_VIEWS, finite_number
from nerf.captures.safe_files.reading import IMAGE_SUFFIXES
from nerf.captures.safe_files.tables import TableHeader, find_header, note_on_columns, rows_of
from nerf.captures.trajectories.intrinsics_file import LENS_COLUMNS
from nerf.captures.trajectories.poses import (
    NUMBERS,
    OTHER_NAMES,
    POSITION,
    QUATERNION,
    Pose,
    checked,
    pose_of_numbers,
)
from nerf.errors import UserError

# Columns of 3x4 matrices, row by row, and those of a fourth row.
_MATRICES = (
    *(
        tuple(f"{name}{row}{column}" for row in range(first, first + 3) for column in columns)
        for name in ("m", "m_", "t", "t_")
        for first in (0, 1)
        for columns in [range(first, first + 4)]
    ),
    *(
        tuple(
            x
            for row, place in zip(range(first, first + 3), POSITION, strict=True)
            for x in (*(f"{name}{row}{column}" for column in range(first, first + 3)), place)
        )
        for name in ("r", "r_", "m", "m_")
        for first in (0, 1)
    ),
)
_LAST_ROWS = tuple(
    f"{n}{row}{c}" for n in ("m", "m_", "t", "t_") for row in (3, 4) for c in range(5)
)
_KNOWN = ("name", "timestamp", *POSITION, *QUATERNION, *NUMBERS)


def header_of(lines: Sequence[str]) -> TableHeader:
    """The names of the columns of a table of poses; none if it is not one."""
    for needed in ((*POSITION, *QUATERNION), *_MATRICES):
        header = find_header(lines, needed, OTHER_NAMES, within=1)
        if header.columns:
            return header
    return header


def read_csv(path: Path, text: str) -> tuple[list[Pose], list[str]]:
    """The poses of a table, and notes on its columns."""
    lines = text.splitlines()[: MAX_VIEWS + 1]
    header = header_of(lines)
    rows = dict(rows_of(path, lines, header))
    columns = _with_names(header.columns, list(rows.values()))
    matrix = next((keys for keys in _MATRICES if set(keys) <= set(columns)), None)
    matrix = None if set(QUATERNION) <= set(columns) else matrix
    of_lens = [name for name in columns if name in LENS_COLUMNS] if "fx" in columns else []
    known = (*_KNOWN, *(matrix or ()), *(_LAST_ROWS if matrix else ()), *of_lens)
    notes = note_on_columns(path, header._replace(columns=columns), known, list(rows.values()))
    poses, problems = [], []
    for number, words in rows.items():
        row = dict(zip(columns, words, strict=False))
        where = f"{path}, line {number}"
        try:
            keys = matrix or (*POSITION, *QUATERNION)
            numbers = [finite_number(row.get(key), f"{where}: {key}") for key in keys]
            stamp = row.get("timestamp")
            timestamp = None if stamp is None else finite_number(stamp, f"{where}: timestamp")
            name = (row.get("name") or "").strip() or None
            pose = pose_of_numbers(numbers, where)._replace(timestamp=timestamp, name=name)
            poses.append(pose._replace(lens={key: row.get(key, "") for key in of_lens}))
        except UserError as problem:
            problems.append((f"line {number}", str(problem)))
    return checked(path, poses, problems), notes


def _with_names(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The columns with the first one that holds names of images as `name`, if there is one.

    Without it, poses would be matched by their order, although the file names the image of each.
    """
    whole = [row for row in rows if len(row) >= len(columns)]
    for index in range(len(columns) if whole else 0):
        words = [row[index].strip().strip('"').lower() for row in whole]
        if all(word.endswith(IMAGE_SUFFIXES) for word in words):
            others = ("" if column == "name" else column for column in columns)
            return tuple("name" if at == index else column for at, column in enumerate(others))
    return tuple(columns)
