"""Rendering rays: the coarse pass, the fine pass, and which network serves which.

The renderer takes a field as functions and its parameters as a tree; it never sees a network.
Parameters are `{"shared": tree}` where one network serves both passes and
`{"coarse": tree, "fine": tree}` where there are two.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nerf.cameras import Rays
from nerf.config import RenderConfig
from nerf.field import FieldOutput, Params, RadianceField
from nerf.render import sampling, volume

NETWORKS = {"shared": ("shared",), "separate": ("coarse", "fine")}


class Rendering(NamedTuple):
    """The two passes over the same rays; `fine` is the picture."""

    coarse: volume.Composite
    fine: volume.Composite


def init_params(field: RadianceField, config: RenderConfig, key: jax.Array) -> Params:
    """Fresh parameters for every network that `config.networks` calls for."""
    names = NETWORKS[config.networks]
    keys = jax.random.split(key, len(names))
    return {name: field.init(k) for name, k in zip(names, keys, strict=True)}


def evaluate_along_rays(
    field: RadianceField,
    params: Params,
    rays: Rays,
    t_vals: jax.Array,
    ray_keys: jax.Array | None,
) -> FieldOutput:
    """The field at `origins + t directions`.

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
    points = rays.origins[:, None, :] + t_vals[..., None] * rays.directions[:, None, :]
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
) -> Rendering:
    """Renders rays by hierarchical sampling.

    Args:
      field: what to render.
      params: one tree or two, as `config.networks` says.
      rays: `[num_rays]`.
      config: samples, intervals and networks.
      ray_keys: `[num_rays]`, randomises samples and density noise of each ray on its own, so
        that the result does not depend on how rays are grouped; None is deterministic.

    Returns:
      Both passes. With one network the fine pass composites the coarse samples' outputs
      together with those of the new samples; with two, the second network sees all samples.

    Source: Mildenhall et al. 2020, section 5.2.
    """
    keys = _split_ray_keys(ray_keys, 4)
    coarse_params, fine_params = (params[name] for name in _first_and_last(config))
    coarse_rule = {"linspace": sampling.linspace_t_vals, "bins": sampling.bin_t_vals}
    t_vals = coarse_rule[config.coarse_t](keys[0], rays.near, rays.far, config.num_coarse)
    output = evaluate_along_rays(field, coarse_params, rays, t_vals, keys[1])
    coarse = _composite(output, t_vals, rays, config)

    new_t_vals = sampling.fine_t_vals(keys[2], t_vals, coarse.weights, config)
    all_t_vals = jnp.concatenate([t_vals, new_t_vals], axis=-1)
    if config.networks == "shared":
        new_output = evaluate_along_rays(field, fine_params, rays, new_t_vals, keys[3])
        order = jnp.argsort(all_t_vals, axis=-1)
        all_t_vals = jnp.take_along_axis(all_t_vals, order, axis=-1)
        output = _merge(output, new_output, order)
    else:
        all_t_vals = jnp.sort(all_t_vals, axis=-1)
        output = evaluate_along_rays(field, fine_params, rays, all_t_vals, keys[3])
    return Rendering(coarse, _composite(output, all_t_vals, rays, config))


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
    return volume.composite(
        output.rgb,
        output.density,
        t_vals,
        rays.directions,
        last_interval=config.last_interval,
    )
