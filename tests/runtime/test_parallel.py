"""However the rays are sharded, the result is the same."""

import functools
import os
import platform as system
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from nerf.config import presets
from nerf.config import text as config_text
from nerf.field import make_field
from nerf.runtime import parallel
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.support.cameras import cameras_at_origin, ndc_of, views_from_origin
from tests.support.fields import small_config

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
TINY = ("width=16", "rgb_width=8", "num_layers=2", "skip_layer=1")
SETTINGS = config_text.override(
    presets.NOTEBOOK,
    *(f"field.{setting}" for setting in TINY),
    "render.num_coarse=8",
    "render.num_fine=8",
    "train.num_rays=24",
    "train.adam_eps=1e-3",  # else a gradient of nothing but rounding moves a parameter as any other
)
SPACE = ndc_of(cameras_at_origin(1, 5, 6))


@pytest.fixture
def views(key):
    return views_from_origin(jax.random.uniform(key, (1, 5, 6, 3)))


@pytest.fixture
def steps_on(monkeypatch):
    return functools.partial(_steps_on, monkeypatch)


def _steps_on(monkeypatch, num_devices, backend, views, num_steps, rays_per_microbatch=24, calls=1):
    """The state and metrics after some steps, on the host."""
    field = make_field(backend, "mlp", SETTINGS.field)
    mesh = Mesh(np.array(jax.devices()[:num_devices]), (parallel.AXIS,))
    monkeypatch.setattr(parallel, "make_mesh", lambda _: mesh)
    step = make_step(field, SETTINGS, views, space=SPACE, rays_per_microbatch=rays_per_microbatch)
    state = init_state(field, SETTINGS, jax.random.key(1))
    for _ in range(calls):
        state, metrics = step(state, num_steps)
    return jax.device_get((state.params, state.step, metrics))


def assert_close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), ours, theirs)


def test_tests_run_on_several_devices_as_the_program_does():
    assert jax.local_device_count() == 2


@pytest.mark.parametrize(("num_rays", "size"), [(1, 1), (2, 2), (7, 1), (1024, 2)])
def test_a_mesh_has_as_many_devices_as_divide_the_rays(num_rays, size):
    assert parallel.make_mesh(num_rays).size == size


def test_results_are_averaged_or_concatenated():
    mesh = parallel.make_mesh(6)
    numbers = jnp.arange(6.0)
    mean = parallel.shard(mesh, lambda c, x: c * jnp.mean(x), average=True)
    squares = parallel.shard(mesh, lambda c, x: c * x * x, average=False)
    assert float(jax.jit(mean)(2.0, numbers)) == 2.0 * 2.5
    np.testing.assert_array_equal(jax.jit(squares)(2.0, numbers), 2.0 * np.arange(6.0) ** 2)
    each = parallel.shard(mesh, lambda c, x: c + jnp.zeros(1) + x.size, average=False)
    np.testing.assert_array_equal(jax.jit(each)(0.0, numbers), [3.0, 3.0])


def test_replicated_arrays_are_not_copied_again():
    mesh = parallel.make_mesh(2)
    placed = parallel.replicate(mesh, jnp.ones(3))
    assert placed.sharding.spec == P()
    again = parallel.replicate(mesh, placed)
    assert [s.data.unsafe_buffer_pointer() for s in again.addressable_shards] == [
        s.data.unsafe_buffer_pointer() for s in placed.addressable_shards
    ]


@pytest.mark.usefixtures("usual_compilation")
@pytest.mark.parametrize("rays_per_microbatch", [1, 4, 12])
def test_a_step_is_the_same_on_one_device_and_on_two(steps_on, backend, views, rays_per_microbatch):
    one = steps_on(1, backend, views, 3)
    two = steps_on(2, backend, views, 3, rays_per_microbatch)
    assert_close(one, two)
    assert float(one[2].loss) > 0


@pytest.mark.parametrize("is_sharded", [False, True])
def test_whether_moments_are_sharded_makes_no_difference(monkeypatch, backend, views, is_sharded):
    """Each device then updates its own rows of the arrays."""
    settings = small_config("planes", "train.num_rays=24", "field.resolution=[4, 6, 2]")
    field = make_field(backend, "planes", settings.field)
    monkeypatch.setattr(parallel, "_MIN_SHARDED", 1 if is_sharded else 2**30)

    def steps_on(num_devices):
        mesh = Mesh(np.array(jax.devices()[:num_devices]), (parallel.AXIS,))
        monkeypatch.setattr(parallel, "make_mesh", lambda _: mesh)
        step = make_step(field, settings, views, space=SPACE)
        state = init_state(field, settings, jax.random.key(1))
        state, metrics = step(state, 3)
        count = sum(not leaf.is_fully_replicated for leaf in jax.tree.leaves(state.opt_state))
        assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(state.params))
        assert (count > 0) == (is_sharded and num_devices > 1)
        return jax.device_get((state.params, state.opt_state, metrics))

    assert_close(steps_on(1), steps_on(2))


def test_steps_in_one_call_are_steps_in_several(steps_on, backend, views):
    together, apart = steps_on(2, backend, views, 4), steps_on(2, backend, views, 1, calls=4)
    assert int(together[1]) == int(apart[1]) == 4
    assert_close(together, apart)


def test_one_step_is_over_before_the_next_begins(views):
    """Cores that had two of them would wait for each other, each in another one, for ever."""
    field = make_field("flax", "mlp", SETTINGS.field)
    step = make_step(field, SETTINGS, views, space=SPACE)
    state = init_state(field, SETTINGS, jax.random.key(0))
    for _ in range(20):
        state, metrics = step(state, 50)
        assert all(leaf.is_ready() for leaf in jax.tree.leaves((state.params, metrics)))


def test_a_call_with_another_number_of_steps_compiles_nothing(views):
    field = make_field("flax", "mlp", SETTINGS.field)
    traces = []

    def apply(*args, **kwargs):
        traces.append(1)
        return field.apply(*args, **kwargs)

    counted = field._replace(apply=apply)
    step = make_step(counted, SETTINGS, views, space=SPACE, rays_per_microbatch=8)
    state, _ = step(init_state(field, SETTINGS, jax.random.key(0)), 1)
    traced = len(traces)
    for num_steps in (1, 3, 2):
        state, _ = step(state, num_steps)
    assert len(traces) == traced > 0
    assert int(state.step) == 7


def test_a_microbatch_is_the_largest_divisor_within_the_limit():
    for num_rays in range(1, 40):
        for preferred in range(1, 45):
            fitting = [n for n in range(1, num_rays + 1) if num_rays % n == 0 and n <= preferred]
            for platform in ("cpu", "gpu"):
                options = {"on_cpu": 8, "platform": platform}
                chosen = parallel.choose_microbatch_size(num_rays, preferred, **options)
                assert chosen == max(fitting)
            on_cpu = parallel.choose_microbatch_size(
                num_rays, None, on_cpu=preferred, platform="cpu"
            )
            assert on_cpu == chosen


@pytest.mark.parametrize("platform", ["gpu", "cuda", "tpu"])
def test_an_accelerator_takes_all_rays_at_once_and_no_options_of_a_cpu(platform):
    assert parallel.choose_microbatch_size(1024, None, on_cpu=8, platform=platform) == 1024
    assert parallel.compiler_options(platform) is None
    assert parallel.fast_compilation_options(platform) is None


def in_another_process(code, **variables):
    """What a program prints that has not used JAX yet, under some environment variables."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XLA_FLAGS": "", **variables}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


COUNT = """
import os, jax
from nerf.runtime import parallel
parallel.use_all_cores()
print(jax.local_device_count(), parallel.usable_cores(), os.environ["XLA_FLAGS"])
"""
WAITS = "--xla_cpu_collective_call_terminate_timeout_seconds=1000000"


@pytest.mark.skipif(jax.__version_info__ < (0, 8), reason="before JAX 0.8 the cores stay together")
def test_every_core_is_a_device_and_waits_for_the_others():
    devices, cores, *flags = in_another_process(COUNT)
    assert devices == cores
    assert flags == [WAITS]


FAULTS = """
import resource
import numpy as np
def touch():
    arrays = [np.ones({megabytes} * 2**18 - 2**12, np.float32) for _ in range(8)]
touch(); touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(system.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.parametrize("megabytes", [16, 40])  # from 32 on, glibc would map each by itself
def test_memory_that_is_freed_is_kept(megabytes):
    """A large buffer that is allocated again after it was freed causes no page faults."""
    faults = FAULTS.format(megabytes=megabytes)
    keeping = "from nerf.runtime import parallel\nparallel.use_all_cores()\n"
    (faults_when_kept,) = in_another_process(keeping + faults)
    (when_returned,) = in_another_process(faults)
    if int(when_returned) < 1000:
        pytest.skip("this system keeps it by itself, or has large pages")
    assert int(faults_when_kept) < int(when_returned) / 20


@pytest.mark.parametrize(
    "variables",
    [
        {"JAX_NUM_CPU_DEVICES": "3"},
        {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"},
    ],
)
def test_a_chosen_number_of_devices_stays(variables):
    devices, _, *flags = in_another_process(COUNT, **variables)
    assert devices == "3"
    assert flags == variables.get("XLA_FLAGS", "").split()


@pytest.mark.skipif(jax.__version_info__ < (0, 8), reason="before JAX 0.8 the cores stay together")
def test_other_flags_of_xla_stay():
    _, _, *flags = in_another_process(COUNT, XLA_FLAGS="--xla_cpu_enable_fast_math=false")
    assert flags == ["--xla_cpu_enable_fast_math=false", WAITS]


def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert parallel.usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert parallel.usable_cores() == 1


@pytest.mark.parametrize(
    ("option", "is_known"), [("xla_no_such_option", False), ("xla_cpu_enable_fast_math", True)]
)
def test_an_unknown_option_is_left_out(monkeypatch, option, is_known):
    monkeypatch.setattr(parallel, "_CPU_OPTIONS", {option: False})
    parallel.compiler_options.cache_clear()
    try:
        assert parallel.compiler_options("cpu") == ({option: False} if is_known else None)
    finally:
        parallel.compiler_options.cache_clear()
