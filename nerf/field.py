"""The `RadianceField` interface, and the registry of fields and of their implementations.

A radiance field maps a point and a viewing direction to a colour and a density. Renderer, sampler
and trainer know this interface alone. What else the project needs of a field is in its
`FieldSpec`: settings, presets, how it is fitted to a scene, and its implementations by backend,
each a factory `make(config)` that returns pure functions. Specs and factories are imported when
they are first needed, so a backend that is not used is never loaded.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from nerf.config.settings import Background, Config, FieldConfig, Vector
from nerf.errors import UserError
from nerf.geometry.occupancy import Occupancy

Params = Any  # a tree of float32 arrays; its structure belongs to the backend
ArrayName = tuple[str, ...]  # of an array of a network, e.g. ("density", "matrix")
TreePath = tuple[str, ...]  # the keys that lead to an array in a tree of nested dictionaries


class FieldOutput(NamedTuple):
    """The output of a field at points, after its activations.

    Attributes:
      rgb: `[..., 3]`, in [0, 1].
      density: `[...]`, >= 0, per unit of length of the space the points live in.
    """

    rgb: jax.Array
    density: jax.Array


class InitFn(Protocol):
    def __call__(self, key: jax.Array, /) -> Params:
        """Fresh parameters of one network."""


class ApplyFn(Protocol):
    def __call__(
        self,
        params: Params,
        points: jax.Array,
        viewdirs: jax.Array,
        /,
        *,
        key: jax.Array | None = None,
    ) -> FieldOutput:
        """Evaluates the field.

        Args:
          params: what `init` returned, or a tree of the same structure.
          points: `[..., 3]`, scene units or NDC.
          viewdirs: `[..., 3]`, unit vectors, of the same shape.
          key: None is deterministic; with a key, training-time density noise (where the field has
            any) is added to the raw density before its activation. It is `[]` for all points, or
            `[...]`, one a point, so that a point's noise does not depend on the others.
        """


class DensityFn(Protocol):
    def __call__(self, params: Params, points: jax.Array, /) -> jax.Array:
        """A guess of the density at points.

        Args:
          params: of the proposal.
          points: `[..., 3]`, scene units or NDC.

        Returns:
          `[...]`, >= 0, per unit of length.
        """


class PenaltyFn(Protocol):
    def __call__(self, params: Params, /) -> jax.Array:
        """The regularisation of the parameters of one network, a term of the loss, `[]`."""


class RatesFn(Protocol):
    def __call__(self, params: Params, /) -> Params:
        """A tree like `params` with each array's factor of the learning rate."""


def no_penalty(params: Params, /) -> jax.Array:
    """The `PenaltyFn` of a field that has none."""
    return jnp.zeros(())


def equal_rates(params: Params, /) -> Params:
    """The `RatesFn` of a field whose arrays all learn alike."""
    return jax.tree.map(lambda _: 1.0, params)


class OccupancyFn(Protocol):
    def __call__(self, params: Params, /) -> Occupancy:
        """The cells that may hold something, as the parameters of a proposal know it."""


class CarveFn(Protocol):
    def __call__(self, params: Params, occupied: jax.Array, /) -> Params:
        """Parameters that know which cells are empty, `occupied[nx, ny, nz]` is False there."""


class Proposal(NamedTuple):
    """A cheap density with separate parameters, which places the samples along a ray.

    It learns from the field's weights alone, see `nerf.render.proposal_loss`.

    Attributes:
      init, density, rates: see `InitFn`, `DensityFn` and `RatesFn`.
      occupancy: where the scene can be; None where nothing is known to be empty. Samples are
        taken, and the field is evaluated, nowhere else.
      carve: takes cells away for good, before training.
    """

    init: InitFn
    density: DensityFn
    rates: RatesFn = equal_rates
    occupancy: OccupancyFn | None = None
    carve: CarveFn | None = None


class Table(NamedTuple):
    """A large array of a field, of which each point reads a few rows.

    Its gradient is a sum over many points, each of which adds to a few rows: in one buffer, rather
    than in one for each microbatch.

    Attributes:
      find: the array among the parameters.
      apply: as `RadianceField.apply`, with another keyword, `total`: an array like the table. The
        gradient with respect to the table is what the points add to it, plus `total`.
    """

    find: Callable[[Params], jax.Array]
    apply: Callable[..., FieldOutput]


class RadianceField(NamedTuple):
    """A field as pure functions.

    Attributes:
      init, apply: see `InitFn` and `ApplyFn` for the contract.
      penalty: a regulariser, for training.
      penalty_every: it is added in every step of that number, times that number: one that costs a
        pass over large arrays need not be taken at each step.
      rates: how fast each array learns, beside the learning rate.
      proposal: for `networks="proposal"`; None where the field has none.
      table: the array of which each point reads a few rows only, if there is one.
    """

    init: InitFn
    apply: ApplyFn
    penalty: PenaltyFn = no_penalty
    rates: RatesFn = equal_rates
    proposal: Proposal | None = None
    table: Table | None = None
    penalty_every: int = 1


FieldFactory = Callable[[Any], RadianceField]  # of the field's own settings, a `FieldConfig`
LayoutFn = Callable[[Sequence[ArrayName]], Sequence[TreePath]]  # where a backend keeps these arrays


class Implementation(NamedTuple):
    """A field in one backend.

    Attributes:
      factory: makes the field from its settings; a string `module:attribute` is imported when it
        is first needed.
      layout: where each array lies in a network's tree, for `nerf.backends.convert`; None where
        parameters cannot be converted.
    """

    factory: str | FieldFactory
    layout: LayoutFn | None = None


_PHOTOGRAPH = 504  # pixels of the longer side, up to which three levels of planes are enough


class SceneFacts(NamedTuple):
    """What settings are fitted to.

    Attributes:
      longer_side: of the images, in pixels.
      background: what lies behind the scene.
      is_360: whether the cameras look in many directions, so that no axis is that of depth.
      is_bounded: whether nothing is outside the box, as for an object on a transparent background.
      box: corners of a box around what the cameras see, in the space the field lives in; None where
        no part of the settings spans one.
      has_hull: whether the visual hull of an object is known, so that rays end close to it.
      exposure_varies: whether the images show that exposure or white balance change between views.
      knows_depth: whether the capture knows depths of the training views.
      num_views: that are trained on; None if it is not known.
    """

    longer_side: int
    background: Background
    is_360: bool
    is_bounded: bool
    box: tuple[Vector, Vector] | None
    has_hull: bool = False
    exposure_varies: bool = False
    knows_depth: bool = False
    num_views: int | None = None

    @property
    def are_photographs(self) -> bool:
        """Whether the images are so large that finer settings pay."""
        return self.longer_side > _PHOTOGRAPH


def _fits_any_scene(config: Config, facts: SceneFacts) -> Config:
    return config


def _needs_no_regularization(config: Config, num_views: int) -> Config:
    return config


@dataclasses.dataclass(frozen=True)
class FieldSpec:
    """What the project needs of a field besides the functions of `RadianceField`.

    Attributes:
      config: class of its settings, a frozen dataclass, see `FieldConfig`.
      presets: settings for it by name; the first is the default.
      implementations: by name of the backend.
      fit: the settings for a scene, from a preset; see `nerf.config.presets.fit` for what is done
        for every field.
      fit_few_views: the same settings with more regularisation, given the number of training views;
        used where `train.few_views` is on.
      spans_box: whether `fit` needs the box of the scene.
      array_names: the names of a network's arrays, given how many groups they form: the two arrays
        of a layer are one group, an array by itself is another. None where parameters cannot be
        converted from backend to backend.
      summary: what it is, in a few words, for lists of fields.
    """

    config: type[FieldConfig]
    presets: Mapping[str, Config]
    implementations: Mapping[str, Implementation]
    fit: Callable[[Config, SceneFacts], Config] = _fits_any_scene
    fit_few_views: Callable[[Config, int], Config] = _needs_no_regularization
    spans_box: bool = False
    array_names: Callable[[int], Sequence[ArrayName]] | None = None
    summary: str = ""


DEFAULT_BACKEND = "flax"
_SPECS: dict[str, str | FieldSpec] = {  # one line a field
    "mlp": "nerf.backends.mlp:FIELD",
    "planes": "nerf.backends.planes:FIELD",
}
_MORE_IMPLEMENTATIONS: dict[tuple[str, str], Implementation] = {}  # by backend and field


def register_field(name: str, spec: str | FieldSpec) -> None:
    """Makes a field known; a string `module:attribute` is imported when it is needed."""
    _SPECS[name] = spec


def register(
    backend: str, field: str, factory: str | FieldFactory, layout: LayoutFn | None = None
) -> None:
    """Makes an implementation of a field known, see `Implementation`.

    The field need not be registered itself: it then takes the settings of any preset.
    """
    _MORE_IMPLEMENTATIONS[backend, field] = Implementation(factory, layout)


def spec(field: str) -> FieldSpec | None:
    """What was registered for a field; None for one that only has implementations."""
    found = _SPECS.get(field)
    return _imported(found) if isinstance(found, str) else found


def specs() -> dict[str, FieldSpec]:
    """All registered fields by name.

    >>> specs()["planes"].config.__name__
    'PlanesConfig'
    """
    return {name: found for name in _SPECS if (found := spec(name)) is not None}


def name_of(config: FieldConfig) -> str | None:
    """The field whose settings have this class; None without one."""
    return next((name for name, found in specs().items() if type(config) is found.config), None)


def implementation(backend: str, field: str) -> Implementation | None:
    """How `backend` implements `field`; None if it does not."""
    return _implementations().get((backend, field))


def fields() -> tuple[str, ...]:
    """The names of all fields, also of those that only have implementations.

    >>> fields()[:2]
    ('mlp', 'planes')
    """
    return tuple(dict.fromkeys([*_SPECS, *(field for _, field in _MORE_IMPLEMENTATIONS)]))


def backends() -> tuple[str, ...]:
    """The names of all backends.

    >>> {"flax", "haiku", "nnx"} <= set(backends())
    True
    """
    return tuple(sorted({backend for backend, _ in _implementations()}))


def has(backend: str, field: str) -> bool:
    """Whether `backend` implements `field`."""
    return implementation(backend, field) is not None


def check_backend(backend: str) -> None:
    """Raises a UserError, listing the known names, unless there is such a backend."""
    if backend not in backends():
        raise UserError(f"unknown backend {backend!r}: choose one of {', '.join(backends())}")


def check_names(backend: str, field: str) -> None:
    """Raises a UserError, listing the known names, unless `backend` has a field `field`."""
    check_backend(backend)
    fields = sorted(name for owner, name in _implementations() if owner == backend)
    if field not in fields:
        raise UserError(
            f"backend {backend!r} has no field {field!r}: choose one of {', '.join(fields)}"
        )


def make_field(backend: str, field: str, config: FieldConfig) -> RadianceField:
    """The field called `field` in `backend`.

    Raises:
      UserError: if there is no such backend, or it has no such field.
    """
    check_names(backend, field)
    factory = _implementations()[backend, field].factory
    make: FieldFactory = _imported(factory) if isinstance(factory, str) else factory
    return make(config)


def abstract_params(field: RadianceField) -> Params:
    """Shapes and dtypes of one network's parameters, without making them."""
    return jax.eval_shape(field.init, jax.random.key(0))


def _implementations() -> dict[tuple[str, str], Implementation]:
    """Implementations by backend and field; later ones replace those of the field's spec."""
    named = {
        (backend, field): found
        for field, owner in specs().items()
        for backend, found in owner.implementations.items()
    }
    return named | _MORE_IMPLEMENTATIONS


def _imported(where: str) -> Any:
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)
