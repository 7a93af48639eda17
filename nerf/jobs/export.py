"""Meshes, point clouds and depth maps of a trained field, as files for other programs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.errors import UserError
from nerf.export import files, fusion, marching, output_folder
from nerf.export.colours import surface_colours
from nerf.export.components import largest_components
from nerf.export.coordinate_frames import CoordinateFrame
from nerf.export.decimation import decimate
from nerf.export.depth_views import Floats, surface_points
from nerf.export.marching import TriangleMesh
from nerf.export.points import point_cloud
from nerf.jobs.exports.depth_maps import write_depth
from nerf.jobs.exports.views import MAX_SIZE, SurfaceViews, surface_views
from nerf.jobs.trained_field import TrainedField
from nerf.runtime.events import Callback, Progress, log_event, say

KINDS = ("mesh", "points", "depth")
NUM_POINTS = 1_000_000
MAX_RESOLUTION = 1024  # cells along the longest side
MIN_FACES = 100
POINTS_FILE, DEPTH_FOLDER = "points.ply", "depth"
_USUAL_RESOLUTION = 384
_CELLS_PER_PIXEL = 2.0
_TRUNCATION_CELLS, _TRUNCATION_DEPTH = 3.0, 0.015  # of the median depth


def export_mesh(
    trained: TrainedField,
    path: str | Path,
    *,
    frame: str = "capture",
    resolution: int | None = None,
    max_faces: int | None = None,
    max_size: int = MAX_SIZE,
    max_depth: float | None = None,
    callback: Callback = log_event,
) -> None:
    """Writes a coloured mesh of the surfaces that the training views see.

    The depth of the views is rendered and fused; only the largest connected components are kept.

    Args:
      trained: from `nerf.train`, `nerf.load_run` or `nerf.load_params`, with the cameras of its
        scene.
      path: the file, which ends with .ply, .glb or .obj; it is replaced as a whole.
      frame: `capture`, the coordinates and unit of the capture's own files, or `scene` units.
      resolution: cells of the grid along its longest side; None means about two cells a pixel, and
        at most 384.
      max_faces: the number of triangles at most; None means no limit.
      max_size: the longer side in pixels of the rendered views, at most.
      max_depth: surfaces farther from a camera are left out, in the unit of the capture's files;
        None means four times the median depth, and no limit for an object.
      callback: receives progress.

    Raises:
      UserError: without the packages of the extra `export`, if `path` has another ending or cannot
        be written, or nothing is seen.
    """
    path = Path(path)
    files.check_mesh_path(path)
    _check(frame, resolution=resolution, max_faces=max_faces, max_size=max_size)
    output_folder.check_file(path)
    views = surface_views(trained, max_size=max_size, max_depth=max_depth, callback=callback)
    _write_meshes(trained, [path], views, frame, resolution, max_faces, callback)


def export_points(
    trained: TrainedField,
    path: str | Path,
    *,
    frame: str = "capture",
    num_points: int = NUM_POINTS,
    max_size: int = MAX_SIZE,
    max_depth: float | None = None,
    callback: Callback = log_event,
) -> None:
    """Writes a coloured point cloud with normals as a .ply file.

    Args:
      trained, frame, max_size, max_depth, callback: see `export_mesh`.
      path: the file, which ends with .ply; it is replaced as a whole.
      num_points: at most that many, evenly chosen from the pixels of the training views.

    Raises:
      UserError: see `export_mesh`.
    """
    path = Path(path)
    files.check_points_path(path)
    _check(frame, num_points=num_points, max_size=max_size)
    output_folder.check_file(path)
    views = surface_views(trained, max_size=max_size, max_depth=max_depth, callback=callback)
    _write_points(trained, path, views, frame, num_points, callback)


def export_depth(
    trained: TrainedField,
    folder: str | Path,
    *,
    frame: str = "capture",
    callback: Callback = log_event,
) -> None:
    """Writes the depth of all views, with their own lenses and sizes, and their poses.

    Args:
      trained, frame, callback: see `export_mesh`.
      folder: where NAME.npz, NAME.png and depth_cameras.json go.

    Raises:
      UserError: if there is no such frame, or the folder cannot be written.
    """
    _check(frame)
    output_folder.check_folder(Path(folder))
    write_depth(trained, Path(folder), _frame(trained, frame), callback)


def export_all(
    trained: TrainedField,
    folder: str | Path,
    *,
    kinds: Sequence[str] = KINDS,
    mesh_suffixes: Sequence[str] = (".ply", ".glb"),
    frame: str = "capture",
    resolution: int | None = None,
    max_faces: int | None = None,
    num_points: int = NUM_POINTS,
    max_size: int = MAX_SIZE,
    max_depth: float | None = None,
    callback: Callback = log_event,
) -> list[Path]:
    """Writes several kinds of files; the views are rendered once.

    Args:
      trained, frame, resolution, max_faces, num_points, max_size, max_depth, callback: see
        `export_mesh` and `export_points`.
      folder: where mesh.ply, mesh.glb, points.ply, depth/ and export.json go. What is there and was
        not written by an export is not touched.
      kinds: some of `KINDS`.
      mesh_suffixes: the formats of the mesh.

    Returns:
      The files, and the folder of the depth maps.

    Raises:
      UserError: see `export_mesh`; also if the folder holds other files of these names.
    """
    folder = Path(folder)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise UserError(
            f"`export` is one or more of {', '.join(KINDS)}, not {', '.join(unknown)!r}"
        )
    meshes = [f"mesh{suffix}" for suffix in dict.fromkeys(mesh_suffixes)]
    names = {"mesh": meshes, "points": [POINTS_FILE], "depth": [DEPTH_FOLDER]}
    for name in meshes if "mesh" in kinds else ():
        files.check_mesh_path(folder / name)
    output_folder.check_own(folder, [name for kind in kinds for name in names[kind]])
    _check(frame, resolution, max_faces, num_points, max_size)
    output_folder.check_folder(folder)
    chosen = _frame(trained, frame)
    about = {**chosen.to_json(), **_facts(trained)}

    views = None
    if {"mesh", "points"} & set(kinds):
        views = surface_views(trained, max_size=max_size, max_depth=max_depth, callback=callback)
    for kind in kinds:
        output_folder.claim(folder, kind, names[kind])
        if kind == "depth":
            facts = write_depth(trained, folder / DEPTH_FOLDER, chosen, callback)
        elif kind == "mesh":
            assert views is not None
            paths = [folder / name for name in meshes]
            facts = _write_meshes(trained, paths, views, frame, resolution, max_faces, callback)
        else:
            assert views is not None
            path = folder / POINTS_FILE
            facts = _write_points(trained, path, views, frame, num_points, callback)
        output_folder.write_record(folder, kind, names[kind], {**about, **facts})
    return [folder / name for kind in kinds for name in names[kind]]


def extract_mesh(
    surface_views: SurfaceViews, resolution: int | None, callback: Callback
) -> tuple[TriangleMesh, float]:
    """The largest connected components of the surface, and the size of a cell; scene units.

    Args:
      surface_views: the views.
      resolution: see `export_mesh`.
      callback: receives progress.

    Raises:
      UserError: if there is no surface.
    """
    points = np.concatenate([surface_points(view).reshape(-1, 3) for view in surface_views.views])
    points = points[np.isfinite(points).all(axis=-1)]
    cell = _cell(points, surface_views.pixel, resolution)
    grid = fusion.grid_around(points, cell)
    truncation = max(_TRUNCATION_CELLS * cell, _TRUNCATION_DEPTH * surface_views.median_depth)
    blocks = fusion.surface_blocks(surface_views.views, grid)
    with Progress.of(callback, "fusing depth", total=len(blocks), unit="block") as progress:
        fused = fusion.fuse(
            surface_views.views, grid, truncation, blocks, on_blocks=progress.advance
        )
    mesh = largest_components(marching.marching_cubes(fused, grid))
    if not len(mesh.faces):
        raise UserError("the views show no surface that they agree on: train longer")
    return mesh, cell


def _cell(points: Floats, pixel: float, resolution: int | None) -> float:
    """The size of a cell in scene units."""
    extent = fusion.grid_around(points, pixel, margin=0.0)
    longest = float(pixel * max(extent.shape))
    if resolution is not None:
        return longest / resolution
    return max(pixel / _CELLS_PER_PIXEL, longest / _USUAL_RESOLUTION)


def _write_meshes(
    trained: TrainedField,
    paths: Sequence[Path],
    surface_views: SurfaceViews,
    frame_name: str,
    resolution: int | None,
    max_faces: int | None,
    callback: Callback,
) -> dict[str, Any]:
    frame = _frame(trained, frame_name)
    surface, cell = extract_mesh(surface_views, resolution, callback)
    if max_faces is not None:
        surface = decimate(surface, max_faces)
    rgb = surface_colours(surface.vertices.astype(np.float32), surface_views.views, 2.0 * cell)
    facts = {**_facts(trained), "cell": cell * frame.scale}
    for path in paths:
        files.write_mesh(path, surface, rgb, frame, facts)
        count = f"{len(surface.faces):,} triangles, {len(surface.vertices):,} vertices"
        say(callback, f"mesh: {path} ({count})")
    return {
        "num_vertices": len(surface.vertices),
        "num_faces": len(surface.faces),
        "cell": cell * frame.scale,
        "max_depth": None
        if not np.isfinite(surface_views.max_depth)
        else surface_views.max_depth * frame.scale,
    }


def _write_points(
    trained: TrainedField,
    path: Path,
    surface_views: SurfaceViews,
    frame_name: str,
    num_points: int,
    callback: Callback,
) -> dict[str, Any]:
    cloud = point_cloud(surface_views.views, num_points)
    files.write_points(path, cloud, _frame(trained, frame_name), _facts(trained))
    say(callback, f"point cloud: {path} ({len(cloud.points):,} points)")
    return {"num_points": len(cloud.points)}


def _frame(trained: TrainedField, name: str) -> CoordinateFrame:
    return CoordinateFrame.of(name, trained.needed_scene().capture_to_scene)


def _facts(trained: TrainedField) -> Mapping[str, Any]:
    """The comments of a file about the field that it shows."""
    return {"scene": trained.scene_name, "field": trained.field_name, "step": trained.step}


def _check(
    frame: str,
    resolution: int | None = None,
    max_faces: int | None = None,
    num_points: int = NUM_POINTS,
    max_size: int = MAX_SIZE,
) -> None:
    """Refuses what cannot be done, before hours are spent on rendering."""
    CoordinateFrame.of(frame, np.eye(4))
    if resolution is not None and not 8 <= resolution <= MAX_RESOLUTION:
        raise UserError(f"`resolution` must be 8 to {MAX_RESOLUTION} cells, not {resolution}")
    if max_faces is not None and max_faces < MIN_FACES:
        raise UserError(f"`max_faces` must be at least {MIN_FACES}, not {max_faces}")
    if num_points < 1:
        raise UserError(f"`num_points` must be at least 1, not {num_points}")
    if max_size < 8:
        raise UserError(f"`max_size` must be at least 8 pixels, not {max_size}")
