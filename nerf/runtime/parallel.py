"""Data parallelism: rays are sharded over the local devices, parameters are replicated.

A CPU is used as one device per core. Each core then computes whole rays; as a single
device, it would split every small matrix product over the cores and wait for the slowest. Several
accelerators are used in the same way.
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nerf.runtime import processes

T = TypeVar("T")

AXIS = "rays"
_MIN_SHARDED = 2**17  # elements; a smaller array costs little to update on every device
# XLA's newer library of CPU kernels is slower than Eigen on products as small as a layer's.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}
# XLA ends the process when a device is a minute late for an average, which happens when the process
# was suspended or a core had other work. This flag makes it wait; JAX has it since version 0.8.
_TIMEOUT_FLAG = "xla_cpu_collective_call_terminate_timeout_seconds"
_FIRST_JAX_WITH_TIMEOUT_FLAG = (0, 8)

# Options of glibc's `mallopt`: free memory is never given back to the system, each heap grows by
# 256 MB at a time (which costs nothing until it is used), and large buffers lie in the heap too.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_MALLOC_OPTIONS = {_M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**28, _M_MMAP_MAX: 0}


def usable_cores() -> int:
    """The number of CPU cores that this process may use, where the system says; else of all."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def use_all_cores(num_processes: int = 1, at_least: int = 1) -> None:
    """Makes each CPU core a separate device, and keeps freed memory for the next step.

    Args:
      num_processes: that share this machine's cores.
      at_least: devices, also on fewer cores.

    Both hold for the rest of the process.
    The number of devices can be set only before JAX is used for the first time. One that is set
    already (`JAX_NUM_CPU_DEVICES`, `XLA_FLAGS`) stays.
    """
    _keep_freed_memory()
    flags = os.environ.get("XLA_FLAGS", "")
    is_set = getattr(jax.config, "jax_num_cpu_devices", -1) >= 0
    is_set = is_set or "xla_force_host_platform_device_count" in flags
    if is_set or jax.__version_info__ < _FIRST_JAX_WITH_TIMEOUT_FLAG:
        return
    with contextlib.suppress(RuntimeError):  # JAX is in use already
        jax.config.update("jax_num_cpu_devices", max(at_least, usable_cores() // num_processes))
        if _TIMEOUT_FLAG not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} --{_TIMEOUT_FLAG}=1000000".strip()


def _keep_freed_memory() -> None:
    """Makes glibc keep large buffers that are freed, so that the next step can use them again.

    A step of large planes allocates tens of MB. By default they go back to the system after the
    step, and the next step waits while the system clears each page again. With another C library
    nothing changes.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        set_option = ctypes.CDLL(None).mallopt
        for option, value in _MALLOC_OPTIONS.items():
            set_option(option, value)


def make_mesh(num_rays: int) -> Mesh:
    """A mesh of the largest number of local devices that divides `num_rays`.

    >>> make_mesh(1).size
    1
    """
    devices = jax.local_devices()
    return Mesh(np.array(devices[: largest_divisor(num_rays, len(devices))]), (AXIS,))


def platform_of(mesh: Mesh) -> str:
    """The platform of a mesh's devices: `cpu`, `gpu` or `tpu`.

    >>> platform_of(make_mesh(1)) == jax.default_backend()
    True
    """
    platform: str = mesh.devices.flat[0].platform
    return platform


def largest_divisor(number: int, at_most: int) -> int:
    """The largest divisor of `number` that is not above `at_most`.

    >>> largest_divisor(1024, 20)
    16
    """
    return next(n for n in range(min(at_most, number), 0, -1) if number % n == 0)


def replicate(mesh: Mesh, tree: T, *, may_alias: bool | None = None) -> T:
    """Puts a copy of the arrays on every device of a mesh; those that are there are not copied.

    Args:
      mesh: the devices.
      tree: the arrays.
      may_alias: whether CPU devices may use the memory of NumPy arrays, which then must not change.
        The start of an array must be a multiple of 64 bytes.
    """
    placed: T = jax.device_put(tree, NamedSharding(mesh, P()), may_alias=may_alias)
    return placed


def row_shardings(mesh: Mesh, tree: Any) -> Any:
    """Shardings of arrays of which each device needs only its own rows.

    Args:
      mesh: the devices.
      tree: of arrays, or of what has their shapes.

    Returns:
      A tree of shardings: large arrays by rows, where they can be cut evenly, others replicated.
      In a job of several processes, all are replicated: each process has the whole state.
    """
    may_cut = mesh.size > 1 and not processes.is_distributed()

    def sharding(x: Any) -> NamedSharding:
        is_large = x.ndim > 0 and x.size >= _MIN_SHARDED and x.shape[0] % mesh.size == 0
        return NamedSharding(mesh, P(AXIS) if is_large and may_cut else P())

    return jax.tree.map(sharding, tree)


def is_placed(shardings: Any, tree: Any) -> bool:
    """Whether all arrays of a tree have the shardings of another tree, of the same classes.

    JAX recompiles a program for a sharding of another class, even on the same single device.
    """
    leaves = zip(jax.tree.leaves(tree), jax.tree.leaves(shardings), strict=True)
    return all(
        isinstance(x, jax.Array)
        and isinstance(x.sharding, type(sharding))
        and x.sharding.is_equivalent_to(sharding, x.ndim)
        for x, sharding in leaves
    )


def shard(
    mesh: Mesh, function: Callable[..., Any], *, average: bool, shardings: Any = None
) -> Callable[..., Any]:
    """Maps `function(replicated, rays)` over the devices, each with its shard of the rays.

    Args:
      mesh: the devices.
      function: of a tree that every device gets as a whole, and of a tree of arrays
        `[num_rays, ...]`, which are sharded along their first axis.
      average: whether the results are averaged over the devices; else they are concatenated along
        their first axis.
      shardings: where the averages go, a tree as the results, see `row_shardings`: each device
        gets its rows of an array that is sharded. None replicates them all.

    Returns:
      A function of both trees, with all rays.
    """
    if mesh.size == 1:
        return function

    def mean(x: jax.Array, sharding: NamedSharding) -> jax.Array:
        averaged: jax.Array
        if sharding.spec == P():
            averaged = jax.lax.pmean(x, AXIS)
        else:
            averaged = jax.lax.psum_scatter(x, AXIS, scatter_dimension=0, tiled=True) / mesh.size
        return averaged

    def on_one_device(replicated: Any, rays: Any) -> Any:
        result = function(replicated, rays)
        if average and shardings is not None:
            return jax.tree.map(mean, result, shardings)
        return jax.lax.pmean(result, AXIS) if average else result

    averaged = P() if shardings is None else jax.tree.map(lambda x: x.spec, shardings)
    mapped: Callable[..., Any] = jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(P(), P(AXIS)),
        out_specs=averaged if average else P(AXIS),
        check_vma=False,
    )
    return mapped


def jit_sharded(
    mesh: Mesh, function: Callable[..., Any], *, platform: str, debug: bool = False
) -> Any:
    """Compiles `shard` of a function whose results are concatenated.

    Args:
      mesh, function: see `shard`.
      platform: where the program will run, see `platform_of`.
      debug: whether `nerf.render.checks` wraps it, which does not accept compiler options.

    Returns:
      The compiled function, as `jax.jit` returns it.
    """
    return jax.jit(
        shard(mesh, function, average=False),
        compiler_options=None if debug else compiler_options(platform),
    )


def with_replicated_arguments(mesh: Mesh, function: Callable[..., T]) -> Callable[..., T]:
    """Makes a compiled function of a mesh replicate its arguments, which may be elsewhere."""
    if mesh.size == 1:
        return function
    return lambda *arguments: function(*replicate(mesh, arguments))


def wait_on_cpu(result: T, platform: str) -> T:
    """Waits for the result of a program that averages over devices, if they are CPU cores.

    If two such programs are queued, one core may begin with the first and another with the second;
    then they wait for each other for ever. Accelerators run programs in order, so there it returns
    at once.
    """
    return jax.block_until_ready(result) if platform == "cpu" else result


def choose_microbatch_size(
    num_rays: int, preferred: int | None, *, on_cpu: int, platform: str
) -> int:
    """The number of rays that go through a field at once: a divisor of `num_rays`.

    Args:
      num_rays: the rays of one device.
      preferred: the most rays at once. None means all rays on an accelerator, and `on_cpu` on a
        CPU, whose caches hold the activations of one or two thousand samples.
      on_cpu: the default on a CPU.
      platform: where the program will run, `cpu` or another.

    Returns:
      The largest divisor of `num_rays` that is at most `preferred`.

    >>> choose_microbatch_size(1024, 20, on_cpu=8, platform="cpu")
    16
    """
    if preferred is None:
        preferred = on_cpu if platform == "cpu" else num_rays
    return largest_divisor(num_rays, preferred)


def fast_compilation_options(platform: str) -> dict[str, Any] | None:
    """Options of `jax.jit` for a program that runs once: a CPU optimises it longer than it runs."""
    return {"xla_backend_optimization_level": 0} if platform == "cpu" else None


@functools.cache
def compiler_options(platform: str) -> dict[str, Any] | None:
    """Options of `jax.jit` for programs made of a field's small matrix products.

    None where XLA does not know the option: it would refuse to compile.
    """
    if platform != "cpu":
        return None
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            jax.jit(lambda: 0, compiler_options=_CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return None
    return _CPU_OPTIONS
