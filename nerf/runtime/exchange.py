"""What processes of a job exchange besides gradients: bytes, decisions, errors.

Each function is called by all processes in the same order, and returns when all have called it. A
process that is lost ends the others, see `nerf.runtime.processes`.
"""

import contextlib
import functools
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nerf.errors import UserError, counted, listed
from nerf.runtime import processes

_AXIS = "processes"
_BLOCK = 2**22  # bytes of each process that travel at once
_WORD = 4  # bytes of the type in which all others travel

T = TypeVar("T")
A = TypeVar("A")


def join(
    options: processes.JobOptions,
    resume_command: str | None = None,
    format_message: processes.FormatMessageFn = str,
) -> str:
    """Joins the job of several processes, see `nerf.runtime.processes.start`.

    Returns:
      How many processes, machines and devices there are, for people.

    Raises:
      UserError: also where a process is lost before all have met.
    """
    processes.start(options, resume_command, format_message)
    try:
        with _no_output_of_gloo():
            hosts = len(
                set(gather_texts(socket.gethostname()))
            )  # and they all meet, see `_gather_program`
    except Exception as error:
        if processes.lost_process(error) is None:
            raise
        raise UserError(
            "the processes did not all meet: one has ended, or their numbers differ; "
            f"{processes.UNFIT}"
        ) from error
    return (
        f"{counted(processes.count(), 'process', 'processes')} on {counted(hosts, 'machine')}, "
        f"{counted(jax.device_count(), 'device')}"
    )


@contextlib.contextmanager
def _no_output_of_gloo() -> Iterator[None]:
    """Within the block, nothing goes to stdout, on which gloo says when it has connected."""
    sys.stdout.flush()
    with open(os.devnull, "wb") as nowhere:
        stdout_copy = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(stdout_copy, 1)
            os.close(stdout_copy)


def all_gather(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array of every process, which has the same shape on all, `[num_processes, ...]`.

    The bits arrive as they are: all types travel as pieces of four bytes.
    """
    values = np.asarray(values)
    if processes.count() == 1 or values.size == 0:
        return np.repeat(values[None], processes.count(), axis=0)
    data = values.tobytes()
    words = np.frombuffer(data + b"\0" * (-len(data) % _WORD), np.uint32)
    size = _BLOCK // _WORD
    blocks = [_all_gather_words(words[at : at + size]) for at in range(0, len(words), size)]
    found = [row.tobytes()[: len(data)] for row in np.concatenate(blocks, axis=1)]
    return np.stack([np.frombuffer(row, values.dtype).reshape(values.shape) for row in found])


def _all_gather_words(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """`[num_processes, num_words]`; each device of a process gives a part of its row."""
    mesh, gather = _gather_program()
    sharding = NamedSharding(mesh, P(_AXIS))
    num_local = len(mesh.local_devices)
    padded = np.pad(words, (0, -len(words) % num_local)).reshape(num_local, -1)
    rows = [
        jax.device_put(part[None], device)
        for part, device in zip(padded, mesh.local_devices, strict=True)
    ]
    shape = (mesh.size, padded.shape[-1])
    everyones = gather(jax.make_array_from_single_device_arrays(shape, sharding, rows))
    whole = np.asarray(jax.block_until_ready(everyones).addressable_data(0))
    return whole.reshape(processes.count(), -1)[:, : len(words)]


@functools.cache
def _gather_program() -> tuple[Mesh, Callable[[jax.Array], jax.Array]]:
    """The devices of all processes, and a program that gives every device the rows of all.

    It is the same group of devices as in training: gloo gives the members of a group half a minute
    to meet for the first time, so they do that at the start, and not when they have compiled.
    """
    found = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    mesh = Mesh(np.array(found), (_AXIS,))

    def gather(rows: jax.Array) -> jax.Array:
        everyones: jax.Array = jax.lax.all_gather(rows, _AXIS, tiled=True)
        return everyones

    mapped = jax.shard_map(gather, mesh=mesh, in_specs=P(_AXIS), out_specs=P(), check_vma=False)
    return mesh, jax.jit(mapped)


def broadcast_bytes(data: bytes | None) -> bytes:
    """The `data` of the first process; that of the others is ignored."""
    if processes.count() == 1:
        return data or b""
    data_sent = data or b"" if processes.is_first() else b""
    size = int(all_gather(np.array(len(data_sent), np.int64))[0])
    parts = []
    for start in range(0, size, _BLOCK):  # else the others would send as many bytes at once
        block = np.zeros(min(_BLOCK, size - start), np.uint8)
        if processes.is_first():
            block = np.frombuffer(data_sent[start : start + _BLOCK], np.uint8)
        parts.append(all_gather(block)[0].tobytes())
    return b"".join(parts)


def broadcast_value(value: Any) -> Any:
    """A value that JSON can hold, as the first process has it."""
    if processes.count() == 1:
        return value
    return json.loads(broadcast_bytes(json.dumps(value).encode() if processes.is_first() else None))


def gather_texts(text: str) -> list[str]:
    """A text of every process, in their order."""
    if processes.count() == 1:
        return [text]
    own = text.encode()
    longest = int(all_gather(np.array(len(own), np.int64)).max())
    block = np.zeros(longest + 8, np.uint8)
    block[:8] = np.frombuffer(np.array(len(own), np.int64).tobytes(), np.uint8)
    block[8 : 8 + len(own)] = np.frombuffer(own, np.uint8)
    rows = all_gather(block)
    sizes = [int(np.frombuffer(row[:8].tobytes(), np.int64)[0]) for row in rows]
    return [row[8 : 8 + size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]


def call_on_all(function: Callable[[], T]) -> T:
    """The result of a function that each process calls; an error in one is raised in all.

    Raises:
      UserError: the own one, or that of another process with its number.
      OSError: the own one.
    """
    if processes.count() == 1:
        return function()
    result, error = _attempt(function)
    messages = gather_texts("" if error is None else str(error) or repr(error))
    if error is not None:
        raise error
    wrong = [f"process {number}: {text}" for number, text in enumerate(messages) if text]
    if wrong:
        raise UserError(f"another process ended with an error: {listed(wrong)}")
    assert result is not None
    return result[0]


def call_on_first(function: Callable[[], T]) -> T | None:
    """The result of a function that the first process calls alone; None in the others.

    Raises:
      UserError: in all processes, if the first has it.
    """
    return call_on_all(function if processes.is_first() else lambda: None)


def barrier() -> None:
    """Waits until all processes call it, however long that takes."""
    all_gather(np.zeros(1, np.uint32))


def broadcast_tree(tree: A) -> A:
    """A tree of arrays on the host as the first process has it, bit for bit.

    Args:
      tree: of NumPy arrays, with the same shapes and types on all processes.
    """
    if processes.count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    arrays = [np.asarray(leaf) for leaf in leaves]
    data = b"".join(x.tobytes() for x in arrays) if processes.is_first() else None
    sent, start, found = broadcast_bytes(data), 0, []
    for x in arrays:
        part = sent[start : start + x.nbytes]
        found.append(np.frombuffer(part, x.dtype).reshape(x.shape).copy())
        start += x.nbytes
    whole: A = jax.tree.unflatten(structure, found)
    return whole


def _attempt(function: Callable[[], T]) -> tuple[tuple[T] | None, UserError | OSError | None]:
    try:
        return (function(),), None
    except (UserError, OSError) as error:  # what a sentence is told of
        return None, error
