"""What a run folder keeps of the notes on its capture: no path, so that it can be handed on."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from nerf.jobs.training_run.record import _without_path


@pytest.mark.parametrize("folder", [Path("/home/me/garden"), Path("captures/garden")])
def test_a_note_names_the_folder_by_its_last_part(folder):
    scene = SimpleNamespace(folder=folder)
    for named in (folder, folder.absolute()):
        note = f"{named / 'images' / 'a.png'} has no pose, {named} lacks masks"
        assert _without_path(note, scene) == "garden/images/a.png has no pose, garden lacks masks"


def test_a_bundled_scene_has_no_folder():
    assert _without_path("a note on /x", SimpleNamespace(folder=None)) == "a note on /x"
