"""Settings that do not depend on the field, as small frozen dataclasses.

A field's own settings and presets stand with the field, for instance in `nerf.backends.mlp`;
`nerf.config.presets` finds presets by name. To change a setting, `dataclasses.replace` a part of a
preset, or give its dotted name to `nerf.config.text.override`.
"""

import dataclasses
import math
import typing
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from nerf.errors import UserError

T = TypeVar("T")
Vector = tuple[float, float, float]  # along x, y and z
Counts = tuple[int, int, int]

# What users call a precision of matrix products, and what JAX calls it.
PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}
ComputeDtype = Literal["float32", "bfloat16"]
Background = Literal["black", "white"]
RobustLoss = Literal["none", "clipped", "geman_mcclure"]
OLD_NAME = "old_name"  # in the metadata of a dataclass's field
_MAX_GRID = 2**27  # texels of a grid


def compute_dtype(precision: str) -> ComputeDtype:
    """The type that a field computes in under a precision of `PRECISIONS`.

    >>> compute_dtype("tf32")
    'float32'
    """
    return "bfloat16" if precision == "bfloat16" else "float32"


def renamed(default: T, old_name: str) -> T:
    """The default of a setting that version 0.1.0 knew by another name, which still loads."""
    return dataclasses.field(default=default, metadata={OLD_NAME: old_name})


def check_choices(config: Any) -> None:
    """Checks that every choice is one of its literals, and every number finite.

    Raises:
      UserError: with the name of the setting.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            choices = ", ".join(map(str, typing.get_args(hint)))
            raise UserError(f"{name}: {value!r} is not one of {choices}")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)):
                check(number == number and abs(number) != float("inf"), name, value, "finite")


def check(holds: bool, name: str, value: object, expected: str) -> None:
    """Raises a UserError, `name must be expected, not value`, unless a condition holds."""
    if not holds:
        raise UserError(f"{name} must be {expected}, not {value}")


@dataclasses.dataclass(frozen=True)
class EncodingConfig:
    """One positional encoding; see `nerf.encoding.positional_encoding`."""

    num_frequencies: int
    identity: bool
    multiply_by_pi: bool
    order: Literal["coordinate", "frequency"]

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.num_frequencies >= 0, "num_frequencies", self.num_frequencies, ">= 0")

    @property
    def num_features(self) -> int:
        """The length of an encoded 3-vector."""
        return 3 * (2 * self.num_frequencies + self.identity)


@dataclasses.dataclass(frozen=True)
class GridConfig:
    """A grid of densities as a proposal: `nerf.backends.proposal_grid`.

    Attributes:
      low, high: corners of the box that it spans, in the space the field lives in; they are fitted
        to the scene.
      outside: of the box, `border` extrapolates the values at its border, `empty` has no density.
      resolution: texels along x, y and z.
      lr_factor: learning rate of the grid, relative to that of the field's layers.
    """

    low: Vector = (-1.0, -1.0, -1.0)
    high: Vector = (1.0, 1.0, 1.0)
    outside: Literal["border", "empty"] = renamed("border", "beyond")
    resolution: Counts = (48, 36, 48)
    lr_factor: float = renamed(10.0, "rate")

    def __post_init__(self) -> None:
        check_choices(self)
        check_box(self.low, self.high)
        check(min(self.resolution) >= 2, "resolution", self.resolution, ">= 2 on each axis")
        check(math.prod(self.resolution) <= _MAX_GRID, "resolution", self.resolution, "smaller")
        check(self.lr_factor > 0, "lr_factor", self.lr_factor, "> 0")


def check_box(low: Vector, high: Vector) -> None:
    """Raises a UserError unless one corner of a box is above the other on each axis."""
    above = all(a < b for a, b in zip(low, high, strict=True))
    check(above, "high", high, f"above low = {low} on each axis")


class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


class FieldConfig(Dataclass, Protocol):
    """What every field's settings have: a frozen dataclass with these two parts.

    Attributes:
      compute_dtype: of the layers' products and of the activations between them; parameters and
        outputs are float32 in any case.
      proposal: for `networks="proposal"`.
    """

    @property
    def compute_dtype(self) -> ComputeDtype: ...

    @property
    def proposal(self) -> GridConfig: ...


PROPOSAL, FINE = "proposal", "fine"
NETWORKS = {  # names of the networks by `RenderConfig.networks`; the last one gives the image
    "shared": ("shared",),
    "separate": ("coarse", FINE),
    "proposal": (PROPOSAL, FINE),
}


@dataclasses.dataclass(frozen=True)
class RenderConfig:
    """How rays are made, sampled and composited.

    Attributes:
      networks: `shared`, one network whose coarse outputs are used again in the fine pass;
        `separate`, two networks, of which the second is evaluated at all samples; `proposal`, the
        field's proposal places the samples, and the field is evaluated at the new ones only.
      coarse_t, fine_t: rules of `nerf.render.sampling`; a proposal needs `bins` and `intervals`.
      fine_weight_floor: what is added to each weight before new samples are drawn.
      fine_gradient: whether the gradient flows through the positions of the new samples.
      last_interval: length of the last sample of a ray, for rules whose samples have no intervals.
      viewdir_space: which direction the field gets where the scene uses NDC.
      background: the colour behind the scene.
      pixel_offset: where in a pixel its ray goes through, 0.5 for the centre.
      num_coarse, num_fine: samples of each pass.
    """

    networks: Literal["shared", "separate", "proposal"]
    coarse_t: Literal["linspace", "bins"]
    fine_t: Literal["around_samples", "between_samples", "intervals"]
    fine_weight_floor: float
    fine_gradient: bool
    last_interval: float
    viewdir_space: Literal["ndc", "world"]
    background: Background = "black"
    pixel_offset: float = 0.0
    num_coarse: int = 64
    num_fine: int = 128

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.num_coarse >= 4, "num_coarse", self.num_coarse, ">= 4")
        check(self.num_fine >= 1, "num_fine", self.num_fine, ">= 1")
        check(self.fine_weight_floor > 0, "fine_weight_floor", self.fine_weight_floor, "> 0")
        check(self.last_interval >= 0, "last_interval", self.last_interval, ">= 0")
        check(0 <= self.pixel_offset <= 1, "pixel_offset", self.pixel_offset, "from 0 to 1")
        proposes = self.networks == "proposal"
        check(
            proposes == (self.fine_t == "intervals"),
            "fine_t",
            f"{self.fine_t} with networks={self.networks}",
            "intervals where networks is proposal, and only there",
        )
        check(not proposes or self.coarse_t == "bins", "coarse_t", self.coarse_t, "bins")

    @property
    def evaluations_per_ray(self) -> int:
        """Evaluations of a network for one ray of an exact image; a proposal is not one."""
        passes = {"shared": 1, "separate": 2, "proposal": 0}[self.networks]
        return passes * self.num_coarse + self.num_fine


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Loss, optimiser and split.

    Attributes:
      loss: over the three colours, of the squared error.
      learning_rate, final_learning_rate: at the first step after the warm-up and at `num_steps`,
        with an exponential decay between them.
      clip_norm: of the gradient, over all arrays; 0 turns clipping off.
      num_rays: rays of a step.
      num_steps: steps of a run.
      holdout: every `holdout`-th view, from view 0 on, is held out for evaluation; 0 for none. What
        a user sets comes before the split of a scene's files, see `use_file_split`.
      holdout_views: names of the views to hold out, see `nerf.scenes.splits`; they come before
        `holdout` and the files' own split.
      use_file_split: whether a split that the scene's files define is used. Setting `holdout` sets
        it to false.
      num_train_views: the most views to train on, evenly chosen among those that are not held out;
        0 for all.
      warmup_steps: in which the learning rate rises linearly from a hundredth.
      adam_b1, adam_b2: decay of the running means of the gradient and of its square (Kingma & Ba
        2015).
      adam_eps: what is added to the root of the latter.
      distortion_loss_weight, opacity_loss_weight: see `nerf.training.loss`.
      exposure: whether exposure and white balance of the views are corrected, see
        `nerf.corrections.exposure`; fitting to a scene decides it.
      depth: whether known depths of the capture are trained on, see `nerf.training.depth_loss`;
        fitting to a scene decides it.
      depth_loss_weight, depth_loss_decay: of that loss at first, and what is left of the weight at
        the end of the run, with an exponential decay between them.
      num_depth_rays: rays of a step through pixels of known depth, beside `num_rays`.
      poses: whether the poses of the views are corrected, see `nerf.corrections.poses`.
      few_views: whether the field is regularised for few views, see `nerf.field.FieldSpec`; fitting
        to a scene decides it.
      robust_loss, robust_scale, robust_start, robust_anneal: see `nerf.training.robust_loss`.
    """

    loss: Literal["sum", "mean"]
    learning_rate: float
    final_learning_rate: float
    clip_norm: float
    num_rays: int
    num_steps: int
    holdout: int
    warmup_steps: int = 0
    holdout_views: tuple[str, ...] = ()
    use_file_split: bool = True
    num_train_views: int = 0
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    adam_eps: float = 1e-8
    distortion_loss_weight: float = renamed(0.0, "distortion")
    opacity_loss_weight: float = renamed(0.0, "coverage")
    exposure: Literal["off", "on"] = "off"
    depth: Literal["off", "on"] = "off"
    depth_loss_weight: float = 0.02
    depth_loss_decay: float = 0.01
    num_depth_rays: int = 256
    poses: Literal["off", "on"] = "off"
    few_views: Literal["off", "on"] = "off"
    robust_loss: RobustLoss = "none"
    robust_scale: float = 0.1
    robust_start: float = 10.0
    robust_anneal: float = 0.5

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.learning_rate > 0, "learning_rate", self.learning_rate, "> 0")
        check(self.final_learning_rate > 0, "final_learning_rate", self.final_learning_rate, "> 0")
        check(self.clip_norm >= 0, "clip_norm", self.clip_norm, ">= 0")
        check(self.num_rays >= 1, "num_rays", self.num_rays, ">= 1")
        check(self.num_steps >= 0, "num_steps", self.num_steps, ">= 0")
        check(self.holdout == 0 or self.holdout >= 2, "holdout", self.holdout, "0 or >= 2")
        check(self.num_train_views >= 0, "num_train_views", self.num_train_views, ">= 0")
        check(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, ">= 0")
        for name in ("adam_b1", "adam_b2"):
            check(0 <= getattr(self, name) < 1, name, getattr(self, name), "from 0 to below 1")
        check(self.adam_eps > 0, "adam_eps", self.adam_eps, "> 0")
        check(
            self.distortion_loss_weight >= 0,
            "distortion_loss_weight",
            self.distortion_loss_weight,
            ">= 0",
        )
        check(
            self.opacity_loss_weight >= 0, "opacity_loss_weight", self.opacity_loss_weight, ">= 0"
        )
        check(self.depth_loss_weight > 0, "depth_loss_weight", self.depth_loss_weight, "> 0")
        check(
            0 < self.depth_loss_decay <= 1,
            "depth_loss_decay",
            self.depth_loss_decay,
            "> 0, at most 1",
        )
        check(self.num_depth_rays >= 1, "num_depth_rays", self.num_depth_rays, ">= 1")
        check(self.robust_scale > 0, "robust_scale", self.robust_scale, "> 0")
        check(self.robust_start >= 1, "robust_start", self.robust_start, ">= 1")
        check(self.robust_anneal > 0, "robust_anneal", self.robust_anneal, "> 0")


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings that decide what a run computes; `config.json` holds their JSON form."""

    preset: str
    field: FieldConfig
    render: RenderConfig
    train: TrainConfig
