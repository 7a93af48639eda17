"""A field that is drawn only inside a box, and the program that draws it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh

from nerf.field import FieldOutput, Params, RadianceField
from nerf.geometry.occupancy import Occupancy
from nerf.geometry.rays import Rays
from nerf.geometry.spaces import Space
from nerf.jobs.trained_field import TrainedField
from nerf.render.image_renderer import TileProgram
from nerf.render.images import exact_tile_size
from nerf.render.rays import known_occupancy, render_rays
from nerf.render.volume import Composite
from nerf.runtime import devices
from nerf.viewer.cameras import PIXEL_OFFSET

Box = npt.NDArray[np.float32]  # `[2, 3]`, the lowest and the highest corner, scene units

INFINITE_BOX: Box = np.array([[-np.inf] * 3, [np.inf] * 3], np.float32)
# Of one device: between two tiles a newer camera is noticed.
_CPU_EVALUATIONS_PER_TILE = {True: 2**17, False: 2**14}  # of a table of features; of an MLP
_ACCELERATOR_RAYS_PER_TILE = 2**16


def cropped(field: RadianceField, space: Space, box: jax.Array) -> RadianceField:
    """The same field with no density outside of a box `[2, 3]` in scene units."""

    def is_inside(points: jax.Array) -> jax.Array:
        at = space.scene_points(points)
        low, high = jnp.broadcast_to(box[0], at.shape), jnp.broadcast_to(box[1], at.shape)
        return jnp.all((at >= low) & (at <= high), axis=-1)

    def apply(
        params: Params,
        points: jax.Array,
        viewdirs: jax.Array,
        /,
        *,
        key: jax.Array | None = None,
    ) -> FieldOutput:
        output = field.apply(params, points, viewdirs, key=key)
        return output._replace(density=jnp.where(is_inside(points), output.density, 0.0))

    if field.proposal is None:
        return field._replace(apply=apply)
    density = field.proposal.density

    def guess(params: Params, points: jax.Array, /) -> jax.Array:
        return jnp.where(is_inside(points), density(params, points), 0.0)

    return field._replace(apply=apply, proposal=field.proposal._replace(density=guess))


def cropping_program(
    trained: TrainedField, *, mesh: Mesh | None = None, platform: str | None = None
) -> TileProgram:
    """The exact renderer of (parameters, box), in tiles that take a small part of a second.

    Args:
      trained: the field.
      mesh, platform: see `nerf.render.images.make_exact_program`.
    """
    field, space = trained.field, trained.needed_space()
    config = dataclasses.replace(trained.config.render, pixel_offset=PIXEL_OFFSET)
    platform = platform or devices.default_platform()
    on_cpu = _CPU_EVALUATIONS_PER_TILE[field.table is not None] // config.evaluations_per_ray
    size = exact_tile_size(
        config,
        platform=platform,
        rays_per_tile=on_cpu if platform == "cpu" else _ACCELERATOR_RAYS_PER_TILE,
    )

    def render(
        params_and_box: tuple[Params, jax.Array], rays: Rays, occupancy: Occupancy | None
    ) -> Composite:
        params, box = params_and_box
        some = cropped(field, space, box)
        return render_rays(some, params, rays, config, occupancy=occupancy).fine

    return TileProgram.compiled(
        render,
        config,
        space,
        size,
        find_occupancy=lambda whole: known_occupancy(field, whole[0], config, space),
        mesh=mesh,
        platform=platform,
    )
