"""Rendering the views of a job, with progress."""

import time
from collections.abc import Callable

import tqdm

from nerf.field import Params
from nerf.geometry.cameras import Cameras
from nerf.jobs.job import Job
from nerf.render.images import ChunkFn, RenderedImage, render_image
from nerf.runtime.progress import progress_bar


def render_view(
    job: Job,
    render_chunk: ChunkFn,
    params: Params,
    camera: Cameras,
    on_rays: Callable[[int], None] = lambda num_rays: None,
) -> RenderedImage:
    """Renders one view.

    Args:
      job: whose scene and settings count.
      render_chunk: from `nerf.render.images.make_chunk_renderer`.
      params: the parameters.
      camera: one camera, whose size is that of the image.
      on_rays: told how many rays more are done.
    """
    done = 0

    def progress(num_done: int, _: int) -> None:
        nonlocal done
        on_rays(num_done - done)
        done = num_done

    return render_image(
        render_chunk,
        params,
        camera,
        space=job.scene.space,
        config=job.config.render,
        progress=progress,
    )


def render_with_progress(
    job: Job,
    render_chunk: ChunkFn,
    params: Params,
    camera: Cameras,
    number: int,
    bar: "tqdm.tqdm[None]",
) -> RenderedImage:
    """`render_view`, with its rays on a bar."""
    start = time.monotonic()
    image = render_view(job, render_chunk, params, camera, bar.update)
    bar.set_postfix_str(f"no. {number} took {time.monotonic() - start:.1f} s", refresh=False)
    return image


def ray_progress_bar(what: str, num_pixels: int) -> "tqdm.tqdm[None]":
    """A bar that counts rays."""
    return progress_bar(total=num_pixels, desc=what, unit="ray", unit_scale=True)
