"""The command line of nerf.inspect, used as a stranger would."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from nerf.captures.export import EXPORT_FORMATS
from nerf.captures.images.files import image_size, read_image
from nerf.cli import modes
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import assert_same, orbit_poses, write_nerfstudio, write_procedural
from tests.support.command_line import call_inspect
from tests.support.mixed_sizes import write_mixed, write_uniform

pytestmark = pytest.mark.slow

GOOD, BAD = 0, 1


def inspect(*arguments):
    ended = call_inspect(*arguments)
    return ended.status, ended.out, ended.err


def inspect_in_a_process(*arguments):
    command = [sys.executable, "-m", "nerf.inspect", *map(str, arguments)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_procedural(tmp_path_factory.mktemp("inspect") / "table", "table")


def test_a_good_folder_is_described_and_drawn(folder, tmp_path):
    status, out, err = inspect_in_a_process(folder, f"--plot={tmp_path / 'cameras.png'}")
    assert (status, err) == (GOOD, "")
    for expected_text in (
        "format:      llff",
        "views:       56",
        "bounds:",
        "coverage:",
        "held out",
        "world",
    ):
        assert expected_text in out
    assert "training can start: python -m nerf.main" in out
    drawn = read_image(tmp_path / "cameras.png")
    assert drawn.shape[1] > 1000
    assert len(np.unique(drawn.reshape(-1, drawn.shape[-1]), axis=0)) > 50


def test_every_problem_is_a_line_and_the_status_is_not_0(tmp_path):
    def change(content):
        content["frames"][0]["file_path"] = "../a.png"
        content["frames"][3]["transform_matrix"] = None

    status, _, err = inspect(write_nerfstudio(tmp_path, change=change))
    assert status == BAD
    problems = [line for line in err.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 2
    assert "training cannot start" in err


def test_one_view_is_not_enough(tmp_path):
    status, out, err = inspect(write_nerfstudio(tmp_path, poses=orbit_poses()[:1]))
    assert status == BAD
    assert "problem: " in err
    assert "training can start" not in out


def test_export_writes_a_folder_that_is_the_same(folder, tmp_path):
    for to in EXPORT_FORMATS:
        status, out, _ = inspect(folder, f"--export_format={to}", f"--out={tmp_path / to}")
        assert status == GOOD
        assert f"written as {to}" in out
    assert_same(folder, tmp_path / "nerfstudio")


def test_images_of_several_sizes_are_counted_and_exported(tmp_path):
    kind = "portrait_and_landscape"
    mixed = write_mixed(write_uniform(tmp_path, "courtyard"), tmp_path / kind, kind)
    out = tmp_path / "small"
    status, printed, _ = inspect(mixed, "--export_format=colmap", f"--out={out}", "--factor=2")
    assert status == GOOD
    assert "cameras for 14 of 16x6, 4 of 8x12" in printed
    assert "images:      14 of 8x3, 4 of 4x6" in printed
    there = load_folder(mixed, CaptureOptions(factor=2), cache_dir=tmp_path / "cache").scene
    back = load_folder(out).scene
    for expected, found in zip(there.images, back.images, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(back.cameras.lens.focal, there.cameras.lens.focal, rtol=1e-6)
    np.testing.assert_allclose(back.cameras.lens.centre, there.cameras.lens.centre, atol=1e-5)
    status, _, err = inspect(mixed, "--export_format=llff", f"--out={tmp_path / 'llff'}")
    assert status == BAD
    assert "choose --export_format=nerfstudio" in err


def test_export_at_a_smaller_size(folder, tmp_path):
    out = tmp_path / "small"
    status, _, _ = inspect(folder, "--export_format=nerfstudio", f"--out={out}", "--factor=2")
    assert status == GOOD
    content = json.loads((out / "transforms.json").read_text())
    assert (content["w"], content["h"]) == (8, 6)
    assert image_size(out / content["frames"][0]["file_path"]) == (8, 6)


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        ([], "give one folder"),
        (["nowhere"], "nowhere is not a folder"),
        (["FOLDER", "another"], "give one folder"),
        (
            ["FOLDER", "--export_format=ply", "--out=x"],
            "--export_format=ply: value should be",
        ),
        (["FOLDER", "--export_format=colmap"], "--export_format and --out go together"),
        (["FOLDER", "--plot=a.jpg"], "must end with .png"),
        (["FOLDER", "--plot=FOLDER/images/view_000.png"], "in which nothing is written"),
        (["FOLDER", "--holdout=1"], "--holdout=1 holds out all views"),
        (["FOLDER", "--factor=100"], "would be scaled to 1x1, which shows nothing: give a smaller"),
        (["FOLDER", "--format=colmap"], "no COLMAP model"),
        (["FOLDER", "--near=3", "--far=2"], "must be less than"),
        (["FOLDER", "--space=flat"], "--space=flat: value should be one of"),
        (["FOLDER", "--space=ndc"], "--space=ndc is not possible"),
        (["FOLDER", "--export_format=llff", "--out=FOLDER"], "exists already"),
        (["FOLDER", "--plot=/no/such/folder/a.png"], "cannot write"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_each_mistake_has_its_sentence(folder, arguments, expected_text):
    status, _, err = inspect(*(x.replace("FOLDER", str(folder)) for x in arguments))
    assert status == BAD
    assert expected_text in err


def test_help_lists_the_flags_that_the_command_uses_and_no_other():
    shown = set(
        re.findall(r"^  --(?:\[no\])?(\w+):", inspect_in_a_process("--help")[1], re.MULTILINE)
    )
    assert shown == {
        "plot",
        "export_format",
        "corrected_by",
        *modes.USED_BY_COMMAND["nerf.inspect"],
    }
