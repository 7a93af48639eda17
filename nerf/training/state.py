"""The state of training: parameters, optimiser, step, key, health; its start and its shardings.

The key and the step number decide which rays a step draws, so a run that stops can resume from its
state with the same results.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nerf.config.settings import PROPOSAL, Config
from nerf.corrections.corrections import Corrections, identity
from nerf.corrections.pose_steps import PoseEquations, no_equations
from nerf.field import Params, RadianceField
from nerf.render.rays import init_params
from nerf.runtime import global_arrays, parallel
from nerf.runtime.devices import default_platform
from nerf.training import health
from nerf.training.health import Health
from nerf.training.optimizer import correction_optimizer, make_optimizer


class CorrectionState(NamedTuple):
    """The corrections of the training views, and the state of the gains' own Adam."""

    values: Corrections
    opt_state: Any


class TrainState(NamedTuple):
    """Everything that changes during training.

    Attributes:
      params: one tree or two, see `nerf.render.rays`.
      opt_state: the state of the Optax optimiser.
      step: `[]` int32, the number of steps done.
      key: the run's random key; each step folds its number into it.
      health: statistics of the steps so far, which show a collapse.
      corrections: of the training views; None where all are off.
      pose_equations: of the steps since the poses were moved last; None where they are not
        corrected.
    """

    params: Params
    opt_state: Any
    step: jax.Array
    key: jax.Array
    health: Health
    corrections: CorrectionState | None = None
    pose_equations: PoseEquations | None = None


def init_state(
    field: RadianceField,
    config: Config,
    key: jax.Array,
    params: Params | None = None,
    *,
    occupied: npt.NDArray[np.bool_] | None = None,
    num_views: int = 0,
    platform: str | None = None,
) -> TrainState:
    """The state before the first step.

    Args:
      field: what is trained.
      config: networks and optimiser.
      key: of fresh parameters and of the run.
      params: where training starts; None for fresh parameters.
      occupied: cells that may hold something, for a fresh proposal, see `nerf.field.CarveFn`; None
        for all.
      num_views: the number of training views, for their corrections.
      platform: `cpu`, `gpu` or `tpu`; None for the default.
    """

    def init(key: jax.Array, params: Params | None, occupied: jax.Array | None) -> TrainState:
        params_key, run_key = jax.random.split(key)
        if params is None:
            params = init_params(field, config.render, params_key)
        opt_state = make_optimizer(config.train).init(params)
        values = identity(num_views, config.train)
        corrections, equations = None, None
        if values is not None:
            of_gains = values._replace(pose_tangents=None)
            corrections = CorrectionState(values, correction_optimizer().init(of_gains))
            equations = None if values.pose_tangents is None else no_equations(num_views)
        zero = jnp.zeros((), jnp.int32)
        state = TrainState(params, opt_state, zero, run_key, health.init(), corrections, equations)
        return state if occupied is None else carve_state(field, state, occupied)

    # One program; without `jit`, each operation would be compiled on its own.
    options = parallel.fast_compilation_options(platform or default_platform())
    jitted = jax.jit(init, compiler_options=options)
    state: TrainState = jitted(key, params, occupied)
    return state


def carve_state(
    field: RadianceField, state: TrainState, occupied: jax.Array | npt.NDArray[np.bool_]
) -> TrainState:
    """A state whose proposal stores which cells are empty.

    Args:
      field: with a proposal that can know it.
      state: before its first step.
      occupied: see `nerf.field.CarveFn`.
    """
    assert field.proposal is not None
    assert field.proposal.carve is not None
    carved = field.proposal.carve(state.params[PROPOSAL], jnp.asarray(occupied))
    return state._replace(params={**state.params, PROPOSAL: carved})


def state_shardings(mesh: Mesh, state: TrainState) -> TrainState:
    """Shardings of a state: each device updates its own rows of a large array, and stores Adam's
    moments of these rows alone; parameters are replicated.
    """
    replicated = jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), state)
    shardings: TrainState = replicated._replace(
        opt_state=parallel.row_shardings(mesh, state.opt_state)
    )
    return shardings


def place_state(mesh: Mesh, state: TrainState) -> TrainState:
    """The state on the devices of a mesh, see `state_shardings`."""
    shardings = state_shardings(mesh, state)
    if global_arrays.spans_processes(mesh):
        return global_arrays.put_on_mesh(state, shardings)
    placed: TrainState = jax.device_put(state, shardings)
    return placed
