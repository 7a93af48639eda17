"""Captures of the app Record3D: `metadata.json`, and the images in `rgb/`.

So the app exports them; its own archive, `.r3d`, has the same as `metadata` and `rgbd/` once it is
unpacked.

The file has the poses of all frames as quaternions x, y, z, w and positions, camera to world, with
the axes right, up, back of Apple's ARKit; the intrinsics `K`, column by column or as rows, or
those of each frame in `perFrameIntrinsicCoeffs`: fx, fy, cx, cy; and the size of the images, `w`
and `h`. Frame i is the image `rgb/i`, and its depth is `depth/i.exr`, in metres. Depth beyond the
range of the sensor, 5 m, is not used. Confidence is not read, nor is the depth of an archive,
`rgbd/i.depth`, which is compressed with LZFSE.

Source: the exports of the app ("EXR + JPG sequence"); nerfstudio's `record3d_utils.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import Capture, InvalidCapture
from nerf.captures.depths.known import LIDAR_RANGE, DepthFile
from nerf.captures.format_record import Format, Names
from nerf.captures.images.files import image_files
from nerf.captures.json_files.ignored_keys import check_unread
from nerf.captures.json_files.lens import camera_matrix
from nerf.captures.readers.posed_images import (
    MAX_VIEWS,
    PosedImage,
    finite_numbers,
    image_length,
    make_capture,
    pose_of_quaternion,
)
from nerf.captures.safe_files.reading import (
    check_inside,
    file_named,
    folder_at,
    natural_key,
    read_json_object,
)
from nerf.errors import UserError, counted

METADATA_FILES = ("metadata.json", "metadata")
_NAME = "record3d"
_FOLDERS = ("rgb", "rgbd")
_DEPTH = "depth"
_UNITS = {".exr": 1.0, ".npy": 1.0, ".png": 1e-3}  # metres; a PNG has millimetres


def is_record3d(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has the files of the app. No file is opened."""
    return file_named(folder, *METADATA_FILES) is not None and _images(folder) is not None


def _images(folder: Path) -> str | None:
    """The name of the folder of images; None without one."""
    found = (folder_at(folder, name) for name in _FOLDERS)
    return next((path.name for path in found if path.is_dir()), None)


def read_record3d(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads `metadata.json` and finds the images.

    Args:
      folder: contains the file and `rgb/`.
      factor: not used: the app makes no smaller copies.
      poses: not used: the app's file and its images are in one folder.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    path = file_named(folder, *METADATA_FILES) or folder / METADATA_FILES[0]
    content = read_json_object(path, follow_links=follow_links)
    poses = content.get("poses")
    if poses is None and (folder / "dataset.json").is_file():
        raise UserError(
            f"{folder} is a capture of Nerfies or HyperNeRF, which is not read: write its cameras "
            "as a transforms.json; things that move are trained on as if they stood still"
        )
    if not isinstance(poses, list) or not poses or len(poses) > MAX_VIEWS:
        raise UserError(f"{path} has no list `poses`: export the recording again, with poses")
    check_unread(str(path), content, ())
    image_folder = _images(folder) or _FOLDERS[0]
    names = _names(path, image_folder, len(poses), follow_links)
    size = (
        image_length(content.get("w"), f"{path}: w"),
        image_length(content.get("h"), f"{path}: h"),
    )
    lenses = _lenses(path, content, len(poses))
    images: list[PosedImage] = []
    problems: list[tuple[str, str]] = []
    for index, (name, pose) in enumerate(zip(names, poses, strict=True)):
        where = f"{path}, pose {index}"
        try:
            numbers = finite_numbers(pose, 7, where)
            camtoworld = pose_of_quaternion(numbers[:4], numbers[4:], where)
        except UserError as problem:
            problems.append((f"pose {index}", str(problem)))
            continue
        fx, fy, cx, cy = lenses[index % len(lenses)]
        row = (fx, fy, cx, cy, *[0.0] * 6)
        depth = _depth_of(folder, name, follow_links)
        images.append(PosedImage(name, camtoworld, lambda *_, row=row: row, size, depth=depth))
    if problems:
        raise InvalidCapture(merge_faults(problems, "poses"))
    notes = []
    if not any(image.depth for image in images) and any(
        path.parent.glob(f"{image_folder}/*.depth")
    ):
        notes.append(
            f"the depth in {image_folder}/*.depth is compressed with LZFSE and not read: export "
            'the recording as "EXR + JPG sequence" to train on it'
        )
    return make_capture(
        _NAME, folder, images, factor, notes, [image_folder], follow_links=follow_links
    )


def _depth_of(folder: Path, name: str, follow_links: bool) -> DepthFile | None:
    """The depth image of a frame by its name; None if it has none."""
    for suffix, unit in _UNITS.items():
        file = folder_at(folder, _DEPTH) / f"{name}{suffix}"
        if file.is_file():
            check_inside(folder, file, follow_links=follow_links)
            return DepthFile(file, unit, farthest=LIDAR_RANGE, has_scale_of_poses=True)
    return None


def _names(path: Path, image_folder: str, num_poses: int, follow_links: bool) -> list[str]:
    """The name of the image of each pose."""
    place = path.parent / image_folder
    check_inside(path.parent, place, follow_links=follow_links)
    if not place.is_dir():
        raise UserError(f"no folder {place} with the images: copy the recording again")
    stems = sorted((file.stem for file in image_files(place)), key=natural_key)
    if stems and all(stem.isdecimal() for stem in stems):
        by_number = {int(stem[:18]): stem for stem in stems}
        if sorted(by_number) == [*range(1, num_poses + 1)]:  # as ffmpeg numbers frames
            return stems
        return [by_number.get(index, str(index)) for index in range(num_poses)]
    if len(stems) != num_poses:
        raise UserError(
            f"{place} has {counted(len(stems), 'image')} and {path.name} "
            f"{counted(num_poses, 'pose')}: "
            "copy the missing images into it, or export the recording again"
        )
    return stems


def _lenses(path: Path, content: Mapping[str, Any], num_poses: int) -> Sequence[Sequence[float]]:
    """fx, fy, cx, cy: one for all frames, or one for each."""
    each = content.get("perFrameIntrinsicCoeffs")
    if isinstance(each, list) and len(each) == num_poses:
        where = f"{path}: perFrameIntrinsicCoeffs"
        return [finite_numbers(values, 4, f"{where}, frame {i}") for i, values in enumerate(each)]
    pinhole = camera_matrix({"K": content.get("K")}, str(path))
    if pinhole is None:
        raise UserError(f"{path} has no intrinsics K: export the recording again")
    return [pinhole]


def _what_is_missing(folder: Path) -> Iterator[str]:
    """Sentences on a recording without its images."""
    for name in METADATA_FILES:
        if file_named(folder, name) is not None and (folder / _DEPTH).is_dir():
            yield f"{folder} has {name} of Record3D, but no rgb: copy the folder of images there"


FORMAT = Format(
    name=_NAME,
    files_in_words="metadata.json and rgb (Record3D)",
    read=read_record3d,
    is_in=is_record3d,
    opens_files=False,
    names=Names(files=METADATA_FILES[:1], suffixes=(".json",), scene=METADATA_FILES[:1]),
    missing=_what_is_missing,
)
