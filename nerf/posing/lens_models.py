"""Lenses of COLMAP's models: simple while images are placed, then as general as images support.

A general lens at once can lead astray: where points are few, focal length and distortion make up
for wrong poses. So images are placed with one focal length and no distortion; afterwards a more
general lens is taken if it explains the images better and is one that cameras have.
"""

from collections.abc import Sequence
from typing import Any

_SIMPLE, _SIMPLE_FISHEYE = "SIMPLE_RADIAL", "SIMPLE_RADIAL_FISHEYE"
_FIRST = {
    "OPENCV": _SIMPLE,
    "RADIAL": _SIMPLE,
    "SIMPLE_RADIAL": _SIMPLE,
    "OPENCV_FISHEYE": _SIMPLE_FISHEYE,
}
_MIN_GAIN = 0.02  # of the mean reprojection error, for a more general lens
_MAX_STRETCH = 0.02  # between the two focal lengths: pixels are square
_MAX_CHANGE = 0.1  # of the focal length, against the one of the simpler lens


def first_model(model: str) -> str:
    """The model with which images are placed, for a model that is asked for."""
    return _FIRST.get(model, model)


def general_models(model: str) -> list[str]:
    """The models to try after that, the most general one first."""
    first = first_model(model)
    return [model, first] if model != first else [model] if model in _FIRST else []


def general_parameters(model: str, simple: Sequence[float]) -> list[float]:
    """Parameters of a model for the same lens.

    Args:
      model: one of `general_models`.
      simple: focal length, principal point and distortion of `first_model`.

    >>> general_parameters("OPENCV", [500.0, 320.0, 240.0, 0.1])
    [500.0, 500.0, 320.0, 240.0, 0.1, 0.0, 0.0, 0.0]
    """
    focal, x, y, distortion = map(float, simple)
    if model == "RADIAL":
        return [focal, x, y, distortion, 0.0]
    if model in (_SIMPLE, _SIMPLE_FISHEYE):
        return [focal, x, y, distortion]
    return [focal, focal, x, y, distortion, 0.0, 0.0, 0.0]


def refine(model: Any, camera_model: str, colmap: Any) -> Any:
    """A COLMAP model with the most general lens that explains the images better.

    Args:
      model: a `pycolmap.Reconstruction` with the lens of `first_model`.
      camera_model: the most general lens.
      colmap: the module pycolmap.
    """
    before = model.compute_mean_reprojection_error()
    focal = {index: camera.mean_focal_length() for index, camera in model.cameras.items()}
    for name in general_models(camera_model):
        candidate = colmap.Reconstruction(model)
        for camera in candidate.cameras.values():
            parameters = general_parameters(name, camera.params)
            camera.model = getattr(colmap.CameraModelId, name)
            camera.params = parameters
        options = colmap.BundleAdjustmentOptions()
        options.print_summary = False
        colmap.bundle_adjustment(candidate, options)
        candidate.update_point_3d_errors()
        error = candidate.compute_mean_reprojection_error()
        if error < (1 - _MIN_GAIN) * before and _is_possible(candidate, focal):
            return candidate
    return model


def _is_possible(model: Any, focal: dict[int, float]) -> bool:
    """Whether each lens has square pixels and about the focal length that it had before."""
    for index, camera in model.cameras.items():
        stretch = camera.focal_length_x / camera.focal_length_y
        change = camera.mean_focal_length() / focal[index]
        if abs(stretch - 1) > _MAX_STRETCH or abs(change - 1) > _MAX_CHANGE:
            return False
    return True
