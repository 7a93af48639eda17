"""The lens of images whose poses are in another file.

    intrinsics.json   or camera.json and the like: as in transforms.json, see
                      `nerf.captures.json_files.lens` and `nerf.captures.json_files.key_names`
    cam_params.json   of Replica: the same, but its cx and cy are measured as in the text files
    intrinsics.txt    or camera.txt, camera.yaml and the like: fx fy cx cy, perhaps followed by
                      k1 k2 p1 p2 or k1 k2 p1 p2 k3; or these with their names, `fx: 60`; or a
                      matrix of 3x3 or 4x4, also as camera_matrix.csv; or SRN's f cx cy 0, an
                      origin, two numbers more, height and width
    calib.txt         KITTI's; of its matrices P0 to P3 the one of the folder of images

In the other JSON files cx and cy are measured from the corner of the first pixel, in the text files
from its centre, as OpenCV, TUM and KITTI do. All numbers are in pixels.

KITTI's poses are those of camera 0. The last column p of another camera's P = K [I | K^-1 p] says
where it is in the frame of camera 0: at -K^-1 p, whose x is -P03 / fx.

Source: nerfstudio's "Data conventions"; OpenCV, "Camera Calibration and 3D Reconstruction"; the
pages of the TUM RGB-D and KITTI odometry benchmarks; Geiger et al., "Vision meets robotics: the
KITTI dataset", 2013, equations 2 and 5.
"""

import math
import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerf.captures.capture import HALF_PIXEL, Array
from nerf.captures.json_files.ignored_keys import check_lens_keys, notes_on_keys, notes_on_lenses
from nerf.captures.json_files.key_names import OTHER_NAMES, with_usual_names
from nerf.captures.json_files.lens import FrameLens, read_lens
from nerf.captures.readers.posed_images import (
    finite_number,
    finite_numbers,
    image_length,
    read_text_file,
)
from nerf.captures.safe_files.reading import check_inside, contents, file_named, read_json_object
from nerf.captures.safe_files.tables import has_decimal_commas
from nerf.errors import UserError, counted, listed

_REPLICA_FILE = "cam_params.json"
_JSON_FILES = (
    *("intrinsics.json", "camera_intrinsics.json", "camera_intrinsic.json", "camera.json"),
    *("calibration.json", "calib.json"),
)
JSON_FILES = (*_JSON_FILES, _REPLICA_FILE)
TEXT_FILES = (
    *("intrinsics.txt", "intrinsic_color.txt", "camera.txt", "K.txt", "calibration.txt"),
    *("intrinsics.yaml", "camera.yaml", "calibration.yaml"),  # of lines `fx: 60`
    "camera_matrix.csv",  # of Stray Scanner
)
KITTI_FILE = "calib.txt"
_KITTI_IMAGES = {"image_0": "P0", "image_1": "P1", "image_2": "P2", "image_3": "P3"}
_OTHER_NAMES = {**OTHER_NAMES, "model": "camera_model"}
_GROUPS = ("intrinsics", "camera", "camera_intrinsics", "color", "rgb")  # with the values inside
_TEXT_KEYS = ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3")
_SIZE_KEYS = {"w": "w", "width": "w", "h": "h", "height": "h"}
LENS_COLUMNS = (*_TEXT_KEYS, *_SIZE_KEYS)
_DEPTH_SCALES = ("depth_scale", "png_depth_scale", "depthmapfactor")  # what is 1 m
_HARMLESS = ("fps", "rgb", "bf", "type")  # of the settings of SLAM programs
_PAIR = re.compile(r"([A-Za-z_][\w.]*)\s*[:=]\s*(\S+)")
_NUM_OF_SRN = 11  # numbers, of which cx, cy are measured from the corner
_NO_FOCAL = (math.nan, math.nan)


class SharedLens(NamedTuple):
    """One lens for all images.

    Attributes:
      lens: as a frame of a transforms.json has it.
      file: where it is from.
      notes: for the user.
      offset: `[3]`, the position of the camera in the frame of its poses; right, up, back.
      depth_unit: the value 1 of a depth image in metres, if the file says it.
    """

    lens: FrameLens
    file: Path
    notes: tuple[str, ...] = ()
    offset: Array = np.zeros(3)
    depth_unit: float | None = None


def read_intrinsics(
    folder: Path, places: Sequence[Path], *, follow_links: bool = False
) -> SharedLens:
    """Reads the first of the files that is there.

    Args:
      folder: of the capture.
      places: the folders that may contain the file, in or below `folder`; the last is that of the
        images, which in KITTI says which camera took them.
      follow_links: whether files that are links out of the folder are read.

    Raises:
      UserError: if there is no file, or it cannot be understood.
    """
    path = lens_file(folder, places, follow_links=follow_links)
    if path is not None:
        name = path.name.lower()
        if name in JSON_FILES:
            return _of_json(path, follow_links)
        if name == KITTI_FILE:
            return _of_kitti(path, places[-1].name, follow_links)
        return _of_text(path, follow_links)
    raise UserError(
        f"the poses in {folder} come without a lens ({contents(folder)}): add {JSON_FILES[0]} with "
        '{"fl_x": ..., "fl_y": ..., "cx": ..., "cy": ..., "w": ..., "h": ...} in pixels, or '
        f"{TEXT_FILES[0]} with fx fy cx cy"
    )


def lens_file(folder: Path, places: Sequence[Path], *, follow_links: bool = False) -> Path | None:
    """The file that `read_intrinsics` reads; None without one."""
    for place in (*places, *(place / "intrinsic" for place in places)):  # of ScanNet
        check_inside(folder, place, follow_links=follow_links)
        path = file_named(place, *JSON_FILES, *TEXT_FILES, KITTI_FILE)
        if path is not None:
            return path
    return None


def _of_json(path: Path, follow_links: bool) -> SharedLens:
    """The lens of a JSON file, by the rules of a transforms.json."""
    values = _renamed(read_json_object(path, follow_links=follow_links))
    is_replica = path.name.lower() == _REPLICA_FILE
    depth_unit = _depth_unit(values, (*_DEPTH_SCALES, *(["scale"] if is_replica else [])))
    as_frame: dict[str, Any] = {**values, "frames": [{}]}
    check_lens_keys(path, as_frame)
    lens = read_lens(ChainMap(values), str(path))
    if (lens.size[0] > 0) != (lens.size[1] > 0):
        raise UserError(f"{path} has one of w and h: give both, in pixels")
    notes = notes_on_keys(path, as_frame)
    notes += notes_on_lenses([lens], [lens.size]) if min(lens.size) > 0 else []
    if is_replica:
        cx, cy = lens.centre
        lens = lens._replace(centre=(cx + HALF_PIXEL, cy + HALF_PIXEL))
    return SharedLens(lens, path, tuple(notes), depth_unit=depth_unit)


def _depth_unit(values: dict[str, Any], keys: Sequence[str]) -> float | None:
    """The value 1 of a depth image, by the first of some keys, all of which are taken out."""
    scales = [values.pop(key) for key in list(values) if key.lower() in keys]
    known = [x for x in scales if isinstance(x, (int, float)) and 1e-9 < x < 1e9]
    return None if not known else 1.0 / known[0] if known[0] >= 1.0 else float(known[0])


def _renamed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file under the names of a transforms.json, without groups of values."""
    values = dict(content)
    for group in _GROUPS:
        if isinstance(values.get(group), dict):
            values = {**values.pop(group), **values}
    return with_usual_names(values, _OTHER_NAMES)


def _of_text(path: Path, follow_links: bool) -> SharedLens:
    text = read_text_file(path, follow_links=follow_links)
    lines = [line.partition("#")[0] for line in text.splitlines() if not line.startswith("%")]
    named = [pair for line in lines for pair in _PAIR.findall(line)]
    if named:
        return _of_pairs(path, named)
    if has_decimal_commas(" ".join(lines).split()):
        raise UserError(f"{path} has numbers with decimal commas: write decimal points")
    words = " ".join(lines).replace(",", " ").split()
    numbers = [finite_number(word, str(path)) for word in words[:17]]
    is_matrix = numbers[6:9] == [0.0, 0.0, 1.0]
    if len(numbers) == 16 or (len(numbers) == 9 and is_matrix):
        side = 3 if len(numbers) == 9 else 4
        pinhole = numbers[0], numbers[side + 1], numbers[2], numbers[side + 2]
        return SharedLens(_from_centres(pinhole), path)
    if len(numbers) == _NUM_OF_SRN and not any(numbers[3:7]):
        focal, cx, cy = numbers[:3]
        height, width = (image_length(number, str(path)) for number in numbers[-2:])
        pinhole = focal, focal, cx - HALF_PIXEL, cy - HALF_PIXEL
        return SharedLens(_from_centres(pinhole, size=(width, height)), path)
    if len(numbers) in (4, 8, 9):
        return SharedLens(_from_centres(numbers[:4], numbers[4:]), path)
    raise UserError(
        f"{path} has {counted(len(words), 'number')}: write fx fy cx cy, or these and "
        "k1 k2 p1 p2, or a 3x3 matrix"
    )


def _of_pairs(path: Path, named: Sequence[tuple[str, str]]) -> SharedLens:
    """The lens of lines such as `fx: 60`, `fx = 60` or, of ORB-SLAM, `Camera.fx: 60`."""
    values: dict[str, str] = {}
    unknown: list[str] = []
    scales: dict[str, Any] = {}
    for name, word in named:
        group, _, key = name.lower().rpartition(".")
        word = word.strip("\"',;")
        if group and not group.startswith("camera"):  # other settings of ORB-SLAM
            continue
        if key in LENS_COLUMNS:
            values[key] = word
        elif key in _DEPTH_SCALES:
            scales[key] = finite_number(word, f"{path}: {name}")
        elif key not in _HARMLESS:
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{path} has {listed(unknown)}, which {'is' if len(unknown) == 1 else 'are'} not "
            f"read: give {', '.join(_TEXT_KEYS)}, width and height alone, or write "
            f"{JSON_FILES[0]} with the keys of a transforms.json"
        )
    lens = lens_of_words(values, str(path))
    return SharedLens(lens, path, depth_unit=_depth_unit(scales, _DEPTH_SCALES))


def lens_of_words(values: Mapping[str, str], where: str) -> FrameLens:
    """The lens of words by their names, which are some of `LENS_COLUMNS`.

    Raises:
      UserError: if one is missing or no number; `where` is for the message.
    """
    missing = [key for key in _TEXT_KEYS[:4] if key not in values]
    if missing:
        raise UserError(f"{where} has no {listed(missing)}: give fx, fy, cx, cy in pixels")
    size = {"w": 0, "h": 0}
    for key, side in _SIZE_KEYS.items():
        if key in values:
            size[side] = image_length(values[key], f"{where}: {key}")
    if (size["w"] > 0) != (size["h"] > 0):
        raise UserError(f"{where} has one of width and height: give both, in pixels")
    pinhole, distortion = (
        [finite_number(values.get(key, 0.0), f"{where}: {key}") for key in keys]
        for keys in (_TEXT_KEYS[:4], _TEXT_KEYS[4:])
    )
    return _from_centres(pinhole, distortion, (size["w"], size["h"]))


def _of_kitti(path: Path, image_folder: str, follow_links: bool) -> SharedLens:
    """The lens and the place of one camera of KITTI."""
    projection_name = _KITTI_IMAGES.get(image_folder, "P0")
    for line in read_text_file(path, follow_links=follow_links).splitlines():
        key, _, numbers = line.partition(":")
        if key.strip() == projection_name:
            matrix = np.array(finite_numbers(numbers.split(), 12, f"{path}: {projection_name}"))
            return _of_projection(path, projection_name, matrix.reshape(3, 4))
    raise UserError(f"{path} has no line {projection_name}: copy the file of the sequence again")


def _of_projection(path: Path, name: str, projection: Array) -> SharedLens:
    camera, last = projection[:, :3], projection[:, 3]
    lens = _from_centres((camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]))
    if not last.any():
        return SharedLens(lens, path)
    if abs(np.linalg.det(camera)) < 1e-9:
        raise UserError(
            f"{path}: {name} is not a projection matrix: copy the file of the sequence again"
        )
    offset = -np.linalg.solve(camera, last)
    note = (
        f"the poses are taken for those of KITTI's camera 0, and {name} of {path.name} says that "
        f"the camera of these images is {np.linalg.norm(offset):.3g} beside it: they are moved "
        "there"
    )
    return SharedLens(lens, path, (note,), offset * np.array([1.0, -1.0, -1.0]))


def _from_centres(
    pinhole: Sequence[float], distortion: Sequence[float] = (), size: tuple[int, int] = (0, 0)
) -> FrameLens:
    """A lens whose cx, cy are measured from a pixel's centre.

    Args:
      pinhole: fx, fy, cx, cy.
      distortion: k1, k2, p1, p2, k3, in OpenCV's order, or the first of these.
      size: width and height; 0 if they are not known.
    """
    fx, fy, cx, cy = map(float, pinhole)
    k1, k2, p1, p2, k3 = (*distortion, *[0.0] * 5)[:5]
    centre = cx + HALF_PIXEL, cy + HALF_PIXEL
    return FrameLens(
        "perspective", (fx, fy), _NO_FOCAL, centre, (k1, k2, k3, 0.0, p1, p2), size, False
    )
