"""Scores of views and of a scene, and their JSON form."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from nerf.jobs.renderers import RenderMethod
from nerf.render import image_metrics
from nerf.render.flip import flip
from nerf.render.images import RenderedImage
from nerf.render.multiscale_ssim import ms_ssim
from nerf.scenes.scene import Scene, Split, View


@dataclasses.dataclass(frozen=True)
class ViewScore:
    """The scores of one view.

    Attributes:
      index, name: which view.
      psnr: dB.
      ssim: by dm-pix, see `nerf.render.image_metrics.ssim`.
      depth_error: mean of |depth / truth - 1|; None where the true depth is not known.
      resolution: height and width in pixels; None where all views of the scene have one size.
      masked: the fraction of the pixels that a mask leaves out of the scores; None without a mask.
      ms_ssim: see `nerf.render.multiscale_ssim`; None for small images.
      flip: see `nerf.render.flip`; None where flip-evaluator is not installed.
      depth_range: the 1st and the 99th percentile of the rendered depth where there is something,
        in scene units: between them, the image of the depth is coloured.
    """

    index: int
    name: str
    psnr: float
    ssim: float
    depth_error: float | None = None
    resolution: tuple[int, int] | None = None
    masked: float | None = None
    ms_ssim: float | None = None
    flip: float | None = None
    depth_range: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of the held-out views, and their means.

    Attributes:
      views: one for each held-out view that was scored.
      split: indices of the views for training and of those held out.
      resolution: height and width in pixels; where views differ in size, of most of them.
      renderer: `exact` or `fast`.
      view_names: `[num_views]`, the names of all views.
    """

    views: tuple[ViewScore, ...]
    split: Split
    resolution: tuple[int, int]
    renderer: RenderMethod
    view_names: tuple[str, ...] = ()

    @property
    def views_scored(self) -> str:
        """How many of the held-out views were scored: `25`, or `3 of 25`."""
        scored, held_out = len(self.views), len(self.split.test)
        return f"{scored}" if scored == held_out else f"{scored} of {held_out}"

    @property
    def psnr(self) -> float:
        """Mean PSNR in dB; NaN if no view is held out."""
        return _mean([view.psnr for view in self.views])

    @property
    def ssim(self) -> float:
        """Mean SSIM; NaN if no view is held out."""
        return _mean([view.ssim for view in self.views])

    @property
    def depth_error(self) -> float | None:
        """Mean error of the depth; None where the true depth is not known."""
        errors = [view.depth_error for view in self.views if view.depth_error is not None]
        return float(np.mean(errors)) if errors else None

    @property
    def ms_ssim(self) -> float | None:
        """Mean MS-SSIM; None unless all views have one."""
        return _mean_if_all([view.ms_ssim for view in self.views])

    @property
    def flip(self) -> float | None:
        """Mean FLIP; None unless all views have one."""
        return _mean_if_all([view.flip for view in self.views])

    def _split_names(self) -> dict[str, Any]:
        if not self.view_names:
            return {}
        parts = self.split._asdict().items()
        names = {part: [self.view_names[index] for index in indices] for part, indices in parts}
        return {"split_names": names}

    def to_json(self, **labels: Any) -> dict[str, Any]:
        """What `eval.json` holds.

        Args:
          **labels: scene, source, backend, field, preset and step.
        """
        views = [dataclasses.asdict(view) for view in self.views]
        more = {"ms_ssim": self.ms_ssim, "flip": self.flip, "depth_error": self.depth_error}
        is_part = len(self.views) < len(self.split.test)
        return {
            "psnr": self.psnr,
            "ssim": self.ssim,
            **{name: x for name, x in more.items() if x is not None},
            **({"views_scored": self.views_scored} if is_part else {}),
            "views": [{name: x for name, x in view.items() if x is not None} for view in views],
            "split": {"train": list(self.split.train), "test": list(self.split.test)},
            **self._split_names(),
            "resolution": list(self.resolution),
            **labels,
            "renderer": self.renderer,
        }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _mean_if_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def score_view(scene: Scene, view: View, image: RenderedImage) -> ViewScore:
    """All scores of one drawn view."""
    assert view.image is not None
    depth = None if scene.depth is None else scene.depth[view.index]
    height, width = view.image.shape[:2]
    return ViewScore(
        view.index,
        view.name,
        image_metrics.psnr(image.rgb, view.image, view.kept),
        image_metrics.ssim(image.rgb, view.image, view.kept),
        None if depth is None else image_metrics.depth_error(image.depth, depth),
        None if scene.cameras.sizes is None else (height, width),
        None if view.kept is None else float(1.0 - np.mean(view.kept)),
        ms_ssim(image.rgb, view.image, view.kept),
        flip(image.rgb, view.image, view.kept),
    )
