"""Images without poses, and videos: the messages about them, and where they are searched.

`nerf.posing` finds the poses.
"""

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from nerf.captures.images.paths import folder_factor
from nerf.captures.safe_files.reading import IMAGE_SUFFIXES, check_inside, natural_key
from nerf.errors import UserError

VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg", ".3gp",
)  # fmt: skip
_MAX_FILES = 100_000  # that are looked at, of a folder that is given by mistake
# Folders beside the images whose files are not photographs.
_NOT_IMAGES = ("masks", "mask", "depth", "depths", "sparse", "colmap")


def is_video(path: Path) -> bool:
    """Whether a path is a file that is named as a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def no_poses(source: Path, what: str) -> UserError:
    """The error for images or a video without poses."""
    return UserError(
        f"no scene in {source}, which {what}{'' if what.endswith('else') else ':'} find the poses "
        f"with {pose_command(source)}"
    )


def pose_command(source: Path) -> str:
    """The command that finds the poses of a folder of images or of a video."""
    return f"python -m nerf.pose {shlex.quote(str(source))}"


def find_images(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The images in `images/`, else in the folder itself, else in all folders below it.

    Hidden files, `images_N`, masks and links that lead out of the folder are left out.

    Returns:
      The folder that the names are relative to, and the names with `/`, in the order of the
      numbers in them.
    """
    inner = folder / "images"
    for root in (inner, folder):
        if root.is_dir():
            direct = _names(root, root.iterdir())
            if direct:
                return root, direct
    root = inner if inner.is_dir() else folder
    return root, _names(root, itertools.islice(root.rglob("*"), _MAX_FILES))


def _names(root: Path, paths: Iterator[Path]) -> tuple[str, ...]:
    names = [
        path.relative_to(root).as_posix() for path in paths if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    return tuple(sorted((name for name in names if _is_image(root, name)), key=natural_key))


def _is_image(root: Path, name: str) -> bool:
    """Whether a file below a folder is taken for a photograph."""
    parts = PurePosixPath(name).parts
    if any(part.startswith(".") for part in parts):
        return False
    if any(folder_factor(part) or part.lower() in _NOT_IMAGES for part in parts[:-1]):
        return False
    try:
        check_inside(root, root / name)
    except UserError:
        return False
    return (root / name).is_file()
