"""The pictures of a capture: which size each has, which size all get, and reading them at it."""

import contextlib
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
import numpy.typing as npt

from nerf.captures import image_files
from nerf.captures.capture import Capture, Problems
from nerf.captures.files import copies_factor, find_image
from nerf.errors import UserError, listed
from nerf.geometry.lenses import fraction_without_ray
from nerf.runtime.array_cache import Arrays, cached_arrays
from nerf.runtime.progress import progress_bar
from nerf.scenes.normalize import scaled_lens, simplest

MAX_BYTES = 2**34  # of all pictures of a scene in memory
_MAX_LENSES = 20  # that are checked
_MANY = 2**25  # pixels to be scaled, from which on a bar is shown


def match_sizes(
    capture: Capture,
) -> tuple[Capture, npt.NDArray[np.int64], list[bool]]:
    """Which picture has which size, and whether it is to be turned upright for its lens to fit.

    Returns:
      The capture, with originals in the place of pictures in `images_N` that are not N times
      smaller, width and height `[num_views, 2]` of each picture as it is to be seen, and whether
      its EXIF orientation is applied: where only then its proportions are those of its lens.

    Raises:
      UserError: if a picture cannot be read, or does not have the proportions of its lens.
    """
    files, problems, sizes, upright, replaced = list(capture.files), [], [], [], []
    for index, (file, lens_size) in enumerate(zip(capture.files, capture.sizes, strict=True)):
        try:
            header = image_files.read_header(file)
            original = _original_of(capture, file, header.size, lens_size)
            if original is not None:
                replaced.append(file.name)
                files[index] = file = original
                header = image_files.read_header(file)
        except UserError as problem:
            problems.append(str(problem))
            continue
        fits = [
            turn
            for turn in (False, True)
            if has_proportions(image_files.upright_size(header, upright=turn), lens_size)
        ]
        if not fits:
            (w, h), (wanted_w, wanted_h) = header.size, lens_size
            problems.append(
                f"{file} is {w} x {h}, which does not have the proportions of its camera, "
                f"{wanted_w} x {wanted_h}: give the pictures that the poses were made from"
            )
            continue
        upright.append(fits[0])
        sizes.append(image_files.upright_size(header, upright=fits[0]))
    if problems:
        raise Problems(problems)
    notes = list(capture.notes)
    if any(upright):
        notes.append(f"{sum(upright)} pictures are turned as their EXIF orientation says")
    if replaced:
        notes.append(f"the smaller copies of {listed(replaced)} have another size; originals serve")
    changed = dataclasses.replace(capture, files=tuple(files), notes=tuple(notes))
    return changed, np.array(sizes, np.int64), upright


def target_size(
    capture: Capture, sizes: npt.NDArray[np.int64], factor: int | None, max_size: int
) -> tuple[int, int, list[str]]:
    """Height and width that all pictures get, and a remark where that is less than they have.

    Args:
      capture: the pictures and their lenses.
      sizes: `[num_views, 2]`, from `match_sizes`.
      factor: how many times smaller than the originals they are to be; None leaves it to the next.
      max_size: of the longer side in pixels; 0 for no limit.

    Raises:
      UserError: if they differ in size, or take too much memory.
    """
    counts = Counter((int(w), int(h)) for w, h in sizes)
    if len(counts) > 1:
        groups = listed(f"{n} of {w} x {h}" for (w, h), n in counts.most_common())
        rarest = counts.most_common()[-1][0]
        example = next(
            file for file, size in zip(capture.files, sizes.tolist(), strict=True)
            if tuple(size) == rarest
        )  # fmt: skip
        raise UserError(
            f"the images differ in size: {groups}, for example {example.name}; a scene has one "
            "size: take out the fewer ones, or scale them and their poses"
        )
    ((width, height),) = counts
    shrunk = 1.0
    if factor is not None:
        shrunk = max(1.0, factor * width / float(capture.sizes[:, 0].min()))
    longer = max(width, height)
    if max_size and longer / shrunk > max_size:
        shrunk = longer / max_size
    if shrunk > 1.0 + 1.0 / longer:
        new_width, new_height = (max(1, round(side / shrunk)) for side in (width, height))
        remarks = [f"pictures of {width}x{height} are scaled to {new_width}x{new_height}"]
        if factor is None:
            remarks[0] += " (`max_size` says to how much, 0 not at all)"
        width, height = new_width, new_height
    else:
        remarks = []
    num_bytes = 12 * width * height * len(sizes)
    if num_bytes > MAX_BYTES:
        raise UserError(
            f"{len(sizes)} pictures of {width} x {height} take {num_bytes / 2**30:.0f} GiB, more "
            f"than {MAX_BYTES / 2**30:.0f}: give a smaller `max_size`, or a `factor`"
        )
    return height, width, remarks


def check_lenses(capture: Capture, height: int, width: int) -> list[str]:
    """Remarks on lenses that give no ray to some of their pixels.

    Raises:
      UserError: if one gives none to most of them.
    """
    lens = simplest(scaled_lens(capture, height, width), height, width)
    if lens is None or lens.distortion is None:
        return []
    rows = np.concatenate([np.asarray(x, np.float64).reshape(len(lens.focal), -1) for x in lens], 1)
    _, firsts = np.unique(rows, axis=0, return_index=True)
    shares = {
        int(index): fraction_without_ray(jax.tree.map(lambda x, i=index: x[i], lens), height, width)
        for index in firsts[:_MAX_LENSES]
    }
    worst = max(shares, key=lambda index: shares[index])
    if shares[worst] == 0:
        return []
    text = (
        f"{shares[worst]:.0%} of the pixels of view {worst} ({capture.names[worst]}) and its like "
        "lie where its distortion turns back, or more than 86 degrees off its axis, and get a "
        "wrong ray"
    )
    if shares[worst] > 0.5:
        raise UserError(f"{text}: calibrate the camera again, or undistort and crop the pictures")
    return [text]


def _original_of(
    capture: Capture, file: Path, size: tuple[int, int], lens_size: npt.NDArray[np.int64]
) -> Path | None:
    """The picture in `images` of one in `images_N` that is not N times smaller; else None."""
    relative = file.relative_to(capture.folder)
    factor = copies_factor(relative.parts[0])
    if factor is None or len(relative.parts) < 2:
        return None
    if all(abs(a - b / factor) <= 1 for a, b in zip(size, lens_size.tolist(), strict=True)):
        return None
    name = Path("images", *relative.parts[1:]).as_posix()
    original = find_image(capture.folder, name, None)
    return original if original is not None and original != file else None


def has_proportions(size: tuple[int, int], lens_size: npt.NDArray[np.int64]) -> bool:
    """Whether both sides are the lens's by one scale, to a pixel."""
    (width, height), (lens_width, lens_height) = size, (float(x) for x in lens_size)
    return bool(
        abs(height - lens_height * width / lens_width) <= 1.0
        or abs(width - lens_width * height / lens_height) <= 1.0
    )


def load_pixels(
    files: Sequence[Path],
    sizes: npt.NDArray[np.int64],
    upright: Sequence[bool],
    height: int,
    width: int,
    kept: Path,
) -> Iterator[npt.NDArray[np.float32]]:
    """The pictures at one size; those that are made smaller are kept for the next time."""
    is_scaled = tuple(sizes[0]) != (width, height)
    show = is_scaled and int(sizes.prod(axis=1).sum()) > _MANY
    with contextlib.ExitStack() as stack:
        bar = None
        if show:
            bar = stack.enter_context(
                progress_bar(total=len(files), desc="scaling pictures", unit="picture")
            )
        for file, turn in zip(files, upright, strict=True):
            pixels = (
                _scaled(file, turn, height, width, kept)
                if is_scaled
                else image_files.read_image(file, upright=turn)
            )
            if pixels.shape[:2] != (height, width):
                raise UserError(
                    f"{file} does not have the size that its header says: copy it again"
                )
            yield pixels
            if bar is not None:
                bar.update()


def _scaled(
    file: Path, upright: bool, height: int, width: int, kept: Path
) -> npt.NDArray[np.float32]:
    """A picture at a smaller size, to 16 bits; a copy that cannot be kept is passed over."""
    status = file.stat()
    what = (str(file.resolve()), status.st_mtime_ns, status.st_size, upright, height, width)
    path = kept / f"{hashlib.sha256(repr(what).encode()).hexdigest()[:32]}.npz"

    def shrink() -> Arrays:
        small = image_files.shrink(image_files.read_image(file, upright=upright), height, width)
        return {"levels": np.round(small * 65535).astype(np.uint16)}

    def fits(found: Arrays) -> bool:
        levels = found["levels"]
        return bool(levels.dtype == np.uint16 and levels.shape[:2] == (height, width))

    levels = cached_arrays(path, shrink, fits)["levels"]
    return np.asarray(levels / np.float32(65535), np.float32)
