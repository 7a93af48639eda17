"""The linear layers of a network: how each backend arranges their arrays in its tree.

A field names its arrays: `("density", "matrix")` and `("density", "vector")` for a linear layer,
`("planes",)` for an array that belongs to no layer. All backends store a matrix as `[inputs,
outputs]`, so a layout only renames.
"""

from collections.abc import Callable, Sequence

import jax

from nerf.field import ArrayName, TreePath

# Makes or finds a backend's linear layer, from its name and its number of outputs.
Layers = Callable[[str, int], Callable[[jax.Array], jax.Array]]


def linear(*layers: str) -> Sequence[ArrayName]:
    """The names of the arrays of linear layers.

    >>> linear("rgb")
    [('rgb', 'matrix'), ('rgb', 'vector')]
    """
    return [(layer, array) for layer in layers for array in ("matrix", "vector")]


def haiku(names: Sequence[ArrayName]) -> Sequence[TreePath]:
    """Where `hk.Linear` and `hk.get_parameter` outside of a module put arrays.

    >>> haiku([("planes",), ("rgb", "matrix")])
    [('~', 'planes'), ('rgb', 'w')]
    """
    return [_renamed(name, "w", "b") if len(name) > 1 else ("~", *name) for name in names]


def flax(names: Sequence[ArrayName]) -> Sequence[TreePath]:
    """Where `flax.linen` puts the arrays of a module.

    >>> flax([("planes",), ("rgb", "matrix")])
    [('params', 'planes'), ('params', 'rgb', 'kernel')]
    """
    return [("params", *path) for path in nnx(names)]


def nnx(names: Sequence[ArrayName]) -> Sequence[TreePath]:
    """Where `flax.nnx` puts the arrays of a module.

    >>> nnx([("planes",), ("rgb", "matrix")])
    [('planes',), ('rgb', 'kernel')]
    """
    return [_renamed(name, "kernel", "bias") for name in names]


def _renamed(name: ArrayName, matrix: str, vector: str) -> TreePath:
    *parents, last = name
    return (*parents, {"matrix": matrix, "vector": vector}.get(last, last))
