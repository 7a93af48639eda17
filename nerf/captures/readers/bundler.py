"""Captures in Bundler's format: a `.out` file of cameras, the names of the images, and the images.

RealityCapture, Metashape, VisualSFM, COLMAP and OpenMVG export it. After `# Bundle file v0.3` and
the numbers of cameras and points, each camera has five lines: its focal length in pixels, k1 and
k2; the rotation R from world to camera, row by row; and the translation t. The axes of the camera
are right, up, back, and the origin of the pixels is the middle of the image:

    P = R X + t,    p = -P / P.z,    pixel = f (1 + k1 |p|^2 + k2 |p|^4) p

A focal length of 0 means that the camera has no pose. The names of the images are in a text file,
one in each line, in the order of the cameras: beside the file of cameras, or, as Bundler itself
leaves it, in the folder above `bundle/bundle.out`. Bundler writes `bundle_001.out` and so on while
it works, and `bundle.out` at last.

Source: Snavely, "Bundler v0.4 User's Manual", section "Output format and scene representation".
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nerf.captures.capture import Capture
from nerf.captures.format_record import Format, Names
from nerf.captures.images.names import match_images
from nerf.captures.readers.posed_images import (
    MAX_VIEWS,
    Intrinsics,
    PosedImage,
    finite_numbers,
    make_capture,
    read_each,
    read_text_file,
)
from nerf.captures.safe_files.reading import (
    IMAGE_SUFFIXES,
    check_inside,
    files_with,
    link_out,
    read_and_not,
    read_bytes,
)
from nerf.captures.safe_files.reading import text_of as decode_text
from nerf.captures.safe_files.xml_files import text_head_of
from nerf.errors import UserError, counted

_NAME = "bundler"
_HEADER = "# Bundle file"
_FOLDERS = (".", "bundle")
_USUAL_FILE = "bundle.out"
_LIST_SUFFIXES = (".txt", ".lst", ".list")
_LINES = 5  # of a camera
_MAX_FILES = 20  # that are looked at
_MAX_BYTES = 2**31


def bundler_files(folder: Path, *, follow_links: bool = False) -> list[Path]:
    """The files of cameras in a folder, or else in its `bundle/`; the one to read comes first.

    That is `bundle.out`, else the one with the most cameras. Bundler's own files all count the
    images, so of these it is the largest.
    """
    for place in (folder / name for name in _FOLDERS):
        if not follow_links and link_out(folder, place) is not None:
            continue
        counts: dict[Path, int] = {}
        for path in files_with(place, ".out")[:_MAX_FILES]:
            count = _num_cameras(_head(folder, path, follow_links))
            if count is not None:
                counts[path] = count
        if counts:
            sizes = {path: path.stat().st_size for path in counts}
            return sorted(
                counts, key=lambda p: (p.name.lower() != _USUAL_FILE, -counts[p], -sizes[p], p.name)
            )
    return []


def _head(folder: Path, path: Path, follow_links: bool) -> str:
    try:
        check_inside(folder, path, follow_links=follow_links)
    except UserError:
        return ""
    return text_head_of(path, follow_links=follow_links)


def _num_cameras(text: str) -> int | None:
    """The number of cameras that a text begins with; None if it is not such a file.

    Without its first comment it is known by its first three lines.
    """
    lines = _lines(text)
    counts = next(lines, "").split()
    if text.lstrip().startswith(_HEADER):
        return int(counts[0][:18]) if counts and counts[0].isdecimal() else 0
    rows = [next(lines, "").split() for _ in range(2)]
    is_one = len(counts) == 2 and all(word.isdecimal() for word in counts)
    if not is_one or not all(len(row) == 3 and all(map(_is_number, row)) for row in rows):
        return None
    return int(counts[0][:18])


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def is_bundler(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has such a file."""
    return bool(bundler_files(folder, follow_links=follow_links))


def read_bundler(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the cameras and finds their images.

    Args:
      folder: contains the file, the list of names, and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      poses: the folder below it that has the files of poses; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    paths = bundler_files(poses or folder, follow_links=follow_links)
    if not paths:
        raise UserError(f"no .out file in {folder} that begins with {_HEADER!r}")
    path = paths[0]
    cameras = _cameras(path, decode_text(read_bytes(path, _MAX_BYTES, follow_links=follow_links)))
    names = _names(folder, path, len(cameras), follow_links)
    images, num_without_pose = read_each(
        range(len(cameras)),
        lambda number: _image(names[number], cameras[number], f"{path}, camera {number}"),
        lambda number: f"camera {number}",
        "cameras",
    )
    if not images:
        raise UserError(f"{path} has no camera with a pose: align the images and export them again")
    notes = read_and_not(paths)
    if num_without_pose:
        not_used = "camera has no pose and is not used", "cameras have no pose and are not used"
        notes.append(counted(num_without_pose, *not_used))
    return make_capture(_NAME, folder, images, factor, notes, follow_links=follow_links)


def _cameras(path: Path, text: str) -> list[list[str]]:
    """The lines of each camera."""
    lines = _lines(text)
    words = next(lines, "").split()
    if not words or not words[0].isdecimal():
        raise UserError(f"{path} does not begin with the number of its cameras: export it again")
    count = int(words[0][:18])
    if not 0 < count <= MAX_VIEWS:
        raise UserError(f"{path} has {count:,} cameras: there must be 1 to {MAX_VIEWS:,}")
    found = [line for line, _ in zip(lines, range(_LINES * count), strict=False)]
    if len(found) < _LINES * count:
        raise UserError(f"{path} ends before the last of its {count} cameras: copy it again")
    return [found[start : start + _LINES] for start in range(0, len(found), _LINES)]


def _lines(text: str) -> Iterator[str]:
    """The lines of a text that are neither empty nor comments."""
    return (line for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _names(folder: Path, path: Path, num_cameras: int, follow_links: bool) -> list[str]:
    """The names of the images, from a file beside that of the cameras or in the folders above."""
    places = [place for place in path.parents if place.is_relative_to(folder)]
    there = [file for place in places for file in files_with(place, *_LIST_SUFFIXES)]
    there.sort(key=lambda p: not p.name.startswith((path.name, path.stem)))  # likely ones first
    counts = []
    for file in there[:_MAX_FILES]:
        lines = list(_lines(read_text_file(file, follow_links=follow_links)))
        names = [_name(line) for line in lines[: MAX_VIEWS + 1]]
        if not names or not _are_images(folder, names):
            continue
        if len(names) == num_cameras:
            return names
        counts.append(f"{file.name} has {len(names)}")
    found = f" ({', '.join(counts)})" if counts else ""
    raise UserError(
        f"{path} has {counted(num_cameras, 'camera')}, but no text file in the same folder "
        f"lists that many images{found}: write list.txt with the name of one image in each line, "
        "in the order of the cameras"
    )


def _are_images(folder: Path, names: Sequence[str]) -> bool:
    """Whether all names have image suffixes, or most names without a suffix have an image."""
    if all(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
        return True
    matches = match_images(folder, names[:_MAX_FILES])
    return 2 * len(matches.files) > min(len(names), _MAX_FILES)


def _name(line: str) -> str:
    """The name in a line of the list; Bundler's own lines end with 0 and a focal length.

    >>> (
    ...     _name("./IMG 1.jpg 0 2520.1"),
    ...     _name("IMG 1.jpg"),
    ...     _name("IMG_1 0 2520.1"),
    ...     _name("IMG 1"),
    ... )
    ('./IMG 1.jpg', 'IMG 1.jpg', 'IMG_1', 'IMG 1')
    """
    name = line.strip()
    words = name.rsplit(maxsplit=2)
    if len(words) == 3 and words[1] == "0" and _is_number(words[2]):
        name = words[0]
    for _ in range(2):
        first = name.rpartition(" ")[0].rstrip()
        if name.lower().endswith(IMAGE_SUFFIXES) or not first.lower().endswith(IMAGE_SUFFIXES):
            break
        name = first
    return name.strip().strip('"')


def _image(name: str, lines: Sequence[str], where: str) -> PosedImage | None:
    """The pose and the lens of a camera; None if it has no pose."""
    focal, k1, k2 = finite_numbers(lines[0].split(), 3, f"{where}: focal length, k1, k2")
    rows = [finite_numbers(line.split(), 3, f"{where}: rotation") for line in lines[1:4]]
    translation = finite_numbers(lines[4].split(), 3, f"{where}: translation")
    if focal == 0:
        return None
    rotation = np.array(rows).T  # from camera to world
    position = -rotation @ np.array(translation)[:, None]
    return PosedImage(name, np.concatenate([rotation, position], axis=1), _lens(focal, k1, k2))


def _lens(focal: float, k1: float, k2: float) -> Intrinsics:
    return lambda width, height: (
        *(focal, focal, 0.5 * width, 0.5 * height),
        *(k1, k2, 0.0, 0.0, 0.0, 0.0),
    )  # fmt: skip


FORMAT = Format(
    name=_NAME,
    files_in_words="a .out of cameras (Bundler)",
    read=read_bundler,
    is_in=is_bundler,
    names=Names(suffixes=(".out",), parts=("bundle",)),
)
