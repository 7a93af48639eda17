"""COLMAP's files `cameras`, `images` and `points3D`, binary or text, in COLMAP's conventions.

Source: COLMAP's documentation, "Output Format" and "Camera Models".
"""

import contextlib
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.captures.lenses.models import IS_ZERO, MODEL_IDS, MODELS, model_advice
from nerf.captures.safe_files.reading import file_named, natural_key, read_bytes, read_lines
from nerf.errors import UserError, counted, listed

Array = npt.NDArray[np.float64]

_MAX_BYTES = 2**31
_MAX_NAME = 1024


class Camera(NamedTuple):
    """An entry of `cameras`: camera model, size in pixels, parameters as in `MODELS`."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


class Image(NamedTuple):
    """An entry of `images`.

    Attributes:
      name: the file name, relative to the folder of images.
      camera_id: the number of its camera.
      rotation: `[4]`, a quaternion, w first, from world to camera.
      translation: `[3]`, from world to camera.
      point_ids: `[num_points]`, the numbers of the points that the image shows; -1 for none.
      keypoints: `[num_points, 2]`, column and row of each, the centre of a pixel at (i + 0.5,
        j + 0.5).
    """

    name: str
    camera_id: int
    rotation: tuple[float, ...]
    translation: tuple[float, ...]
    point_ids: npt.NDArray[np.int64]
    keypoints: Array


class Point(NamedTuple):
    """An entry of `points3D`: a position `[3]`, and its mean reprojection error in pixels."""

    position: Array
    error: float


def read_cameras(model: Path, *, follow_links: bool = False) -> dict[int, Camera]:
    """Reads the cameras of a model, by their numbers.

    Args:
      model: the folder of its files.
      follow_links: whether files that are links out of the folder are read; so all readers here.

    Raises:
      UserError: if a file is damaged or has a camera model that is not read; so all readers here.
    """
    if model_suffix(model) == "bin":
        return dict(_cameras_in_binary(_BinaryReader(_file(model, "cameras", "bin"), follow_links)))
    return dict(_cameras_in_text(_file(model, "cameras", "txt"), follow_links))


def read_images(model: Path, *, follow_links: bool = False) -> list[Image]:
    """Reads the posed images of a model, sorted by name."""
    if model_suffix(model) == "bin":
        images = list(_images_in_binary(_BinaryReader(_file(model, "images", "bin"), follow_links)))
    else:
        images = list(_images_in_text(_file(model, "images", "txt"), follow_links))
    if not images:
        raise UserError(f"{model} has no posed image: COLMAP found no pose; take more images")
    names = [image.name for image in images]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise UserError(f"{model} names {listed(repeated)} more than once: run COLMAP again")
    return sorted(images, key=lambda image: natural_key(image.name))


def model_suffix(model: Path) -> str | None:
    """The suffix of a model's files, "bin" or "txt"; None if the folder has no model."""
    for suffix in ("bin", "txt"):
        with contextlib.suppress(OSError):
            if all(_file(model, part, suffix).is_file() for part in ("cameras", "images")):
                return suffix
    return None


def _file(model: Path, part: str, suffix: str) -> Path:
    """A file of a model, in small letters or capitals."""
    name = f"{part}.{suffix}"
    return file_named(model, name) or model / name


def points_by_id(model: Path, *, follow_links: bool = False) -> dict[int, Point]:
    """Reads the points of a model, by their numbers; points that are not finite are left out."""
    if model_suffix(model) == "bin":
        found = dict(
            _points_in_binary(_BinaryReader(_file(model, "points3D", "bin"), follow_links))
        )
    else:
        found = dict(_points_in_text(_file(model, "points3D", "txt"), follow_links))
    return {number: point for number, point in found.items() if np.isfinite(point.position).all()}


# The binary form: little endian, each list after its length.


class _BinaryReader:
    """Reads values from the front of a file; a file that ends too early is a UserError."""

    def __init__(self, path: Path, follow_links: bool):
        self.path, self._at = path, 0
        self._data = read_bytes(path, _MAX_BYTES, follow_links=follow_links)

    def read(self, form: str) -> tuple[float | int, ...]:
        """The next values, in a format of `struct`."""
        size = struct.calcsize(form)
        self._check(size)
        values = struct.unpack_from(form, self._data, self._at)
        self._at += size
        return values

    def count(self, min_bytes: int) -> int:
        """The length of a list whose entries have at least `min_bytes` each."""
        (number,) = self.read("<Q")
        self._check(int(number) * min_bytes)
        return int(number)

    def array(self, number: int, dtype: npt.DTypeLike) -> npt.NDArray[np.void]:
        """The next `number` values of a type."""
        kind = np.dtype(dtype)
        self._check(number * kind.itemsize)
        found = np.frombuffer(self._data, kind, number, self._at)
        self._at += number * kind.itemsize
        return found

    def skip(self, size: int) -> None:
        """Leaves out `size` bytes."""
        self._check(size)
        self._at += size

    def name(self) -> str:
        """The next text, which ends with a zero byte; bytes that are not UTF-8 as in file names."""
        end = self._data.find(b"\0", self._at, self._at + _MAX_NAME)
        if end < 0:
            raise self._broken("a name does not end")
        text = self._data[self._at : end]
        self._at = end + 1
        return text.decode("utf-8", errors="surrogateescape")

    def _check(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise self._broken("it ends too early")

    def _broken(self, what: str) -> UserError:
        return UserError(f"{self.path} is broken ({what}): copy it again, or run COLMAP again")


def _cameras_in_binary(data: _BinaryReader) -> Iterator[tuple[int, Camera]]:
    for _ in range(data.count(min_bytes=24)):
        number, model_id, width, height = (int(x) for x in data.read("<iiQQ"))
        model = MODEL_IDS.get(model_id, f"number {model_id}")
        if model not in MODELS:
            raise _unknown_model(data.path, model)
        params = data.read(f"<{len(MODELS[model])}d")
        yield number, _camera(data.path, model, width, height, params)


def _images_in_binary(data: _BinaryReader) -> Iterator[Image]:
    for _ in range(data.count(min_bytes=73)):
        data.read("<i")
        pose = data.read("<7d")
        (camera_id,) = data.read("<i")
        name = data.name()
        num_points = data.count(min_bytes=24)
        points_in_image = data.array(num_points, [("xy", "<2f8"), ("id", "<i8")])
        ids, keypoints = (
            points_in_image["id"].astype(np.int64),
            points_in_image["xy"].astype(np.float64),
        )
        yield Image(name, int(camera_id), pose[:4], pose[4:], ids, keypoints)


def _points_in_binary(data: _BinaryReader) -> Iterator[tuple[int, Point]]:
    for _ in range(data.count(min_bytes=51)):
        (number,) = data.read("<Q")
        point = np.array(data.read("<3d"))
        data.skip(3)  # colour
        (error,) = data.read("<d")
        data.skip(8 * data.count(min_bytes=8))  # the images that show it
        yield int(number), Point(point, float(error))


# The text form: one entry a line, words separated by spaces.


def lines_of(
    path: Path, max_words: int | None = None, *, follow_links: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """The lines of a text file without comments: the place of each, for messages, and its words.

    The last of `max_words` words is the rest of the line, with its spaces.
    """
    for where, line in read_lines(path, _MAX_BYTES, follow_links=follow_links):
        words = line.split(maxsplit=-1 if max_words is None else max_words - 1)
        yield where, [*words[:-1], *(word.strip() for word in words[-1:])]


def numbers_in(where: str, words: Sequence[str]) -> tuple[float, ...]:
    """Converts words to numbers; `where` is for messages.

    Raises:
      UserError: if a word is not a number.
    """
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise UserError(f"{where} has {error}: copy the file again, or run COLMAP again") from error


def _integer(where: str, word: str) -> int:
    (value,) = numbers_in(where, [word])
    if value != value or abs(value) >= 2**63 or value != int(value):
        raise UserError(f"{where} has {word} instead of a whole number: copy the file again")
    return int(value)


def _rows(
    lines: Iterator[tuple[str, list[str]]], min_words: int
) -> Iterator[tuple[str, list[str]]]:
    """The lines that are not empty; each must have at least `min_words`."""
    for where, words in lines:
        if words and len(words) < min_words:
            raise UserError(f"{where} has fewer than {min_words} words: copy the file again")
        if words:
            yield where, words


def _cameras_in_text(path: Path, follow_links: bool) -> Iterator[tuple[int, Camera]]:
    for where, words in _rows(lines_of(path, follow_links=follow_links), min_words=4):
        model = words[1].upper()
        if model not in MODELS:
            raise _unknown_model(path, words[1][:50])
        number, width, height = (_integer(where, words[i]) for i in (0, 2, 3))
        yield number, _camera(path, model, width, height, numbers_in(where, words[4:]))


def _images_in_text(path: Path, follow_links: bool) -> Iterator[Image]:
    lines = lines_of(path, max_words=10, follow_links=follow_links)
    for where, words in _rows(lines, min_words=10):
        pose, camera_id = numbers_in(where, words[1:8]), _integer(where, words[8])
        next_line, points = next(lines, (where, []))  # may be an empty line
        points = " ".join(points).split()
        ids = np.array([_integer(next_line, word) for word in points[2::3]], np.int64)
        columns, rows = (numbers_in(next_line, points[i::3][: len(ids)]) for i in (0, 1))
        keypoints = np.array([columns, rows], np.float64).T
        yield Image(words[9], camera_id, pose[:4], pose[4:], ids, keypoints)


def _points_in_text(path: Path, follow_links: bool) -> Iterator[tuple[int, Point]]:
    for where, words in _rows(lines_of(path, follow_links=follow_links), min_words=8):
        position, (error,) = numbers_in(where, words[1:4]), numbers_in(where, words[7:8])
        yield _integer(where, words[0]), Point(np.array(position), error)


def _camera(
    path: Path, model: str, width: int, height: int, params: Sequence[float | int]
) -> Camera:
    if len(params) != len(MODELS[model]):
        raise UserError(
            f"{path}: a camera of model {model} has {counted(len(params), 'parameter')}, "
            f"not {len(MODELS[model])}: copy the file again"
        )
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise UserError(f"{path}: a camera has {width} x {height} pixels: copy the file again")
    values = dict(zip(MODELS[model], params, strict=True))
    disturbing = [name for name in IS_ZERO.get(model, ()) if values[name] != 0]
    if disturbing:
        raise UserError(
            f"{path} has a camera of model {model} whose {', '.join(disturbing)} "
            f"{'is' if len(disturbing) == 1 else 'are'} not zero, which is not read: "
            f"{model_advice(model)}"
        )
    return Camera(model, width, height, tuple(float(value) for value in params))


def _unknown_model(path: Path, model: str) -> UserError:
    return UserError(
        f"{path} has a camera of model {model}, and only {', '.join(MODELS)} are read: "
        f"{model_advice(model)}"
    )
