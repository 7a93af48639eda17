"""The `RadianceField` interface, and the registry of its implementations.

A radiance field maps a point and a viewing direction to a colour and a density. Renderer, sampler
and trainer know this interface alone. An implementation is a factory, `make(config)`, that returns
pure functions; it is registered under the name of a backend and of a field and imported when it is
first asked for, so a backend that is not used is never loaded.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import FieldConfig, MLPConfig
from nerf.errors import UserError

Params = Any  # a tree of float32 arrays; its structure belongs to the backend


class FieldOutput(NamedTuple):
    """What a field says about points, after its activations.

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
        """What parameters of one network add to the loss by themselves, `[]`."""


class RatesFn(Protocol):
    def __call__(self, params: Params, /) -> Params:
        """A tree like `params` that says how many times the learning rate each array takes."""


def no_penalty(params: Params, /) -> jax.Array:
    """The `PenaltyFn` of a field that has none."""
    return jnp.zeros(())


def equal_rates(params: Params, /) -> Params:
    """The `RatesFn` of a field whose arrays all learn alike."""
    return jax.tree.map(lambda _: 1.0, params)


class Proposal(NamedTuple):
    """A cheap density with parameters of its own, which says where along a ray to look.

    It learns from the field's weights alone, see `nerf.render.proposal_loss`.
    """

    init: InitFn
    density: DensityFn
    rates: RatesFn = equal_rates


class RadianceField(NamedTuple):
    """A field as pure functions.

    Attributes:
      init, apply: see `InitFn` and `ApplyFn` for the contract.
      penalty: a regulariser, for training.
      rates: how fast each array learns, beside the learning rate.
      proposal: for `networks="proposal"`; None where the field has none.
    """

    init: InitFn
    apply: ApplyFn
    penalty: PenaltyFn = no_penalty
    rates: RatesFn = equal_rates
    proposal: Proposal | None = None


FieldFactory = Callable[[Any], RadianceField]  # of the field's own settings, a `FieldConfig`

_FACTORIES: dict[tuple[str, str], str | FieldFactory] = {
    ("haiku", "mlp"): "nerf.backends.haiku_mlp:make",
    ("flax", "mlp"): "nerf.backends.flax_mlp:make",
    ("flax", "planes"): "nerf.backends.flax_planes:make",
}


def register(backend: str, field: str, factory: str | FieldFactory) -> None:
    """Makes an implementation known; a string `module:attribute` is imported when it is needed."""
    _FACTORIES[backend, field] = factory


def backends() -> tuple[str, ...]:
    """The names of all backends.

    >>> backends()
    ('flax', 'haiku')
    """
    return tuple(sorted({backend for backend, _ in _FACTORIES}))


def has(backend: str, field: str) -> bool:
    """Whether `backend` implements `field`."""
    return (backend, field) in _FACTORIES


def check_names(backend: str, field: str) -> None:
    """Raises a UserError, listing the known names, unless `backend` has a field `field`."""
    if backend not in backends():
        raise UserError(f"unknown backend {backend!r}: choose one of {', '.join(backends())}")
    fields = sorted(name for owner, name in _FACTORIES if owner == backend)
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
    factory = _FACTORIES[backend, field]
    if isinstance(factory, str):
        module, _, attribute = factory.partition(":")
        factory = getattr(importlib.import_module(module), attribute)
        assert callable(factory)
    return factory(config)


def activate(
    raw_rgb: jax.Array, raw_density: jax.Array, config: MLPConfig, key: jax.Array | None
) -> FieldOutput:
    """Noise and activations, the same for every implementation of the MLP.

    Args:
      raw_rgb: `[..., 3]`, before the sigmoid, of any float type.
      raw_density: `[...]`, before its activation.
      config: which activation, how much noise.
      key: None for no noise, else `[]` or `[...]`.

    Returns:
      float32.
    """
    raw_rgb, raw_density = raw_rgb.astype(jnp.float32), raw_density.astype(jnp.float32)
    if key is not None and config.density_noise > 0:
        raw_density = raw_density + config.density_noise * standard_normal(key, raw_density.shape)
    density = {"relu": jax.nn.relu, "softplus": jax.nn.softplus}[config.density_activation]
    return FieldOutput(jax.nn.sigmoid(raw_rgb), density(raw_density))


def standard_normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Normal numbers of mean 0 and deviation 1, for the `key` of `ApplyFn`.

    Args:
      key: `[]`, one for all, or of `shape`, one for each.
      shape: of what is returned.
    """
    if key.ndim == 0:
        return jax.random.normal(key, shape)
    chex.assert_shape(key, shape)
    numbers: jax.Array = jax.vmap(jax.random.normal)(key.reshape(-1))
    return numbers.reshape(shape)


def abstract_params(field: RadianceField) -> Params:
    """Shapes and dtypes of one network's parameters, without making them."""
    return jax.eval_shape(field.init, jax.random.key(0))
