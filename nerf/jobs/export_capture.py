"""A capture in the format of another program, with poses, lenses and images as they were read."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nerf.captures.export import ExportImages, export
from nerf.captures.images import files as image_files
from nerf.captures.lenses.scaled import scaled_lens
from nerf.jobs.exports.corrected_poses import with_corrected_poses
from nerf.runtime.events import Callback, log_event, note
from nerf.scenes.loading import LoadedScene
from nerf.scenes.normalize import override_bounds


def export_capture(
    loaded: LoadedScene,
    format: str,
    out: str | Path,
    *,
    corrected_by: str | Path | None = None,
    callback: Callback = log_event,
) -> tuple[Path, ...]:
    """Writes a capture in another format; reading it again gives the same rays and images.

    Images have the size at which they were loaded: those of their files' size are copied, others
    are written as PNG.

    Args:
      loaded: from `nerf.scenes.loading.load_folder`.
      format: one of `nerf.captures.export.EXPORT_FORMATS`.
      out: the folder to write; it must be new or empty.
      corrected_by: a run folder, whose corrected poses are written in place of the capture's own.
      callback: receives notes on what the format cannot express.

    Returns:
      The files and folders in `out`, sorted.

    Raises:
      UserError: if there is no such format or it cannot express the capture, if `out` is not empty
        or cannot be written, or if the run has corrected no poses or was trained on another
        capture.
    """
    capture = loaded.capture
    if corrected_by is not None:
        capture, notes = with_corrected_poses(capture, Path(corrected_by))
        for text in notes:
            note(callback, text)
    images = loaded.scene.images
    lens = scaled_lens(capture, images.heights, images.widths)
    bounds = override_bounds(capture.bounds, capture.num_views, loaded.options)
    for text in export(capture, lens, bounds, _images(loaded), format, Path(out)):
        note(callback, text)
    return tuple(sorted(Path(out).iterdir()))


def _images(loaded: LoadedScene) -> ExportImages:
    """The images at their loaded size; files of this size are copied, unless EXIF turns them."""
    heights, widths = loaded.scene.images.heights, loaded.scene.images.widths
    sizes = np.stack([widths, heights], axis=-1)
    paths, turned = loaded.capture.files, loaded.turned
    stored_sizes = [image_files.read_header(file).size for file in paths]
    copied = [
        file if stored == tuple(size) and not turn else None
        for file, stored, size, turn in zip(
            paths, stored_sizes, sizes.tolist(), turned, strict=True
        )
    ]

    def read(index: int) -> npt.NDArray[np.float32]:
        height, width = int(heights[index]), int(widths[index])
        file, turn = paths[index], turned[index]
        header = image_files.read_header(file)
        if image_files.oriented_size(header, orient=turn) == (width, height):
            return image_files.read_image(file, orient=turn)
        return image_files.read_scaled(file, height, width, orient=turn)

    return ExportImages(sizes, copied, read, loaded.scene.images.mask_of)
