"""Which renderer is used for which purpose: exact for scores, fast for images to look at.

The fast renderer (`nerf.render.fast`) places samples by a grid of densities. Making the grid, and
finding how few samples suffice, takes time; so it is used only where it saves more than it costs.
"""

import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.field import Params
from nerf.geometry.cameras import Cameras, stack_cameras
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.training_run.scene_box import scene_box
from nerf.render import fast
from nerf.render.fast import SamplingChoice
from nerf.render.image_renderer import ImageRenderer, TileProgram
from nerf.render.images import DepthKind, make_exact_program
from nerf.runtime import exchange
from nerf.runtime.events import Callback, say
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene

RenderMethod = Literal["exact", "fast"]

# Below these numbers of network evaluations, preparing the fast renderer takes longer than it
# saves: searching for the number of samples, or compiling a renderer for previews.
_MIN_EVALUATIONS = 2**23
_MIN_PREVIEW_EVALUATIONS = 2**21
_GRID_FRACTION = 0.025  # of the cost of the exact images, for the grid
_RESOLUTIONS = (fast.RESOLUTION, (128, 128, 96), (96, 96, 64), (64, 64, 48))
_PREVIEW_SAMPLING = fast.FastSampling(64)
_COMPARED_RAYS = 4096


class Renderer(NamedTuple):
    """A renderer with the parameters of a field, and which one it is."""

    renderer: ImageRenderer
    method: RenderMethod


def exact_renderer(trained: TrainedField, *, debug: bool = False) -> Renderer:
    """The exact renderer; with `debug`, values are checked."""
    return Renderer(
        _debug_program(trained).with_params(trained.params) if debug else trained.exact_renderer,
        "exact",
    )


def _debug_program(trained: TrainedField) -> TileProgram:
    return make_exact_program(
        trained.field, trained.config.render, trained.needed_space(), debug=True
    )


def scoring_renderer(
    trained: TrainedField,
    scene: Scene,
    cameras: Sequence[Cameras],
    method: RenderMethod,
    callback: Callback,
    *,
    debug: bool = False,
) -> Renderer:
    """The renderer for scoring held-out views: exact unless `method` is `fast`.

    Args:
      trained: what is scored.
      scene: with photographs.
      cameras: of the views that will be rendered.
      method: the renderer that is asked for.
      callback: receives what is chosen, and why.
      debug: whether values are checked, which the exact renderer does.
    """
    exact = exact_renderer(trained, debug=debug)
    if method == "exact":
        return exact
    _say_why_exact(trained, callback)
    return exact if debug else _fast_or_exact(exact, trained, scene, cameras, callback)


def video_renderer(
    trained: TrainedField,
    scene: Scene | None,
    cameras: Sequence[Cameras],
    method: RenderMethod | None,
    callback: Callback,
    *,
    debug: bool = False,
) -> Renderer:
    """The renderer for a video: fast where that pays, unless `method` is `exact`.

    Args:
      trained: what is drawn.
      scene: with photographs to compare with; may be None.
      cameras: one a frame.
      method: the renderer that is asked for; None leaves the choice.
      callback: receives what is chosen, and why.
      debug: whether values are checked, which the exact renderer does.
    """
    exact = exact_renderer(trained, debug=debug)
    if method == "exact" or debug:
        return exact
    if method == "fast":
        _say_why_exact(trained, callback)
    return _fast_or_exact(exact, trained, scene, cameras, callback)


def surface_renderer(
    trained: TrainedField, cameras: Sequence[Cameras], callback: Callback
) -> ImageRenderer:
    """The renderer for surfaces: its depth is that of the surface that adds most light.

    Args:
      trained: what is drawn.
      cameras: of the views that will be rendered.
      callback: receives what is chosen, and why.
    """
    chosen = _fast_or_exact(exact_renderer(trained), trained, None, cameras, callback, "peak")
    if chosen.method == "fast":
        return chosen.renderer
    program = make_exact_program(
        trained.field, trained.config.render, trained.needed_space(), depth="peak"
    )
    return program.with_params(trained.params)


def preview_renderer(
    fresh: TrainedField,
    scene: Scene,
    camera: Cameras,
    method: str | None,
    *,
    debug: bool = False,
) -> Callable[[Params], ImageRenderer]:
    """The renderer for one view while its field is still in training.

    Args:
      fresh: what is trained.
      scene: whose cameras bound the grid of densities.
      camera: of the view.
      method: `exact` or `fast`; None leaves the choice.
      debug: whether values are checked, which the exact renderer does.

    Returns:
      A function of the current parameters.
    """
    num_pixels = camera.height * camera.width
    worthwhile = _is_worthwhile(fresh, num_pixels, _MIN_PREVIEW_EVALUATIONS)
    if method == "exact" or debug or not worthwhile:
        return (_debug_program(fresh) if debug else fresh.exact_program).with_params
    config = fresh.config.render
    box = scene_box(scene.space, config, scene.cameras)
    build = fast.make_density_grid_builder(fresh.field, config, box, _resolution(fresh, num_pixels))
    program = fast.make_fast_program(fresh.field, config, scene.space, _PREVIEW_SAMPLING)
    return lambda params: program.with_params((params, build(params)))


def _fast_or_exact(
    exact: Renderer,
    trained: TrainedField,
    scene: Scene | None,
    cameras: Sequence[Cameras],
    callback: Callback,
    depth: DepthKind = "mean",
) -> Renderer:
    """The fast renderer with the fewest samples that suffice; the exact one where none do."""
    num_pixels = sum(camera.height * camera.width for camera in cameras)
    if not _is_worthwhile(trained, num_pixels, _MIN_EVALUATIONS):
        return exact
    start = time.monotonic()
    config, params = trained.config.render, trained.params
    record = trained.needed_scene()
    box = scene_box(trained.needed_space(), config, stack_cameras(cameras), record.cameras)
    resolution = _resolution(trained, num_pixels)
    grid = fast.make_density_grid_builder(trained.field, config, box, resolution)(params)

    def choose() -> SamplingChoice:
        pixels, truth = compared_pixels(record, scene)
        return fast.choose_sampling(
            trained.field, params, config, grid, pixels, exact.renderer, record.space, truth
        )

    choice = SamplingChoice.of(exchange.broadcast_value(exchange.call_on_first(choose)))
    num_samples, seconds = choice.sampling.num_samples, time.monotonic() - start
    found = f"images are {choice.psnr:.1f} dB from exact ones, found in {seconds:.0f} s"
    if not choice.suffices:
        say(callback, f"rendering exactly: with {num_samples} samples a ray {found}")
        return exact
    instead = f"instead of {config.evaluations_per_ray}"
    say(callback, f"rendering fast, with {num_samples} samples a ray {instead}: {found}")
    program = fast.make_fast_program(
        trained.field, config, record.space, choice.sampling, depth=depth
    )
    return Renderer(program.with_params((params, grid)), "fast")


def _say_why_exact(trained: TrainedField, callback: Callback) -> None:
    """Says why the fast renderer, which was asked for, cannot be used."""
    if trained.config.render.networks == "proposal":
        say(callback, "rendering exactly: the field's own proposal places the samples already")
    elif not trained.needed_space().has_straight_rays:
        say(callback, "rendering exactly: rays are not straight in contracted space")


def _is_worthwhile(trained: TrainedField, num_pixels: int, min_evaluations: int) -> bool:
    """Whether the fast renderer saves more than it costs.

    A proposal places the samples already, and rays that are not straight are rendered exactly.
    """
    only_exact = (
        trained.config.render.networks == "proposal" or not trained.needed_space().has_straight_rays
    )
    return not only_exact and _evaluations(trained, num_pixels) >= min_evaluations


def _evaluations(trained: TrainedField, num_pixels: int) -> int:
    """Network evaluations of the exact renderer."""
    return num_pixels * trained.config.render.evaluations_per_ray


def _resolution(trained: TrainedField, num_pixels: int) -> tuple[int, int, int]:
    budget = _GRID_FRACTION * _evaluations(trained, num_pixels)
    fit = [resolution for resolution in _RESOLUTIONS if np.prod(resolution) <= budget]
    return fit[0] if fit else _RESOLUTIONS[-1]


def compared_pixels(
    record: SceneRecord, scene: Scene | None
) -> tuple[list[tuple[Cameras, npt.NDArray[np.int32]]], npt.NDArray[np.float32] | None]:
    """Some pixels of the held-out views, or of all if none is held out; always the same.

    Pixels that a mask leaves out are not among them.

    Returns:
      Cameras with the indices of pixels of each, and the colours `[num_pixels, 3]` of all these
      pixels where there are images.
    """
    views = record.split.test or record.split.train
    sizes = np.asarray(record.cameras.image_sizes, np.int64)[list(views)]
    ends = np.cumsum(sizes.prod(axis=1))
    index = np.sort(np.random.default_rng(0).choice(ends[-1], _COMPARED_RAYS))
    view_numbers = np.searchsorted(ends, index, side="right")
    indices = index - np.array([0, *ends])[view_numbers]
    pixels, colours = [], []
    for number, view in enumerate(views):
        chosen = indices[view_numbers == number].astype(np.int32)
        if scene is not None:
            image, mask = scene.view(view).image, scene.view(view).mask
            assert image is not None
            chosen = chosen if mask is None else chosen[mask.reshape(-1)[chosen]]
            colours.append(image.reshape(-1, 3)[chosen])
        pixels.append((record.cameras[view], chosen))
    return pixels, None if scene is None else np.concatenate(colours)
