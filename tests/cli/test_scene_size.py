"""A bundled scene's size in its name: it is rendered at that size, and all records name it."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import TINY, call_successfully

pytestmark = pytest.mark.slow


def test_the_run_folder_and_every_record_say_the_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ("--scene=procedural:table@16x12", "--mode=train", "--steps=1", "--video_frames=0")
    printed = call_successfully(*flags, *TINY, "--offline")
    folder = tmp_path / "runs" / "table@16x12-procedural-flax-mlp"
    assert str(folder.relative_to(tmp_path)) in printed
    for name in ("config.json", "eval.json"):
        record = json.loads((folder / name).read_text())
        assert (record["scene"], record["source"]) == ("table@16x12", "procedural")
        assert record["resolution"] == [12, 16]
    with Image.open(folder / "renders" / "view_000.png") as image:
        assert image.size == (16, 12)
    again = call_successfully("--scene=procedural:table@16x12", "--video_frames=0", "--offline")
    assert "training run" not in again
    assert np.isfinite(json.loads((folder / "eval.json").read_text())["psnr"])


def test_the_shipped_parameters_serve_every_size(tmp_path):
    flags = ("--scene=procedural:flower@24x18", "--backend=haiku", "--video_frames=0", "--offline")
    call_successfully(*flags, f"--run_dir={tmp_path}")
    assert json.loads((tmp_path / "eval.json").read_text())["psnr"] > 25
