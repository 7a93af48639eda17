"""Captures as apps, data sets and SLAM programs write them: the poses, and the depth images."""

import json

import numpy as np
import pytest
from PIL import Image

from nerf.captures.depths.images import read_depth
from nerf.captures.reading import read_capture
from nerf.scenes.loading import load_folder
from tests.support.captures import HEIGHT, WIDTH, refusal, write_nerfstudio
from tools.other_formats import copy_images, pinhole, tum_rows, write_lens_text, write_scanner_app

NANOSECONDS = 1_403_636_579_763_555_584


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return read_capture(write_nerfstudio(tmp_path_factory.mktemp("source") / "ns"))


def matrices(capture):
    """`[num_views, 4, 4]` with the axes right, down, forward."""
    poses = capture.camtoworlds * np.array([1.0, -1.0, -1.0, 1.0])
    rows = np.broadcast_to([[[0.0, 0.0, 0.0, 1.0]]], (len(poses), 1, 4))
    return np.concatenate([poses, rows], axis=1)


def lines(rows, form=repr, start=()):
    """A line for each row of numbers, perhaps behind a word."""
    words = [" ".join(map(form, map(float, row))) for row in rows]
    return "\n".join(words if not start else map(" ".join, zip(start, words, strict=True)))


def write_depths(folder, names):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.full((HEIGHT, WIDTH), 1000 + number, np.uint16)
        Image.fromarray(pixels).save(folder / name)


def numbered(capture, pattern):
    return [pattern.format(number) for number in range(capture.num_views)]


def stray_scanner(capture, out):
    names = numbered(capture, "{:06d}.png")
    copy_images(capture, out / "rgb", names)
    write_depths(out / "depth", names)
    (out / "confidence").mkdir()
    for name in names:
        trust = np.full((HEIGHT, WIDTH), 2, np.uint8)
        trust[0] = 0
        Image.fromarray(trust).save(out / "confidence" / name)
    rows = [
        f"{t}, {t:06.0f}, {', '.join(map(str, row))}"
        for t, *row in tum_rows(capture, range(capture.num_views))
    ]
    table = ["timestamp, frame, x, y, z, qx, qy, qz, qw", *rows]
    (out / "odometry.csv").write_text("\n".join(table))
    fx, fy, cx, cy = pinhole(capture, 0)
    matrix = f"{fx}, 0.0, {cx - 0.5}\n0.0, {fy}, {cy - 0.5}\n0.0, 0.0, 1.0\n"
    (out / "camera_matrix.csv").write_text(matrix)


def scanner_app(capture, out):
    write_scanner_app(capture, out)
    write_depths(out, numbered(capture, "depth_{:05d}.png"))


def srn(capture, out, row_by_row=False):
    copy_images(capture, out / "rgb")
    (out / "pose").mkdir()
    for file, matrix in zip(capture.files, matrices(capture), strict=True):
        text = lines(matrix if row_by_row else [matrix.ravel()])
        (out / "pose" / f"{file.stem}.txt").write_text(text)
    fx, _, cx, cy = pinhole(capture, 0)
    lens = f"{fx} {cx} {cy} 0.\n0. 0. 0.\n0.\n1.\n{HEIGHT} {WIDTH}\n"
    (out / "intrinsics.txt").write_text(lens)


def nsvf(capture, out):
    srn(capture, out, row_by_row=True)


def orb_slam(capture, out):
    stamps = [NANOSECONDS + 50_000_000 * number for number in range(capture.num_views)]
    copy_images(capture, out / "cam0", [f"{stamp}.png" for stamp in stamps])
    (out / "kf_dataset-V101_mono.txt").write_text(lines(tum_rows(capture, stamps)))
    write_lens_text(capture, out / "intrinsics.txt")


def rtab_map(capture, out):
    stamps = [1e9 + 0.5 * number for number in range(capture.num_views)]
    names = [f"{stamp:.6f}.png" for stamp in stamps]
    copy_images(capture, out / "rtabmap_rgb", names)
    write_depths(out / "rtabmap_depth", names)
    rows = [[*row, number + 1] for number, row in enumerate(tum_rows(capture, stamps))]
    (out / "rtabmap_poses.txt").write_text(f"#timestamp x y z qx qy qz qw id\n{lines(rows)}")
    write_lens_text(capture, out / "intrinsics.txt")


def seven_scenes(capture, out):
    copy_images(capture, out, numbered(capture, "frame-{:06d}.color.png"))
    write_depths(out, numbered(capture, "frame-{:06d}.depth.png"))
    for number, matrix in enumerate(matrices(capture)):
        text = lines(matrix) if number else lines([matrix.ravel()])
        (out / f"frame-{number:06d}.pose.txt").write_text(text)
    write_lens_text(capture, out / "intrinsics.txt")


def table_of_matrices(capture, out, names="m{}{}"):
    copy_images(capture, out / "images")
    columns = ["image", *(names.format(row, column) for row in range(4) for column in range(4))]
    rows = [
        ",".join([file.name, *map(repr, matrix.ravel().tolist())])
        for file, matrix in zip(capture.files, matrices(capture), strict=True)
    ]
    (out / "cameras.csv").write_text("\n".join([",".join(columns), *rows]))
    write_lens_text(capture, out / "intrinsics.txt")


def table_of_rotations(capture, out):
    table_of_matrices(capture, out, "r{}{}")
    path = out / "cameras.csv"
    text = path.read_text()
    for row, name in enumerate("xyz"):
        text = text.replace(f"r{row}3", f"t{name}")
    path.write_text("\n".join(line.rsplit(",", 4)[0] for line in text.splitlines()))


TOOLS = {
    "Stray Scanner": (stray_scanner, True),
    "3D Scanner App": (scanner_app, True),
    "SRN": (srn, False),
    "NSVF": (nsvf, False),
    "ORB-SLAM": (orb_slam, False),
    "RTAB-Map": (rtab_map, True),
    "7-Scenes": (seven_scenes, True),
    "a table of matrices": (table_of_matrices, False),
    "a table of rotations": (table_of_rotations, False),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_tools_write_is_read_with_its_lens_and_depth(tmp_path, source, tool):
    write, has_depth = TOOLS[tool]
    folder = tmp_path / "capture"
    folder.mkdir()
    write(source, folder)
    found = read_capture(folder)
    np.testing.assert_allclose(found.camtoworlds, source.camtoworlds, atol=1e-9)
    for one, two in zip(found.lens[:2], source.lens[:2], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)
    assert found.notes == ()
    assert len(found.depth_files) == has_depth * found.num_views
    for number, file in enumerate(found.depth_files):
        np.testing.assert_allclose(read_depth(file)[1:], 1e-3 * (1000 + number), rtol=1e-6)
        assert (read_depth(file)[0] == 0).all() == (tool == "Stray Scanner")


def test_test_frames_are_held_out_and_bad_ones_left_out(tmp_path):
    """As in ScanNet++."""

    def change(content):
        content["test_frames"] = content["frames"][4:]
        content["frames"] = content["frames"][:4]
        content["frames"][1]["is_bad"] = True

    loaded = load_folder(write_nerfstudio(tmp_path, change=change))
    assert loaded.scene.image_names == ("view_0", "view_2", "view_3", "view_4", "view_5")
    assert loaded.scene.split(16) == ((0, 1, 2), (3, 4))
    assert "1 frame that is_bad is left out: images/view_1.png" in loaded.notes
    assert not any("ignored" in note for note in loaded.notes)


REFUSED = {
    "mav0/state_groundtruth_estimate0/data.csv": "is of a recording of EuRoC",
    "cams/pair.txt": "is of a capture of MVSNet or BlendedMVS",
    "opensfm/reconstruction.json": "is a reconstruction of OpenSfM",
    "camera_trajectory.json": "is a trajectory of Open3D",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_named(tmp_path, source, name):
    copy_images(source, tmp_path / "images")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{}")
    assert REFUSED[name] in refusal(tmp_path)


def test_a_recording_of_nerfies_and_a_video_without_its_frames_are_told(tmp_path, source):
    copy_images(source, tmp_path / "a" / "rgb")
    for name in ("metadata", "dataset"):
        (tmp_path / "a" / f"{name}.json").write_text(json.dumps({"000001": {"warp_id": 0}}))
    assert "is a capture of Nerfies or HyperNeRF" in refusal(tmp_path / "a")
    (tmp_path / "b").mkdir()
    stray_scanner(source, tmp_path / "b")
    for path in (tmp_path / "b" / "rgb").iterdir():
        path.unlink()
    (tmp_path / "b" / "rgb").rmdir()
    (tmp_path / "b" / "rgb.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    assert "no images" in refusal(tmp_path / "b")
    assert "-start_number 0" in refusal(tmp_path / "b")
