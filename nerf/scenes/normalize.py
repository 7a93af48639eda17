"""From a capture to a scene: which space suits its cameras, its unit of length, near and far."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.captures.capture import HALF_PIXEL, Array, Capture
from nerf.config.settings import Background
from nerf.errors import UserError
from nerf.geometry.cameras import NDC_NEAR_PLANE, Cameras, Space
from nerf.geometry.lenses import Lens, slopes
from nerf.geometry.rigs import Rig, classify_rig, upright
from nerf.scenes.scene import Scene, Source

NEAREST_DEPTH = 1.0 / 0.75  # what the nearest bound becomes, so that all lies beyond z = -1
_LEAST_TOWARDS = 0.1  # component along -z of any ray that can be warped into NDC
_NEAR_CONTRACTED = 0.1  # scene units, where the cameras are up to 1 from the middle
_FAR_CONTRACTED = 1e3
_NEAR_SHARE, _FAR_SHARE = 0.3, 10.0  # of the distance to the focus, where nothing else tells


@dataclasses.dataclass(frozen=True)
class NormalizeOptions:
    """What the user decides; None leaves it to what is found.

    Attributes:
      space: which space a field is to live in.
      near, far: bounds of all views, in the files' unit.
      background: what transparent pictures lie over, and what is seen where nothing is.
    """

    space: Space | None = None
    near: float | None = None
    far: float | None = None
    background: Background | None = None


DEFAULT = NormalizeOptions()


class NormalizedPoses(NamedTuple):
    """Poses and bounds in scene units; `box_size` is half the side of the box around the origin."""

    camtoworlds: Array
    bounds: Array
    unit_scale: float
    box_size: float | None = None


def make_scene(
    capture: Capture,
    images: npt.NDArray[np.float32],
    *,
    name: str,
    source: Source,
    origin: str,
    wanted: NormalizeOptions = DEFAULT,
    alpha: npt.NDArray[np.float32] | None = None,
) -> Scene:
    """Makes a scene of a capture and its pictures.

    Args:
      capture: checked, see `nerf.captures.capture.check_numbers`.
      images: `[num_views, height, width, 3]` in [0, 1].
      name, source, origin: see `Scene`.
      wanted: what the user decides.
      alpha: `[num_views, height, width]`, if the pictures are transparent, so that nothing is
        behind the object.

    Raises:
      UserError: if the cameras do not admit the space that is wanted, or nothing tells where the
        scene lies.
    """
    _, height, width, _ = images.shape
    rig = classify_rig(capture.camtoworlds)
    lens = scaled_lens(capture, height, width)
    bounds = _known_bounds(capture, rig, wanted)
    posed, space = _place(capture, rig, bounds, lens, (height, width), wanted, alpha is not None)
    side = posed.box_size
    box = None if side is None else ((-side, -side, -side), (side, side, side))
    return Scene(
        name=name,
        source=source,
        origin=origin,
        image_names=capture.names,
        images=images,
        cameras=Cameras(
            posed.camtoworlds.astype(np.float32),
            focal=float(np.mean(lens.focal)),
            height=height,
            width=width,
            lens=simplest(lens, height, width),
            box=box,
        ),
        bounds=posed.bounds.astype(np.float32),
        space=space,
        unit_scale=posed.unit_scale,
        background=wanted.background or ("black" if alpha is None else "white"),
        alpha=alpha,
        given_split=capture.split,
    )


def scaled_lens(capture: Capture, height: int, width: int) -> Lens:
    """The lenses for pictures of another size.

    LLFF's principal point is the picture's middle at any size, and its focal length follows the
    width; elsewhere both are scaled from the picture's corner.
    """
    lens = capture.lens
    scale = np.array([[width, height]]) / capture.sizes
    if capture.format == "llff":
        middle = np.broadcast_to([0.5 * width, 0.5 * height], lens.centre.shape)
        return lens._replace(focal=np.asarray(lens.focal) * scale[:, :1], centre=middle)
    centre = (np.asarray(lens.centre) + HALF_PIXEL) * scale - HALF_PIXEL
    return lens._replace(focal=np.asarray(lens.focal) * scale, centre=centre)


def simplest(lens: Lens, height: int, width: int) -> Lens | None:
    """The same lenses without what they do not need: distortion, or all of it."""
    assert lens.distortion is not None
    assert lens.fisheye is not None
    focal, centre = np.asarray(lens.focal), np.asarray(lens.centre)
    if lens.distortion.any() or lens.fisheye.any():
        return Lens(
            focal.astype(np.float32),
            centre.astype(np.float32),
            np.asarray(lens.distortion, np.float32),
            np.asarray(lens.fisheye, bool),
        )
    is_one = np.allclose(focal, focal[0, 0], rtol=1e-9, atol=0.0)
    is_central = np.allclose(centre, [0.5 * width, 0.5 * height], rtol=0.0, atol=1e-6)
    if is_one and is_central:
        return None
    return Lens(focal.astype(np.float32), centre.astype(np.float32))


def _known_bounds(capture: Capture, rig: Rig, wanted: NormalizeOptions) -> Array | None:
    """`[num_views, 2]` in the files' unit: given, or from the files, or from the cameras' focus."""
    bounds = capture.bounds
    if bounds is None and rig.num_aimed == capture.num_views:
        distance = np.linalg.norm(capture.camtoworlds[:, :, 3] - rig.focus, axis=-1)
        if distance.min() > 0:
            bounds = distance[:, None] * np.array([[_NEAR_SHARE, _FAR_SHARE]])
    return override_bounds(bounds, capture.num_views, wanted)


def override_bounds(bounds: Array | None, num_views: int, wanted: NormalizeOptions) -> Array | None:
    """Bounds `[num_views, 2]` with those that the user gives; None where one of both is unknown.

    Raises:
      UserError: if near is then not below far.
    """
    near, far = (None, None) if bounds is None else bounds.T
    near = near if wanted.near is None else np.full(num_views, wanted.near)
    far = far if wanted.far is None else np.full(num_views, wanted.far)
    if near is None or far is None:
        return None
    if (near >= far).any():
        raise UserError(
            f"`near={wanted.near}` and `far={wanted.far}` are not below and above each other for "
            "all views: give both, in the files' unit of length"
        )
    return np.stack([near, far], axis=-1)


def _place(
    capture: Capture,
    rig: Rig,
    bounds: Array | None,
    lens: Lens,
    size: tuple[int, int],
    wanted: NormalizeOptions,
    is_transparent: bool,
) -> tuple[NormalizedPoses, Space]:
    """Poses and bounds in the space that suits, or in the one that is wanted."""
    asked = wanted.space == "ndc"
    if asked or (wanted.space is None and rig.kind == "forward" and not is_transparent):
        reason = "nothing tells where the scene begins: give `near` and `far`"
        if bounds is not None:
            posed = forward_facing_poses(capture.camtoworlds, bounds)
            reason = _reason_against_ndc(posed, lens, size)
            if not reason:
                return posed, "ndc"
        if asked:
            raise UserError(f'{capture.folder}: `space="ndc"` is not possible: {reason}')
    bounded = is_transparent and rig.kind != "free"
    if wanted.space == "world" or (wanted.space is None and bounded):
        return _object_poses(capture, rig, bounds, lens, size, wanted), "world"
    return _unbounded_poses(capture, rig, bounds, wanted), "contracted"


def forward_facing_poses(camtoworlds: Array, bounds: Array) -> NormalizedPoses:
    """Poses and bounds of a forward-facing rig, whose mean pose becomes the identity.

        scale = 1 / (0.75 min near);   pose_i <- inverse(mean pose) pose_i

    Source: bmild/nerf `load_llff.py`.
    """
    scale = NEAREST_DEPTH / float(bounds.min())
    poses = camtoworlds.copy()
    poses[:, :, 3] *= scale
    return NormalizedPoses(recentre(poses), bounds * scale, scale)


def _reason_against_ndc(posed: NormalizedPoses, lens: Lens, size: tuple[int, int]) -> str:
    """Why the warp is not possible; empty where it is."""
    height, width = size
    poses = posed.camtoworlds
    if not np.isfinite(poses).all():
        return "the views cancel out"
    seen = _border_slopes(lens, height, width)
    local = np.stack([seen[..., 0], -seen[..., 1], -np.ones(seen.shape[:2])], axis=-1)
    directions = np.einsum("vij,vcj->vci", poses[:, :, :3], local)
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    if (directions[..., 2] > -_LEAST_TOWARDS).any():
        return "not a forward-facing scene, some rays lead away from the mean viewing direction"
    if (poses[:, 2, 3] <= -NDC_NEAR_PLANE).any():
        return "some cameras stand beyond the nearest bound of others"
    return ""


def _border_slopes(lens: Lens, height: int, width: int) -> Array:
    """Slopes `[num_views, num_pixels, 2]` of pixels all over each view, the corners among them."""
    ticks = np.linspace(0, 1, 5)
    columns, rows = (x.ravel() for x in np.meshgrid(ticks * (width - 1), ticks * (height - 1)))
    if not (np.any(lens.distortion) or np.any(lens.fisheye)):
        focal, centre = np.asarray(lens.focal)[:, None], np.asarray(lens.centre)[:, None]
        return np.asarray((np.stack([columns, rows], axis=-1)[None] - centre) / focal)
    shape = (len(lens.focal), columns.size)
    each = jax.tree.map(
        lambda x: jnp.broadcast_to(jnp.asarray(x)[:, None], (*shape, *x.shape[1:])), lens
    )
    pixels = (jnp.broadcast_to(jnp.asarray(x)[None], shape) for x in (columns, rows))
    return np.asarray(jax.jit(slopes)(*pixels, each), np.float64)


def _object_poses(
    capture: Capture,
    rig: Rig,
    bounds: Array | None,
    lens: Lens,
    size: tuple[int, int],
    wanted: NormalizeOptions,
) -> NormalizedPoses:
    """Poses around a box of side 2, which all cameras see as a whole."""
    distance = np.linalg.norm(capture.camtoworlds[:, :, 3] - rig.focus, axis=-1)
    half_angle = np.arctan(0.5 * max(size) / np.asarray(lens.focal).mean(axis=-1))
    radius = float(np.max(distance * np.tan(half_angle)))
    if bounds is not None and (capture.bounds is not None or wanted.far is not None):
        radius = min(radius, float(np.max(bounds[:, 1] - distance)) if rig.num_aimed else radius)
    if not np.isfinite(radius) or radius <= 0:
        raise UserError(
            f"{capture.folder}: the cameras do not tell how large the scene is: give `near` and "
            "`far`"
        )
    scale = 1.0 / radius
    poses = _recentred_poses(capture.camtoworlds, rig.focus, rig.up, scale)
    reach = np.sqrt(3.0)
    near = np.maximum(distance * scale - reach, 0.05)
    return NormalizedPoses(poses, np.stack([near, distance * scale + reach], axis=-1), scale, 1.0)


def _unbounded_poses(
    capture: Capture, rig: Rig, bounds: Array | None, wanted: NormalizeOptions
) -> NormalizedPoses:
    """Poses within 1 of the origin, which is the focus, or the cameras' own middle."""
    positions = capture.camtoworlds[:, :, 3]
    middle = rig.focus if rig.kind == "inward" else positions.mean(axis=0)
    spread = float(np.abs((positions - middle) @ upright(rig.up).T).max())
    if rig.kind == "forward" and bounds is not None:
        spread = max(spread, 0.25 * float(bounds[:, 0].min()))
    if not spread > 0:
        raise UserError(
            f"{capture.folder}: all cameras stand at one point, from which no depth can be told: "
            "take pictures from several places"
        )
    scale = 1.0 / spread
    poses = _recentred_poses(capture.camtoworlds, middle, rig.up, scale)
    near = _NEAR_CONTRACTED
    if wanted.near is not None:
        near = scale * wanted.near
    elif capture.bounds is not None and bounds is not None:
        near = float(np.clip(0.8 * scale * bounds[:, 0].min(), 0.01, 1.0))
    far = max(_FAR_CONTRACTED if wanted.far is None else scale * wanted.far, near * (1 + 1e-3))
    limits = np.tile([near, far], (len(poses), 1))
    return NormalizedPoses(poses, limits, scale)


def _recentred_poses(camtoworlds: Array, middle: Array, up: Array, scale: float) -> Array:
    """Poses with `middle` at the origin, `up` along +y, and lengths times `scale`."""
    poses = camtoworlds.copy()
    poses[:, :, 3] = (poses[:, :, 3] - middle) * scale
    return upright(up) @ poses


def look_at(back: Array, up: Array, position: Array) -> Array:
    """The pose `[3, 4]` that looks along `-back` with `up` upwards, as nearly as it can be."""
    back = back / np.linalg.norm(back)
    right = np.cross(up, back)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back, position], axis=-1)


def mean_pose(poses: Array) -> Array:
    """The pose in the middle of `[num_views, 3, 4]`: mean position, mean view, mean up."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return look_at(poses[:, :, 2].sum(0), poses[:, :, 1].sum(0), poses[:, :, 3].mean(0))


def recentre(poses: Array) -> Array:
    """Moves the world so that the mean pose of `[num_views, 3, 4]` is the identity."""
    mean = mean_pose(poses)
    inverse_rotation = mean[:, :3].T
    moved = poses.copy()
    moved[:, :, 3] -= mean[:, 3]
    return inverse_rotation @ moved
