"""Keys of JSON files that would change the rays or the meaning of a capture, and are ignored.

What describes a lens that is not traced is refused, once for all frames. What else is known to
matter gives a note. Keys that change neither (`aabb_scale`, `scale`, `offset`, `sharpness`, ...)
say nothing.

Source: nerfstudio `nerfstudio_dataparser.py`; instant-ngp `nerf_loader.cu`; BlenderNeRF; D-NeRF.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.captures.capture import InvalidCapture
from nerf.captures.json_files.lens import (
    FISHEYE_MODELS,
    PERSPECTIVE_MODELS,
    FrameLens,
    intrinsics,
    is_set,
    lens_model,
    model_name,
)
from nerf.captures.json_files.values import Values
from nerf.captures.lenses.models import PANORAMA, model_advice
from nerf.captures.safe_files.tables import changes_rays
from nerf.errors import UserError, counted, listed

_KNOWN_MODELS = (*PERSPECTIVE_MODELS, *FISHEYE_MODELS, PANORAMA)
_F_THETA = tuple(f"ftheta_p{number}" for number in range(5))
_RATIONAL = ("k5", "k6")
_THIN_PRISM = ("sx1", "sy1", "s1", "s2", "s3", "s4")
_LISTS = (
    *("distortion_params", "distortion_coefficients", "distortion", "dist_coeffs"),
    *("dist_coeff", "dist", "D"),
)
_OTHER_LENSES = ("orthographic", "halflatlong")
_LENS_MODES = ("perspective", "opencv", "pinhole")
_SHUTTER = (
    *("rolling_shutter", "rolling_shutter_time"),
    *("camera_linear_velocity", "camera_angular_velocity"),
)
_COLOUR_TO_ALPHA = ("white_transparent", "black_transparent")
# Keys of which something is read, or that change neither rays nor the meaning of an image.
_OTHER_KEYS = frozenset({
    "frames", "file_path", "transform_matrix", "w", "h", "fl_x", "fl_y", "cx", "cy", "k1", "k2",
    "k3", "k4", "p1", "p2", "K", "intrinsics", "camera_model", "camera_angle_x", "camera_angle_y",
    "x_fov", "y_fov", "is_fisheye", "near", "far", "mask_path", "applied_transform",
    "applied_scale", "train_filenames", "val_filenames", "test_filenames", "ply_file_path",
    "aabb_scale", "aabb", "scale", "offset", "up", "from_na", "sharpness", "colmap_im_id",
    "colmap_image_id", "orientation_override", "auto_scale_poses_override", "rotation",
    "rotation_radian", "camera", "camera_id", "frame_id", "frame_idx", "frame_index",
    "frame_number", "timestamp", "time", "name", "image_name", "img_name", "id", "uid", "index",
    "original_fn", "dataset", "version", "date", "integer_depth_scale", "depth_file_path",
    "depth_path", "depth_unit_scale_factor", "enable_depth_loading",
    "enable_ray_loading", "nerf_compositing", "render_aabb", "sdf", "description", "comment",
    "scene", "metadata", "bounding_box", "roi", "latlong", "equirectangular", "lens_mode",
    "is_bad", "has_mask", "motion_blur_score", "blur_score",
    "split", "num_images", "light", "exposure", "iso", "n_frames",
})  # fmt: skip
_MAX_DIFFERENCE = 0.02  # of focal lengths that mean the same


def check_lens_keys(path: Path, content: Mapping[str, Any]) -> None:
    """Raises an InvalidCapture if frames of a file have lenses that are not traced.

    Args:
      path: the file, for messages.
      content: its values, with `frames`.
    """
    frames = list(_merged_frames(content))
    reasons = Counter(reason for values in frames if (reason := _untraced(values)))
    if reasons:
        raise InvalidCapture(
            [f"{path.name}{_share(n, len(frames))}: {reason}" for reason, n in reasons.items()]
        )


def notes_on_keys(path: Path, content: Mapping[str, Any]) -> list[str]:
    """Notes on ignored keys of a file that change the meaning of its images."""
    frames = list(_merged_frames(content))
    notes = []
    times = {values["time"] for values in frames if isinstance(values.get("time"), (int, float))}
    if len(times) > 1:
        notes.append(
            f"{path.name} has a time for each frame, which is ignored: the scene is trained "
            "as if nothing in it moved"
        )
    texts = (
        (_SHUTTER, "is not corrected for: each image is traced from one pose"),
        (("transform_matrix_start", "transform_matrix_end"), "is ignored: each image is traced "
         "from its transform_matrix"),
        (_COLOUR_TO_ALPHA, "is ignored: give the images an alpha channel"),
        (("driver_parameters",), "is ignored: the light is taken to be the same in all images"),
        (("fisheye_crop_radius",), "is ignored: pixels outside of the circle are trained on"),
    )  # fmt: skip
    for keys, text in texts:
        found = [key for key in keys if any(is_set(values.get(key)) for values in frames)]
        if found:
            notes.append(f"{' and '.join(found)} of {path.name} {text}")
    refused = (_F_THETA, _RATIONAL, _THIN_PRISM, _LISTS, _OTHER_LENSES)
    known = _OTHER_KEYS.union(*(keys for keys, _ in texts), *refused)
    unknown = dict.fromkeys(
        str(key)[:50]
        for values in frames
        for key, value in values.items()
        if key not in known and is_set(value)
    )
    if unknown:
        notes.append(
            f"keys of {path.name} that are not known, and are ignored: {listed(unknown)}; if they "
            "describe lenses or poses, the rays are wrong"
        )
    if any(is_set(values.get("equirectangular")) for values in frames):
        notes.append(
            "the images are read as equirectangular panoramas, whose rows are even in the angle of "
            "elevation; instant-ngp itself expects rows that are even in its sine"
        )
    return notes


def check_unread(where: str, values: Values, known: Iterable[str]) -> None:
    """Raises a UserError if a file has keys of a lens that its format does not define.

    Args:
      where: for the message.
      values: of the file.
      known: the keys that are read.
    """
    unread = [
        str(key)[:50]
        for key, value in values.items()
        if key not in known and changes_rays(str(key)) and is_set(value)
    ]
    if unread:
        raise UserError(
            f"{where} has {listed(unread)}, which {'is' if len(unread) == 1 else 'are'} not read "
            "and would change the rays: remove what is not meant, or write a transforms.json"
        )


def notes_on_lenses(lenses: Sequence[FrameLens], sizes: Sequence[tuple[int, int]]) -> list[str]:
    """Notes on focal lengths that contradict each other, and on panoramas.

    Args:
      lenses: of the frames of a file.
      sizes: width and height in pixels of the image that each lens describes.
    """
    contradicting, partial, odd, unused = 0, 0, 0, 0
    for lens, size in zip(lenses, sizes, strict=True):
        width, height = size
        if lens.model == "panorama":
            covered = lens.covered(size)
            partial += covered is not None and min(covered) < 1 - _MAX_DIFFERENCE
            odd += covered is None and abs(width - 2 * height) > 1
            given, whole = lens.focal, (0.5 * width, float(height))
            unused += covered is None and not lens.is_whole and _differ(given, whole)
        else:
            fx, fy, *_ = intrinsics(lens, size)
            contradicting += any(_differ((fx, fy), other) for other in lens.other_focals(size))
    texts = (
        (contradicting, ("frame has", "frames have"), "focal lengths that contradict each other: "
         "fl_x and fl_y are used before K, and K before camera_angle_x and camera_angle_y"),
        (partial, ("panorama shows", "panoramas show"), "a part of the sphere, as fl_x and fl_y "
         "say; a whole one has fl_x = w / 2 and fl_y = h"),
        (odd, ("panorama is", "panoramas are"), "not twice as wide as high, and taken for the "
         "whole sphere"),
        (unused, ("panorama shows", "panoramas show"), "the whole sphere, as the size of the image "
         "says: fl_x and fl_y are not used"),
    )  # fmt: skip
    return [f"{counted(number, *do)} {text}" for number, do, text in texts if number]


def _differ(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether focal lengths differ; False where one is NaN."""
    return any(abs(a - b) > _MAX_DIFFERENCE * abs(b) for a, b in zip(one, other, strict=True))


def _merged_frames(content: Mapping[str, Any]) -> Iterator[Values]:
    """The values of each frame, with those of the file that it does not replace."""
    shared = {key: value for key, value in content.items() if key != "frames"}
    frames = content.get("frames")
    for frame in frames if isinstance(frames, list) else ():
        if isinstance(frame, dict):
            yield {**shared, **frame}


def _share(number: int, total: int) -> str:
    return "" if number == total else f", {number} of {total} frames"


def _untraced(values: Values) -> str | None:
    """Why the lens of a frame cannot be traced; None if it can."""
    name = model_name(values)
    if lens_model(values) == "panorama":
        return None
    if name not in _KNOWN_MODELS:
        shown = values["camera_model"][:50] if name else type(values["camera_model"]).__name__
        return (
            f"camera_model {shown!r} is not read, only {', '.join(_KNOWN_MODELS)}: "
            f"{model_advice(name)}"
        )
    mode = values.get("lens_mode")
    if isinstance(mode, str) and mode.lower() not in _LENS_MODES:
        return (
            f"lens_mode {mode[:50]!r} is ignored: give camera_model, one of "
            f"{', '.join(_KNOWN_MODELS)}"
        )
    for keys, what in _untraced_keys(values):
        found = [key for key in keys if is_set(values.get(key))]
        if found:
            return what.format(", ".join(found))
    return None


def _untraced_keys(values: Values) -> Iterator[tuple[Sequence[str], str]]:
    """Keys that must not be set, and the message if they are; {} stands for the keys."""
    name, model = model_name(values), lens_model(values)
    again = model_advice("FISHEYE" if model == "fisheye" else name)
    yield (
        _F_THETA,
        "an f-theta lens ({}) is not traced: run COLMAP on the images with "
        "--ImageReader.camera_model OPENCV_FISHEYE, which describes such a lens as well",
    )
    yield _OTHER_LENSES, "the lens of the key {} is not traced: make perspective images"
    yield _RATIONAL, f"distortion by a fraction ({{}}) is not traced: {again}"
    if name == "FULL_OPENCV":
        yield ("k4",), f"distortion by a fraction ({{}} of FULL_OPENCV) is not traced: {again}"
    yield _THIN_PRISM, f"distortion by a thin prism ({{}}) is not traced: {again}"
    if model == "fisheye":
        yield ("p1", "p2"), f"tangential distortion of a fisheye ({{}}) is not traced: {again}"
    yield _LISTS, "{} is ignored: write its numbers as k1, k2, k3, k4, p1, p2"
