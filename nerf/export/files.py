"""Meshes and point clouds as files, written by trimesh, with their coordinates in a comment."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.errors import UserError
from nerf.export.coordinate_frames import CoordinateFrame
from nerf.export.depth_views import Floats
from nerf.export.marching import MISSING_EXTRA, TriangleMesh
from nerf.export.points import PointCloud
from nerf.runtime import atomic

MESH_SUFFIXES = (".ply", ".glb", ".obj")
Facts = Mapping[str, Any]


def check_mesh_path(path: Path) -> None:
    """Refuses a file name with an unknown ending, and a machine without trimesh.

    Raises:
      UserError: with the endings, or what to install.
    """
    if path.suffix.lower() not in MESH_SUFFIXES:
        endings = ", ".join(MESH_SUFFIXES)
        raise UserError(f"{path} has the ending of no mesh: choose one of {endings}")
    load_trimesh()


def check_points_path(path: Path) -> None:
    """Refuses a file name that does not end with .ply.

    Raises:
      UserError: if it does not.
    """
    if path.suffix.lower() != ".ply":
        raise UserError(f"a point cloud is written as .ply: {path} has another ending")


def load_trimesh() -> ModuleType:
    """The package trimesh.

    Raises:
      UserError: if it or scikit-image is not installed.
    """
    try:
        import skimage.measure
        import trimesh
    except ImportError as error:
        raise UserError(MISSING_EXTRA) from error
    del skimage
    module: ModuleType = trimesh
    return module


def write_mesh(
    path: Path, triangle_mesh: TriangleMesh, rgb: Floats, frame: CoordinateFrame, facts: Facts
) -> None:
    """Writes a mesh with colours at its vertices.

    Args:
      path: the file, replaced as a whole; its ending is one of `MESH_SUFFIXES`.
      triangle_mesh: the mesh, in scene units.
      rgb: `[num_vertices, 3]`, sRGB in [0, 1].
      frame: the coordinates to write in.
      facts: other values for the comments of the file.

    Raises:
      UserError: see `check_mesh_path`.
    """
    check_mesh_path(path)
    trimesh = load_trimesh()
    mesh = trimesh.Trimesh(frame.points(triangle_mesh.vertices), triangle_mesh.faces, process=False)
    writer = {".ply": _ply, ".glb": _glb, ".obj": _obj}[path.suffix.lower()]
    atomic.write_bytes(path, writer(mesh, rgb, _comments(frame, facts)))


def write_points(path: Path, cloud: PointCloud, frame: CoordinateFrame, facts: Facts) -> None:
    """Writes a point cloud with colours and normals as a .ply file.

    Args:
      path, frame, facts: see `write_mesh`.
      cloud: the points, in scene units.

    Raises:
      UserError: if `path` has another ending.
    """
    check_points_path(path)
    columns = [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("nx", "<f4"),
        ("ny", "<f4"),
        ("nz", "<f4"),
    ]
    columns += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    rows = np.zeros(len(cloud.points), columns)
    values = (frame.points(cloud.points), frame.normals(cloud.normals), _bytes(cloud.rgb))
    for (name, _), column in zip(columns, np.concatenate(values, axis=1).T, strict=True):
        rows[name] = column
    types = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {name}: {text}" for name, text in _comments(frame, facts).items()),
        f"element vertex {len(rows)}",
        *(f"property {types[kind]} {name}" for name, kind in columns),
        "end_header\n",
    ]
    atomic.write_bytes(path, "\n".join(header).encode("ascii", "replace") + rows.tobytes())


def _comments(frame: CoordinateFrame, facts: Facts) -> dict[str, str]:
    """The comments in a file, one line each."""
    lines = {"coordinates": frame.text, **facts}
    if frame.name == "scene":
        lines["scene_to_capture"] = " ".join(f"{x:.9g}" for x in frame.scene_to_capture.ravel())
    return {name: " ".join(str(value).split()) for name, value in lines.items()}


def _ply(mesh: Any, rgb: Floats, comments: Mapping[str, str]) -> bytes:
    mesh.visual.vertex_colors = _with_alpha(_bytes(rgb))
    content: bytes = mesh.export(file_type="ply", vertex_normal=True)
    first = content.index(b"\n", content.index(b"format ")) + 1
    lines = "".join(f"comment {name}: {text}\n" for name, text in comments.items())
    return content[:first] + lines.encode("ascii", "replace") + content[first:]


def _obj(mesh: Any, rgb: Floats, comments: Mapping[str, str]) -> bytes:
    mesh.visual.vertex_colors = _with_alpha(_bytes(rgb))
    header = "\n# ".join(f"{name}: {text}" for name, text in comments.items())
    content: str = mesh.export(file_type="obj", header=header, include_normals=True)
    return content.encode("ascii", "replace")


def _glb(mesh: Any, rgb: Floats, comments: Mapping[str, str]) -> bytes:
    """glTF's colours are linear; 16 bits keep what 8 bits of sRGB tell apart."""
    linear = np.round(65535 * linear_rgb(np.clip(rgb, 0.0, 1.0))).astype(np.uint16)
    alpha = np.full((len(linear), 1), 65535, np.uint16)
    mesh.vertex_attributes["_rgb"] = np.concatenate([linear, alpha], axis=1)
    mesh.metadata.clear()
    content: bytes = mesh.export(
        file_type="glb", tree_postprocessor=_colours_of_tree(comments), include_normals=True
    )
    return content


def _colours_of_tree(comments: Mapping[str, str]) -> Callable[[dict[str, Any]], None]:
    """Makes colours of the attribute `_rgb`, with a material that no lamp shines on."""

    def change(tree: dict[str, Any]) -> None:
        accessors = tree["accessors"]
        accessors = list(accessors.values() if isinstance(accessors, dict) else accessors)
        for mesh in tree["meshes"]:
            for primitive in mesh["primitives"]:
                number = primitive["attributes"].pop("_rgb")
                accessors[number]["normalized"] = True
                primitive["attributes"]["COLOR_0"] = number
                primitive["material"] = 0
        unlit: dict[str, Any] = {"KHR_materials_unlit": {}}
        rough = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
        tree["materials"] = [
            {"extensions": unlit, "pbrMetallicRoughness": rough, "doubleSided": True}
        ]
        tree["extensionsUsed"] = ["KHR_materials_unlit"]
        tree["asset"]["extras"] = dict(comments)

    return change


def linear_rgb(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Linear colours of sRGB in [0, 1].

    >>> linear_rgb(np.array([0.0, 0.5, 1.0])).round(3).tolist()
    [0.0, 0.214, 1.0]
    """
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _bytes(rgb: Floats) -> npt.NDArray[np.uint8]:
    return np.round(255.0 * np.clip(rgb, 0.0, 1.0)).astype(np.uint8)


def _with_alpha(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.concatenate([rgb, np.full((len(rgb), 1), 255, np.uint8)], axis=1)
