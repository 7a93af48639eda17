"""A format is one entry: what a test makes up is found, read and named as the others are."""

import dataclasses

import numpy as np
import pytest

from nerf.captures.format_record import Format, HandWritten, LensAdvice, Names, has_file
from nerf.captures.formats import FORMATS, formats_in
from nerf.captures.readers.posed_images import PosedImage, make_capture
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.posing.find import find_poses
from tests.support.captures import HEIGHT, WIDTH, orbit_poses, refusal, write_images

FILE = "poses.made_up"


def write_made_up(folder, poses, focal=10.0):
    """The focal length, then a pose in each line."""
    write_images(folder, [f"images/view_{i}.png" for i in range(len(poses))])
    np.savetxt(folder / FILE, [[focal] * 12, *poses.reshape(-1, 12)])
    return folder


def read_made_up(folder, factor=None, /, *, poses=None, follow_links=False):
    focal, *rows = np.loadtxt((poses or folder) / FILE).reshape(-1, 3, 4)
    row = [focal[0, 0], focal[0, 0], 6.0, 4.0, *[0.0] * 6]
    images = [
        PosedImage(f"view_{i}", pose, lambda *_: row, (WIDTH, HEIGHT))
        for i, pose in enumerate(rows)
    ]
    return make_capture("made_up", folder, images, factor, follow_links=follow_links)


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """The one entry."""
    record = Format(
        name="made_up",
        files_in_words="poses.made_up (a test)",
        read=read_made_up,
        is_in=has_file(FILE),
        names=Names((FILE,), (".made_up",), (FILE,), ("part_of_made_up",)),
        missing=lambda folder: ["half a capture"] if (folder / "half").exists() else [],
        guesses=lambda folder: ["perhaps a capture"] if (folder / "perhaps").exists() else [],
        by_hand=HandWritten("a line", uses_opencv=True),
        lens_advice=LensAdvice("write another first line", ""),
    )
    monkeypatch.setitem(FORMATS, "made_up", record)
    return record


@pytest.fixture
def folder(tmp_path):
    return write_made_up(tmp_path / "scene", orbit_poses())


def test_it_is_found_and_read(folder, tmp_path):
    assert formats_in(folder) == ["made_up"]
    for capture in (read_capture(folder), read_capture(folder, format="made_up")):
        assert (capture.format, capture.num_views) == ("made_up", 6)
    poses_folder = write_made_up(tmp_path / "apart", orbit_poses())
    (poses_folder / "inner").mkdir()
    (poses_folder / FILE).rename(poses_folder / "inner" / FILE)
    assert "the poses are read from inner" in read_capture(poses_folder).notes


def test_messages_name_it(folder, tmp_path):
    assert refusal(folder, format="ply").endswith(", made_up")
    (tmp_path / "empty").mkdir()
    assert "or poses.made_up (a test); docs/captures.md says" in refusal(tmp_path / "empty")
    inner = folder / "more" / "part_of_made_up"
    inner.mkdir(parents=True)
    assert f"is a part of the one in {folder}: give that folder" in refusal(inner)
    with pytest.raises(UserError, match=r"poses.made_up is a file of poses: .* \(format made_up\)"):
        find_poses(folder / FILE, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("half", "half a capture"),
        ("perhaps", "perhaps a capture"),
        ("x.made_up", "is a symbolic link"),
    ],
)
def test_what_is_almost_one_is_said(tmp_path, name, message):
    (tmp_path / "scene").mkdir()
    (tmp_path / "outside").touch()
    (tmp_path / "scene" / name).symlink_to(tmp_path / "outside")
    assert message in refusal(tmp_path / "scene")


def test_a_copy_is_to_be_renamed_unless_it_is_read(folder, made_up, monkeypatch):
    copy = folder / "poses (1).made_up"
    (folder / FILE).rename(copy)
    assert f"rename it to {FILE}" in refusal(folder)
    may_be_in = dataclasses.replace(made_up, may_be_in=has_file(copy.name))
    monkeypatch.setitem(FORMATS, "made_up", may_be_in)
    assert formats_in(folder) == ["made_up"]
    copy.rename(folder / "poses (2).made_up")
    assert "rename it" not in refusal(folder)


def test_its_advice_is_that_of_its_record(tmp_path):
    broken = write_made_up(tmp_path / "broken", orbit_poses(), focal=-1.0)
    assert "write another first line" in refusal(broken)
    turned = write_made_up(tmp_path / "turned", orbit_poses() @ np.diag([1.0, -1.0, -1.0, 1.0]))
    assert any("the axes are OpenGL's" in note for note in read_capture(turned).notes)
