"""All devices at once: each takes a share of the rays, and has the whole of the parameters.

A CPU serves best as one device a core: each goes through rays of its own, where one device would
cut every small product into a share for each core, and wait for the last. Several accelerators are
used in the same way.
"""

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

T = TypeVar("T")

AXIS = "rays"
# XLA's newer library of CPU kernels is slower than Eigen on products as small as a layer's.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}
# XLA ends the process when a device is a minute late for an average, as it is when the process was
# suspended or a core had other work. This flag makes it wait; before JAX 0.8 there is none.
_PATIENCE = "xla_cpu_collective_call_terminate_timeout_seconds"
_FIRST_JAX_WITH_PATIENCE = (0, 8)


def usable_cores() -> int:
    """The CPU cores that this process may use, where the system tells; else all."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def use_all_cores() -> None:
    """Makes one device of each CPU core; to be called before JAX is first used, else in vain.

    A number that is chosen already (`JAX_NUM_CPU_DEVICES`, `XLA_FLAGS`) stays.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    chosen = getattr(jax.config, "jax_num_cpu_devices", -1) >= 0
    chosen = chosen or "xla_force_host_platform_device_count" in flags
    if chosen or jax.__version_info__ < _FIRST_JAX_WITH_PATIENCE:
        return
    with contextlib.suppress(RuntimeError):  # JAX runs already
        jax.config.update("jax_num_cpu_devices", usable_cores())
        if _PATIENCE not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} --{_PATIENCE}=1000000".strip()


def make_mesh(num_rays: int) -> Mesh:
    """As many of the devices as share `num_rays` out evenly.

    >>> make_mesh(1).size
    1
    """
    devices = jax.local_devices()
    return Mesh(np.array(devices[: largest_divisor(num_rays, len(devices))]), (AXIS,))


def largest_divisor(number: int, at_most: int) -> int:
    """The largest divisor of `number` that is not above `at_most`.

    >>> largest_divisor(1024, 20)
    16
    """
    return next(n for n in range(min(at_most, number), 0, -1) if number % n == 0)


def replicate(mesh: Mesh, tree: T) -> T:
    """The same arrays, whole, on every device of a mesh; what is there already is not copied."""
    placed: T = jax.device_put(tree, NamedSharding(mesh, P()))
    return placed


def shard(mesh: Mesh, function: Callable[..., Any], *, average: bool) -> Callable[..., Any]:
    """Calls `function(whole, share)` on every device with its share of the leading axis.

    Args:
      mesh: the devices.
      function: of a tree that every device gets whole, and of one whose arrays `[num_rays, ...]`
        are shared out.
      average: whether the results are averaged over the devices; else they are put together along
        the leading axis.

    Returns:
      A function of both trees.
    """
    if mesh.size == 1:
        return function

    def on_one_device(whole: Any, share: Any) -> Any:
        result = function(whole, share)
        return jax.lax.pmean(result, AXIS) if average else result

    mapped: Callable[..., Any] = jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(P(), P(AXIS)),
        out_specs=P() if average else P(AXIS),
        check_vma=False,
    )
    return mapped


def jit_sharded(mesh: Mesh, function: Callable[..., Any], *, debug: bool = False) -> Any:
    """`shard`, compiled, for results that are put together.

    Args:
      mesh, function: see `shard`.
      debug: whether `nerf.render.checks` wraps it, which bears no compiler options.

    Returns:
      What `jax.jit` returns.
    """
    return jax.jit(
        shard(mesh, function, average=False),
        compiler_options=None if debug else compiler_options(),
    )


def with_replicated_arguments(mesh: Mesh, function: Callable[..., T]) -> Callable[..., T]:
    """A compiled function of a mesh, for arguments that may lie elsewhere."""
    if mesh.size == 1:
        return function
    return lambda *arguments: function(*replicate(mesh, arguments))


def wait_on_cpu(result: T) -> T:
    """Waits for a program that averages over devices, where they are a CPU's cores.

    Cores that are handed one such program after the other can each begin with another one, and
    wait for each other for ever. Accelerators keep the order, and are not waited for.
    """
    return jax.block_until_ready(result) if jax.default_backend() == "cpu" else result


def choose_microbatch_size(num_rays: int, preferred: int | None, *, on_cpu: int) -> int:
    """The largest divisor of `num_rays` that is at most `preferred`.

    Without a preference: all rays at once on an accelerator, and `on_cpu` on a CPU, whose caches
    hold the activations of one or two thousand samples.

    >>> choose_microbatch_size(1024, 20, on_cpu=8)
    16
    """
    if preferred is None:
        preferred = on_cpu if jax.default_backend() == "cpu" else num_rays
    return largest_divisor(num_rays, preferred)


def fast_compilation_options() -> dict[str, Any] | None:
    """For `jax.jit` of what runs once: a CPU takes longer to optimise it than to do it."""
    return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None


@functools.cache
def compiler_options() -> dict[str, Any] | None:
    """For `jax.jit` of programs that are made of a field's small products.

    An XLA that does not know the option refuses to compile under it.
    """
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=_CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return None
    return _CPU_OPTIONS
