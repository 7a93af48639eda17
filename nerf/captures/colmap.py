"""Captures from COLMAP: `sparse/0`, or `colmap/sparse/0`, in its binary or its text form.

`cameras` holds lenses, `images` the world-to-camera poses and which points each picture shows,
`points3D` the points. Pictures lie in `images` (or `images_N`) under the names that COLMAP gave
them.

`nerf.captures.colmap_files` reads these files; here they become a capture.
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
    MODELS,
    Camera,
    Image,
    form_of,
    lines_of,
    numbers_in,
    points_by_number,
    read_cameras,
    read_images,
)
from nerf.captures.files import check_inside, find_image, images_without_pose
from nerf.errors import UserError, listed

_MODEL_FOLDERS = ("sparse", "colmap/sparse", "colmap", ".")
_IMAGE_FOLDERS = ("images", "input", "rgb", "colmap/images", ".")

_ROW = ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2")


def find_model(folder: Path) -> Path | None:
    """The folder of the model with the most poses; None where there is none."""
    for name in _MODEL_FOLDERS:
        models = models_in(folder / name)
        if models:
            return max(models, key=_size_of_images)
        if form_of(folder / name) is not None:
            return folder / name
    return None


def models_in(folder: Path) -> list[Path]:
    """COLMAP's models in a folder: `0`, and more of them where not all pictures fit together."""
    with contextlib.suppress(OSError):
        paths = sorted(path for path in folder.iterdir() if path.name.isdigit())
        return [path for path in paths if form_of(path) is not None]
    return []


def _size_of_images(model: Path) -> int:
    return (model / f"images.{form_of(model)}").stat().st_size


def read_colmap(folder: Path, factor: int | None = None) -> Capture:
    """Reads a model and finds its pictures.

    Args:
      folder: holds the model and the pictures.
      factor: N for those in `images_N`.

    Raises:
      UserError: for what is missing or impossible.
    """
    model = find_model(folder)
    if model is None:
        raise UserError(
            f"no COLMAP model in {folder}: cameras, images and points3D (.bin or .txt) are looked "
            "for in sparse/0 and colmap/sparse/0"
        )
    check_inside(folder, model)
    cameras, images = read_cameras(model), read_images(model)
    points: dict[int, Array] = {}
    notes: list[str] = []
    try:
        points = points_by_number(model)
    except UserError as problem:
        notes.append(f"no points: {problem}")
    models = models_in(model.parent) if model != folder else []
    if len(models) > 1:
        names = listed(path.name for path in models)
        notes.append(
            f"COLMAP made {len(models)} models ({names}), of which {model.name} is read, the "
            "largest: pictures of the others did not fit together with it"
        )
    root = _image_folder(folder, images, factor)
    found = [(image, _find(folder, root, image.name, factor)) for image in images]
    missing = [image.name for image, file in found if file is None]
    posed = [(image, file) for image, file in found if file is not None]
    if not posed:
        raise UserError(
            f"none of the {len(images)} pictures that {model} names is in {root}, the first of "
            f"them {images[0].name}: put them there under the names that COLMAP had"
        )
    if missing:
        notes.append(f"{len(missing)} poses have no picture and are left out: {listed(missing)}")
    unposed = images_without_pose(file for _, file in posed)
    if unposed:
        notes.append(f"{len(unposed)} pictures have no pose and are not used: {listed(unposed)}")
    kept = [image for image, _ in posed]
    given = _given_bounds(model, kept)
    lost = [image.name for image in kept if image.camera_id not in cameras]
    if lost:
        raise UserError(
            f"{model}: the cameras of {listed(lost)} are not in its list: run COLMAP again"
        )
    chosen = [cameras[image.camera_id] for image in kept]
    camtoworlds = np.stack([_camtoworld(image, model) for image in kept])
    return Capture(
        format="colmap",
        folder=folder,
        files=tuple(file for _, file in posed),
        camtoworlds=camtoworlds,
        lens=make_lens(
            [_intrinsics(camera) for camera in chosen],
            [camera.model.endswith("FISHEYE") for camera in chosen],
        ),
        sizes=np.array([[camera.width, camera.height] for camera in chosen], np.int64),
        bounds=_bounds(camtoworlds, kept, points) if given is None else given,
        points=np.array(list(points.values())).reshape(-1, 3),
        notes=tuple(notes),
    )


# From COLMAP's conventions to ours.


def _intrinsics(camera: Camera) -> list[float]:
    """fx, fy, cx, cy, k1, k2, k3, k4, p1, p2."""
    values = dict(zip(MODELS[camera.model], camera.params, strict=True))
    focal = values.get("f")
    if focal is not None:
        values |= {"fx": focal, "fy": focal}
    return [values.get(key, 0.0) for key in _ROW]


def _camtoworld(image: Image, model: Path) -> Array:
    """`[3, 4]`, right, up, back | position."""
    length = sum(value * value for value in image.rotation)
    if not 0.25 < length < 4.0:  # which NaN is not either
        raise UserError(
            f"{model}: the rotation of {image.name} is no unit quaternion: run COLMAP again"
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


def _bounds(
    camtoworlds: Array, images: Sequence[Image], points: Mapping[int, Array]
) -> Array | None:
    """Nearest and farthest depth of the points that each picture shows."""
    if len(points) < MIN_POINTS:
        return None
    everything = np.array(list(points.values()))
    found = []
    for pose, image in zip(camtoworlds, images, strict=True):
        seen = [points[number] for number in image.point_ids.tolist() if number in points]
        positions = np.array(seen) if len(seen) >= MIN_POINTS else everything
        with np.errstate(all="ignore"):
            depth = (positions - pose[:, 3]) @ -pose[:, 2]
        depth = depth[(depth > 0) & (depth < MAX_DEPTH)]
        if len(depth) < MIN_POINTS:
            return None
        found.append(percentile_bounds(depth))
    return np.array(found)


BOUNDS_FILE = "bounds.txt"  # beside the model: lines of a picture's name, near and far


def _given_bounds(model: Path, images: Sequence[Image]) -> Array | None:
    path = model / BOUNDS_FILE
    if not path.is_file():
        return None
    given = {}
    for where, words in lines_of(path):
        if len(words) >= 3:
            given[" ".join(words[:-2])] = numbers_in(where, words[-2:])
    if not all(image.name in given for image in images):
        return None
    return np.array([given[image.name] for image in images])


# Which pictures there are.


def _image_folder(folder: Path, images: Sequence[Image], factor: int | None) -> Path:
    """The folder that holds most of the pictures; `images` if none holds any."""
    some = [image.name for image in images[:: max(1, len(images) // 16)]]

    def num_found(root: Path) -> int:
        return sum(_find(folder, root, name, factor) is not None for name in some)

    roots = [folder / name for name in _IMAGE_FOLDERS]
    return max(roots, key=num_found)


def _find(folder: Path, root: Path, name: str, factor: int | None) -> Path | None:
    relative = root.relative_to(folder) / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        relative = Path(name)  # for the sentence that refuses it
    return find_image(folder, relative.as_posix(), factor)
