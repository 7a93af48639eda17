"""Laws of depth images: what is in the files is the depth of the views."""

import contextlib
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nerf.captures.depths.images import read_depth
from nerf.captures.depths.known import LIDAR_RANGE, DepthFile
from nerf.captures.export import ExportImages, export
from nerf.captures.images.exr import read_channel
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from tests.captures.test_blender_without_images import write_blender
from tests.support.captures import HEIGHT, WIDTH, orbit_poses, write_nerfstudio
from tools.other_formats import write_polycam, write_record3d

METRES = np.array([[1.0, 2.5, 0.0], [4.0, 0.25, 6.0]], np.float32)


def png(folder, values, name="depth.png"):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(folder / name)
    return folder / name


def exr(path, channels, compression, lines):
    """Writes an OpenEXR image: `channels` are arrays by name; `compression` packs a block."""
    number, pack = compression
    height, width = next(iter(channels.values())).shape
    names = sorted(channels)
    kinds = {np.dtype("f2"): 1, np.dtype("f4"): 2, np.dtype("u4"): 0}

    def attribute(name, kind, data):
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(data)) + data

    listed = b"".join(
        n.encode() + b"\0" + struct.pack("<4i", kinds[channels[n].dtype], 0, 1, 1) for n in names
    )
    window = struct.pack("<4i", 3, 7, 3 + width - 1, 7 + height - 1)
    header = b"\x76\x2f\x31\x01" + struct.pack("<I", 2)
    header += attribute("channels", "chlist", listed + b"\0")
    header += attribute("compression", "compression", bytes([number]))
    header += attribute("dataWindow", "box2i", window) + b"\0"
    blocks = []
    for first in range(0, height, lines):
        rows = range(first, min(first + lines, height))
        data = b"".join(channels[n][row].tobytes() for row in rows for n in names)
        packed = pack(data)
        packed = packed if len(packed) < len(data) else data
        blocks.append(struct.pack("<2i", 7 + first, len(packed)) + packed)
    at = len(header) + 8 * len(blocks)
    offsets = b""
    for block in blocks:
        offsets += struct.pack("<Q", at)
        at += len(block)
    path.write_bytes(header + offsets + b"".join(blocks))
    return path


def predicted(data):
    """What OpenEXR compresses: even bytes before odd ones, and then their differences."""
    values = np.frombuffer(data, np.uint8)
    apart = np.concatenate([values[0::2], values[1::2]]).astype(np.int64)
    return np.concatenate([apart[:1], np.diff(apart) + 128]).astype(np.uint8).tobytes()


def run_lengths(data):
    """Runs of equal bytes, and single ones copied."""
    found, at, data = b"", 0, predicted(data)
    while at < len(data):
        end = at + 1
        while end < len(data) and data[end] == data[at] and end - at < 100:
            end += 1
        found += bytes([end - at - 1, data[at]]) if end - at > 2 else b""
        found += b"".join(bytes([255, byte]) for byte in data[at:end]) if end - at <= 2 else b""
        at = end
    return found


COMPRESSIONS = {
    "none": ((0, lambda data: data), 1),
    "runs": ((1, run_lengths), 1),
    "zips": ((2, lambda data: zlib.compress(predicted(data))), 1),
    "zip": ((3, lambda data: zlib.compress(predicted(data))), 16),
}


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_a_channel_of_an_exr_is_what_was_written(tmp_path, name, dtype):
    rng = np.random.default_rng(0)
    smooth = np.linspace(0.5, 4.0, 20 * 30).reshape(20, 30)
    image = np.round(smooth + 0.01 * rng.normal(size=smooth.shape), 2).astype(dtype)
    image[5:15] = 2.0
    others = {"B": 0 * image, "G": image + 1}
    path = exr(tmp_path / "a.exr", {"R": image, **others}, *COMPRESSIONS[name])
    np.testing.assert_array_equal(read_channel(path, ["Z", "R"]), image.astype(np.float32))
    one = exr(tmp_path / "b.exr", {"anything": image}, *COMPRESSIONS[name])
    np.testing.assert_array_equal(read_channel(one, ["Z"]), image.astype(np.float32))


def test_a_damaged_exr_is_read_or_refused_and_never_fails_otherwise(tmp_path):
    path = exr(tmp_path / "a.exr", {"R": np.ones((20, 30), np.float32)}, *COMPRESSIONS["zip"])
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:n] for n in (0, 3, 9, 60, 150, len(content) - 5)]
    for _ in range(60):
        changed = bytearray(content)
        changed[rng.integers(len(content))] = rng.integers(256)
        damaged.append(bytes(changed))
    for each in damaged:
        path.write_bytes(each)
        with contextlib.suppress(UserError):
            assert read_channel(path, ["R"]).dtype == np.float32


def test_an_exr_that_is_not_read_says_how_to_write_it(tmp_path):
    image = np.ones((2, 3), np.float32)
    piz = exr(tmp_path / "a.exr", {"R": image}, (4, lambda data: data), 1)
    with pytest.raises(UserError, match="with ZIP or no compression"):
        read_channel(piz, ["R"])
    colours = exr(tmp_path / "b.exr", {"A": image, "C": image}, *COMPRESSIONS["none"])
    with pytest.raises(UserError, match="has the channels A, C, and none of Z"):
        read_channel(colours, ["Z"])


@pytest.mark.parametrize("kind", ["png", "tif", "npy", "exr"])
def test_a_depth_image_is_read_in_the_files_unit(tmp_path, kind):
    file = tmp_path / f"depth.{kind}"
    if kind == "npy":
        np.save(file, METRES)
    elif kind == "exr":
        exr(file, {"R": METRES}, *COMPRESSIONS["zip"])
    else:
        Image.fromarray((METRES * 1000).astype(np.uint16)).save(file)
    unit = 1.0 if kind in ("npy", "exr") else 1e-3
    np.testing.assert_allclose(read_depth(DepthFile(file, unit)), METRES, rtol=1e-6)
    near = read_depth(DepthFile(file, unit, farthest=LIDAR_RANGE))
    np.testing.assert_allclose(near, np.where(METRES > LIDAR_RANGE, 0.0, METRES), rtol=1e-6)


def test_what_is_not_known_or_not_to_be_trusted_is_zero(tmp_path):
    values = np.array([[np.nan, 1.0, -2.0], [np.inf, 2.0, 3.0]])
    np.save(tmp_path / "depth.npy", values)
    confidence = png(tmp_path, np.array([[255, 0, 255], [255, 127, 255]], np.uint8), "c.png")
    depth = read_depth(DepthFile(tmp_path / "depth.npy", 0.5, confidence))
    np.testing.assert_array_equal(depth, [[0, 0, 0], [0, 1.0, 1.5]])


def test_what_programs_write_where_they_see_nothing_is_no_depth(tmp_path):
    np.save(tmp_path / "depth.npy", np.array([[1e10, 2.0], [3.0, 1e9]]))
    np.testing.assert_array_equal(
        read_depth(DepthFile(tmp_path / "depth.npy", 1e-3)), [[0, 2e-3], [3e-3, 0]]
    )
    file = png(tmp_path, np.array([[65535, 65534], [1, 0]], np.uint16))
    np.testing.assert_allclose(read_depth(DepthFile(file, 1e-3)), [[0, 65.534], [1e-3, 0]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3), np.uint8), "no depth in 16 bits or more"),
        (np.zeros((2, 3, 3), np.uint8), "no depth in 16 bits or more"),
    ],
)
def test_an_image_that_is_no_depth_is_refused(tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        read_depth(DepthFile(png(tmp_path, values), 1e-3))


def test_a_confidence_of_another_size_is_refused(tmp_path):
    file = png(tmp_path, (METRES * 1000).astype(np.uint16))
    confidence = png(tmp_path, np.zeros((3, 3), np.uint8), "c.png")
    with pytest.raises(UserError, match="is 3 x 3, and its depth image 3 x 2"):
        read_depth(DepthFile(file, 1e-3, confidence))


# Formats.


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_nerfstudio(tmp_path_factory.mktemp("plain") / "ns")


def millimetres(number):
    return np.full((HEIGHT // 2, WIDTH // 2), 1000 + 100 * number, np.uint16)


def test_polycams_keyframes_have_depth_in_millimetres_and_confidence(tmp_path, plain):
    folder = write_polycam(read_capture(plain), tmp_path / "out")
    for number in (0, 1, 2, 4):
        png(folder / "keyframes" / "depth", millimetres(number), f"view_{number}.png")
    trusted = np.full((HEIGHT // 2, WIDTH // 2), 255, np.uint8)
    trusted[0] = 0
    png(folder / "keyframes" / "confidence", trusted, "view_1.png")
    capture = read_capture(folder)
    is_there = [file is not None for file in capture.depth_files]
    assert is_there == [True, True, True, False, True, False]
    for number in (0, 1, 2, 4):
        depth = read_depth(capture.depth_files[number])
        np.testing.assert_allclose(depth[1:], 1.0 + 0.1 * number)
        assert (depth[0] == 0).all() == (number == 1)
    assert not any("depth" in note for note in capture.notes)


def test_record3ds_frames_have_depth_in_metres(tmp_path, plain):
    folder = write_record3d(read_capture(plain), tmp_path / "out")
    (folder / "depth").mkdir()
    metres = millimetres(5).astype(np.float32) / 1000
    exr(folder / "depth" / "3.exr", {"R": metres, "G": 0 * metres}, *COMPRESSIONS["zip"])
    capture = read_capture(folder)
    (file,) = (file for file in capture.depth_files if file is not None)
    assert capture.depth_files[3] is file
    np.testing.assert_allclose(read_depth(file), metres)


@pytest.mark.parametrize(
    ("keys", "unit"),
    [
        ({"depth_file_path": "depth/{}.png"}, 1e-3),
        ({"depth_file_path": "depth/{}.png", "depth_unit_scale_factor": 0.01}, 0.01),
        ({"depth_file_path": "depth/{}.png", "applied_scale": 2.0}, 2e-3),
        ({"depth_path": "depth/{}.png", "integer_depth_scale": 0.5}, 0.5),
    ],
)
def test_depth_of_a_transforms_json_has_the_unit_of_its_keys(tmp_path, keys, unit):
    def change(content):
        for number, frame in enumerate(content["frames"][:4]):
            frame |= {k: v.format(number) for k, v in keys.items() if isinstance(v, str)}
        content |= {k: v for k, v in keys.items() if not isinstance(v, str)}

    folder = write_nerfstudio(tmp_path / "ns", change=change)
    for number in range(3):
        png(folder / "depth", millimetres(number), f"{number}.png")
    capture = read_capture(folder)
    for number, file in enumerate(capture.depth_files[:3]):
        np.testing.assert_allclose(read_depth(file), unit * millimetres(number))
    assert capture.depth_files[3:] == (None, None, None)
    (note,) = (note for note in capture.notes if "depth" in note)
    assert note == "1 depth image that transforms.json names are missing: depth/3.png"


@pytest.mark.parametrize(
    "name", ["C:\\scan\\depth\\0.png", "/other/scan/depth/0.png", "depth/0", "depth/0.png"]
)
def test_a_depth_image_is_found_by_the_end_of_its_path_and_without_suffix(tmp_path, name):
    folder = write_nerfstudio(
        tmp_path / "ns", change=lambda content: content["frames"][0].update(depth_file_path=name)
    )
    png(folder / "Depth", millimetres(0), "0.png")
    capture = read_capture(folder)
    assert capture.depth_files[0].file == folder / "Depth" / "0.png"
    assert not any("depth" in note for note in capture.notes)


def test_a_depth_image_outside_of_the_folder_is_not_read(tmp_path):
    folder = write_nerfstudio(tmp_path / "ns", depth_file_path="../../depth.png")
    png(tmp_path.parent, millimetres(0))
    capture = read_capture(folder)
    assert capture.depth_files == ()
    (note,) = (note for note in capture.notes if "depth" in note)
    assert "leads out of the folder" in note


def test_a_depth_image_whose_name_is_too_long_for_a_file_is_missing(tmp_path):
    folder = write_nerfstudio(tmp_path / "ns", depth_file_path=f"depth/{'x' * 300}.png")
    capture = read_capture(folder)
    assert capture.depth_files == ()
    (note,) = (note for note in capture.notes if "depth" in note)
    assert "are missing" in note


def test_depth_beside_the_images_is_no_image_without_a_pose(tmp_path):
    folder = write_nerfstudio(
        tmp_path / "ns",
        change=lambda content: content["frames"][0].update(depth_file_path="images/0.depth.png"),
    )
    png(folder / "images", millimetres(0), "0.depth.png")
    capture = read_capture(folder)
    assert capture.depth_files[0].file.name == "0.depth.png"
    assert capture.notes == ()


def test_depth_of_a_blender_capture_is_read_and_its_export_says_that_it_is_lost(tmp_path):
    folder = write_blender(tmp_path / "scene", train=(orbit_poses(5), True))
    path = folder / "transforms_train.json"
    content = json.loads(path.read_text())
    content["frames"][3]["depth_file_path"] = "depth/3.png"
    path.write_text(json.dumps(content))
    png(folder / "depth", millimetres(3), "3.png")
    capture = read_capture(folder)
    assert [file is not None for file in capture.depth_files] == [i == 3 for i in range(5)]
    np.testing.assert_allclose(read_depth(capture.depth_files[3]), 1e-3 * millimetres(3))
    images = ExportImages(capture.sizes, capture.files, lambda index: None)
    notes = export(capture, capture.lens, None, images, "nerfstudio", tmp_path / "out")
    assert "the known depths of the views are not written" in notes


def test_a_transforms_json_that_names_no_depth_has_none(plain):
    assert read_capture(plain).depth_files == ()
    assert json.loads((plain / "transforms.json").read_text())["frames"]


@pytest.mark.parametrize("name", ["depth", "Depths"])
def test_depth_images_that_nothing_names_are_noted(tmp_path, name):
    folder = write_nerfstudio(tmp_path)
    (folder / name).mkdir()
    assert read_capture(folder).notes == ()
    png(folder / name, (1000 * METRES).astype(np.uint16), "view_0.png")
    (note,) = read_capture(folder).notes
    assert note.startswith(f"{name} may hold depth images, and is not used: name each in a")
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    content["frames"][0]["depth_file_path"] = f"{name}/view_0.png"
    path.write_text(json.dumps(content))
    capture = read_capture(folder)
    assert (capture.notes, len(capture.depth_files)) == ((), capture.num_views)
