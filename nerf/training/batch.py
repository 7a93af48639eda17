"""The views that are trained on, and the pixels and rays that a step draws from them."""

import dataclasses
import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nerf.config.settings import Background, RenderConfig
from nerf.geometry.cameras import Cameras, pixel_cameras
from nerf.geometry.rays import Rays, scene_rays
from nerf.geometry.spaces import Space
from nerf.training.depth_batch import DepthPixels, DepthTable

# What each 8-bit level is in [0, 1]. A table, since a compiler would multiply by 1 / 255 instead.
_LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)


class PixelLayout(NamedTuple):
    """Where the pixels of the training views are in an array of pixels.

    Attributes:
      offsets: `[num_views]` int32, the index of the first pixel of each view.
      heights, widths: `[num_views]` int32, in pixels; each row follows the one above it.
    """

    offsets: jax.Array | npt.NDArray[np.int32]
    heights: jax.Array | npt.NDArray[np.int32]
    widths: jax.Array | npt.NDArray[np.int32]


class PixelRuns(NamedTuple):
    """Runs of neighbouring pixels in an array of pixels: those that are drawn from.

    Attributes:
      starts: `[num_runs]` int32, the index of the first pixel of each run, ascending.
      totals: `[num_runs]` int32, the number of pixels in the runs up to and with each.
    """

    starts: jax.Array | npt.NDArray[np.int32]
    totals: jax.Array | npt.NDArray[np.int32]


class PixelShare(NamedTuple):
    """The pixels that one process of a job has; the training pixels are in strata.

    Attributes:
      num_strata: see `draw_pixels`.
      first: the number of its first pixel, among those of all training views.
    """

    num_strata: int
    first: int


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("pixels", "layout", "cameras", "mask", "depths"),
    meta_fields=("background", "has_opacity", "share"),
)
@dataclasses.dataclass(frozen=True, eq=False)
class TrainingViews:
    """The views that rays are drawn from.

    Attributes:
      pixels: `[num_pixels, 3]` uint8, sRGB, or `[num_pixels, 4]` with alpha; also of views that are
        not trained on.
      layout: which of the pixels belong to the training views.
      cameras: `[num_views]`, of the training views.
      background: the colour behind transparent pixels; None if alpha is not used.
      has_opacity: whether alpha is the opacity of the scene.
      mask: the pixels of the training views that are drawn from; None for all.
      depths: known depths of the training views; None where there are none, or they are not used.
      share: which of the pixels of the training views are in `pixels`; None for all.
    """

    pixels: jax.Array | npt.NDArray[np.uint8]
    layout: PixelLayout
    cameras: Cameras
    background: Background | None = "black"
    has_opacity: bool = False
    mask: PixelRuns | None = None
    depths: DepthTable | None = None
    share: PixelShare | None = None

    @property
    def num_rays(self) -> int:
        """The number of pixels to draw from."""
        if self.mask is not None:
            return int(self.mask.totals[-1])
        return int(np.sum(np.asarray(self.layout.heights, np.int64) * self.layout.widths))


class DrawnPixels(NamedTuple):
    """The pixels of a step.

    Attributes:
      view: `[num_rays]` int32, the index of the camera.
      row, column: `[num_rays]` int32.
      position: `[num_rays]` int32, where the pixel is in `TrainingViews.pixels`.
      ray_keys: `[num_rays]`, one random key a ray.
    """

    view: jax.Array
    row: jax.Array
    column: jax.Array
    position: jax.Array
    ray_keys: jax.Array


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("view", "row", "column", "ray_keys", "pixels", "depths"),
    meta_fields=("background", "has_opacity"),
)
@dataclasses.dataclass(frozen=True, eq=False)
class PixelBatch:
    """What a step is given: pixels, and their colours as they are stored.

    Attributes:
      view, row, column, ray_keys: `[num_rays]`, see `DrawnPixels`.
      pixels: `[num_rays, 3 or 4]` uint8.
      background, has_opacity: see `TrainingViews`.
      depths: `[num_depth_rays]`, further pixels whose depth is known; None without.
    """

    view: jax.Array
    row: jax.Array
    column: jax.Array
    ray_keys: jax.Array
    pixels: jax.Array
    background: Background | None = "black"
    has_opacity: bool = False
    depths: DepthPixels | None = None

    def every(self, step: int) -> "PixelBatch":
        """One pixel in every `step`, without those of known depth."""
        names = "view", "row", "column", "ray_keys", "pixels"
        some = {name: getattr(self, name)[::step] for name in names}
        return dataclasses.replace(self, **some, depths=None)


class Batch(NamedTuple):
    """Rays and the pixels that they should show.

    Attributes:
      rays: `[num_rays]`.
      rgb: `[num_rays, 3]`, sRGB in [0, 1]; colours of transparent images lie over the background.
      ray_keys: `[num_rays]`, one random key a ray.
      alpha: `[num_rays]`, in [0, 1], of transparent images; else None.
      log_gains: `[num_rays, 3]`, of the views' cameras, see `nerf.corrections.exposure`; None
        without correction.
      progress: `[num_rays]`, the share of the run that is over, where the loss depends on it.
    """

    rays: Rays
    rgb: jax.Array
    ray_keys: jax.Array
    alpha: jax.Array | None = None
    log_gains: jax.Array | None = None
    progress: jax.Array | None = None


def draw_pixels(
    key: jax.Array,
    layout: PixelLayout,
    num_rays: int,
    mask: PixelRuns | None = None,
    num_strata: int = 1,
) -> DrawnPixels:
    """Draws pixels uniformly from all pixels of all views, with replacement.

    The pixels, in their order, are cut into `num_strata` equal parts, and so are the rays: those of
    each part are drawn uniformly from its pixels. A pixel on a border belongs to both parts, to
    each with its share. On average, each pixel is thus drawn as often as without strata, and the
    mean of a loss over the rays has the same expectation.

    Args:
      key: for the pixels and for the rays' own keys.
      layout: of at least one view; with `mask`, by ascending offsets.
      num_rays: the number of rays, a multiple of `num_strata`.
      mask: the pixels to draw from; None for all.
      num_strata: 1 where there is a mask.
    """
    offsets, heights, widths = (jnp.asarray(x) for x in layout)
    chex.assert_equal_shape([offsets, heights, widths])
    ends = jnp.cumsum(heights * widths)
    pixel_key, ray_key = jax.random.split(key)
    number = jax.random.randint(pixel_key, (num_rays,), 0, ends[-1])
    if num_strata > 1:
        assert mask is None
        number = in_strata(number, ends[-1], num_strata)
    view = jnp.searchsorted(ends, number, side="right")
    position = offsets[view] + number - (ends - heights * widths)[view]
    if mask is not None:
        position = _replace_masked(jax.random.fold_in(pixel_key, 1), position, mask)
        view = jnp.searchsorted(offsets, position, side="right") - 1
    row, column = jnp.divmod(position - offsets[view], widths[view])
    return DrawnPixels(view, row, column, position, jax.random.split(ray_key, num_rays))


def in_strata(number: jax.Array, total: jax.Array, num_strata: int) -> jax.Array:
    """The pixel (s N + r) // S of each ray, of N pixels in S strata.

    Args:
      number: `[num_rays]` int32, r, uniform from 0 to N - 1. The first rays are of the first
        stratum, and so on.
      total: `[]` int32, N.
      num_strata: S, a divisor of the number of rays.

    >>> in_strata(jnp.array([0, 2, 0, 2]), jnp.int32(3), 2).tolist()
    [0, 1, 1, 2]
    """
    (num_rays,) = number.shape
    stratum = jnp.arange(num_rays, dtype=number.dtype) // (num_rays // num_strata)
    whole, rest = jnp.divmod(total, num_strata)  # s N itself may be more than an int32 holds
    return stratum * whole + (stratum * rest + number) // num_strata


def pixels_of_strata(first: int, end: int, num_strata: int, total: int) -> tuple[int, int]:
    """The first pixel of some strata, and the one after their last.

    Args:
      first, end: the strata are `first` to `end - 1`.
      num_strata: how many there are.
      total: the number of all pixels.

    >>> pixels_of_strata(0, 1, 2, 3), pixels_of_strata(1, 2, 2, 3)
    ((0, 2), (1, 3))
    """
    return first * total // num_strata, (end * total - 1) // num_strata + 1


def _replace_masked(key: jax.Array, position: jax.Array, mask: PixelRuns) -> jax.Array:
    """Pixels, in which those that the mask leaves out are replaced by others, drawn uniformly.

    Where pixels were uniform over all, the result is uniform over those of the mask; and a mask
    changes nothing but the rays that it leaves out.

    Args:
      key: for the new pixels.
      position: `[num_rays]`, indices of pixels.
      mask: at least one run.
    """
    starts, totals = (jnp.asarray(x) for x in mask)
    chex.assert_equal_shape([starts, totals])
    firsts = jnp.concatenate([jnp.zeros(1, totals.dtype), totals[:-1]])
    last = jnp.searchsorted(starts, position, side="right") - 1
    is_used = (last >= 0) & (position - starts[last] < (totals - firsts)[last])
    number = jax.random.randint(key, position.shape, 0, totals[-1])
    run = jnp.searchsorted(totals, number, side="right")
    return jnp.where(is_used, position, starts[run] + number - firsts[run])


def with_colours(drawn: DrawnPixels, pixels: jax.Array, views: TrainingViews) -> PixelBatch:
    """The batch of some drawn pixels.

    Args:
      drawn: which pixels.
      pixels: `[num_rays, 3 or 4]` uint8, `views.pixels` at their indices.
      views: where they were drawn from.
    """
    return PixelBatch(
        drawn.view,
        drawn.row,
        drawn.column,
        drawn.ray_keys,
        pixels,
        views.background,
        views.has_opacity,
    )


def draw_batch(key: jax.Array, views: TrainingViews, num_rays: int) -> PixelBatch:
    """`draw_pixels` and their colours, where the images are on the device."""
    drawn = draw_pixels(key, views.layout, num_rays, views.mask)
    colours = jnp.asarray(views.pixels).at[drawn.position].get(mode="promise_in_bounds")
    return with_colours(drawn, colours, views)


def colours_and_opacity(batch: PixelBatch) -> tuple[jax.Array, jax.Array | None]:
    """Colours `[num_rays, 3]` over the background, and opacity `[num_rays]` where it is known."""
    levels = jnp.asarray(_LEVELS).at[batch.pixels].get(mode="promise_in_bounds")
    if batch.pixels.shape[-1] == 3 or batch.background is None:
        return levels[:, :3], None
    rgb, alpha = levels[:, :3], levels[:, 3:]
    background = {"black": 0.0, "white": 1.0}[batch.background]
    return rgb * alpha + background * (1.0 - alpha), alpha[:, 0] if batch.has_opacity else None


def make_batch(
    pixels: PixelBatch, cameras: Cameras, *, space: Space, config: RenderConfig
) -> Batch:
    """The rays through pixels, and their colours.

    Args:
      pixels: `[num_rays]`.
      cameras: `[num_views]`.
      space: the space that the field lives in.
      config: pixel and direction conventions.
    """
    rays = rays_through(pixels, cameras, space, config)
    rgb, alpha = colours_and_opacity(pixels)
    return Batch(rays, rgb, pixels.ray_keys, alpha)


def rays_through(pixels: PixelBatch, cameras: Cameras, space: Space, config: RenderConfig) -> Rays:
    """The rays of `make_batch`."""
    return rays_at(pixel_cameras(cameras, pixels.view), pixels, space, config)


def rays_at(at_pixels: Cameras, pixels: PixelBatch, space: Space, config: RenderConfig) -> Rays:
    """The rays through pixels of cameras `[num_rays]`."""
    return scene_rays(
        pixels.column,
        pixels.row,
        at_pixels,
        space,
        viewdir_space=config.viewdir_space,
        pixel_offset=config.pixel_offset,
    )


def sample_batch(
    key: jax.Array, views: TrainingViews, *, num_rays: int, space: Space, config: RenderConfig
) -> Batch:
    """`draw_batch`, then `make_batch`: what a step with this key trains on."""
    return make_batch(draw_batch(key, views, num_rays), views.cameras, space=space, config=config)
