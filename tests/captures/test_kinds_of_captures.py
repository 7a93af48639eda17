"""Each row of "What is read, and what is refused" in docs/captures.md is so, with its sentence."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image, features

from nerf.captures.reading import read_capture
from tests.captures.test_blender_without_images import write_blender
from tests.captures.test_masks import write_masks
from tests.captures.test_orientation import stored
from tests.captures.test_orientation import write as write_turned
from tests.support import advice_on_cameras, advice_on_depth, advice_on_files, advice_on_formats
from tests.support.advice import CASES, has_message, messages_in, table_of, try_out
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    convert,
    orbit_poses,
    write_images,
    write_nerfstudio,
)
from tests.support.llff_folder import change_poses, write_garden
from tools.other_formats import write_bundler, write_csv, write_kitti, write_record3d

assert advice_on_cameras, advice_on_files  # which fill `CASES`
assert advice_on_depth, advice_on_formats

pytestmark = pytest.mark.slow

ROWS = {row[0]: row for row in table_of("What is read, and what is refused")}
KINDS = {
    "names of another computer, another case, ending or Unicode form, `7` for `0007`": CASES[
        "found under other names"
    ],
    "images that count from 1, and poses from 0": CASES["may count from 1 and their poses from 0"],
    "images behind a link of your own": CASES["is a symbolic link to ..."],
    "damaged, empty or other files": CASES["cannot read the image"],
    "f-theta and other lenses that are not traced": CASES["is not traced"],
    "exposure that changes": CASES["the brightness of the images changes"],
    "projects and archives of other programs, camera raw, points, meshes": CASES[
        "which is not read"
    ],
    "`cameras.json` of gaussian-splatting without its images": CASES["whose images are not there"],
    "depth that a network has guessed": CASES["the depth images are not used"],
    "depth images that stop at one greatest value": CASES["have exactly the greatest depth"],
    "decimal commas between commas or spaces": CASES["decimal commas"],
    "a column that changes rays and is not known": CASES["is not read, and changes the rays"],
    "one lens without a size for portrait and landscape": CASES["has one lens without w and h"],
}


def kind(row):
    """Makes a function the case of a row: see `tests.support.advice`."""

    def register(case):
        KINDS[row] = case
        return case

    return register


@kind("WebP, TIFF, BMP, AVIF; HEIC with its extra")
def other_kinds_of_images(tmp_path, monkeypatch):
    for suffix in ("webp", "tif", "bmp", *(["avif"] if "avif" in features.get_supported() else [])):
        folder = write_nerfstudio(tmp_path / suffix)
        for path in sorted((folder / "images").iterdir()):
            with Image.open(path) as image:
                image.save(path.with_suffix(f".{suffix}"))
            path.unlink()
        path = folder / "transforms.json"
        path.write_text(path.read_text().replace(".png", f".{suffix}"))
        yield folder


@kind("images of 48 megapixels, or more with copies in `images_N/`")
def large_images(tmp_path, monkeypatch):
    """As in `images_that_are_too_large`, of which the copies are read."""
    *_, folder = CASES["larger than ... pixels"](tmp_path, monkeypatch)
    yield folder


@kind("images that differ in size")
def sizes(tmp_path, monkeypatch):
    def change(content):
        content["frames"][0] |= {"w": HEIGHT, "h": WIDTH}

    folder = write_nerfstudio(tmp_path, change=change)
    write_images(folder, ["images/view_0.png"], size=(HEIGHT, WIDTH))
    yield folder


@kind("panoramas, fisheyes, COLMAP's models by name")
def lenses(tmp_path, monkeypatch):
    for model in ("EQUIRECTANGULAR", "OPENCV_FISHEYE", "SIMPLE_RADIAL", "FISHEYE"):
        yield write_nerfstudio(tmp_path / model, camera_model=model)


@kind("a time for each frame, rolling shutter, keys that nobody knows")
def keys(tmp_path, monkeypatch):
    def change(content):
        for number, frame in enumerate(content["frames"]):
            frame["time"] = 0.1 * number

    yield write_nerfstudio(tmp_path, change=change, rolling_shutter=[0, 0, 0, 1], nobody_knows=1)


@kind("near and far of 0 in an LLFF file")
def bounds_of_0(tmp_path, monkeypatch):
    folder = write_garden(tmp_path)
    change_poses(folder, lambda poses: poses.__setitem__((slice(None), slice(15, 17)), 0.0))
    yield folder
    yield folder, {"near": 1.0, "far": 9.0}


@kind(
    "axes of OpenCV, matrices from world to camera, transposed rotations, quaternions that begin "
    "with w"
)
def other_axes(tmp_path, monkeypatch):
    for row in (
        "look away from the point where their axes meet",
        "if the matrices were world to camera",
        "if the rotations were transposed",
        "if each quaternion began with w",
    ):
        yield next(CASES[row](tmp_path / row, monkeypatch))


@kind(
    "depth images of Record3D, Polycam, `transforms.json`, Blender's files and trajectories; "
    "COLMAP's points"
)
def measured_depth(tmp_path, monkeypatch):
    folder = write_record3d(read_capture(write_nerfstudio(tmp_path / "seed")), tmp_path / "scene")
    (folder / "depth").mkdir()
    depth = np.linspace(2.0, 3.0, WIDTH)[None] * np.ones((HEIGHT, 1))
    np.save(folder / "depth" / "0.npy", depth)
    yield folder


@kind("a Blender export without test images")
def blender_without_test_images(tmp_path, monkeypatch):
    poses = orbit_poses(9)
    yield write_blender(tmp_path, train=(poses, True), test=(poses[:4], False))


@kind("a room with a transparent corner or border")
def a_transparent_corner(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    for path in (folder / "images").iterdir():
        pixels = np.full((HEIGHT, WIDTH, 4), 200, np.uint8)
        pixels[:2, :2, 3] = 0
        Image.fromarray(pixels).save(path)
    yield folder


@kind("masks")
def masks(tmp_path, monkeypatch):
    yield write_masks(write_nerfstudio(tmp_path))


@kind("a phone held upright")
def a_phone_held_upright(tmp_path, monkeypatch):
    yield write_turned(tmp_path, stored(orbit_poses(12), 6), 6)


@kind("images without poses, a video")
def no_poses(tmp_path, monkeypatch):
    write_images(tmp_path / "photos", ["a.png", "b.png"])
    (tmp_path / "walk.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    yield tmp_path / "photos"
    yield tmp_path / "walk.mp4"


@kind("a folder inside a capture, or the one above it")
def another_folder(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path / "home" / "scene")
    yield folder / "images"
    yield folder.parent


@kind("a COLMAP model, a Blender capture or a recording to which a file is missing")
def a_missing_file(tmp_path, monkeypatch):
    folder = convert(write_nerfstudio(tmp_path / "ns"), "colmap", tmp_path / "colmap")
    (folder / "sparse" / "0" / "cameras.bin").unlink()
    yield folder
    yield write_blender(tmp_path / "blender", test=(orbit_poses(4), True))
    folder = write_csv(read_capture(tmp_path / "ns"), tmp_path / "recording")
    (folder / "poses.csv").unlink()
    yield folder


@kind("a `transforms.json` under another name, as browsers name a second copy")
def a_transforms_file_of_another_name(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    (folder / "transforms.json").rename(folder / "transforms (1).json")
    yield folder


@kind("poses of any format in a folder beside that of the images; give the folder of both")
def poses_in_a_folder_of_their_own(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    (folder / "poses").mkdir()
    (folder / "transforms.json").rename(folder / "poses" / "transforms.json")
    yield folder


@kind("several `.out` files of Bundler")
def several_files_of_bundler(tmp_path, monkeypatch):
    folder = write_bundler(read_capture(write_nerfstudio(tmp_path / "ns")), tmp_path / "scene")
    shutil.copy(folder / "bundle.out", folder / "bundle_001.out")
    yield folder


@kind("the second camera of KITTI")
def another_camera_of_kitti(tmp_path, monkeypatch):
    folder = write_kitti(read_capture(write_nerfstudio(tmp_path / "ns")), tmp_path / "scene")
    (folder / "calib.txt").write_text("P2: 10 0 5.5 0.5 0 10 3.5 0 0 0 1 0\n")
    yield folder


@kind("tables with tabs or semicolons, UTF-16, names of files in capitals")
def tables(tmp_path, monkeypatch):
    folder = write_csv(read_capture(write_nerfstudio(tmp_path / "ns")), tmp_path / "scene")
    path = folder / "poses.csv"
    (folder / "POSES.CSV").write_text(path.read_text().replace(",", "\t"), encoding="utf-16")
    path.unlink()
    yield folder


@kind(
    "lenses under other names (`fx`, `width`, `intrinsic_matrix`, ...), numbers that are words, a "
    "`split` in each frame"
)
def lenses_under_other_names(tmp_path, monkeypatch):
    values = {"fx": "10", "fy": "10", "cx": 6, "cy": 4, "width": WIDTH, "height": HEIGHT}
    yield write_nerfstudio(tmp_path, **values, fl_x=None, w=None, h=None)


@kind("focal lengths in millimetres or as a share, or that differ across and upright")
def focal_lengths(tmp_path, monkeypatch):
    for row in (
        "is it in millimetres, or a share of the width",
        "pixels are hardly ever so oblong",
    ):
        yield next(CASES[row](tmp_path / row[:5], monkeypatch))


@kind("a folder `depth` that nothing names")
def unnamed_depth(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    (folder / "depth").mkdir()
    Image.fromarray(np.full((HEIGHT, WIDTH), 1000, np.uint16)).save(folder / "depth" / "view_0.png")
    yield folder


@kind("a table with the lens of each image")
def a_table_with_lenses(tmp_path, monkeypatch):
    folder = write_csv(read_capture(write_nerfstudio(tmp_path / "ns")), tmp_path / "scene")
    header, *rows = (folder / "poses.csv").read_text().splitlines()
    lines = [f"{header},fx,fy,cx,cy", *(f"{row},10,10,5.5,3.5" for row in rows)]
    (folder / "poses.csv").write_text("\n".join(lines))
    (folder / "intrinsics.json").unlink()
    yield folder


@kind("a trajectory under another name")
def a_trajectory_under_another_name(tmp_path, monkeypatch):
    folder = write_kitti(read_capture(write_nerfstudio(tmp_path / "ns")), tmp_path / "scene")
    (folder / "poses.txt").rename(folder / "estimate.txt")
    yield folder


@kind("positions of a GPS in a table")
def positions_of_a_gps(tmp_path, monkeypatch):
    write_images(tmp_path, ["images/a.png", "images/b.png"])
    (tmp_path / "gps.csv").write_text("name,latitude,longitude,altitude\na.png,48.1,11.5,520\n")
    yield tmp_path


@kind("masks that belong to no image")
def masks_of_no_image(tmp_path, monkeypatch):
    folder = write_masks(write_nerfstudio(tmp_path), lambda index: f"masks/{index}.png")
    yield folder
    (folder / "masks").rename(folder / "people_masks")
    yield folder


def test_each_row_of_the_page_has_a_case():
    assert sorted(KINDS) == sorted(ROWS)


@pytest.mark.parametrize("row", KINDS)
def test_each_kind_is_read_or_refused_with_its_sentence(tmp_path, monkeypatch, row):
    _, is_read, sentences = ROWS[row]
    outcomes = [try_out(attempt) for attempt in KINDS[row](tmp_path, monkeypatch)]
    messages = messages_in(sentences)
    with_message = [x for x in outcomes if any(has_message(message, x) for message in messages)]
    for message in messages:
        assert any(has_message(message, x) for x in outcomes), (message, outcomes)
    assert {x.is_read for x in with_message} <= {is_read.startswith("read")}, outcomes
    if is_read.startswith("with"):  # a flag
        assert re.search(r"`--\w+`", is_read)
    if is_read.startswith("refused"):
        assert not outcomes[0].is_read, outcomes
    else:
        assert outcomes[-1].is_read, outcomes
