"""The layout in which Haiku parameters were published: `arrays.npy` and `tree.pkl` in one folder.

`tree.pkl` is a pickled nested dictionary whose leaves are the integer 0; `arrays.npy` holds one
`.npy` record a leaf, in the order of the sorted keys. A pickle can run code when it is loaded, so
it may hold only the few instructions that dictionaries, strings and small integers need, and it is
read by an unpickler that can look up nothing at all.
"""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nerf.errors import UserError
from nerf.field import Params
from nerf.runtime import atomic

TREE_FILE = "tree.pkl"
ARRAYS_FILE = "arrays.npy"
_MAX_TREE_BYTES = 1 << 20
_MAX_NESTING = 8
_INSTRUCTIONS = (
    "PROTO", "FRAME", "MARK", "EMPTY_DICT", "SETITEM", "SETITEMS", "SHORT_BINUNICODE",
    "BINUNICODE", "BININT1", "MEMOIZE", "BINPUT", "BINGET", "STOP",
)  # fmt: skip


class _NothingUnpickler(pickle.Unpickler):
    """Refuses every global and every persistent object, hence all code."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")

    def persistent_load(self, pid: Any, /) -> Any:
        raise pickle.UnpicklingError("it asks for a persistent object")


def is_published(folder: Path) -> bool:
    """Whether `folder` holds one of the two files."""
    return (folder / TREE_FILE).exists() or (folder / ARRAYS_FILE).exists()


def read(folder: Path) -> Params:
    """Reads parameters in the published layout.

    Args:
      folder: where `arrays.npy` and `tree.pkl` lie.

    Returns:
      The nested dictionary of float32 NumPy arrays.

    Raises:
      UserError: if a file is missing, truncated, hostile, or the two do not fit together.
    """
    structure = _read_structure(folder / TREE_FILE)
    leaves, treedef = jax.tree_util.tree_flatten(structure)
    arrays = _read_arrays(folder / ARRAYS_FILE, len(leaves))
    return jax.tree_util.tree_unflatten(treedef, arrays)


def write(folder: Path, params: Params) -> None:
    """Writes parameters so that `read`, and the published notebook's own code, read them."""
    folder.mkdir(parents=True, exist_ok=True)
    records = io.BytesIO()
    for leaf in jax.tree_util.tree_leaves(params):
        np.save(records, np.asarray(leaf), allow_pickle=False)
    structure = pickle.dumps(jax.tree_util.tree_map(lambda _: 0, params), protocol=4)
    for name, content in ((ARRAYS_FILE, records.getvalue()), (TREE_FILE, structure)):
        atomic.write_bytes(folder / name, content)


def _read_structure(path: Path) -> Any:
    _require(path)
    if path.stat().st_size > _MAX_TREE_BYTES:
        raise UserError(f"{path} is too large to be the structure of a parameter tree")
    content = path.read_bytes()
    try:
        for instruction, _, _ in pickletools.genops(content):
            if instruction.name not in _INSTRUCTIONS:
                raise pickle.UnpicklingError(f"it has the instruction {instruction.name}")
        structure = _NothingUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(
            f"{path} was refused: it must hold nothing but dictionaries, strings and zeros "
            f"({error}); use the file as it was published"
        ) from error
    if not isinstance(structure, dict) or not _is_structure(structure, set(), _MAX_NESTING):
        raise UserError(f"{path} must hold a nested dictionary of zeros with strings as keys")
    return structure


def _is_structure(node: Any, seen: set[int], nesting: int) -> bool:
    """Whether it is nested dictionaries of zeros; shared ones, which could be endless, are not."""
    if isinstance(node, dict):
        if nesting == 0 or id(node) in seen:
            return False
        seen.add(id(node))
        return all(
            isinstance(key, str) and _is_structure(child, seen, nesting - 1)
            for key, child in node.items()
        )
    return type(node) is int and node == 0


def _read_arrays(path: Path, num_arrays: int) -> list[np.ndarray[Any, Any]]:
    _require(path)
    arrays = []
    with path.open("rb") as file:
        for index in range(num_arrays):
            try:
                array = np.lib.format.read_array(file, allow_pickle=False)
            except Exception as error:  # NumPy raises ValueError, EOFError, OSError, SyntaxError...
                raise UserError(
                    f"{path} breaks off or is damaged at array {index + 1} of {num_arrays}; "
                    "fetch or copy the file again"
                ) from error
            if array.dtype != np.float32:
                raise UserError(f"{path}: array {index + 1} is {array.dtype}, expected float32")
            if not np.isfinite(array).all():
                raise UserError(f"{path}: array {index + 1} holds NaN or infinity")
            arrays.append(array)
        if file.read(1):
            raise UserError(
                f"{path} holds more than the {num_arrays} arrays that {TREE_FILE} beside it names"
            )
    return arrays


def _require(path: Path) -> None:
    if not path.is_file():
        raise UserError(
            f"no file {path}: parameters in the published layout are {ARRAYS_FILE} and "
            f"{TREE_FILE} in one folder"
        )
