"""Rendering the depth of all views of a trained field, as files."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from nerf.export import depth_maps
from nerf.export.coordinate_frames import CoordinateFrame
from nerf.jobs.exports.views import render_depth
from nerf.jobs.trained_field import TrainedField
from nerf.runtime.events import Callback, say


def write_depth(
    trained: TrainedField, folder: Path, frame: CoordinateFrame, callback: Callback
) -> dict[str, Any]:
    """Writes the depth maps and cameras of all views, one after the other.

    Args:
      trained: the field, with the cameras of its scene.
      folder: where to; it is made.
      frame: the coordinates and the unit.
      callback: receives progress.

    Returns:
      The entry of export.json for them.
    """
    record = trained.needed_scene()
    names = _file_names(record.view_names)
    cameras = {name: record.cameras[index] for index, name in enumerate(names)}
    folder.mkdir(parents=True, exist_ok=True)
    most = [
        depth_maps.write_depth_map(folder, name, image, frame)
        for name, image in zip(
            names, render_depth(trained, list(cameras.values()), callback), strict=True
        )
    ]
    level = depth_maps.level_size(max(most, default=0.0))
    for name in names:
        depth_maps.write_levels(folder, name, level)
    offset = trained.config.render.pixel_offset
    depth_maps.write_cameras(folder / depth_maps.CAMERAS_FILE, cameras, frame, level, offset)
    say(callback, f"depth maps: {folder} ({len(names)} views)")
    return {"num_views": len(names), "unit_of_a_png_level": level}


def _file_names(names: Sequence[str]) -> list[str]:
    """Names of files in a folder, which they do not lead out of."""
    safe = [
        "/".join(part for part in PurePosixPath(name).parts if part not in ("/", "..", "."))
        for name in names
    ]
    if len({name.casefold() for name in safe}) == len(safe) and all(safe):
        return safe
    return [f"{index:04d}_{name.replace('/', '_')}" for index, name in enumerate(safe)]
