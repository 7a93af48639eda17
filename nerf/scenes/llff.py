"""Scenes in the layout of LLFF: `poses_bounds.npy` beside a folder of pictures.

`poses_bounds.npy` is `[num_views, 17]`: a 3x5 matrix in row-major order, then the nearest and the
farthest depth. Columns 0 to 2 of the matrix are the axes [down, right, back] of the camera, column
3 its position, column 4 the height, width and focal length in pixels of the original photograph.
Row i belongs to the i-th picture in the order of the file names.

Pictures lie in `images` (the originals) or `images_N` (both sides divided by N). Any of them may
be missing. The order of pixels in the file counts; an EXIF rotation is not applied, because the
programs that make the poses do not apply it either.

Source: Mildenhall et al. 2019 (LLFF); bmild/nerf `load_llff.py` for scale and centre.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.cameras import Cameras
from nerf.errors import UserError, listed
from nerf.scenes.images import SUFFIXES, image_files, read_images, to_float
from nerf.scenes.scene import Scene, Source

POSES_FILE = "poses_bounds.npy"
_NEAREST_DEPTH = 1.0 / 0.75  # what the nearest bound becomes, so that all lies beyond z = -1

Array = npt.NDArray[np.float64]


def load_llff(
    folder: Path,
    *,
    name: str | None = None,
    source: Source = "photographs",
    factor: int | None = None,
) -> Scene:
    """Reads a scene in LLFF layout.

    Args:
      folder: holds `poses_bounds.npy` and `images` or `images_N`.
      name: what to call the scene; None takes the folder's name.
      source: what to say about the pictures' origin.
      factor: 1 reads `images`, N reads `images_N`; None reads the smallest pictures there are:
        the `images_N` with the largest N that holds any, else `images`.

    Returns:
      A scene with `space="ndc"`; grey pictures become RGB, transparent ones lie over white.

    Raises:
      UserError: if anything is missing, unreadable or inconsistent.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the folder that holds {POSES_FILE}")
    poses_bounds = _read_poses_bounds(folder / POSES_FILE)
    image_folder, files = _choose_images(folder, factor)
    _check_counts(folder, image_folder, files, len(poses_bounds))
    image_names = tuple(file.stem for file in files)
    _check_values(poses_bounds, image_names, folder / POSES_FILE)
    return build_scene(
        read_images(files),
        poses_bounds,
        name=folder.resolve().name if name is None else name,
        source=source,
        origin=str(image_folder),
        image_names=image_names,
    )


def build_scene(
    images: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
    poses_bounds: npt.ArrayLike,
    *,
    name: str,
    source: Source,
    origin: str,
    image_names: Sequence[str] | None = None,
) -> Scene:
    """Makes a scene of pictures and their LLFF poses; reads no file.

    Args:
      images: `[num_views, height, width, 3]`, uint8, or float in [0, 1].
      poses_bounds: `[num_views, 17]`, see the module's text.
      name: what the user calls the scene.
      source: "photographs" or "procedural".
      origin: where it was found; error messages begin with it.
      image_names: one a view; None numbers them.

    Raises:
      UserError: if the poses are not finite, not those of a forward-facing scene, or have bounds
        that are not 0 < near < far, or if the numbers of pictures and poses differ.
    """
    poses_bounds = np.asarray(poses_bounds, np.float64)
    num_views, height, width, _ = images.shape
    if poses_bounds.shape != (num_views, 17):
        raise UserError(
            f"{origin}: {num_views} images need poses of shape ({num_views}, 17), "
            f"not {poses_bounds.shape}"
        )
    names = tuple(image_names or (f"view_{i:03d}" for i in range(num_views)))
    _check_values(poses_bounds, names, origin)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        poses, bounds, unit_scale = normalize_poses(poses_bounds)
    _check_forward_facing(poses, names, origin)
    original_width, original_focal = poses_bounds[0, 9], poses_bounds[0, 14]
    return Scene(
        name=name,
        source=source,
        origin=origin,
        image_names=names,
        images=to_float(images),
        cameras=Cameras(
            camtoworlds=poses.astype(np.float32),
            focal=float(original_focal * width / original_width),
            height=height,
            width=width,
        ),
        bounds=bounds.astype(np.float32),
        space="ndc",
        unit_scale=unit_scale,
    )


class NormalizedPoses(NamedTuple):
    """Poses and bounds in scene units; see `normalize_poses`."""

    camtoworlds: Array
    bounds: Array
    unit_scale: float


def normalize_poses(poses_bounds: Array) -> NormalizedPoses:
    """Brings LLFF poses into the conventions of `Scene`.

        scale = 1 / (0.75 min near);   pose_i <- inverse(mean pose) pose_i

    Args:
      poses_bounds: `[num_views, 17]`, see the module's text.

    Returns:
      camtoworlds `[num_views, 3, 4]` with the columns [right, up, back | position], bounds
      `[num_views, 2]`, both in scene units, and the scale: scene units per unit of the file.
    """
    matrices = poses_bounds[:, :15].reshape(-1, 3, 5)
    down, right, back, positions = (matrices[:, :, i] for i in range(4))
    bounds = poses_bounds[:, 15:]
    scale = _NEAREST_DEPTH / float(bounds.min())
    poses = np.stack([right, -down, back, positions * scale], axis=-1)
    return NormalizedPoses(recentre(poses), bounds * scale, scale)


def look_at(back: Array, up: Array, position: Array) -> Array:
    """The pose `[3, 4]` that looks along `-back` with `up` upwards, as nearly as it can be."""
    back = back / np.linalg.norm(back)
    right = np.cross(up, back)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back, position], axis=-1)


def mean_pose(poses: Array) -> Array:
    """The pose in the middle of `[num_views, 3, 4]`: mean position, mean view, mean up."""
    return look_at(poses[:, :, 2].sum(0), poses[:, :, 1].sum(0), poses[:, :, 3].mean(0))


def recentre(poses: Array) -> Array:
    """Moves the world so that the mean pose of `[num_views, 3, 4]` is the identity."""
    mean = mean_pose(poses)
    inverse_rotation = mean[:, :3].T
    moved = poses.copy()
    moved[:, :, 3] -= mean[:, 3]
    return inverse_rotation @ moved


# The poses file.


def _read_poses_bounds(path: Path) -> Array:
    if not path.is_file():
        raise UserError(
            f"no {POSES_FILE} in {path.parent}: make it with LLFF's imgs2poses.py (COLMAP), "
            "or give another folder"
        )
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
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


def _check_values(poses_bounds: Array, names: Sequence[str], where: Path | str) -> None:
    """Raises UserError with the views whose numbers cannot be those of a camera."""
    matrices = poses_bounds[:, :15].reshape(-1, 3, 5)
    near, far = poses_bounds[:, 15], poses_bounds[:, 16]
    sizes = matrices[:, :, 4]
    rotations = matrices[:, :, :3]
    with np.errstate(invalid="ignore", over="ignore"):
        products = np.swapaxes(rotations, 1, 2) @ rotations
        skewed = ~np.all(np.abs(products - np.eye(3)) < 0.05, axis=(1, 2))
        faults = (
            (~np.isfinite(poses_bounds).all(1), "hold NaN or infinity"),
            ((near <= 0) | (far <= near), "have bounds that are not 0 < near < far"),
            ((sizes <= 0).any(1), "have a height, width or focal length that is not positive"),
            (skewed, "have a rotation whose columns are not perpendicular unit vectors"),
            (
                ~np.isclose(sizes, sizes[:1], rtol=1e-3).all(1),
                "differ in height, width or focal length from the first, but one camera must serve",
            ),
        )
    for is_faulty, fault in faults:
        if np.any(is_faulty):
            raise UserError(f"{where}: the poses of {_views(is_faulty, names)} {fault}: repair it")


def _check_forward_facing(poses: Array, names: Sequence[str], where: str) -> None:
    looks_away = poses[:, 2, 2] <= 0
    if looks_away.any() or not np.isfinite(poses).all():
        raise UserError(
            f"{where}: not a forward-facing scene, which LLFF data must be: "
            f"{_views(looks_away, names) if looks_away.any() else 'the views cancel out and'} "
            "look against the mean viewing direction"
        )


def _views(mask: npt.ArrayLike, names: Sequence[str]) -> str:
    return _named_views(np.flatnonzero(mask).tolist(), names)


def _named_views(indices: Sequence[int], names: Sequence[str]) -> str:
    label = "view" if len(indices) == 1 else "views"
    return f"{label} {listed(f'{i} ({names[i]})' for i in indices)}"


# Which pictures there are, and whether each pose has one.


def _image_folders(folder: Path) -> dict[int, Path]:
    """The picture folders of a scene by their factor, 1 for the originals."""
    folders: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(r"images(?:_([1-9]\d*))?", path.name)
        if match and path.is_dir():
            folders.setdefault(int(match[1] or 1), path)
    return dict(sorted(folders.items()))


def _choose_images(folder: Path, factor: int | None) -> tuple[Path, list[Path]]:
    folders = _image_folders(folder)
    there = listed(path.name for path in folders.values()) or "neither"
    if not folders:
        raise UserError(f"no images or images_N folder in {folder}: put the pictures there")
    if factor is not None and factor not in folders:
        wanted = "images" if factor == 1 else f"images_{factor}"
        raise UserError(f"no folder {wanted} in {folder} for factor {factor}; there is {there}")
    candidates = sorted(folders, reverse=True) if factor is None else [factor]
    for candidate in candidates:
        files = image_files(folders[candidate])
        if files:
            return folders[candidate], files
    looked_in = listed(str(folders[candidate]) for candidate in candidates)
    raise UserError(f"no pictures ({', '.join(SUFFIXES)}) in {looked_in}: put them there")


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
        return f"no image for {_named_views(missing, complete)}"
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
