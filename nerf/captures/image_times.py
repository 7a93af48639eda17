"""Timestamps of images, and which pose belongs to which of them."""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.captures.posed_images import MAX_VIEWS, text_of

MAX_SECONDS = 0.02  # between an image and its pose, as the TUM benchmark's own tools have it
_MAX_NEAR = 20  # poses before and after an image that it is compared with
_ASSOCIATION_FILES = ("rgb.txt", "associations.txt")


def image_stamps(
    folder: Path, image_folder: str, names: Sequence[str], follow_links: bool
) -> list[tuple[float, str]]:
    """Timestamps of images, from a file that lists them or from their names."""
    for name in _ASSOCIATION_FILES:
        if (folder / name).is_file():
            text = text_of(folder / name, follow_links=follow_links)
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
