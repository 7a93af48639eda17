"""The camera models of COLMAP by name and number, and the lens that each becomes.

Source: COLMAP, `src/colmap/sensor/models.h`. The parameters of its general models are read where
those that no lens of ours has are zero.
"""

from collections.abc import Sequence

import numpy as np

from nerf.geometry.lenses import Lens

HALF_PIXEL = 0.5  # a principal point that is measured from the corner of a pixel is greater by it
PANORAMA = "EQUIRECTANGULAR"

# The parameters of each camera model in COLMAP's order; `f` stands for fx and fy. Those that
# `IS_ZERO` names must be zero, which makes the model one of the simpler ones.
MODELS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
    "SIMPLE_RADIAL_FISHEYE": ("f", "cx", "cy", "k1"),
    "RADIAL_FISHEYE": ("f", "cx", "cy", "k1", "k2"),
    "SIMPLE_FISHEYE": ("f", "cx", "cy"),
    "FISHEYE": ("fx", "fy", "cx", "cy"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "THIN_PRISM_FISHEYE": (
        *("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1"),
    ),
    "EQUIRECTANGULAR": ("w", "h"),
}
IS_ZERO = {"FULL_OPENCV": ("k4", "k5", "k6"), "THIN_PRISM_FISHEYE": ("p1", "p2", "sx1", "sy1")}
# The numbers of all models of COLMAP 4.2.
MODEL_IDS = dict(
    enumerate(
        (
            *("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"),
            *("FULL_OPENCV", "FOV", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"),
            *("THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE", "SIMPLE_DIVISION", "DIVISION"),
            *("SIMPLE_FISHEYE", "FISHEYE", "EUCM", "EQUIRECTANGULAR"),
        )
    )
)


def make_lens(
    intrinsics: Sequence[Sequence[float]],
    fisheye: Sequence[bool],
    panorama: Sequence[bool] | None = None,
) -> Lens:
    """The lenses of a capture.

    Args:
      intrinsics: `[num_views, 10]`, each fx, fy, cx, cy, k1, k2, k3, k4, p1, p2 in pixels. cx and
        cy are measured from the corner of the first pixel, as COLMAP does. Of a panorama, fx and fy
        are pixels per radian.
      fisheye: `[num_views]`, whether a lens is a fisheye.
      panorama: `[num_views]`, whether an image is a panorama; None if none is.

    Returns:
      `[num_views]`, in the pixel coordinates of `nerf.geometry.lenses`.
    """
    rows = np.array(intrinsics, np.float64).reshape(-1, 10)
    kinds = (
        np.array(fisheye, bool),
        np.array(panorama, bool) if panorama and any(panorama) else None,
    )
    return Lens(rows[:, :2], rows[:, 2:4] - HALF_PIXEL, rows[:, 4:], *kinds)


def panorama_intrinsics(width: float, height: float) -> list[float]:
    """A row of `make_lens` for a panorama of the whole sphere."""
    return [width / (2 * np.pi), height / np.pi, 0.5 * width, 0.5 * height, *[0.0] * 6]


def model_advice(model: str) -> str:
    """What to do about a camera model that is not read."""
    name = model.upper()
    if any(word in name for word in ("SPHERICAL", "PANO", "EQUIRECT", "360")):
        return (
            f"panoramas are read as {PANORAMA}, so name this model if each image shows the whole "
            "sphere, or else cut it into perspective images"
        )
    is_fisheye = "FISHEYE" in name or name in ("EUCM", "FOV")
    return (
        "make perspective images with `colmap image_undistorter`, or run COLMAP again with "
        f"--ImageReader.camera_model {'OPENCV_FISHEYE' if is_fisheye else 'OPENCV'}"
    )
