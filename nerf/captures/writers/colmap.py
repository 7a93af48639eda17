"""Writing a capture as a COLMAP model, see `nerf.captures.export`."""

import struct
from collections.abc import Sequence

import numpy as np

from nerf.captures.capture import HALF_PIXEL, Array
from nerf.captures.colmap_model import bounds as colmap_bounds
from nerf.captures.colmap_model import files as colmap_files
from nerf.captures.lenses.models import MODEL_IDS, PANORAMA, panorama_intrinsics
from nerf.captures.writers.task import ExportTask, Writer, note_on_lost_split
from nerf.errors import UserError
from nerf.geometry.lenses import Lens


def check_colmap(task: ExportTask) -> list[str]:
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
    return note_on_lost_split(task.capture)


def write_colmap(task: ExportTask) -> None:
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
        (model / colmap_bounds.BOUNDS_FILE).write_bytes(
            text.encode("utf-8", errors="surrogateescape")
        )


def _colmap_camera(lens: Lens, index: int, size: Sequence[int]) -> colmap_files.Camera:
    """The simplest of COLMAP's camera models that describes the lens of a view."""
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


WRITER = Writer("colmap", check_colmap, write_colmap)
