"""Folders that may be meant as a trajectory; only the names of files are looked at."""

import re
from collections.abc import Iterator
from pathlib import Path

from nerf.captures.safe_files.reading import contents, file_named, files_with

_LENSES = ("intrinsics.txt", "intrinsics.json", "calib.txt", "camera_intrinsics.json")
_OF_POSES = re.compile("pose|traj|camera", re.I)


def guesses(folder: Path) -> Iterator[str]:
    """Sentences on a table without names of columns, and on a lens without poses."""
    lens = file_named(folder, *_LENSES)
    tables = [p for p in files_with(folder, ".csv", ".tsv") if lens or _OF_POSES.search(p.stem)]
    if tables:
        yield (
            f"{tables[0]} has no line with the names of its columns, or none that are known: put "
            "name,tx,ty,tz,qx,qy,qz,qw above its values"
        )
    if lens is not None:
        yield (
            f"{folder} has {lens.name}, but no poses ({contents(folder)}): add trajectory.txt or "
            "poses.csv with the pose of each image"
        )
