"""Drawing one view of a trained field."""

import itertools
import operator
from collections.abc import Callable

import numpy as np

from nerf.errors import UserError
from nerf.geometry.cameras import Cameras
from nerf.jobs.trained_field import TrainedField
from nerf.render.image_renderer import WHOLE_IMAGE, ImageRenderer, ImageShare
from nerf.render.images import RenderedImage, render_image
from nerf.runtime import exchange, processes
from nerf.runtime.events import Callback, Progress, log_event
from nerf.scenes.scene import View

OnRays = Callable[[int], None]
_TILES_BETWEEN_MEETINGS = 8  # of a CPU, a few seconds' work; to meet takes milliseconds


def _ignore(num_rays: int) -> None:
    del num_rays


def render_view(
    trained: TrainedField,
    view: View | Cameras | int | str,
    *,
    size: tuple[int, int] | None = None,
    callback: Callback = log_event,
) -> RenderedImage:
    """Draws a view by the exact renderer.

    Args:
      trained: from `nerf.train`, `nerf.load_run` or `nerf.load_params`.
      view: `scene.view(i)`, `trained.view(i)`, any one camera, or the index or name of a view of
        the scene that the field was trained on.
      size: width and height of the image in pixels; None means the camera's own.
      callback: receives progress.

    Returns:
      rgb `[height, width, 3]`, sRGB in [0, 1]; depth `[height, width]` along the viewing axis in
      scene units; acc `[height, width]`, opacity in [0, 1]; as NumPy arrays.

    Raises:
      UserError: if there is no such view or size, or the parameters do not say which space they
        live in.
    """
    if isinstance(view, int | str):
        view = trained.view(view)
    camera = view.camera if isinstance(view, View) else view
    if not isinstance(camera, Cameras) or np.ndim(camera.focal):
        raise UserError(
            "`view` is one camera: scene.view(0), trained.view(0), an index, or scene.cameras[0]"
        )
    if size is not None:
        camera = camera.resized(*_checked_size(size))
    num_rays = camera.height * camera.width
    with (
        trained.matmul_precision(),
        Progress.of(callback, "rendering", total=num_rays, unit="ray") as progress,
    ):
        return draw(trained.exact_renderer, camera, on_rays=progress.advance)


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of `(width, height)`."""
    try:
        width, height = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise UserError(f"`size` is (width, height) in pixels, not {size!r}") from None
    if min(width, height) < 1:
        raise UserError(f"`size` must be at least 1 pixel a side, not {size!r}")
    return height, width


def draw(
    renderer: ImageRenderer,
    camera: Cameras,
    *,
    on_rays: OnRays = _ignore,
    share: ImageShare = WHOLE_IMAGE,
) -> RenderedImage:
    """Draws one camera's view.

    Args:
      renderer: of a field's parameters.
      camera: one camera, with its bounds.
      on_rays: receives, tile by tile, the number of rays that were added to what is done.
      share: the part of the image that is drawn, see `nerf.render.images.render_image`.
    """
    done = 0

    def progress(num_done: int, _: int) -> None:
        nonlocal done
        on_rays(num_done - done)
        done = num_done

    return render_image(renderer, camera, progress=progress, share=share)


def draw_on_all(
    renderer: ImageRenderer, camera: Cameras, *, on_rays: OnRays = _ignore
) -> RenderedImage:
    """Draws one camera's view; each process of a job draws a share of it.

    All processes call it, with the same camera and parameters, and all get the whole image. Each
    pixel is what one process alone would draw. With one process, it is `draw`.

    Args:
      renderer, camera, on_rays: see `draw`; `on_rays` is called as often in each process.
    """
    share = ImageShare(processes.index(), processes.count())
    if share.num_processes == 1:
        return draw(renderer, camera, on_rays=on_rays)
    tiles = itertools.count(1)

    def report_and_meet(num_rays: int) -> None:
        on_rays(num_rays)
        if next(tiles) % _TILES_BETWEEN_MEETINGS == 0:
            exchange.barrier()  # which fails soon after another process has ended

    image = draw(renderer, camera, on_rays=report_and_meet, share=share)
    shape, num_pixels = (camera.height, camera.width), camera.height * camera.width
    shares = [
        renderer.program.pixels_of(share._replace(process=number), num_pixels)
        for number in range(share.num_processes)
    ]
    values = np.concatenate(
        [image.rgb, image.depth[..., None], image.acc[..., None]], axis=-1
    ).reshape(num_pixels, -1)
    own = np.zeros((max(map(len, shares)), values.shape[-1]), np.float32)
    own[: len(shares[share.process])] = values[shares[share.process]]
    for pixels, found in zip(shares, exchange.all_gather(own), strict=True):
        values[pixels] = found[: len(pixels)]
    rgb, depth, acc = values[:, :3], values[:, 3], values[:, 4]
    return RenderedImage(
        np.ascontiguousarray(rgb).reshape(*shape, 3),
        np.ascontiguousarray(depth).reshape(shape),
        np.ascontiguousarray(acc).reshape(shape),
    )
