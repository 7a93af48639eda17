"""A video along a path has its own name: another path of that name never replaces it."""

import pytest

from nerf.cli.video_names import free_stem, path_identity, record_path
from nerf.errors import UserError


def test_two_files_of_one_name_are_two_videos_and_each_keeps_its_own(tmp_path):
    run, found = tmp_path / "run", {}
    run.mkdir()
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.json").write_text(f"[{folder!r}]")
        path = path_identity("p.json", [tmp_path / folder / "p.json"])
        found[folder] = path, free_stem(run, "video-p", path)
        record_path(run, found[folder][1], path)
        (run / f"{found[folder][1]}.mp4").touch()
    assert [stem for _, stem in found.values()] == ["video-p", "video-p-2"]
    for path, stem in found.values():
        assert free_stem(run, "video-p", path) == stem
    (tmp_path / "x" / "p.json").write_text("['x', 'changed']")
    changed = path_identity("p.json", [tmp_path / "x" / "p.json"])
    assert free_stem(run, "video-p", changed) == "video-p-3"


def test_a_file_does_not_replace_the_video_of_an_older_version_or_of_a_path_of_its_name(tmp_path):
    (tmp_path / "orbit.json").write_text("[]")
    orbit, file = path_identity("orbit", ()), path_identity("orbit.json", [tmp_path / "orbit.json"])
    (tmp_path / "video-orbit_depth.gif").touch()  # of which nothing is known
    assert free_stem(tmp_path, "video-orbit", orbit) == "video-orbit"
    assert free_stem(tmp_path, "video-orbit", file) == "video-orbit-2"
    record_path(tmp_path, "video-orbit-2", file)
    assert free_stem(tmp_path, "video-orbit", file) == "video-orbit-2"
    with pytest.raises(UserError, match="cannot be read"):
        path_identity("absent.json", [tmp_path / "absent.json"])
