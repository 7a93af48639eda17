"""Scores of views and of a scene, and their JSON form."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.jobs.renderers import RenderMethod
from nerf.jobs.scoring.held_out_exposure import ExposureFit
from nerf.render import image_metrics
from nerf.render.flip import flip
from nerf.render.images import RenderedImage
from nerf.render.multiscale_ssim import ms_ssim
from nerf.scenes.scene import Scene, Split, View


class Uncorrected(NamedTuple):
    """PSNR in dB and SSIM of a whole view, or of several, without a correction for its camera."""

    psnr: float
    ssim: float


def _as_tuples(value: Any) -> Any:
    """A value of JSON with tuples for its lists."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True)
class ViewScore:
    """The scores of one view.

    Attributes:
      index, name: which view.
      psnr: dB.
      ssim: by dm-pix, see `nerf.render.image_metrics.ssim`; NaN, in JSON null, where a side is
        below 11 pixels.
      depth_error: mean of |depth / truth - 1|; None where the true depth is not known.
      resolution: height and width in pixels; None where all views of the scene have one size.
      masked: the fraction of the pixels that a mask leaves out of the scores; None without a mask.
      ms_ssim: see `nerf.render.multiscale_ssim`; None for small images.
      flip: see `nerf.render.flip`; None where flip-evaluator is not installed.
      depth_range: the 1st and the 99th percentile of the rendered depth where there is something,
        in scene units: between them, the image of the depth is coloured.
      uncorrected: the scores of the whole view as it is rendered; None where nothing is corrected.
      gains: of red, green and blue, in linear light, that the view was corrected with.
      camtoworld: rows of the pose, in scene units, that the view was aligned to; None where it is
        scored from the pose of the scene.
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
    uncorrected: Uncorrected | None = None
    gains: tuple[float, float, float] | None = None
    camtoworld: tuple[tuple[float, ...], ...] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ViewScore":
        """The score of which `dataclasses.asdict` went through JSON.

        >>> import json
        >>> score = ViewScore(
        ...     3, "b", 20.0, 0.5, gains=(1.0, 0.5, 2.0), uncorrected=Uncorrected(9, 1)
        ... )
        >>> ViewScore.from_json(json.loads(json.dumps(dataclasses.asdict(score)))) == score
        True
        """
        found = {name: _as_tuples(value) for name, value in values.items()}
        if found["uncorrected"] is not None:
            found["uncorrected"] = Uncorrected(*found["uncorrected"])
        return cls(**found)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of the held-out views, and their means.

    Attributes:
      views: one for each held-out view that was scored.
      split: indices of the views for training and of those held out.
      resolution: height and width in pixels; where views differ in size, of most of them.
      renderer: `exact` or `fast`.
      view_names: `[num_views]`, the names of all views.
      corrected: what of the views was corrected before they were scored, and how, in words; None
        for nothing.
    """

    views: tuple[ViewScore, ...]
    split: Split
    resolution: tuple[int, int]
    renderer: RenderMethod
    view_names: tuple[str, ...] = ()
    corrected: str | None = None

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
        """Mean SSIM; NaN, in JSON null, if no view is held out, or one has no SSIM."""
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

    @property
    def uncorrected(self) -> Uncorrected | None:
        """The mean scores without corrections; None where nothing is corrected."""
        found = [view.uncorrected for view in self.views if view.uncorrected is not None]
        if not found:
            return None
        return Uncorrected(*(_mean(each) for each in zip(*found, strict=True)))

    def _split_names(self) -> dict[str, Any]:
        if not self.view_names:
            return {}
        parts = self.split._asdict().items()
        names = {part: [self.view_names[index] for index in indices] for part, indices in parts}
        return {"split_names": names}

    def _correction_to_json(self) -> dict[str, Any]:
        """What was corrected, and the scores without it."""
        if self.corrected is None or self.uncorrected is None:
            return {}
        return {**_uncorrected_to_json(self.uncorrected), "corrected": self.corrected}

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
            **self._correction_to_json(),
            **{name: x for name, x in more.items() if x is not None},
            **({"views_scored": self.views_scored} if is_part else {}),
            "views": [_plain(view) for view in views],
            "split": {"train": list(self.split.train), "test": list(self.split.test)},
            **self._split_names(),
            "resolution": list(self.resolution),
            **labels,
            "renderer": self.renderer,
        }


def _plain(view: dict[str, Any]) -> dict[str, Any]:
    """A view's scores as JSON has them, without those that are missing."""
    plain = {name: x for name, x in view.items() if x is not None}
    uncorrected = plain.pop("uncorrected", None)
    return plain | ({} if uncorrected is None else _uncorrected_to_json(uncorrected))


def _uncorrected_to_json(scores: Uncorrected) -> dict[str, float]:
    return {f"{name}_uncorrected": x for name, x in scores._asdict().items()}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _mean_if_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def score_view(
    scene: Scene,
    view: View,
    image: RenderedImage,
    exposure_fit: ExposureFit | None = None,
    unaligned: RenderedImage | None = None,
) -> ViewScore:
    """All scores of one drawn view.

    Args:
      scene: of the view.
      view: with its image.
      image: as it was rendered.
      exposure_fit: the same with the view's own exposure, which is then what is scored; None where
        exposure is not corrected.
      unaligned: as it was rendered from the pose of the scene, where `image` is from another.
    """
    assert view.image is not None
    depth = None if scene.depth is None else scene.depth[view.index]
    height, width = view.image.shape[:2]
    scored = image.rgb, view.image, view.mask
    scores, gains = psnr_and_ssim(*scored), None
    whole = scores if unaligned is None else psnr_and_ssim(unaligned.rgb, view.image, view.mask)
    if exposure_fit is not None and exposure_fit.is_fitted:
        red, green, blue = (float(gain) for gain in exposure_fit.gains)
        parts = exposure_fit.scored(exposure_fit.rgb), exposure_fit.scored(view.image)
        scored, gains = (*parts, exposure_fit.scored_mask(view.mask)), (red, green, blue)
        scores = psnr_and_ssim(*scored)
    return ViewScore(
        view.index,
        view.name,
        scores.psnr,
        scores.ssim,
        None if depth is None else image_metrics.depth_error(image.depth, depth),
        None if scene.cameras.sizes is None else (height, width),
        None if view.mask is None else float(1.0 - np.mean(view.mask)),
        ms_ssim(*scored),
        flip(*scored),
        uncorrected=None if exposure_fit is None and unaligned is None else whole,
        gains=gains,
        camtoworld=None if unaligned is None else _rows(view.camera.camtoworlds),
    )


def _rows(camtoworld: npt.ArrayLike) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in np.asarray(camtoworld))


def psnr_and_ssim(
    image: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_] | None,
) -> Uncorrected:
    """Both scores of an image, see `nerf.render.image_metrics`."""
    return Uncorrected(
        image_metrics.psnr(image, truth, mask), image_metrics.ssim(image, truth, mask)
    )
