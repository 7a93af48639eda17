"""Laws of the notes on likely mistakes: each fires on its fault and on no good one."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.captures.capture import Capture, make_lens
from nerf.captures.checks.brightness import notes_on_brightness, quantiles_of
from nerf.captures.checks.likely_mistakes import meeting_of_axes, notes_on_cameras
from nerf.captures.checks.white_balance import notes_on_white_balance, ratios_of
from nerf.captures.formats import FORMATS
from nerf.captures.lenses.models import panorama_intrinsics
from nerf.geometry.poses import look_at
from nerf.scenes.loading import load_folder
from tests.support.captures import convert, write_nerfstudio, write_procedural

UP = np.array([0.0, 0.0, 1.0])
SIZE = (64, 48)


def capture_of(poses, tmp_path, *, rows=None, panorama=False, form="nerfstudio"):
    num = len(poses)
    rows = [[60.0, 60.0, 32.0, 24.0] + [0.0] * 6] * num if rows is None else rows
    return Capture(
        format=form,
        folder=tmp_path,
        files=tuple(tmp_path / f"{i:03d}.png" for i in range(num)),
        camtoworlds=np.asarray(poses),
        lens=make_lens(rows, [False] * num, [panorama] * num),
        sizes=np.tile(SIZE, (num, 1)),
    )


def notes_of(capture):
    return notes_on_cameras(capture, FORMATS[capture.format].by_hand)


def orbit(num=24, arc=2 * np.pi, noise=0.0, seed=0):
    """Around an object, looking down on it by some 15 degrees."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, arc, num, endpoint=False)
    places = np.stack([3 * np.cos(angles), 3 * np.sin(angles), 1.2 + 0.3 * np.sin(3 * angles)], -1)
    aims = np.array([0, 0, 0.4]) + noise * rng.normal(size=(num, 3))
    return np.stack([look_at(p - aim, UP, p) for p, aim in zip(places, aims, strict=True)])


def forward(num=24, aim=(1.0, 0.0, 0.5), seed=0):
    rng = np.random.default_rng(seed)
    places = np.array([-3.0, 0, 0.8]) + rng.uniform(-0.5, 0.5, (num, 3)) * [0, 1, 0.6]
    return np.stack([look_at(p - aim, UP, p) for p in places])


def outward(num=24, radius=1.0, tilt=0.0, noise=0.0, seed=0):
    """A walk in a circle, with the back to its middle."""
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * np.arange(num) / num
    ahead = np.stack([np.cos(angles), np.sin(angles), np.full(num, tilt)], -1)
    ahead += noise * rng.normal(size=(num, 3))
    places = np.stack([radius * np.cos(angles), radius * np.sin(angles), np.full(num, 1.5)], -1)
    return np.stack([look_at(-a, UP, p) for a, p in zip(ahead, places, strict=True)])


def random_walk(num=40, seed=0):
    rng = np.random.default_rng(seed)
    angles = np.cumsum(rng.normal(0.1, 0.3, num))
    ahead = np.stack([np.cos(angles), np.sin(angles), rng.uniform(-0.3, 0.2, num)], -1)
    places = np.array([0, 0, 1.5]) + np.cumsum(0.2 * ahead, axis=0)
    return np.stack([look_at(-a, UP, p) for a, p in zip(ahead, places, strict=True)])


def hemisphere(num=60, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(num, 3))
    places[:, 2] = np.abs(places[:, 2])
    places *= 4 / np.linalg.norm(places, axis=-1, keepdims=True)
    return np.stack([look_at(p, UP, p) for p in places])


def parallel(num=25):
    """Cameras on a square that all look in one direction."""
    sides = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)), -1).reshape(-1, 2)
    return np.stack([look_at(np.array([1.0, 0, 0]), UP, np.array([3.0, *p])) for p in sides[:num]])


def y_up(poses):
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    return turn @ poses


GOOD = {
    "orbit": orbit(),
    "half an orbit": orbit(arc=np.pi),
    "rough orbit": orbit(noise=0.3),
    "hemisphere": hemisphere(),
    "forward": forward(),
    "parallel": parallel(),
    "divergent": forward(aim=(-9.0, 0.0, 0.8)) @ np.diag([-1.0, 1, -1, 1]),
    "outward": outward(),
    "outward, close": outward(radius=0.2, noise=0.1),
    "outward, downwards": outward(tilt=-0.3),
    "outward, upwards": outward(tilt=0.3, noise=0.05),
    "walk": random_walk(),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("world", [lambda poses: poses, y_up], ids=["z up", "y up"])
@pytest.mark.parametrize("shift", [0.0, 5.0, 5e5])
def test_good_captures_have_no_note(tmp_path, name, world, shift):
    poses = world(GOOD[name]).copy()
    poses[:, :, 3] += shift * np.array([1.0, -2.0, 0.5])
    assert notes_of(capture_of(poses, tmp_path)) == []


def test_panoramas_may_point_anywhere(tmp_path):
    rows = [panorama_intrinsics(*SIZE)] * 24
    for poses in (outward(), orbit() @ np.diag([1.0, -1, -1, 1])):
        assert notes_of(capture_of(poses, tmp_path, rows=rows, panorama=True)) == []


def inverse(poses):
    square = np.concatenate([poses, np.tile([[[0.0, 0, 0, 1]]], (len(poses), 1, 1))], axis=1)
    return np.linalg.inv(square)[:, :3]


def opencv(poses):
    return poses @ np.diag([1.0, -1.0, -1.0, 1.0])


def transposed(poses):
    return np.concatenate([np.swapaxes(poses[:, :, :3], 1, 2), poses[:, :, 3:]], axis=-1)


def with_w_first(poses):
    """As if quaternions that begin with w were read as x, y, z, w."""
    quaternions = np.roll(Rotation.from_matrix(poses[:, :, :3]).as_quat(), 1, axis=-1)
    return np.concatenate([Rotation.from_quat(quaternions).as_matrix(), poses[:, :, 3:]], axis=-1)


FLIPPED, INVERTED = "the axes are OpenCV's", "world to camera"
W_FIRST = "if each quaternion began with w"
TRANSPOSED = "if the rotations were transposed"
WRONG = {
    "orbit_opencv": (opencv(orbit()), FLIPPED),
    "rough orbit_opencv": (opencv(orbit(noise=0.1)), FLIPPED),
    "hemisphere_opencv": (opencv(hemisphere()), FLIPPED),
    "forward_opencv": (opencv(forward()), FLIPPED),
    "orbit_opencv, y up": (opencv(y_up(hemisphere())), FLIPPED),
    "orbit_w2c": (inverse(orbit()), INVERTED),
    "hemisphere_w2c": (inverse(hemisphere()), INVERTED),
    "forward_w2c": (inverse(forward()), INVERTED),
    "orbit_w2c of OpenCV": (inverse(opencv(orbit(noise=0.05))), INVERTED),
    "orbit, transposed": (transposed(orbit()), TRANSPOSED),
    "hemisphere, transposed": (transposed(hemisphere() + np.array([0, 0, 0, 0.5])), TRANSPOSED),
    "half an orbit, y up, transposed": (transposed(y_up(orbit(arc=np.pi))), TRANSPOSED),
    "orbit, w first": (with_w_first(orbit()), W_FIRST),
    "hemisphere, y up, w first": (with_w_first(y_up(hemisphere())), W_FIRST),
    "forward, w first": (with_w_first(forward()), W_FIRST),
    "orbit of OpenCV, transposed": (transposed(opencv(orbit(noise=0.05))), TRANSPOSED),
}


@pytest.mark.parametrize("name", WRONG)
def test_cameras_that_look_away_from_where_their_axes_meet_are_noted(tmp_path, name):
    poses, message = WRONG[name]
    (note,) = notes_of(capture_of(poses, tmp_path))
    assert message in note
    assert ("OpenCV's" in note) == ("opencv" in name.lower())
    assert notes_of(capture_of(poses, tmp_path, form="colmap")) == []


def test_axes_meet_ahead_or_behind():
    ahead, behind = meeting_of_axes(orbit()), meeting_of_axes(opencv(orbit()))
    assert (ahead.ahead, ahead.behind, ahead.is_sharp, ahead.is_wide) == (1.0, 0.0, True, True)
    assert (behind.ahead, behind.behind, behind.is_sharp, behind.is_wide) == (0.0, 1.0, True, True)
    assert not meeting_of_axes(parallel()).is_sharp


def test_half_of_the_views_upside_down_is_noted(tmp_path):
    poses = orbit()
    turned = poses.copy()
    turned[::2, :, :2] *= -1  # half a turn around the viewing axis
    (note,) = notes_of(capture_of(turned, tmp_path))
    assert "12 of 24 views are upside down compared with the others" in note
    mixed = poses.copy()
    mixed[::3] = opencv(poses[::3])
    assert any("8 of 24 views" in note for note in notes_of(capture_of(mixed, tmp_path)))
    quarter = Rotation.from_rotvec(np.outer(np.linspace(-1.4, 1.4, 24), UP)).as_matrix()
    tilted = np.concatenate([poses[:, :, :3] @ quarter, poses[:, :, 3:]], axis=-1)
    assert notes_of(capture_of(tilted, tmp_path)) == []


def test_equal_poses_are_noted(tmp_path):
    poses = orbit()
    poses[7], poses[8], poses[20] = poses[3], poses[3], poses[19]
    (note,) = notes_of(capture_of(poses, tmp_path))
    assert "3 views have exactly the pose of another view" in note
    poses[7:9, 0, 3] += [1e-6, 2e-6]
    poses[20, 0, 3] += 1e-6
    assert notes_of(capture_of(poses, tmp_path)) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([4.2, 4.2, 32, 24], ["in millimetres, or a share"]),
        ([60 / 64, 60 / 64, 0.5, 0.5], ["in millimetres, or a share", "cx and cy shares"]),
        ([60, 60, 0.5, 0.5], ["cx and cy shares"]),
        ([60, 60, 128, 96], ["an image of another size"]),
        ([4000, 4000, 32, 24], ["belong to a larger image"]),
        ([60, 30, 32, 24], ["pixels are hardly ever so oblong"]),
        ([60, 52, 32, 24], []),
        ([16, 16, 32, 24], []),  # 127 degrees
        ([60, 60, 20, 34], []),
    ],
)
def test_lenses_that_hardly_exist_are_noted(tmp_path, row, message):
    rows = [[float(x) for x in row] + [0.0] * 6] * 24
    notes = notes_of(capture_of(orbit(), tmp_path, rows=rows))
    assert len(notes) == len(message)
    assert all(text in note for text, note in zip(message, notes, strict=True))
    one = [[60.0, 60.0, 32.0, 24.0] + [0.0] * 6] * 5 + rows[:1]
    notes = notes_of(capture_of(orbit(6), tmp_path, rows=one))
    assert len(notes) == len(message)
    assert all("view 5 (005)" in note and "more" not in note for note in notes)


# Brightness.


def lit(images, gains):
    """Images with more or less light, as a camera would have exposed them."""
    found = []
    for image, gain in zip(images, gains, strict=True):
        light = np.clip((image[..., :3] / 255.0) ** 2.2 * gain, 0, 1)
        colours = np.round(255 * light ** (1 / 2.2)).astype(np.uint8)
        found.append(np.concatenate([colours, image[..., 3:]], axis=-1))
    return found


def notes_on(images, poses):
    return notes_on_brightness(np.stack([quantiles_of(image) for image in images]), poses)


@pytest.fixture(scope="module")
def photographs():
    """Views of a bundled scene around an object, and their poses."""
    from nerf import procedural
    from nerf.captures.readers.llff import from_poses_bounds

    views = procedural.render_views("courtyard", 24, 32, supersample=1)
    files = [f"{i}.png" for i in range(len(views.images))]
    return list(views.images), from_poses_bounds(views.poses_bounds, None, files).camtoworlds


def test_exposure_that_changes_is_noted(photographs):
    images, poses = photographs
    assert notes_on(images, poses) == []
    gains = np.exp(np.random.default_rng(0).normal(0, 0.35, len(images)))
    changed = lit(images, gains)
    (note,) = notes_on(changed, poses)
    assert "lock the exposure" in note
    medians = [np.median(image @ [0.299, 0.587, 0.114]) / 255 for image in changed]
    assert f"between {min(medians):.2f} and {max(medians):.2f}" in note
    ramp = np.exp(np.linspace(-0.7, 0.7, len(images)))
    assert len(notes_on(lit(images, ramp), poses)) == 1
    assert notes_on(lit(images, np.full(len(images), 0.4)), poses) == []


def test_white_balance_that_changes_is_noted_and_the_light_of_all_views_is_not(photographs):
    images, poses = photographs

    def notes(images):
        return notes_on_white_balance(np.stack([ratios_of(image) for image in images]), poses)

    assert notes(images) == []
    gains = np.exp(np.random.default_rng(0).normal(0, 0.1, (len(images), 3)))
    (note,) = notes(lit(images, gains))
    assert "the white balance of the images changes, by 1" in note
    assert notes(lit(images, np.full((len(images), 3), (1.3, 1.0, 0.6)))) == []  # one cast
    assert notes(lit(images, np.repeat(gains[:, :1], 3, axis=1))) == []  # exposure alone
    assert notes_on(lit(images, gains), poses) == []  # which the other note is for


def test_content_that_changes_is_not_exposure():
    """Views that show more or less of a dark thing: quantiles do not move together."""
    poses = orbit()
    images = [np.full((20, 30, 3), 200, np.uint8) for _ in poses]
    for index, image in enumerate(images):
        image[:, : 3 + index] = 40
    assert notes_on(images, poses) == []
    ratios = np.stack([ratios_of(image) for image in images])
    assert notes_on_white_balance(ratios, poses) == []


def test_transparent_pixels_have_no_brightness():
    image = np.full((20, 30, 4), 200, np.uint8)
    image[:10, :, :] = 0
    np.testing.assert_allclose(quantiles_of(image), np.full(5, 200 / 255))
    assert np.isnan(quantiles_of(np.zeros((20, 30, 4), np.uint8))).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flower", "room", "table", "courtyard"])
def test_bundled_scenes_have_no_note_in_any_format(tmp_path, name):
    source = write_procedural(tmp_path / "llff", name)
    folders = [source]
    folders += [convert(source, to, tmp_path / to) for to in ("nerfstudio", "blender", "colmap")]
    for folder in folders:
        notes = load_folder(folder).notes
        assert [note for note in notes if "transparent" not in note] == []


@pytest.mark.slow
def test_notes_come_with_the_scene(tmp_path):
    def change(content):
        content["frames"][1]["transform_matrix"] = content["frames"][0]["transform_matrix"]

    notes = load_folder(write_nerfstudio(tmp_path, change=change)).notes
    assert any("exactly the pose of another view" in note for note in notes)


def test_contrast_that_changes_is_not_exposure():
    """What is dark gets darker where what is bright gets brighter."""
    poses = orbit()
    images = []
    for amount in np.random.default_rng(0).uniform(-1, 1, len(poses)):
        image = np.zeros((20, 30, 3))
        image[:, :12], image[:, 12:] = 80 * 0.7**amount, 130 * 1.35**amount
        images.append(image.astype(np.uint8))
    assert notes_on(images, poses) == []
