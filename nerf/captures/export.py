"""Writing a capture in another format; reading it again gives the same rays and images.

Images whose size does not change are copied, others are written as PNG. If a format cannot express
something, the export is refused or a note says what is lost. Near and far are written in every
format, and read again: LLFF has them, the JSON formats get the keys `near` and `far` in each frame,
and COLMAP gets a file `bounds.txt` beside its model.
"""

import json
import math
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from nerf.captures import colmap, colmap_files, llff, transforms
from nerf.captures.capture import HALF_PIXEL, Array, Capture
from nerf.captures.lens_models import MODEL_IDS, PANORAMA, panorama_intrinsics
from nerf.captures.size_counts import sizes_in_words
from nerf.errors import UserError, counted
from nerf.geometry.lenses import Lens

_IMAGES, _MASKS = "images", "masks"


class ExportImages(NamedTuple):
    """The images to write.

    Attributes:
      sizes: `[num_views, 2]`, width and height in pixels.
      files: `[num_views]`, the files to copy; None for images whose pixels have changed.
      read: a function from the index of a view to its pixels `[height, width, 3 or 4]`, float32 in
        [0, 1].
      kept: a function from the index of a view to its mask `[height, width]`, True for pixels that
        are used; None for all.
    """

    sizes: npt.NDArray[np.int64]
    files: Sequence[Path | None]
    read: Callable[[int], npt.NDArray[np.float32]]
    kept: Callable[[int], npt.NDArray[np.bool_] | None] = lambda index: None


class _Export(NamedTuple):
    """The arguments of a writer, see `export`; `names` are the file names of the images."""

    capture: Capture
    lens: Lens
    bounds: Array | None
    sizes: npt.NDArray[np.int64]
    names: Sequence[str]
    out: Path


def export(
    capture: Capture,
    lens: Lens,
    bounds: Array | None,
    images: ExportImages,
    export_format: str,
    out: Path,
) -> list[str]:
    """Writes a capture in a format.

    Args:
      capture: the capture.
      lens: `[num_views]`, its lenses for images of `images.sizes`.
      bounds: `[num_views, 2]`, near and far in the capture's unit; None if they are not known.
      images: its images.
      export_format: one of `EXPORT_FORMATS`.
      out: a folder that does not exist, or is empty.

    Returns:
      Notes on what is lost.

    Raises:
      UserError: if the format cannot express the capture, or `out` is not empty or cannot be
        written.
    """
    if export_format not in _WRITERS:
        raise UserError(f"unknown format {export_format!r}: choose one of {', '.join(_WRITERS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"`out={out}` exists already: give a new folder")
    check, write = _WRITERS[export_format]
    as_png = export_format == "blender"  # its readers add this suffix to the names
    names = _names(capture, images, keep_order=export_format == "llff", as_png=as_png)
    task = _Export(capture, lens, bounds, images.sizes, names, out)
    notes = [*check(task), *_lost_path(capture)]
    try:
        for index, name in enumerate(names):
            _write_image(out / _IMAGES / name, images, index)
            _write_mask(out / _MASKS / f"{name}.png", images.kept(index))
        write(task)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}") from error
    return notes


def _names(capture: Capture, images: ExportImages, *, keep_order: bool, as_png: bool) -> list[str]:
    """The file names of the images in `images`.

    With `keep_order` they sort in the order of the views: such a format stores no names.
    """
    stems = list(capture.names)
    if keep_order:
        stems = [stem.replace("/", "_") for stem in stems]
    if len(set(stems)) < len(stems) or (keep_order and stems != sorted(stems)):
        digits = len(str(len(stems)))
        stems = [f"{i:0{digits}d}_{stem.replace('/', '_')}" for i, stem in enumerate(stems)]
    suffixes = [".png" if file is None or as_png else file.suffix for file in images.files]
    return [f"{stem}{suffix}" for stem, suffix in zip(stems, suffixes, strict=True)]


def _write_image(path: Path, images: ExportImages, index: int) -> None:
    """Copies or writes the image of a view."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = images.files[index]
    if source is not None and source.suffix.lower() == path.suffix.lower():
        shutil.copyfile(source, path)
    else:
        levels = np.round(255.0 * np.clip(images.read(index), 0.0, 1.0)).astype(np.uint8)
        Image.fromarray(levels).save(path)


def _write_mask(path: Path, kept: npt.NDArray[np.bool_] | None) -> None:
    """Writes the mask of a view, black where pixels are left out, where every format finds it."""
    if kept is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(kept, 255, 0).astype(np.uint8)).save(path)


# LLFF.


def _check_llff(task: _Export) -> list[str]:
    if (task.sizes != task.sizes[:1]).any():
        raise UserError(
            f"LLFF has one image size, and these images have several "
            f'({sizes_in_words(task.sizes)}): choose `export_format="nerfstudio"`'
        )
    notes = _check_pinhole(task.lens, task.sizes)
    if task.bounds is None:
        raise UserError("LLFF needs bounds, and this capture has none: give `near` and `far`")
    return [*notes, *_lost_split(task.capture)]


def _check_pinhole(lens: Lens, sizes: npt.NDArray[np.int64]) -> list[str]:
    """Refuses lenses that are not one pinhole camera with its axis through the image centre."""
    assert lens.distortion is not None
    assert lens.fisheye is not None
    advice = "undistort the images (`colmap image_undistorter`), or choose another format"
    if lens.panorama is not None:
        raise UserError("LLFF cannot express panoramas: choose another format")
    if lens.distortion.any() or lens.fisheye.any():
        raise UserError(f"LLFF cannot express distortion, which these lenses have: {advice}")
    focal, centre = np.asarray(lens.focal), np.asarray(lens.centre)
    if not np.allclose(focal, focal[0, 0], rtol=1e-3):
        raise UserError(f"LLFF has one focal length, and these lenses have several: {advice}")
    offset = float(np.abs(centre - 0.5 * sizes).max())
    if offset > 1.0:
        raise UserError(
            f"the principal point of LLFF is the image centre, and these are {offset:.1f} pixels "
            f"away from it: {advice}"
        )
    if offset > 1e-6:
        return [f"principal points are moved by {offset:.2f} pixels, to the image centre"]
    return []


def _write_llff(task: _Export) -> None:
    capture, lens, bounds, sizes, _, out = task
    assert bounds is not None
    right, up, back, positions = np.moveaxis(capture.camtoworlds, -1, 0)
    intrinsics = np.stack([sizes[:, 1], sizes[:, 0], np.asarray(lens.focal)[:, 0]], axis=-1)
    matrices = np.stack([-up, right, back, positions, intrinsics], axis=-1)
    rows = np.concatenate([matrices.reshape(-1, 15), bounds], axis=-1)
    np.save(out / llff.POSES_FILE, rows)


# transforms.json.


def _check_transforms(task: _Export) -> list[str]:
    num_lost = len(task.capture.points)
    return [f"{counted(num_lost, 'point is', 'points are')} not written"] if num_lost else []


def _write_nerfstudio(task: _Export) -> None:
    split, names = task.capture.split, task.names
    content = _transforms(task, range(len(names)))
    if split is not None:
        chosen = {"train": split.train, "val": (), "test": split.test}
        for part, indices in chosen.items():
            content[f"{part}_filenames"] = [f"{_IMAGES}/{names[i]}" for i in indices]
    _write_json(task.out / transforms.NERFSTUDIO_FILE, content)


def _write_blender(task: _Export) -> None:
    split, names = task.capture.split, task.names
    parts: dict[str, Sequence[int]] = {"train": range(len(names))}
    if split is not None:
        train, test = split
        rest = [i for i in range(len(names)) if i not in {*train, *test}]
        parts = {"train": train, "test": test, **({"val": rest} if rest else {})}
    stems = [f"./{_IMAGES}/{Path(name).with_suffix('').as_posix()}" for name in names]
    for part, indices in parts.items():
        content = _transforms(task, indices)
        for frame, index in zip(content["frames"], indices, strict=True):
            frame["file_path"] = stems[index]
        content["camera_angle_x"] = 2.0 * math.atan(
            0.5 * task.sizes[0, 0] / np.asarray(task.lens.focal)[0, 0]
        )
        _write_json(task.out / f"transforms_{part}.json", content)


def _transforms(task: _Export, indices: Sequence[int]) -> dict[str, Any]:
    """The content of a JSON file of some views; intrinsics that all share are written once."""
    capture, lens, bounds, sizes, names, _ = task
    intrinsics = [_intrinsics(lens, index, size) for index, size in enumerate(sizes.tolist())]
    shared = intrinsics[0] if all(values == intrinsics[0] for values in intrinsics) else {}
    frames = []
    for index in indices:
        matrix = np.vstack([capture.camtoworlds[index], [0.0, 0.0, 0.0, 1.0]])
        frame = {"file_path": f"{_IMAGES}/{names[index]}", "transform_matrix": matrix.tolist()}
        if not shared:
            frame |= intrinsics[index]
        if bounds is not None:
            frame |= {"near": float(bounds[index, 0]), "far": float(bounds[index, 1])}
        frames.append(frame)
    return {**shared, "frames": frames}


def _intrinsics(lens: Lens, index: int, size: Sequence[int]) -> dict[str, Any]:
    """The keys of `transforms.json` that describe the lens of a view."""
    assert lens.distortion is not None
    assert lens.fisheye is not None
    focal, centre = np.asarray(lens.focal)[index], np.asarray(lens.centre)[index] + HALF_PIXEL
    pinhole = [*focal.tolist(), *centre.tolist()]
    values = dict(zip(("fl_x", "fl_y", "cx", "cy"), pinhole, strict=True))
    names = ("k1", "k2", "k3", "k4", "p1", "p2")
    distortion = dict(zip(names, np.asarray(lens.distortion)[index].tolist(), strict=True))
    if lens.panorama is not None and lens.panorama[index]:
        # nerfstudio counts half turns, not radians.
        values |= {"fl_x": float(np.pi * focal[0]), "fl_y": float(np.pi * focal[1])}
        return {"camera_model": PANORAMA, "w": size[0], "h": size[1], **values}
    model = "OPENCV_FISHEYE" if lens.fisheye[index] else "OPENCV"
    if not any(distortion.values()):
        distortion = {}
    return {"camera_model": model, "w": size[0], "h": size[1], **values, **distortion}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


# COLMAP.


def _check_colmap(task: _Export) -> list[str]:
    lens = task.lens
    assert lens.distortion is not None
    assert lens.fisheye is not None
    distortion = np.asarray(lens.distortion)
    if distortion[~np.asarray(lens.fisheye), 3].any() or distortion[lens.fisheye, 4:].any():
        raise UserError(
            "COLMAP's FULL_OPENCV model has another k4, and its OPENCV_FISHEYE no p1 and p2, which "
            'these lenses have: choose `export_format="nerfstudio"`'
        )
    rows = np.array([panorama_intrinsics(*size) for size in task.sizes.tolist()])
    whole = rows[:, :4] - [0, 0, HALF_PIXEL, HALF_PIXEL]
    found = np.concatenate([np.asarray(lens.focal), np.asarray(lens.centre)], axis=1)
    is_part = task.capture.is_panorama & ~np.isclose(found, whole, rtol=1e-6, atol=1e-6).all(1)
    if is_part.any():
        raise UserError(
            "COLMAP's panoramas show the whole sphere, and these show a part of it: choose "
            '`export_format="nerfstudio"`'
        )
    return _lost_split(task.capture)


def _write_colmap(task: _Export) -> None:
    capture, lens, bounds, sizes, names, out = task
    model = out / "sparse" / "0"
    model.mkdir(parents=True)
    camera_of_view = [
        _colmap_camera(lens, index, size) for index, size in enumerate(sizes.tolist())
    ]
    numbers = {camera: number for number, camera in enumerate(dict.fromkeys(camera_of_view), 1)}
    ids = {name: number for number, name in MODEL_IDS.items()}
    cameras = struct.pack("<Q", len(numbers))
    for camera, number in numbers.items():
        cameras += struct.pack("<iiQQ", number, ids[camera.model], camera.width, camera.height)
        cameras += struct.pack(f"<{len(camera.params)}d", *camera.params)
    images = struct.pack("<Q", len(names))
    for index, (name, camera) in enumerate(zip(names, camera_of_view, strict=True)):
        rotation, translation = _world_to_camera(capture.camtoworlds[index])
        images += struct.pack("<i7di", index + 1, *rotation, *translation, numbers[camera])
        images += name.encode("utf-8", errors="surrogateescape") + b"\0" + struct.pack("<Q", 0)
    points = struct.pack("<Q", len(capture.points))
    for number, point in enumerate(capture.points.tolist(), 1):
        points += struct.pack("<Q3d3BdQ", number, *point, 128, 128, 128, 0.0, 0)
    for part, content in (("cameras", cameras), ("images", images), ("points3D", points)):
        (model / f"{part}.bin").write_bytes(content)
    if bounds is not None:
        lines = [
            f"{name} {near!r} {far!r}"
            for name, (near, far) in zip(names, bounds.tolist(), strict=True)
        ]
        text = "\n".join(lines) + "\n"
        (model / colmap.BOUNDS_FILE).write_bytes(text.encode("utf-8", errors="surrogateescape"))


def _colmap_camera(lens: Lens, index: int, size: Sequence[int]) -> colmap_files.Camera:
    """The simplest of COLMAP's cameras that is the lens of a view."""
    assert lens.distortion is not None
    assert lens.fisheye is not None
    width, height = size
    pinhole = [*np.asarray(lens.focal)[index], *(np.asarray(lens.centre)[index] + HALF_PIXEL)]
    if lens.panorama is not None and lens.panorama[index]:
        return colmap_files.Camera(PANORAMA, width, height, (float(width), float(height)))
    k1, k2, k3, k4, p1, p2 = np.asarray(lens.distortion)[index]
    model, distortion = "PINHOLE", []
    if lens.fisheye[index]:
        model, distortion = "OPENCV_FISHEYE", [k1, k2, k3, k4]
    elif k3:
        model, distortion = "FULL_OPENCV", [k1, k2, p1, p2, k3, 0.0, 0.0, 0.0]
    elif any((k1, k2, p1, p2)):
        model, distortion = "OPENCV", [k1, k2, p1, p2]
    params = tuple(float(value) for value in (*pinhole, *distortion))
    return colmap_files.Camera(model, width, height, params)


def _world_to_camera(camtoworld: Array) -> tuple[list[float], list[float]]:
    """A pose `[3, 4]` as COLMAP writes it: a quaternion, w first, and a translation."""
    from scipy.spatial.transform import Rotation

    right, up, back, position = camtoworld.T
    rotation = np.stack([right, -up, -back])
    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return [w, x, y, z], (-rotation @ position).tolist()


def _lost_split(capture: Capture) -> list[str]:
    """A note if the capture has a split, which the format cannot express."""
    if capture.split is None:
        return []
    return [
        "the split into views for training and held-out views is not written: the format has none"
    ]


def _lost_path(capture: Capture) -> list[str]:
    """A note if the capture has a camera path, which is not written."""
    if capture.path_poses is None:
        return []
    poses = counted(len(capture.path_poses), "pose")
    return [f"the camera path of {poses} without images is not written"]


_WRITERS = {
    "llff": (_check_llff, _write_llff),
    "nerfstudio": (_check_transforms, _write_nerfstudio),
    "blender": (_check_transforms, _write_blender),
    "colmap": (_check_colmap, _write_colmap),
}
EXPORT_FORMATS = tuple(_WRITERS)
