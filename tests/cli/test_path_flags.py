"""Laws of flags that name a file or a folder."""

import os

import pytest
from absl import flags

import nerf.compare
import nerf.inspect
import nerf.main
import nerf.pose
import nerf.view
from nerf.cli import video_options
from nerf.errors import UserError
from nerf.viewer.keyframes import check_name

PROGRAMS = (nerf.compare, nerf.inspect, nerf.main, nerf.pose, nerf.view)
NO_PATHS = {
    *("backend", "field", "preset", "download_url", "video_size", "coordinator", "host"),
    "holdout_views",  # names, or a file, whose `~` is expanded where it is read
}


def words():
    """The flags of all programs whose value is a word of the user's own."""
    modules = {program.__name__ for program in PROGRAMS} | {"nerf.cli.flags"}
    found = flags.FLAGS.flags_by_module_dict()
    every = [flag for name, each in found.items() if name in modules for flag in each]
    return {flag.name: flag for flag in every if flag.flag_type() == "string"}


def test_every_word_is_a_path_or_known_to_be_none(monkeypatch, tmp_path):
    """And `~` is the home folder in each path, at its start alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found = words()
    assert set(found) >= NO_PATHS
    assert {"run_dir", "plot", "csv", "out"} <= set(found)
    for name in set(found) - NO_PATHS:
        parse = found[name].parser.parse
        assert parse("~/a b/~c") == str(tmp_path / "a b" / "~c"), name
        assert parse("a/~b") == "a/~b"
        with pytest.raises(ValueError, match="write the whole path"):
            parse("~nobody-is-called-so/a")


@pytest.mark.parametrize("name", ["a" * 245, "ü" * 101, "a" * 201])
def test_a_name_too_long_for_its_video_is_refused_before_anything_is_drawn(monkeypatch, name):
    flag_values = {"camera_path": f"{name}.json", "mode": "render"}
    monkeypatch.setattr(video_options, "FLAGS", type("Flags", (), flag_values))
    with pytest.raises(UserError, match=rf"--camera_path: .* has {len(name) + 5} letters"):
        video_options.check_length()
    with pytest.raises(UserError, match=rf"has {len(name)} letters, too many for a file"):
        check_name(name, ".json")
    if os.name == "posix":
        assert len(os.fsencode(f".video-{'a' * 200}_opacity-99.partial.mp4")) < 255


def test_names_of_usual_length_are_as_they_were(monkeypatch):
    flag_values = {"camera_path": f"{'a' * 190}.json", "mode": "render"}
    monkeypatch.setattr(video_options, "FLAGS", type("Flags", (), flag_values))
    video_options.check_length()
    assert check_name("ü" * 80, ".json") == "ü" * 80
