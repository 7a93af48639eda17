"""The benchmark of scaling: what it makes of its readings, and that its processes do the work."""

import io
import json
import re

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from benchmarks import (
    compare,
    report,
    scaling,
    scaling_jobs,
    scaling_model,
    scaling_process,
    timing,
)
from benchmarks.scaling_jobs import Layout
from benchmarks.scaling_process import MEET, SMALL_BYTES, Setup, step_of, sum_of
from benchmarks.synthetic_views import SPACE, make_views
from nerf.config import presets, text
from nerf.field import make_field
from nerf.runtime import parallel
from nerf.training.batch_source import draw_on_devices
from nerf.training.state import init_state
from nerf.training.step import jit_step
from tests.support.command_line import TINY_FIELD, assert_is_one_sentence, call_benchmark

NUM_BYTES, NUM_CORES = 2_400_000, 2
COST = scaling_model.StepCost(seconds_per_ray=2e-3, own_seconds=0.05, num_bytes=NUM_BYTES)
LINK = scaling_model.Link("loopback", 1e9, 1e-4, "")
TINY_MLP = (*(flag.removeprefix("--set=") for flag in TINY_FIELD), "render.num_coarse=8")
CONFIG = text.override(presets.NOTEBOOK, *TINY_MLP, "render.num_fine=8", "train.num_rays=64")


class FollowsTheModel:
    """A worker whose work takes the time that the model says, on a clock of its own."""

    def __init__(self, layout, clock):
        self.layout, self.clock = layout, clock

    def do(self, what, repeats):
        number = self.layout.num_processes * self.layout.num_devices
        size = int(re.search(r"\d+|$", what)[0] or 0)
        if what == step_of(size):
            reduction = scaling_model.doubling_seconds(NUM_BYTES, number, LINK)
            reduction = reduction if self.layout.is_job else 0.0
            took = scaling_model.step_seconds(COST, size, number, reduction, NUM_CORES)
        elif what == sum_of(size):
            took = scaling_model.doubling_seconds(size, number, LINK)
        else:
            assert what == MEET
            took = 1e-4
        self.clock[0] += repeats * took
        return repeats * took * number


@pytest.fixture
def figures(monkeypatch):
    """Of a machine of two cores on which everything takes the time that the model says."""
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(scaling_jobs, "usable_cores", lambda: [3, 5])
    plan = scaling.Plan("flax", (CONFIG,), (1, 2, 4), readings=3, window=0.5)
    jobs = {layout: FollowsTheModel(layout, clock) for layout in scaling.layouts(plan.processes)}
    return scaling.measure(jobs, CONFIG, NUM_BYTES, plan)


def test_what_follows_the_model_is_as_efficient_as_predicted(figures):
    assert figures["model"]["own_seconds"] == pytest.approx(COST.own_seconds)
    assert figures["model"]["link"]["bytes_per_second"] == pytest.approx(LINK.bytes_per_second)
    rows = {(row["kind"], row["processes"]): row for row in figures["scaling"]}
    assert set(rows) == {(kind, n) for kind in ("strong", "weak") for n in (2, 4)}
    for row in rows.values():
        assert row["efficiency"]["median"] == pytest.approx(row["predicted"])
        assert 0 < row["predicted"] < 1
    assert rows["weak", 4]["num_rays"] == 2 * rows["strong", 4]["num_rays"] == 128
    assert rows["strong", 4]["bytes_sent"] == 2 * NUM_BYTES


def test_processes_are_compared_with_as_many_devices_of_one(figures):
    (two, _) = figures["devices_to_processes"]
    (parts, _) = figures["parts"]
    of_devices = COST.seconds(64 / 2)
    assert two["median"] == pytest.approx(of_devices / (of_devices + parts["sum"]))
    assert parts["step"] == pytest.approx(of_devices + parts["sum"])
    assert two["cpu"]["median"] == pytest.approx(two["median"])  # here all cores are busy


def test_the_table_and_the_comparison_name_every_reading(figures):
    table = report.scaling(figures)
    for run in figures["runs"]:
        assert re.search(rf"{run['layout']} +{run['what']}", table)
        assert all(core in (3, 5) for cores in run["cores"] for core in cores)
    for link in scaling_model.LINKS:
        assert table.count(f"  {link.name} ") == len(scaling_model.NUM_GPUS)
    lines = compare.scaling({"cases": [figures]}, {"cases": [figures]})
    assert len(lines) == len(figures["runs"])
    assert all(line.endswith(": 1.000 times the seconds") for line in lines)


@pytest.mark.parametrize(("preset", "field"), [("notebook", "mlp"), ("planes", "planes")])
def test_the_bytes_are_those_that_a_step_passes_on(preset, field):
    tiny = TINY_MLP if field == "mlp" else ("field.resolution=[8, 6, 4]", "field.width=8")
    config = text.override(presets.preset(preset), *tiny, "train.num_rays=64")
    mesh = Mesh(np.array(jax.devices()[:2]), (parallel.AXIS,))
    made, views = make_field("flax", field, config.field), make_views(0)
    state = init_state(made, config, jax.random.key(0))
    batch = jax.eval_shape(draw_on_devices(mesh, views, 64), jax.random.key(0), state.step)
    step = jit_step(made, config, mesh, space=SPACE, num_shards=8)
    lowered = step.lower(state, batch, views.cameras, None).as_text()
    (passed,) = re.findall(r"collective_permute.*tensor<(\d+)xf32>\)? ->", lowered)
    assert scaling.buffer_bytes("flax", field, config) == 4 * int(passed)


def test_a_process_answers_when_it_has_done_what_it_was_asked():
    setup = Setup("mlp", "flax", text.to_json(CONFIG), [64], [SMALL_BYTES], None)
    asked = [{"what": what, "repeats": 2} for what in (step_of(64), sum_of(SMALL_BYTES), MEET)]
    lines = "\n".join(map(json.dumps, [setup._asdict(), *asked])) + "\n"
    answers = io.StringIO()
    scaling_process.answer(io.StringIO(lines), answers)
    took = [float(line) for line in answers.getvalue().splitlines()]
    assert len(took) == 1 + len(asked)  # the first says that it is ready
    assert min(took) > 0


def test_a_process_that_ends_is_an_error():
    bad = Setup("mlp", "nobody", text.to_json(CONFIG), [64], [], None)
    with (
        pytest.raises(scaling.UserError, match="a process of the layout '1 process, 2 devices"),
        scaling_jobs.started(Layout(1, 2, is_job=False), bad),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("counts", [[1], [1, 2]])
def test_processes_are_measured_and_written_down(counts, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    out = tmp_path / "scaling.json"
    small = ("--preset=notebook", "--rays=32", "--readings=1", "--window=0")
    small = (*small, f"--processes={','.join(map(str, counts))}")
    ended = call_benchmark(
        scaling, *small, *(f"--set={setting}" for setting in TINY_MLP), f"--out={out}"
    )
    assert ended.status == 0, ended.err
    (case,) = json.loads(out.read_text())["cases"]
    assert case["num_rays"] == 32
    assert {run["layout"] for run in case["runs"]} == {
        layout.name for layout in scaling.layouts(counts)
    }
    for run in case["runs"]:
        assert min(run[which]["min"] for which in ("seconds", "cpu_seconds")) > 0


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--processes=2"], "--processes=2 must be powers of two, and 1 among them"),
        (["--processes=1,3"], "must be powers of two"),
        (["--rays=33"], "--rays=33 cannot be shared evenly: give a multiple of twice"),
        (["--preset=mine"], "unknown preset 'mine'"),
        (["--backend=torch"], "unknown backend 'torch'"),
        (["--set=train.num_rays=3"], "use --rays instead"),
        (["--chart=a.png"], "Unknown command line flag 'chart'"),
    ],
)
def test_a_wrong_flag_ends_with_a_sentence(flags, reason, tmp_path):
    ended = call_benchmark(scaling, f"--out={tmp_path / 'out.json'}", *flags)
    assert_is_one_sentence(ended, reason)
    assert not list(tmp_path.iterdir())
