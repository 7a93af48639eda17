"""The command line on captures of other formats, and with cameras all around."""

import json

import numpy as np
import pytest

from nerf.captures.images.files import read_image
from nerf.config import text as config_text
from nerf.geometry.contraction import contract
from tests.cli.test_main_quick import QUICK
from tests.support.captures import convert, write_nerfstudio, write_procedural
from tests.support.command_line import (
    SMALL_PLANES,
    TINY,
    assert_is_one_sentence,
    call,
    call_successfully,
)

pytestmark = pytest.mark.slow

FIELDS = {"mlp": TINY, "mlp, preset quick": QUICK, "planes": SMALL_PLANES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A table before nothing as a Blender scene, and a courtyard as COLMAP's."""
    home = tmp_path_factory.mktemp("captures")
    table, yard = (write_procedural(home / name, name) for name in ("table", "courtyard"))
    return {
        "world": convert(table, "blender", home / "blender"),
        "contracted": convert(yard, "colmap", home / "colmap"),
    }


def flags(folder, field, run_dir, *more):
    return ("--mode=train", f"--scene={folder}", f"--run_dir={run_dir}", *FIELDS[field], *more)


@pytest.mark.parametrize("space", ["world", "contracted"])
@pytest.mark.parametrize("field", FIELDS)
def test_every_field_trains_on_a_360_capture(folders, tmp_path, space, field):
    run_dir = tmp_path / "run"
    out = call_successfully(*flags(folders[space], field, run_dir, "--steps=3", "--video_frames=2"))
    assert f"space:      {space}" in out
    assert (run_dir / "video.mp4").stat().st_size > 0
    scored = json.loads((run_dir / "eval.json").read_text())
    assert np.isfinite(scored["psnr"])
    assert scored["split"]["test"] == list(range(0, {"world": 56, "contracted": 72}[space], 16))
    record = json.loads((run_dir / "config.json").read_text())
    assert record["video"]["path"] == "orbit"
    config = config_text.from_json(record["config"])
    assert config.render.background == {"world": "white", "contracted": "black"}[space]
    assert (config.train.opacity_loss_weight > 0) == (space == "contracted" and field != "mlp")
    boxes = {"mlp": [], "planes": [config.field, config.field.proposal]}
    for box in boxes.get(field, [config.field.proposal]):
        assert box.outside == {"world": "empty", "contracted": "border"}[space]
        assert (box.low, box.high) == ((-1.0,) * 3, (1.0,) * 3)
    depth = np.load(run_dir / "renders" / "view_000_depth.npy")
    assert np.isfinite(depth).all()
    assert (depth > 0).all()


def test_an_object_is_found_on_a_white_background(folders, tmp_path):
    """In so few steps no more than where it is; what is not it stays white."""
    run_dir = tmp_path / "run"
    call_successfully(
        *flags(folders["world"], "planes", run_dir, "--steps=250", "--video_frames=0")
    )
    rendered = read_image(run_dir / "renders" / "view_016.png")
    assert rendered[:2].mean() > 0.9  # above it
    scored = json.loads((run_dir / "eval.json").read_text())
    assert scored["psnr"] > 14
    depth = read_image(run_dir / "renders" / "view_016_depth.png")
    assert (depth.max(axis=-1) == 0).any()


def test_images_are_scaled_and_the_notes_are_shown(tmp_path):
    folder = write_nerfstudio(tmp_path / "scene")
    (folder / "images" / "view_5.png").unlink()
    options = ("--steps=1", "--video_frames=0", "--max_size=6")
    out = call_successfully(*flags(folder, "planes", tmp_path / "run", *options))
    assert "note: 1 frame of transforms.json has no image" in out
    assert "note: images of 12x8 are scaled to 6x4" in out
    assert "5 views of 6x4" in out


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--format=ply", "--format=ply: value should be one of <llff|blender|nerfstudio|colmap|"),
        ("--format=colmap", "no COLMAP model"),
        ("--space=flat", "--space=flat: value should be one of <ndc|world|contracted>"),
        ("--space=ndc", "--space=ndc is not possible"),
        ("--background=green", "--background=green: value should be one of <white|black>"),
        ("--near=0", "--near=0.0: must be finite and more than 0"),
        ("--near=2 --far=1", "--near=2.0 must be less than --far=1.0"),
        ("--max_size=-1", "--max_size=-1: -1 is not an integer in the range [0,"),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path, flag, reason):
    folder = write_nerfstudio(tmp_path / "scene")
    ended = call(f"--scene={folder}", f"--run_dir={tmp_path / 'run'}", *flag.split())
    assert_is_one_sentence(ended, reason)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("--space=world", "space was 'contracted' and is now 'world'"),
        ("--near=0.5", "bounds was"),
        ("--far=7", "bounds was"),
        ("--max_size=6", "resolution was"),
    ],
)
def test_a_run_does_not_resume_in_another_space_or_between_other_bounds(tmp_path, changed, message):
    folder = write_nerfstudio(tmp_path / "scene")
    begun = flags(folder, "mlp", tmp_path / "run", "--steps=2", "--stop_at=1", "--video_frames=0")
    call_successfully(*begun)
    assert_is_one_sentence(call(*begun, changed), message)


def test_the_inner_half_of_contracted_space_is_that_of_the_cameras(folders):
    from nerf.scenes.loading import load_folder

    cameras = load_folder(folders["contracted"]).scene.cameras.camtoworlds
    assert np.abs(contract(cameras[:, :, 3])).max() <= 0.5 + 1e-6
