"""Depth maps as files: float32 in .npz, 16 bits in .png, and the cameras that they belong to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nerf.export.coordinate_frames import CoordinateFrame
from nerf.export.depth_views import MIN_ACC, Floats
from nerf.geometry.cameras import Cameras
from nerf.runtime import atomic

_LEVELS = 65535
_HALF_PIXEL = 0.5  # other programs put the centre of the first pixel there
CAMERAS_FILE = "depth_cameras.json"  # by the name transforms.json, depth would be read as colours


class DepthImage(Protocol):
    """What one camera sees.

    Attributes:
      depth: `[height, width]`, scene units, along the viewing axis; of a panorama, the distance.
      acc: `[height, width]`, opacity in [0, 1].
    """

    @property
    def depth(self) -> Floats: ...

    @property
    def acc(self) -> Floats: ...


def write_depth_map(folder: Path, name: str, image: DepthImage, frame: CoordinateFrame) -> float:
    """Writes NAME.npz: `depth` and `acc`, float32, `[height, width]`; `frame` and `unit` of the
    depth, as text; `scene_to_capture` `[4, 4]`, see `CoordinateFrame`.

    Args:
      folder: where to.
      name: of the view; it may lead into a folder within.
      image: what the camera sees, in scene units.
      frame: whose unit the depth is in.

    Returns:
      The greatest depth of a surface, in the unit of the file.
    """
    depth = (frame.scale * image.depth).astype(np.float32)
    file = folder / f"{name}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(file) as partial:
        np.savez_compressed(
            partial,
            depth=depth,
            acc=image.acc.astype(np.float32),
            frame=frame.name,
            unit=frame.unit,
            scene_to_capture=frame.scene_to_capture,
        )
    return float(np.max(depth, where=image.acc >= MIN_ACC, initial=0.0))


def write_levels(folder: Path, name: str, level: float) -> None:
    """Writes NAME.png, 16 bits, from NAME.npz; 0 where there is no surface.

    The file says in its text entries (tEXt) what a level is, and the frame and the unit.

    Args:
      folder, name: see `write_depth_map`.
      level: the depth that one level stands for.
    """
    texts = PngInfo()
    with np.load(folder / f"{name}.npz") as arrays:
        depth, acc = arrays["depth"], arrays["acc"]
        for key in ("frame", "unit"):
            texts.add_text(key, str(arrays[key]))
    texts.add_text("depth_of_a_level", repr(level))
    levels = np.clip(np.round(depth.astype(np.float64) / level), 1, _LEVELS)
    masked_levels = np.where(acc >= MIN_ACC, levels, 0).astype(np.uint16)
    with atomic.replacing(folder / f"{name}.png") as partial:
        Image.fromarray(masked_levels).save(partial, pnginfo=texts)


def level_size(most: float) -> float:
    """The depth that one level of the .png files stands for, where `most` is the greatest."""
    return max(most, 1e-12) / _LEVELS


def write_cameras(
    path: Path,
    named: Mapping[str, Cameras],
    frame: CoordinateFrame,
    level: float,
    pixel_offset: float,
) -> None:
    """Writes the cameras of depth maps in the form of nerfstudio's `transforms.json`, under another
    name: their images are not photographs.

    `depth_unit_scale_factor` times a level of a .png file is the depth.

    Args:
      path: the file.
      named: the camera of each depth map by its name.
      frame: the coordinates of the poses.
      level: see `level_size`.
      pixel_offset: of cameras without a lens.
    """
    frames = [
        {
            "file_path": f"{name}.png",
            "depth_file_path": f"{name}.png",
            "transform_matrix": [
                *frame.poses(np.asarray(camera.camtoworlds)).tolist(),
                [0, 0, 0, 1],
            ],
            **lens_values(camera, pixel_offset),
        }
        for name, camera in named.items()
    ]
    content = {
        **frame.to_json(),
        "unit": frame.unit,
        "depth_unit_scale_factor": level,
        "frames": frames,
    }
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
