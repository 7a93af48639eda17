"""Captures in the layout of LLFF: `poses_bounds.npy` beside a folder of images.

`poses_bounds.npy` is `[num_views, 17]`: a 3x5 matrix in row-major order, then the nearest and the
farthest depth. Columns 0 to 2 of the matrix are the axes [down, right, back] of the camera, column
3 its position, column 4 the height, width and focal length in pixels of the original photograph,
which may differ between cameras.
Row i belongs to the i-th image in the order of the file names.

Images are in `images` (the originals) or in `images_N` (both sides divided by N). Any of these
folders may be missing.

Source: Mildenhall et al. 2019 (LLFF); bmild/nerf `load_llff.py` for scale and centre.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerf.captures.capture import Array, Capture, counted_views, named_views
from nerf.captures.format_record import Format, HandWritten, Names, has_file
from nerf.captures.images.files import advice_on_other_files, image_files
from nerf.captures.images.names import NoImagesFound
from nerf.captures.images.paths import folder_factor
from nerf.captures.safe_files.array_files import read_array
from nerf.captures.safe_files.reading import IMAGE_SUFFIXES, check_inside, contents, file_named
from nerf.errors import UserError, counted, listed
from nerf.geometry.lenses import Lens

POSES_FILE = "poses_bounds.npy"
_NAME = "llff"
_MAX_BYTES = 2**28


def read_llff(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the poses and finds the images.

    Args:
      folder: contains `poses_bounds.npy` and `images` or `images_N`.
      factor: 1 to read `images`, N to read `images_N`; None reads the smallest images: those of the
        `images_N` with the largest N, else of `images`.
      poses: the folder below it that has the file of poses; None if it has it itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: if anything is missing, unreadable or inconsistent.
    """
    place = poses or folder
    path = file_named(place, POSES_FILE) or place / POSES_FILE
    poses_bounds = _read_poses_bounds(path, follow_links)
    image_folder, files = _choose_images(folder, factor, follow_links)
    _check_counts(folder, image_folder, files, len(poses_bounds))
    names = tuple(file.stem for file in files)
    check_values(poses_bounds, names, path)
    capture = dataclasses.replace(
        from_poses_bounds(poses_bounds, folder, files), follow_links=follow_links
    )
    larger = [path.name for path in _image_folders(folder).values() if path != image_folder]
    if factor is None and larger:
        note = (
            f"images are read from {image_folder.name}; `factor` chooses another folder: "
            f"{listed(larger)}"
        )
        return dataclasses.replace(capture, notes=(note,))
    return capture


def from_poses_bounds(poses_bounds: Array, folder: Path, files: Sequence[Path]) -> Capture:
    """Makes a capture of poses in LLFF's layout.

    Args:
      poses_bounds: `[num_views, 17]`, see above.
      folder: the folder of the capture.
      files: the image files, `[num_views]`.
    """
    matrices = poses_bounds[:, :15].reshape(-1, 3, 5)
    down, right, back, positions, sizes = np.moveaxis(matrices, -1, 0)
    height, width, focal = sizes.T
    num_views = len(poses_bounds)
    return Capture(
        format=_NAME,
        folder=folder,
        files=tuple(files),
        camtoworlds=np.stack([right, -down, back, positions], axis=-1),
        lens=Lens(
            focal=np.stack([focal, focal], axis=-1),
            centre=0.5 * np.stack([width, height], axis=-1),
            distortion=np.zeros((num_views, 6)),
            fisheye=np.zeros(num_views, bool),
        ),
        sizes=np.stack([width, height], axis=-1).astype(np.int64),
        bounds=poses_bounds[:, 15:],
        has_central_axis=True,
    )


def _read_poses_bounds(path: Path, follow_links: bool) -> Array:
    if not path.is_file():
        raise UserError(
            f"no {POSES_FILE} in {path.parent} ({contents(path.parent)}): make it with "
            "LLFF's imgs2poses.py (COLMAP), or give another folder"
        )
    array = read_array(path, _MAX_BYTES, follow_links=follow_links)
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] != 17:
        raise UserError(
            f"{path} must have the shape (views, 17), a 3x5 pose and two bounds a view, "
            f"not {array.shape}"
        )
    return array


def check_values(poses_bounds: Array, names: Sequence[str], where: Path | str) -> None:
    """Raises a UserError with the views that no capture can be made of; see `check_cameras`.

    Bounds are not judged: the user may give others.
    """
    sizes = poses_bounds[:, :15].reshape(-1, 3, 5)[:, :, 4]
    _, firsts, group = np.unique(sizes[:, :2], axis=0, return_index=True, return_inverse=True)
    usual_focal = sizes[firsts[group.ravel()], 2]
    faults = (
        (~np.isfinite(poses_bounds[:, :15]).all(1), "contain NaN or infinity"),
        (
            ~((sizes[:, :2] >= 1) & (sizes[:, :2] < 2**31)).all(1) | (sizes[:, 2] <= 0),
            "have a height or width of less than 1 pixel or more than 2^31, or a focal length that "
            "is not positive",
        ),
        (
            ~np.isclose(sizes[:, 2], usual_focal, rtol=1e-3),
            "differ in focal length from the first of the same height and width",
        ),
    )
    for is_faulty, fault in faults:
        if np.any(is_faulty):
            views = counted_views(np.flatnonzero(is_faulty).tolist(), names)
            raise UserError(f"{where}: the poses of {views} {fault}: make the file again")


# Finding the images, and matching them to poses.


def _image_folders(folder: Path) -> dict[int, Path]:
    """The image folders of a capture by their factor, 1 for the originals, in this order."""
    folders: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        factor = 1 if name == "images" else folder_factor(name)
        if factor is not None and path.is_dir():
            folders.setdefault(factor, path)
    return dict(sorted(folders.items()))


def _choose_images(folder: Path, factor: int | None, follow_links: bool) -> tuple[Path, list[Path]]:
    """The folder to read, and its images.

    With a factor it is the folder of that factor, or one with larger images; else the one with the
    smallest images.
    """
    folders = _image_folders(folder)
    if not folders:
        raise NoImagesFound(
            f"no images or images_N folder in {folder} ({contents(folder)}): put the images into "
            "a folder of that name"
        )
    smaller = sorted((n for n in folders if factor is None or n <= factor), reverse=True)
    if factor is not None and not smaller:
        raise UserError(
            f"no folder images_{factor} in {folder} for factor {factor}, nor larger images to "
            f"scale; there is {listed(path.name for path in folders.values())}"
        )
    for candidate in smaller:
        check_inside(folder, folders[candidate], follow_links=follow_links)
        files = image_files(folders[candidate])
        if files:
            for file in files:
                check_inside(folder, file, follow_links=follow_links)
            return folders[candidate], files
    looked_in = listed(str(folders[candidate]) for candidate in smaller)
    more = advice_on_other_files(folders[smaller[0]])
    raise NoImagesFound(
        f"no images ({', '.join(IMAGE_SUFFIXES)}) in {looked_in} "
        f"({contents(folders[smaller[0]])}): put them there{more}"
    )


def _check_counts(folder: Path, image_folder: Path, files: Sequence[Path], num_poses: int) -> None:
    """Raises a UserError unless there is one image for each pose; it names those without."""
    names = [file.stem for file in files]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(
            f"{image_folder} has more than one image called {listed(repeated)}: keep one of each"
        )
    if len(names) == num_poses:
        return
    complete = _complete_names(folder, names, num_poses)
    counts = (
        f"{counted(len(names), 'image')} in {image_folder} but {counted(num_poses, 'pose')} in "
        f"{POSES_FILE}"
    )
    if len(names) < num_poses:
        detail = _missing_images(names, num_poses, complete)
        raise UserError(f"{counts}: {detail}; add the missing images or remove their poses")
    extras = [name for name in names if name not in complete] if complete else names[num_poses:]
    guess = "" if complete else " (the last in the order of names)"
    raise UserError(
        f"{counts}: no pose for {listed(extras)}{guess}; remove the extra images or add their poses"
    )


def _complete_names(folder: Path, names: Sequence[str], num_poses: int) -> list[str] | None:
    """The names in another image folder that has one image for each pose and fits `names`."""
    for sibling in _image_folders(folder).values():
        candidate = [file.stem for file in image_files(sibling)]
        fits = set(candidate) >= set(names) or set(candidate) <= set(names)
        if len(set(candidate)) == num_poses and fits:
            return candidate
    return None


def _missing_images(names: Sequence[str], num_poses: int, complete: Sequence[str] | None) -> str:
    """The message about poses without images, as far as the images' names show them."""
    complete = complete or _numbered_names(names, num_poses)
    if complete:
        missing = [i for i, name in enumerate(complete) if name not in names]
        return f"no image for {named_views(missing, complete)}"
    last = listed(range(len(names), num_poses))
    return f"the names do not show which are missing; in their order, views {last} have no image"


def _numbered_names(names: Sequence[str], num_poses: int) -> list[str] | None:
    """All `num_poses` names, if `names` are numbered (image000, image001); else None."""
    matches = [re.fullmatch(r"(.*?)(\d+)", name) for name in names]
    found = [(match[1], match[2]) for match in matches if match]
    digits = len(found[0][1]) if found else 0
    if len(found) < len(names) or any((p, len(n)) != (found[0][0], digits) for p, n in found):
        return None
    numbers = [int(number) for _, number in found]
    is_complete_range = max(numbers) - min(numbers) + 1 == num_poses
    first = min(numbers) if is_complete_range else 0
    if max(numbers) >= first + num_poses:
        return None
    return [f"{found[0][0]}{first + i:0{digits}d}" for i in range(num_poses)]


FORMAT = Format(
    name=_NAME,
    files_in_words="poses_bounds.npy (LLFF)",
    read=read_llff,
    is_in=has_file(POSES_FILE),
    opens_files=False,
    names=Names(files=(POSES_FILE,), suffixes=(".npy",), scene=(POSES_FILE,)),
    by_hand=HandWritten(),
)
