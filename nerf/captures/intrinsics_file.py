"""The lens of images whose poses are in another file.

    intrinsics.json   as in transforms.json: fl_x, fl_y, cx, cy, w, h, k1 to k4, p1, p2, or an angle
                      of view camera_angle_x in radians
    intrinsics.txt    fx fy cx cy, perhaps followed by k1 k2 p1 p2 or k1 k2 p1 p2 k3; or a matrix of
                      3x3 or 4x4
    calib.txt         KITTI's; of its matrices P0 to P3 the one of the folder of images

In the JSON file cx and cy are measured from the corner of the first pixel, in the text files from
its centre, as OpenCV, TUM and KITTI do. All numbers are in pixels.

Source: nerfstudio's "Data conventions"; OpenCV, "Camera Calibration and 3D Reconstruction"; the
pages of the TUM RGB-D and KITTI odometry benchmarks.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.captures.capture import HALF_PIXEL
from nerf.captures.files import read_json
from nerf.captures.posed_images import (
    Intrinsics,
    finite_number,
    finite_numbers,
    image_length,
    text_of,
)
from nerf.errors import UserError, counted

JSON_FILE = "intrinsics.json"
TEXT_FILES = ("intrinsics.txt", "intrinsic_color.txt", "camera.txt", "K.txt")
KITTI_FILE = "calib.txt"
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_KITTI_IMAGES = {"image_0": "P0", "image_1": "P1", "image_2": "P2", "image_3": "P3"}


def read_intrinsics(
    folder: Path, image_folder: str, *, follow_links: bool = False
) -> tuple[Intrinsics, tuple[int, int] | None]:
    """Reads the first of the files that is there.

    Args:
      folder: contains the file.
      image_folder: where the images are; in KITTI it says which camera took them.
      follow_links: whether files that are links out of the folder are read.

    Returns:
      The intrinsics, see `PosedImage`, and the size that they are for; None for that of the images.

    Raises:
      UserError: if there is no file, or it cannot be understood.
    """
    if (folder / JSON_FILE).is_file():
        return _of_json(folder / JSON_FILE, follow_links)
    for name in TEXT_FILES:
        if (folder / name).is_file():
            return _constant(_of_text(folder / name, follow_links)), None
    if (folder / KITTI_FILE).is_file():
        return _constant(_of_kitti(folder / KITTI_FILE, image_folder, follow_links)), None
    raise UserError(
        f"the poses in {folder} come without a lens: add {JSON_FILE} with "
        '{"fl_x": ..., "fl_y": ..., "cx": ..., "cy": ..., "w": ..., "h": ...} in pixels, or '
        f"{TEXT_FILES[0]} with fx fy cx cy"
    )


def _constant(row: Sequence[float]) -> Intrinsics:
    return lambda *_: row


def _of_json(path: Path, follow_links: bool) -> tuple[Intrinsics, tuple[int, int] | None]:
    content = read_json(path, follow_links=follow_links)

    def value(key: str, default: float) -> float:
        found = content.get(key)
        return default if found is None else finite_number(found, f"{path}: {key}")

    size = None
    if content.get("w") is not None or content.get("h") is not None:
        width, height = (image_length(content.get(key), f"{path}: {key}") for key in ("w", "h"))
        size = width, height
    fl_x, fl_y = (_first(content, path, keys) for keys in (("fl_x", "fx"), ("fl_y", "fy")))
    angle = value("camera_angle_x", math.nan)
    if fl_x is None and not 0 < angle < math.pi:
        raise UserError(f"{path} has no focal length: give fl_x in pixels, or camera_angle_x")
    distortion = [value(key, 0.0) for key in _DISTORTION]

    def intrinsics(width: int, height: int) -> Sequence[float]:
        focal = fl_x if fl_x is not None else 0.5 * width / math.tan(0.5 * angle)
        centre = value("cx", 0.5 * width), value("cy", 0.5 * height)
        return (focal, focal if fl_y is None else fl_y, *centre, *distortion)

    return intrinsics, size


def _first(content: Mapping[str, Any], path: Path, keys: Sequence[str]) -> float | None:
    """The value of the first key that is there."""
    for key in keys:
        if content.get(key) is not None:
            return finite_number(content[key], f"{path}: {key}")
    return None


def _of_text(path: Path, follow_links: bool) -> Sequence[float]:
    lines = [
        line.partition("#")[0] for line in text_of(path, follow_links=follow_links).splitlines()
    ]
    words = " ".join(lines).replace(",", " ").split()
    numbers = [finite_number(word, str(path)) for word in words[:17]]
    is_matrix = numbers[6:9] == [0.0, 0.0, 1.0]
    if len(numbers) == 16 or (len(numbers) == 9 and is_matrix):
        side = 3 if len(numbers) == 9 else 4
        pinhole = numbers[0], numbers[side + 1], numbers[2], numbers[side + 2]
        return _from_centres(pinhole)
    if len(numbers) in (4, 8, 9):
        return _from_centres(numbers[:4], numbers[4:])
    raise UserError(
        f"{path} has {counted(len(words), 'number')}: write fx fy cx cy, or these and "
        "k1 k2 p1 p2, or a 3x3 matrix"
    )


def _of_kitti(path: Path, image_folder: str, follow_links: bool) -> Sequence[float]:
    wanted = _KITTI_IMAGES.get(image_folder, "P0")
    for line in text_of(path, follow_links=follow_links).splitlines():
        key, _, numbers = line.partition(":")
        if key.strip() == wanted:
            matrix = finite_numbers(numbers.split(), 12, f"{path}: {wanted}")
            return _from_centres((matrix[0], matrix[5], matrix[2], matrix[6]))
    raise UserError(f"{path} has no line {wanted}: copy the file of the sequence again")


def _from_centres(pinhole: Sequence[float], distortion: Sequence[float] = ()) -> Sequence[float]:
    """The ten numbers of `make_lens`; `distortion` is k1, k2, p1, p2, k3, in OpenCV's order."""
    fx, fy, cx, cy = pinhole
    k1, k2, p1, p2, k3 = (*distortion, *[0.0] * 5)[:5]
    return (fx, fy, cx + HALF_PIXEL, cy + HALF_PIXEL, k1, k2, k3, 0.0, p1, p2)
