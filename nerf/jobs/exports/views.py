"""Renders the input of meshes, point clouds and depth maps: colour and depth of views."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from nerf.errors import UserError, counted
from nerf.export.cameras import pinhole_views
from nerf.export.depth_views import MIN_ACC, DepthView, depth_view
from nerf.geometry.cameras import Cameras
from nerf.geometry.poses import scale_of
from nerf.jobs.draw import draw
from nerf.jobs.renderers import surface_renderer
from nerf.jobs.trained_field import TrainedField
from nerf.render.images import RenderedImage
from nerf.runtime.events import Callback, Progress

MAX_SIZE = 512  # pixels, the longer side of the rendered views
_FAR_MULTIPLE = 4.0  # of the median depth: what is farther is background


@dataclasses.dataclass(frozen=True)
class SurfaceViews:
    """The views of a field that its surface is made of.

    Attributes:
      views: colour and depth.
      max_depth: scene units; what is farther is left out, inf for nothing.
      median_depth: scene units, of what is not left out.
      pixel: scene units, the median width of a pixel on the surface.
    """

    views: Sequence[DepthView]
    max_depth: float
    median_depth: float
    pixel: float


def surface_views(
    trained: TrainedField,
    *,
    max_size: int = MAX_SIZE,
    max_depth: float | None = None,
    callback: Callback,
) -> SurfaceViews:
    """Renders the training views.

    Args:
      trained: the field, with the cameras of its scene.
      max_size: the longer side of the images in pixels, at most.
      max_depth: what is farther from a camera is left out, in the unit of the capture's files; None
        means four times the median depth, and no limit in a bounded scene.
      callback: receives progress.

    Raises:
      UserError: if nothing is seen.
    """
    record, config = trained.needed_scene(), trained.config.render
    if max_depth is not None and not 0 < max_depth < np.inf:
        raise UserError(f"`max_depth` must be finite and more than 0, not {max_depth}")
    chosen = record.split.train or range(record.num_views)
    cameras = pinhole_views(
        [record.cameras[index] for index in chosen], max_size, pixel_offset=config.pixel_offset
    )
    images = list(render_depth(trained, cameras, callback))
    is_bounded = trained.needed_space().is_bounded
    limit = np.inf if max_depth is None else max_depth * scale_of(record.capture_to_scene)
    depths = np.concatenate([image.depth[image.acc >= MIN_ACC] for image in images])
    if max_depth is None and not is_bounded and len(depths):
        limit = _FAR_MULTIPLE * float(np.median(depths))
    depths = depths[depths <= limit]
    if not len(depths):
        larger = "" if max_depth is None else ", or give a larger `max_depth`"
        raise UserError(f"the training views show no surface: train longer{larger}")
    background = 1.0 if config.background == "white" else 0.0
    views = [
        depth_view(
            camera,
            *image,
            is_bounded=is_bounded,
            pixel_offset=config.pixel_offset,
            max_depth=limit,
            background=background,
        )
        for camera, image in zip(cameras, [(i.depth, i.rgb, i.acc) for i in images], strict=True)
    ]
    median = float(np.median(depths))
    focal = float(np.median([view.focal.mean() for view in views]))
    return SurfaceViews(views, float(limit), median, median / focal)


def render_depth(
    trained: TrainedField, cameras: Sequence[Cameras], callback: Callback
) -> Iterator[RenderedImage]:
    """Renders, one by one, the colour of cameras and the depth of the surface that they see."""
    num_rays = sum(camera.height * camera.width for camera in cameras)
    task = f"depth of {counted(len(cameras), 'view')}"
    with trained.matmul_precision():
        renderer = surface_renderer(trained, cameras, callback)
        with Progress.of(callback, task, total=num_rays, unit="ray") as progress:
            for camera in cameras:
                yield draw(renderer, camera, on_rays=progress.advance)
