"""Which pixels of a capture's images are used, by their alpha and by masks."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import Capture, InvalidCapture
from nerf.captures.images.masks import read_mask
from nerf.errors import UserError, counted
from nerf.scenes.alpha import ALPHA_OPTIONS, OPAQUE_FROM, AlphaOption, alpha_facts
from nerf.scenes.image_store import ImageStore
from nerf.scenes.pixel_mask import PixelMask

MasksOption = Literal["auto", "ignore"]
MASKS_OPTIONS: tuple[MasksOption, ...] = ("auto", "ignore")


def select_pixels(
    images: ImageStore,
    capture: Capture,
    turned: Sequence[bool],
    *,
    alpha: AlphaOption = "auto",
    masks: MasksOption = "auto",
) -> tuple[ImageStore, list[str]]:
    """Decides what alpha means, and which pixels are left out.

    Args:
      images: of the capture, over a background.
      capture: with its masks.
      turned: `[num_views]`, which images were turned by their EXIF orientation.
      alpha: see `nerf.scenes.alpha`.
      masks: whether masks are used.

    Returns:
      The images with `background`, `is_transparent` and `mask` set, and notes.

    Raises:
      UserError: if an option is unknown, a mask cannot be read or does not fit its image, or no
        pixel is left.
    """
    for name, value, known in (("alpha", alpha, ALPHA_OPTIONS), ("masks", masks, MASKS_OPTIONS)):
        if value not in known:
            raise UserError(f"unknown `{name}` {value!r}: choose one of {', '.join(known)}")
    meaning, notes = _alpha_meaning(images, alpha)
    if meaning in ("mask", "ignore"):
        images = dataclasses.replace(images, background=None)
    images = dataclasses.replace(images, is_transparent=meaning == "object")
    used = capture.masks if masks == "auto" else ()
    if not used and meaning != "mask":
        return images, notes
    mask = PixelMask.of(_masks(images, capture, turned, bool(used), meaning == "mask"))
    if mask.count == 0:
        raise UserError(
            "the masks leave no pixel to train on: make them again, or use all pixels with "
            '`masks="ignore"` and `alpha="ignore"`'
        )
    if used:
        notes.append(_note_on_masks(capture, images, mask))
    return dataclasses.replace(images, mask=mask), notes


def _alpha_meaning(images: ImageStore, option: AlphaOption) -> tuple[AlphaOption, list[str]]:
    """What alpha means, and a note on it; `auto` for images that are opaque as a whole."""
    if images.pixels.shape[-1] == 3:
        return "auto", []
    facts = alpha_facts(images)
    if option == "ignore":
        return option, []
    if facts.num_views == 0:
        return ("object" if option == "object" else "auto"), []
    if facts.fraction == 1.0:
        raise UserError(
            "all pixels of all images are transparent, so nothing is left to train on: use their "
            'colours with `alpha="ignore"`, or give images that show something'
        )
    share = percentage(facts.fraction)
    if option == "object" or (option == "auto" and facts.shows_object):
        other = "" if option == "object" else ' (`alpha="mask"` leaves them out instead)'
        note = f"{share} of the pixels are transparent: they are taken for empty space{other}"
        return "object", [note]
    where = f"in {facts.num_views} of {len(images)} images" if facts.num_views < len(images) else ""
    other = ""
    if option == "auto":
        other = (
            ', since they do not look like the background of an object (`alpha="object"` takes '
            'them for empty space, `alpha="ignore"` uses their colours)'
        )
    note = (
        f"{share} of the pixels are transparent{where and f', {where}'}: they are left out{other}"
    )
    return "mask", [note]


def _masks(
    images: ImageStore,
    capture: Capture,
    turned: Sequence[bool],
    use_files: bool,
    use_alpha: bool,
) -> Iterator[npt.NDArray[np.bool_]]:
    """The mask of each view, True for pixels that are used.

    Raises:
      InvalidCapture: with all masks that cannot be read or do not fit their images, at the end.
    """
    problems: list[tuple[str, str]] = []
    for index in range(len(images)):
        height, width = int(images.heights[index]), int(images.widths[index])
        is_used = np.ones((height, width), np.bool_)
        mask = capture.masks[index] if use_files else None
        if mask is not None:
            try:
                is_used = read_mask(mask, capture.files[index], height, width, turned=turned[index])
            except UserError as problem:
                problems.append((mask.file.name, str(problem)))
        if use_alpha:
            is_used = is_used & (images.bytes_of(index)[..., 3] >= OPAQUE_FROM)
        yield is_used
    if problems:
        raise InvalidCapture(merge_faults(problems, "masks"))


def _note_on_masks(capture: Capture, images: ImageStore, mask: PixelMask) -> str:
    num_masks = sum(mask is not None for mask in capture.masks)
    left_out = 1.0 - mask.count / len(images.pixels)
    some = counted(num_masks, "image has", "images have")
    some = "all images have" if num_masks == len(images) else some
    inverted = [mask.keeps_black for mask in capture.masks if mask is not None]
    what = "all but black" if all(inverted) else "black"
    if any(inverted) and not all(inverted):
        what = "black, in dynamic_mask files all but black"
    return (
        f"{some} a mask: {percentage(left_out)} of all pixels are neither trained on nor scored "
        f'({what}; `masks="ignore"` uses all pixels)'
    )


def percentage(share: float) -> str:
    """A share in percent, with digits where it is small.

    >>> percentage(0.16), percentage(0.0013), percentage(0.0)
    ('16%', '0.13%', '0%')
    """
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{100 * share:.2g}%"
