"""Near and far of COLMAP's views: from its points, or from a file beside the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nerf.captures.capture import MAX_DEPTH, MIN_POINTS, Array, percentile_bounds
from nerf.captures.colmap_model.files import Image, Point, numbers_in
from nerf.captures.safe_files.reading import read_lines

BOUNDS_FILE = "bounds.txt"  # our own addition; lines of image name, near and far


def bounds_from_points(
    camtoworlds: Array,
    is_panorama: Sequence[bool],
    images: Sequence[Image],
    points: Mapping[int, Point],
) -> Array | None:
    """Bounds `[num_views, 2]` from the points that each image shows, or from all if these are few.

    Those of panoramas are distances.

    None if a view then has fewer than `MIN_POINTS` in front of it.
    """
    if len(points) < MIN_POINTS:
        return None
    all_points = np.array([point.position for point in points.values()])
    bounds = []
    for pose, is_round, image in zip(camtoworlds, is_panorama, images, strict=True):
        visible = [
            points[number].position for number in image.point_ids.tolist() if number in points
        ]
        positions = np.array(visible) if len(visible) >= MIN_POINTS else all_points
        with np.errstate(all="ignore"):
            away = positions - pose[:, 3]
            depth = np.linalg.norm(away, axis=-1) if is_round else away @ -pose[:, 2]
        depth = depth[(depth > 0) & (depth < MAX_DEPTH)]
        if len(depth) < MIN_POINTS:
            return None
        bounds.append(percentile_bounds(depth))
    return np.array(bounds)


def bounds_from_file(model: Path, images: Sequence[Image], follow_links: bool) -> Array | None:
    """Bounds `[num_views, 2]` from `BOUNDS_FILE`; None if it is missing or lacks an image."""
    path = model / BOUNDS_FILE
    if not path.is_file():
        return None
    bounds = {}
    for where, line in read_lines(path, follow_links=follow_links):
        words = line.rsplit(maxsplit=2)
        if len(words) == 3:
            bounds[words[0].strip()] = numbers_in(where, words[1:])
    if not all(image.name in bounds for image in images):
        return None
    return np.array([bounds[image.name] for image in images])
