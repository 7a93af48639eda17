"""Captures in `transforms.json` (nerfstudio, instant-ngp) and `transforms_train.json` (Blender).

Intrinsics stand once for all frames or in each: `fl_x`, `fl_y`, `cx`, `cy`, `w`, `h`, or an angle
of view (`camera_angle_x`, radians, across the whole width), and distortion `k1` to `k4`, `p1`,
`p2`. A frame names its picture in `file_path`, with or without an ending, relative to the file.
Poses are in the frame that `applied_transform` led to; to points, which are in the frame before, it
is applied here. `near` and `far` may stand in each frame, which is this project's own addition.

Source: nerfstudio's "Data conventions" page and `nerfstudio_dataparser.py`; instant-ngp's
`nerf_dataset_tips.md`; bmild/nerf `load_blender.py`.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from nerf.captures import colmap, colmap_files
from nerf.captures.capture import Array, Capture, Problems, make_lens, with_points
from nerf.captures.files import (
    IMAGE_SUFFIXES,
    copies_factor,
    find_image,
    images_without_pose,
    natural,
    read_json,
)
from nerf.captures.image_files import image_size
from nerf.errors import UserError, listed
from nerf.scenes.scene import Split

NERFSTUDIO_FILE = "transforms.json"
BLENDER_FILE = "transforms_train.json"
_BLENDER_FILES = {"train": BLENDER_FILE, "test": "transforms_test.json"}
_VALIDATION_FILE = "transforms_val.json"
_INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2")
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL")
_FISHEYE = ("OPENCV_FISHEYE",)
_MAX_PROBLEMS = 100
_MAX_FRAMES = 100_000


class _Frame(NamedTuple):
    """One frame: `intrinsics` are `_INTRINSICS`, the centre NaN for the picture's middle."""

    name: str
    file: Path
    matrix: Array
    intrinsics: list[float]
    angle: float | None
    fisheye: bool
    size: tuple[int, int]
    bounds: tuple[float, float] | None
    part: str


def read_nerfstudio(folder: Path, factor: int | None = None) -> Capture:
    """Reads `transforms.json`.

    Raises:
      UserError: for what is missing or impossible, all of it.
    """
    path = folder / NERFSTUDIO_FILE
    content = read_json(path)
    frames, notes = _read_frames(path, content, "", factor)
    notes += _unread(content)
    split = _named_split(path, content, frames)
    points = _points(folder, content, notes)
    return _assemble("nerfstudio", folder, frames, points, split, notes)


def read_blender(folder: Path, factor: int | None = None) -> Capture:
    """Reads `transforms_train.json` and `transforms_test.json`.

    Where there is no file of test views, those of `transforms_val.json` are held out, else every
    so many of the training views.

    Raises:
      UserError: for what is missing or impossible, all of it.
    """
    files = dict(_BLENDER_FILES)
    if not (folder / files["test"]).is_file() and (folder / _VALIDATION_FILE).is_file():
        files["test"] = _VALIDATION_FILE
    frames: list[_Frame] = []
    notes: list[str] = []
    for part, name in files.items():
        path = folder / name
        if part == "train" or path.is_file():
            more, remarks = _read_frames(path, read_json(path), part, factor)
            frames += more
            notes += remarks
    split = None
    if any(frame.part == "test" for frame in frames):
        train, test = (
            tuple(i for i, frame in enumerate(frames) if frame.part == part) for part in files
        )
        split = Split(train, test)
    return _assemble("blender", folder, frames, np.zeros((0, 3)), split, notes)


def _read_frames(
    path: Path, content: Mapping[str, Any], part: str, factor: int | None
) -> tuple[list[_Frame], list[str]]:
    """The frames of a file that have a picture, and remarks on the others."""
    listing = content.get("frames")
    if not isinstance(listing, list) or not listing:
        raise UserError(f"{path} has no list of frames: it must have one with file_path and matrix")
    if len(listing) > _MAX_FRAMES:
        raise UserError(f"{path} has more than {_MAX_FRAMES:,} frames: give it fewer")
    frames: list[_Frame] = []
    problems: list[str] = []
    without_picture: list[str] = []
    named: dict[Path, int] = {}
    for number, entry in enumerate(listing):
        where = f"{path.name}, frame {number}"
        try:
            if not isinstance(entry, dict):
                raise UserError(f"{where} is not an object: make the file again")
            frame = _read_frame(path, {**content, **entry}, where, part, factor)
        except UserError as problem:
            problems.append(str(problem))
            if len(problems) == _MAX_PROBLEMS:
                break
            continue
        if frame is None:
            without_picture.append(str(entry.get("file_path")))
        elif frame.file in named:
            problems.append(
                f"{where} names the same picture as frame {named[frame.file]}, {frame.file.name}: "
                "remove one of them"
            )
        else:
            named[frame.file] = number
            frames.append(frame)
    if problems:
        raise Problems(problems)
    if not frames:
        raise UserError(
            f"none of the {len(listing)} pictures that {path} names is there, the first of them "
            f"{without_picture[0]}: put them into {path.parent}"
        )
    missing = f"{len(without_picture)} frames of {path.name} have no picture and are left out: "
    notes = [missing + listed(without_picture)] if without_picture else []
    return sorted(frames, key=lambda frame: natural(frame.name)), notes


def _read_frame(
    path: Path, values: Mapping[str, Any], where: str, part: str, factor: int | None
) -> _Frame | None:
    """One frame; None if its picture is not there."""
    name = values.get("file_path")
    if not isinstance(name, str) or not name:
        raise UserError(f"{where} has no file_path: name its picture, relative to {path.name}")
    matrix = _matrix(values.get("transform_matrix"), f"{where}: transform_matrix")
    model = values.get("camera_model", "OPENCV")
    if model not in (*_PERSPECTIVE, *_FISHEYE):
        raise UserError(
            f"{where}: camera_model {model!r} is not read, only "
            f"{', '.join((*_PERSPECTIVE, *_FISHEYE))}: undistort the pictures first"
        )
    get = _Numbers(values, where)
    angle = get("camera_angle_x") if values.get("camera_angle_x") is not None else None
    if angle is not None and not 0 < angle < math.pi:
        raise UserError(f"{where}: camera_angle_x must be between 0 and pi radians, not {angle}")
    focal = get("fl_x", math.nan)
    if math.isnan(focal) and angle is None:
        raise UserError(f"{where} has no focal length: give fl_x in pixels, or camera_angle_x")
    numbers = [focal, get("fl_y", focal), get("cx", math.nan), get("cy", math.nan)]
    numbers += [get(key, 0.0) for key in _INTRINSICS[4:]]
    width, height = (get(key, 0.0) for key in ("w", "h"))
    for length in (width, height):
        if length != int(length) or not 0 <= length < 2**31:
            raise UserError(f"{where}: w and h must be whole numbers of pixels, not {length}")
    bounds = (get("near"), get("far")) if {"near", "far"} <= set(values) else None
    file = find_image(path.parent, name, factor)
    if file is None:
        return None
    fisheye = model in _FISHEYE or values.get("is_fisheye") is True
    size = int(width), int(height)
    return _Frame(name, file, matrix, numbers, angle, fisheye, size, bounds, part)


class _Numbers:
    """Finite numbers of a frame or of the whole file, by name."""

    def __init__(self, values: Mapping[str, Any], where: str):
        self._values, self._where = values, where

    def __call__(self, key: str, default: float | None = None) -> float:
        if default is not None and self._values.get(key) is None:
            return default
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserError(f"{self._where}: {key} must be a number, not {str(value)[:50]!r}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise UserError(f"{self._where}: {key} must be finite")
        return number


def _matrix(rows: Any, where: str) -> Array:
    """`[3, 4]` from rows of a 3x4 or 4x4 matrix."""
    advice = "it must be a 4x4 camera-to-world matrix"
    if not isinstance(rows, list) or len(rows) not in (3, 4):
        raise UserError(f"{where} is missing or has no 4 rows: {advice}")
    if not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise UserError(f"{where} has rows that are not of 4 numbers: {advice}")
    flat = [value for row in rows for value in row]
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in flat):
        raise UserError(f"{where} holds something else than numbers: {advice}")
    try:
        matrix = np.array(flat, np.float64).reshape(-1, 4)
    except OverflowError as error:
        raise UserError(f"{where} holds a number that is too large: {advice}") from error
    if not np.isfinite(matrix).all():
        raise UserError(f"{where} holds NaN or infinity: make the poses again")
    return matrix[:3]


def _unread(content: Mapping[str, Any]) -> list[str]:
    """Remarks on what a file says and is not heeded."""
    notes = []
    if any("mask_path" in frame for frame in content["frames"]):
        notes.append("masks (mask_path) are not read: every pixel counts")
    if content.get("train_filenames") and not (
        content.get("test_filenames") or content.get("val_filenames")
    ):
        notes.append("train_filenames without test_filenames or val_filenames is not heeded")
    return notes


def _named_split(path: Path, content: Mapping[str, Any], frames: Sequence[_Frame]) -> Split | None:
    """The split that nerfstudio's lists of file names make."""
    lists = {key: content.get(f"{key}_filenames") for key in ("train", "val", "test")}
    if lists["train"] is None or (lists["test"] is None and lists["val"] is None):
        return None
    chosen: dict[str, set[str]] = {}
    for key, names in lists.items():
        if names is not None and not (
            isinstance(names, list) and all(isinstance(name, str) for name in names)
        ):
            raise UserError(f"{path}: {key}_filenames must be a list of names: make it again")
        chosen[key] = {_stem(name) for name in names or ()}
    held_out = chosen["test"] or chosen["val"]
    stems = [_stem(frame.name) for frame in frames]
    train = tuple(i for i, stem in enumerate(stems) if stem in chosen["train"])
    test = tuple(i for i, stem in enumerate(stems) if stem in held_out and i not in train)
    if not train or not test:
        raise UserError(
            f"{path}: train_filenames and test_filenames (or val_filenames) leave no view to "
            "train on, or none to test: remove them, or name pictures of frames"
        )
    return Split(train, test)


def _stem(name: str) -> str:
    """A picture's name without its ending, in one form."""
    path = PurePosixPath(name.replace("\\", "/"))
    known = path.suffix.lower() in IMAGE_SUFFIXES
    return (path.with_suffix("") if known else path).as_posix()


def _points(folder: Path, content: Mapping[str, Any], notes: list[str]) -> Array:
    """COLMAP's points, where the folder has them beside the file, in the frame of the poses."""
    model = colmap.find_model(folder)
    if model is None:
        return np.zeros((0, 3))
    try:
        points = colmap_files.read_points(model)
    except UserError as error:
        notes.append(f"the points of COLMAP beside {NERFSTUDIO_FILE} are not used: {error}")
        return np.zeros((0, 3))
    if content.get("applied_transform") is not None:
        matrix = _matrix(content["applied_transform"], "applied_transform")
        points = points @ matrix[:, :3].T + matrix[:, 3]
    scale = _Numbers(content, NERFSTUDIO_FILE)("applied_scale", 1.0)
    return np.asarray(points * scale)


def _original_size(folder: Path, frame: _Frame) -> tuple[int, int]:
    """Width and height of the picture that a frame names, whose file may be a smaller copy."""
    original = find_image(folder, frame.name, None)
    file = frame.file if original is None else original
    width, height = image_size(file)
    relative = file.relative_to(folder).parts
    named = PurePosixPath(frame.name.replace("\\", "/")).parts
    factor = copies_factor(relative[0]) if len(relative) > 1 and relative[0] not in named else None
    return width * (factor or 1), height * (factor or 1)


def _assemble(
    name: str,
    folder: Path,
    frames: Sequence[_Frame],
    points: Array,
    split: Split | None,
    notes: Sequence[str],
) -> Capture:
    """The capture of some frames; what depends on the pictures' size is read from their headers."""
    rows, sizes = [], []
    for frame in frames:
        size = frame.size if min(frame.size) > 0 else _original_size(folder, frame)
        numbers = list(frame.intrinsics)
        if math.isnan(numbers[0]):
            assert frame.angle is not None
            numbers[0] = 0.5 * size[0] / math.tan(0.5 * frame.angle)
        if math.isnan(numbers[1]):
            numbers[1] = numbers[0]
        for index in (2, 3):
            if math.isnan(numbers[index]):
                numbers[index] = 0.5 * size[index - 2]
        rows.append(numbers)
        sizes.append(size)
    unposed = images_without_pose(frame.file for frame in frames)
    if unposed:
        more = f"{len(unposed)} pictures have no pose and are not used: {listed(unposed)}"
        notes = [*notes, more]
    bounds = [frame.bounds for frame in frames]
    capture = Capture(
        format=name,
        folder=folder,
        files=tuple(frame.file for frame in frames),
        camtoworlds=np.stack([frame.matrix for frame in frames]),
        lens=make_lens(rows, [frame.fisheye for frame in frames]),
        sizes=np.array(sizes, np.int64),
        bounds=None if None in bounds else np.array(bounds, np.float64),
        split=split,
        notes=tuple(notes),
    )
    return with_points(capture, points) if len(points) else capture
