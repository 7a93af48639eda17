"""The sizes of a capture's images: matching them to their lenses, and choosing sizes."""

import dataclasses
import math
from collections import Counter
from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import Capture, InvalidCapture
from nerf.captures.images import files as image_files
from nerf.captures.images import kinds as image_kinds
from nerf.captures.images.choice import ChosenImage, choose_image, notes_on_choices
from nerf.captures.lenses.scaled import scaled_lens, simplified_lens
from nerf.errors import UserError, counted, listed
from nerf.geometry.lenses import fraction_without_ray

MAX_PIXELS = 2**31 - 1  # of all images of a scene: what an index of 32 bits can count
_MIN_SIDE = 2  # pixels of a scaled image
_MAX_LENSES = 20  # the most that are checked


class MatchedImages(NamedTuple):
    """The images of a capture, matched to their lenses.

    Attributes:
      capture: the capture, with some images in `images_N` replaced by their originals.
      sizes: `[num_views, 2]`, width and height of each image after turning.
      turned: `[num_views]`, whether each is turned by its EXIF orientation.
      is_transparent: whether any of them has an alpha channel.
    """

    capture: Capture
    sizes: npt.NDArray[np.int64]
    turned: tuple[bool, ...]
    is_transparent: bool


def match_sizes(capture: Capture) -> MatchedImages:
    """Matches each image to its lens by its aspect ratio.

    Most tools compute poses for the pixels as they are stored, so an image is turned by its EXIF
    orientation only if it fits its lens in no other way. An image in `images_N` that is not N times
    smaller is replaced by its original.

    Raises:
      UserError: if an image cannot be read, or does not have the aspect ratio of its lens.
    """
    files, problems, sizes, turned = list(capture.files), [], [], []
    faults: list[UserError] = []
    chosen: list[ChosenImage] = []
    for index, (file, lens_size) in enumerate(zip(capture.files, capture.sizes, strict=True)):
        try:
            chosen.append(choose_image(capture, file, lens_size))
        except UserError as fault:
            faults.append(fault)
            continue
        files[index], header = chosen[-1].file, chosen[-1].header
        fits = [
            turn
            for turn in (False, True)
            if has_aspect_ratio(image_files.oriented_size(header, orient=turn), lens_size)
        ]
        if not fits:
            (width, height), (lens_width, lens_height) = header.size, lens_size
            problem_text = (
                f"{file} is {width} x {height}, which does not have the aspect ratio of its camera,"
                f" {lens_width} x {lens_height}: use the images that the poses were computed from"
            )
            problems.append((file.name, problem_text))
            continue
        turned.append(fits[0])
        sizes.append(image_files.oriented_size(header, orient=fits[0]))
    if faults or problems:
        raise InvalidCapture(
            [*image_kinds.messages_on_unreadable(faults), *merge_faults(problems, "images")]
        )
    notes = [*capture.notes, *notes_on_choices(capture, chosen)]
    if any(turned):
        are_turned = counted(sum(turned), "image is turned", "images are turned")
        notes.append(f"{are_turned} as EXIF says")
    is_transparent = any(image.header.is_transparent for image in chosen)
    changed = dataclasses.replace(capture, files=tuple(files), notes=tuple(notes))
    return MatchedImages(changed, np.array(sizes, np.int64), tuple(turned), is_transparent)


def target_sizes(
    capture: Capture, sizes: npt.NDArray[np.int64], factor: int | None, max_size: int
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Chooses the size of each image.

    Images of different sizes are scaled independently: an image that is small enough stays as it
    is, however large another one is.

    Args:
      capture: the images and their lenses.
      sizes: `[num_views, 2]`, from `match_sizes`.
      factor: how many times smaller than the originals; None leaves it to `max_size`.
      max_size: the longest allowed side in pixels; 0 for no limit.

    Returns:
      `[num_views, 2]`, width and height of each image, and a note if images are scaled.

    Raises:
      UserError: if the images have too many pixels, or are scaled to almost none.
    """
    targets = sizes.copy()
    for size in np.unique(sizes, axis=0):
        of_size = (sizes == size).all(axis=1)
        lens_width = float(capture.sizes[of_size, 0].min())
        targets[of_size] = _target_size(tuple(size.tolist()), lens_width, factor, max_size)
    _check_not_tiny(sizes, targets)
    num_pixels = sum(width * height for width, height in targets.tolist())
    if num_pixels > MAX_PIXELS:
        width, height = max(targets.tolist(), key=math.prod)
        up_to = "" if (targets == targets[:1]).all() else "up to "
        raise UserError(
            f"{counted(len(sizes), 'image')} of {up_to}{width} x {height}: these are "
            f"{num_pixels / 1e9:.1f} billion pixels, more than {MAX_PIXELS / 1e9:.1f}; give a "
            "smaller `max_size`, or a `factor`"
        )
    return targets, _notes_on_scaling(sizes, targets, is_chosen=factor is not None)


def _check_not_tiny(sizes: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> None:
    """Raises a UserError if an image is scaled to fewer than `_MIN_SIDE` pixels on a side."""
    is_tiny = (sizes != targets).any(axis=1) & (targets.min(axis=1) < _MIN_SIDE)
    if is_tiny.any():
        (width, height), small = sizes[is_tiny][0], targets[is_tiny][0]
        raise UserError(
            f"images of {width}x{height} would be scaled to {small[0]}x{small[1]}, which shows "
            "nothing: give a smaller `factor`, or a larger `max_size`"
        )


def _target_size(
    size: tuple[int, int], lens_width: float, factor: int | None, max_size: int
) -> tuple[int, int]:
    """Width and height of an image, scaled if it has to be."""
    reduction = 1.0
    if factor is not None:
        reduction = max(1.0, factor * size[0] / lens_width)
    longer = max(size)
    if max_size and longer / reduction > max_size:
        reduction = longer / max_size
    if reduction <= 1.0 + 1.0 / longer:
        return size
    width, height = (max(1, round(side / reduction)) for side in size)
    return width, height


def _notes_on_scaling(
    sizes: npt.NDArray[np.int64], targets: npt.NDArray[np.int64], *, is_chosen: bool
) -> list[str]:
    """A note if images are scaled; it names `max_size` unless the user has chosen a factor."""
    changes = Counter(
        (f"{old[0]}x{old[1]}", f"{new[0]}x{new[1]}")
        for old, new in zip(sizes.tolist(), targets.tolist(), strict=True)
        if old != new
    )
    if not changes:
        return []
    ((before, after), number) = changes.most_common(1)[0]
    note = f"images of {before} are scaled to {after}"
    if number < len(sizes):
        each = (f"{n} of {old} to {new}" for (old, new), n in changes.most_common())
        note = f"images are scaled: {listed(each)}"
    if is_chosen:
        return [note]
    return [f"{note} (`max_size` sets the longer side, 0 keeps the original size)"]


def check_lenses(capture: Capture, sizes: npt.NDArray[np.int64]) -> list[str]:
    """Checks that each pixel has a ray, see `fraction_without_ray`.

    Args:
      capture: the lenses.
      sizes: `[num_views, 2]`, width and height of the images, in pixels.

    Returns:
      A note if some pixels have none.

    Raises:
      UserError: if more than half of the pixels of a view have none.
    """
    widths, heights = sizes.T
    lens = simplified_lens(scaled_lens(capture, heights, widths), heights, widths)
    if lens is None or lens.distortion is None:
        return []
    each = jax.tree.leaves((lens, sizes))
    rows = np.concatenate([np.asarray(x, np.float64).reshape(len(sizes), -1) for x in each], 1)
    _, firsts = np.unique(rows, axis=0, return_index=True)
    fractions = {
        int(index): fraction_without_ray(
            jax.tree.map(lambda x, i=index: x[i], lens), int(heights[index]), int(widths[index])
        )
        for index in firsts[:_MAX_LENSES]
    }
    worst = max(fractions, key=lambda index: fractions[index])
    if fractions[worst] == 0:
        return []
    text = (
        f"{fractions[worst]:.0%} of the pixels of view {worst} ({capture.names[worst]}), and of "
        "others with its lens, get a wrong ray: distortion folds the image back there, or they are "
        "more than 86 degrees off the axis"
    )
    if fractions[worst] > 0.5:
        raise UserError(f"{text}; calibrate the camera again, or undistort and crop the images")
    return [text]


def has_aspect_ratio(size: tuple[int, int], lens_size: npt.NDArray[np.int64]) -> bool:
    """Whether an image has the aspect ratio of its lens, to one pixel."""
    (width, height), (lens_width, lens_height) = size, (float(x) for x in lens_size)
    return bool(
        abs(height - lens_height * width / lens_width) <= 1.0
        or abs(width - lens_width * height / lens_height) <= 1.0
    )
