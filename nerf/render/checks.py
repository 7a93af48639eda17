"""Checks of values, for tests and `debug`, which shapes alone cannot make.

chex can check values inside compiled code only where the function is wrapped by `chex.chexify`;
`checked` does that. Without it none of this runs.
"""

from collections.abc import Callable
from typing import TypeVar

import chex
import jax
import jax.numpy as jnp

from nerf.render.rays import Rendering
from nerf.render.volume import Composite

Fn = TypeVar("Fn", bound=Callable[..., object])


def checked(function: Fn) -> Fn:
    """A compiled function whose value checks raise an AssertionError when they fail."""
    checked_function: Fn = chex.chexify(function, async_check=False)
    return checked_function


def check_rendering(rendering: Rendering) -> None:
    """Samples are sorted, everything is finite, colours and coverage lie in [0, 1].

    Raises:
      AssertionError: inside a function that `checked` has wrapped.
    """
    for composite in (rendering.coarse, rendering.fine):
        check_composite(composite)


def check_composite(composite: Composite) -> None:
    """One pass of `check_rendering`."""
    chex.assert_tree_all_finite(composite)
    _assert_all(composite.t_vals[:, 1:] >= composite.t_vals[:, :-1], "t_vals are not sorted")
    _assert_all(composite.weights >= 0.0, "a weight is negative")
    for name in ("rgb", "acc"):
        value = getattr(composite, name)
        _assert_all((value >= 0.0) & (value <= 1.0 + 1e-4), f"{name} is not in [0, 1]")


def _assert_all(holds: jax.Array, message: str) -> None:
    chex.assert_trees_all_equal(holds, jnp.ones_like(holds), custom_message=message)
