"""Folders that lack one file of a format, and the messages about them.

Only the names of files are looked at.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from nerf.captures.safe_files.reading import contents, file_named, files_with
from nerf.errors import listed

_MODEL_FOLDERS = ("sparse/0", "colmap/sparse/0", "sparse", "colmap/sparse", "colmap", ".")
_MODEL_PARTS = ("cameras", "images")
_HELD_OUT = ("transforms_test.json", "transforms_val.json")
_LENSES = ("intrinsics.txt", "intrinsics.json", "calib.txt", "camera_intrinsics.json")
_KNOWN = (
    *("poses_bounds.npy", "transforms_train.json", "metadata.json", "cameras.json"),
    *("trajectory.txt", "groundtruth.txt", "poses.txt", "traj.txt", "images.txt", "images.bin"),
)
_OF_POSES = re.compile("pose|traj|camera", re.I)
_COPY = re.compile(r"(?P<name>.+?)(?: ?\([0-9]+\)| - copy(?: \([0-9]+\))?| copy(?: [0-9]+)?)", re.I)


def what_is_missing(folder: Path) -> str | None:
    """What a folder has of a format and what it lacks, in one sentence; None if it has nothing.

    A sentence says what to do: to copy what is missing.
    """
    return next(_sentences(folder), None)


def _sentences(folder: Path) -> Iterator[str]:
    for name in _MODEL_FOLDERS:
        yield from _of_colmap(folder / name)
    there = [name for name in _HELD_OUT if file_named(folder, name) is not None]
    if there:
        yield (
            f"{folder} has {listed(there)} of a Blender capture, but no transforms_train.json: "
            "copy it there"
        )
    keyframes = folder / "keyframes"
    if keyframes.is_dir():
        yield (
            f"{keyframes} has no cameras or corrected_cameras: export Polycam's raw data again, "
            "taken with its developer mode on"
        )
    for name in ("metadata.json", "metadata"):
        if file_named(folder, name) is not None and (folder / "depth").is_dir():
            yield f"{folder} has {name} of Record3D, but no rgb: copy the folder of images there"
    for path in files_with(folder, ".npy", ".json", ".txt", ".bin"):
        if path.stem.lower() in (*_KNOWN, "transforms.json"):  # NAME.txt.txt of Windows
            yield f"{path} has the name of a copy: rename it to {path.stem}"
        found = _COPY.fullmatch(path.stem)
        if found and f"{found['name']}{path.suffix}".lower() in _KNOWN:
            yield f"{path} has the name of a copy: rename it to {found['name']}{path.suffix}"
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


def _of_colmap(model: Path) -> Iterator[str]:
    """The files of a COLMAP model that a folder has."""
    if not model.is_dir():
        return
    parts = (*_MODEL_PARTS, "points3D")
    found = {
        part: path.suffix[1:].lower()
        for part in parts
        for path in [file_named(model, f"{part}.bin", f"{part}.txt")]
        if path is not None
    }
    if not found or (model.parts[-1:] and len(found) == 1 and not model.name.isdecimal()):
        return
    suffix = next(iter(found.values()))
    missing = [f"{part}.{suffix}" for part in _MODEL_PARTS if found.get(part) != suffix]
    if missing:
        there = listed(f"{part}.{form}" for part, form in found.items())
        yield (
            f"{model} has {there} of a COLMAP model, but no {' and no '.join(missing)}: copy "
            f"{'it' if len(missing) == 1 else 'them'} there, or run COLMAP again"
        )
