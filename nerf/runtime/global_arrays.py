"""Arrays on the devices of all processes of a job, see `nerf.runtime.processes`."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nerf.errors import UserError, counted
from nerf.runtime import parallel, processes

T = TypeVar("T")


def mesh_of_all(num_rays: int, num_depth_rays: int = 0) -> Mesh:
    """A mesh of the devices of all processes, those of one process side by side.

    Args:
      num_rays: that the devices share.
      num_depth_rays: further rays, of known depth, that they share as well.

    Raises:
      UserError: if the rays cannot be shared evenly.
    """
    found = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    for name, number in (("num_rays", num_rays), ("num_depth_rays", num_depth_rays)):
        if number % len(found):
            raise UserError(
                f"`train.{name}={number}` cannot be shared evenly by "
                f"{counted(len(found), 'device')} of "
                f"{counted(processes.count(), 'process', 'processes')}: give a multiple of "
                f"{len(found)}"
            )
    return Mesh(np.array(found), (parallel.AXIS,))


def spans_processes(mesh: Mesh) -> bool:
    """Whether some devices of a mesh belong to other processes."""
    return processes.count() > 1 and any(
        device.process_index != processes.index() for device in mesh.devices.flat
    )


def replicate_on_all(mesh: Mesh, tree: T, *, may_alias: bool | None = None) -> T:
    """`nerf.runtime.parallel.replicate`, also for a mesh of several processes."""
    if spans_processes(mesh):
        return put_on_mesh(tree, NamedSharding(mesh, P()), may_alias=may_alias)
    return parallel.replicate(mesh, tree, may_alias=may_alias)


def put_on_mesh(tree: T, shardings: Any, *, may_alias: bool | None = None) -> T:
    """Arrays that every process has as a whole, on the devices of a mesh of all processes.

    Args:
      tree: of arrays, which must be the same on all processes; random keys are among them.
      shardings: a tree of shardings; one serves for all.
      may_alias: see `nerf.runtime.parallel.replicate`.
    """

    def one(x: Any, sharding: NamedSharding) -> Any:
        if _is_key(x):
            data = one(jax.random.key_data(local(x)), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
        if isinstance(x, jax.Array) and x.sharding.is_equivalent_to(sharding, x.ndim):
            return x
        whole = np.asarray(local(x))
        indices = sharding.addressable_devices_indices_map(whole.shape)
        parts = [
            jax.device_put(whole[index], device, may_alias=may_alias)
            for device, index in indices.items()
        ]
        return jax.make_array_from_single_device_arrays(whole.shape, sharding, parts)

    if isinstance(shardings, NamedSharding):
        single = shardings
        shardings = jax.tree.map(lambda _: single, tree)
    placed: T = jax.tree.map(one, tree, shardings)
    return placed


def from_own_rows(tree: T, mesh: Mesh) -> T:
    """Arrays sharded by rows over a mesh, of which each process gives its own rows.

    Args:
      tree: of arrays on the host `[rows_of_this_process, ...]`; random keys are among them.
      mesh: of all processes.
    """
    sharding = NamedSharding(mesh, P(parallel.AXIS))

    def one(x: Any) -> Any:
        if _is_key(x):
            data = one(np.asarray(jax.random.key_data(x)))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
        return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    placed: T = jax.tree.map(one, tree)
    return placed


def _is_key(x: Any) -> bool:
    """Whether it is an array of random keys, which no array on the host can be."""
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def local(tree: T) -> T:
    """Replicated arrays as this process has them, on one of its devices."""

    def one(x: Any) -> Any:
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            return x.addressable_data(0)
        return x

    here: T = jax.tree.map(one, tree)
    return here


def own_rows(mesh: Mesh, num_rows: int) -> slice:
    """Which rows of an array, sharded by rows, the devices of this process have."""
    size = num_rows // mesh.size
    positions = [
        n for n, d in enumerate(mesh.devices.flat) if d.process_index == jax.process_index()
    ]
    return slice(positions[0] * size, (positions[-1] + 1) * size)
