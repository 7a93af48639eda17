"""The spaces that a field can live in: one record for each kind, which holds all that differs.

    ndc          `nerf.geometry.ndc.NDC`                   forward-facing cameras
    world        `nerf.geometry.world.World`               an object, in a box
    contracted   `nerf.geometry.contraction.Contracted`    an unbounded scene

Normalisation (`nerf.scenes.normalize`) chooses the space of a scene. A new kind is one class here
and one line in `_KINDS`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import jax

from nerf.errors import UserError
from nerf.geometry.contraction import Contracted
from nerf.geometry.lenses import Array
from nerf.geometry.ndc import NDC
from nerf.geometry.rays import Rays
from nerf.geometry.world import Box, World


class Space(Protocol):
    """The space that a field lives in; a frozen, hashable record of numbers.

    Two records with the same numbers are equal, so that compiled functions can take a space as a
    static argument.
    """

    @property
    def name(self) -> str:
        """A key of `SPACES`."""

    @property
    def description(self) -> str:
        """What it is for, in a few words."""

    @property
    def is_bounded(self) -> bool:
        """Whether the scene is empty outside `box`."""

    @property
    def has_straight_rays(self) -> bool:
        """Whether points along a ray lie on a line with speed `|directions|` in t."""

    @property
    def has_depth_axis(self) -> bool:
        """Whether z is depth for every camera, so that the three axes are not alike."""

    @property
    def box(self) -> Box | None:
        """Corners of a box, in the field's space, that holds all of the scene that cameras can see;
        None where it depends on the cameras.
        """

    def warp(
        self, origins: jax.Array, directions: jax.Array, near: jax.Array, far: jax.Array
    ) -> Rays:
        """Takes pinhole rays into the field's space.

        Args:
          origins, directions: `[..., 3]`, scene units, see `nerf.geometry.cameras`.
          near, far: `[...]`, bounds of the depth in scene units.

        Returns:
          Rays `[...]`, with `viewdirs` in the field's space.
        """

    def positions(self, rays: Rays, t_vals: jax.Array) -> jax.Array:
        """Points `[..., num_samples, 3]` at `[..., num_samples]` parameters of rays `[...]`."""

    def field_points(self, points: jax.Array) -> jax.Array:
        """Points `[..., 3]` in scene units, in the field's space."""

    def scene_points(self, points: jax.Array) -> jax.Array:
        """The inverse of `field_points`; what lies at infinity gets finite coordinates."""

    def depth(
        self,
        t: jax.Array,
        origins: jax.Array,
        directions: jax.Array,
        near: jax.Array,
        far: jax.Array,
    ) -> jax.Array:
        """Depth along the viewing axis, in scene units.

        Args:
          t: `[...]`, parameters of rays that `warp` returned.
          origins, directions, near, far: what `warp` was given.

        Returns:
          `[...]`.
        """

    def parameter(
        self,
        depth: jax.Array,
        origins: jax.Array,
        directions: jax.Array,
        near: jax.Array,
        far: jax.Array,
    ) -> jax.Array:
        """The inverse of `depth`: parameters `[...]` at depths `[...]`; beyond the bounds, too."""

    def default_camera_path(self, camtoworlds: Array) -> str:
        """The camera path, a key of `nerf.geometry.camera_paths.PATHS`, that suits the cameras."""


_KINDS: dict[str, type[NDC] | type[World] | type[Contracted]] = {
    kind.name: kind for kind in (NDC, World, Contracted)
}
SPACES: dict[str, str] = {name: kind.description for name, kind in _KINDS.items()}


def to_json(space: Space) -> dict[str, Any]:
    """The name and the numbers of a space, for a JSON file.

    >>> to_json(NDC((1.0, 2.0)))
    {'name': 'ndc', 'scale': (1.0, 2.0)}
    """
    numbers: Any = space  # every kind is a dataclass
    return {"name": space.name, **dataclasses.asdict(numbers)}


def from_json(values: Mapping[str, Any]) -> Space:
    """The space that `to_json` described.

    Raises:
      UserError: if it is none of `SPACES`, or numbers are missing.

    >>> from_json({"name": "ndc", "scale": [1.0, 2.0]})
    NDC(scale=(1.0, 2.0))
    """
    numbers = {name: _to_tuples(value) for name, value in values.items() if name != "name"}
    name = values.get("name")
    if name not in _KINDS:
        raise UserError(f"unknown space {name!r}: choose one of {', '.join(SPACES)}")
    try:
        return _KINDS[name](**numbers)
    except TypeError as error:
        raise UserError(f"the space {name!r} has other numbers than {sorted(numbers)}") from error


def _to_tuples(value: Any) -> Any:
    return tuple(map(_to_tuples, value)) if isinstance(value, list | tuple) else value
