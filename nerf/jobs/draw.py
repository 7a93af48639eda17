"""Drawing one view of a trained field."""

import operator
from collections.abc import Callable

import numpy as np

from nerf.errors import UserError
from nerf.geometry.cameras import Cameras
from nerf.jobs.trained_field import TrainedField
from nerf.render.images import RenderedImage, render_image
from nerf.render.tiles import ImageRenderer
from nerf.runtime.events import Callback, Progress, log_event
from nerf.scenes.scene import View


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
    on_rays: Callable[[int], None] = lambda num_rays: None,
) -> RenderedImage:
    """Draws one camera's view.

    Args:
      renderer: of a field's parameters.
      camera: one camera, with its bounds.
      on_rays: receives, tile by tile, the number of rays that were added to what is done.
    """
    done = 0

    def progress(num_done: int, _: int) -> None:
        nonlocal done
        on_rays(num_done - done)
        done = num_done

    return render_image(renderer, camera, progress=progress)
