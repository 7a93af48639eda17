"""A held-out view, drawn and scored while a field is trained."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerf.captures.images.files import shrink
from nerf.field import Params
from nerf.geometry.cameras import Cameras
from nerf.jobs.draw import draw_on_all
from nerf.jobs.renderers import preview_renderer
from nerf.jobs.scoring.held_out_exposure import fit_exposure
from nerf.jobs.scoring.scores import Uncorrected, psnr_and_ssim
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.training_run.options import TrainOptions
from nerf.output.images import turned
from nerf.render.image_renderer import ImageRenderer
from nerf.render.images import RenderedImage
from nerf.runs.store import OpenStore
from nerf.runtime import events, processes
from nerf.runtime.events import Callback
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene, View
from nerf.training.loop import TEST_PSNR, ShouldStopFn
from nerf.training.state import TrainState

MAX_PIXELS = 2**17  # about 418 x 313
_MIN_PIXELS = 2**12  # where time is short; fewer show nothing
_ALL = 0.999  # of a pixel's area
_HEIGHT, _WIDTH = "test_height", "test_width"


@dataclasses.dataclass
class PreviewRenderer:
    """Draws and scores the middle one of the held-out views, smaller where it is large.

    Attributes:
      fresh: the field that is trained.
      scene: with the images to score against.
      store: keeps the images.
      callback: receives them.
      should_stop: asked between two tiles of the image; of several processes, each asks as often,
        and all get the same answer.
      options: which renderer is used, and whether values are checked.
      size: height and width of the previews, the same for all of a run, so that their scores can
        be compared; None before the first one is drawn.
      planned: what the size is going to be if the next preview is the first one.
    """

    fresh: TrainedField
    scene: Scene
    store: OpenStore
    callback: Callback
    should_stop: ShouldStopFn
    options: TrainOptions
    size: tuple[int, int] | None = None
    planned: tuple[int, int] | None = None

    def plan(self, rays_per_second: float, seconds: float) -> float:
        """Chooses the size of the previews before the first one, by the time for rendering.

        Args:
          rays_per_second: at which rays are rendered at least.
          seconds: that a preview may take.

        Returns:
          The seconds that a preview takes at that rate.
        """
        self.planned = size_within(self._whole_camera, int(rays_per_second * seconds))
        height, width = self.size or self.planned
        return height * width / rays_per_second

    @functools.cached_property
    def _view(self) -> View:
        return self.scene.view(preview_index(self.fresh.needed_scene()))

    @functools.cached_property
    def _whole_camera(self) -> Cameras:
        """The camera of the view itself."""
        return self.scene.cameras[preview_index(self.fresh.needed_scene())]

    @functools.cached_property
    def _camera(self) -> Cameras:
        """The camera of the previews, of their size."""
        camera = self._whole_camera
        self.size = self.size or self.planned or size_within(camera, MAX_PIXELS)
        if self.size == (camera.height, camera.width):
            return camera
        return camera.shrunk(*self.size, pixel_offset=self.fresh.config.render.pixel_offset)

    @functools.cached_property
    def _truth(self) -> npt.NDArray[np.float32]:
        """The view's own image, scaled down by area to the size of the previews."""
        image, (height, width) = self._view.image, (self._camera.height, self._camera.width)
        assert image is not None
        return image if image.shape[:2] == (height, width) else shrink(image, height, width)

    @functools.cached_property
    def _mask(self) -> npt.NDArray[np.bool_] | None:
        """The pixels that are scored: those that cover only used pixels of the view's own image."""
        mask, (height, width) = self._view.mask, (self._camera.height, self._camera.width)
        if mask is None or mask.shape == (height, width):
            return mask
        return shrink(mask[..., None].astype(np.float32), height, width)[..., 0] > _ALL

    @functools.cached_property
    def _prepare(self) -> Callable[[Params], ImageRenderer]:
        """Makes a renderer for the current parameters; compiled when it is first needed."""
        return preview_renderer(
            self.fresh,
            self.scene,
            self._camera,
            self.options.renderer,
            debug=self.options.debug,
        )

    def evaluate(self, state: TrainState) -> dict[str, float] | None:
        """Held-out PSNR and SSIM of the view; None if training was asked to stop.

        In a job of several processes all call it, and the first one scores the view.
        """

        def check_stop(_: int) -> None:
            if self.should_stop():
                raise InterruptedError

        try:
            renderer = self._prepare(state.params)
            image = draw_on_all(renderer, self._camera, on_rays=check_stop)
        except InterruptedError:
            return None
        if not processes.is_first():
            return None
        step, index, truth = int(state.step), self._view.index, self._truth
        psnr, ssim = self._scores(image)
        whole = self._view.camera.height, self._view.camera.width
        shown, turns = turned(image.rgb, self._view.turns), self._view.turns
        whole = whole[::-1] if turns % 2 else whole
        self.store.write_preview(step, index, shown)
        self.callback(events.Preview(step, index, shown, psnr, ssim, whole, self._view.name))
        scores = {TEST_PSNR: psnr, "test_ssim": ssim}
        height, width = truth.shape[:2]
        is_whole = (height, width) == (self._view.camera.height, self._view.camera.width)
        return scores if is_whole else scores | {_HEIGHT: height, _WIDTH: width}

    def _scores(self, image: RenderedImage) -> Uncorrected:
        """PSNR and SSIM of the view; with its own exposure where exposure is corrected."""
        if self.fresh.config.train.exposure == "on":
            exposure_fit = fit_exposure(self.scene, image, self._truth, self._mask)
            if exposure_fit.is_fitted:
                mask = exposure_fit.scored_mask(self._mask)
                return psnr_and_ssim(
                    exposure_fit.scored(exposure_fit.rgb), exposure_fit.scored(self._truth), mask
                )
        return psnr_and_ssim(image.rgb, self._truth, self._mask)


def size_within(camera: Cameras, max_pixels: int) -> tuple[int, int]:
    """Height and width of a camera's image, scaled down to about `max_pixels` pixels.

    Args:
      camera: one camera.
      max_pixels: taken for `MAX_PIXELS` if it is more, and for 4096 if it is less.
    """
    height, width = camera.height, camera.width
    max_pixels = min(max(max_pixels, _MIN_PIXELS), MAX_PIXELS)
    scale = min(1.0, (max_pixels / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def size_before(lines: Sequence[Mapping[str, Any]], camera: Cameras) -> tuple[int, int] | None:
    """Height and width of a run's earlier previews, from its metrics; None without any."""
    for line in reversed(lines):
        if TEST_PSNR in line:
            return int(line.get(_HEIGHT, camera.height)), int(line.get(_WIDTH, camera.width))
    return None


def preview_index(scene: SceneRecord) -> int:
    """The index of the held-out view that is drawn during training; of a training view if none is
    held out, and nothing drawn.
    """
    views = scene.split.test or scene.split.train
    return views[len(views) // 2]
