"""Captures from COLMAP: a model in `sparse/0` or `colmap/sparse/0`, binary or text.

A model has three files: `cameras` (lenses), `images` (world-to-camera poses, and the points that
each image shows) and `points3D`. The images themselves are in `images` or `images_N`, under the
names that COLMAP used. `nerf.captures.colmap_files` reads the files; this module makes a capture of
them.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nerf.captures.capture import (
    MAX_DEPTH,
    MIN_POINTS,
    Array,
    Capture,
    make_lens,
    percentile_bounds,
)
from nerf.captures.colmap_files import (
    Camera,
    Image,
    lines_of,
    model_suffix,
    numbers_in,
    points_by_id,
    read_cameras,
    read_images,
)
from nerf.captures.files import check_inside, find_image, images_without_pose
from nerf.captures.lens_models import IS_ZERO, MODELS, PANORAMA, panorama_intrinsics
from nerf.errors import UserError, listed

_MODEL_FOLDERS = ("sparse", "colmap/sparse", "colmap", ".")
_IMAGE_FOLDERS = ("images", "input", "rgb", "colmap/images", ".")
BOUNDS_FILE = "bounds.txt"  # beside a model, our own addition; lines of image name, near and far
_INTRINSICS = ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2")


def find_model(folder: Path) -> Path | None:
    """The folder of the largest model of a capture; None if there is no model."""
    for name in _MODEL_FOLDERS:
        models = models_in(folder / name)
        if models:
            return max(models, key=_size_of_images)
        if model_suffix(folder / name) is not None:
            return folder / name
    return None


def models_in(folder: Path) -> list[Path]:
    """The models in a folder `sparse`: `0`, and more if COLMAP could not join all images."""
    with contextlib.suppress(OSError):
        paths = sorted(path for path in folder.iterdir() if path.name.isdigit())
        return [path for path in paths if model_suffix(path) is not None]
    return []


def _size_of_images(model: Path) -> int:
    """The size in bytes of the file `images`, which grows with the number of poses."""
    return (model / f"images.{model_suffix(model)}").stat().st_size


def read_colmap(folder: Path, factor: int | None = None) -> Capture:
    """Reads the largest model of a folder and finds its images.

    Args:
      folder: contains the model and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.

    Raises:
      UserError: if there is no model, or it is damaged or incomplete, or no image is found.
    """
    model = find_model(folder)
    if model is None:
        raise UserError(
            f"no COLMAP model in {folder}: sparse/0 or colmap/sparse/0 must contain cameras, "
            "images and points3D (.bin or .txt)"
        )
    check_inside(folder, model)
    cameras = read_cameras(model)
    images, files, image_notes = _find_images(folder, model, factor)
    points, point_notes = _read_points(model)
    without_camera = [image.name for image in images if image.camera_id not in cameras]
    if without_camera:
        raise UserError(
            f"{model}: the cameras of {listed(without_camera)} are not in its list: run COLMAP "
            "again"
        )
    camera_of_view = [cameras[image.camera_id] for image in images]
    is_panorama = [camera.model == PANORAMA for camera in camera_of_view]
    camtoworlds = np.stack([_camtoworld(image, model) for image in images])
    bounds = _bounds_from_file(model, images)
    return Capture(
        format="colmap",
        folder=folder,
        files=tuple(files),
        camtoworlds=camtoworlds,
        lens=make_lens(
            [_intrinsics(camera) for camera in camera_of_view],
            [camera.model.endswith("FISHEYE") for camera in camera_of_view],
            is_panorama,
        ),
        sizes=np.array([[camera.width, camera.height] for camera in camera_of_view], np.int64),
        bounds=_bounds_from_points(camtoworlds, is_panorama, images, points)
        if bounds is None
        else bounds,
        points=np.array(list(points.values())).reshape(-1, 3),
        notes=(*point_notes, *_note_on_models(folder, model), *image_notes),
    )


def _read_points(model: Path) -> tuple[dict[int, Array], list[str]]:
    """The points of a model by their numbers; a file that cannot be read gives a note instead."""
    try:
        return points_by_id(model), []
    except UserError as problem:
        return {}, [f"no points: {problem}"]


def _note_on_models(folder: Path, model: Path) -> list[str]:
    """A note if there are other models than the one that is read."""
    models = models_in(model.parent) if model != folder else []
    if len(models) < 2:
        return []
    names = listed(path.name for path in models)
    return [
        f"COLMAP made {len(models)} models ({names}), and only the largest, {model.name}, is read: "
        "COLMAP could not join the images of the others to it"
    ]


# COLMAP's conventions to ours.


def _intrinsics(camera: Camera) -> list[float]:
    """fx, fy, cx, cy, k1, k2, k3, k4, p1, p2."""
    if camera.model == PANORAMA:
        return panorama_intrinsics(camera.width, camera.height)
    values = dict(zip(MODELS[camera.model], camera.params, strict=True))
    values |= dict.fromkeys(IS_ZERO.get(camera.model, ()), 0.0)
    focal = values.get("f")
    if focal is not None:
        values |= {"fx": focal, "fy": focal}
    return [values.get(key, 0.0) for key in _INTRINSICS]


def _camtoworld(image: Image, model: Path) -> Array:
    """The pose `[3, 4]` of an image, columns right, up, back | position."""
    length = sum(value * value for value in image.rotation)
    if not 0.25 < length < 4.0:  # also refuses NaN
        raise UserError(
            f"{model}: the rotation of {image.name} is not a unit quaternion: run COLMAP again"
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


def _bounds_from_points(
    camtoworlds: Array,
    is_panorama: Sequence[bool],
    images: Sequence[Image],
    points: Mapping[int, Array],
) -> Array | None:
    """Bounds `[num_views, 2]` from the points that each image shows, or from all if these are few.

    Those of panoramas are distances.

    None if a view then has fewer than `MIN_POINTS` in front of it.
    """
    if len(points) < MIN_POINTS:
        return None
    all_points = np.array(list(points.values()))
    bounds = []
    for pose, is_round, image in zip(camtoworlds, is_panorama, images, strict=True):
        visible = [points[number] for number in image.point_ids.tolist() if number in points]
        positions = np.array(visible) if len(visible) >= MIN_POINTS else all_points
        with np.errstate(all="ignore"):
            away = positions - pose[:, 3]
            depth = np.linalg.norm(away, axis=-1) if is_round else away @ -pose[:, 2]
        depth = depth[(depth > 0) & (depth < MAX_DEPTH)]
        if len(depth) < MIN_POINTS:
            return None
        bounds.append(percentile_bounds(depth))
    return np.array(bounds)


def _bounds_from_file(model: Path, images: Sequence[Image]) -> Array | None:
    """Bounds `[num_views, 2]` from `BOUNDS_FILE`; None if it is missing or lacks an image."""
    path = model / BOUNDS_FILE
    if not path.is_file():
        return None
    bounds = {}
    for where, words in lines_of(path):
        if len(words) >= 3:
            bounds[" ".join(words[:-2])] = numbers_in(where, words[-2:])
    if not all(image.name in bounds for image in images):
        return None
    return np.array([bounds[image.name] for image in images])


# Finding the images.


def _find_images(
    folder: Path, model: Path, factor: int | None
) -> tuple[list[Image], list[Path], list[str]]:
    """The posed images of a model, their files, and notes on poses and images that do not match.

    Raises:
      UserError: if no image is found.
    """
    images = read_images(model)
    root = _image_folder(folder, images, factor)
    found = [(image, _find(folder, root, image.name, factor)) for image in images]
    missing = [image.name for image, file in found if file is None]
    matched = [(image, file) for image, file in found if file is not None]
    if not matched:
        raise UserError(
            f"none of the {len(images)} images that {model} names is in {root}, the first of "
            f"them {images[0].name}: put them there under the names that COLMAP used"
        )
    notes = []
    if missing:
        notes.append(f"{len(missing)} poses have no image and are left out: {listed(missing)}")
    without_pose = images_without_pose(file for _, file in matched)
    if without_pose:
        notes.append(
            f"{len(without_pose)} images have no pose and are not used: {listed(without_pose)}"
        )
    return [image for image, _ in matched], [file for _, file in matched], notes


def _image_folder(folder: Path, images: Sequence[Image], factor: int | None) -> Path:
    """The folder that contains most of the images, judged by a sample of them."""
    sample = [image.name for image in images[:: max(1, len(images) // 16)]]

    def num_found(root: Path) -> int:
        return sum(_find(folder, root, name, factor) is not None for name in sample)

    roots = [folder / name for name in _IMAGE_FOLDERS]
    return max(roots, key=num_found)


def _find(folder: Path, root: Path, name: str, factor: int | None) -> Path | None:
    """The file of an image of the model, in `root`; None if there is none."""
    relative = root.relative_to(folder) / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        relative = Path(name)  # `find_image` then refuses it by its own name
    return find_image(folder, relative.as_posix(), factor)
