"""Files of other programs that are not read: what each is, and what to do with it.

They are told by their names; the few whose names say nothing are told by their first letters.
"""

import shlex
from pathlib import Path
from typing import NamedTuple

from nerf.captures.safe_files.reading import check_inside, files_with
from nerf.captures.safe_files.xml_files import text_head_of
from nerf.errors import UserError

_MAX_FILES = 20  # that are looked into
_FOLDERS = ("images", "cams", "opensfm", "mav0")  # of images, of MVSNet, OpenDroneMap and EuRoC
_RESULT = (
    "it is a result and holds no images: give the folder of the images that it was made from, or "
    "find their poses with python -m nerf.pose FOLDER"
)
_RAW = "convert the images to JPEG or PNG, e.g. `mogrify -format png {folder}/*{suffix}`"


class UnsupportedKind(NamedTuple):
    """A kind of file that is not read.

    Attributes:
      names: of the files; what begins with a dot is a suffix.
      what: it is, after "is".
      advice: what to do, with {file}, {stem}, {folder} and {suffix}, quoted for a shell.
      has_poses: whether it may have poses, which images beside it lack.
    """

    names: tuple[str, ...]
    what: str
    advice: str
    has_poses: bool = True


UNSUPPORTED = (
    UnsupportedKind(
        (".psx", ".psz"),
        "a project of Metashape",
        "open it there, choose File > Export > Export Cameras, and put the .xml beside the images",
    ),
    UnsupportedKind(
        (".rcproj", ".rsproj"),
        "a project of RealityCapture",
        'export its registration as "Internal/External camera parameters" (CSV) beside the images',
    ),
    UnsupportedKind(
        (".r3d",),
        "an archive of Record3D",
        "unpack it, `unzip {file} -d {stem}`, and give the folder {stem}",
    ),
    UnsupportedKind(
        (".zip",), "an archive", "unpack it, `unzip {file} -d {stem}`, and give that folder"
    ),
    UnsupportedKind(
        (".tar", ".tgz", ".gz", ".xz", ".7z", ".rar"), "an archive", "unpack it, give its folder"
    ),
    UnsupportedKind(
        (".nvm",),
        "a model of VisualSFM",
        "save it there in Bundler's format, as a file that ends with .out",
    ),
    UnsupportedKind(
        ("reconstruction.json", "reconstruction.meshed.json"),
        "a reconstruction of OpenSfM",
        "export it as COLMAP's files, `opensfm export_colmap {folder}`",
    ),
    UnsupportedKind(
        ("sfm_data.json", "sfm_data.bin"),
        "a reconstruction of OpenMVG",
        "export it as COLMAP's files with openMVG_main_openMVG2Colmap",
    ),
    UnsupportedKind(
        (".sfm", ".abc"),
        "a reconstruction of Meshroom",
        "find the poses anew with python -m nerf.pose and the folder of its images",
    ),
    UnsupportedKind(
        (".p4d",),
        "a project of Pix4D",
        "find the poses anew with python -m nerf.pose and the folder of its images",
    ),
    UnsupportedKind(
        ("cameras.npz", "cameras_sphere.npz", "cameras_large.npz"),
        "a file of cameras of IDR or NeuS",
        "write its cameras as a transforms.json",
    ),
    UnsupportedKind(
        ("poses.npy", "poses.npz", "c2w.npy", "cam2world.npy", "camtoworlds.npy"),
        "an array of poses, which does not say what its axes are",
        "write each matrix into trajectory.txt, camera to world with the axes right, down, "
        "forward, its 16 numbers in one line",
    ),
    UnsupportedKind((".xlsx", ".xls", ".ods"), "a spreadsheet", "save it as CSV"),
    UnsupportedKind(
        ("database.db",),
        "COLMAP's database of features, without a model",
        "run COLMAP's mapper on it, or find the poses anew with python -m nerf.pose",
    ),
    UnsupportedKind(
        (".insv", ".insp", ".360"),
        "a recording of a 360-degree camera",
        "export it as equirectangular images with the camera's own program",
    ),
    UnsupportedKind(
        (".bag", ".mcap", ".db3"),
        "a recording of ROS",
        "write its images as PNG, and its poses into groundtruth.txt as timestamp tx ty tz qx qy "
        "qz qw",
    ),
    UnsupportedKind(
        ("trajectory.log",),
        "a trajectory of Open3D",
        "write its matrices into trajectory.txt, the 16 numbers of each in one line",
    ),
    UnsupportedKind(
        ("camera_trajectory.json",),
        "a trajectory of Open3D",
        "write the inverse of each extrinsic into trajectory.txt, the 16 numbers of a matrix in "
        "one line, row by row",
    ),
    UnsupportedKind(
        ("pair.txt",),
        "of a capture of MVSNet or BlendedMVS",
        "write the inverse of each extrinsic into poses.txt, the name of its image and the 16 "
        "numbers in one line",
    ),
    UnsupportedKind(
        ("state_groundtruth_estimate0",),
        "of a recording of EuRoC",
        "its poses are those of the IMU, so write those of a camera into groundtruth.txt as "
        "timestamp tx ty tz qx qy qz qw",
    ),
    UnsupportedKind(
        (".traj", ".pincam"),
        "of a recording of ARKitScenes",
        "write its poses into groundtruth.txt as timestamp tx ty tz qx qy qz qw",
    ),
    UnsupportedKind(
        ("camera_path.json",),
        "a camera path of nerfstudio, without images",
        "give the folder of the images, and the path with `camera_path={file}`",
    ),
    UnsupportedKind(
        ("dataparser_transforms.json", "cfg_args"),
        "of another program's run folder",
        "give the folder of the images and poses that it was trained from",
    ),
    UnsupportedKind(
        ("params.safetensors", "eval.json"),
        "of a run folder of this program",
        "give the folder of the images and poses as the scene, and this one as `run_dir`",
    ),
    UnsupportedKind(
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".raw"),
        "camera raw",
        _RAW,
        has_poses=False,
    ),
    UnsupportedKind(
        (".exr", ".hdr", ".gif", ".jxl", ".jp2", ".psd", ".livp"),
        "an image of another kind",
        _RAW,
        has_poses=False,
    ),
    UnsupportedKind(
        (".ply", ".splat", ".spz", ".ksplat", ".pcd", ".las", ".laz", ".e57", ".xyz"),
        "a file of points or Gaussians",
        _RESULT,
        has_poses=False,
    ),
    UnsupportedKind(
        (".obj", ".glb", ".gltf", ".usdz", ".fbx", ".stl", ".dae"),
        "a file of a mesh",
        _RESULT,
        has_poses=False,
    ),
)
_BY_CONTENT = (
    UnsupportedKind(
        ("<blocksexchange",),
        "a block of ContextCapture or DJI Terra",
        "export the cameras as COLMAP's files, or find them anew with python -m nerf.pose",
    ),
    UnsupportedKind(
        ("omega",),
        "a table of angles omega, phi, kappa",
        "export the cameras as COLMAP's or Bundler's files instead, whose lenses are known",
    ),
    UnsupportedKind(
        ("camera position [x y z w p q r]",),
        "a list of Cambridge Landmarks",
        "it has no lenses, so find the poses with python -m nerf.pose and the folder of the images",
    ),
    UnsupportedKind(
        ("latitude", ",lat,", ",lon,", "gpslat"),
        "a table of positions by GPS",
        "they are too inexact to train on, so find the poses with python -m nerf.pose and the "
        "folder of the images",
    ),
)


def unsupported_kind(path: Path) -> UnsupportedKind | None:
    """The kind of a file by its name; None for other files."""
    name = path.name.lower()
    return next((kind for kind in UNSUPPORTED if any(_is_of(name, x) for x in kind.names)), None)


def _is_of(name: str, known: str) -> bool:
    return name == known or (known.startswith(".") and name.endswith(known))


def message_on_unsupported_file(
    folder: Path, *, has_images: bool = False, follow_links: bool = False
) -> str | None:
    """The message about the first unread file in a folder, or in its images/ and the like.

    Kinds that may have poses come first; where there are images, other kinds are not reported.
    """
    best: tuple[int, str] | None = None
    for place in (folder, *(folder / name for name in _FOLDERS)):
        for path in _paths(place):
            kind = unsupported_kind(path)
            if kind is None or (has_images and not kind.has_poses):
                continue
            if best is None or UNSUPPORTED.index(kind) < best[0]:
                best = UNSUPPORTED.index(kind), unsupported_message(path, kind)
    if best is not None:
        return best[1]
    for path in files_with(folder, ".xml", ".txt", ".csv")[:_MAX_FILES]:
        head = text_head_of(path, follow_links=follow_links).lower()
        for kind in _BY_CONTENT:
            if any(name in head for name in kind.names):
                return unsupported_message(path, kind)
    return None


def _paths(folder: Path) -> list[Path]:
    try:
        check_inside(folder.parent, folder)
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return [path for path in paths if path.is_file() or path.parent.name == "mav0"]
    except (OSError, UserError):
        return []


def unsupported_message(path: Path, kind: UnsupportedKind) -> str:
    """The message about a file of a kind."""
    words = {"file": path, "stem": path.with_suffix(""), "folder": path.parent}
    quoted = {key: shlex.quote(str(value)) for key, value in words.items()}
    return f"{path} is {kind.what}, which is not read: " + kind.advice.format(
        **quoted, suffix=path.suffix
    )
