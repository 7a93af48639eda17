"""Rendering rays: the coarse pass, the fine pass, and the network that each evaluates.

The renderer takes a field as functions and its parameters as a tree; it never sees a network.
Parameters are `{"shared": tree}` where one network serves both passes,
`{"coarse": tree, "fine": tree}` where there are two, and `{"proposal": tree, "fine": tree}` where
the field's own proposal takes the place of the coarse network.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nerf.config.settings import NETWORKS, PROPOSAL, RenderConfig
from nerf.errors import UserError
from nerf.field import FieldOutput, Params, Proposal, RadianceField
from nerf.geometry.occupancy import Occupancy, clip_rays, is_empty, is_occupied
from nerf.geometry.rays import Rays, positions
from nerf.geometry.spaces import Space
from nerf.render import sampling, volume
from nerf.render.proposal_loss import proposal_loss


class Rendering(NamedTuple):
    """The two passes over the same rays.

    Attributes:
      coarse: the pass that places the samples; `rgb` is black for a proposal, which has no colours.
      fine: the pass whose colours are the image.
      proposal_loss: `[num_rays]`, >= 0, the loss of a proposal, see `nerf.render.proposal_loss`;
        zero where there is none.
      distortion: `[num_rays]`, >= 0, the distortion loss of the fine pass, see
        `nerf.render.volume`, in the field's space, without the last interval of `last_interval`.
    """

    coarse: volume.Composite
    fine: volume.Composite
    proposal_loss: jax.Array
    distortion: jax.Array


def networks_by_name(
    field: RadianceField, config: RenderConfig
) -> dict[str, RadianceField | Proposal]:
    """The field, or its proposal, that each network of `config.networks` belongs to.

    Raises:
      UserError: if the settings ask for a proposal, and the field has none.
    """
    networks: dict[str, RadianceField | Proposal] = dict.fromkeys(NETWORKS[config.networks], field)
    if config.networks == "proposal":
        if field.proposal is None:
            raise UserError(
                "networks=proposal needs a field with a proposal, and this one has none: choose "
                "networks=shared or separate"
            )
        networks[PROPOSAL] = field.proposal
    return networks


def init_params(field: RadianceField, config: RenderConfig, key: jax.Array) -> Params:
    """Fresh parameters for every network that `config.networks` calls for."""
    networks = networks_by_name(field, config)
    keys = jax.random.split(key, len(networks))
    return {name: owner.init(k) for (name, owner), k in zip(networks.items(), keys, strict=True)}


def abstract_networks(field: RadianceField, config: RenderConfig) -> Params:
    """Shapes and dtypes of what `init_params` returns, without making it."""
    return jax.eval_shape(lambda key: init_params(field, config, key), jax.random.key(0))


def known_occupancy(
    field: RadianceField, params: Params, config: RenderConfig, space: Space
) -> Occupancy | None:
    """Where the scene can be, as a proposal knows it; None where nothing is known to be empty.

    Args:
      field: with or without a proposal.
      params: of all networks.
      config: networks.
      space: that the field lives in; where rays are bent, they cannot be clipped.
    """
    if not can_skip_empty_space(field, config, space):
        return None
    assert field.proposal is not None
    assert field.proposal.occupancy is not None
    return field.proposal.occupancy(jax.lax.stop_gradient(params[PROPOSAL]))


def can_skip_empty_space(field: RadianceField, config: RenderConfig, space: Space) -> bool:
    """Whether a field's proposal may store which space is empty, see `known_occupancy`."""
    is_used = config.networks == "proposal" and space.has_straight_rays
    return is_used and field.proposal is not None and field.proposal.occupancy is not None


def hits_occupied(rays: Rays, occupancy: Occupancy) -> jax.Array:
    """Whether `render_rays` may find more than `render_background` does, `[num_rays]`, bool.

    Args:
      rays: `[num_rays]`.
      occupancy: from `known_occupancy`.
    """
    return ~is_empty(clip_rays(rays, occupancy))


def render_background(rays: Rays, config: RenderConfig) -> Rendering:
    """What `render_rays` finds along rays that meet nothing: the background.

    Args:
      rays: `[num_rays]`.
      config: the background.

    Returns:
      Both passes, without samples.
    """
    zero, none = jnp.zeros_like(rays.far), jnp.zeros((len(rays.far), 0))
    black = volume.Composite(jnp.zeros_like(rays.origins), rays.far, zero, none, none)
    return Rendering(black, volume.over(black, config.background), zero, zero)


def evaluate_field_along_rays(
    field: RadianceField,
    params: Params,
    rays: Rays,
    t_vals: jax.Array,
    ray_keys: jax.Array | None,
) -> FieldOutput:
    """The field at the points of rays, see `nerf.geometry.rays.positions`.

    Args:
      field: what to evaluate.
      params: of one network.
      rays: `[num_rays]`.
      t_vals: `[num_rays, num_samples]`.
      ray_keys: `[num_rays]`, for density noise, or None.

    Returns:
      rgb `[num_rays, num_samples, 3]` and density `[num_rays, num_samples]`.
    """
    num_rays, num_samples = t_vals.shape
    chex.assert_shape([rays.origins, rays.directions, rays.viewdirs], (num_rays, 3))
    points = positions(rays, t_vals)
    viewdirs = jnp.broadcast_to(rays.viewdirs[:, None, :], points.shape)
    keys = None if ray_keys is None else _point_keys(ray_keys, num_samples)
    # Flat, since XLA multiplies [num_points, features] faster than [num_rays, num_samples, ...].
    rgb, density = field.apply(params, points.reshape(-1, 3), viewdirs.reshape(-1, 3), key=keys)
    chex.assert_shape(rgb, (num_rays * num_samples, 3))
    chex.assert_shape(density, (num_rays * num_samples,))
    chex.assert_type([rgb, density], jnp.float32)
    return FieldOutput(rgb.reshape(points.shape), density.reshape(num_rays, num_samples))


def render_rays(
    field: RadianceField,
    params: Params,
    rays: Rays,
    config: RenderConfig,
    *,
    ray_keys: jax.Array | None = None,
    occupancy: Occupancy | None = None,
) -> Rendering:
    """Renders rays by hierarchical sampling.

    Args:
      field: what to render.
      params: one tree or two, as `config.networks` says.
      rays: `[num_rays]`.
      config: samples, intervals and networks.
      ray_keys: `[num_rays]`, randomises samples and density noise of each ray on its own, so
        that the result does not depend on how rays are grouped; None is deterministic.
      occupancy: from `known_occupancy`, where it was found before, for many calls.

    Returns:
      Both passes. With one network the fine pass composites the coarse samples' outputs
      together with those of the new samples; with two, the second network sees all samples.

    Source: Mildenhall et al. 2020, section 5.2; with a proposal, Barron et al. 2022
    (mip-NeRF 360), section 3.
    """
    keys = _split_ray_keys(ray_keys, 4)
    if config.networks == "proposal":
        if occupancy is None:
            occupancy = known_occupancy(field, params, config, rays.space)
        return _render_proposed(field, params, rays, config, keys, occupancy)
    coarse_params, fine_params = (params[name] for name in _first_and_last(config))
    coarse_rule = {"linspace": sampling.linspace_t_vals, "bins": sampling.bin_t_vals}
    t_vals = coarse_rule[config.coarse_t](keys[0], rays.near, rays.far, config.num_coarse)
    output = evaluate_field_along_rays(field, coarse_params, rays, t_vals, keys[1])
    coarse = _composite(output, t_vals, rays, config)

    new_t_vals = sampling.fine_t_vals(keys[2], t_vals, coarse.weights, config)
    all_t_vals = jnp.concatenate([t_vals, new_t_vals], axis=-1)
    if config.networks == "shared":
        new_output = evaluate_field_along_rays(field, fine_params, rays, new_t_vals, keys[3])
        order = jnp.argsort(all_t_vals, axis=-1)
        all_t_vals = jnp.take_along_axis(all_t_vals, order, axis=-1)
        output = _merge(output, new_output, order)
    else:
        all_t_vals = jnp.sort(all_t_vals, axis=-1)
        output = evaluate_field_along_rays(field, fine_params, rays, all_t_vals, keys[3])
    fine = _composite(output, all_t_vals, rays, config)
    lengths = jnp.pad(_lengths(rays, all_t_vals), ((0, 0), (0, 1)))
    distortion = volume.distortion(fine.weights, lengths)
    return Rendering(coarse, fine, jnp.zeros_like(rays.near), distortion)


def _render_proposed(
    field: RadianceField,
    params: Params,
    rays: Rays,
    config: RenderConfig,
    keys: list[jax.Array | None],
    occupancy: Occupancy | None,
) -> Rendering:
    """A proposal's densities in even bins, then the field in the middles of new intervals.

    With an occupancy, a ray is only the part of it that meets occupied cells.
    """
    assert field.proposal is not None
    if occupancy is not None:
        rays = clip_rays(rays, occupancy)
    num_rays, num_coarse = *rays.near.shape, config.num_coarse
    span = (rays.far - rays.near)[:, None]
    t_vals = sampling.bin_t_vals(keys[0], rays.near, rays.far, num_coarse)
    bins = rays.near[:, None] + span * jnp.linspace(0.0, 1.0, num_coarse + 1)[None]
    points = positions(rays, t_vals)
    density = field.proposal.density(params[PROPOSAL], points.reshape(-1, 3))
    chex.assert_shape(density, (num_rays * num_coarse,))
    lengths = _lengths(rays, bins)
    black = jnp.zeros_like(points)
    coarse = volume.accumulate(black, density.reshape(t_vals.shape), lengths, t_vals)

    edges = sampling.proposed_edges(keys[2], bins, jax.lax.stop_gradient(coarse.weights), config)
    t_vals = 0.5 * (edges[:, 1:] + edges[:, :-1])
    rgb, density = evaluate_field_along_rays(field, params["fine"], rays, t_vals, keys[3])
    if occupancy is not None:
        density = jnp.where(is_occupied(occupancy, positions(rays, t_vals)), density, 0.0)
    lengths = _lengths(rays, edges)
    fine = volume.accumulate(rgb, density, lengths, t_vals)
    fine = volume.over(fine, config.background)
    distortion = volume.distortion(fine.weights, lengths)
    return Rendering(
        coarse, fine, proposal_loss(edges, fine.weights, bins, coarse.weights), distortion
    )


def _point_keys(ray_keys: jax.Array, num_samples: int) -> jax.Array:
    """One key a sample, `[num_rays * num_samples]`, from one key a ray."""
    keys: jax.Array = jax.vmap(lambda key: jax.random.split(key, num_samples))(ray_keys)
    return keys.reshape(-1)


def _split_ray_keys(ray_keys: jax.Array | None, num: int) -> list[jax.Array | None]:
    if ray_keys is None:
        return [None] * num
    return list(jnp.moveaxis(jax.vmap(lambda key: jax.random.split(key, num))(ray_keys), 1, 0))


def _first_and_last(config: RenderConfig) -> tuple[str, str]:
    names = NETWORKS[config.networks]
    return names[0], names[-1]


def _merge(first: FieldOutput, second: FieldOutput, order: jax.Array) -> FieldOutput:
    """The outputs of both sets of samples, in the order of their t."""
    rgb = jnp.concatenate([first.rgb, second.rgb], axis=1)
    density = jnp.concatenate([first.density, second.density], axis=1)
    return FieldOutput(
        rgb=jnp.take_along_axis(rgb, order[..., None], axis=1),
        density=jnp.take_along_axis(density, order, axis=1),
    )


def _composite(
    output: FieldOutput, t_vals: jax.Array, rays: Rays, config: RenderConfig
) -> volume.Composite:
    rgb, density = output
    if rays.space.has_straight_rays:
        last_interval = config.last_interval
        found = volume.composite(rgb, density, t_vals, rays.directions, last_interval=last_interval)
    else:
        last = jnp.full((t_vals.shape[0], 1), config.last_interval, t_vals.dtype)
        lengths = jnp.concatenate([_lengths(rays, t_vals), last], axis=-1)
        found = volume.accumulate(rgb, density, lengths, t_vals)
    return volume.over(found, config.background)


def _lengths(rays: Rays, edges: jax.Array) -> jax.Array:
    """Lengths of intervals, in the field's space, from `[num_rays, num_samples + 1]` edges in t."""
    if rays.space.has_straight_rays:
        scale = jnp.linalg.norm(rays.directions, axis=-1, keepdims=True)
        lengths: jax.Array = (edges[:, 1:] - edges[:, :-1]) * scale
        return lengths
    ends = positions(rays, edges)
    # The gradient of a length is not defined at zero.
    lengths = jnp.linalg.norm(ends[:, 1:] - ends[:, :-1] + 1e-9, axis=-1)
    return lengths
