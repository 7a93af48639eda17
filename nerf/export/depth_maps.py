"""Depth maps as files: float32 in .npz, 16 bits in .png, and the cameras that they belong to."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from nerf.export.depth_views import Floats
from nerf.export.frames import Frame
from nerf.geometry.cameras import Cameras
from nerf.runtime import atomic

_LEVELS = 65535
_HALF_PIXEL = 0.5  # other programs put the centre of the first pixel there
CAMERAS_FILE = "transforms.json"


class DepthMap(NamedTuple):
    """The depth that one camera sees.

    Attributes:
      name: of the view.
      camera: one camera, in scene units.
      depth: `[height, width]`, scene units, along the viewing axis; of a panorama, the distance.
      acc: `[height, width]`, opacity in [0, 1].
    """

    name: str
    camera: Cameras
    depth: Floats
    acc: Floats


def level_size(maps: Sequence[DepthMap], frame: Frame, min_acc: float) -> float:
    """The depth that one level of the .png files stands for, in the unit of the frame."""
    most = [np.max(each.depth, where=each.acc >= min_acc, initial=0.0) for each in maps]
    return max(float(max(most, default=0.0)) * frame.scale, 1e-12) / _LEVELS


def write_depth_map(
    folder: Path, each: DepthMap, frame: Frame, level: float, min_acc: float
) -> None:
    """Writes NAME.npz (`depth`, `acc`, float32) and NAME.png, where 0 is for nothing.

    Args:
      folder: where to.
      each: the map.
      frame: whose unit the depth gets.
      level: see `level_size`.
      min_acc: where the opacity is less, the .png file has 0.
    """
    depth = (frame.scale * each.depth).astype(np.float32)
    file = folder / f"{each.name}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(file) as partial:
        np.savez_compressed(partial, depth=depth, acc=each.acc.astype(np.float32))
    levels = np.clip(np.round(depth.astype(np.float64) / level), 1, _LEVELS)
    shown = np.where(each.acc >= min_acc, levels, 0).astype(np.uint16)
    with atomic.replacing(folder / f"{each.name}.png") as partial:
        Image.fromarray(shown).save(partial)


def write_cameras(
    path: Path, maps: Sequence[DepthMap], frame: Frame, level: float, pixel_offset: float
) -> None:
    """Writes the cameras of depth maps in the form of nerfstudio's `transforms.json`.

    `depth_unit_scale_factor` times a level of a .png file is the depth.

    Args:
      path: the file.
      maps: the maps.
      frame: the coordinates of the poses.
      level: see `level_size`.
      pixel_offset: of cameras without a lens.
    """
    frames = [
        {
            "file_path": f"{each.name}.png",
            "depth_file_path": f"{each.name}.png",
            "transform_matrix": [
                *frame.poses(np.asarray(each.camera.camtoworlds)).tolist(),
                [0, 0, 0, 1],
            ],
            **lens_values(each.camera, pixel_offset),
        }
        for each in maps
    ]
    content = {"coordinates": frame.text, "depth_unit_scale_factor": level, "frames": frames}
    atomic.write_text(path, json.dumps(content, indent=1) + "\n")


def lens_values(camera: Cameras, pixel_offset: float) -> dict[str, Any]:
    """The keys of `transforms.json` that describe the lens of one camera."""
    size = {"w": camera.width, "h": camera.height}
    lens = camera.lens
    if lens is None:
        focal = float(camera.focal)
        centre = [0.5 * side - pixel_offset + _HALF_PIXEL for side in (camera.width, camera.height)]
        values = {"fl_x": focal, "fl_y": focal, "cx": centre[0], "cy": centre[1]}
        return {"camera_model": "OPENCV", **size, **values}
    fx, fy = (float(x) for x in np.asarray(lens.focal))
    cx, cy = (float(x) + _HALF_PIXEL for x in np.asarray(lens.centre))
    if lens.panorama is not None and bool(lens.panorama):  # which counts half turns, not radians
        values = {"fl_x": np.pi * fx, "fl_y": np.pi * fy, "cx": cx, "cy": cy}
        return {"camera_model": "EQUIRECTANGULAR", **size, **values}
    values = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
    is_fisheye = lens.fisheye is not None and bool(lens.fisheye)
    if lens.distortion is not None and np.any(lens.distortion):
        names = ("k1", "k2", "k3", "k4", "p1", "p2")
        values |= dict(zip(names, (float(x) for x in np.asarray(lens.distortion)), strict=True))
    return {"camera_model": "OPENCV_FISHEYE" if is_fisheye else "OPENCV", **size, **values}
