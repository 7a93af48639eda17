"""Several results of the benchmark of quality in one chart."""

import json

import pytest
from PIL import Image

from benchmarks.charts import write_quality_chart
from benchmarks.results import FOLDER
from tests.support.command_line import assert_is_one_sentence, call_tool
from tools import quality_chart
from tools.quality_chart import joined


def curve(field, *psnr):
    points = [
        {"limit": 20.0 * 3**i, "steps": 10, "psnr": x, "ssim": x / 100, "num_parameters": 5}
        for i, x in enumerate(psnr)
    ]
    return {"field": field, "points": points}


def result(name, *curves, source="procedural"):
    scene = {"scene": name, "source": source, "resolution": [94, 126], "curves": list(curves)}
    return {"benchmark": "quality", "scenes": [scene]}


def test_curves_of_a_scene_are_joined_and_of_one_field_the_later_is_kept():
    first = result("flower", curve("planes", 20.0, 30.0), curve("mlp", 9.0))
    second = result("flower", curve("planes", 21.0, 31.0), curve("mlp:quick", 19.0))
    photographs = result("flower", curve("planes", 25.0), source="photographs")
    together = joined([first, second, photographs])["scenes"]
    assert [scene["source"] for scene in together] == ["procedural", "photographs"]
    bundled, real = ({c["field"]: c["points"] for c in scene["curves"]} for scene in together)
    assert list(bundled) == ["planes", "mlp", "mlp:quick"]
    assert bundled["planes"][0]["psnr"] == 21.0
    assert real["planes"][0]["psnr"] == 25.0
    assert len(first["scenes"][0]["curves"]) == 2  # what was joined stays as it was


def test_the_chart_has_a_column_for_each_scene(tmp_path):
    one = result("flower", curve("planes", 20.0, 30.0, 31.0), curve("mlp", 9.0))
    sizes = []
    for results in ([one], [one, result("room", curve("mlp:quick", 22.0))]):
        write_quality_chart(tmp_path / "chart.png", joined(results))
        with Image.open(tmp_path / "chart.png") as image:
            sizes.append(image.size)
    assert sizes[1][0] > 1.5 * sizes[0][0]
    assert sizes[1][1] == sizes[0][1]


@pytest.mark.parametrize("text", ["no JSON", "[]", json.dumps({"benchmark": "growth"}), None])
def test_another_file_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    out = tmp_path / "chart.png"
    ended = call_tool(quality_chart, f"--out={out}", tmp_path / "a.json")
    assert_is_one_sentence(ended, "a.json is not a result")
    assert not out.exists()


def test_results_of_version_0_1_0_are_drawn(tmp_path):
    files = sorted(FOLDER.glob("quality-*.json"))
    assert len(files) > 4
    ended = call_tool(quality_chart, f"--out={tmp_path / 'chart.png'}", *files)
    assert ended.status == 0, ended.err
    with Image.open(tmp_path / "chart.png") as image:
        assert image.width > 1000  # flower, twice, and room


def test_an_unwritable_chart_ends_with_a_sentence(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(result("flower", curve("planes", 20.0))))
    ended = call_tool(quality_chart, f"--out={tmp_path}/no/chart.png", tmp_path / "a.json")
    assert_is_one_sentence(ended, "no/chart.png cannot be read or written: No such file")
