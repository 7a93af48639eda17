"""COLMAP's points for poses in another file, as nerfstudio and instant-ngp leave both."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nerf.captures.capture import Array, Capture
from nerf.captures.colmap_model.files import (
    Camera,
    Image,
    Point,
    points_by_id,
    read_cameras,
    read_images,
)
from nerf.captures.colmap_model.point_depths import point_depths
from nerf.captures.depths.known import PointDepths
from nerf.captures.json_files.values import Numbers, pose_matrix
from nerf.captures.lenses.models import HALF_PIXEL
from nerf.errors import UserError
from nerf.geometry.lenses import pixels

_FILE = "transforms.json"
_NUM_COMPARED = 300  # keypoints of an image
_MOST_OFF = 0.01  # of the width of the image: how far a point may be from its keypoint, as a median


def points_in_pose_frame(
    model: Path | None, content: Mapping[str, Any], notes: list[str], *, follow_links: bool = False
) -> dict[int, Point]:
    """The points of COLMAP's model in the frame of the poses by their numbers.

    A model that cannot be read adds a note instead.
    """
    if model is None:
        return {}
    matrix = None
    if content.get("applied_transform") is not None:
        matrix = pose_matrix(content["applied_transform"], "applied_transform")
    scale = Numbers(content, _FILE)("applied_scale", 1.0)
    try:
        return moved_points(model, matrix, scale, follow_links=follow_links)
    except UserError as error:
        notes.append(f"the points of COLMAP beside {_FILE} are not used: {error}")
        return {}


def with_point_depths(capture: Capture, model: Path | None, points: Mapping[int, Point]) -> Capture:
    """The capture with the depths of COLMAP's points, if they are in the frame of its poses."""
    if model is None or not len(capture.points):
        return capture
    try:
        found = depths_of_points(capture, model, points)
    except UserError as error:  # the points are known all the same
        note = f"the depths of COLMAP's points beside {_FILE} are not used: {error}"
        return dataclasses.replace(capture, notes=(*capture.notes, note))
    return dataclasses.replace(capture, point_depths=found)


def moved_points(
    model: Path, matrix: Array | None, scale: float, *, follow_links: bool = False
) -> dict[int, Point]:
    """The points of a model in the coordinates of the poses, by their numbers.

    Args:
      model: the folder of its files.
      matrix: `[3, 4]`, from COLMAP's coordinates; None for the same.
      scale: times which they are taken then.
      follow_links: whether files that are links out of the folder are read.

    Raises:
      UserError: if a file is damaged.
    """

    def moved(point: Point) -> Point:
        position = point.position
        if matrix is not None:
            position = matrix[:, :3] @ position + matrix[:, 3]
        return point._replace(position=scale * position)

    return {k: moved(x) for k, x in points_by_id(model, follow_links=follow_links).items()}


def depths_of_points(
    capture: Capture, model: Path, points: Mapping[int, Point]
) -> PointDepths | None:
    """The depths of a model's points in the views that have the names of its images.

    Args:
      capture: with the poses and the lenses.
      model: the folder of its files.
      points: of the model, in the coordinates of the poses.

    Returns:
      The depths; None where no image of the model has the name of a view, or shows points.

    Raises:
      UserError: if a file is damaged, or the views do not show the points where the images of the
        model do.
    """
    cameras = read_cameras(model, follow_links=capture.follow_links)
    by_name = {
        Path(image.name).name.casefold(): image
        for image in read_images(model, follow_links=capture.follow_links)
    }
    counts = Counter(file.name.casefold() for file in capture.files)
    images: list[Image] = []
    for index, file in enumerate(capture.files):
        image = by_name.get(file.name.casefold())
        if image is None or counts[file.name.casefold()] > 1 or image.camera_id not in cameras:
            nothing = np.zeros(0, np.int64)
            images.append(Image(file.name, 0, (), (), nothing, np.zeros((0, 2))))
            continue
        own = cameras[image.camera_id]
        scale = capture.sizes[index] / np.array([own.width, own.height])
        images.append(image._replace(keypoints=image.keypoints * scale))
    of_views = [Camera("PINHOLE", int(w), int(h), ()) for w, h in capture.sizes]
    focals = np.mean(capture.lens.focal, axis=-1)
    found = point_depths(
        capture.camtoworlds, capture.is_panorama.tolist(), images, of_views, focals, points
    )
    if found is not None and not _fits(capture, images, points):
        raise UserError("its images have other poses")
    return found


def _fits(capture: Capture, images: list[Image], points: Mapping[int, Point]) -> bool:
    """Whether the views show points near their keypoints; panoramas are not judged."""
    if capture.is_panorama.any():
        return True
    known = [
        (index, points[number].position, keypoint)
        for index, image in enumerate(images)
        for number, keypoint in zip(
            image.point_ids[:_NUM_COMPARED].tolist(), image.keypoints, strict=False
        )
        if number in points
    ]
    if not known:
        return False
    view = np.array([index for index, _, _ in known])
    poses = capture.camtoworlds[view]
    offset = np.array([position for _, position, _ in known]) - poses[:, :, 3]
    right, up, back = np.einsum("pij,pi->jp", poses[:, :, :3], offset)
    ahead = np.where(back < 0, -back, np.nan)
    slopes = np.stack([right / ahead, -up / ahead], axis=-1)
    own = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[view]), capture.lens)
    projected = np.asarray(jax.jit(pixels)(jnp.asarray(slopes), own)) + HALF_PIXEL
    off = np.linalg.norm(projected - np.array([keypoint for _, _, keypoint in known]), axis=-1)
    off = np.where(np.isfinite(off), off / capture.sizes[view, 0], 1.0)
    return bool(np.median(off) < _MOST_OFF)
