"""The figures of the render benchmark and of the growth of cost exist, and nothing recompiles."""

import json
import math
import re

import numpy as np
import pytest

from benchmarks import growth, render_throughput
from nerf.captures.images.files import read_images
from nerf.render import fast, image_metrics
from tests.support.command_line import (
    SMOOTH,
    TINY_FIELD,
    assert_is_one_sentence,
    call_benchmark,
    call_successfully,
)

pytestmark = pytest.mark.slow

METHOD_KEYS = (
    "trace_seconds lower_seconds compile_seconds peak_bytes evaluations_per_ray rays_per_second "
    "evaluations_per_second flop_per_second share_of_ceiling"
)


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "short"
    flags = (f"--scene={scene}", "--offline", f"--run_dir={folder}", *SMOOTH)
    call_successfully(*flags, "--mode=train", "--steps=20", "--lr=0.01", "--video_frames=0")
    return folder


@pytest.fixture(scope="module")
def measured(scene, trained, tmp_path_factory):
    """What a short run prints, and the folder it writes to."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "RESOLUTION", (8, 8, 8))
        patch.setattr(fast, "NUM_SAMPLES", (48,))
        ended = call_benchmark(
            render_throughput,
            f"--scene={scene}",
            f"--init_from={trained}",
            "--backend=flax,haiku",
            "--readings=2",
            "--product=64",
            f"--out={folder / 'render.json'}",
            f"--chart={folder / 'render.png'}",
        )
    assert ended.status == 0, ended.err
    result = json.loads((folder / "render.json").read_text(encoding="utf-8"))
    return ended.out, result, folder


def test_every_figure_is_there(measured):
    printed, result, _ = measured
    assert [case["backend"] for case in result["cases"]] == ["flax", "haiku"]
    for case in result["cases"]:
        assert (case["width"], case["height"]) == (16, 12)
        for name, figures in case["methods"].items():
            assert set(METHOD_KEYS.split()) <= set(figures)
            numbers = [figures[key] for key in METHOD_KEYS.split()]
            assert all(math.isfinite(number) and number > 0 for number in numbers)
            assert figures["image_seconds"]["n"] == 2
            rate = f"{figures['evaluations_per_second']:,.0f}"
            assert re.search(rf"^  {name} .* {rate} ", printed, re.M)
        assert case["process_peak_bytes"] > 2**20
    assert "exact : fast = " in printed


def test_figures_agree_with_each_other(measured):
    _, result, _ = measured
    for case in result["cases"]:
        for name, evaluations in (("exact", 96), ("fast", 48)):
            figures = case["methods"][name]
            seconds = figures["image_seconds"]["median"]
            assert figures["evaluations_per_ray"] == evaluations
            assert figures["rays_per_second"] == pytest.approx(16 * 12 / seconds)
            flop = 16 * 12 * evaluations * case["flop_per_evaluation"]
            peak = case["ceiling"]["flop_per_second"]
            assert figures["share_of_ceiling"] == pytest.approx(flop / seconds / peak)


def test_quality_is_that_of_the_images_that_nerf_main_writes(measured, scene, trained, tmp_path):
    _, result, _ = measured
    flags = (f"--scene={scene}", "--offline", f"--run_dir={tmp_path}", "--video_frames=0")
    call_successfully(*flags, f"--init_from={trained}")
    drawn = read_images([tmp_path / "renders" / "view_000.png"])[0]
    truth = read_images([scene / "images" / "image000.png"])[0]
    for case in result["cases"]:
        quality = case["quality"]
        assert quality["exact_psnr"] == pytest.approx(image_metrics.psnr(drawn, truth), abs=0.02)
        assert quality["lost"] == pytest.approx(quality["exact_psnr"] - quality["fast_psnr"])
        assert quality["fast_to_exact_psnr"] > 30.0
        assert [view["index"] for view in quality["views"]] == [0]


def test_nothing_is_compiled_while_the_clock_runs(measured):
    _, result, _ = measured
    assert [case["compilations_while_measured"] for case in result["cases"]] == [0, 0]


def test_the_chart_can_be_read(measured):
    _, _, folder = measured
    chart = read_images([folder / "render.png"])[0]
    assert chart.shape[0] > 300
    assert len(np.unique(chart.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--backend=torch"], "unknown backend 'torch'"),
        (["--field=grid"], "has no field 'grid'"),
        (["--pictures=0"], "0 is not an integer in the range [1, 1000000]"),
        (["--size=big"], "--size must be WIDTHxHEIGHT"),
        (["--precision=half"], "'half' is not one of float32, tf32, bfloat16"),
        (["--scene=procedural:garden"], "no bundled scene 'garden'"),
        (["--set=render.size=1"], "no setting 'size'"),
        (["--chart=/dev/null/x.png"], "name another file with --chart"),
    ],
)
def test_wrong_flag_ends_with_a_sentence(flags, reason, tmp_path):
    ended = call_benchmark(render_throughput, f"--out={tmp_path / 'out.json'}", *flags)
    assert_is_one_sentence(ended, reason)


def test_growth_has_every_point_and_its_work(tmp_path):
    out, chart = tmp_path / "growth.json", tmp_path / "growth.png"
    flags = (*TINY_FIELD, "--set=render.num_coarse=4", "--set=render.num_fine=4")
    work = {}
    for curve, values in (
        ("rays", (8, 16)),
        ("samples", (12, 24)),
        ("width", (8, 16)),
        ("resolution", (8, 16)),
    ):
        ended = call_benchmark(
            growth,
            *flags,
            "--readings=2",
            f"--curve={curve}",
            f"--values={values[0]},{values[1]}",
            f"--out={out}",
            f"--chart={chart}",
        )
        assert ended.status == 0, ended.err
        (figures,) = json.loads(out.read_text(encoding="utf-8"))["curves"]
        assert [point["value"] for point in figures["points"]] == list(values)
        assert all(point["seconds"]["min"] > 0 for point in figures["points"])
        assert all(point["seconds"]["n"] == 2 for point in figures["points"])
        if curve == "rays":  # the others are compared alike
            flags_again = (f"--curve={curve}", f"--values={values[0]}", f"--against={out}")
            again = call_benchmark(growth, *flags, *flags_again, f"--out={tmp_path / 'again.json'}")
            unit = growth.CURVES[curve].unit
            assert re.search(rf"{curve}, {values[0]} {unit}: [0-9.]+ times the seconds", again.out)
            assert f"{curve}, {values[1]} " not in again.out
        work[curve] = figures["points"][1]["flop"] / figures["points"][0]["flop"]
        assert len(read_images([chart])[0]) > 300
    assert (work["rays"], work["samples"], work["resolution"]) == (2.0, 2.0, 4.0)
    assert 1.5 < work["width"] < 4.0


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--curve=depth"], "'depth' is not one of rays, samples, width, resolution"),
        (["--values=3"], "--values needs one --curve"),
        (["--curve=rays", "--values=few"], "'few' is not an integer in the range [1, 1048576]"),
        (["--against=nowhere.json"], "not a result that can be read"),
        (["--readings=0"], "0 is not an integer in the range [1, 1000000]"),
        (["--precision=float32,tf32"], "value should be one of <float32|tf32|bfloat16>"),
    ],
)
def test_a_wrong_flag_of_growth_ends_with_a_sentence(flags, reason, tmp_path):
    ended = call_benchmark(growth, f"--out={tmp_path / 'out.json'}", *flags)
    assert_is_one_sentence(ended, reason)
