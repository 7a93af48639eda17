"""Captures from poses that name their images: what the readers of several programs share."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import Array, Capture, InvalidCapture, make_lens
from nerf.captures.depths.known import DepthFile
from nerf.captures.images import kinds as image_kinds
from nerf.captures.images.choice import original_size
from nerf.captures.images.names import ImageMatches, NoImagesFound, match_images, none_found
from nerf.captures.images.paths import find_image, images_without_pose
from nerf.captures.safe_files import reading as files
from nerf.captures.safe_files.reading import natural_key, read_bytes
from nerf.errors import UserError, counted, listed

IMAGE_FOLDERS = ("images", "input", "rgb", ".")  # that are looked in, in this order
MAX_VIEWS = 100_000

T = TypeVar("T")
Intrinsics = Callable[[int, int], Sequence[float]]


class PosedImage(NamedTuple):
    """A pose, and the image that it belongs to.

    Attributes:
      name: of the image file, with or without a suffix and folders.
      camtoworld: `[3, 4]`, columns right, up, back | position.
      intrinsics: a function from the width and height of the original image to the ten numbers of
        `make_lens`.
      size: width and height that the intrinsics are for; None for those of the original image.
      fisheye: whether the lens is a fisheye.
      panorama: whether the image is a panorama.
      depth: its depth image; None for none.
    """

    name: str
    camtoworld: Array
    intrinsics: Intrinsics
    size: tuple[int, int] | None = None
    fisheye: bool = False
    panorama: bool = False
    depth: DepthFile | None = None


def make_capture(
    format: str,
    folder: Path,
    images: Sequence[PosedImage],
    factor: int | None,
    notes: Sequence[str] = (),
    image_folders: Sequence[str] = IMAGE_FOLDERS,
    *,
    follow_links: bool = False,
) -> Capture:
    """Finds the images of poses and makes a capture of both, in the order of the names.

    Args:
      format: the name of the format.
      folder: the folder of the capture.
      images: the poses.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      notes: for the user.
      image_folders: where the images are looked for first, below `folder`.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: if no image is found, two poses have the same, or sizes cannot be read.
    """
    matches = _match(folder, image_folders, [image.name for image in images], factor, follow_links)
    found = [(image, matches.file(image.name)) for image in images]
    matched = [(image, file) for image, file in found if file is not None]
    missing = [image.name for image, file in found if file is None]
    if not matched:
        raise NoImagesFound(
            f"{none_found(missing, 'with a pose', f'in {folder}')} ({matches.description}): "
            f"put them into {folder / image_folders[0]} under the names that the poses have"
        )
    _check_distinct(matched)
    matched.sort(key=lambda pair: natural_key(pair[0].name))
    depth = [image.depth.file for image, _ in matched if image.depth is not None]
    more = notes_on_files(missing, [file for _, file in matched], depth)
    sizes = _sizes(matches, matched)
    has_depth = any(image.depth is not None for image, _ in matched)
    return Capture(
        format=format,
        folder=folder,
        files=tuple(file for _, file in matched),
        camtoworlds=np.stack([image.camtoworld for image, _ in matched]),
        lens=make_lens(
            [image.intrinsics(*size) for (image, _), size in zip(matched, sizes, strict=True)],
            [image.fisheye for image, _ in matched],
            [image.panorama for image, _ in matched],
        ),
        sizes=np.array(sizes, np.int64),
        notes=(*notes, *matches.notes(), *more),
        follow_links=follow_links,
        depth_files=tuple(image.depth for image, _ in matched) if has_depth else (),
    )


def read_each(
    items: Iterable[T], read: Callable[[T], PosedImage | None], name: Callable[[T], str], noun: str
) -> tuple[list[PosedImage], int]:
    """The images of all items that have a pose, and the number of those without.

    Args:
      items: what is read, one by one.
      read: a function from an item to its image; None if it has no pose.
      name: a function from an item to its name, for messages.
      noun: what the items are, in the plural, for messages.

    Raises:
      InvalidCapture: with all items that are at fault.
    """
    found: list[PosedImage | None] = []
    problems: list[tuple[str, str]] = []
    for item in items:
        try:
            found.append(read(item))
        except UserError as problem:
            problems.append((name(item), str(problem)))
    if problems:
        raise InvalidCapture(merge_faults(problems, noun))
    images = [image for image in found if image is not None]
    return images, len(found) - len(images)


def _match(
    folder: Path,
    image_folders: Sequence[str],
    names: Sequence[str],
    factor: int | None,
    follow_links: bool,
) -> ImageMatches:
    """The images of names: in the usual folders, else wherever they are below the folder."""
    files: dict[str, Path] = {}
    for name in names:
        for root in image_folders:
            path = (PurePosixPath(root) / name.replace("\\", "/")).as_posix()
            file = find_image(folder, path, factor, follow_links=follow_links)
            if file is not None:
                files[name] = file
                break
    others = [name for name in names if name not in files]
    matches = match_images(folder, others, factor, follow_links=follow_links)
    return matches._replace(files={**matches.files, **files})


def _check_distinct(matched: Iterable[tuple[PosedImage, Path]]) -> None:
    """Raises an InvalidCapture if two poses have the same image."""
    first: dict[Path, str] = {}
    problems: list[tuple[str, str]] = []
    for image, file in matched:
        if file in first:
            text = (
                f"two poses have the image {file.name!r}, those of {first[file]!r} and "
                f"{image.name!r}: remove one of them"
            )
            problems.append((file.name, text))
        first.setdefault(file, image.name)
    if problems:
        raise InvalidCapture(merge_faults(problems, "images"))


def notes_on_files(
    missing: Sequence[str], safe_files: Sequence[Path], depth: Sequence[Path] = ()
) -> list[str]:
    """Notes on poses without an image, by their names, and on images without a pose.

    Depth images are not counted.
    """
    notes = []
    if missing:
        left_out = "pose has no image and is left out", "poses have no image and are left out"
        notes.append(f"{counted(len(missing), *left_out)}: {listed(missing)}")
    return [*notes, *notes_on_images_without_pose(safe_files, depth, missing)]


def notes_on_images_without_pose(
    files: Sequence[Path], depth: Sequence[Path], missing: Sequence[str]
) -> list[str]:
    """Notes on images that are not used, since they have no pose.

    Args:
      files: the images with a pose.
      depth: depth images, which are left out.
      missing: the names of poses without an image.
    """
    names = images_without_pose(files, depth)
    if not names:
        return []
    not_used = "image has no pose and is not used", "images have no pose and are not used"
    notes = [f"{counted(len(names), *not_used)}: {listed(names)}"]
    used, first, last = (
        sorted(map(_last_number, each)) for each in ([x.name for x in files], missing, names)
    )
    if first == [0] and last == [len(files) + 1] and used == [*range(1, len(files) + 1)]:
        notes.append(
            "the images may count from 1 and their poses from 0, so that each image has the pose "
            "of the next: if so, rename the images"
        )
    return notes


def _last_number(name: str) -> int:
    """The number with which a bare name ends; -1 without one."""
    found = re.search(r"([0-9]{1,9})(\.[A-Za-z]+)?$", name)
    return int(found[1]) if found else -1


def _sizes(
    matches: ImageMatches, matched: Sequence[tuple[PosedImage, Path]]
) -> list[tuple[int, int]]:
    """The size of the original of each image, unless its pose has a size."""
    sizes, faults = [], []
    for image, _ in matched:
        try:
            sizes.append(image.size or original_size(matches, image.name))
        except UserError as fault:
            faults.append(fault)
    if faults:
        raise InvalidCapture(image_kinds.messages_on_unreadable(faults))
    return sizes


def from_opencv(matrix: Array) -> Array:
    """A pose `[3, 4]` with columns right, up, back of one with columns right, down, forward."""
    return np.asarray(matrix[:3] * np.array([1.0, -1.0, -1.0, 1.0]))


def pose_of_quaternion(values: Sequence[float], position: Sequence[float], where: str) -> Array:
    """A matrix `[3, 4]` from a quaternion x, y, z, w of about unit length and a position.

    Raises:
      UserError: if the quaternion is far from unit length; `where` is for the message.
    """
    length = sum(value * value for value in values)
    if not 0.25 < length < 4.0:
        raise UserError(
            f"{where} has a rotation that is not a unit quaternion: export the poses again"
        )
    rotation = Rotation.from_quat(values).as_matrix()
    return np.concatenate([rotation, np.array(position)[:, None]], axis=1)


def finite_numbers(values: Any, count: int, where: str) -> list[float]:
    """Checks that values are finite numbers, or the words of numbers.

    Args:
      values: from a file, so it may be anything.
      count: how many there must be.
      where: for messages, e.g. `metadata.json: K`.

    Raises:
      UserError: if they are something else.
    """
    if not isinstance(values, (list, tuple)) or len(values) != count:
        found = len(values) if isinstance(values, (list, tuple)) else "none"
        raise UserError(f"{where} must be {count} numbers, and there are {found}: export it again")
    return [finite_number(value, where) for value in values]


def finite_number(value: Any, where: str) -> float:
    """One of `finite_numbers`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UserError(f"{where} must be a number, not {str(value)[:50]!r}: export it again")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number):
        raise UserError(
            f"{where} must be a finite number, not {str(value)[:50]!r}: export it again"
        )
    return number


def image_length(value: Any, where: str) -> int:
    """A width or a height in pixels."""
    number = finite_number(value, where)
    if number != int(number) or not 0 < number < 2**31:
        raise UserError(f"{where} must be a whole number of pixels, not {number}: export it again")
    return int(number)


def read_text_file(path: Path, *, follow_links: bool = False) -> str:
    """The text of a file, see `nerf.captures.safe_files.reading.text_of`."""
    return files.text_of(read_bytes(path, follow_links=follow_links))
