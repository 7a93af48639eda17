"""Laws of exported files: a ball in closed form comes back in the coordinates that they state."""

import builtins
import dataclasses
import json
import sys

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

import nerf
from nerf.errors import UserError
from nerf.jobs.export import export_all
from tests.support.ball import CAPTURE_TO_SCENE, SPACES, ball_field, ball_in

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")

SCALE = 3.0  # of the capture's unit, in scene units


def to_capture(points):
    back = np.linalg.inv(CAPTURE_TO_SCENE)
    return points @ back[:3, :3].T + back[:3, 3]


@pytest.fixture(scope="module", params=SPACES)
def exported(request, tmp_path_factory):
    """The name of a space, and the folder with the files of a ball in it."""
    folder = tmp_path_factory.mktemp("exports") / request.param
    export_all(ball_field(request.param), folder, mesh_suffixes=(".ply", ".glb", ".obj"))
    return request.param, folder


def radii(points, ball, scale=SCALE, centre=None):
    """Distances from the ball's centre in its radii."""
    centre = to_capture(ball.centre) if centre is None else centre
    return np.linalg.norm(points - centre, axis=-1) / (scale * ball.radius)


@pytest.mark.parametrize("suffix", [".ply", ".glb", ".obj"])
def test_a_mesh_is_the_ball_in_the_capture_s_coordinates(suffix, exported):
    space, folder = exported
    ball = ball_in(space)
    mesh = trimesh.load(folder / f"mesh{suffix}", process=False, force="mesh")
    found = radii(mesh.vertices, ball)
    assert np.abs(found - 1).mean() < 0.02  # 1 % of the ball's size
    outwards = mesh.triangles_center - to_capture(ball.centre)
    assert np.mean(np.sum(mesh.face_normals * outwards, axis=-1) > 0) > 0.97
    if space != "ndc":  # whose cameras see one side
        assert mesh.area == pytest.approx(4 * np.pi * (SCALE * ball.radius) ** 2, rel=0.06)


def test_the_colours_of_a_mesh_are_those_of_the_field(exported):
    space, folder = exported
    ball = ball_in(space)
    mesh = trimesh.load(folder / "mesh.ply", process=False)
    scene = mesh.vertices @ CAPTURE_TO_SCENE[:3, :3].T + CAPTURE_TO_SCENE[:3, 3]
    out = scene - ball.centre
    expected = 0.5 + 0.4 * out / np.linalg.norm(out, axis=-1, keepdims=True)
    off = np.abs(np.asarray(mesh.visual.vertex_colors)[:, :3] / 255.0 - expected)
    assert np.median(off) < 0.03
    assert np.quantile(off, 0.9) < 0.2  # less at the rim, which few pixels show


def test_a_glb_has_linear_colours(exported):
    folder = exported[1]
    ply = trimesh.load(folder / "mesh.ply", process=False)
    (glb,) = trimesh.load(folder / "mesh.glb", process=False).geometry.values()
    srgb = np.asarray(ply.visual.vertex_colors)[:, :3] / 255.0
    linear = np.asarray(glb.visual.vertex_attributes["color"])[:, :3] / 65535.0
    assert srgb.shape == linear.shape
    np.testing.assert_allclose(linear, ((srgb + 0.055) / 1.055) ** 2.4, atol=0.02)


def test_a_point_cloud_is_the_ball_with_its_normals(exported):
    space, folder = exported
    ball = ball_in(space)
    cloud = trimesh.load(folder / "points.ply")
    assert np.abs(radii(cloud.vertices, ball) - 1).mean() < 0.02
    out = cloud.vertices - to_capture(ball.centre)
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    raw = cloud.metadata["_ply_raw"]["vertex"]["data"]
    normals = np.stack([raw["nx"], raw["ny"], raw["nz"]], axis=-1)
    assert np.median(np.sum(normals * out, axis=-1)) > 0.95
    assert np.ptp(cloud.colors[:, :3], axis=0).min() > 40


def test_depth_maps_and_their_cameras_give_the_ball(exported):
    space, folder = exported
    ball = ball_in(space)
    cameras = json.loads((folder / "depth" / "depth_cameras.json").read_text())
    assert len(cameras["frames"]) == 12  # the held-out view too
    for frame in cameras["frames"][:3]:
        levels = iio.imread(folder / "depth" / frame["depth_file_path"])
        assert levels.dtype == np.uint16
        assert levels.shape == (frame["h"], frame["w"])
        with np.load((folder / "depth" / frame["file_path"]).with_suffix(".npz")) as arrays:
            depth, acc = arrays["depth"], arrays["acc"]
            said = {key: str(arrays[key]) for key in ("frame", "unit")}
        assert said == {"frame": "capture", "unit": "the unit of length of the capture's own files"}
        texts = Image.open(folder / "depth" / frame["depth_file_path"]).text
        assert float(texts.pop("depth_of_a_level")) == cameras["depth_unit_scale_factor"]
        assert texts == said
        is_seen = levels > 0
        np.testing.assert_array_equal(is_seen, acc >= 0.5)
        level = cameras["depth_unit_scale_factor"]
        np.testing.assert_allclose(level * levels[is_seen], depth[is_seen], atol=level)
        rows, columns = np.nonzero(is_seen)
        x = (columns + 0.5 - frame["cx"]) / frame["fl_x"]
        y = (rows + 0.5 - frame["cy"]) / frame["fl_y"]
        local = np.stack([x, -y, -np.ones_like(x)], axis=-1) * depth[is_seen][:, None]
        pose = np.array(frame["transform_matrix"])
        found = radii(local @ pose[:3, :3].T + pose[:3, 3], ball)
        assert np.abs(found - 1).mean() < 0.02


def test_scene_units_are_a_choice_that_the_record_states(tmp_path):
    trained = ball_field("world")
    nerf.export_points(trained, tmp_path / "a.ply", frame="scene", num_points=300, max_size=24)
    cloud = trimesh.load(tmp_path / "a.ply")
    assert len(cloud.vertices) <= 300
    ball = ball_in("world")
    found = radii(cloud.vertices, ball, scale=1.0, centre=ball.centre)
    assert np.abs(found - 1).mean() < 0.02
    header = (tmp_path / "a.ply").read_bytes().split(b"end_header")[0].decode()
    assert "comment coordinates: scene units" in header
    numbers = header.split("comment scene_to_capture: ")[1].splitlines()[0].split()
    to_capture = np.array(numbers, float).reshape(4, 4)
    np.testing.assert_allclose(to_capture, np.linalg.inv(CAPTURE_TO_SCENE), atol=1e-6)


def test_the_record_says_what_was_written_and_where_it_lies(exported):
    folder = exported[1]
    exports = json.loads((folder / "export.json").read_text())["files"]
    assert set(exports) == {path.name for path in folder.iterdir() if path.name != "export.json"}
    for entry in exports.values():
        assert entry["status"] == "complete"
        assert entry["frame"] == "capture"
        assert entry["step"] == 7
        to_files = np.array(entry["scene_to_capture"])
        np.testing.assert_allclose(to_files @ CAPTURE_TO_SCENE, np.eye(4), atol=1e-12)


def test_a_mesh_of_few_triangles_is_still_the_ball(tmp_path):
    nerf.export_mesh(ball_field("world"), tmp_path / "few.ply", max_faces=500)
    mesh = trimesh.load(tmp_path / "few.ply", process=False)
    assert 250 < len(mesh.faces) <= 500
    assert np.abs(radii(mesh.vertices, ball_in("world")) - 1).mean() < 0.02


def test_an_empty_field_has_no_surface(tmp_path):
    with pytest.raises(UserError, match=r"^the training views show no surface: train longer$"):
        export_all(ball_field("world", density=0.0), tmp_path / "a", kinds=["mesh"])
    with pytest.raises(UserError, match="or give a larger `max_depth`"):
        nerf.export_mesh(ball_field("world"), tmp_path / "mesh.ply", max_depth=0.5)
    assert not list(tmp_path.rglob("*.ply"))


def test_an_export_replaces_its_own_files_and_no_others(tmp_path):
    trained, folder = ball_field("world"), tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    export_all(trained, folder, kinds=["points"], max_size=16)
    export_all(trained, folder, kinds=["points"], max_size=16)
    (folder / "mesh.ply").write_text("mine")
    with pytest.raises(UserError, match=r"holds mesh.ply, which no export has written"):
        export_all(trained, folder, kinds=["points", "mesh"], max_size=16)
    (folder / "depth").mkdir()
    (folder / "export.json").write_text("[1]")
    with pytest.raises(UserError, match=r"holds depth, points.ply, export.json, which no"):
        export_all(trained, folder, kinds=["points", "depth"], max_size=16)
    assert (folder / "notes.txt").read_text() == (folder / "mesh.ply").read_text() == "mine"


def test_the_record_of_a_file_stays_that_of_the_export_that_wrote_it(tmp_path):
    def record():
        return json.loads((tmp_path / "export.json").read_text())["files"]

    trained, options = ball_field("world"), {"kinds": ["mesh"], "max_size": 16, "resolution": 12}
    export_all(trained, tmp_path, mesh_suffixes=(".glb",), **options)
    first = record()["mesh.glb"]
    later = dataclasses.replace(trained, step=8)
    export_all(later, tmp_path, mesh_suffixes=(".ply",), frame="scene", **options)
    assert record()["mesh.glb"] == first
    assert (record()["mesh.ply"]["frame"], record()["mesh.ply"]["step"]) == ("scene", 8)
    (tmp_path / "mesh.ply").unlink()
    export_all(trained, tmp_path, mesh_suffixes=(".glb",), **options)
    assert set(record()) == {"mesh.glb"}


def test_an_export_that_was_interrupted_can_be_repeated(tmp_path, monkeypatch):
    trained, stopped = ball_field("world"), "nerf.jobs.exports.depth_maps.depth_maps.write_levels"
    with monkeypatch.context() as patch:
        patch.setattr(stopped, lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export_all(trained, tmp_path, kinds=["depth"])
    assert (tmp_path / "depth").is_dir()
    record = json.loads((tmp_path / "export.json").read_text())["files"]
    assert record == {"depth": {"kind": "depth", "status": "unfinished"}}
    export_all(trained, tmp_path, kinds=["depth"])
    with pytest.raises(UserError, match="images and no poses"):  # depth is no colour
        nerf.load_scene(tmp_path / "depth")
    assert (tmp_path / "depth" / "depth_cameras.json").is_file()


@pytest.fixture
def without_packages(monkeypatch):
    """As if the extra `export` were not installed."""
    whole = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.split(".")[0] in ("trimesh", "skimage"):
            raise ImportError(name)
        return whole(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.split(".")[0] in ("trimesh", "skimage")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", fail)


def test_without_the_extra_a_mesh_is_refused_before_anything_is_drawn(without_packages, tmp_path):
    with pytest.raises(UserError, match=r"pip install 'nerf-haiku-flax\[export\]'"):
        nerf.export_mesh(None, tmp_path / "mesh.ply")


def refuse_to_draw(*args, **kwargs):
    raise AssertionError("something was drawn")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kinds": ["texture"]}, "`export` is one or more of mesh, points, depth, not 'texture'"),
        ({"kinds": []}, "`export` is one or more of"),
        ({"mesh_suffixes": [".stl"]}, r"mesh.stl has the ending of no mesh"),
        ({"frame": "world"}, "no `frame` 'world': choose one of capture, scene"),
        ({"resolution": 5000}, "`resolution` must be 8 to 1024 cells, not 5000"),
        ({"max_faces": 1}, "`max_faces` must be at least 100, not 1"),
        ({"num_points": 0}, "`num_points` must be at least 1, not 0"),
        ({"max_size": 2}, "`max_size` must be at least 8 pixels"),
        ({"max_depth": -1.0}, "`max_depth` must be finite and more than 0, not -1.0"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_drawn(
    options, reason, tmp_path, monkeypatch
):
    monkeypatch.setattr("nerf.jobs.exports.views.draw", refuse_to_draw)
    with pytest.raises(UserError, match=reason):
        export_all(ball_field("world"), tmp_path / "out", **options)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("nerf.jobs.exports.views.draw", refuse_to_draw)
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "within"):
        with pytest.raises(
            UserError, match=r"cannot be written \(.*\): name another|is a file, and a folder is"
        ):
            export_all(ball_field("world"), path)
    with pytest.raises(UserError, match=r"a point cloud is written as .ply: .*points.txt"):
        nerf.export_points(ball_field("world"), tmp_path / "points.txt")
    (tmp_path / "a.ply").mkdir()
    with pytest.raises(UserError, match=r"a.ply is a folder: name a file"):
        nerf.export_mesh(ball_field("world"), tmp_path / "a.ply")
    assert (tmp_path / "file").read_text() == "mine"
