"""What the tests of fields share: small settings, random parameters, random inputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nerf.backends.convert import convert
from nerf.config import presets
from nerf.config import text as config_text
from nerf.field import abstract_params, make_field, name_of
from tests.conftest import BACKENDS

DRAWN_AS = "flax"  # the layout of `drawn_params`
SMALL = {
    "mlp": (
        "field.point_encoding.num_frequencies=3",
        "field.viewdir_encoding.num_frequencies=2",
        "field.width=16",
        "field.rgb_width=8",
        "field.skip_layer=2",
        "field.num_layers=3",
        "field.proposal.resolution=[3, 4, 5]",
    ),
    "planes": (
        "field.resolution=[4, 3, 2]",
        "field.growth=1.5",
        "field.num_features=5",
        "field.width=8",
        "field.num_geometry_features=3",
        "field.proposal.resolution=[3, 4, 5]",
        "field.low=[-1, -2, 0]",
        "field.high=[3, 1, 2]",
    ),
}


def other(backend):
    """The next backend: over all of them, each is the first of a pair once, and the second once."""
    return BACKENDS[(BACKENDS.index(backend) + 1) % len(BACKENDS)]


def small_config(preset, *assignments):
    """A preset with a field that is small enough to be computed point by point."""
    config = presets.preset(preset)
    return config_text.override(config, *SMALL[name_of(config.field)], *assignments)


def small(preset, *assignments):
    """The settings of the field alone."""
    return small_config(preset, *assignments).field


def make(backend, config):
    return make_field(backend, name_of(config), config)


@functools.cache
def compiled(backend, config):
    """The same field, compiled once for all tests, as a whole and not operation by operation."""
    field = make(backend, config)
    proposal = field.proposal._replace(
        init=jax.jit(field.proposal.init), density=jax.jit(field.proposal.density)
    )
    return field._replace(init=jax.jit(field.init), apply=jax.jit(field.apply), proposal=proposal)


def draw(shapes, seed=0):
    """Random arrays, the vectors too, which fresh parameters leave at zero."""
    rng = np.random.default_rng(seed)

    def array(path, leaf):
        scale = (2 / leaf.shape[0]) ** 0.5 if leaf.ndim == 2 else 0.1
        if path[-1].key == "planes":  # so that products of three are not all small
            scale = 0.6
        return rng.normal(0.0, scale, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(array, shapes)


def drawn_params(config, seed=0):
    """Random parameters of one network in the layout `DRAWN_AS`."""
    params = {"shared": draw(abstract_params(make("haiku", config)), seed)}
    return convert(params, name_of(config), "haiku", DRAWN_AS)["shared"]


def in_layout(backend, config, params):
    """Parameters of one network, from the layout `DRAWN_AS` to that of a backend."""
    return convert({"shared": params}, name_of(config), DRAWN_AS, backend)["shared"]


def random_params(backend, config, seed=0):
    return jax.tree.map(jnp.asarray, in_layout(backend, config, drawn_params(config, seed)))


def random_inputs(*shape, seed=1, low=-1.0, high=1.0):
    """Points in a box, and unit vectors."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(low, high, (*shape, 3)).astype(np.float32)
    viewdirs = rng.normal(size=(*shape, 3))
    viewdirs /= np.linalg.norm(viewdirs, axis=-1, keepdims=True)
    return jnp.asarray(points), jnp.asarray(viewdirs.astype(np.float32))
