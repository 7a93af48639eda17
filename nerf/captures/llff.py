"""Scenes in the layout of LLFF: `poses_bounds.npy` beside a folder of pictures.

`poses_bounds.npy` is `[num_views, 17]`: a 3x5 matrix in row-major order, then the nearest and the
farthest depth. Columns 0 to 2 of the matrix are the axes [down, right, back] of the camera, column
3 its position, column 4 the height, width and focal length in pixels of the original photograph.
Row i belongs to the i-th picture in the order of the file names.

Pictures lie in `images` (the originals) or `images_N` (both sides divided by N). Any of them may
be missing.

Source: Mildenhall et al. 2019 (LLFF); bmild/nerf `load_llff.py` for scale and centre.
"""

import dataclasses
import io
import math
import re
import tokenize
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Array, Capture, Problems, check_numbers, named_views
from nerf.captures.files import IMAGE_SUFFIXES, check_inside, copies_factor, read_bytes
from nerf.captures.image_files import image_files, to_float
from nerf.errors import UserError, listed
from nerf.geometry.lenses import Lens
from nerf.scenes.normalize import make_scene
from nerf.scenes.scene import Scene, Source

POSES_FILE = "poses_bounds.npy"
_MAX_BYTES = 2**28


def read_llff(folder: Path, factor: int | None = None) -> Capture:
    """Reads poses and finds the pictures.

    Args:
      folder: holds `poses_bounds.npy` and `images` or `images_N`.
      factor: 1 reads `images`, N reads `images_N`; None reads the smallest pictures there are:
        the `images_N` with the largest N that holds any, else `images`.

    Raises:
      UserError: if anything is missing, unreadable or inconsistent.
    """
    poses_bounds = _read_poses_bounds(folder / POSES_FILE)
    image_folder, files = _choose_images(folder, factor)
    _check_counts(folder, image_folder, files, len(poses_bounds))
    names = tuple(file.stem for file in files)
    _check_values(poses_bounds, names, folder / POSES_FILE)
    capture = from_poses_bounds(poses_bounds, folder, files)
    larger = [path.name for path in _image_folders(folder).values() if path != image_folder]
    if factor is None and larger:
        note = (
            f"pictures are those of {image_folder.name}; there is {listed(larger)} too (`factor`)"
        )
        return dataclasses.replace(capture, notes=(note,))
    return capture


def from_poses_bounds(poses_bounds: Array, folder: Path, files: Sequence[Path]) -> Capture:
    """The capture of poses `[num_views, 17]`, see the module's text, and their pictures."""
    matrices = poses_bounds[:, :15].reshape(-1, 3, 5)
    down, right, back, positions, sizes = np.moveaxis(matrices, -1, 0)
    height, width, focal = sizes.T
    num_views = len(poses_bounds)
    return Capture(
        format="llff",
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
    )


def build_scene(
    images: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
    poses_bounds: npt.ArrayLike,
    *,
    name: str,
    source: Source,
    origin: str,
    image_names: Sequence[str] | None = None,
    alpha: npt.NDArray[np.float32] | None = None,
) -> Scene:
    """Makes a scene of pictures and their LLFF poses; reads no file.

    Args:
      images: `[num_views, height, width, 3]`, uint8, or float in [0, 1].
      poses_bounds: `[num_views, 17]`, see the module's text.
      name: what the user calls the scene.
      source: "photographs" or "procedural".
      origin: where it was found; error messages begin with it.
      image_names: one a view; None numbers them.
      alpha: `[num_views, height, width]`, if the pictures were transparent; they lie over white.

    Raises:
      UserError: if the poses are not finite or have bounds that are not 0 < near < far, or if the
        numbers of pictures and poses differ.
    """
    poses_bounds = np.asarray(poses_bounds, np.float64)
    num_views, _, _, _ = images.shape
    if poses_bounds.shape != (num_views, 17):
        raise UserError(
            f"{origin}: {num_views} images need poses of shape ({num_views}, 17), "
            f"not {poses_bounds.shape}"
        )
    names = tuple(image_names or (f"view_{i:03d}" for i in range(num_views)))
    _check_values(poses_bounds, names, origin)
    capture = from_poses_bounds(poses_bounds, Path(), [Path(f"{name}.png") for name in names])
    problems = check_numbers(capture)
    if problems:
        raise Problems([f"{origin}: {problem}" for problem in problems])
    return make_scene(
        capture,
        to_float(images),
        name=name,
        source=source,
        origin=origin,
        alpha=alpha,
    )


# The poses file.


def _read_poses_bounds(path: Path) -> Array:
    if not path.is_file():
        raise UserError(
            f"no {POSES_FILE} in {path.parent}: make it with LLFF's imgs2poses.py (COLMAP), "
            "or give another folder"
        )
    content = read_bytes(path, _MAX_BYTES)
    try:
        with io.BytesIO(content) as file:
            _check_size(file)
            array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"cannot read {path} as an array of numbers ({reason}): copy or make it again"
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        found = getattr(array, "dtype", type(array).__name__)
        raise UserError(f"{path} must hold an array of real numbers, not {found}: make it again")
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] != 17:
        raise UserError(
            f"{path} must have the shape (views, 17), a 3x5 pose and two bounds a view, "
            f"not {array.shape}"
        )
    return array.astype(np.float64)


def _check_size(file: io.BytesIO) -> None:
    """Raises ValueError if an array's header announces more than the file holds."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes > len(file.getbuffer()):
        raise ValueError(f"it announces {num_bytes:,} bytes and has {len(file.getbuffer()):,}")
    file.seek(0)


def _check_values(poses_bounds: Array, names: Sequence[str], where: Path | str) -> None:
    """Raises UserError with the views of which no capture can be made; see `check_numbers`."""
    sizes = poses_bounds[:, :15].reshape(-1, 3, 5)[:, :, 4]
    faults = (
        (~np.isfinite(poses_bounds).all(1), "hold NaN or infinity"),
        ((sizes <= 0).any(1), "have a height, width or focal length that is not positive"),
        (
            ~np.isclose(sizes, sizes[:1], rtol=1e-3).all(1),
            "differ in height, width or focal length from the first, but one camera must serve",
        ),
    )
    for is_faulty, fault in faults:
        if np.any(is_faulty):
            views = named_views(np.flatnonzero(is_faulty).tolist(), names)
            raise UserError(f"{where}: the poses of {views} {fault}: repair it")


# Which pictures there are, and whether each pose has one.


def _image_folders(folder: Path) -> dict[int, Path]:
    """The picture folders of a scene by their factor, 1 for the originals."""
    folders: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        factor = 1 if path.name == "images" else copies_factor(path.name)
        if factor is not None and path.is_dir():
            folders.setdefault(factor, path)
    return dict(sorted(folders.items()))


def _choose_images(folder: Path, factor: int | None) -> tuple[Path, list[Path]]:
    """The pictures of a factor, or those that can be scaled to it; else the smallest."""
    folders = _image_folders(folder)
    there = listed(path.name for path in folders.values()) or "neither"
    if not folders:
        raise UserError(f"no images or images_N folder in {folder}: put the pictures there")
    smaller = sorted((n for n in folders if factor is None or n <= factor), reverse=True)
    if factor is not None and not smaller:
        raise UserError(
            f"no folder images_{factor} in {folder} for factor {factor}, nor larger pictures to "
            f"scale; there is {there}"
        )
    for candidate in smaller:
        files = image_files(folders[candidate])
        if files:
            for file in files:
                check_inside(folder, file)
            return folders[candidate], files
    looked_in = listed(str(folders[candidate]) for candidate in smaller)
    raise UserError(f"no pictures ({', '.join(IMAGE_SUFFIXES)}) in {looked_in}: put them there")


def _check_counts(folder: Path, image_folder: Path, files: Sequence[Path], num_poses: int) -> None:
    """Raises UserError unless there is one picture a pose, with the ones that lack the other."""
    names = [file.stem for file in files]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UserError(
            f"{image_folder} has more than one picture called {listed(doubled)}: keep one of each"
        )
    if len(names) == num_poses:
        return
    complete = _complete_names(folder, names, num_poses)
    counts = f"{len(names)} images in {image_folder} but {num_poses} poses in {POSES_FILE}"
    if len(names) < num_poses:
        detail = _missing_images(names, num_poses, complete)
        raise UserError(f"{counts}: {detail}; add the missing images or remove their poses")
    extras = [name for name in names if name not in complete] if complete else names[num_poses:]
    doubt = "" if complete else " (the last in the order of names)"
    raise UserError(
        f"{counts}: no pose for {listed(extras)}{doubt}; remove the extra images or add their poses"
    )


def _complete_names(folder: Path, names: Sequence[str], num_poses: int) -> list[str] | None:
    """The names in a sibling folder that has one picture a pose and agrees with `names`."""
    for sibling in _image_folders(folder).values():
        theirs = [file.stem for file in image_files(sibling)]
        agrees = set(theirs) >= set(names) or set(theirs) <= set(names)
        if len(set(theirs)) == num_poses and agrees:
            return theirs
    return None


def _missing_images(names: Sequence[str], num_poses: int, complete: Sequence[str] | None) -> str:
    """Says which poses have no picture, as well as the names tell."""
    complete = complete or _counted_names(names, num_poses)
    if complete:
        missing = [i for i, name in enumerate(complete) if name not in names]
        return f"no image for {named_views(missing, complete)}"
    last = listed(range(len(names), num_poses))
    return f"the names do not tell which are missing; in their order, views {last} have no image"


def _counted_names(names: Sequence[str], num_poses: int) -> list[str] | None:
    """The `num_poses` names that `names` are a part of, if they count up (image000, image001)."""
    matches = [re.fullmatch(r"(.*?)(\d+)", name) for name in names]
    found = [(match[1], match[2]) for match in matches if match]
    digits = len(found[0][1]) if found else 0
    if len(found) < len(names) or any((p, len(n)) != (found[0][0], digits) for p, n in found):
        return None
    numbers = [int(number) for _, number in found]
    gaps_explain_all = max(numbers) - min(numbers) + 1 == num_poses
    first = min(numbers) if gaps_explain_all else 0
    if max(numbers) >= first + num_poses:
        return None
    return [f"{found[0][0]}{first + i:0{digits}d}" for i in range(num_poses)]
