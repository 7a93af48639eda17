"""The benchmark's figures exist and make sense; never how large they are."""

import doctest
import itertools
import json
import math
import os
import re
from functools import partial

import jax
import numpy as np
import pytest

from benchmarks import ceiling, floor, machine, step_throughput, synthetic_views, timing, work
from nerf import field
from nerf.backends import convert, planes
from nerf.captures.images.files import read_images
from nerf.config import presets
from nerf.config import text as config_text
from nerf.training.batch import sample_batch
from tests.support.command_line import TINY_FIELD, assert_is_one_sentence, call_benchmark

pytestmark = pytest.mark.slow

# All presets, as without the flag; in the short form of the tests two of them.
PRESETS = presets.presets_of("mlp") if os.environ.get("NERF_LONG_TESTS") else ["notebook", "quick"]
SHORT = (
    *TINY_FIELD,
    "--set=render.num_coarse=8",
    "--set=render.num_fine=8",
    "--rays=32",
    "--steps=2",
    "--window=0",
    "--product=64",
)
RESULT_KEYS = (
    "benchmark date device platform num_devices processor cores load_average versions xla_flags "
    "settings cases"
)
CASE_KEYS = (
    "preset num_rays precision rays_per_microbatch evaluations_per_ray flop_per_evaluation "
    "flop_per_step ceiling backends ratios compilations_while_measured config"
)
BACKEND_KEYS = (
    "trace_seconds lower_seconds compile_seconds precision_asked_of_xla first_loss step_seconds "
    "rays_per_second evaluations_per_second flop_per_second share_of_ceiling peak_bytes"
)
RATIO_KEYS = "of to median min max n"
SPREAD_KEYS = "median min max n repeats readings"


def call(*arguments):
    """Runs the benchmark in this process, with flags that no call before has touched."""
    return call_benchmark(step_throughput, *arguments)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What a short run of everything prints, and the file it writes."""
    path = tmp_path_factory.mktemp("results") / "new" / "short.json"
    ended = call(*SHORT, f"--preset={','.join(PRESETS)}", f"--out={path}")
    assert ended.status == 0, ended.err
    return ended.out, json.loads(path.read_text(encoding="utf-8"))


def numbers(node):
    """All numbers in a tree of lists and dictionaries."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        return [number for child in node for number in numbers(child)]
    return [node] if isinstance(node, int | float) and not isinstance(node, bool) else []


def test_file_holds_every_figure(measured):
    _, result = measured
    assert set(result) == set(RESULT_KEYS.split())
    assert [case["preset"] for case in result["cases"]] == list(PRESETS)
    for case in result["cases"]:
        assert set(case) == set(CASE_KEYS.split())
        assert set(case["backends"]) == set(convert.layouts("mlp"))
        for figures in case["backends"].values():
            assert set(figures) == set(BACKEND_KEYS.split())
            assert set(figures["step_seconds"]) == set(SPREAD_KEYS.split())
        assert set(case["ceiling"]) == {"size", "seconds", "flop_per_second", "relative_error"}
        pairs = {frozenset((ratio["of"], ratio["to"])) for ratio in case["ratios"]}
        assert pairs == set(map(frozenset, itertools.combinations(convert.layouts("mlp"), 2)))
        assert all(set(ratio) == set(RATIO_KEYS.split()) for ratio in case["ratios"])
        assert config_text.from_json(case["config"]).train.num_rays == case["num_rays"] == 32


def test_figures_are_positive_and_finite(measured):
    _, result = measured
    for case in result["cases"]:
        assert case["compilations_while_measured"] == 0
        apart = ("config", "compilations_while_measured")
        figures = numbers({name: case[name] for name in case if name not in apart})
        assert len(figures) > 40
        assert all(math.isfinite(figure) and figure > 0 for figure in figures)


def test_figures_agree_with_each_other(measured):
    _, result = measured
    for case in result["cases"]:
        for figures in case["backends"].values():
            seconds = figures["step_seconds"]
            assert seconds["n"] == len(seconds["readings"]) == 2
            assert seconds["min"] <= seconds["median"] <= seconds["max"]
            flop_per_second = case["flop_per_step"] / seconds["median"]
            peak = case["ceiling"]["flop_per_second"]
            assert figures["rays_per_second"] * seconds["median"] == pytest.approx(32)
            assert figures["flop_per_second"] == pytest.approx(flop_per_second)
            assert figures["share_of_ceiling"] == pytest.approx(flop_per_second / peak)
            evaluations = figures["rays_per_second"] * case["evaluations_per_ray"]
            assert figures["evaluations_per_second"] == pytest.approx(evaluations)


def test_machine_is_named(measured):
    _, result = measured
    assert result["device"] == jax.devices()[0].device_kind
    assert result["versions"]["jax"] == jax.__version__
    assert result["cores"] >= 1
    assert result["processor"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", result["date"])


def test_table_shows_the_figures_of_the_file(measured):
    printed, result = measured
    for case in result["cases"]:
        assert f"{case['preset']}, 32 rays a step, float32" in printed
        for name, figures in case["backends"].items():
            assert re.search(rf"^  {name} .* {figures['rays_per_second']:,.0f} ", printed, re.M)
        for ratio in case["ratios"]:
            assert f"{ratio['of']} : {ratio['to']} = {ratio['median']:.3f}" in printed
        assert any((ratio["of"], ratio["to"]) == ("haiku", "flax") for ratio in case["ratios"])
    assert printed.count("product ") == len(result["cases"]) == len(PRESETS)


def test_backends_compute_the_same(measured):
    _, result = measured
    for case in result["cases"]:
        first, *others = [figures["first_loss"] for figures in case["backends"].values()]
        assert others == pytest.approx([first] * len(others), rel=1e-5)


def test_products_are_float32(measured):
    _, result = measured
    for case in result["cases"]:
        assert case["ceiling"]["relative_error"] < 1e-5
        for figures in case["backends"].values():
            assert figures["precision_asked_of_xla"] == ["HIGHEST"]


def test_another_backend_is_traced_once_and_in_its_precision(tmp_path, monkeypatch, own_registry):
    events = []

    def make(settings):
        made = field.make_field("flax", "mlp", settings)

        def apply(params, points, viewdirs, /, *, key=None):
            events.append("traced")
            return made.apply(params, points, viewdirs, key=key)

        return field.RadianceField(made.init, apply)

    def seconds(contender, repeats):
        events.append("run")
        return read(contender, repeats)

    read = timing.seconds
    monkeypatch.setattr(timing, "seconds", seconds)
    field.register("another", "mlp", make)
    out = tmp_path / "another.json"
    flags = ("--preset=notebook", "--backend=another", "--precision=tf32", "--steps=3")
    ended = call(*SHORT, *flags, f"--out={out}")
    assert ended.status == 0, ended.err
    first_run = events.index("run")
    assert first_run > 0
    # Two warm-ups and three rounds, each of the step and of the product.
    assert events[first_run:] == ["run"] * 10
    (case,) = json.loads(out.read_text(encoding="utf-8"))["cases"]
    assert case["precision"] == "tf32"
    assert case["ratios"] == []
    assert case["backends"]["another"]["precision_asked_of_xla"] == ["HIGH"]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--backend=torch"], "unknown backend 'torch': choose one of flax, haiku"),
        (["--backend="], "flag --backend=: '' is not a name"),
        (["--preset=mine"], "unknown preset 'mine': choose one of notebook, paper"),
        (["--precision=float16"], "'float16' is not one of float32, tf32, bfloat16"),
        (["--rays=many"], "--rays=many: 'many' is not an integer in the range [1, 16777216]"),
        (["--rays=0"], "'0' is not an integer in the range [1, 16777216]"),
        (["--rays=64,"], "--rays=64,: '' is not an integer"),
        (["--steps=0"], "0 is not an integer in the range [1, 1000000]"),
        (["--readings=0"], "0 is not an integer in the range [1, 1000000]"),
        (["--steps=few"], "--help lists the flags"),
        (["--warmup=0"], "0 is not an integer in the range [1, 1000000]"),
        (["--window=nan"], "--window=nan: must be finite"),
        (["--product=0"], "0 is not an integer in the range [1, 65536]"),
        (["--rays_per_microbatch=0"], "0 is not an integer in the range [1, 16777216]"),
        (["--set=field.size=3"], "no setting 'size'"),
        (["--set=train.num_rays=3"], "use --rays instead"),
        (["--speed=fast"], "Unknown command line flag 'speed'"),
        (["fast"], "unexpected argument 'fast'"),
        (["--field=grid"], "has no field 'grid'"),
        (["--against=nowhere.json"], "--against: nowhere.json is not a result that can be read"),
    ],
)
def test_wrong_flag_ends_with_a_sentence(flags, reason, tmp_path):
    out = tmp_path / "out.json"
    ended = call(f"--out={out}", *flags)
    assert_is_one_sentence(ended, reason)
    assert not out.exists()


def test_unwritable_file_is_refused_before_the_measurement(tmp_path):
    (tmp_path / "file").touch()
    for out, reason in (
        (tmp_path / "file" / "x.json", "cannot be written"),
        (tmp_path, "is a folder"),
    ):
        ended = call(*SHORT, f"--out={out}")
        assert (ended.status, ended.out) == (1, "")
        assert reason in ended.err


def test_an_earlier_result_is_compared_with(measured, tmp_path):
    """Here with itself: every ratio is that of its seconds to those that are measured now."""
    _, before = measured
    earlier = tmp_path / "before.json"
    earlier.write_text(json.dumps(before), encoding="utf-8")
    out, chart = tmp_path / "now.json", tmp_path / "chart.png"
    flags = ("--preset=notebook", "--backend=flax", f"--against={earlier}", f"--chart={chart}")
    ended = call(*SHORT, *flags, f"--out={out}")
    assert ended.status == 0, ended.err
    now = json.loads(out.read_text(encoding="utf-8"))
    seconds = [
        result["cases"][0]["backends"]["flax"]["step_seconds"]["median"] for result in (now, before)
    ]
    ratio = seconds[0] / seconds[1]
    assert f"notebook, 32 rays, float32, flax: {ratio:.3f} times the seconds" in ended.out
    assert "haiku" not in ended.out.split("against")[-1]
    assert read_images([chart])[0].shape[1] > 500


@pytest.mark.parametrize("content", ["", "[]", '{"benchmark": "collapse"}', '{"rows": []}'])
def test_another_file_is_not_compared_with(content, tmp_path):
    earlier = tmp_path / "other.json"
    earlier.write_text(content, encoding="utf-8")
    ended = call(*SHORT, f"--against={earlier}", f"--out={tmp_path / 'out.json'}")
    assert ended.status == 1
    assert re.fullmatch(r"error: --against: \S+ is not a result .*\n", ended.err)


def test_help_lists_the_flags():
    ended = call("--help")
    assert ended.status == 0
    for flag in ("--backend", "--preset", "--rays_per_microbatch", "--precision", "--product"):
        assert flag in ended.out


@pytest.mark.parametrize(
    ("preset", "evaluations", "teraflop"), [("notebook", 192, 0.698), ("paper", 256, 0.931)]
)
def test_work_of_the_presets(backend, preset, evaluations, teraflop):
    settings = presets.preset(preset)
    counted = work.work_per_ray(field.make_field(backend, "mlp", settings.field), settings)
    assert counted.evaluations == settings.render.evaluations_per_ray == evaluations
    assert 1024 * counted.flop == pytest.approx(teraflop * 1e12, rel=0.01)


def test_flop_follow_from_the_layers(backend):
    settings = presets.NOTEBOOK
    for flag in TINY_FIELD:
        settings = config_text.override(settings, flag.removeprefix("--set="))
    counted = work.work_per_ray(field.make_field(backend, "mlp", settings.field), settings)
    trunk = 60 * 16 + (60 + 16) * 16 + 16 * 16
    heads = 16 * 1 + 16 * 16 + (16 + 24) * 8 + 8 * 3
    assert counted.flop_per_evaluation == 3 * 2 * (trunk + heads)


def test_rig_gives_finite_rays(key):
    views, settings = synthetic_views.make_views(seed=0), presets.NOTEBOOK.render
    draw = partial(sample_batch, num_rays=64, space=synthetic_views.SPACE, config=settings)
    batch = jax.jit(draw)(key, views)
    for array in jax.tree.leaves((batch.rays, batch.rgb)):
        assert np.isfinite(array).all()


def test_contenders_take_turns():
    order = []
    contenders = {name: lambda n, name=name: order.append((name, n)) for name in "AB"}
    readings = timing.take_turns(contenders, {"A": 1, "B": 5}, rounds=3)
    assert order == [("A", 1), ("B", 5)] * 3
    assert {name: len(values) for name, values in readings.items()} == {"A": 3, "B": 3}


def test_compilations_are_counted_and_only_within():
    with timing.counting_compilations() as some:
        jax.jit(lambda x: x + 41.0)(1.0)
    with timing.counting_compilations() as none:
        pass
    jax.jit(lambda x: x + 42.0)(1.0)
    assert some.count >= 1
    assert none.count == 0


def test_product_tells_its_precision():
    product = ceiling.make_product(32)
    assert product.relative_error < 10 * np.finfo(np.float32).eps


@pytest.mark.parametrize("module", [ceiling, machine, timing, work])
def test_examples(module):
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0


def test_a_field_of_another_kind_is_measured_with_its_own_preset(tmp_path):
    out = tmp_path / "planes.json"
    flags = ("--field=planes", "--steps=1", "--warmup=1", "--product=64", "--rays=64")
    ended = call_benchmark(step_throughput, *flags, f"--out={out}")
    assert ended.status == 0, ended.err
    (case,) = json.loads(out.read_text(encoding="utf-8"))["cases"]
    assert (case["preset"], case["evaluations_per_ray"]) == ("planes", 14)
    layers = ((2 * 16, 64), (64, 16), (15 + 15, 64), (64, 3))  # looking features up is no product
    assert case["flop_per_evaluation"] == 3 * sum(2 * a * b for a, b in layers)
    assert case["compilations_while_measured"] == 0


def test_a_step_with_a_table_is_compared_with_its_floor(tmp_path):
    out = tmp_path / "floor.json"
    sizes = "--image_size=126x94,508x380"
    small = ("--set=field.resolution=[4,3,2]", "--set=train.holdout=9")
    flags = ("--field=planes", "--backend=flax", "--steps=1", "--warmup=1", "--product=64")
    ended = call_benchmark(step_throughput, *flags, *small, sizes, f"--out={out}")
    assert ended.status == 0, ended.err
    first, second = json.loads(out.read_text(encoding="utf-8"))["cases"]
    assert [case["num_rays"] for case in (first, second)] == [1024, 4096]
    assert [case["config"]["field"]["num_levels"] for case in (first, second)] == [2, 4]
    for case in (first, second):
        parts = case["floor"]["parts"]
        assert list(parts) == ["rows", "layers", "tables"]
        seconds = sum(part["median"] for part in parts.values())
        assert case["floor"]["seconds"] == pytest.approx(seconds)
        figures = case["backends"]["flax"]
        step = figures["step_seconds"]["median"]
        assert figures["step_to_floor"] == pytest.approx(step / seconds)
        assert f"a step takes flax {figures['step_to_floor']:.2f} x" in ended.out


def test_the_rows_of_the_floor_are_those_that_a_step_reads():
    config = config_text.override(presets.PLANES, "field.resolution=[4,3,2]", "train.num_rays=8")
    index = floor._rows_read(config, 2, 2, seed=0)
    assert index.shape == (2, 6, 4, 2 * 14)
    texels = planes.plane_texels(config.field)
    ends = np.cumsum([a * b for a, b in texels])
    for table, (end, (a, b)) in enumerate(zip(ends, texels, strict=True)):
        of_table = np.asarray(index[:, table])
        assert of_table.min() >= end - a * b
        assert of_table.max() < end


@pytest.mark.parametrize("size", ["126", "126x0", "x94", "a x b"])
def test_a_size_that_is_none_is_refused(tmp_path, size):
    flags = (f"--image_size={size}", "--field=planes", f"--out={tmp_path / 'out.json'}")
    assert_is_one_sentence(call_benchmark(step_throughput, *flags), "expected WIDTHxHEIGHT")


def test_a_preset_of_another_field_is_refused(tmp_path):
    flags = ("--field=planes", "--preset=paper", f"--out={tmp_path / 'out.json'}")
    assert_is_one_sentence(call_benchmark(step_throughput, *flags), "is for the field 'mlp'")
