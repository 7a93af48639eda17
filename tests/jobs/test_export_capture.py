"""The library exports a capture quietly, and as `nerf.inspect` does."""

import dataclasses

import numpy as np
import pytest

from nerf.captures.export import EXPORT_FORMATS
from nerf.errors import UserError
from nerf.jobs.export_capture import export_capture
from nerf.runtime.events import Message
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import write_nerfstudio
from tests.support.command_line import call_inspect, contents


@pytest.fixture
def folder(tmp_path):
    return write_nerfstudio(tmp_path / "scene")


@pytest.mark.parametrize("to", ["nerfstudio", "blender", "colmap"])
def test_it_writes_what_the_command_writes_and_prints_nothing(folder, to, tmp_path, capfd):
    options = CaptureOptions(near=0.5, far=9.0)
    written = export_capture(load_folder(folder, options), to, tmp_path / "library")
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in written] == sorted(p.name for p in written[0].parent.iterdir())
    flags = (f"--export_format={to}", f"--out={tmp_path / 'command'}", "--near=0.5", "--far=9")
    ended = call_inspect(folder, *flags)
    assert ended.status == 0, ended.err
    assert f"written as {to}: {tmp_path / 'command'}, images, " in ended.out
    assert contents(tmp_path / "command") == contents(tmp_path / "library")


def test_near_and_far_are_those_with_which_it_was_loaded(folder, tmp_path):
    export_capture(load_folder(folder, CaptureOptions(near=0.5, far=9.0)), "colmap", tmp_path / "a")
    bounds = load_folder(tmp_path / "a").capture.bounds
    np.testing.assert_allclose(bounds, np.broadcast_to([0.5, 9.0], bounds.shape))


def test_what_is_lost_is_a_note_to_the_callback(folder, tmp_path):
    loaded = load_folder(folder)
    path = dataclasses.replace(loaded.capture, path_poses=loaded.capture.camtoworlds[:2])
    events = []
    loaded = loaded._replace(capture=path)
    export_capture(loaded, "nerfstudio", tmp_path / "out", callback=events.append)
    lost = Message("the camera path of 2 poses without images is not written", is_note=True)
    assert lost in events


def test_what_cannot_be_written_is_a_sentence(folder, tmp_path):
    loaded = load_folder(folder)
    with pytest.raises(UserError, match=f"'ply': choose one of {', '.join(EXPORT_FORMATS)}"):
        export_capture(loaded, "ply", tmp_path / "out")
    with pytest.raises(UserError, match="exists already: give a new folder"):
        export_capture(loaded, "nerfstudio", folder)
    with pytest.raises(UserError, match="has no corrected poses"):
        export_capture(loaded, "nerfstudio", tmp_path / "out", corrected_by=tmp_path)
    assert not (tmp_path / "out").exists()
