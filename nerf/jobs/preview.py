"""A held-out view, drawn and scored while a field is trained."""

import dataclasses
import functools
from collections.abc import Callable

from nerf.field import Params
from nerf.jobs.draw import draw
from nerf.jobs.renderers import preview_renderer
from nerf.jobs.train_options import TrainOptions
from nerf.jobs.trained_field import TrainedField
from nerf.render import image_metrics
from nerf.render.tiles import ImageRenderer
from nerf.runs.store import OpenStore
from nerf.runtime import events
from nerf.runtime.events import Callback
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene, View
from nerf.training.loop import TEST_PSNR, AskFn
from nerf.training.step import TrainState


@dataclasses.dataclass(frozen=True)
class Preview:
    """Draws and scores the middle one of the held-out views.

    Attributes:
      fresh: the field that is trained.
      scene: with the images to score against.
      store: keeps the images.
      callback: receives them.
      should_stop: asked between two tiles of the image.
      options: which renderer is used, and whether values are checked.
    """

    fresh: TrainedField
    scene: Scene
    store: OpenStore
    callback: Callback
    should_stop: AskFn
    options: TrainOptions

    @functools.cached_property
    def _view(self) -> View:
        return self.scene.view(preview_index(self.fresh.needed_scene()))

    @functools.cached_property
    def _prepare(self) -> Callable[[Params], ImageRenderer]:
        """Makes a renderer for the current parameters; compiled when it is first needed."""
        return preview_renderer(
            self.fresh,
            self.scene,
            self._view.camera,
            self.options.renderer,
            debug=self.options.debug,
        )

    def evaluate(self, state: TrainState) -> dict[str, float] | None:
        """Held-out PSNR and SSIM of the view; None if training was asked to stop."""

        def check_stop(_: int) -> None:
            if self.should_stop():
                raise InterruptedError

        try:
            renderer = self._prepare(state.params)
            image = draw(renderer, self._view.camera, on_rays=check_stop)
        except InterruptedError:
            return None
        truth = self._view.image
        assert truth is not None
        step = int(state.step)
        psnr, ssim = image_metrics.psnr(image.rgb, truth), image_metrics.ssim(image.rgb, truth)
        self.store.write_preview(step, self._view.index, image.rgb)
        self.callback(events.Preview(step, self._view.index, image.rgb, psnr, ssim))
        return {TEST_PSNR: psnr, "test_ssim": ssim}


def preview_index(scene: SceneRecord) -> int:
    """The index of the held-out view that is drawn during training."""
    held_out = scene.split.test
    return held_out[len(held_out) // 2]
