"""Every field of every backend is lowered for accelerators that this machine does not have.

What is lowered is the accelerator's own program: all rays of a device go through the field at once,
where a CPU takes microbatches that fit into its cache, and no compiler option is a CPU's.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from nerf import field as field_lib
from nerf.config.settings import NETWORKS
from nerf.render import density_grid, fast
from nerf.render.images import exact_rays_renderer, exact_tile_size
from nerf.render.rays import abstract_networks
from nerf.render.tiles import PixelGrid, jit_tile
from nerf.runtime import parallel
from nerf.training.batch import draw_batch
from nerf.training.state import init_state
from nerf.training.step import jit_step
from tests.support.cameras import cameras_at_origin, ndc_of, views_from_origin

pytestmark = pytest.mark.slow

PLATFORMS = ["cuda", "tpu"]
NUM_RAYS = 1024  # of a step
RAYS_AT_ONCE = 2**16  # of each accelerator in rendering, where a ray takes few evaluations
GRID = (16, 16, 16)
SMALL = {
    "num_layers": 3,
    "skip_layer": 1,
    "width": 16,
    "rgb_width": 8,
    "resolution": (4, 4, 4),
    "num_features": 4,
}
EVERY = [
    (backend, field, preset)
    for field, spec in field_lib.specs().items()
    for backend in spec.implementations
    for preset in spec.presets
]
every_field = pytest.mark.parametrize(("backend", "name", "preset"), EVERY)


def small(config):
    """The same settings with few samples and a small field."""
    changes = {name: value for name, value in SMALL.items() if hasattr(config.field, name)}
    return dataclasses.replace(
        config,
        field=dataclasses.replace(config.field, **changes),
        render=dataclasses.replace(config.render, num_coarse=6, num_fine=6),
        train=dataclasses.replace(config.train, num_rays=NUM_RAYS),
    )


class Case:
    """A field, its settings, and the numbers of points that it was traced with."""

    def __init__(self, backend, name, preset):
        self.config = small(field_lib.spec(name).presets[preset])
        field = field_lib.make_field(backend, name, self.config.field)
        self.num_points = []

        def apply(params, points, viewdirs, /, *, key=None):
            self.num_points.append(len(points))
            return field.apply(params, points, viewdirs, key=key)

        self.field = field._replace(apply=apply)
        self.views = views_from_origin(jnp.ones((1, 4, 5, 3)))
        self.space = ndc_of(self.views.cameras)
        self.params = abstract_networks(field, self.config.render)

    def step(self, mesh, platform):
        # Without a CPU's compiler options, which a traced function cannot have.
        init = functools.partial(init_state, self.field, self.config, platform="tpu")
        state = jax.eval_shape(init, jax.random.key(0))
        jitted = jit_step(self.field, self.config, mesh, space=self.space, platform=platform)
        batch = jax.eval_shape(
            functools.partial(draw_batch, num_rays=NUM_RAYS), jax.random.key(0), self.views
        )
        return jitted, (state, batch, self.views.cameras, None)

    def exact(self, mesh, platform):
        render = exact_rays_renderer(self.field, self.config.render)
        size = exact_tile_size(self.config.render, platform=platform)
        return self.tile(render, size, mesh, platform, self.params)

    def fast(self, mesh, platform):
        how = fast.Sampling(16)
        size = fast.fast_tile_size(how, platform=platform)
        render = fast.fast_rays_renderer(
            self.field, self.config.render, how, size, platform=platform
        )
        corner = jnp.zeros(3)
        grid = density_grid.DensityGrid(jnp.zeros(GRID), corner, corner + 1.0)
        return self.tile(render, size, mesh, platform, (self.params, grid))

    def tile(self, render, size, mesh, platform, params):
        jitted = jit_tile(render, self.config.render, self.space, mesh, size, platform=platform)
        grid = PixelGrid.of(cameras_at_origin(1, 32, 40)[0])
        num_pixels = mesh.size * size.microbatch * size.num_microbatches
        return jitted, ((params, grid), jax.ShapeDtypeStruct((num_pixels,), jnp.int32))

    def grid(self, mesh, platform):
        jitted = density_grid.jit_grid_builder(self.field, GRID, mesh, platform=platform)
        network = self.params[NETWORKS[self.config.render.networks][-1]]
        return jitted, ((network, jnp.zeros(3), jnp.ones(3)), jnp.arange(GRID[0]))


PROGRAMS = ["step", "exact", "fast", "grid"]
every_program = pytest.mark.parametrize("program", PROGRAMS)


def mesh_of(num_devices):
    return Mesh(np.array(jax.devices()[:num_devices]), (parallel.AXIS,))


def traced(case, program, platform, num_devices=1):
    jitted, arguments = getattr(case, program)(mesh_of(num_devices), platform)
    return jitted.trace(*arguments)


def least_points(case, program, num_devices=1):
    """How many points a call of the field has at least, where all of a device go at once."""
    if program == "grid":
        return np.prod(GRID) // num_devices
    render = case.config.render
    if program == "step":
        return NUM_RAYS // num_devices * min(render.num_coarse, render.num_fine)
    return RAYS_AT_ONCE * (16 if program == "fast" else min(render.num_coarse, render.num_fine))


@every_program
@every_field
def test_the_program_of_an_accelerator_is_lowered_for_it(backend, name, preset, program):
    case = Case(backend, name, preset)
    whole = traced(case, program, "cuda")
    assert case.num_points
    assert min(case.num_points) >= least_points(case, program)
    for platform in PLATFORMS:
        text = whole.lower(lowering_platforms=(platform,)).as_text()
        assert "stablehlo.dot_general" in text


@every_program
@pytest.mark.parametrize("num_devices", [1, 2])
def test_a_cpus_program_is_another(program, num_devices):
    """Else the test above would not tell them apart."""
    case = Case(*EVERY[0])
    traced(case, program, "cpu", num_devices)
    assert max(case.num_points) < least_points(case, program, num_devices)


@every_program
@pytest.mark.parametrize("platform", PLATFORMS)
def test_several_accelerators_share_the_rays(program, platform):
    case = Case(*EVERY[0])
    lowered = traced(case, program, platform, 2).lower(lowering_platforms=(platform,))
    assert min(case.num_points) >= least_points(case, program, 2)
    assert max(case.num_points) < 2 * 2 * least_points(case, program, 2)
    if program == "step":
        assert "stablehlo.all_reduce" in lowered.as_text()


@every_program
def test_only_a_cpus_program_has_a_cpus_compiler_options(program, monkeypatch):
    options = {"xla_cpu_enable_fast_math": False}
    monkeypatch.setattr(parallel, "_CPU_OPTIONS", options)
    parallel.compiler_options.cache_clear()
    passed = []

    def record(*arguments, compiler_options=None, **keywords):
        passed.append(compiler_options)
        return jit(*arguments, compiler_options=compiler_options, **keywords)

    jit = jax.jit
    try:
        assert parallel.compiler_options("cpu") == options
        monkeypatch.setattr(jax, "jit", record)
        for platform, expected in (("cpu", options), ("cuda", None), ("tpu", None)):
            getattr(Case(*EVERY[0]), program)(mesh_of(1), platform)
            assert passed[-1] == expected
    finally:
        parallel.compiler_options.cache_clear()
