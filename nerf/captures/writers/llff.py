"""Writing a capture as LLFF's `poses_bounds.npy`, see `nerf.captures.export`."""

import numpy as np
import numpy.typing as npt

from nerf.captures.images.size_counts import sizes_in_words
from nerf.captures.readers.llff import POSES_FILE
from nerf.captures.writers.task import ExportTask, Writer, note_on_lost_split
from nerf.errors import UserError
from nerf.geometry.lenses import Lens


def check_llff(task: ExportTask) -> list[str]:
    if (task.sizes != task.sizes[:1]).any():
        raise UserError(
            f"LLFF has one image size, and these images have several "
            f'({sizes_in_words(task.sizes)}): choose `export_format="nerfstudio"`'
        )
    notes = _check_pinhole(task.lens, task.sizes)
    if task.bounds is None:
        raise UserError("LLFF needs bounds, and this capture has none: give `near` and `far`")
    return [*notes, *note_on_lost_split(task.capture)]


def write_llff(task: ExportTask) -> None:
    capture, lens, bounds, sizes, _, out = task
    assert bounds is not None
    right, up, back, positions = np.moveaxis(capture.camtoworlds, -1, 0)
    intrinsics = np.stack([sizes[:, 1], sizes[:, 0], np.asarray(lens.focal)[:, 0]], axis=-1)
    matrices = np.stack([-up, right, back, positions, intrinsics], axis=-1)
    rows = np.concatenate([matrices.reshape(-1, 15), bounds], axis=-1)
    np.save(out / POSES_FILE, rows)


def _check_pinhole(lens: Lens, sizes: npt.NDArray[np.int64]) -> list[str]:
    """Refuses lenses that are not one pinhole camera with its axis through the image centre."""
    assert lens.distortion is not None
    assert lens.fisheye is not None
    advice = "undistort the images (`colmap image_undistorter`), or choose another format"
    if lens.panorama is not None:
        raise UserError("LLFF cannot express panoramas: choose another format")
    if lens.distortion.any() or lens.fisheye.any():
        raise UserError(f"LLFF cannot express distortion, which these lenses have: {advice}")
    focal, centre = np.asarray(lens.focal), np.asarray(lens.centre)
    if not np.allclose(focal, focal[0, 0], rtol=1e-3):
        raise UserError(f"LLFF has one focal length, and these lenses have several: {advice}")
    offset = float(np.abs(centre - 0.5 * sizes).max())
    if offset > 1.0:
        raise UserError(
            f"the principal point of LLFF is the image centre, and these are {offset:.1f} pixels "
            f"away from it: {advice}"
        )
    if offset > 1e-6:
        return [f"principal points are moved by {offset:.2f} pixels, to the image centre"]
    return []


WRITER = Writer("llff", check_llff, write_llff, keep_order=True)
