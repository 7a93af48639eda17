"""Finds the depth images of a trajectory, by the names or the timestamps of its images.

    in         `depth/` or another folder with depth in its name; or among the images
    called     as the image, with or without `depth` in place of `frame` or `rgb`:
               depth/12.png for color/12.jpg (ScanNet),
               depth000012.png for frame000012.jpg (Replica)
    or listed  with timestamps in `depth.txt`, or called by them (TUM)

Integers are millimetres, those of TUM 1/5000 m, unless the file of the lens says otherwise; floats
are metres. Whether that is the unit of the poses is checked when a scene is made, see
`nerf.scenes.depth_alignment`.

Source: the pages of the TUM RGB-D benchmark, ScanNet's `SensReader`, and `cam_params.json` of the
Replica sequences of iMAP and NICE-SLAM.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from nerf.captures.depths.images import DEPTH_SUFFIXES
from nerf.captures.depths.known import DepthFile
from nerf.captures.images.paths import folders_to
from nerf.captures.readers.posed_images import MAX_VIEWS
from nerf.captures.safe_files.reading import (
    check_inside,
    files_with,
    folder_at,
    has_image_suffix,
    link_out,
)
from nerf.captures.trajectories.timestamps import image_stamps, match_in_any_unit
from nerf.errors import counted

_FOLDERS = ("depth", "depths", "depth_images")
_CONFIDENCE = "confidence"  # 0 where the depth is not to be trusted, as Stray Scanner has it
_LIST = "depth.txt"
_MILLIMETRE, _OF_TUM = 1e-3, 1 / 5000
_OF_FLOATS = (".npy", ".exr")
_IS_DEPTH = re.compile(r"(?:.*[^a-z])?depths?(?:[^a-z].*)?", re.I)
# What a name has beside its number.
_WORDS = re.compile("aligned|depths?|frame|rgb|colou?r|images?|img|[^a-z0-9]+")


def is_depth_name(name: str) -> bool:
    """Whether a file among images is named like a depth image.

    >>> (
    ...     is_depth_name("depth000012.png"),
    ...     is_depth_name("7.depth.png"),
    ...     is_depth_name("frame.png"),
    ... )
    (True, True, False)
    """
    return _IS_DEPTH.fullmatch(name.rpartition(".")[0]) is not None


def find_depth_images(
    folder: Path,
    image_folder: str,
    names: Sequence[str],
    stamps: Sequence[tuple[float, str]],
    unit: float | None,
    *,
    follow_links: bool = False,
) -> tuple[dict[str, DepthFile], list[str]]:
    """The depth images, by the names of their images, and notes.

    Args:
      folder: of the capture.
      image_folder: the folder of the images, relative to `folder`.
      names: of images, as the poses name them.
      stamps: timestamps and names of images, if they have some.
      unit: the value 1 of a depth image, if the file of the lens says it.
      follow_links: whether symbolic links that lead out of the folder are followed.
    """
    places = folders_to(folder, image_folder)
    files = _files(places, follow_links)
    if not files:
        return {}, []
    found = _by_name(files, names)
    usual = _MILLIMETRE
    if not found and stamps:
        found, usual = _by_time(places, files, stamps, follow_links), _OF_TUM
    where = files[0].parent.relative_to(folder).as_posix()
    if not found:
        return {}, [
            f"the depth images in {where} are not used: none is called like an image, and "
            "no depth.txt lists their timestamps"
        ]
    depths = {}
    for name, file in found.items():
        check_inside(folder, file, follow_links=follow_links)
        of_file = 1.0 if file.suffix.lower() in _OF_FLOATS else unit or usual
        confidence_file = folder if file.parent == folder else file.parent.parent
        confidence = folder_at(confidence_file, _CONFIDENCE) / f"{file.stem}.png"
        has_confidence = confidence.is_file()
        if has_confidence:
            check_inside(folder, confidence, follow_links=follow_links)
        depths[name] = DepthFile(file, of_file, confidence if has_confidence else None)
    used = set(found.values())
    num_left = sum(file not in used for file in files)
    left = f"{counted(num_left, 'depth image')} in {where} belong to no image with a pose"
    return depths, [left] if num_left else []


def note_on_unused_depth(folder: Path) -> list[str]:
    """A note on a folder of depth images in a capture whose format does not name them."""
    place = next((x for x in (folder_at(folder, name) for name in _FOLDERS) if x.is_dir()), None)
    files = [] if place is None or link_out(folder, place) else files_with(place, *DEPTH_SUFFIXES)
    if not files:
        return []
    return [
        f"{files[0].parent.name} may hold depth images, and is not used: name each in a "
        "transforms.json, as depth_file_path of its frame"
    ]


def _files(places: Sequence[Path], follow_links: bool) -> list[Path]:
    """The depth images in the first folder that has some.

    `places` are the folder of the capture, those on the way to the images, and that of the images.
    """
    named = [folder_at(place, name) for place in places for name in _FOLDERS]
    others = [x for place in places for x in sorted(place.iterdir()) if "depth" in x.name.lower()]
    for place in (*named, *others, places[-1]):
        if not place.is_dir() or (link_out(places[0], place) and not follow_links):
            continue
        files = files_with(place, *DEPTH_SUFFIXES)[:MAX_VIEWS]
        if place == places[-1]:
            files = [file for file in files if is_depth_name(file.name)]
        if files:
            return files
    return []


def _by_name(files: Sequence[Path], names: Sequence[str]) -> Mapping[str, Path]:
    """Depth images with the names of images, without those that fit several images."""
    by_key: dict[str, list[Path]] = {}
    for file in files:
        by_key.setdefault(_key(file.name), []).append(file)
    keys = [_key(name) for name in names]
    counts = Counter(keys)
    return {
        name: by_key[key][0]
        for name, key in zip(names, keys, strict=True)
        if len(by_key.get(key, [])) == 1 and counts[key] == 1
    }


def _key(name: str) -> str:
    """The part of a name that differs from file to file: its number, or all but the usual words."""
    bare = PurePosixPath(name.replace("\\", "/")).name
    if has_image_suffix(bare) or bare.lower().endswith(DEPTH_SUFFIXES):
        bare = bare.rpartition(".")[0]
    key = _WORDS.sub("", bare.lower())
    return key.lstrip("0") or "0" if key.isdecimal() else key or bare.lower()


def _by_time(
    places: Sequence[Path],
    files: Sequence[Path],
    stamps: Sequence[tuple[float, str]],
    follow_links: bool,
) -> dict[str, Path]:
    """Depth images with the timestamps of images."""
    by_name = {file.name: file for file in files}
    taken = image_stamps(places, list(by_name), (_LIST,), follow_links)
    known = sorted((time, PurePosixPath(name).name) for time, name in taken)
    known = [(time, name) for time, name in known if name in by_name]
    pairs = match_in_any_unit(stamps, [time for time, _ in known])
    return {stamps[image][1]: by_name[known[depth][1]] for image, depth in pairs.items()}
