"""Timestamps of images, and which pose belongs to which of them."""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.captures.readers.posed_images import MAX_VIEWS, read_text_file

MAX_SECONDS = 0.02  # between an image and its pose, as the TUM benchmark's own tools have it
_MAX_NEAR = 20  # poses before and after an image that it is compared with
ASSOCIATION_FILES = ("rgb.txt", "associations.txt")
_MAX_TIME = 1e11  # seconds, the year 5138: greater numbers are in smaller units
_SMALLER_UNITS = (1e-3, 1e-6, 1e-9)
_GAPS = (2e-3, 60.0)  # seconds from an image to the next


def image_stamps(
    places: Sequence[Path], names: Sequence[str], lists: Sequence[str], follow_links: bool
) -> list[tuple[float, str]]:
    """Timestamps of images, from the first of some files that lists them or from their names.

    The files may be in each of some folders.
    """
    for path in (place / name for name in lists for place in places):
        if path.is_file():
            text = read_text_file(path, follow_links=follow_links)
            lines = [line.split() for line in text.splitlines()[:MAX_VIEWS]]
            found = [_stamp(words[0], words[1]) for words in lines if len(words) >= 2]
            return [stamp for stamp in found if stamp is not None]
    found = [_stamp(Path(name).stem, name) for name in names]
    stamps = [stamp for stamp in found if stamp is not None]
    return stamps if len(stamps) == len(names) else []


def _stamp(word: str, name: str) -> tuple[float, str] | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return (value, name) if np.isfinite(value) else None


def in_seconds(times: Sequence[float]) -> list[float]:
    """Times since 1970 in seconds, which may be in milli-, micro- or nanoseconds; others as given.

    >>> in_seconds([1403636579763555584.0]), in_seconds([1305031102.1, 0.5])
    ([1403636579.7635555], [1305031102.1, 0.5])
    """
    middle, unit = float(np.median(np.abs(times))) if len(times) else 0.0, 1.0
    while middle / unit > _MAX_TIME:
        unit *= 1e3
    return [time / unit for time in times]


def match_in_any_unit(
    stamps: Sequence[tuple[float, str]], times: Sequence[float]
) -> dict[int, int]:
    """Like `match_by_time`, but the timestamps and the times may each be in a smaller unit.

    That of times since 1970 is known. Of times since the start, the units are those with which more
    images are matched.
    """
    order = np.argsort(times, kind="stable").tolist()
    ascending = _in_possible_units([times[index] for index in order])
    names = [name for _, name in stamps]
    best: dict[int, int] = {}
    for of_images in _in_possible_units([time for time, _ in stamps]):
        for of_poses in ascending:
            found = match_by_time(list(zip(of_images, names, strict=True)), of_poses)
            best = found if len(found) > len(best) else best
    return {image: order[pose] for image, pose in best.items()}


def _in_possible_units(times: Sequence[float]) -> list[list[float]]:
    """Times in seconds, by each unit that they may be in; as they are comes first."""
    seconds = in_seconds(times)
    with np.errstate(all="ignore"):
        gap = float(np.median(np.diff(np.sort(seconds)))) if len(seconds) > 1 else 0.0
    units = [unit for unit in _SMALLER_UNITS if _GAPS[0] <= gap * unit <= _GAPS[1]]
    return [seconds, *([time * unit for time in seconds] for unit in units)]


def match_by_time(stamps: Sequence[tuple[float, str]], times: Sequence[float]) -> dict[int, int]:
    """Images and poses that are near enough, the nearest first; each serves once.

    Args:
      stamps: timestamps and names of images.
      times: timestamps of poses, ascending.

    Returns:
      The index of the pose by that of the image, for the images that have one.

    Source: `associate.py` of the TUM RGB-D benchmark, which pairs them in the same way.

    >>> match_by_time([(1.0, "a"), (1.01, "b"), (2.0, "c")], [1.008, 2.5])
    {1: 0}
    """
    pairs = []
    for image, (time, _) in enumerate(stamps):
        middle = bisect_left(times, time)
        for index in range(max(0, middle - _MAX_NEAR), min(len(times), middle + _MAX_NEAR)):
            if abs(times[index] - time) <= MAX_SECONDS:
                pairs.append((abs(times[index] - time), image, index))
    of_image: dict[int, int] = {}
    used: set[int] = set()
    for _, image, index in sorted(pairs):
        if image not in of_image and index not in used:
            of_image[image] = index
            used.add(index)
    return dict(sorted(of_image.items()))
