"""Settings as small frozen dataclasses; `nerf.config.presets` names sets of them.

Two conventions for the NeRF MLP exist side by side: the one that the published Haiku parameters
were trained with (`notebook`) and the one of the paper, bmild/nerf and JaxNeRF (`paper`). Each
point on which they differ is one field here, so that they can be mixed: take a preset and
`dataclasses.replace` a part of it, or give its dotted name to `nerf.config.text.override`. A third
preset, `quick`, lets the MLP learn in minutes on a CPU, and `planes` is for the field of that name.
"""

import dataclasses
import math
import typing
from typing import Any, Literal, TypeVar

from nerf.errors import UserError

T = TypeVar("T")
Vector = tuple[float, float, float]  # along x, y and z
Counts = tuple[int, int, int]

# What users call a precision of matrix products, and what JAX calls it.
PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}
ComputeDtype = Literal["float32", "bfloat16"]
Background = Literal["black", "white"]
_MAX_TEXELS = 4096  # of a plane, along one axis
_MAX_GRID = 2**27  # texels of a grid


def compute_dtype(precision: str) -> ComputeDtype:
    """The type that a field computes in under a precision of `PRECISIONS`.

    >>> compute_dtype("tf32")
    'float32'
    """
    return "bfloat16" if precision == "bfloat16" else "float32"


def _check_choices(config: Any) -> None:
    for name, hint in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            choices = ", ".join(map(str, typing.get_args(hint)))
            raise UserError(f"{name}: {value!r} is not one of {choices}")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)):
                _check(number == number and abs(number) != float("inf"), name, value, "finite")


def _check(holds: bool, name: str, value: object, expected: str) -> None:
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
        _check_choices(self)
        _check(self.num_frequencies >= 0, "num_frequencies", self.num_frequencies, ">= 0")

    @property
    def num_features(self) -> int:
        """The length of an encoded 3-vector."""
        return 3 * (2 * self.num_frequencies + self.identity)


@dataclasses.dataclass(frozen=True)
class GridConfig:
    """A grid of densities that proposes where to look: `nerf.backends.proposal_grid`.

    `low` and `high` are the corners of the box that it spans, in the space the field lives in;
    training takes them from the scene. Beyond the box it goes on as at its `border`, or is `empty`.
    `resolution` counts its texels along x, y and z; `lr_factor` is how many times faster than the
    field's layers it learns.
    """

    low: Vector = (-1.0, -1.0, -1.0)
    high: Vector = (1.0, 1.0, 1.0)
    outside: Literal["border", "empty"] = "border"
    resolution: Counts = (48, 36, 48)
    lr_factor: float = 10.0

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_box(self.low, self.high)
        _check(min(self.resolution) >= 2, "resolution", self.resolution, ">= 2 on each axis")
        _check(math.prod(self.resolution) <= _MAX_GRID, "resolution", self.resolution, "smaller")
        _check(self.lr_factor > 0, "lr_factor", self.lr_factor, "> 0")


def _check_box(low: Vector, high: Vector) -> None:
    above = all(a < b for a, b in zip(low, high, strict=True))
    _check(above, "high", high, f"above low = {low} on each axis")


@dataclasses.dataclass(frozen=True)
class MLPConfig:
    """The NeRF MLP (Mildenhall et al. 2020, figure 7) and the two conventions for its density.

    `skip_layer` counts layers from one: after that layer the encoded point is put in front of the
    features. `density_from` names what the density layer reads: the trunk's last features, or the
    bottleneck behind them. `density_noise` is the standard deviation of the noise that is added
    to the raw density when a key is given. `compute_dtype` is that of the layers' products and of
    the activations between them; parameters, encoding and outputs are float32 in any case.
    `proposal` serves `networks="proposal"` alone.
    """

    point_encoding: EncodingConfig
    viewdir_encoding: EncodingConfig
    density_from: Literal["bottleneck", "trunk"]
    density_noise: float
    density_activation: Literal["relu", "softplus"] = "relu"
    num_layers: int = 8
    width: int = 256
    skip_layer: int = 5
    rgb_width: int = 128
    compute_dtype: ComputeDtype = "float32"
    proposal: GridConfig = GridConfig()

    def __post_init__(self) -> None:
        _check_choices(self)
        for name in ("num_layers", "width", "rgb_width"):
            _check(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        _check(
            1 <= self.skip_layer < self.num_layers,
            "skip_layer",
            self.skip_layer,
            f"from 1 to num_layers - 1 = {self.num_layers - 1}",
        )
        _check(self.density_noise >= 0, "density_noise", self.density_noise, ">= 0")


@dataclasses.dataclass(frozen=True)
class PlanesConfig:
    """Three feature planes per level, multiplied, and a small MLP: `nerf.backends.flax_planes`.

    Attributes:
      viewdir_encoding: of the viewing direction.
      low, high: corners of the box that the planes span, in the space the field lives in; they are
        fitted to the scene.
      outside: of the box, `border` extrapolates the values at its border, `empty` has no density.
      resolution: texels of the coarsest level along x, y and z.
      num_levels, growth: each level has `growth` times the texels of the one before.
      num_features: features of a texel.
      width: of the hidden layers.
      num_geometry_features: features that the density's layers pass to the colour's.
      total_variation_weight: of the planes' total variation in the loss.
      plane_lr_factor: learning rate of the planes, relative to that of the layers.
      compute_dtype: of the layers' products and activations.
      proposal: places the samples.
    """

    viewdir_encoding: EncodingConfig
    low: Vector = (-1.0, -1.0, -1.0)
    high: Vector = (1.0, 1.0, 1.0)
    outside: Literal["border", "empty"] = "border"
    resolution: Counts = (48, 36, 24)
    num_levels: int = 2
    growth: float = 2.7
    num_features: int = 16
    width: int = 64
    num_geometry_features: int = 15
    total_variation_weight: float = 1e-4
    plane_lr_factor: float = 10.0
    compute_dtype: ComputeDtype = "float32"
    proposal: GridConfig = GridConfig()

    def __post_init__(self) -> None:
        _check_choices(self)
        for name in ("num_levels", "num_features", "width", "num_geometry_features"):
            _check(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        _check(min(self.resolution) >= 2, "resolution", self.resolution, ">= 2 on each axis")
        _check(self.growth >= 1, "growth", self.growth, ">= 1")
        _check(max(self.level(-1)) <= _MAX_TEXELS, "resolution", self.level(-1), "smaller")
        _check(
            self.total_variation_weight >= 0,
            "total_variation_weight",
            self.total_variation_weight,
            ">= 0",
        )
        _check(self.plane_lr_factor > 0, "plane_lr_factor", self.plane_lr_factor, "> 0")
        _check_box(self.low, self.high)

    def level(self, number: int) -> tuple[int, ...]:
        """Texels along x, y and z of a level, counted from 0, or from the last with -1."""
        number %= self.num_levels
        scale = min(self.growth**number, _MAX_TEXELS + 1.0)
        return tuple(round(texels * scale) for texels in self.resolution)


FieldConfig = MLPConfig | PlanesConfig


@dataclasses.dataclass(frozen=True)
class RenderConfig:
    """How rays are made, sampled and composited.

    `networks` is "shared" (one network, whose coarse outputs are used again in the fine pass),
    "separate" (two networks, the second evaluated at all samples) or "proposal" (a field's own
    proposal says where to look, and the field is evaluated at the new samples alone). `coarse_t`
    and `fine_t` choose the rules of `nerf.render.sampling`, which a proposal makes "bins" and
    "intervals"; `last_interval` is the length given to the last sample of a ray, where samples
    have no intervals of their own; `viewdir_space` says which direction the field sees where a
    scene uses NDC; `background` what is seen through what the field does not cover.
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
        _check_choices(self)
        _check(self.num_coarse >= 4, "num_coarse", self.num_coarse, ">= 4")
        _check(self.num_fine >= 1, "num_fine", self.num_fine, ">= 1")
        _check(self.fine_weight_floor > 0, "fine_weight_floor", self.fine_weight_floor, "> 0")
        _check(self.last_interval >= 0, "last_interval", self.last_interval, ">= 0")
        _check(0 <= self.pixel_offset <= 1, "pixel_offset", self.pixel_offset, "from 0 to 1")
        proposes = self.networks == "proposal"
        _check(
            proposes == (self.fine_t == "intervals"),
            "fine_t",
            f"{self.fine_t} with networks={self.networks}",
            "intervals where networks is proposal, and only there",
        )
        _check(not proposes or self.coarse_t == "bins", "coarse_t", self.coarse_t, "bins")

    @property
    def evaluations_per_ray(self) -> int:
        """How often a network is evaluated for one ray of an exact picture; proposals are none."""
        passes = {"shared": 1, "separate": 2, "proposal": 0}[self.networks]
        return passes * self.num_coarse + self.num_fine


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Loss, optimiser and split.

    The learning rate rises linearly from a hundredth to `learning_rate` over the first
    `warmup_steps`, then falls exponentially and reaches `final_learning_rate` at `num_steps`.
    `clip_norm` 0 turns gradient clipping off; `adam_b1`, `adam_b2` and `adam_eps` are the
    decay of the gradient's running mean, that of its square, and what is added to the root of the
    latter (Kingma & Ba 2015). `distortion_loss_weight` and `opacity_loss_weight` are the weights of
    the distortion loss and of the opacity loss, see `nerf.training.loss`. Every
    `holdout`-th view, from view 0 on, is held out for evaluation.
    """

    loss: Literal["sum", "mean"]
    learning_rate: float
    final_learning_rate: float
    clip_norm: float
    num_rays: int
    num_steps: int
    holdout: int
    warmup_steps: int = 0
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    adam_eps: float = 1e-8
    distortion_loss_weight: float = 0.0
    opacity_loss_weight: float = 0.0

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(self.learning_rate > 0, "learning_rate", self.learning_rate, "> 0")
        _check(self.final_learning_rate > 0, "final_learning_rate", self.final_learning_rate, "> 0")
        _check(self.clip_norm >= 0, "clip_norm", self.clip_norm, ">= 0")
        _check(self.num_rays >= 1, "num_rays", self.num_rays, ">= 1")
        _check(self.num_steps >= 0, "num_steps", self.num_steps, ">= 0")
        _check(self.holdout >= 2, "holdout", self.holdout, ">= 2")
        _check(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, ">= 0")
        for name in ("adam_b1", "adam_b2"):
            _check(0 <= getattr(self, name) < 1, name, getattr(self, name), "from 0 to below 1")
        _check(self.adam_eps > 0, "adam_eps", self.adam_eps, "> 0")
        _check(
            self.distortion_loss_weight >= 0,
            "distortion_loss_weight",
            self.distortion_loss_weight,
            ">= 0",
        )
        _check(
            self.opacity_loss_weight >= 0, "opacity_loss_weight", self.opacity_loss_weight, ">= 0"
        )


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run computes; its JSON form stands in `config.json`."""

    preset: str
    field: FieldConfig
    render: RenderConfig
    train: TrainConfig
