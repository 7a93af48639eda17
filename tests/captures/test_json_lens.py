"""Laws of the lens keys of transforms.json: each is used, refused, or noted."""

import json
from collections import ChainMap

import numpy as np
import pytest

from nerf.captures.json_files.lens import intrinsics, read_lens
from nerf.captures.reading import read_capture
from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import forward_poses, orbit_poses, transforms, write_images

SIZE = (64, 48)
FX, FY, CX, CY = 60.0, 58.0, 31.0, 25.0
PIXELS = {"fl_x": FX, "fl_y": FY, "cx": CX, "cy": CY}
MATRIX = [[FX, 0, CX], [0, FY, CY], [0, 0, 1]]


def lens_of(frame, shared=None, size=SIZE):
    return intrinsics(read_lens(ChainMap(frame, shared or {}), "frame 0"), size)


@pytest.mark.parametrize(
    "values",
    [
        PIXELS,
        {"K": MATRIX},
        {"intrinsics": MATRIX},
        {"K": [value for row in MATRIX for value in row]},
        {"K": np.transpose(MATRIX).tolist()},
        {"intrinsics": np.transpose(MATRIX).ravel().tolist()},
        {"intrinsics": [FX, FY, CX, CY]},
        {"intrinsics": {"fx": FX, "fy": FY, "cx": CX, "cy": CY}},
        {"fl_x": f"{FX}", "fl_y": f" {FY} ", "cx": str(CX), "cy": CY},
        {"K": [[FX, 0, CX, 0], [0, FY, CY, 0], [0, 0, 1, 0], [0, 0, 0, 1]]},
        {
            "camera_angle_x": 2 * np.arctan(32 / FX),
            "camera_angle_y": 2 * np.arctan(24 / FY),
            "cx": CX,
            "cy": CY,
        },
        {
            "x_fov": np.degrees(2 * np.arctan(32 / FX)),
            "y_fov": np.degrees(2 * np.arctan(24 / FY)),
            "cx": CX,
            "cy": CY,
        },
    ],
)
@pytest.mark.parametrize("place", ["frame", "file"])
def test_a_lens_is_the_same_in_every_form(values, place):
    frame, shared = (values, {}) if place == "frame" else ({}, values)
    np.testing.assert_allclose(lens_of(frame, shared), [FX, FY, CX, CY] + [0.0] * 6)


@pytest.mark.parametrize("form", [{"K": MATRIX}, PIXELS, {"intrinsics": [FX, FY, CX, CY]}])
@pytest.mark.parametrize(
    "shared",
    [
        {"fl_x": 9.0, "fl_y": 9.0, "cx": 1.0, "cy": 1.0},
        {"camera_angle_x": 1.0},
        {"K": np.eye(3).tolist()},
    ],
)
def test_what_a_frame_says_counts_more_than_what_the_file_says(form, shared):
    np.testing.assert_allclose(lens_of(form, shared)[:4], [FX, FY, CX, CY])


@pytest.mark.parametrize("axis", [0, 1])
def test_one_angle_of_view_gives_both_focal_lengths(axis):
    """As instant-ngp does: pixels are square unless the file says otherwise."""
    angle = 2 * np.arctan(0.5 * SIZE[axis] / FX)
    np.testing.assert_allclose(lens_of({f"camera_angle_{'xy'[axis]}": angle})[:2], [FX, FX])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"K": [1, 2, 3]}, "must be a 3x3 matrix"),
        ({"K": [1, 2, 3, 4]}, "must be a 3x3 matrix"),
        ({"K": "wide"}, "K must be a number"),
        ({"K": [[FX, 3.0, CX], [0, FY, CY], [0, 0, 1]]}, "slanted pixels"),
        ({"K": [[FX, 0, CX], [0, FY, CY], [0, 0, 2]]}, "0, 0, 1"),
        ({"intrinsics": {"fx": FX}}, "intrinsics: fy must be a number"),
        ({"camera_angle_y": 4.0}, "camera_angle_y must be between 0 and pi radians"),
        ({"x_fov": 190.0}, "x_fov must be between 0 and 180 degrees"),
        ({"cx": CX}, "no focal length"),
    ],
)
def test_each_mistake_in_a_lens_has_its_sentence(values, message):
    with pytest.raises(UserError, match="frame 0") as caught:
        lens_of(values)
    assert message in str(caught.value)


# Whole files.


def folder_of(folder, *, size=SIZE, poses=None, frame=None, **shared):
    """A capture with the keys of a file, and those of its third frame."""
    poses = orbit_poses() if poses is None else poses
    names = [f"images/{i}.png" for i in range(len(poses))]
    write_images(folder, names, size=size)
    content = transforms(poses, names, **{"w": size[0], "h": size[1], **shared})
    content = {key: value for key, value in content.items() if value is not None}
    content["frames"][2] |= frame or {}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


WHOLE = {
    "latlong": {"latlong": True, "fl_x": 60.0, "cx": 3.0},
    "equirectangular": {"equirectangular": True, "camera_angle_x": 1.0},
    "nerfstudio": {"camera_model": "EQUIRECTANGULAR", "fl_x": 32.0, "fl_y": 32.0},
    "without a focal length": {"camera_model": "EQUIRECTANGULAR", "fl_x": None},
}


@pytest.mark.parametrize("name", WHOLE)
def test_panoramas_show_the_whole_sphere(tmp_path, name):
    capture = read_capture(folder_of(tmp_path, size=(64, 32), **WHOLE[name]))
    assert capture.is_panorama.all()
    np.testing.assert_allclose(capture.lens.focal, np.full((6, 2), 32 / np.pi))
    np.testing.assert_allclose(capture.lens.centre, np.tile([31.5, 15.5], (6, 1)))
    noted = any("rows are even" in note for note in capture.notes)
    assert noted == (name == "equirectangular")


def test_a_panorama_may_show_a_part_of_the_sphere(tmp_path):
    """nerfstudio's focal lengths count half turns: 48 / 96 of one across, 24 / 96 upright."""
    values = {"camera_model": "EQUIRECTANGULAR", "fl_x": 96.0, "fl_y": 96.0, "cx": 20.0, "cy": 24.0}
    capture = read_capture(folder_of(tmp_path, size=(48, 48), **values))
    np.testing.assert_allclose(capture.lens.focal, np.full((6, 2), 96 / np.pi))
    np.testing.assert_allclose(capture.lens.centre[0], [19.5, 23.5])
    assert any("a part of the sphere" in note for note in capture.notes)


@pytest.mark.parametrize("poses", [orbit_poses(), forward_poses()], ids=["inward", "forward"])
def test_panoramas_are_not_forward_facing_and_their_videos_are_pinhole(tmp_path, poses):
    folder = folder_of(tmp_path, size=(64, 32), poses=poses, latlong=True)
    cameras = load_folder(folder).scene.cameras
    scene = load_folder(folder).scene
    assert scene.space.name == "contracted"
    video = cameras.at(np.asarray(cameras.camtoworlds)[:1])
    assert video.lens is None
    np.testing.assert_allclose(video.focal, 32.0)  # 90 degrees
    with pytest.raises(UserError, match="panoramas show all directions"):
        load_folder(
            folder,
            CaptureOptions(space="ndc", near=1.0, far=9.0),
        )


UNTRACED = {
    "f-theta": ({"ftheta_p0": 0.0, "ftheta_p1": 0.02}, "an f-theta lens (ftheta_p1) is not traced"),
    "orthographic": ({"orthographic": True}, "the lens of the key orthographic"),
    "rational": ({"k5": 0.1, "k6": 0.2}, "distortion by a fraction (k5, k6)"),
    "full": ({"camera_model": "FULL_OPENCV", "k4": 0.1}, "distortion by a fraction (k4"),
    "thin prism": ({"camera_model": "THIN_PRISM_FISHEYE", "sx1": 0.1}, "a thin prism (sx1)"),
    "tangential": ({"camera_model": "OPENCV_FISHEYE", "p1": 0.1}, "tangential distortion"),
    "list": ({"distortion_params": [0.1, 0, 0, 0]}, "distortion_params is ignored"),
    "stereo": ({"camera_model": "OMNIDIRECTIONALSTEREO_L"}, "is not read, only OPENCV"),
    "spherical": ({"camera_model": "SPHERICAL"}, "panoramas are read as EQUIRECTANGULAR"),
    "fisheye": ({"camera_model": "FISHEYE624"}, "--ImageReader.camera_model OPENCV_FISHEYE"),
    "mode": ({"lens_mode": "FTheta"}, "lens_mode 'FTheta' is ignored"),
}


@pytest.mark.parametrize("name", UNTRACED)
@pytest.mark.parametrize("place", ["frame", "file"])
def test_what_is_not_traced_is_refused_once(tmp_path, name, place):
    values, message = UNTRACED[name]
    keys = {"frame": values} if place == "frame" else values
    with pytest.raises(UserError) as caught:
        read_capture(folder_of(tmp_path, **keys))
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1
    assert ("1 of 6 frames" in str(caught.value)) == (place == "frame")


NOTED = {
    "time": ({"time": 0.5}, {"time": 0.0}, "as if nothing in it moved"),
    "shutter": ({}, {"rolling_shutter": [0, 0, 1, 0]}, "rolling_shutter of transforms.json"),
    "depth": ({"depth_file_path": "depth/2.png"}, {}, "that transforms.json names"),
    "white": ({}, {"white_transparent": True}, "give the images an alpha channel"),
    "light": ({"driver_parameters": {"LightX": 1.0}}, {}, "the light is taken to be the same"),
    "angle": ({}, {"camera_angle_x": 2.0}, "contradict each other"),
    "matrix": ({"K": MATRIX, "fl_x": 30.0}, {}, "1 frame has focal lengths that contradict"),
    "odd": ({}, {"latlong": True}, "not twice as wide as high"),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_ignored_is_noted(tmp_path, name):
    frame, shared, message = NOTED[name]
    notes = read_capture(folder_of(tmp_path, fl_x=60.0, frame=frame, **shared)).notes
    assert len([note for note in notes if message in note]) == 1


@pytest.mark.parametrize("key", ["skew", "shift_x", "fov", "K1", "coordinate_system"])
def test_keys_that_nobody_knows_are_noted(tmp_path, key):
    (note,) = read_capture(folder_of(tmp_path, fl_x=FX, **{key: 0.2})).notes
    assert f"not known, and are ignored: {key};" in note


@pytest.mark.parametrize("place", ["frame", "shared"])
@pytest.mark.parametrize(
    "values",
    [
        {"fx": FX, "fy": FY, "cx": CX, "cy": CY, "width": 64, "height": 48},
        {"intrinsic_matrix": MATRIX, "image_width": 64, "image_height": 48},
        {"camera_matrix": MATRIX, "w": "64", "h": "48"},
    ],
)
def test_other_names_of_lens_keys_are_known(tmp_path, place, values):
    """And numbers that are words, and in matrices too."""
    if place == "frame":
        folder = folder_of(tmp_path, frame=values, size=(32, 24))
        write_images(folder, ["images/2.png"], size=SIZE)
    else:
        folder = folder_of(tmp_path, **{"fl_x": None, "w": None, "h": None, **values})
    capture = read_capture(folder)
    np.testing.assert_array_equal(capture.lens.focal[2], [FX, FY])
    np.testing.assert_array_equal(capture.lens.centre[2] + 0.5, [CX, CY])
    np.testing.assert_array_equal(capture.sizes[2], SIZE)
    assert capture.notes == ()


def test_keys_that_change_no_ray_say_nothing(tmp_path):
    keys = {
        "aabb_scale": 4,
        "scale": 0.3,
        "offset": [0, 0, 0],
        "n_frames": 6,
        "up": [0, 0, 1],
        "k5": 0.0,
        "is_fisheye": False,
        "latlong": False,
        "ftheta_p0": 0,
        "time": 0.5,
        "rolling_shutter": [0, 0, 0, 0],
        "camera_angle_x": 2 * np.arctan(32 / FX),
        "camera_angle_y": 2 * np.arctan(24 / FX),
        "K": [[FX, 0, 32], [0, FX, 24], [0, 0, 1]],
    }
    assert read_capture(folder_of(tmp_path, fl_x=FX, **keys)).notes == ()


@pytest.mark.parametrize(
    ("model", "same"),
    [
        ("SIMPLE_FISHEYE", "OPENCV_FISHEYE"),
        ("FISHEYE", "OPENCV_FISHEYE"),
        ("RADIAL_FISHEYE", "OPENCV_FISHEYE"),
        ("THIN_PRISM_FISHEYE", "OPENCV_FISHEYE"),
        ("FULL_OPENCV", "OPENCV"),
        ("opencv_fisheye", "OPENCV_FISHEYE"),
    ],
)
def test_general_models_are_read_where_they_equal_a_simpler_one(tmp_path, model, same):
    values = {"fl_x": 40.0, "k1": 0.02, "k2": 0.01, "k5": 0.0, "sx1": 0.0}
    lenses = [
        read_capture(folder_of(tmp_path / name, camera_model=name, **values)).lens
        for name in (model, same)
    ]
    for found, expected in zip(*lenses, strict=True):
        np.testing.assert_array_equal(found, expected)


# Near and far of the user.


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_bounds_that_the_user_gives_count_before_those_of_the_files_are_judged(tmp_path, bad):
    folder = folder_of(tmp_path, fl_x=60.0, near=bad, far=9.0)
    with pytest.raises(UserError, match="have bounds that are not"):
        read_capture(folder)
    assert read_capture(folder, near=1.0).bounds.tolist() == [[1.0, 9.0]] * 6
    given = CaptureOptions(near=1.0, far=5.0)
    assert load_folder(folder, given).scene.num_views == 6


def test_a_whole_panorama_may_be_turned(tmp_path):
    """nerfstudio's cx is the column of what is ahead."""
    values = {"camera_model": "EQUIRECTANGULAR", "fl_x": 32.0, "fl_y": 32.0, "cx": 16.0}
    capture = read_capture(folder_of(tmp_path, size=(64, 32), **values))
    assert capture.notes == ()
    np.testing.assert_allclose(capture.lens.centre[0], [15.5, 15.5])


def test_a_focal_length_that_a_panorama_cannot_have_is_noted(tmp_path):
    capture = read_capture(
        folder_of(tmp_path, size=(64, 32), camera_model="EQUIRECTANGULAR", fl_x=60.0, fl_y=60.0)
    )
    np.testing.assert_allclose(capture.lens.focal[0], [32 / np.pi] * 2)
    assert any("fl_x and fl_y are not used" in note for note in capture.notes)


def test_a_trained_field_remembers_panoramas(tmp_path):
    from nerf.scenes.record import SceneRecord

    scene = load_folder(folder_of(tmp_path, size=(64, 32), latlong=True)).scene
    values = json.loads(json.dumps(SceneRecord.of(scene, 3).to_json()))
    lens = SceneRecord.from_json(values).cameras.lens
    for found, expected in zip(lens, scene.cameras.lens, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert lens.panorama.dtype == bool
