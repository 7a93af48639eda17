"""Parameters from one backend's tree to another's, by name, bit for bit.

Both backends store a linear layer as a matrix `[inputs, outputs]` and a vector, so that conversion
only renames. Each layout says where the layers of the MLP are found in its tree; the layers' own
names are those of the paper's figure.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from nerf.errors import UserError
from nerf.field import Params
from nerf.render.rays import PROPOSAL

Layers = dict[str, tuple[Any, Any]]  # layer name -> (matrix, vector)

_HEADS = ("density", "bottleneck", "rgb_hidden", "rgb")


class Layout(NamedTuple):
    """How a backend arranges the layers of one network.

    Attributes:
      to_layers: from the backend's tree; raises KeyError where a part is missing.
      from_layers: the inverse.
    """

    to_layers: Callable[[Params], Layers]
    from_layers: Callable[[Layers], Params]


def _trunk_numbers(num_layers: int) -> range:
    return range(1, num_layers + 1)


def _haiku_modules(num_layers: int) -> dict[str, str]:
    """Haiku numbers modules of one class in the order in which they are made."""

    def block(number: int) -> str:
        return f"linear_relu_block{f'_{number}' if number else ''}/~/linear"

    trunk = {f"trunk_{n}": block(n - 1) for n in _trunk_numbers(num_layers)}
    heads = ("linear", "linear_1", block(num_layers), "color_block/~/linear")
    return trunk | dict(zip(_HEADS, heads, strict=True))


def _haiku_to_layers(tree: Params) -> Layers:
    modules = _haiku_modules(len(tree) - len(_HEADS))
    _refuse_others(tree, modules.values())
    for name in tree:
        _refuse_others(tree[name], ("w", "b"), name)
    return {layer: (tree[name]["w"], tree[name]["b"]) for layer, name in modules.items()}


def _haiku_from_layers(layers: Layers) -> Params:
    modules = _haiku_modules(len(layers) - len(_HEADS))
    return {name: {"w": layers[layer][0], "b": layers[layer][1]} for layer, name in modules.items()}


def _flax_to_layers(tree: Params) -> Layers:
    names = [f"trunk_{n}" for n in _trunk_numbers(len(tree["params"]) - len(_HEADS))]
    _refuse_others(tree, ("params",))
    _refuse_others(tree["params"], (*names, *_HEADS))
    for name in tree["params"]:
        _refuse_others(tree["params"][name], ("kernel", "bias"), name)
    return {
        name: (tree["params"][name]["kernel"], tree["params"][name]["bias"])
        for name in (*names, *_HEADS)
    }


def _flax_from_layers(layers: Layers) -> Params:
    return {"params": {name: {"kernel": w, "bias": b} for name, (w, b) in layers.items()}}


def _refuse_others(tree: Params, expected: Any, where: str = "") -> None:
    others = set(tree) ^ set(expected)
    if others:
        raise KeyError(", ".join(sorted(f"{where}/{name}".lstrip("/") for name in others)))


LAYOUTS = {
    "haiku": Layout(_haiku_to_layers, _haiku_from_layers),
    "flax": Layout(_flax_to_layers, _flax_from_layers),
}
PUBLISHED_LAYOUT = "haiku"  # what the published `arrays.npy` and `tree.pkl` hold


def convert(params: Params, source: str, target: str) -> Params:
    """Parameters of the MLP, from the layout of one backend to that of another.

    Args:
      params: one tree for each network, see `nerf.render.rays.NETWORKS`, in the layout `source`.
      source, target: names of layouts, which are names of backends.

    Returns:
      The same arrays under other names; those of a proposal have the same everywhere.

    Raises:
      UserError: if a layout is unknown, or `params` is not of the layout `source`.
    """
    for name in (source, target):
        if name not in LAYOUTS:
            known = ", ".join(LAYOUTS)
            raise UserError(f"unknown parameter layout {name!r}: there are {known}")
    if source == target:
        return params
    try:
        layers = {
            network: LAYOUTS[source].to_layers(tree)
            for network, tree in params.items()
            if network != PROPOSAL
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the parameters are not those of the NeRF MLP in the {source} layout: "
            f"missing or unexpected {error}"
        ) from error
    converted = {network: LAYOUTS[target].from_layers(tree) for network, tree in layers.items()}
    return {network: converted.get(network, tree) for network, tree in params.items()}


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
