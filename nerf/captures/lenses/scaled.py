"""The lenses of a capture for images of another size."""

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Capture
from nerf.captures.lenses.models import HALF_PIXEL
from nerf.geometry.lenses import Lens

Side = int | npt.NDArray[np.int64]


def scaled_lens(capture: Capture, height: Side, width: Side) -> Lens:
    """The lenses for images of another size.

    A principal point that is the middle of the image at any size stays there, and the focal length
    is scaled with the width; all others are scaled from the corner of the image.

    Args:
      capture: the lenses.
      height, width: of all images in pixels, or `[num_views]` of each.
    """
    lens = capture.lens
    sizes = np.stack(np.broadcast_arrays(width, height), axis=-1)
    scale = sizes / capture.sizes
    if capture.has_central_axis:
        middle = np.broadcast_to(0.5 * sizes, lens.centre.shape)
        return lens._replace(focal=np.asarray(lens.focal) * scale[:, :1], centre=middle)
    centre = (np.asarray(lens.centre) + HALF_PIXEL) * scale - HALF_PIXEL
    return lens._replace(focal=np.asarray(lens.focal) * scale, centre=centre)


def simplified_lens(lens: Lens, height: Side, width: Side) -> Lens | None:
    """The same lenses without distortion where all have none; None for plain pinhole cameras.

    Args:
      lens: `[num_views]`.
      height, width: of all images in pixels, or `[num_views]` of each. Where images differ in size,
        the result is never None.
    """
    assert lens.distortion is not None
    assert lens.fisheye is not None
    focal, centre = np.asarray(lens.focal), np.asarray(lens.centre)
    if lens.distortion.any() or lens.fisheye.any() or lens.panorama is not None:
        return Lens(
            focal.astype(np.float32),
            centre.astype(np.float32),
            np.asarray(lens.distortion, np.float32),
            np.asarray(lens.fisheye, bool),
            lens.panorama,
        )
    sizes = np.stack(np.broadcast_arrays(width, height), axis=-1)
    has_one_size = (sizes == sizes.reshape(-1, 2)[0]).all()
    is_one = has_one_size and np.allclose(focal, focal[0, 0], rtol=1e-9, atol=0.0)
    is_central = np.allclose(centre, 0.5 * sizes, rtol=0.0, atol=1e-6)
    if is_one and is_central:
        return None
    return Lens(focal.astype(np.float32), centre.astype(np.float32))
