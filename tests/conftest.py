"""What all tests share: strict JAX, no network, one list of backends, and where the data lie."""

import gc
import itertools
import os
import shutil
import signal
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is imported
os.environ["NERF_OFFLINE"] = "1"
# Nothing is left in the user's cache folder. Many tests compile the same tiny programs, so each
# worker shares a cache of them with the programs that it starts. A cache of all workers needs JAX's
# lock, which comes with a limit of its size, and then each addition looks at all files.
if is_first := "NERF_TEST_COMPILED" not in os.environ:
    os.environ["NERF_TEST_COMPILED"] = tempfile.mkdtemp(prefix="nerf-test-compiled-")
    os.environ["NERF_CACHE_DIR"] = tempfile.mkdtemp(prefix="nerf-test-cache-")  # traced scenes
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(
    os.environ["NERF_TEST_COMPILED"], os.environ.get("PYTEST_XDIST_WORKER", "one")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"
# Also of the programs that tests start, see `quick_compilation`.
if not os.environ.get("NERF_LONG_TESTS"):
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

import jax
import pytest

from tests.support.long_tests import is_long
from tests.support.quick_compilation import compile_quickly
from tests.support.signals import SIGNALS

IS_QUICK = not os.environ.get("NERF_LONG_TESTS")
BACKENDS = ["haiku", "flax", "nnx"]
CONVENTIONS = ["notebook", "paper", "planes"]  # presets: two of the field `mlp`, one of `planes`


def pytest_collection_finish():
    """What is imported now stays, so that collecting garbage need not look at it time and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(config, items):
    """Leaves out what only the long form has; `NERF_LONG_TESTS=1` runs it."""
    if not IS_QUICK:
        return
    left_out = [item for item in items if is_long(item.nodeid)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not is_long(item.nodeid)]


def pytest_unconfigure():
    if is_first:
        for name in ("NERF_TEST_COMPILED", "NERF_CACHE_DIR"):
            shutil.rmtree(os.environ[name], ignore_errors=True)


# As the program does it, so that the tests run what users run.
jax.config.update("jax_num_cpu_devices", 2)
# A silent broadcast or promotion is the usual way to a wrong number, so both are errors here.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Two backends agree to float32 rounding only where an accelerator does not fall back to TF32.
jax.config.update("jax_default_matmul_precision", "float32")
compile_quickly(IS_QUICK)


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(params=itertools.product(BACKENDS, CONVENTIONS), ids="-".join)
def implementation(request):
    """A backend and a preset, which is of a field: every field on every backend."""
    return request.param


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def usual_compilation():
    """For programs that must be fast, or are compared more closely than others."""
    compile_quickly(False)
    yield
    compile_quickly(IS_QUICK)


@pytest.fixture
def unoptimised_compilation(usual_compilation):
    """For two programs of which one does more: what both compute is then rounded alike."""
    jax.config.update("jax_disable_most_optimizations", True)


def _data_dir():
    if not (data_dir := os.environ.get("NERF_DATA_DIR")):
        pytest.skip("NERF_DATA_DIR is unset: no photographs")
    return Path(data_dir)


@pytest.fixture(scope="session")
def flower_dir():
    """The photographs of the flower and the published parameters."""
    if not (flower := _data_dir() / "flower").is_dir():
        pytest.skip(f"NERF_DATA_DIR has no folder {flower.name}")
    return flower


@pytest.fixture(scope="session")
def golden_dir():
    """What the published notebook's own code computed."""
    named = os.environ.get("NERF_GOLDEN_DIR")
    golden = Path(named) if named else _data_dir().resolve().parents[1] / "golden"
    if not golden.is_dir():
        pytest.skip("no goldens: neither NERF_GOLDEN_DIR nor NERF_DATA_DIR leads to them")
    return golden


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """The folder of a tiny scene in LLFF layout, see `command_line.write_scene`."""
    from tests.support.command_line import write_scene

    return write_scene(tmp_path_factory.mktemp("scenes") / "meadow")


class TrainedRuns(dict):
    """By backend: a run folder, trained from scratch when first asked for, and what was printed."""

    def __init__(self, scene, folder):
        super().__init__()
        self._scene, self._folder = scene, folder

    def __missing__(self, backend):
        from tests.support.command_line import call_successfully, train_flags

        run_dir = self._folder / backend
        out = call_successfully(*train_flags(self._scene, backend, f"--run_dir={run_dir}"))
        self[backend] = (run_dir, out)
        return self[backend]


@pytest.fixture(scope="session")
def trained(scene, tmp_path_factory):
    return TrainedRuns(scene, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def run_dir(trained, backend):
    return trained[backend][0]


@pytest.fixture(params=SIGNALS)
def signal_number(request):
    return request.param


@pytest.fixture
def usual_handlers():
    """Python's own answer to the signals, whatever the tests were started with."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield usual
    for number, handler in before.items():
        signal.signal(number, handler)
