"""Captures of images and a trajectory: poses in TUM's or KITTI's text format, or in a CSV file.

    TUM     timestamp tx ty tz qx qy qz qw     a line for each pose
    KITTI   3x4 matrix, row by row             a line for each image, in the order of their names
    4x4     4x4 matrix, row by row             likewise
    pose/   a file with a matrix for each image, called as the image (ScanNet, NSVF); or
            NAME.pose.txt beside NAME.color.png (7-Scenes)
    CSV     columns of those names, and `name` of the image instead of a timestamp, if you like

All are camera to world with the axes right, down, forward. TUM's timestamps are matched to the
images by `rgb.txt` (timestamp, file name) if it is there, else by the names of the images, which
are then timestamps too, perhaps in nanoseconds; a pose and an image belong together if they are at
most 0.02 s apart. If the names are no such numbers, there must be one pose for each image, in the
order of their names. A line may also begin with the name of its image, and have a pose of TUM
without a timestamp or a matrix behind it. Depth images are found by `nerf.captures.depth_beside`.
The lens is in a file beside them, see `nerf.captures.intrinsics_file`.

Source: the pages of the TUM RGB-D benchmark, "File formats", and of the KITTI odometry benchmark.
"""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from nerf.captures.capture import Capture
from nerf.captures.depth_beside import depth_beside, is_depth_name
from nerf.captures.files import (
    MAX_FOLDERS,
    check_inside,
    file_named,
    files_with,
    folder_at,
    folders_in,
    has_image_suffix,
    link_out,
    natural_key,
    read_and_not,
)
from nerf.captures.image_files import advice_on_other_files, image_files
from nerf.captures.image_index import NO_VIEWS
from nerf.captures.image_names import NoImagesFound
from nerf.captures.image_paths import folders_to
from nerf.captures.image_times import (
    ASSOCIATION_FILES,
    MAX_SECONDS,
    image_stamps,
    match_in_any_unit,
)
from nerf.captures.intrinsics_file import SharedLens, read_intrinsics
from nerf.captures.json_lens import intrinsics
from nerf.captures.known_depths import DepthFile
from nerf.captures.posed_images import (
    PosedImage,
    make_capture,
    text_of,
)
from nerf.captures.shared_lenses import check_shared_lenses
from nerf.captures.trajectory_poses import (
    Pose,
    are_poses,
    header_of,
    is_matrix,
    read_csv,
    read_folder,
    read_text,
)
from nerf.captures.unposed import is_video
from nerf.captures.xml_files import text_head_of
from nerf.errors import UserError, counted

TEXT_FILES = (
    *("groundtruth.txt", "trajectory.txt", "traj.txt", "poses.txt", "pose.txt"),
    *("CameraTrajectory.txt", "KeyFrameTrajectory.txt"),  # of ORB-SLAM
)
_IMAGE_FOLDERS = (
    *("images", "rgb", "image_2", "image_0", "color", "frames", "results", "."),
)  # fmt: skip
_POSE_FOLDERS = ("pose", "poses")
_MIN_MATCHED = 0.5  # of the images, the least whose names are then taken for timestamps
_MAX_FILES = 20  # that are looked at
_MAX_DEPTH = 3  # of folders that are searched for images
_OF_POSES = re.compile("traj|pose|ground_?truth|odom|(k?f|keyframes?)_.*", re.I)  # other names
_OF_7_SCENES = ".pose.txt"


def trajectory_files(folder: Path, *, follow_links: bool = False) -> list[Path]:
    """The files or the folder of poses in a folder; the first is read."""
    named = [file_named(folder, name) for name in TEXT_FILES]
    found = [path for path in dict.fromkeys(named) if path is not None]
    if found:
        return found
    for path in files_with(folder, ".csv", ".tsv")[:_MAX_FILES]:
        if header_of(_first_lines(path, follow_links)).columns:
            found.append(path)
    if found:
        return found
    for path in files_with(folder, ".txt"):  # KITTI's own names
        if re.fullmatch("[0-9][0-9]", path.stem):
            lines = _first_lines(path, follow_links)
            if lines and len(lines[0].split()) == 12:
                return [path]
    texts = files_with(folder, ".txt")
    if any(path.name.lower().endswith(_OF_7_SCENES) for path in texts):
        return [folder]
    found = [path for path in texts if _OF_POSES.search(path.stem)][:_MAX_FILES]
    found = [path for path in found if are_poses(_first_lines(path, follow_links))]
    if found:
        return found
    for name in _POSE_FOLDERS:
        if (folder / name).is_dir() and (follow_links or not link_out(folder, folder / name)):
            files = files_with(folder / name, ".txt")[:1]
            if files and is_matrix(text_head_of(files[0], follow_links=follow_links)):
                return [folder / name]
    return []


def _first_lines(path: Path, follow_links: bool) -> list[str]:
    """The first lines of a text file; none if it cannot be read."""
    return text_head_of(path, follow_links=follow_links).splitlines()


def is_trajectory(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has such a file."""
    return bool(trajectory_files(folder, follow_links=follow_links))


def read_trajectory(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the poses, the images that belong to them, and the lens.

    Args:
      folder: contains the files and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      poses: the folder below it that has the files of poses; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    paths = trajectory_files(poses or folder, follow_links=follow_links)
    if not paths:
        raise UserError(f"no trajectory in {folder}: name it {TEXT_FILES[1]}, or poses.csv")
    path = paths[0]
    image_folder, names = _images(folder, follow_links)
    places = list(dict.fromkeys((poses or folder, *folders_to(folder, image_folder))))
    shared = read_intrinsics(folder, places, follow_links=follow_links)
    trajectory, more = _poses(path, follow_links)
    is_timed = all(pose.timestamp is not None and pose.name is None for pose in trajectory)
    stamps = image_stamps(places, names, ASSOCIATION_FILES, follow_links) if is_timed else []
    named, notes = _match(path, trajectory, folder / image_folder, names, stamps)
    depths, depth_notes = depth_beside(
        folder,
        image_folder,
        [name for name, _ in named],
        stamps,
        shared.depth_unit,
        follow_links=follow_links,
    )
    capture = make_capture(
        "trajectory",
        folder,
        [_posed_image(name, pose, shared, depths.get(name)) for name, pose in named],
        factor,
        [*read_and_not(paths), *more, *notes, *depth_notes, *shared.notes],
        [image_folder, "."],
        follow_links=follow_links,
    )
    sizes = [(width, height) for width, height in capture.sizes.tolist()]
    check_shared_lenses(str(shared.file), [shared.lens] * capture.num_views, sizes)
    return capture


def _poses(path: Path, follow_links: bool) -> tuple[list[Pose], list[str]]:
    """The poses of a file or a folder, and notes."""
    if path.is_dir():
        return read_folder(path, follow_links=follow_links)
    text = text_of(path, follow_links=follow_links)
    if path.suffix.lower() in (".csv", ".tsv"):
        return read_csv(path, text)
    return read_text(path, text), []


def _posed_image(name: str, pose: Pose, shared: SharedLens, depth: DepthFile | None) -> PosedImage:
    """The image of a pose, seen through the lens of all."""
    lens, camtoworld = shared.lens, pose.camtoworld.copy()
    camtoworld[:, 3] += camtoworld[:, :3] @ shared.offset
    return PosedImage(
        name,
        camtoworld,
        lambda width, height: intrinsics(lens, (width, height)),
        lens.size if min(lens.size) > 0 else None,
        lens.model == "fisheye",
        lens.model == "panorama",
        depth,
    )


def _images(folder: Path, follow_links: bool) -> tuple[str, list[str]]:
    """The folder of images, and their names in order."""
    for name in _IMAGE_FOLDERS:
        place = folder_at(folder, name)
        if place.is_dir():
            check_inside(folder, place, follow_links=follow_links)
            every = [file.name for file in image_files(place)]
            names = [name for name in every if not is_depth_name(name)] or every
            if names:
                return place.relative_to(folder).as_posix(), sorted(names, key=natural_key)
    inner = _inner_images(folder)
    if inner is not None:
        names = [file.name for file in image_files(inner)]
        return inner.relative_to(folder).as_posix(), sorted(names, key=natural_key)
    there = [folder / name for name in _IMAGE_FOLDERS if (folder / name).is_dir()]
    more = next((text for text in map(advice_on_other_files, there) if text), "")
    looked_in = ", ".join(_IMAGE_FOLDERS[:-1])
    for video in sorted(path for path in folder.iterdir() if is_video(path)):
        frames = shlex.quote(str(folder / "rgb"))
        raise NoImagesFound(
            f"no images in {folder}, but a video, {video.name}: write its frames, `mkdir {frames} "
            f"&& ffmpeg -i {shlex.quote(str(video))} -start_number 0 {frames}/%06d.png`"
        )
    raise NoImagesFound(f"no images in {folder}: put them into one of {looked_in}{more}")


def _inner_images(folder: Path) -> Path | None:
    """The only folder of images somewhere below a folder, or the only one with a usual name."""
    found, paths = [], [folder]
    for _ in range(_MAX_DEPTH):
        paths = [
            inner
            for path in paths
            for inner in folders_in(path)
            if not NO_VIEWS.search(inner.name.lower())
        ][:MAX_FOLDERS]
        found += [path for path in paths if image_files(path)]
    usual = ([path for path in found if path.name.lower() == name] for name in _IMAGE_FOLDERS)
    fitting = next((paths for paths in usual if paths), found)
    return fitting[0] if len(fitting) == 1 else None


# Which image belongs to which pose.


def _from_one(
    named: Sequence[tuple[str, Pose]], names: Sequence[str]
) -> tuple[list[tuple[str, Pose]], list[str]]:
    """Poses with their names; those that count from 0 with images that count from 1, as ffmpeg
    does, and a note.
    """
    numbers = [int(stem) if stem.isdecimal() else -1 for stem in _stems(name for name, _ in named)]
    of_images = [int(stem) if stem.isdecimal() else -1 for stem in _stems(names)]
    if not names or sorted(numbers) != [*range(len(names))]:
        return list(named), []
    if sorted(of_images) != [*range(1, len(names) + 1)]:
        return list(named), []
    by_number = dict(zip(of_images, names, strict=True))
    note = "the images count from 1 and their poses from 0: the first image has pose 0"
    moved = zip(numbers, named, strict=True)
    return [(by_number[number + 1], pose) for number, (_, pose) in moved], [note]


def _stems(names: Iterable[str]) -> list[str]:
    """The bare names of images without their suffix, which may be long ones of no number."""
    bare = (name.replace("\\", "/").rpartition("/")[2] for name in names)
    return [(Path(name).stem if has_image_suffix(name) else name)[:18] for name in bare]


def _match(
    path: Path,
    poses: Sequence[Pose],
    image_folder: Path,
    names: Sequence[str],
    stamps: Sequence[tuple[float, str]],
) -> tuple[list[tuple[str, Pose]], list[str]]:
    """The name of the image of each pose that has one, and notes.

    Args:
      path: the file of the poses.
      poses: all of them.
      image_folder: the folder of the images.
      names: of the images, in order.
      stamps: timestamps and names of images; none if the poses have no timestamps.
    """
    named = [(pose.name, pose) for pose in poses if pose.name is not None]
    if named and len(named) < len(poses):
        raise UserError(
            f"{path}: {counted(len(poses) - len(named), 'pose has', 'poses have')} no name of an "
            "image, and others have: "
            "name the images of all"
        )
    if named:
        return _from_one(named, names)
    if stamps:
        pairs = match_in_any_unit(stamps, [pose.timestamp or 0.0 for pose in poses])
        matched = [(stamps[image][1], poses[pose]) for image, pose in pairs.items()]
        if len(matched) > _MIN_MATCHED * len(stamps):  # fewer may be numbers that are no times
            note = f"poses and images are matched to within {MAX_SECONDS} s by their timestamps"
            return matched, [note] if len(matched) < len(stamps) else []
    if len(names) != len(poses):
        raise UserError(
            f"{path.name} has {counted(len(poses), 'pose')} and {image_folder} "
            f"{counted(len(names), 'image')}, "
            "and nothing says which belong together: give one pose for each image, or call the "
            "images by the timestamps of their poses"
        )
    return list(zip(names, poses, strict=True)), [
        "poses and images are matched in the order of the images' names"
    ]
