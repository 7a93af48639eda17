"""A held-out view, drawn and scored while a field is trained."""

from collections.abc import Callable

from nerf.field import Params
from nerf.jobs.draw import draw
from nerf.jobs.renderers import preview_renderer
from nerf.jobs.trained_field import TrainedField
from nerf.render import image_metrics
from nerf.render.images import ChunkFn
from nerf.runs.store import OpenStore
from nerf.runtime import events
from nerf.runtime.events import Callback
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene
from nerf.training.loop import TEST_PSNR, AskFn
from nerf.training.step import TrainState


class Preview:
    """Draws the middle one of the held-out views; its renderer is made when it is first needed.

    Args:
      fresh: the field that is trained.
      scene: with the images to score against.
      store: keeps the images.
      callback: receives them.
      should_stop: asked between two chunks of rays.
      renderer: `exact` or `fast`; None means fast where that pays.
      debug: whether values are checked.
    """

    def __init__(
        self,
        fresh: TrainedField,
        scene: Scene,
        store: OpenStore,
        callback: Callback,
        should_stop: AskFn,
        *,
        renderer: str | None,
        debug: bool,
    ):
        self._fresh = fresh
        self._view = scene.view(preview_index(fresh.needed_scene()))
        self._scene = scene
        self._store = store
        self._callback = callback
        self._should_stop = should_stop
        self._renderer = renderer
        self._debug = debug
        self._prepare: Callable[[Params], ChunkFn] | None = None

    def evaluate(self, state: TrainState) -> dict[str, float] | None:
        """Held-out PSNR and SSIM of the view; None if it was told to stop."""
        if self._prepare is None:
            self._prepare = preview_renderer(
                self._fresh, self._scene, self._view.camera, self._renderer, debug=self._debug
            )

        def check_stop(_: int) -> None:
            if self._should_stop():
                raise InterruptedError

        try:
            chunk_fn = self._prepare(state.params)
            trained = self._fresh.with_params(state.params, int(state.step))
            image = draw(trained, self._view.camera, chunk_fn, on_rays=check_stop)
        except InterruptedError:
            return None
        truth = self._view.image
        assert truth is not None
        step = int(state.step)
        psnr, ssim = image_metrics.psnr(image.rgb, truth), image_metrics.ssim(image.rgb, truth)
        self._store.write_preview(step, self._view.index, image.rgb)
        self._callback(events.Preview(step, self._view.index, image.rgb, psnr, ssim))
        return {TEST_PSNR: psnr, "test_ssim": ssim}


def preview_index(scene: SceneRecord) -> int:
    """The index of the held-out view that is drawn during training."""
    held_out = scene.split.test
    return held_out[len(held_out) // 2]
