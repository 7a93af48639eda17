"""Captures of the app Polycam, as its raw data: a folder `keyframes/`, or what is in it.

Each keyframe has an image and a JSON file of the same name, with the pose as `t_00` to `t_23`,
camera to world, rows x, y, z with y up, the axes right, up, back of Apple's ARKit; and `fx`, `fy`,
`cx`, `cy`, `width`, `height` in pixels. If Polycam has optimised the poses, they are in
`corrected_cameras/` with `corrected_images/`, which are read then; else those in `cameras/` and
`images/`. `depth/` has depth in millimetres, PNG with 16 bits, and `confidence/` 0 where it is low;
both are smaller than the images. Depth beyond the range of the sensor, 5 m, is not used.

Source: Polycam's page "Raw data", and the section "Polycam's data format" of its tool polyform;
nerfstudio's `polycam_utils.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import Capture, InvalidCapture
from nerf.captures.depths.known import DepthFile, lidar_depth
from nerf.captures.format_record import Format, Names
from nerf.captures.json_files.ignored_keys import check_unread
from nerf.captures.readers.posed_images import (
    MAX_VIEWS,
    PosedImage,
    finite_number,
    image_length,
    make_capture,
)
from nerf.captures.safe_files.reading import (
    check_inside,
    files_with,
    folder_at,
    link_out,
    read_json_object,
)
from nerf.captures.safe_files.xml_files import text_head_of
from nerf.errors import UserError

KEYFRAMES = "keyframes"
_NAME = "polycam"
_FOLDERS = (("corrected_cameras", "corrected_images"), ("cameras", "images"))
_LENS = ("fx", "fy", "cx", "cy")
_DEPTH, _CONFIDENCE = "depth", "confidence"


def is_polycam(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has the raw data of the app, or is its folder `keyframes`."""
    keyframes = folder_at(folder, KEYFRAMES)
    if any(folder_at(keyframes, cameras).is_dir() for cameras, _ in _FOLDERS):
        return True
    for cameras, images in _FOLDERS:
        place = folder_at(folder, cameras)
        if place.is_dir() and folder_at(folder, images).is_dir() and not link_out(folder, place):
            heads = files_with(place, ".json")[:1]
            return any('"t_00"' in text_head_of(x, follow_links=follow_links) for x in heads)
    return False


def _keyframes(folder: Path) -> Path:
    """The folder of the folders of cameras and images."""
    inner = folder_at(folder, KEYFRAMES)
    return inner if inner.is_dir() else folder


def read_polycam(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the cameras of all keyframes and finds their images.

    Args:
      folder: contains `keyframes/`, or the folders in it.
      factor: not used: the app makes no smaller copies.
      poses: the folder below it that has the folders of cameras; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    keyframes = _keyframes(poses or folder)
    for cameras, images in _FOLDERS:
        place = folder_at(keyframes, cameras)
        check_inside(folder, place, follow_links=follow_links)
        paths = files_with(place, ".json")[:MAX_VIEWS]
        if paths:
            return _read_keyframes(folder, paths, images, factor, follow_links)
    raise UserError(
        f"no cameras in {folder / KEYFRAMES}: export the raw data again (Polycam's developer mode "
        "must be on when the capture is taken)"
    )


def _read_keyframes(
    folder: Path, paths: list[Path], images: str, factor: int | None, follow_links: bool
) -> Capture:
    """Reads the keyframes of some JSON files; `images` is the folder of their images."""
    found, problems = [], []
    for path in paths:
        try:
            found.append(_read(path, follow_links))
        except UserError as problem:
            problems.append((path.name, str(problem)))
    if problems:
        raise InvalidCapture(merge_faults(problems, "keyframes"))
    notes = []
    if images == "images":
        notes.append(
            "these poses are those of the phone's own tracking; Polycam's optimised ones, "
            "corrected_cameras, are not there"
        )
    keyframes = paths[0].parent.parent
    return make_capture(
        _NAME,
        folder,
        found,
        factor,
        notes,
        [folder_at(keyframes, images).relative_to(folder).as_posix()],
        follow_links=follow_links,
    )


def _read(path: Path, follow_links: bool) -> PosedImage:
    """The keyframe of a JSON file."""
    content = read_json_object(path, follow_links=follow_links)

    def number(key: str) -> float:
        return finite_number(content.get(key), f"{path}: {key}")

    check_unread(str(path), content, (*_LENS, *(f"t_{i}{j}" for i in range(4) for j in range(4))))
    matrix = np.array([[number(f"t_{i}{j}") for j in range(4)] for i in range(3)])
    row = (*map(number, _LENS), *[0.0] * 6)
    size = tuple(image_length(content.get(key), f"{path}: {key}") for key in ("width", "height"))
    depth = _depth_of(path, follow_links)
    return PosedImage(path.stem, matrix, lambda *_: row, (size[0], size[1]), depth=depth)


def _depth_of(path: Path, follow_links: bool) -> DepthFile | None:
    """The depth image of a keyframe, by the file of its camera; None if it has none."""
    keyframes = path.parent.parent
    file, confidence = (
        folder_at(keyframes, folder) / f"{path.stem}.png" for folder in (_DEPTH, _CONFIDENCE)
    )
    return lidar_depth(file, confidence, keyframes, follow_links=follow_links)


def _what_is_missing(folder: Path) -> Iterator[str]:
    """A sentence on keyframes without cameras."""
    keyframes = folder / KEYFRAMES
    if keyframes.is_dir():
        yield (
            f"{keyframes} has no cameras or corrected_cameras: export Polycam's raw data again, "
            "taken with its developer mode on"
        )


FORMAT = Format(
    name=_NAME,
    files_in_words="keyframes (Polycam)",
    read=read_polycam,
    is_in=is_polycam,
    names=Names(
        suffixes=(".json",),
        scene=tuple(f"{KEYFRAMES}/{cameras}" for cameras, _ in _FOLDERS),
        parts=(KEYFRAMES, "cameras", "corrected_cameras", "corrected_images"),
    ),
    missing=_what_is_missing,
)
