"""Laws of trajectories: which image and which depth image belong to a pose."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from nerf.captures.depths.images import read_depth
from nerf.captures.reading import read_capture
from tests.support.captures import HEIGHT, WIDTH, orbit_poses, refusal, write_nerfstudio
from tools.other_formats import tum_rows, write_csv, write_kitti, write_pose_folder, write_tum


def test_a_pose_belongs_to_the_nearest_image_alone(tmp_path):
    """Two images are within 0.02 s of one pose: it is that of the nearer, the other has none."""
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_tum(source, tmp_path / "out")
    path = folder / "groundtruth.txt"
    first, *lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    images = sorted((folder / "rgb").iterdir())
    time = float(first.split()[0])
    for image, away in zip(images[:2], (0.012, 0.004), strict=True):
        image.rename(image.with_name(f"{time + away:.6f}.png"))
    path.write_text("\n".join([first, *lines[1:]]) + "\n")  # without the pose of the second

    found = read_capture(folder)
    assert found.num_views == source.num_views - 1
    assert f"{time + 0.004:.6f}.png" in [file.name for file in found.files]
    np.testing.assert_allclose(found.camtoworlds[0], source.camtoworlds[0], atol=1e-9)
    without = [note for note in found.notes if "has no pose" in note]
    assert len(without) == 1
    assert f"{time + 0.012:.6f}.png" in without[0]
    assert len(np.unique(found.camtoworlds.round(6), axis=0)) == found.num_views


@pytest.mark.parametrize("header", ["image_path", "img", "path", "Bild"])
def test_names_of_images_count_whatever_their_column_is_called(tmp_path, header):
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_csv(source, tmp_path / "out")  # in another order than that of the names
    path = folder / "poses.csv"
    columns, *rows = path.read_text().splitlines()
    name, rest = columns.split(",", 1)
    path.write_text("\n".join([f"{header},{rest}", *rows]))
    found = read_capture(folder)
    assert name == "image"
    np.testing.assert_allclose(found.camtoworlds, source.camtoworlds, atol=1e-6)


def test_the_advice_on_inverted_matrices_is_in_the_axes_of_the_format(tmp_path):
    """Followed to the letter, it gives the poses back."""
    source = read_capture(write_nerfstudio(tmp_path / "ns", poses=orbit_poses(12)))
    folder = write_kitti(source, tmp_path / "out", rows=4)
    path = folder / "poses.txt"
    right = path.read_text()
    matrices = np.array([line.split() for line in right.splitlines()], float).reshape(-1, 4, 4)
    inverted = np.linalg.inv(matrices)
    path.write_text("\n".join(" ".join(map(repr, m.ravel().tolist())) for m in inverted))
    (note,) = [note for note in read_capture(folder).notes if "world to camera" in note]
    assert "invert each matrix (that of a trajectory is camera to world)" in note
    assert "sign" not in note
    opengl = matrices @ np.diag([1.0, -1.0, -1.0, 1.0])
    path.write_text("\n".join(" ".join(map(repr, m.ravel().tolist())) for m in opengl))
    (note,) = [note for note in read_capture(folder).notes if "look away" in note]
    assert "the axes are OpenGL's (right, up, back)" in note


def test_matrices_that_are_not_finite_are_left_out_and_other_text_is_refused(tmp_path):
    """ScanNet has such matrices where its tracking was lost."""
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_pose_folder(source, tmp_path / "out")
    (folder / "pose" / "view_3.txt").write_text("-inf -inf -inf -inf\n" * 4)
    found = read_capture(folder)
    assert found.num_views == source.num_views - 1
    assert "1 pose is not finite and is left out: view_3.txt" in found.notes
    np.testing.assert_allclose(found.camtoworlds[:3], source.camtoworlds[:3], atol=1e-9)
    (folder / "pose" / "view_4.txt").write_text("1 2 3")
    assert "view_4.txt is not a 3x4 or 4x4 matrix" in refusal(folder)


def renamed(folder, name):
    """Calls images, in order, by what a function makes of their timestamps."""
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(f"{name(float(path.stem))}{path.suffix}"))


START = 1_305_031_102.0  # of `write_tum`


@pytest.mark.parametrize(("unit", "since"), [(1e9, 0.0), (1e6, 0.0), (1e3, 0.0), (1e9, START)])
def test_images_may_be_called_by_smaller_units_than_seconds(tmp_path, unit, since):
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_tum(source, tmp_path / "out")
    renamed(folder / "rgb", lambda time: f"{round((time - since) * unit):019d}")
    path = folder / "groundtruth.txt"
    _, *lines = path.read_text().splitlines()
    rows = [line.split(" ", 1) for line in lines]
    path.write_text("\n".join(f"{float(time) - since!r} {rest}" for time, rest in rows))
    found = read_capture(folder)
    np.testing.assert_allclose(found.camtoworlds, source.camtoworlds, atol=1e-9)
    assert found.notes == ()


@pytest.mark.parametrize("count", [7, 12, 16])
@pytest.mark.parametrize("of", ["file", "stem", "number"])
def test_a_line_may_begin_with_the_name_or_the_number_of_its_image(tmp_path, count, of):
    """In any order of the lines."""
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_kitti(source, tmp_path / "out", rows=4)
    rows = [line.split()[:count] for line in (folder / "poses.txt").read_text().splitlines()]
    if count == 7:
        rows = [map(repr, map(float, row[1:])) for row in tum_rows(source, range(len(rows)))]
    if of == "number":
        for number, file in enumerate(source.files):
            (folder / "image_2" / file.name).rename(folder / "image_2" / f"{number:06d}.png")
    first = {"file": lambda i: source.files[i].name, "stem": lambda i: source.files[i].stem}
    lines = [f"{first.get(of, str)(i)} {' '.join(row)}" for i, row in enumerate(rows)]
    (folder / "poses.txt").write_text("\n".join(reversed(lines)))
    found = read_capture(folder)
    np.testing.assert_allclose(found.camtoworlds, source.camtoworlds, atol=1e-9)
    assert found.notes == ()


@pytest.mark.parametrize("first", [0, 1])
def test_images_may_count_from_one_and_poses_from_zero(tmp_path, first):
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_pose_folder(source, tmp_path / "out")
    for number, file in enumerate(source.files):
        (folder / "color" / file.name).rename(folder / "color" / f"{number + first}.png")
        path = folder / "pose" / f"{file.stem}.txt"
        path.rename(path.with_stem(str(number)))
    found = read_capture(folder)
    np.testing.assert_allclose(found.camtoworlds, source.camtoworlds, atol=1e-9)
    assert [note[:23] for note in found.notes] == ["the images count from 1"] * first


@pytest.mark.parametrize("name", ["result.txt", "f_robot.tum", "est.kitti"])
def test_a_file_of_nothing_but_poses_is_read_under_any_name(tmp_path, name):
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    write, old = (write_kitti, "poses.txt") if "kitti" in name else (write_tum, "groundtruth.txt")
    folder = write(source, tmp_path / "out")
    (folder / "boxes.txt").write_text("0 0.1 0.2 0.3 0.4 0.5 0.6 0.2\n" * 9)
    (folder / old).rename(folder / name)
    np.testing.assert_allclose(read_capture(folder).camtoworlds, source.camtoworlds, atol=1e-9)
    path = folder / name
    path.write_text(path.read_text().replace("0.", "1.", 40))  # no rotations any more
    assert "but no poses" in refusal(folder)


def test_a_sequence_of_kitti_is_read_as_it_is_published(tmp_path):
    """The poses of all sequences are in one folder, and two cameras took each."""
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder, sequence = tmp_path / "out", tmp_path / "out" / "sequences" / "07"
    write_kitti(source, sequence)
    shutil.copytree(sequence / "image_2", sequence / "image_3")
    (folder / "poses").mkdir()
    (sequence / "poses.txt").rename(folder / "poses" / "07.txt")
    (folder / "poses" / "06.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * 3)
    capture = read_capture(folder)
    np.testing.assert_allclose(capture.camtoworlds, source.camtoworlds, atol=1e-9)
    assert {file.parent for file in capture.files} == {sequence / "image_2"}
    shutil.copytree(sequence, folder / "sequences" / "08")
    message = refusal(folder)
    assert "may be those of each of sequences/07/image_2, sequences/08/image_2" in message
    shutil.copy(folder / "poses" / "07.txt", folder / "sequences" / "08" / "trajectory.txt")
    assert read_capture(folder / "sequences" / "08").num_views == source.num_views


# Depth images.


def write_depths(folder, names, first=1000):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.full((HEIGHT, WIDTH), first + number, np.uint16)
        Image.fromarray(pixels).save(folder / name)


def assert_depths(capture, unit):
    """Those of `write_depths`, one for each view."""
    assert len(capture.depth_files) == capture.num_views
    for number, file in enumerate(capture.depth_files):
        np.testing.assert_allclose(read_depth(file), (1000 + number) * unit)
    assert not any("depth" in note or "no pose" in note for note in capture.notes)


def test_replica_has_images_and_depths_in_one_folder(tmp_path):
    source = read_capture(write_nerfstudio(tmp_path / "ns", cx=5.5, cy=4.25))
    folder = write_kitti(source, tmp_path / "out", rows=4)
    (folder / "poses.txt").rename(folder / "traj.txt")
    images = (folder / "image_2").rename(folder / "results")
    for number, file in enumerate(sorted(images.iterdir())):
        file.rename(images / f"frame{number:06d}.png")
    write_depths(images, [f"depth{i:06d}.png" for i in range(source.num_views)])
    (folder / "calib.txt").unlink()
    camera = {"w": WIDTH, "h": HEIGHT, "fx": 10.0, "fy": 10.0, "cx": 5.0, "cy": 3.75}
    (folder / "cam_params.json").write_text(json.dumps({"camera": {**camera, "scale": 6553.5}}))
    found = read_capture(folder)
    np.testing.assert_allclose(found.camtoworlds, source.camtoworlds, atol=1e-9)
    np.testing.assert_allclose(found.lens.centre, source.lens.centre)
    assert_depths(found, 1 / 6553.5)


def test_confidence_is_not_looked_for_above_the_capture(tmp_path):
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_kitti(source, tmp_path / "out")
    for number, file in enumerate(sorted((folder / "image_2").iterdir())):
        file.rename(folder / f"frame{number}.png")
    (folder / "calib.txt").unlink()
    (folder / "intrinsics.txt").write_text("10 10 5.5 3.5")
    names = [f"depth{number}.png" for number in range(source.num_views)]
    write_depths(folder, names)
    write_depths(tmp_path / "confidence", names, first=0)
    assert_depths(read_capture(folder), 1e-3)
    write_depths(folder / "confidence", names, first=0)
    assert all(x.confidence is not None for x in read_capture(folder).depth_files)


@pytest.mark.parametrize("write", [write_csv, write_pose_folder, write_kitti])
def test_depths_beside_images_are_found_by_their_names(tmp_path, write):
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write(source, tmp_path / "out")
    write_depths(folder / "Depth", [f"{file.stem}.png" for file in source.files])
    assert_depths(read_capture(folder), 1e-3)
    (folder / "Depth").rename(folder / "scratch")
    write_depths(folder / "depth", [f"z{i}.png" for i in range(3)])
    (note,) = [note for note in read_capture(folder).notes if "depth" in note]
    assert "the depth images in depth are not used: none is called like an image" in note


@pytest.mark.parametrize("listed", [False, True])
def test_depths_of_tum_are_found_by_their_timestamps(tmp_path, listed):
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_tum(source, tmp_path / "out")
    stamps = [START + 0.1 * i + 0.004 for i in range(source.num_views)]
    names = [f"z{i}.png" if listed else f"{t:.6f}.png" for i, t in enumerate(stamps)]
    write_depths(folder / "depth", names)
    if listed:
        lines = [f"{time:.6f} depth/{name}" for time, name in zip(stamps, names, strict=True)]
        (folder / "depth.txt").write_text("# depth maps\n" + "\n".join(lines))
    assert_depths(read_capture(folder), 1 / 5000)


@pytest.mark.parametrize("unit", [1e9, 1e6, 1e3])
@pytest.mark.parametrize("of_poses", [True, False])
def test_depths_called_by_smaller_units_since_the_start_are_found(tmp_path, unit, of_poses):
    """Also where the timestamps of the poses are in that unit too."""
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_tum(source, tmp_path / "out")
    renamed(folder / "rgb", lambda time: f"{round((time - START) * unit):013d}")
    path = folder / "groundtruth.txt"
    rows = [line.split(" ", 1) for line in path.read_text().splitlines()[1:]]
    times = [(float(time) - START) * (unit if of_poses else 1.0) for time, _ in rows]
    lines = [f"{time!r} {rest}" for time, (_, rest) in zip(times, rows, strict=True)]
    path.write_text("\n".join(lines))
    stamps = [round((0.1 * i + 0.003) * unit) for i in range(source.num_views)]
    write_depths(folder / "depth", [f"{stamp}.png" for stamp in stamps])
    capture = read_capture(folder)
    np.testing.assert_allclose(capture.camtoworlds, source.camtoworlds, atol=1e-9)
    assert_depths(capture, 1 / 5000)
