"""From images to poses: what is refused, what is written where, and how exact the poses are."""

import importlib.util
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from nerf.captures.advice.unposed import find_images
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.posing import out_folder, process
from nerf.posing.find import find_poses
from nerf.posing.options import PoseOptions
from nerf.posing.out_folder import open_out
from nerf.posing.sources import camera_groups, copy_images
from nerf.runtime.events import Message, Progress, ignore_event
from tests.support.captures import write_images, write_nerfstudio
from tests.support.command_line import contents
from tests.support.textured_corner import FOCAL, write_corner_photos

HAS_COLMAP = importlib.util.find_spec("pycolmap") is not None


def needs_colmap(test):
    """Marks a test that runs COLMAP, which takes seconds."""
    reason = "pycolmap is not installed"
    return pytest.mark.slow(pytest.mark.skipif(not HAS_COLMAP, reason=reason)(test))


NUM_VIEWS = 8


check_installed = process.check_installed


@pytest.fixture(autouse=True)
def colmap_is_taken_for_there(monkeypatch):
    """Tests that run no step of COLMAP do not need it."""
    monkeypatch.setattr(process, "check_installed", lambda: None)


def refusal(source, out):
    with pytest.raises(UserError) as caught:
        find_poses(source, out, callback=ignore_event)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_pycolmap_the_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'nerf-haiku-flax\[colmap\]'"):
        check_installed()


def test_what_is_not_there_is_named(tmp_path):
    assert "there is no" in refusal(tmp_path / "absent", tmp_path / "out")


def test_one_image_is_not_taken_for_a_video(tmp_path):
    write_images(tmp_path, ["a.png"])
    assert "is one image" in refusal(tmp_path / "a.png", tmp_path / "out")


def test_a_file_that_is_no_video_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    assert "as a video" in refusal(tmp_path / "a.mp4", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("names", "messages"), [([], "has no images"), (["a.png", "b.png"], "a.png")]
)
def test_too_few_images_are_refused_with_what_is_there(tmp_path, names, messages):
    (tmp_path / "photos").mkdir()
    write_images(tmp_path / "photos", names)
    message = refusal(tmp_path / "photos", tmp_path / "out")
    assert messages in message
    assert "at least 3 images" in message
    assert not (tmp_path / "out").exists()


def test_a_folder_with_poses_is_refused(tmp_path):
    folder = write_nerfstudio(tmp_path / "scene")
    assert "has poses already (format nerfstudio)" in refusal(folder, tmp_path / "out")


def test_images_that_cannot_be_read_are_named_or_left_out(tmp_path):
    write_images(tmp_path, [f"photos/{i}.png" for i in range(5)])
    (tmp_path / "photos" / "3.png").write_bytes(b"not an image")
    (tmp_path / "copies").mkdir()
    root, names = find_images(tmp_path / "photos")
    copied, problems = copy_images(root, names, tmp_path / "copies", lambda: None)
    assert copied == ["0.png", "1.png", "2.png", "4.png"]
    assert len(problems) == 1
    assert "3.png" in problems[0]
    for number in (0, 1, 2):
        (tmp_path / "photos" / f"{number}.png").write_bytes(b"")
    assert "only 1 of 5 images" in refusal(tmp_path / "photos", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["", "images", "day/one"])
def test_images_are_found_where_people_put_them(tmp_path, place):
    good = [f"{place}/{n}" if place else n for n in ("img 9.JPG", "img 10.jpg", "ü.png")]
    write_images(tmp_path, good)
    write_images(tmp_path, ["masks/a.png", ".thumbs/b.png", "images_4/c.png"])
    (tmp_path / "notes.txt").write_text("no image")
    root, names = find_images(tmp_path)
    assert [(root / name).relative_to(tmp_path).as_posix() for name in names] == good


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    write_images(tmp_path, ["secret.png", *(f"photos/{i}.png" for i in range(3))])
    os.symlink(tmp_path / "secret.png", tmp_path / "photos" / "link.png")
    assert find_images(tmp_path / "photos")[1] == ("0.png", "1.png", "2.png")


def test_names_that_colmap_or_a_file_cannot_hold_become_others(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "copies").mkdir()
    write_images(tmp_path, ["photos/a\nb.png", "photos/a_b.png"])
    raw = os.fsencode(tmp_path / "photos") + b"/c\xff.png"
    shutil.copyfile(tmp_path / "photos" / "a_b.png", raw)
    root, names = find_images(tmp_path / "photos")
    copied, problems = copy_images(root, names, tmp_path / "copies", lambda: None)
    assert not problems
    assert sorted(copied) == ["a_b.png", "a_b_2.png", "c\ufffd.png"]
    assert all((tmp_path / "copies" / name).is_file() for name in copied)


def test_images_of_one_size_and_focal_length_share_a_lens(tmp_path):
    write_images(tmp_path, ["0.png", "1.png"])
    write_images(tmp_path, ["2.png"], size=(8, 12))
    for name, focal in (("3.jpg", 24), ("4.jpg", 24), ("5.jpg", 77)):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x920A] = focal
        Image.new("RGB", (12, 8)).save(tmp_path / name, exif=exif)
    names = [f"{i}.png" for i in range(3)] + [f"{i}.jpg" for i in range(3, 6)]
    assert camera_groups(tmp_path, names) == [[0, 1], [2], [3, 4], [5]]


# The folder of the results.


SETTINGS = {"seed": 0}


def finished(path):
    out = open_out(path, path.parent / "photos", SETTINGS, overwrite=False)
    (out.images / "a.png").write_text("image")
    (path / out_folder.RESULT).write_text("{}")
    return path


def test_a_finished_result_is_replaced_only_when_that_is_asked_for(tmp_path):
    path = finished(tmp_path / "out")
    before = contents(path)
    with pytest.raises(UserError, match="already holds poses"):
        open_out(path, tmp_path / "photos", SETTINGS, overwrite=False)
    assert contents(path) == before
    open_out(path, tmp_path / "photos", SETTINGS, overwrite=True)
    assert not (path / out_folder.RESULT).exists()
    assert not any((path / "images").iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.txt", "images/holiday.jpg", "sparse/0/cameras.bin"])
def test_files_of_others_are_never_replaced(tmp_path, name, overwrite):
    path = tmp_path / "out"
    (path / name).parent.mkdir(parents=True)
    (path / name).write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        open_out(path, tmp_path / "photos", SETTINGS, overwrite=overwrite)
    assert contents(path) == {name: b"mine"}


@pytest.mark.parametrize(
    ("out", "source"), [("a/photos/out", "a/photos"), ("a", "a/photos"), ("a", "a")]
)
def test_results_never_go_into_the_folder_of_the_images(tmp_path, out, source):
    write_images(tmp_path, [f"a/photos/{i}.png" for i in range(3)])
    before = contents(tmp_path)
    assert "a folder outside of it" in refusal(tmp_path / source, tmp_path / out)
    assert contents(tmp_path) == before


def test_an_interrupted_run_continues_and_one_with_other_settings_starts_anew(tmp_path):
    path, source = tmp_path / "out", tmp_path / "photos"
    open_out(path, source, SETTINGS, overwrite=False).record_images({"names": ["a.png"]})
    again = open_out(path, source, SETTINGS, overwrite=False)
    assert again.recorded_images() == {"names": ["a.png"]}
    other = open_out(path, source, {"seed": 1}, overwrite=False)
    assert other.recorded_images() is None


# COLMAP itself.


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of images without poses, and their true poses."""
    folder = tmp_path_factory.mktemp("posing") / "my photos"
    return folder, write_corner_photos(folder, NUM_VIEWS)


@pytest.fixture(scope="module")
def pose_run(photos, tmp_path_factory):
    folder, _ = photos
    before, events = contents(folder), []
    out = tmp_path_factory.mktemp("posed") / "flower"
    found = find_poses(folder, out, PoseOptions(num_threads=1), callback=events.append)
    assert contents(folder) == before
    return found, events


@needs_colmap
def test_all_views_are_placed_and_the_folder_is_a_scene(pose_run, photos):
    found, _ = pose_run
    assert found.placed == tuple(f"IMG {i + 7}.jpg" for i in range(NUM_VIEWS))
    assert found.not_placed == ()
    assert found.error < 0.5
    capture = read_capture(found.out)
    assert capture.format == "colmap"
    assert capture.num_views == NUM_VIEWS
    assert capture.notes == ()
    assert {p.name for p in found.out.iterdir()} == {"images", "sparse", "poses.json"}
    assert json.loads((found.out / "poses.json").read_text())["placed"] == list(found.placed)
    copies = contents(found.out / "images")
    assert copies == contents(photos[0])


def mean_rotation(rotations):
    """The rotation nearest to all of `[n, 3, 3]`."""
    u, _, vt = np.linalg.svd(rotations.sum(axis=0))
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


@needs_colmap
def test_the_poses_are_those_of_the_cameras_after_a_similarity(pose_run, photos):
    capture = read_capture(pose_run[0].out)
    true = photos[1][[int(file.stem.split()[1]) - 7 for file in capture.files]]
    turn = mean_rotation(true[:, :, :3] @ np.swapaxes(capture.camtoworlds[:, :, :3], 1, 2))
    found, expected = capture.camtoworlds[:, :, 3] @ turn.T, true[:, :, 3]
    a, b = found - found.mean(0), expected - expected.mean(0)
    scale = (a * b).sum() / (a * a).sum()
    assert np.abs(scale * a - b).max() < 0.01 * np.ptp(b, axis=0).max()
    cosines = np.einsum("nij,nij->n", turn @ capture.camtoworlds[:, :, :3], true[:, :, :3])
    assert np.degrees(np.arccos(np.clip((cosines - 1) / 2, -1, 1))).max() < 0.5
    np.testing.assert_allclose(np.asarray(capture.lens.focal), FOCAL, rtol=0.02)


@needs_colmap
def test_the_progress_of_each_step_ends_at_its_total(pose_run):
    ends = {e.task: (e.done, e.total) for e in pose_run[1] if isinstance(e, Progress) and e.is_last}
    num_pairs = NUM_VIEWS * (NUM_VIEWS - 1) // 2
    assert ends == {
        "images": (NUM_VIEWS, NUM_VIEWS),
        "features": (NUM_VIEWS, NUM_VIEWS),
        "matching": (num_pairs, num_pairs),
        "placing": (NUM_VIEWS, NUM_VIEWS),
    }


@needs_colmap
def test_images_without_texture_are_refused_with_the_reason(tmp_path):
    (tmp_path / "walls").mkdir()
    for i in range(3):
        Image.new("RGB", (120, 90), (200 + i, 200, 200)).save(tmp_path / "walls" / f"{i}.png")
    message = refusal(tmp_path / "walls", tmp_path / "out")
    assert "could be placed" in message
    assert "few features" in message


@needs_colmap
def test_a_step_that_fails_is_one_sentence_with_the_log(tmp_path):
    tmp_path.joinpath("job.json").write_text("{}")
    with pytest.raises(UserError, match=r"COLMAP failed while placing images \(.*\): its log is"):
        process.run_step("place", tmp_path, {"seed": 0}, 3, ignore_event)


@needs_colmap
def test_an_interrupted_run_continues_and_gives_the_same_poses(photos, pose_run, tmp_path):
    class Stop(Exception):
        pass

    def stop_at_matching(event):
        if isinstance(event, Progress) and event.task == "matching":
            raise Stop

    options = PoseOptions(num_threads=1)
    with pytest.raises(Stop):
        find_poses(photos[0], tmp_path / "out", options, callback=stop_at_matching)
    events = []
    found = find_poses(photos[0], tmp_path / "out", options, callback=events.append)
    assert contents(found.out / "sparse") == contents(pose_run[0].out / "sparse")
    messages = [event.text for event in events if isinstance(event, Message)]
    assert any(text.startswith("continuing with") for text in messages)
