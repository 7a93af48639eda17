"""Converts parameters from one backend's tree to another's, by name, bit for bit.

A field names its arrays (`nerf.field.FieldSpec.array_names`), and each of its implementations says
where they lie in its tree (`nerf.field.Implementation.layout`), so conversion only moves them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from nerf import field as field_lib
from nerf.config.settings import PROPOSAL
from nerf.errors import UserError
from nerf.field import ArrayName, Params, TreePath

PUBLISHED_FIELD, PUBLISHED_LAYOUT = "mlp", "haiku"  # what `arrays.npy` and `tree.pkl` hold


def convert(params: Params, field: str, source: str, target: str) -> Params:
    """Converts the parameters of a field from the layout of one backend to that of another.

    Args:
      params: one tree for each network, see `nerf.config.settings.NETWORKS`, in the layout
        `source`.
      field: name of the field.
      source, target: names of layouts, which are names of backends.

    Returns:
      The same arrays under other names; those of a proposal have the same everywhere.

    Raises:
      UserError: if a layout is unknown, or `params` is not of the layout `source`.
    """
    if source == target:
        return params
    known = layouts(field)
    for name in (source, target):
        if name not in known:
            raise UserError(
                f"unknown parameter layout {name!r} of the field {field!r}: there are "
                f"{', '.join(known) or 'none'}"
            )
    return {
        network: tree if network == PROPOSAL else _convert_network(tree, field, source, target)
        for network, tree in params.items()
    }


def layouts(field: str) -> tuple[str, ...]:
    """The names of the layouts that the parameters of a field can be converted between.

    >>> layouts("planes")
    ('flax', 'haiku', 'nnx')
    """
    spec = field_lib.spec(field)
    if spec is None or spec.array_names is None:
        return ()
    found = {name: field_lib.implementation(name, field) for name in field_lib.backends()}
    return tuple(name for name, made in found.items() if made is not None and made.layout)


def _convert_network(tree: Params, field: str, source: str, target: str) -> Params:
    arrays = dict(_arrays(tree))
    names = _array_names(field, num_groups=len({path[:-1] for path in arrays}))
    paths = _paths(field, source, names)
    faults = [f"missing {'/'.join(path)}" for path in paths if path not in arrays]
    faults += [f"unexpected {'/'.join(path)}" for path in arrays if path not in paths]
    if faults:
        raise UserError(
            f"the parameters are not those of the field {field!r} in the {source} layout: "
            + ", ".join(faults)
        )
    converted: dict[str, Any] = {}
    for old, new in zip(paths, _paths(field, target, names), strict=True):
        *parents, last = new
        node = converted
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = arrays[old]
    return converted


def _arrays(tree: Params, path: TreePath = ()) -> Iterator[tuple[TreePath, Any]]:
    """The arrays of nested dictionaries, each with its path."""
    if not isinstance(tree, dict):
        yield path, tree
        return
    for key, child in tree.items():
        yield from _arrays(child, (*path, key))


def _array_names(field: str, num_groups: int) -> Sequence[ArrayName]:
    spec = field_lib.spec(field)
    assert spec is not None
    assert spec.array_names is not None
    return spec.array_names(num_groups)


def _paths(field: str, backend: str, names: Sequence[ArrayName]) -> Sequence[TreePath]:
    found = field_lib.implementation(backend, field)
    assert found is not None
    assert found.layout is not None
    return found.layout(names)


def differences(found: Params, expected: Params) -> list[str]:
    """One line for each array that is missing, unexpected, or of another shape or dtype.

    Args:
      found, expected: trees of arrays or of `jax.ShapeDtypeStruct`.
    """
    found_leaves, expected_leaves = _leaves_by_path(found), _leaves_by_path(expected)
    lines = [f"{path}: missing" for path in expected_leaves if path not in found_leaves]
    lines += [f"{path}: unexpected" for path in found_leaves if path not in expected_leaves]
    for path in sorted(set(found_leaves) & set(expected_leaves)):
        a, b = found_leaves[path], expected_leaves[path]
        if tuple(a.shape) != tuple(b.shape):
            lines.append(f"{path}: {_shape(a)} where {_shape(b)} is needed")
        elif np.dtype(a.dtype) != np.dtype(b.dtype):
            lines.append(f"{path}: {a.dtype} where {b.dtype} is needed")
    return lines


def _leaves_by_path(tree: Params) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _shape(array: Any) -> str:
    return "x".join(map(str, array.shape)) or "scalar"
