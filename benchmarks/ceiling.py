"""The ceiling: how fast the device multiplies two large square matrices, and how exactly."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Contender


class Product(NamedTuple):
    """A product of two matrices, compiled.

    Attributes:
      multiply: computes it repeatedly.
      relative_error: of its first row, against float64. About 1e-7 with float32 products, 3e-4 with
        TF32 and 3e-3 with bfloat16, whatever the name of the precision.
    """

    multiply: Contender
    relative_error: float


def product_flop(size: int) -> int:
    """Floating-point operations of one product: a multiplication and an addition for each term.

    >>> product_flop(4096)
    137438953472
    """
    return 2 * size**3


def make_product(size: int) -> Product:
    """The product of two random float32 matrices `[size, size]`, in JAX's current precision."""
    left, right = jax.random.normal(jax.random.key(0), (2, size, size))
    compiled = jax.jit(jnp.matmul).lower(left, right).compile()

    def multiply(repeats: int) -> None:
        product = left
        for _ in range(repeats):
            product = compiled(left, right)
        jax.block_until_ready(product)

    exact = np.asarray(left[0], np.float64) @ np.asarray(right, np.float64)
    error = np.linalg.norm(np.asarray(compiled(left, right)[0]) - exact)
    return Product(multiply, float(error / np.linalg.norm(exact)))
