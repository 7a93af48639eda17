"""COLMAP's own files: `cameras`, `images` and `points3D`, binary or text, as they stand there.

Source: COLMAP's documentation, "Output Format" and "Camera Models".
"""

import contextlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.files import natural, read_bytes
from nerf.errors import UserError, listed

Array = npt.NDArray[np.float64]

_MAX_BYTES = 2**31
_MAX_NAME = 1024

# What each model's parameters are, in COLMAP's order. `f` is both focal lengths.
MODELS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
    "SIMPLE_RADIAL_FISHEYE": ("f", "cx", "cy", "k1"),
    "RADIAL_FISHEYE": ("f", "cx", "cy", "k1", "k2"),
}
MODEL_IDS = {0: "SIMPLE_PINHOLE", 1: "PINHOLE", 2: "SIMPLE_RADIAL", 3: "RADIAL", 4: "OPENCV"}
MODEL_IDS |= {5: "OPENCV_FISHEYE", 8: "SIMPLE_RADIAL_FISHEYE", 9: "RADIAL_FISHEYE"}
_OTHER_MODELS = {6: "FULL_OPENCV", 7: "FOV", 10: "THIN_PRISM_FISHEYE"}


class Camera(NamedTuple):
    """A line of `cameras`."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


class Image(NamedTuple):
    """An entry of `images`: `rotation` is a quaternion, w first; both are world to camera."""

    name: str
    camera_id: int
    rotation: tuple[float, ...]
    translation: tuple[float, ...]
    point_ids: npt.NDArray[np.int64]


def read_cameras(model: Path) -> dict[int, Camera]:
    """The cameras of a model by their numbers."""
    if form_of(model) == "bin":
        return dict(_cameras_in_binary(model / "cameras.bin"))
    return dict(_cameras_in_text(model / "cameras.txt"))


def read_images(model: Path) -> list[Image]:
    """The posed images of a model in the order of their names."""
    if form_of(model) == "bin":
        images = list(_images_in_binary(model / "images.bin"))
    else:
        images = list(_images_in_text(model / "images.txt"))
    if not images:
        raise UserError(f"{model} has no posed image: COLMAP found no pose; take more pictures")
    names = [image.name for image in images]
    doubled = sorted({name for name in names if names.count(name) > 1}) if len(names) < 5000 else []
    if doubled:
        raise UserError(f"{model} names {listed(doubled)} more than once: run COLMAP again")
    return sorted(images, key=lambda image: natural(image.name))


def read_points(model: Path) -> Array:
    """The points of a model, `[num_points, 3]`."""
    return np.array(list(points_by_number(model).values())).reshape(-1, 3)


def form_of(model: Path) -> str | None:
    """Whether a folder holds a model in binary or in text form, or none."""
    for form in ("bin", "txt"):
        with contextlib.suppress(OSError):
            if all((model / f"{part}.{form}").is_file() for part in ("cameras", "images")):
                return form
    return None


def points_by_number(model: Path) -> dict[int, Array]:
    """The points of a model by their numbers, those that are not finite left out."""
    if form_of(model) == "bin":
        found = dict(_points_in_binary(model / "points3D.bin"))
    else:
        found = dict(_points_in_text(model / "points3D.txt"))
    return {number: point for number, point in found.items() if np.isfinite(point).all()}


# The binary form: little endian, counts before what they count.


class _Bytes:
    """A file's bytes, taken from its front; never more of them than there are."""

    def __init__(self, path: Path):
        self._path, self._data, self._at = path, read_bytes(path, _MAX_BYTES), 0

    def take(self, form: str) -> tuple[float | int, ...]:
        size = struct.calcsize(form)
        self._check(size)
        values = struct.unpack_from(form, self._data, self._at)
        self._at += size
        return values

    def count(self, at_least: int) -> int:
        """A number of things that take at least so many bytes each."""
        (number,) = self.take("<Q")
        self._check(int(number) * at_least)
        return int(number)

    def array(self, number: int, dtype: npt.DTypeLike) -> npt.NDArray[np.void]:
        kind = np.dtype(dtype)
        self._check(number * kind.itemsize)
        found = np.frombuffer(self._data, kind, number, self._at)
        self._at += number * kind.itemsize
        return found

    def skip(self, size: int) -> None:
        self._check(size)
        self._at += size

    def name(self) -> str:
        end = self._data.find(b"\0", self._at, self._at + _MAX_NAME)
        if end < 0:
            raise self._broken("a name has no end")
        text = self._data[self._at : end]
        self._at = end + 1
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._broken("a name is not in UTF-8") from error

    def _check(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise self._broken("it ends before what it announces")

    def _broken(self, what: str) -> UserError:
        return UserError(f"{self._path} is broken ({what}): copy it again, or run COLMAP again")


def _cameras_in_binary(path: Path) -> Iterator[tuple[int, Camera]]:
    data = _Bytes(path)
    for _ in range(data.count(at_least=24)):
        number, model_id, width, height = (int(x) for x in data.take("<iiQQ"))
        if model_id not in MODEL_IDS:
            raise _unknown_model(path, _OTHER_MODELS.get(model_id, f"number {model_id}"))
        model = MODEL_IDS[model_id]
        params = data.take(f"<{len(MODELS[model])}d")
        yield number, _camera(path, model, width, height, params)


def _images_in_binary(path: Path) -> Iterator[Image]:
    data = _Bytes(path)
    for _ in range(data.count(at_least=73)):
        data.take("<i")
        pose = data.take("<7d")
        (camera_id,) = data.take("<i")
        name = data.name()
        num_points = data.count(at_least=24)
        seen = data.array(num_points, [("xy", "<2f8"), ("id", "<i8")])
        yield Image(name, int(camera_id), pose[:4], pose[4:], seen["id"].astype(np.int64))


def _points_in_binary(path: Path) -> Iterator[tuple[int, Array]]:
    data = _Bytes(path)
    for _ in range(data.count(at_least=51)):
        (number,) = data.take("<Q")
        point = np.array(data.take("<3d"))
        data.skip(3 + 8)  # colour and error
        data.skip(8 * data.count(at_least=8))  # the pictures that show it
        yield int(number), point


# The text form: words, one thing a line.


def lines_of(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Where each line is, and its words, lines of comment left out."""
    text = read_bytes(path, _MAX_BYTES).decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("#"):
            yield f"{path}, line {number}", line.split()


def numbers_in(where: str, words: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise UserError(f"{where} has {error}: copy the file again, or run COLMAP again") from error


def _whole(where: str, word: str) -> int:
    (value,) = numbers_in(where, [word])
    if value != value or abs(value) >= 2**63 or value != int(value):
        raise UserError(f"{where} has {word} where a whole number is: copy the file again")
    return int(value)


def _rows(lines: Iterator[tuple[str, list[str]]], at_least: int) -> Iterator[tuple[str, list[str]]]:
    """The lines that are not empty, which have so many words."""
    for where, words in lines:
        if words and len(words) < at_least:
            raise UserError(f"{where} has fewer than {at_least} words: copy the file again")
        if words:
            yield where, words


def _cameras_in_text(path: Path) -> Iterator[tuple[int, Camera]]:
    for where, words in _rows(lines_of(path), at_least=4):
        if words[1] not in MODELS:
            raise _unknown_model(path, words[1][:50])
        number, width, height = (_whole(where, words[i]) for i in (0, 2, 3))
        yield number, _camera(path, words[1], width, height, numbers_in(where, words[4:]))


def _images_in_text(path: Path) -> Iterator[Image]:
    lines = lines_of(path)
    for where, words in _rows(lines, at_least=10):
        pose, camera_id = numbers_in(where, words[1:8]), _whole(where, words[8])
        there, points = next(lines, (where, []))  # which may be empty
        ids = np.array([_whole(there, word) for word in points[2::3]], np.int64)
        yield Image(" ".join(words[9:]), camera_id, pose[:4], pose[4:], ids)


def _points_in_text(path: Path) -> Iterator[tuple[int, Array]]:
    for where, words in _rows(lines_of(path), at_least=8):
        yield _whole(where, words[0]), np.array(numbers_in(where, words[1:4]))


def _camera(
    path: Path, model: str, width: int, height: int, params: Sequence[float | int]
) -> Camera:
    if len(params) != len(MODELS[model]):
        raise UserError(
            f"{path}: a camera of model {model} has {len(params)} parameters, not "
            f"{len(MODELS[model])}: copy the file again"
        )
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise UserError(f"{path}: a camera has {width} x {height} pixels: copy the file again")
    return Camera(model, width, height, tuple(float(value) for value in params))


def _unknown_model(path: Path, model: str) -> UserError:
    return UserError(
        f"{path} has a camera of model {model}, and only {', '.join(MODELS)} are read: run "
        "`colmap image_undistorter` first, or COLMAP again with --ImageReader.camera_model OPENCV"
    )
