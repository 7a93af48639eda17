"""Cases of `tests.support.advice`: poses, lenses and light."""

import json
import re

import numpy as np
from PIL import Image

from nerf.captures.reading import read_capture
from nerf.scenes.loading import load_folder
from tests.captures.test_likely_mistakes import inverse, lit, opencv, orbit, transposed
from tests.captures.test_odd_captures import write_points
from tests.support.advice import advises, sentence
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    orbit_poses,
    write_nerfstudio,
)
from tools.other_formats import write_tum

NUM_VIEWS = 12


def write(folder, poses, change=lambda content: None, **shared):
    """A capture whose images are alike, so that only its cameras can be at fault."""
    write_nerfstudio(folder, poses=poses, change=change, **shared)
    image = Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 150))
    for index in range(len(poses)):
        image.save(folder / "images" / f"view_{index}.png")
    return folder


def rewrite(folder, of_matrix=None, **shared):
    """Changes each 4x4 matrix of a transforms.json, or its other keys."""
    path = folder / "transforms.json"
    content = json.loads(path.read_text()) | shared
    for frame in content["frames"]:
        if of_matrix is not None:
            matrix = of_matrix(np.array(frame["transform_matrix"]))
            frame["transform_matrix"] = np.asarray(matrix).tolist()
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return folder


@advises("is not traced")
def a_lens_that_is_not_traced(tmp_path, monkeypatch):
    lens = {"ftheta_p0": 0.0, "ftheta_p1": 0.02}
    folder = write(tmp_path, orbit_poses(), **lens)
    yield folder
    (model,) = re.findall(r"--ImageReader.camera_model (\w+)", sentence(folder))
    yield rewrite(folder, camera_model=model, k1=0.01, **dict.fromkeys(lens))


@advises("look away from the point where their axes meet")
def axes_of_opencv(tmp_path, monkeypatch):
    folder = write(tmp_path, opencv(orbit(NUM_VIEWS)))
    yield folder
    yield rewrite(folder, lambda matrix: matrix * [1, -1, -1, 1])


@advises("if the matrices were world to camera")
def matrices_from_world_to_camera(tmp_path, monkeypatch):
    folder = write(tmp_path, inverse(orbit(NUM_VIEWS)))
    yield folder
    yield rewrite(folder, np.linalg.inv)


@advises("pixels are hardly ever so oblong")
def focal_lengths_that_differ(tmp_path, monkeypatch):
    folder = write(tmp_path, orbit(NUM_VIEWS), fl_x=10.0, fl_y=5.0)
    yield folder
    yield rewrite(folder, fl_y=10.0)


@advises("may count from 1 and their poses from 0")
def images_that_count_from_one(tmp_path, monkeypatch):
    folder = write(tmp_path, orbit(NUM_VIEWS))
    for number in reversed(range(NUM_VIEWS)):
        path = folder / "images" / f"view_{number}.png"
        path.rename(path.with_name(f"view_{number + 1}.png"))
    yield folder
    for number in range(NUM_VIEWS):
        path = folder / "images" / f"view_{number + 1}.png"
        path.rename(path.with_name(f"view_{number}.png"))
    yield folder


@advises("if each quaternion began with w")
def quaternions_that_begin_with_w(tmp_path, monkeypatch):
    capture = read_capture(write(tmp_path / "ns", orbit(NUM_VIEWS)))
    folder = write_tum(capture, tmp_path / "scene")
    path = folder / "groundtruth.txt"
    rows = [line.split() for line in path.read_text().splitlines()[1:]]
    path.write_text("\n".join(" ".join([*row[:4], row[7], *row[4:7]]) for row in rows))
    yield folder
    path.write_text("\n".join(" ".join(row) for row in rows))
    yield folder


@advises("if the rotations were transposed")
def transposed_rotations(tmp_path, monkeypatch):
    folder = write(tmp_path, transposed(orbit(NUM_VIEWS)))
    yield folder

    def mended(matrix):
        matrix[:3, :3] = matrix[:3, :3].T.copy()
        return matrix

    yield rewrite(folder, mended)


@advises("is it in millimetres, or a share of the width")
def a_focal_length_in_millimetres(tmp_path, monkeypatch):
    focal, width_of_sensor = 2.0, 6.2
    folder = write(tmp_path, orbit_poses(), fl_x=focal)
    yield folder
    share = focal / width_of_sensor
    yield rewrite(folder, fl_x=share)
    yield rewrite(folder, fl_x=share * WIDTH)


@advises("exactly the pose of another view")
def a_pose_that_was_written_twice(tmp_path, monkeypatch):
    poses = orbit_poses()
    written = poses.copy()
    written[4] = poses[3]
    folder = write(tmp_path, written)
    yield folder
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][4]["transform_matrix"][:3] = poses[4].tolist()
    (folder / "transforms.json").write_text(json.dumps(content))
    yield folder


@advises("upside down compared with the others")
def images_that_were_turned(tmp_path, monkeypatch):
    poses = orbit(NUM_VIEWS)
    turned = poses.copy()
    turned[::2, :, :2] *= -1
    yield write(tmp_path / "turned", turned)
    yield write(tmp_path / "right", poses)


@advises("the brightness of the images changes")
def automatic_exposure(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path, poses=orbit(NUM_VIEWS), w=30, h=20)
    files = [folder / "images" / f"view_{index}.png" for index in range(NUM_VIEWS)]
    ramp = np.broadcast_to(np.linspace(40, 200, 30).astype(np.uint8)[:, None], (20, 30, 3))
    for gain, file in zip(np.linspace(0.4, 1.6, NUM_VIEWS), files, strict=True):
        Image.fromarray(lit([ramp], [gain])[0]).save(file)
    yield folder
    for file in files:  # with one exposure
        Image.fromarray(ramp).save(file)
    yield folder


@advises("the white balance of the images changes")
def automatic_white_balance(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path, poses=orbit(NUM_VIEWS), w=30, h=20)
    files = [folder / "images" / f"view_{index}.png" for index in range(NUM_VIEWS)]
    ramp = np.broadcast_to(np.linspace(40, 200, 30).astype(np.uint8)[:, None], (20, 30, 3))
    for index, file in enumerate(files):
        warm = (1.0 + 0.2 * (index % 2), 1.0, 1.0)
        Image.fromarray(lit([ramp], [np.array(warm)])[0]).save(file)
    yield folder
    for file in files:  # with one white balance
        Image.fromarray(ramp).save(file)
    yield folder


@advises("rotation whose columns are not perpendicular")
def matrices_with_a_scale(tmp_path, monkeypatch):
    scale = np.diag([2.0, 2.0, 2.0, 1.0])
    folder = rewrite(write(tmp_path, orbit_poses()), lambda matrix: matrix @ scale)
    yield folder
    yield rewrite(folder, lambda matrix: matrix @ np.linalg.inv(scale))


@advises("--space=ndc is not possible")
def a_space_that_does_not_fit(tmp_path, monkeypatch):
    folder = write(tmp_path, orbit_poses())
    yield folder, {"space": "ndc", "near": 1.0, "far": 9.0}
    yield folder


@advises("are at one position")
def cameras_at_one_position(tmp_path, monkeypatch):
    poses = orbit_poses()
    turned = poses.copy()
    turned[:, :, 3] = 0.0
    yield write(tmp_path / "turned", turned)
    yield write(tmp_path / "walked", poses)


@advises("get a wrong ray")
def a_lens_that_folds_the_image(tmp_path, monkeypatch):
    folder = write(tmp_path, orbit_poses(), fl_x=7.0, k1=-0.55)
    yield folder
    yield rewrite(folder, k1=-0.05)  # calibrated again


@advises("lie in another frame")
def points_in_another_frame(tmp_path, monkeypatch):
    """There is nothing to do: near and far come from the cameras, as without points."""
    folder = write(tmp_path / "scene", orbit_poses())
    without = load_folder(folder).scene.cameras.bounds
    write_points(folder, 1e4 + np.random.default_rng(0).normal(size=(50, 3)))
    given = {"format": "nerfstudio"}
    yield folder, given
    np.testing.assert_array_equal(load_folder(folder).scene.cameras.bounds, without)
    (folder / "colmap").rename(tmp_path / "colmap")
    yield folder, given
