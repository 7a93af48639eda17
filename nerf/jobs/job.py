"""One run, everything decided: what the jobs `evaluate`, `train` and `video` are given."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nerf.config import text as config_text
from nerf.config.settings import Config
from nerf.field import RadianceField
from nerf.runs import parameters, run_folder
from nerf.scenes.scene import Scene

RenderMethod = Literal["exact", "fast"]


@dataclasses.dataclass(frozen=True)
class VideoConfig:
    """The video: camera path, number of frames (0 for none), height and width in pixels."""

    path: str
    num_frames: int
    size: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Job:
    """One run, everything decided.

    Attributes:
      backend, field_name: which implementation `field` is.
      field: the field.
      config: what is computed.
      scene: what it is computed on.
      run_dir: where results go; it can be written.
      video: the video to make.
      precision: of matrix products, for the record.
      seed: of training.
      init_from: where the parameters come from, for the record; never an absolute path.
      render: exact or fast for all pictures; None for exact where they are scored at the end, and
        fast else; see `nerf.jobs.renderers`.
      debug: whether values are checked as well as shapes.
    """

    backend: str
    field_name: str
    field: RadianceField
    config: Config
    scene: Scene
    run_dir: Path
    video: VideoConfig
    precision: str
    seed: int
    init_from: str
    render: RenderMethod | None
    debug: bool

    @property
    def truth_name(self) -> str:
        """What the scene's own pictures are called."""
        return "photograph" if self.scene.source == "photographs" else "ray-traced truth"

    def header(self, step: int | None) -> parameters.Header:
        """What `params.safetensors` says about itself."""
        return parameters.Header(
            field=self.field_name,
            layout=self.backend,
            config=self.config,
            scene=self.scene.name,
            source=self.scene.source,
            step=step,
            provenance=self.init_from,
        )

    def record(self, mode: str) -> dict[str, Any]:
        """What `config.json` holds."""
        return {
            "mode": mode,
            "backend": self.backend,
            "field": self.field_name,
            "scene": self.scene.name,
            "source": self.scene.source,
            "resolution": [self.scene.cameras.height, self.scene.cameras.width],
            "space": self.scene.space.name,
            "unit_scale": _rounded(self.scene.unit_scale),
            "bounds": [_rounded(bound) for bound in np.mean(self.scene.cameras.bounds, axis=0)],
            "init_from": self.init_from,
            "seed": self.seed,
            "precision": self.precision,
            "config": config_text.to_json(self.config),
            "render": self.render or "default",
            "video": dataclasses.asdict(self.video),
            "device": run_folder.device_name(),
            "versions": run_folder.versions(),
        }


def _rounded(value: float) -> float:
    """To so few digits that every machine finds the same."""
    return float(f"{value:.5g}")
