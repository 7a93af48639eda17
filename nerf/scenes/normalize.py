"""From a capture to a scene: the space of its field, its unit of length, near and far.

Forward-facing cameras get NDC, cameras around an object on a transparent background a box, all
others contracted space; the user may choose another. Each comes with its own transform from the
capture's coordinates to scene units, `Scene.capture_to_scene`.
"""

import numpy as np
import numpy.typing as npt

from nerf.captures.capture import Array, Capture, arrangement_of
from nerf.captures.lenses.scaled import scaled_lens, simplified_lens
from nerf.errors import UserError, printable
from nerf.geometry.arrangement import CameraArrangement, rotation_to_upright
from nerf.geometry.cameras import Cameras
from nerf.geometry.contraction import Contracted
from nerf.geometry.lenses import Lens
from nerf.geometry.ndc import NDC
from nerf.geometry.poses import similarity, transform_poses
from nerf.geometry.spaces import Space
from nerf.geometry.upright import lies_on_its_side
from nerf.geometry.world import World
from nerf.scenes.image_store import ImageStore
from nerf.scenes.ndc_poses import (
    NormalizedPoses,
    Sizes,
    forward_facing_poses,
    ndc_of_views,
    reason_against_ndc,
)
from nerf.scenes.options import DEFAULT, CaptureOptions
from nerf.scenes.scene import Scene, Source

_NEAR_CONTRACTED = 0.1  # scene units, where the cameras are up to 1 from the origin
_FAR_CONTRACTED = 1e3
# Near and far as multiples of the distance to the focus, if the files have no bounds.
_NEAR_MULTIPLE, _FAR_MULTIPLE = 0.3, 10.0


def make_scene(
    capture: Capture,
    images: ImageStore,
    *,
    name: str,
    source: Source,
    origin: str,
    options: CaptureOptions = DEFAULT,
) -> Scene:
    """Makes a scene of a capture and its images.

    Args:
      capture: checked, see `nerf.captures.checks.cameras`.
      images: `[num_views]`. Transparent ones show an object with nothing behind it.
      name, source, origin: see `Scene`.
      options: of these, `space`, `near`, `far` and `background`.

    Raises:
      UserError: if the cameras do not admit the space that was asked for, or the size of the scene
        is not known.
    """
    heights, widths = images.heights, images.widths
    arrangement = arrangement_of(capture)
    lens = scaled_lens(capture, heights, widths)
    bounds = _known_bounds(capture, arrangement, options)
    sizes = np.stack([widths, heights], axis=-1)
    normalized, space = _normalize(
        capture, arrangement, bounds, lens, sizes, options, images.is_transparent
    )
    return Scene(
        name=printable(name),
        source=source,
        origin=printable(origin),
        image_names=tuple(map(printable, capture.names)),
        images=images,
        cameras=Cameras(
            normalized.camtoworlds.astype(np.float32),
            focal=_pinhole_focal(capture, lens, widths).astype(np.float32),
            bounds=normalized.bounds.astype(np.float32),
            height=0,
            width=0,
            lens=simplified_lens(lens, heights, widths),
        ).with_sizes(np.stack([heights, widths], axis=-1)),
        space=space,
        capture_to_scene=normalized.capture_to_scene,
        background=options.background or ("white" if images.is_transparent else "black"),
        given_split=capture.split,
        path_poses=None
        if capture.path_poses is None
        else transform_poses(normalized.capture_to_scene, capture.path_poses).astype(np.float32),
    )


def _pinhole_focal(capture: Capture, lens: Lens, widths: npt.NDArray[np.int64]) -> Array:
    """`[num_views]`: the focal length of a pinhole camera that takes the place of each view.

    That of a panorama sees 90 degrees.
    """
    return np.where(capture.is_panorama, 0.5 * widths, np.mean(lens.focal, axis=-1))


def _known_bounds(
    capture: Capture, arrangement: CameraArrangement, options: CaptureOptions
) -> Array | None:
    """`[num_views, 2]` in the files' unit: from the user, the files, or the cameras' focus."""
    bounds = capture.bounds
    if bounds is None and arrangement.num_aimed == capture.num_views:
        distance = np.linalg.norm(capture.camtoworlds[:, :, 3] - arrangement.focus, axis=-1)
        if distance.min() > 0:
            bounds = distance[:, None] * np.array([[_NEAR_MULTIPLE, _FAR_MULTIPLE]])
    return override_bounds(bounds, capture.num_views, options)


def override_bounds(bounds: Array | None, num_views: int, options: CaptureOptions) -> Array | None:
    """Replaces near and far by those of the user.

    Args:
      bounds: `[num_views, 2]` in the files' unit; None if they are not known.
      num_views: the number of views.
      options: near and far of the user, in the files' unit.

    Returns:
      `[num_views, 2]`; None if near or far is not known.

    Raises:
      UserError: if near is then not below far in all views.
    """
    near, far = (None, None) if bounds is None else bounds.T
    near = near if options.near is None else np.full(num_views, options.near)
    far = far if options.far is None else np.full(num_views, options.far)
    if near is None or far is None:
        return None
    if (near >= far).any():
        raise UserError(
            "near is not less than far in all views: give both `near` and `far`, in the unit of "
            "length of the files"
        )
    return np.stack([near, far], axis=-1)


def _normalize(
    capture: Capture,
    arrangement: CameraArrangement,
    bounds: Array | None,
    lens: Lens,
    sizes: Sizes,
    options: CaptureOptions,
    is_transparent: bool,
) -> tuple[NormalizedPoses, Space]:
    """Poses, bounds and the space: the one that was asked for, or the one that suits."""
    is_requested = options.space == NDC.name
    if is_requested or (
        options.space is None and arrangement.kind == "forward" and not is_transparent
    ):
        reason = "the nearest depth is not known: give `near` and `far`"
        if bounds is not None:
            normalized = forward_facing_poses(capture.camtoworlds, bounds, arrangement.up)
            reason = reason_against_ndc(normalized, lens, sizes)
            if not reason:
                lies = lies_on_its_side(normalized.camtoworlds)
                return normalized, ndc_of_views(lens, sizes[:, ::-1] if lies else sizes)
        if is_requested:
            raise UserError(f'{capture.folder}: `space="ndc"` is not possible: {reason}')
    bounded = is_transparent and arrangement.kind != "free"
    if options.space == World.name or (options.space is None and bounded):
        return _object_poses(capture, arrangement, bounds, lens, sizes, options), World.cube(1.0)
    return _unbounded_poses(capture, arrangement, bounds, options), Contracted()


def _object_poses(
    capture: Capture,
    arrangement: CameraArrangement,
    bounds: Array | None,
    lens: Lens,
    sizes: Sizes,
    options: CaptureOptions,
) -> NormalizedPoses:
    """Poses around a box of side 2 around the origin, which all cameras see as a whole."""
    distance = np.linalg.norm(capture.camtoworlds[:, :, 3] - arrangement.focus, axis=-1)
    half_angle = np.arctan(0.5 * sizes.max(axis=1) / np.asarray(lens.focal).mean(axis=-1))
    half_angle = np.where(capture.is_panorama, 0.25 * np.pi, half_angle)  # a panorama sees any box
    radius = float(np.max(distance * np.tan(half_angle)))
    if bounds is not None and (capture.bounds is not None or options.far is not None):
        radius = min(
            radius, float(np.max(bounds[:, 1] - distance)) if arrangement.num_aimed else radius
        )
    if not np.isfinite(radius) or radius <= 0:
        raise UserError(
            f"{capture.folder}: the size of the scene does not follow from the cameras: give "
            "`near` and `far`"
        )
    scale = 1.0 / radius
    transform = similarity(rotation_to_upright(arrangement.up), scale, arrangement.focus)
    half_diagonal = np.sqrt(3.0)
    near = np.maximum(distance * scale - half_diagonal, 0.05)
    limits = np.stack([near, distance * scale + half_diagonal], axis=-1)
    return NormalizedPoses(transform_poses(transform, capture.camtoworlds), limits, transform)


def _unbounded_poses(
    capture: Capture, arrangement: CameraArrangement, bounds: Array | None, options: CaptureOptions
) -> NormalizedPoses:
    """Poses within 1 of the origin, which is the cameras' focus or their mean position."""
    positions = capture.camtoworlds[:, :, 3]
    origin = arrangement.focus if arrangement.kind == "inward" else positions.mean(axis=0)
    spread = float(np.abs((positions - origin) @ rotation_to_upright(arrangement.up).T).max())
    if arrangement.kind == "forward" and bounds is not None:
        spread = max(spread, 0.25 * float(bounds[:, 0].min()))
    if not spread > 0:
        what = "there is one view" if len(positions) == 1 else "all cameras are at one position"
        raise UserError(
            f"{capture.folder}: {what}, so depth cannot be estimated: take images from several "
            "positions"
        )
    scale = 1.0 / spread
    transform = similarity(rotation_to_upright(arrangement.up), scale, origin)
    near = _NEAR_CONTRACTED
    if options.near is not None:
        near = scale * options.near
    elif capture.bounds is not None and bounds is not None:
        near = float(np.clip(0.8 * scale * bounds[:, 0].min(), 0.01, 1.0))
    far = max(_FAR_CONTRACTED if options.far is None else scale * options.far, near * (1 + 1e-3))
    limits = np.tile([near, far], (capture.num_views, 1))
    return NormalizedPoses(transform_poses(transform, capture.camtoworlds), limits, transform)
