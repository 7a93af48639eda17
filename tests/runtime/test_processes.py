"""How a process joins a job: what is refused at once, and who says what at the end."""

import io
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from nerf.errors import UserError
from nerf.runtime import exchange, exit_report, fixed_order, global_arrays, parallel, processes
from nerf.runtime.processes import JobOptions

HERE = "127.0.0.1:4321"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (JobOptions(coordinator=HERE), "`coordinator` needs `num_processes` as well"),
        (JobOptions(coordinator=HERE, num_processes=2), "`coordinator` needs `process_id`"),
        (JobOptions(num_processes=2), "`num_processes` needs `coordinator`"),
        (JobOptions(process_id=0), "`process_id` needs `coordinator`"),
        (JobOptions(False, HERE, 2, 2), "`process_id=2` must be from 0 to 1"),
        (JobOptions(False, "here", 2, 0), "must be HOST:PORT"),
        (JobOptions(False, "here:0", 2, 0), "must be HOST:PORT"),
        (JobOptions(False, "here:70000", 2, 0), "must be HOST:PORT"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(options, reason):
    with pytest.raises(UserError, match=reason):
        options.check()


@pytest.mark.parametrize(
    "options", [JobOptions(), JobOptions(is_detected=True), JobOptions(False, HERE, 2, 1)]
)
def test_numbers_that_fit_are_not(options):
    options.check()


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        (HERE, True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("10.0.0.1:1", False),
        ("n1:1", False),
    ],
)
def test_a_coordinator_of_this_machine_alone_is_known(address, is_local):
    assert JobOptions(False, address, 2, 0).is_local == is_local


def test_no_coordinator_is_waited_for_the_stated_time():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"  # nobody listens
        options = JobOptions(False, address, 2, 1, start_seconds=0.3)
        with pytest.raises(UserError, match=r"no process answers at .* within 0.3 s"):
            processes.start(options)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("coordinator_address should be defined."), "finds no job of Slurm, Open MPI"),
        (
            RuntimeError("Kubernetes API Error: 403 - Forbidden\nIt appears that"),
            r"could not be joined \(Kubernetes API Error: 403 - Forbidden\)",
        ),
    ],
)
def test_a_job_that_cannot_be_read_is_told_from_none(monkeypatch, error, reason):
    def initialize(*_, **__):
        raise error

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(UserError, match=reason):
        processes._initialize(JobOptions(is_detected=True))


def test_a_port_that_is_in_use_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(UserError, match="name a port of this machine that is free"):
            processes.start(JobOptions(False, address, 2, 0, start_seconds=5))


def test_without_a_job_there_is_one_process():
    assert not processes.is_distributed()
    assert (processes.count(), processes.index(), processes.is_first()) == (1, 0, True)
    processes.leave(3)  # which ends a process of a job alone


@pytest.mark.parametrize(
    ("text", "is_lost"),
    [
        ("UNKNOWN: Gloo AllGather failed: Connection closed by peer", True),
        ("INTERNAL: NCCL operation failed", True),
        ("RESOURCE_EXHAUSTED: out of memory", False),
        ("no such array", False),
    ],
)
def test_errors_of_a_lost_process_are_told_from_others(monkeypatch, text, is_lost):
    assert processes.lost_process(RuntimeError(text)) is None  # without a job
    monkeypatch.setattr(processes, "count", lambda: 2)
    message = processes.lost_process(RuntimeError(text))
    assert (message is not None) == is_lost
    assert message is None or "what was saved is kept" in message


def test_without_a_job_nothing_is_exchanged():
    assert exchange.broadcast_value({"a": 1}) == {"a": 1}
    assert exchange.gather_texts("x") == ["x"]
    assert exchange.broadcast_bytes(b"abc") == b"abc"
    assert exchange.call_on_all(lambda: 5) == exchange.call_on_first(lambda: 5) == 5
    np.testing.assert_array_equal(exchange.all_gather(np.arange(3)), [[0, 1, 2]])


@pytest.mark.parametrize(
    ("lines", "printed"), [("", ""), ("a\n", "a\n"), ("a\nb\n", "b\n"), ("a\n\n", "")]
)
def test_the_last_message_is_printed(lines, printed):
    output = io.StringIO()
    exit_report.print_last_message(io.StringIO(lines), output)
    assert output.getvalue() == printed


@pytest.mark.parametrize(
    ("ends", "printed"), [("os.kill(os.getpid(), 9)", "gone\n"), ("x.close()", "")]
)
def test_a_killed_process_leaves_an_exit_report(ends, printed):
    code = "import os; from nerf.runtime.exit_report import ExitReport; x = ExitReport(); "
    code += f"x.set_message('gone'); {ends}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stderr == printed


def mean_on(num_devices, values, num_shards):
    """The mean of `sin` of 64 numbers, and of the numbers, in shards."""
    mesh = Mesh(np.array(jax.devices()[:num_devices]), (parallel.AXIS,))

    def function(scale, x):
        return {"sin": jnp.sum(jnp.sin(scale * x)) / x.size, "x": jnp.mean(x)}

    mean = fixed_order.mean_in_fixed_order(mesh, function, num_shards)
    return jax.device_get(jax.jit(mean)(jnp.float32(3.0), values))


@pytest.mark.parametrize("num_shards", [2, 4, 8])
def test_a_mean_in_fixed_order_has_the_same_bits_on_one_device_and_on_two(num_shards):
    values = jnp.asarray(np.random.default_rng(0).standard_normal(64), jnp.float32)
    one, two = mean_on(1, values, num_shards), mean_on(2, values, num_shards)
    assert one == two
    np.testing.assert_allclose(two["x"], np.mean(np.asarray(values)), rtol=1e-5)


def test_sums_are_of_pairs_and_pairs_of_pairs():
    big, values = np.float32(2**24), np.ones(8, np.float32)
    values[0] = big  # to which 1 alone adds nothing
    found = mean_on(1, jnp.asarray(values), 8)["x"] * 8
    assert found == ((big + 1) + np.float32(2)) + np.float32(4)
    assert found != sum(values.tolist()[1:], start=0.0) + float(big)


@pytest.mark.parametrize("num_rays", [32, 36, 1000, 1024])
def test_shards_can_be_shared_evenly(num_rays):
    for num_devices in range(1, 20):
        if num_rays % num_devices == 0:
            shards = fixed_order.num_shards(num_rays, num_devices)
            assert shards % num_devices == num_rays % shards == 0


def test_rays_that_cannot_be_shared_are_refused():
    with pytest.raises(
        UserError, match=r"`train.num_rays=33` cannot be shared evenly by 2 devices"
    ):
        global_arrays.mesh_of_all(33)
