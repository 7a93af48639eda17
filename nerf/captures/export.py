"""Writing a capture in another format; reading it again gives the same rays and images.

Images whose size does not change are copied, others are written as PNG. If a format cannot express
something, the export is refused or a note says what is lost. Near and far are written in every
format, and read again: LLFF has them, the JSON formats get the keys `near` and `far` in each frame,
and COLMAP gets a file `bounds.txt` beside its model.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from nerf.captures.capture import Array, Capture
from nerf.captures.writers import colmap, llff, transforms
from nerf.captures.writers.task import IMAGES, ExportTask
from nerf.errors import UserError, counted
from nerf.geometry.lenses import Lens

_IN_ORDER = (llff.WRITER, transforms.NERFSTUDIO, transforms.BLENDER, colmap.WRITER)
_WRITERS = {writer.name: writer for writer in _IN_ORDER}
EXPORT_FORMATS = tuple(_WRITERS)
_MASKS = "masks"


class ExportImages(NamedTuple):
    """The images to write.

    Attributes:
      sizes: `[num_views, 2]`, width and height in pixels.
      files: `[num_views]`, the files to copy; None for images whose pixels have changed.
      read: a function from the index of a view to its pixels `[height, width, 3 or 4]`, float32 in
        [0, 1].
      mask_of: a function from the index of a view to its mask `[height, width]`, True for pixels
        that are used; None for all.
    """

    sizes: npt.NDArray[np.int64]
    files: Sequence[Path | None]
    read: Callable[[int], npt.NDArray[np.float32]]
    mask_of: Callable[[int], npt.NDArray[np.bool_] | None] = lambda index: None


def export(
    capture: Capture,
    lens: Lens,
    bounds: Array | None,
    images: ExportImages,
    export_format: str,
    out: Path,
) -> list[str]:
    """Writes a capture in a format.

    Args:
      capture: the capture.
      lens: `[num_views]`, its lenses for images of `images.sizes`.
      bounds: `[num_views, 2]`, near and far in the capture's unit; None if they are not known.
      images: its images.
      export_format: one of `EXPORT_FORMATS`.
      out: a folder that does not exist, or is empty.

    Returns:
      Notes on what is lost.

    Raises:
      UserError: if the format cannot express the capture, or `out` is not empty or cannot be
        written.
    """
    if export_format not in _WRITERS:
        raise UserError(f"unknown format {export_format!r}: choose one of {', '.join(_WRITERS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"`out={out}` exists already: give a new folder")
    writer = _WRITERS[export_format]
    names = _names(capture, images, keep_order=writer.keep_order, as_png=writer.as_png)
    task = ExportTask(capture, lens, bounds, images.sizes, names, out)
    notes = [*writer.check(task), *_lost_path(capture), *_lost_depth(capture)]
    try:
        for index, name in enumerate(names):
            _write_image(out / IMAGES / name, images, index)
            _write_mask(out / _MASKS / f"{name}.png", images.mask_of(index))
        writer.write(task)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}") from error
    return notes


def _names(capture: Capture, images: ExportImages, *, keep_order: bool, as_png: bool) -> list[str]:
    """The file names of the images in `images`.

    With `keep_order` they sort in the order of the views: such a format stores no names.
    """
    stems = list(capture.names)
    if keep_order:
        stems = [stem.replace("/", "_") for stem in stems]
    if len(set(stems)) < len(stems) or (keep_order and stems != sorted(stems)):
        digits = len(str(len(stems)))
        stems = [f"{i:0{digits}d}_{stem.replace('/', '_')}" for i, stem in enumerate(stems)]
    suffixes = [".png" if file is None or as_png else file.suffix for file in images.files]
    return [f"{stem}{suffix}" for stem, suffix in zip(stems, suffixes, strict=True)]


def _write_image(path: Path, images: ExportImages, index: int) -> None:
    """Copies or writes the image of a view."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = images.files[index]
    if source is not None and source.suffix.lower() == path.suffix.lower():
        shutil.copyfile(source, path)
    else:
        levels = np.round(255.0 * np.clip(images.read(index), 0.0, 1.0)).astype(np.uint8)
        Image.fromarray(levels).save(path)


def _write_mask(path: Path, mask: npt.NDArray[np.bool_] | None) -> None:
    """Writes the mask of a view, black for pixels to leave out, to where every format finds it."""
    if mask is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(path)


def _lost_path(capture: Capture) -> list[str]:
    """A note if the capture has a camera path, which is not written."""
    if capture.path_poses is None:
        return []
    poses = counted(len(capture.path_poses), "pose")
    return [f"the camera path of {poses} without images is not written"]


def _lost_depth(capture: Capture) -> list[str]:
    """A note if depths are known, which are not written."""
    is_known = capture.point_depths is not None or any(capture.depth_files)
    return ["the known depths of the views are not written"] if is_known else []
