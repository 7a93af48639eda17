"""Captures from COLMAP: a model in `sparse/0` or `colmap/sparse/0`, binary or text.

A model has three files: `cameras` (lenses), `images` (world-to-camera poses, and the points that
each image shows) and `points3D`. The images themselves are in `images` or `images_N`, under the
names that COLMAP used. `nerf.captures.colmap_model.files` reads the files; this module makes a
capture of them.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import (
    Array,
    Capture,
    InvalidCapture,
    make_lens,
)
from nerf.captures.colmap_model.bounds import bounds_from_file, bounds_from_points
from nerf.captures.colmap_model.files import (
    Camera,
    Image,
    Point,
    model_suffix,
    points_by_id,
    read_cameras,
    read_images,
)
from nerf.captures.colmap_model.incomplete import missing_parts
from nerf.captures.colmap_model.point_depths import point_depths
from nerf.captures.format_record import Format, Names
from nerf.captures.images.names import NoImagesFound, match_images, none_found
from nerf.captures.images.paths import find_image
from nerf.captures.lenses.models import IS_ZERO, MODELS, PANORAMA, panorama_intrinsics
from nerf.captures.readers.posed_images import notes_on_files
from nerf.captures.safe_files.reading import (
    check_inside,
    contents,
    file_named,
    folder_at,
    path_inside,
)
from nerf.errors import UserError, listed

_NAME = "colmap"
_MODEL_FOLDERS = ("sparse", "colmap/sparse", "colmap", ".")
_IMAGE_FOLDERS = ("images", "input", "rgb", "colmap/images", ".")
_INTRINSICS = ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2")


def find_model(folder: Path) -> Path | None:
    """The folder of the largest model of a capture; None without a model."""
    for name in _MODEL_FOLDERS:
        place = folder_at(folder, name)
        models = models_in(place)
        if models:
            return max(models, key=_size_of_images)
        if model_suffix(place) is not None:
            return place
    return None


def _is_colmap(folder: Path, /, *, follow_links: bool = False) -> bool:
    """Whether a folder has a model. No file is opened."""
    return find_model(folder) is not None


def models_in(folder: Path) -> list[Path]:
    """The models in a folder `sparse`: `0`, and more if COLMAP could not join all images.

    In a folder that is called so, a model may have any name.
    """
    with contextlib.suppress(OSError):
        paths = sorted(path for path in folder.iterdir() if path.name.isdecimal())
        found = [path for path in paths if model_suffix(path) is not None]
        if not found and folder.name.lower() == "sparse":
            others = sorted(path for path in folder.iterdir() if path.is_dir())
            found = [path for path in others if model_suffix(path) is not None]
        return found
    return []


def _size_of_images(model: Path) -> int:
    """The size in bytes of the file `images`, which grows with the number of poses."""
    path = file_named(model, f"images.{model_suffix(model)}")
    return path.stat().st_size if path is not None else 0


def read_colmap(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the largest model of a folder and finds its images.

    Args:
      folder: contains the model and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      poses: the folder below it that has the files of poses; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: if there is no model, or it is damaged or incomplete, or no image is found.
    """
    model = find_model(poses or folder)
    if model is None:
        raise UserError(
            f"no COLMAP model in {folder}: sparse/0 or colmap/sparse/0 must contain cameras, "
            f"images and points3D (.bin or .txt), and {contents(folder)}"
        )
    check_inside(folder, model, follow_links=follow_links)
    cameras = read_cameras(model, follow_links=follow_links)
    images, files, image_notes = _find_images(folder, model, factor, follow_links)
    points, point_notes = _read_points(model, follow_links)
    without_camera = [image.name for image in images if image.camera_id not in cameras]
    if without_camera:
        raise UserError(
            f"{model}: the cameras of {listed(without_camera)} are not in its list: run COLMAP "
            "again"
        )
    camera_of_view = [cameras[image.camera_id] for image in images]
    is_panorama = [camera.model == PANORAMA for camera in camera_of_view]
    camtoworlds = _camtoworlds(images, model)
    bounds = bounds_from_file(model, images, follow_links)
    lens = make_lens(
        [_intrinsics(camera) for camera in camera_of_view],
        [camera.model.endswith("FISHEYE") for camera in camera_of_view],
        is_panorama,
    )
    return Capture(
        format=_NAME,
        folder=folder,
        files=tuple(files),
        camtoworlds=camtoworlds,
        lens=lens,
        sizes=np.array([[camera.width, camera.height] for camera in camera_of_view], np.int64),
        bounds=bounds_from_points(camtoworlds, is_panorama, images, points)
        if bounds is None
        else bounds,
        points=np.array([point.position for point in points.values()]).reshape(-1, 3),
        point_depths=point_depths(
            camtoworlds,
            is_panorama,
            images,
            camera_of_view,
            np.mean(lens.focal, axis=-1),
            points,
        ),
        notes=(*point_notes, *_note_on_models(folder, model), *image_notes),
        follow_links=follow_links,
    )


def _read_points(model: Path, follow_links: bool) -> tuple[dict[int, Point], list[str]]:
    """The points of a model by their numbers; a file that cannot be read gives a note instead."""
    try:
        return points_by_id(model, follow_links=follow_links), []
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


def _camtoworlds(images: Sequence[Image], model: Path) -> Array:
    """The poses `[num_images, 3, 4]` of images; raises an InvalidCapture with the faulty ones."""
    poses, faults = [], []
    for image in images:
        try:
            poses.append(_camtoworld(image, model))
        except UserError as fault:
            faults.append((image.name, str(fault)))
    if faults:
        raise InvalidCapture(merge_faults(faults, "images"))
    return np.stack(poses)


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


# Finding the images.


def _find_images(
    folder: Path, model: Path, factor: int | None, follow_links: bool
) -> tuple[list[Image], list[Path], list[str]]:
    """The posed images of a model, their files, and notes on poses and images that do not match.

    Raises:
      UserError: if no image is found, or a name cannot be used.
    """
    images = read_images(model, follow_links=follow_links)
    root = _image_folder(folder, images, factor, follow_links)
    names = [image.name for image in images]
    matches = match_images(folder, names, factor, root=root, follow_links=follow_links)
    if matches.faults:
        raise InvalidCapture(merge_faults(matches.faults.items(), "images"))
    missing = [name for name in names if name not in matches.files]
    matched = [image for image in images if image.name in matches.files]
    if not matched:
        raise NoImagesFound(
            f"{none_found(names, f'that {model} names', f'in {folder / root}')} "
            f"({matches.description}): put them there under the names that COLMAP used"
        )
    files = [matches.files[image.name] for image in matched]
    return matched, files, [*matches.notes(), *notes_on_files(missing, files)]


def _image_folder(
    folder: Path, images: Sequence[Image], factor: int | None, follow_links: bool
) -> str:
    """The folder that contains most of the images, judged by a sample of them."""
    sample = [image.name for image in images[:: max(1, len(images) // 16)]]

    def num_found(root: str) -> int:
        found = 0
        for name in sample:
            with contextlib.suppress(UserError):
                relative = path_inside(folder, name, root)
                if relative is not None:
                    path = relative.as_posix()
                    found += bool(find_image(folder, path, factor, follow_links=follow_links))
        return found

    return max(_IMAGE_FOLDERS, key=num_found)


FORMAT = Format(
    name=_NAME,
    files_in_words="sparse/0 (COLMAP)",
    read=read_colmap,
    is_in=_is_colmap,
    opens_files=False,
    names=Names(
        files=("images.txt", "images.bin"),
        suffixes=(".txt", ".bin"),
        scene=("sparse/0", "colmap/sparse/0"),
        parts=("colmap", "sparse", *map(str, range(10))),
    ),
    missing=missing_parts,
)
