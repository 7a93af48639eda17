"""Drawing one view of a trained field."""

from collections.abc import Callable

from nerf.geometry.cameras import Cameras
from nerf.jobs.trained_field import TrainedField
from nerf.render.images import ChunkFn, RenderedImage, render_image
from nerf.runtime.events import Callback, Progress, log_event
from nerf.scenes.scene import View


def render_view(
    trained: TrainedField,
    view: View | Cameras,
    *,
    size: tuple[int, int] | None = None,
    callback: Callback = log_event,
) -> RenderedImage:
    """Draws a view by the exact renderer.

    Args:
      trained: from `nerf.train`, `nerf.load_run` or `nerf.load_params`.
      view: `scene.view(i)`, `trained.view(i)`, or any one camera.
      size: width and height of the image in pixels; None means the camera's own.
      callback: receives progress.

    Returns:
      rgb `[height, width, 3]`, sRGB in [0, 1]; depth `[height, width]` along the viewing axis in
      scene units; acc `[height, width]`, opacity in [0, 1]; as NumPy arrays.

    Raises:
      UserError: if the parameters do not say which space they live in.
    """
    camera = view.camera if isinstance(view, View) else view
    if size is not None:
        width, height = size
        camera = camera.resized(height, width)
    num_rays = camera.height * camera.width
    with (
        trained.matmul_precision(),
        Progress.of(callback, "rendering", total=num_rays, unit="ray") as progress,
    ):
        return draw(trained, camera, trained.exact_renderer, on_rays=progress.advance)


def draw(
    trained: TrainedField,
    camera: Cameras,
    chunk_fn: ChunkFn,
    *,
    on_rays: Callable[[int], None] = lambda num_rays: None,
) -> RenderedImage:
    """Draws one camera's view.

    Args:
      trained: whose parameters, space and settings count.
      camera: one camera, with its bounds.
      chunk_fn: a compiled renderer of chunks of rays.
      on_rays: receives the number of rays that were added to what is done.
    """
    done = 0

    def progress(num_done: int, _: int) -> None:
        nonlocal done
        on_rays(num_done - done)
        done = num_done

    return render_image(
        chunk_fn,
        trained.params,
        camera,
        space=trained.needed_space(),
        config=trained.config.render,
        progress=progress,
    )
