"""One fault in many frames is one sentence, with a count and the first three of them."""

import numpy as np
import pytest

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import InvalidCapture, counted_views
from nerf.captures.reading import read_capture
from nerf.scenes.loading import load_folder
from tests.support.captures import convert, orbit_poses, write_images, write_nerfstudio

NUM_VIEWS = 68


def problems_of(folder, read=read_capture):
    with pytest.raises(InvalidCapture) as caught:
        read(folder)
    return caught.value.problems


def test_faults_that_differ_in_names_and_numbers_are_one():
    faults = [(f"frame {i}", f"frame {i}: w is {i}.5, not 'a{i}'") for i in range(4)]
    other = ("frame 9", "frame 9 has no file_path")
    first, second = merge_faults([*faults[:2], other, *faults[2:]])
    assert first.startswith(faults[0][1])
    assert "(4 frames have this fault: frame 0, frame 1, frame 2, and 1 more)" in first
    assert second == other[1]
    assert merge_faults([]) == []


@pytest.mark.parametrize(
    "values",
    [
        {"transform_matrix": None},
        {"file_path": None},
        {"w": 0.5},
        {"file_path": "images/view_0.png"},
        {"near": "x", "far": 2.0},
    ],
)
def test_a_fault_in_every_frame_is_one_sentence(tmp_path, values):
    def change(content):
        content["frames"] = [frame | values for frame in content["frames"]]

    folder = write_nerfstudio(tmp_path, orbit_poses(NUM_VIEWS), change)
    (problem,) = problems_of(folder)
    count = NUM_VIEWS - ("images/view_0.png" in values.values())
    assert f"({count} frames have this fault: frame " in problem
    assert problem.count("frame ") <= 6


def test_distinct_faults_stay_distinct(tmp_path):
    def change(content):
        content["frames"][0]["transform_matrix"] = None
        content["frames"][1]["transform_matrix"] = None
        content["frames"][2]["fl_x"] = "wide"

    assert len(problems_of(write_nerfstudio(tmp_path, change=change))) == 2


def test_images_of_a_wrong_size_are_one_sentence(tmp_path):
    folder = write_nerfstudio(tmp_path)
    write_images(folder, [f"images/view_{i}.png" for i in range(5)], size=(30, 8))
    (problem,) = problems_of(folder, load_folder)
    assert "aspect ratio" in problem
    assert "5 images have this fault: view_0.png, view_1.png, view_2.png, and 2 more" in problem


def test_poses_of_colmap_are_one_sentence(tmp_path):
    folder = convert(write_nerfstudio(tmp_path / "a"), "colmap", tmp_path / "b")
    model = folder / "sparse" / "0"
    names = [path.name for path in sorted((folder / "images").iterdir())]
    for path in model.iterdir():
        path.unlink()
    (model / "cameras.txt").write_text("1 PINHOLE 12 8 10 10 6 4\n")
    lines = [f"{i} 0 0 0 0 0 0 0 1 {name}\n\n" for i, name in enumerate(names)]
    (model / "images.txt").write_text("".join(lines))
    (problem,) = problems_of(folder)
    assert "6 images have this fault" in problem


def test_impossible_cameras_are_counted(tmp_path):
    def change(content):
        for frame in content["frames"]:
            frame["transform_matrix"] = (
                np.diag([2.0, 2, 2, 1]) @ frame["transform_matrix"]
            ).tolist()

    (problem,) = problems_of(write_nerfstudio(tmp_path, orbit_poses(NUM_VIEWS), change))
    assert problem.startswith("68 views, the first 0 (view_0), 1 (view_1), 2 (view_2), have")
    assert counted_views([3], ["a"] * 4) == "view 3 (a)"


def test_names_of_others_do_not_make_a_fault_another(tmp_path):
    """The same list of names follows each fault, and the name at fault is in some of them."""
    names = [f"view_{i}.png" for i in range(9)]
    faults = [(name, f"{name} is not there: the folder has {names[0]}, b.png") for name in names]
    (merged,) = merge_faults(faults, "images")
    assert "9 images have this fault: view_0.png, view_1.png, view_2.png, and 6 more" in merged
    assert len(merge_faults([*faults, ("a", "a is empty")], "images")) == 2
