"""Captures from COLMAP: `sparse/0`, or `colmap/sparse/0`, in its binary or its text form.

`cameras` holds lenses, `images` the world-to-camera poses and which points each picture shows,
`points3D` the points. Pictures lie in `images` (or `images_N`) under the names that COLMAP gave
them.

Source: COLMAP's documentation, "Output Format" and "Camera Models".
"""

import contextlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.errors import UserError, listed
from nerf.scenes.capture import Array, Capture, make_lens
from nerf.scenes.files import IMAGE_SUFFIXES, check_inside, find_image, read_bytes

_MODEL_FOLDERS = ("sparse/0", "colmap/sparse/0", "sparse", "colmap/sparse", "colmap", ".")
_IMAGE_FOLDERS = ("images", "input", "rgb", "colmap/images", ".")
_MAX_BYTES = 2**31
_MAX_NAME = 1024
_MAX_DEPTH = 1e12
_MIN_POINTS = 8  # a picture must show for its bounds to be told from them

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
_ROW = ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2")


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


def find_model(folder: Path) -> Path | None:
    """The folder of the model, None where there is none."""
    for name in _MODEL_FOLDERS:
        path = folder / name
        if _form(path) is not None:
            return path
    return None


def read_colmap(folder: Path, factor: int | None = None) -> Capture:
    """Reads a model and finds its pictures.

    Args:
      folder: holds the model and the pictures.
      factor: N for those in `images_N`.

    Raises:
      UserError: for what is missing or impossible.
    """
    model = find_model(folder)
    if model is None:
        raise UserError(
            f"no COLMAP model in {folder}: cameras, images and points3D (.bin or .txt) are looked "
            "for in sparse/0 and colmap/sparse/0"
        )
    check_inside(folder, model)
    cameras, images = read_cameras(model), read_images(model)
    points: dict[int, Array] = {}
    notes: list[str] = []
    try:
        points = _read_points(model)
    except UserError as problem:
        notes.append(f"no points: {problem}")
    others = [path.name for path in sorted(model.parent.iterdir()) if _form(path) is not None]
    if len(others) > 1:
        notes.append(
            f"COLMAP made {len(others)} models ({listed(others)}), of which {model.name} is read: "
            "pictures of the others did not fit together with it"
        )
    root = _image_folder(folder, images, factor)
    found = [(image, _find(folder, root, image.name, factor)) for image in images]
    missing = [image.name for image, file in found if file is None]
    posed = [(image, file) for image, file in found if file is not None]
    if not posed:
        raise UserError(
            f"none of the {len(images)} pictures that {model} names is in {root}, the first of "
            f"them {images[0].name}: put them there under the names that COLMAP had"
        )
    if missing:
        notes.append(f"{len(missing)} poses have no picture and are left out: {listed(missing)}")
    unposed = _without_pose(posed)
    if unposed:
        notes.append(f"{len(unposed)} pictures have no pose and are not used: {listed(unposed)}")
    kept = [image for image, _ in posed]
    given = _given_bounds(model, kept)
    lost = [image.name for image in kept if image.camera_id not in cameras]
    if lost:
        raise UserError(
            f"{model}: the cameras of {listed(lost)} are not in its list: run COLMAP again"
        )
    chosen = [cameras[image.camera_id] for image in kept]
    camtoworlds = np.stack([_camtoworld(image, model) for image in kept])
    return Capture(
        format="colmap",
        folder=folder,
        files=tuple(file for _, file in posed),
        camtoworlds=camtoworlds,
        lens=make_lens(
            [_intrinsics(camera) for camera in chosen],
            [camera.model.endswith("FISHEYE") for camera in chosen],
        ),
        sizes=np.array([[camera.width, camera.height] for camera in chosen], np.int64),
        bounds=_bounds(camtoworlds, kept, points) if given is None else given,
        points=np.array(list(points.values())).reshape(-1, 3),
        notes=tuple(notes),
    )


def read_cameras(model: Path) -> dict[int, Camera]:
    """The cameras of a model by their numbers."""
    if _form(model) == "bin":
        return dict(_cameras_in_binary(model / "cameras.bin"))
    return dict(_cameras_in_text(model / "cameras.txt"))


def read_images(model: Path) -> list[Image]:
    """The posed images of a model in the order of their names."""
    if _form(model) == "bin":
        images = list(_images_in_binary(model / "images.bin"))
    else:
        images = list(_images_in_text(model / "images.txt"))
    if not images:
        raise UserError(f"{model} has no posed image: COLMAP found no pose; take more pictures")
    names = [image.name for image in images]
    doubled = sorted({name for name in names if names.count(name) > 1}) if len(names) < 5000 else []
    if doubled:
        raise UserError(f"{model} names {listed(doubled)} more than once: run COLMAP again")
    return sorted(images, key=lambda image: image.name)


def read_points(model: Path) -> Array:
    """The points of a model, `[num_points, 3]`."""
    return np.array(list(_read_points(model).values())).reshape(-1, 3)


def _form(model: Path) -> str | None:
    """Whether a folder holds a model in binary or in text form, or none."""
    for form in ("bin", "txt"):
        with contextlib.suppress(OSError):
            if all((model / f"{part}.{form}").is_file() for part in ("cameras", "images")):
                return form
    return None


def _read_points(model: Path) -> dict[int, Array]:
    if _form(model) == "bin":
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


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Where each line is, and its words, lines of comment left out."""
    text = read_bytes(path, _MAX_BYTES).decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("#"):
            yield f"{path}, line {number}", line.split()


def _numbers(where: str, words: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise UserError(f"{where} has {error}: copy the file again, or run COLMAP again") from error


def _whole(where: str, word: str) -> int:
    (value,) = _numbers(where, [word])
    if value != value or abs(value) >= 2**63 or value != int(value):
        raise UserError(f"{where} has {word} where a whole number is: copy the file again")
    return int(value)


def _cameras_in_text(path: Path) -> Iterator[tuple[int, Camera]]:
    for where, words in _lines(path):
        if not words:
            continue
        if len(words) < 4:
            raise UserError(f"{where} has fewer than 4 words: copy the file again")
        if words[1] not in MODELS:
            raise _unknown_model(path, words[1][:50])
        number, width, height = (_whole(where, words[i]) for i in (0, 2, 3))
        yield number, _camera(path, words[1], width, height, _numbers(where, words[4:]))


def _images_in_text(path: Path) -> Iterator[Image]:
    lines = _lines(path)
    for where, words in lines:
        if not words:
            continue
        if len(words) < 10:
            raise UserError(f"{where} has fewer than 10 words: copy the file again")
        pose, camera_id = _numbers(where, words[1:8]), _whole(where, words[8])
        where, points = next(lines, (where, []))
        ids = np.array([_whole(where, word) for word in points[2::3]], np.int64)
        yield Image(" ".join(words[9:]), camera_id, pose[:4], pose[4:], ids)


def _points_in_text(path: Path) -> Iterator[tuple[int, Array]]:
    for where, words in _lines(path):
        if not words:
            continue
        if len(words) < 8:
            raise UserError(f"{where} has fewer than 8 words: copy the file again")
        yield _whole(where, words[0]), np.array(_numbers(where, words[1:4]))


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


# From COLMAP's conventions to ours.


def _intrinsics(camera: Camera) -> list[float]:
    """fx, fy, cx, cy, k1, k2, k3, k4, p1, p2."""
    values = dict(zip(MODELS[camera.model], camera.params, strict=True))
    focal = values.get("f")
    if focal is not None:
        values |= {"fx": focal, "fy": focal}
    return [values.get(key, 0.0) for key in _ROW]


def _camtoworld(image: Image, model: Path) -> Array:
    """`[3, 4]`, right, up, back | position."""
    length = sum(value * value for value in image.rotation)
    if not 0.25 < length < 4.0:  # which NaN is not either
        raise UserError(
            f"{model}: the rotation of {image.name} is no unit quaternion: run COLMAP again"
        )
    w, x, y, z = np.array(image.rotation) / np.sqrt(length)
    world_to_camera = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    right, down, forward = world_to_camera
    with np.errstate(all="ignore"):
        position = -world_to_camera.T @ np.array(image.translation)
    return np.stack([right, -down, -forward, position], axis=-1)


def _bounds(
    camtoworlds: Array, images: Sequence[Image], points: Mapping[int, Array]
) -> Array | None:
    """Nearest and farthest depth of the points that each picture shows.

    The nearest and the farthest of a thousand are left out, as LLFF's `imgs2poses.py` does.
    """
    if len(points) < _MIN_POINTS:
        return None
    everything = np.array(list(points.values()))
    found = []
    for pose, image in zip(camtoworlds, images, strict=True):
        seen = [points[number] for number in image.point_ids.tolist() if number in points]
        positions = np.array(seen) if len(seen) >= _MIN_POINTS else everything
        with np.errstate(all="ignore"):
            depth = (positions - pose[:, 3]) @ -pose[:, 2]
        depth = depth[(depth > 0) & (depth < _MAX_DEPTH)]
        if len(depth) < _MIN_POINTS:
            return None
        near, far = np.percentile(depth, [0.1, 99.9])
        found.append((near, max(far, near * (1 + 1e-6))))
    return np.array(found)


BOUNDS_FILE = "bounds.txt"  # beside the model: lines of a picture's name, near and far


def _given_bounds(model: Path, images: Sequence[Image]) -> Array | None:
    path = model / BOUNDS_FILE
    if not path.is_file():
        return None
    given = {}
    for where, words in _lines(path):
        if len(words) >= 3:
            given[" ".join(words[:-2])] = _numbers(where, words[-2:])
    if not all(image.name in given for image in images):
        return None
    return np.array([given[image.name] for image in images])


# Which pictures there are.


def _image_folder(folder: Path, images: Sequence[Image], factor: int | None) -> Path:
    """The folder that holds most of the pictures; `images` if none holds any."""
    some = [image.name for image in images[:: max(1, len(images) // 16)]]

    def num_found(root: Path) -> int:
        return sum(_find(folder, root, name, factor) is not None for name in some)

    roots = [folder / name for name in _IMAGE_FOLDERS]
    return max(roots, key=num_found)


def _find(folder: Path, root: Path, name: str, factor: int | None) -> Path | None:
    relative = root.relative_to(folder) / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        relative = Path(name)  # for the sentence that refuses it
    return find_image(folder, relative.as_posix(), factor)


def _without_pose(posed: Sequence[tuple[Image, Path]]) -> list[str]:
    """Names of pictures beside those that have a pose."""
    used = {file for _, file in posed}
    folders = sorted({file.parent for file in used})
    there = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    return [path.name for path in there if path not in used]
