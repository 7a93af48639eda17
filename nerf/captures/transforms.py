"""Captures in `transforms.json` (nerfstudio, instant-ngp) and `transforms_train.json` (Blender).

Intrinsics are given once for all frames or in each frame: `fl_x`, `fl_y`, `cx`, `cy`, `w`, `h` in
pixels, or the horizontal angle of view `camera_angle_x` in radians; and the distortion `k1` to
`k4`, `p1`, `p2`. A frame names its image in `file_path`, relative to the JSON file, with or without
a suffix. Poses are camera to world after `applied_transform`; points from COLMAP are in world
coordinates before it, so it is applied to them here. Each frame may have `near` and `far`, which is
this project's own addition.

Source: nerfstudio's "Data conventions" page and `nerfstudio_dataparser.py`; instant-ngp's
`nerf_dataset_tips.md`; bmild/nerf `load_blender.py`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from nerf.captures import colmap, colmap_files, image_kinds
from nerf.captures.capture import Array, Capture, InvalidCapture, Split, make_lens, with_points
from nerf.captures.files import (
    IMAGE_SUFFIXES,
    find_image,
    folder_factor,
    images_without_pose,
    natural_key,
    read_json,
)
from nerf.captures.image_files import image_size
from nerf.errors import UserError, listed

NERFSTUDIO_FILE = "transforms.json"
BLENDER_FILE = "transforms_train.json"
_HELD_OUT_FILES = ("transforms_test.json", "transforms_val.json")  # the first that has images
_INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2")
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL")
_FISHEYE = ("OPENCV_FISHEYE",)
_MAX_PROBLEMS = 100
_MAX_FRAMES = 100_000


class _Frame(NamedTuple):
    """One frame of a file.

    Attributes:
      name: its `file_path`.
      file: the image file.
      matrix: `[3, 4]`, camera to world.
      intrinsics: the values of `_INTRINSICS`; NaN where the file has none.
      angle: the horizontal angle of view in radians, if the file has one.
      fisheye: whether its lens is a fisheye.
      size: width and height in pixels; 0 where the file has none.
      bounds: near and far, if the file has them.
      part: `train` or `test` in Blender's files, else empty.
    """

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

    Args:
      folder: contains the file.
      factor: N to read the images in `images_N`; None or 1 for the originals.

    Raises:
      UserError: with everything that is missing or impossible.
    """
    path = folder / NERFSTUDIO_FILE
    content = read_json(path)
    frames, notes = _read_frames(path, content, "", factor)
    notes += _notes_on_ignored_keys(content)
    split = _named_split(path, content, frames)
    points = _points(folder, content, notes)
    return _assemble("nerfstudio", folder, frames, points, split, notes)


def read_blender(folder: Path, factor: int | None = None) -> Capture:
    """Reads `transforms_train.json` and `transforms_test.json`.

    If there is no file of test views, or it has no images, the views of `transforms_val.json` are
    held out. If that is missing too, the capture has no split. Poses of test views that have no
    images are a camera path, see `Capture.path_poses`.

    Args:
      folder: contains the files.
      factor: N to read the images in `images_N`; None or 1 for the originals.

    Raises:
      UserError: with everything that is missing or impossible.
    """
    frames, notes = _read_frames(
        folder / BLENDER_FILE, read_json(folder / BLENDER_FILE), "train", factor
    )
    path_poses: Array | None = None
    for name in _HELD_OUT_FILES:
        path = folder / name
        if not path.is_file():
            continue
        content = read_json(path)
        if _has_images(path, content, factor):
            more_frames, more_notes = _read_frames(path, content, "test", factor)
            frames += more_frames
            notes += more_notes
            break
        poses = _poses(path, content)
        path_poses = poses if path_poses is None and len(poses) else path_poses
        notes.append(_note_without_images(name, poses))
    split = None
    if any(frame.part == "test" for frame in frames):
        train, test = (
            tuple(i for i, frame in enumerate(frames) if frame.part == part)
            for part in ("train", "test")
        )
        split = Split(train, test)
    capture = _assemble("blender", folder, frames, np.zeros((0, 3)), split, notes)
    return dataclasses.replace(capture, path_poses=path_poses)


def _has_images(path: Path, content: Mapping[str, Any], factor: int | None) -> bool:
    """Whether any frame of a file has an image, or is so wrong that reading it must say so."""
    listing = content.get("frames")
    if not isinstance(listing, list):
        return True
    names = [entry.get("file_path") if isinstance(entry, dict) else None for entry in listing]
    try:
        return any(
            name is None or not isinstance(name, str) or find_image(path.parent, name, factor)
            for name in names[:_MAX_FRAMES]
        )
    except UserError:
        return True


def _poses(path: Path, content: Mapping[str, Any]) -> Array:
    """The poses `[num_poses, 3, 4]` of a file, whatever its images."""
    matrices = [
        _matrix(entry.get("transform_matrix"), f"{path.name}, frame {number}: transform_matrix")
        for number, entry in enumerate(content["frames"][:_MAX_FRAMES])
    ]
    poses = np.array(matrices).reshape(-1, 3, 4)
    with np.errstate(all="ignore"):
        products = np.swapaxes(poses[:, :, :3], 1, 2) @ poses[:, :, :3]
        is_rotation = (np.abs(products - np.eye(3)) < 0.05).all() and (np.abs(poses) < 1e9).all()
        if not is_rotation or (np.linalg.det(poses[:, :, :3]) < 0).any():
            raise UserError(f"{path.name} has poses that are no rotations: make the file again")
    return poses


def _note_without_images(name: str, poses: Array) -> str:
    """A note on a file of held-out views that has no images."""
    if not len(poses):
        return f"{name} has no frames, so none of its views is held out"
    return (
        f"none of the {len(poses)} images that {name} names is there, so they cannot be held out; "
        'its poses are a camera path, `camera_path="test"`'
    )


def _read_frames(
    path: Path, content: Mapping[str, Any], part: str, factor: int | None
) -> tuple[list[_Frame], list[str]]:
    """The frames of a file that have an image, sorted by name, and notes on the others."""
    listing = content.get("frames")
    if not isinstance(listing, list) or not listing:
        raise UserError(
            f"{path} has no list of frames: each frame must have file_path and transform_matrix"
        )
    if len(listing) > _MAX_FRAMES:
        raise UserError(f"{path} has more than {_MAX_FRAMES:,} frames: remove some")
    frames: list[_Frame] = []
    problems: list[str] = []
    without_image: list[str] = []
    frame_of_file: dict[Path, int] = {}
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
            without_image.append(str(entry.get("file_path")))
        elif frame.file in frame_of_file:
            problems.append(
                f"{where} names the same image as frame {frame_of_file[frame.file]}, "
                f"{frame.file.name}: remove one of them"
            )
        else:
            frame_of_file[frame.file] = number
            frames.append(frame)
    if problems:
        raise InvalidCapture(problems)
    if not frames:
        raise UserError(
            f"none of the {len(listing)} images that {path} names is there, the first of them "
            f"{without_image[0]}: put them into {path.parent}"
        )
    missing = f"{len(without_image)} frames of {path.name} have no image and are left out: "
    notes = [missing + listed(without_image)] if without_image else []
    return sorted(frames, key=lambda frame: natural_key(frame.name)), notes


def _read_frame(
    path: Path, values: Mapping[str, Any], where: str, part: str, factor: int | None
) -> _Frame | None:
    """One frame; None if its image is missing. `where` is for messages."""
    name = values.get("file_path")
    if not isinstance(name, str) or not name:
        raise UserError(f"{where} has no file_path: name its image, relative to {path.name}")
    matrix = _matrix(values.get("transform_matrix"), f"{where}: transform_matrix")
    model = values.get("camera_model", "OPENCV")
    if model not in (*_PERSPECTIVE, *_FISHEYE):
        raise UserError(
            f"{where}: camera_model {model!r} is not read, only "
            f"{', '.join((*_PERSPECTIVE, *_FISHEYE))}: undistort the images first"
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
    """Looks up finite numbers in the values of a frame or of the whole file.

    A missing value is a UserError, unless there is a default.
    """

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
    """A matrix `[3, 4]` from the rows of a 3x4 or 4x4 matrix in JSON. `where` is for messages."""
    advice = "it must be a 4x4 camera-to-world matrix"
    if not isinstance(rows, list) or len(rows) not in (3, 4):
        raise UserError(f"{where} is missing or does not have 4 rows: {advice}")
    if not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise UserError(f"{where} has rows that do not have 4 numbers: {advice}")
    flat = [value for row in rows for value in row]
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in flat):
        raise UserError(f"{where} contains something other than numbers: {advice}")
    try:
        matrix = np.array(flat, np.float64).reshape(-1, 4)
    except OverflowError as error:
        raise UserError(f"{where} contains a number that is too large: {advice}") from error
    if not np.isfinite(matrix).all():
        raise UserError(f"{where} contains NaN or infinity: make the poses again")
    return matrix[:3]


def _notes_on_ignored_keys(content: Mapping[str, Any]) -> list[str]:
    """Notes on keys of a file that are not used."""
    notes = []
    if any("mask_path" in frame for frame in content["frames"]):
        notes.append("masks (mask_path) are not read: all pixels are used")
    if content.get("train_filenames") and not (
        content.get("test_filenames") or content.get("val_filenames")
    ):
        notes.append(
            "train_filenames is not used, since there is no test_filenames or val_filenames"
        )
    return notes


def _named_split(path: Path, content: Mapping[str, Any], frames: Sequence[_Frame]) -> Split | None:
    """The split that nerfstudio's lists of file names define; None if the file has no lists."""
    lists = {key: content.get(f"{key}_filenames") for key in ("train", "val", "test")}
    if lists["train"] is None or (lists["test"] is None and lists["val"] is None):
        return None
    listed_stems: dict[str, set[str]] = {}
    for key, names in lists.items():
        if names is not None and not (
            isinstance(names, list) and all(isinstance(name, str) for name in names)
        ):
            raise UserError(f"{path}: {key}_filenames must be a list of names: make it again")
        listed_stems[key] = {_stem(name) for name in names or ()}
    held_out = listed_stems["test"] or listed_stems["val"]
    stems = [_stem(frame.name) for frame in frames]
    train = tuple(i for i, stem in enumerate(stems) if stem in listed_stems["train"])
    test = tuple(i for i, stem in enumerate(stems) if stem in held_out and i not in train)
    if not train or not test:
        raise UserError(
            f"{path}: train_filenames and test_filenames (or val_filenames) leave no view to "
            "train on, or none to test: remove them, or name images of frames"
        )
    return Split(train, test)


def _stem(name: str) -> str:
    """The name of an image without its suffix, with `/` between folders."""
    path = PurePosixPath(name.replace("\\", "/"))
    known = path.suffix.lower() in IMAGE_SUFFIXES
    return (path.with_suffix("") if known else path).as_posix()


def _points(folder: Path, content: Mapping[str, Any], notes: list[str]) -> Array:
    """COLMAP's points in the frame of the poses, `[num_points, 3]`; none if there is no model.

    A model that cannot be read adds a note instead.
    """
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
    """Width and height of the original image of a frame, whose file may be a smaller copy."""
    original = find_image(folder, frame.name, None)
    file = frame.file if original is None else original
    width, height = image_size(file)
    relative = file.relative_to(folder).parts
    named = PurePosixPath(frame.name.replace("\\", "/")).parts
    factor = folder_factor(relative[0]) if len(relative) > 1 and relative[0] not in named else None
    return width * (factor or 1), height * (factor or 1)


def _sizes(folder: Path, frames: Sequence[_Frame]) -> list[tuple[int, int]]:
    """Width and height of each frame, from the file or from its image.

    Raises:
      InvalidCapture: with all images that cannot be read.
    """
    sizes, faults = [], []
    for frame in frames:
        try:
            sizes.append(frame.size if min(frame.size) > 0 else _original_size(folder, frame))
        except UserError as fault:
            faults.append(fault)
    if faults:
        raise InvalidCapture(image_kinds.sentences(faults))
    return sizes


def _assemble(
    name: str,
    folder: Path,
    frames: Sequence[_Frame],
    points: Array,
    split: Split | None,
    notes: Sequence[str],
) -> Capture:
    """Makes a capture of frames. Sizes that the file lacks are read from the images' headers."""
    rows, sizes = [], _sizes(folder, frames)
    for frame, size in zip(frames, sizes, strict=True):
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
    without_pose = images_without_pose(frame.file for frame in frames)
    if without_pose:
        note = f"{len(without_pose)} images have no pose and are not used: {listed(without_pose)}"
        notes = [*notes, note]
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
