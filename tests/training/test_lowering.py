"""Every field of every backend is lowered for accelerators that this machine does not have.

What is lowered is the accelerator's own program: all rays of a device go through the field at once,
where a CPU takes microbatches that fit into its cache, and no compiler option is a CPU's.
"""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from nerf import field as field_lib
from nerf.config import text as config_text
from nerf.config.settings import NETWORKS
from nerf.render import density_grid, fast, images
from nerf.render.rays import abstract_networks, can_skip_empty_space
from nerf.render.tiles import PixelGrid
from nerf.runtime import parallel
from nerf.training.batch import draw_batch
from nerf.training.state import init_state
from nerf.training.step import jit_step
from nerf.viewer.crop import cropping_program
from tests.support.cameras import cameras_at_origin, space_of, views_from_origin

pytestmark = pytest.mark.slow

PLATFORMS = ("cuda", "tpu")
NUM_RAYS = 1024  # of a step
PARTS_OF_A_STEP = 8  # where rays may be left out
# Of each accelerator in rendering, where a ray takes few evaluations; where rays may be left out.
RAYS_AT_ONCE, SOME_RAYS_AT_ONCE = 2**16, 2**13
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

    def __init__(self, backend, name, preset, space="ndc", *changes):
        self.config = config_text.override(small(field_lib.spec(name).presets[preset]), *changes)
        field = field_lib.make_field(backend, name, self.config.field)
        self.num_points = []

        def counting(apply):
            def counted(params, points, viewdirs, /, **more):
                self.num_points.append(len(points))
                return apply(params, points, viewdirs, **more)

            return counted

        self.field = field._replace(apply=counting(field.apply))
        if field.table is not None:
            table = field.table._replace(apply=counting(field.table.apply))
            self.field = self.field._replace(table=table)
        self.views = views_from_origin(jnp.ones((1, 4, 5, 3)))
        self.space = space_of(space, self.views.cameras)
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
        program = images.make_exact_program(
            self.field, self.config.render, self.space, mesh=mesh, platform=platform
        )
        return self.tile(program, self.params)

    def crop(self, mesh, platform):
        trained = types.SimpleNamespace(
            field=self.field, config=self.config, needed_space=lambda: self.space
        )
        program = cropping_program(trained, mesh=mesh, platform=platform)
        return self.tile(program, (self.params, jnp.zeros((2, 3))))

    def fast(self, mesh, platform):
        program = fast.make_fast_program(
            self.field,
            self.config.render,
            self.space,
            fast.FastSampling(16),
            mesh=mesh,
            platform=platform,
        )
        corner = jnp.zeros(3)
        grid = density_grid.DensityGrid(jnp.zeros(GRID), corner, corner + 1.0)
        return self.tile(program, (self.params, grid))

    def tile(self, program, params):
        grid = PixelGrid.of(cameras_at_origin(1, 32, 40)[0])
        return program.run, ((params, grid), jax.ShapeDtypeStruct(program.order().shape, jnp.int32))

    def grid(self, mesh, platform):
        jitted = density_grid.jit_grid_builder(self.field, GRID, mesh, platform=platform)
        network = self.params[NETWORKS[self.config.render.networks][-1]]
        return jitted, ((network, jnp.zeros(3), jnp.ones(3)), jnp.arange(GRID[0]))


PROGRAMS = ["step", "exact", "fast", "crop", "grid"]
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
        parts = PARTS_OF_A_STEP if can_skip_empty_space(case.field, render, case.space) else 1
        return NUM_RAYS // num_devices // parts * min(render.num_coarse, render.num_fine)
    if program == "fast":
        return RAYS_AT_ONCE * 16
    is_part = program == "exact" and can_skip_empty_space(case.field, render, case.space)
    num_rays = SOME_RAYS_AT_ONCE if is_part else RAYS_AT_ONCE
    return num_rays * min(render.num_coarse, render.num_fine)


@every_program
@every_field
def test_the_program_of_an_accelerator_is_lowered_for_it(backend, name, preset, program):
    case = Case(backend, name, preset)
    whole = traced(case, program, "cuda")
    assert case.num_points
    assert min(case.num_points) >= least_points(case, program)
    assert "stablehlo.dot_general" in whole.lower(lowering_platforms=PLATFORMS).as_text()


@pytest.mark.parametrize("program", ["step", "exact", "crop"])
@pytest.mark.parametrize(
    ("space", "outside"), [("world", "border"), ("world", "empty"), ("contracted", "border")]
)
def test_the_program_is_lowered_in_every_space(space, outside, program):
    """Where nothing is outside a box, the rays that meet nothing come last."""
    changes = (f"field.outside={outside}", f"field.proposal.outside={outside}")
    case = Case("flax", "planes", "planes", space, *changes)
    whole = traced(case, program, "cuda")
    assert can_skip_empty_space(case.field, case.config.render, case.space) == (outside == "empty")
    assert min(case.num_points) >= least_points(case, program)
    text = whole.lower(lowering_platforms=PLATFORMS).as_text()
    if program != "step":  # which sorts what it adds to its table
        assert ("stablehlo.sort" in text) == (outside == "empty")


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
