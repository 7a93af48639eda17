"""Captures of images and a trajectory: poses in TUM's or KITTI's text format, or in a CSV file.

    TUM     timestamp tx ty tz qx qy qz qw     a line for each pose
    KITTI   3x4 matrix, row by row             a line for each image, in the order of their names
    4x4     4x4 matrix, row by row             likewise
    pose/   a file with a matrix for each image, called as the image (ScanNet, NSVF); or
            NAME.pose.txt beside NAME.color.png (7-Scenes)
    CSV     columns of those names, and `name` of the image instead of a timestamp, if you like;
            also the lens of each image, fx, fy, cx, cy and more

All are camera to world with the axes right, down, forward. TUM's timestamps are matched to the
images by `rgb.txt` (timestamp, file name) if it is there, else by the names of the images, which
are then timestamps too, perhaps in nanoseconds; a pose and an image belong together if they are at
most 0.02 s apart. If the names are no such numbers, there must be one pose for each image, in the
order of their names. A line may also begin with the name of its image, and have a pose of TUM
without a timestamp or a matrix behind it. Depth images are found by
`nerf.captures.depths.search`. The lens is in a file beside them, see
`nerf.captures.trajectories.intrinsics_file`.

Source: the pages of the TUM RGB-D benchmark, "File formats", and of the KITTI odometry benchmark.
"""

import re
from pathlib import Path, PurePath

from nerf.captures.capture import Capture
from nerf.captures.depths.known import DepthFile
from nerf.captures.depths.search import find_depth_images
from nerf.captures.format_record import Format, HandWritten, Names
from nerf.captures.images.paths import folders_to
from nerf.captures.json_files.lens import FrameLens, intrinsics
from nerf.captures.lenses.without_size import check_shared_lenses
from nerf.captures.readers.posed_images import (
    PosedImage,
    make_capture,
    read_text_file,
)
from nerf.captures.safe_files.reading import (
    file_named,
    files_with,
    link_out,
    read_and_not,
)
from nerf.captures.safe_files.xml_files import text_head_of
from nerf.captures.trajectories import incomplete
from nerf.captures.trajectories.images import images_of_trajectory, match_poses
from nerf.captures.trajectories.intrinsics_file import (
    SharedLens,
    lens_file,
    lens_of_words,
    read_intrinsics,
)
from nerf.captures.trajectories.poses import (
    Pose,
    are_lines_with_rotations,
    is_matrix,
    is_pose_text,
    read_folder,
    read_text,
)
from nerf.captures.trajectories.tables import header_of, read_csv
from nerf.captures.trajectories.timestamps import (
    ASSOCIATION_FILES,
    image_stamps,
)
from nerf.errors import UserError

_NAME = "trajectory"
TEXT_FILES = (
    *("groundtruth.txt", "trajectory.txt", "traj.txt", "poses.txt", "pose.txt"),
    *("CameraTrajectory.txt", "KeyFrameTrajectory.txt"),  # of ORB-SLAM
)
_POSE_FOLDERS = ("pose", "poses")
_MAX_FILES = 20  # that are looked at
_OF_POSES = re.compile("traj|pose|ground_?truth|odom|(k?f|keyframes?)_.*", re.I)  # other names
_SUFFIXES = (".tum", ".kitti")
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
                found.append(path)
    if found:
        return found
    texts = files_with(folder, ".txt", *_SUFFIXES)
    if any(path.name.lower().endswith(_OF_7_SCENES) for path in texts):
        return [folder]
    found = [path for path in texts if _OF_POSES.search(path.stem)][:_MAX_FILES]
    found = [path for path in found if is_pose_text(_first_lines(path, follow_links))]
    if found:
        return found
    for name in _POSE_FOLDERS:
        if (folder / name).is_dir() and (follow_links or not link_out(folder, folder / name)):
            files = files_with(folder / name, ".txt")[:1]
            if files and is_matrix(text_head_of(files[0], follow_links=follow_links)):
                return [folder / name]
    return [
        path
        for path in texts[:_MAX_FILES]
        if are_lines_with_rotations(_first_lines(path, follow_links))
    ]


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
    image_folder, names = images_of_trajectory(folder, follow_links)
    sequence = PurePath(image_folder).parts  # of KITTI, whose poses are called like it
    paths.sort(key=lambda path: path.stem not in sequence)
    path = paths[0]
    places = list(dict.fromkeys((poses or folder, *folders_to(folder, image_folder))))
    trajectory, more = _poses(path, follow_links)
    if trajectory[0].lens:
        shared = _lens_of_table(path, trajectory[0], lens_file(folder, places))
    else:
        shared = read_intrinsics(folder, places, follow_links=follow_links)
    is_timed = all(pose.timestamp is not None and pose.name is None for pose in trajectory)
    stamps = image_stamps(places, names, ASSOCIATION_FILES, follow_links) if is_timed else []
    named, notes = match_poses(path, trajectory, folder / image_folder, names, stamps)
    depths, depth_notes = find_depth_images(
        folder,
        image_folder,
        [name for name, _ in named],
        stamps,
        shared.depth_unit,
        follow_links=follow_links,
    )
    lenses = [_lens(name, pose, shared) for name, pose in named]
    capture = make_capture(
        _NAME,
        folder,
        [
            _posed_image(name, pose, shared._replace(lens=lens), depths.get(name))
            for (name, pose), lens in zip(named, lenses, strict=True)
        ],
        factor,
        [*read_and_not(paths), *more, *notes, *depth_notes, *shared.notes],
        [image_folder, "."],
        follow_links=follow_links,
    )
    if not trajectory[0].lens:
        sizes = [(width, height) for width, height in capture.sizes.tolist()]
        check_shared_lenses(str(shared.file), [shared.lens] * capture.num_views, sizes)
    return capture


def _poses(path: Path, follow_links: bool) -> tuple[list[Pose], list[str]]:
    """The poses of a file or a folder, and notes."""
    if path.is_dir():
        return read_folder(path, follow_links=follow_links)
    text = read_text_file(path, follow_links=follow_links)
    if path.suffix.lower() in (".csv", ".tsv"):
        return read_csv(path, text)
    return read_text(path, text), []


def _lens_of_table(path: Path, first: Pose, lens_file: Path | None) -> SharedLens:
    """The lens of the first image of a table that has one for each."""
    unread = [] if lens_file is None else [
        f"{path.name} has the lens of each image, and {lens_file.name} is not read"
    ]  # fmt: skip
    return SharedLens(lens_of_words(first.lens, str(path)), path, tuple(unread))


def _lens(name: str, pose: Pose, shared: SharedLens) -> FrameLens:
    """The lens of an image: its own, or the shared one."""
    return lens_of_words(pose.lens, f"{shared.file}, {name}") if pose.lens else shared.lens


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


FORMAT = Format(
    name=_NAME,
    files_in_words="trajectory.txt",
    read=read_trajectory,
    is_in=is_trajectory,
    names=Names(
        files=("trajectory.txt", "groundtruth.txt", "poses.txt", "traj.txt"),
        suffixes=(".txt", ".csv", ".tsv"),
        parts=("pose", "poses", "intrinsic"),
    ),
    guesses=incomplete.guesses,
    by_hand=HandWritten("that of a trajectory", uses_opencv=True),
)
