"""How a field is trained, apart from what is computed."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from nerf.errors import UserError
from nerf.field import Params
from nerf.runtime.devices import IMAGE_MEMORY

RENDERERS = (None, "exact", "fast")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """How a run is trained, apart from what it computes.

    Attributes:
      save_every: the most steps that can be lost, in a run folder.
      eval_every: steps between two held-out scores, 0 for none; None means a tenth of the run.
      stop_at: a step to stop at before the run is complete; it resumes later.
      steps_per_call: steps that the device is given at once; None means 1 on a CPU, else 10.
      rays_per_microbatch: the most rays that go through a device at once; None chooses by device.
      image_memory: the largest share of a device's memory, 0 to 1, for the images. Larger ones stay
        on the host, and batches of their pixels are sent to the devices.
      on_collapse: whether a collapsed run stops, or restarts from another key.
      tensorboard: whether metrics and images also go to TensorBoard, in a run folder.
      resume: whether to resume the training that a run folder holds; else it is set aside first.
      renderer: of previews, `exact` or `fast`; None means fast where that pays.
      precision: of matrix products, see `nerf.config.settings.PRECISIONS`.
      debug: whether values are checked as well as shapes.
      started: `time.monotonic()` when the time of the run began; None means now.
      record: further entries of `config.json`.
      watch: receives parameters and step after each call of the device, to show them; it must copy
        what it keeps.
    """

    save_every: int = 500
    eval_every: int | None = None
    stop_at: int | None = None
    steps_per_call: int | None = None
    rays_per_microbatch: int | None = None
    image_memory: float = IMAGE_MEMORY
    on_collapse: Literal["stop", "restart"] = "stop"
    tensorboard: bool = False
    resume: bool = True
    renderer: Literal["exact", "fast"] | None = None
    precision: str = "float32"
    debug: bool = False
    started: float | None = None
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    watch: Callable[[Params, int], None] = lambda params, step: None

    def __post_init__(self) -> None:
        for name, known in (("on_collapse", ("stop", "restart")), ("renderer", RENDERERS)):
            if getattr(self, name) not in known:
                names = ", ".join(str(value) for value in known)
                value = getattr(self, name)
                raise UserError(f"unknown `{name}` {value!r}: choose one of {names}")
        for name, least in (("save_every", 1), ("eval_every", 0), ("stop_at", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"`{name}` must be at least {least}, not {value}")
        if not 0.0 <= self.image_memory <= 1.0:
            raise UserError(f"`image_memory` must be from 0 to 1, not {self.image_memory}")


DEFAULT_OPTIONS = TrainOptions()
