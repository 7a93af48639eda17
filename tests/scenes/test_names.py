"""Where a scene's name leads: disk, cache, network, bundled scene, or a clear error."""

import functools
import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from nerf import procedural
from nerf.errors import UserError
from nerf.runs import run_folder
from nerf.scenes import bundled, names
from nerf.scenes.download import ManifestRow, Timeouts
from nerf.scenes.names import ResolvedScene, pretrained_folder, resolve_scene

pytestmark = pytest.mark.slow

NUM_VIEWS = 3
QUICK = Timeouts(probe=1.0, connect=1.0, read=1.0)


def make_poses_bounds(num_views: int = NUM_VIEWS) -> np.ndarray:
    """Cameras in a row that all look along -z, in LLFF's axes and units."""
    matrix = np.array([[0, 1, 0, 0, 30], [-1, 0, 0, 0, 40], [0, 0, 1, 0, 35.0]])
    matrices = np.tile(matrix, (num_views, 1, 1))
    matrices[:, 0, 3] = np.arange(num_views)
    bounds = np.tile([4.0, 9.0], (num_views, 1))
    return np.concatenate([matrices.reshape(num_views, 15), bounds], axis=1)


def write_scene(folder: Path, shade: int = 0) -> Path:
    (folder / "images_32").mkdir(parents=True)
    for i in range(NUM_VIEWS):
        Image.new("RGB", (8, 6), (shade,) * 3).save(folder / "images_32" / f"image{i:03d}.png")
    np.save(folder / "poses_bounds.npy", make_poses_bounds())
    return folder


class Views(NamedTuple):
    images: np.ndarray
    depth: np.ndarray
    poses_bounds: np.ndarray


def bundled_views(name: str, height: int, width: int, num_views: int | None) -> Views:
    assert num_views is None
    images = np.full((NUM_VIEWS, height, width, 3), 255, np.uint8)
    return Views(images, np.ones(images.shape[:3], np.float32), make_poses_bounds())


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces ray tracing, which takes long; the tests check which scene is loaded."""
    monkeypatch.setattr(procedural, "NAMES", ("flower", "room", "bundled_only"))
    monkeypatch.setattr(
        procedural, "cached_views", lambda folder, name, **size: bundled_views(name, **size)
    )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NERF_DATA_DIR", "NERF_OFFLINE", "NERF_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Mirror(NamedTuple):
    """A served copy of the photographs of `flower`, and what the registry needs to find it."""

    folder: Path
    url: str
    rows: tuple[ManifestRow, ...]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    root = tmp_path / "served"
    folder = write_scene(root / "published" / "flower", shade=51)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    rows = tuple(
        ManifestRow(
            path.relative_to(root).as_posix(),
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in files
    )
    handler = functools.partial(QuietHandler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Mirror(folder, f"http://127.0.0.1:{server.server_port}", rows)
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere() -> str:
    """An address where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def forbidden_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a network attempt was made")

    monkeypatch.setattr(names.download, "download_scene", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def load(name: str, tmp_path: Path, mirror: Mirror, **settings: object) -> ResolvedScene:
    """With everything in its place: tests take one thing away."""
    places = {
        "data_dir": tmp_path / "photos",
        "cache_dir": tmp_path / "cache",
        "base_url": mirror.url,
        "rows": mirror.rows,
        "timeouts": QUICK,
    }
    return resolve_scene(name, **{**places, **settings})  # type: ignore[arg-type]


def refusal(name: str, tmp_path: Path, mirror: Mirror, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        load(name, tmp_path, mirror, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shade(resolved: ResolvedScene) -> int:
    """Tells the sources apart: 51 is the mirror's, 255 the bundled scene's."""
    return round(255 * float(resolved.scene.images.stack().mean()))


# Folders.


@pytest.mark.parametrize("spelling", ["{0}", "{0}/", "./garden", "garden", "llff:./garden"])
def test_a_folder_is_read_as_it_is(tmp_path: Path, mirror: Mirror, spelling: str) -> None:
    folder = write_scene(tmp_path / "garden", shade=7)
    found = load(spelling.format(folder), tmp_path, mirror)
    assert (found.scene.name, found.scene.source) == ("garden", "photographs")
    assert found.folder is not None
    assert found.folder.resolve() == folder
    assert shade(found) == 7
    assert found.notes == ()


@pytest.mark.parametrize("spelling", ["./flower", "none/flower", "llff:./flower"])
def test_a_folder_that_is_not_there_never_falls_back(
    tmp_path: Path, mirror: Mirror, spelling: str
) -> None:
    assert "is not a folder" in refusal(spelling, tmp_path, mirror)


# Names.


@pytest.mark.parametrize("name", ["flower", "llff:flower"])
@pytest.mark.usefixtures("forbidden_network")
def test_the_data_folder_comes_first(tmp_path: Path, mirror: Mirror, name: str) -> None:
    folder = write_scene(tmp_path / "photos" / "flower", shade=9)
    found = load(name, tmp_path, mirror)
    assert (found.scene.name, found.scene.source, found.folder) == (
        "flower",
        "photographs",
        folder,
    )
    assert shade(found) == 9


@pytest.mark.usefixtures("forbidden_network")
def test_the_data_folder_may_hold_scenes_of_any_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mirror: Mirror
) -> None:
    write_scene(tmp_path / "elsewhere" / "my_garden")
    monkeypatch.setenv("NERF_DATA_DIR", str(tmp_path / "elsewhere"))
    assert load("my_garden", tmp_path, mirror, data_dir=None).scene.name == "my_garden"


@pytest.mark.parametrize("name", ["flower", "llff:flower"])
def test_broken_data_is_an_error_and_never_replaced(
    tmp_path: Path, mirror: Mirror, name: str
) -> None:
    folder = write_scene(tmp_path / "photos" / "flower")
    (folder / "images_32" / "image001.png").unlink()
    assert "2 images" in refusal(name, tmp_path, mirror)


def test_a_download_is_used_again_without_the_network(
    tmp_path: Path, mirror: Mirror, nowhere: str
) -> None:
    first = load("flower", tmp_path, mirror)
    assert (first.scene.source, shade(first), first.notes) == ("photographs", 51, ())
    assert first.folder == tmp_path / "cache" / "llff" / "flower"
    for settings in ({"offline": True}, {"base_url": nowhere}):
        again = load("llff:flower", tmp_path, mirror, **settings)
        assert (again.folder, shade(again)) == (first.folder, 51)


def test_without_a_network_a_name_falls_back_and_says_so(
    tmp_path: Path, mirror: Mirror, nowhere: str
) -> None:
    found = load("flower", tmp_path, mirror, base_url=nowhere)
    assert (found.scene.name, found.scene.source, found.folder) == ("flower", "procedural", None)
    assert found.scene.images.stack().shape == (NUM_VIEWS, 94, 126, 3)
    assert shade(found) == 255
    (note,) = found.notes
    for fact in ("flower", str(tmp_path / "photos"), "cannot be reached", "procedural"):
        assert fact in note


@pytest.mark.parametrize("by_variable", [True, False])
@pytest.mark.usefixtures("forbidden_network")
def test_offline_makes_no_attempt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mirror: Mirror, by_variable: bool
) -> None:
    if by_variable:
        monkeypatch.setenv("NERF_OFFLINE", "1")
    found = load("flower", tmp_path, mirror, offline=not by_variable)
    assert found.scene.source == "procedural"
    assert "offline" in found.notes[0]


def test_nerf_offline_0_is_online(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mirror: Mirror
) -> None:
    monkeypatch.setenv("NERF_OFFLINE", "0")
    assert load("flower", tmp_path, mirror).scene.source == "photographs"


def test_the_strict_name_never_falls_back(tmp_path: Path, mirror: Mirror, nowhere: str) -> None:
    for settings in ({"offline": True}, {"base_url": nowhere}):
        message = refusal("llff:flower", tmp_path, mirror, **settings)
        for fact in ("photographs of flower", str(tmp_path / "photos"), "procedural:flower"):
            assert fact in message
    assert "bundled_only" in refusal("llff:bundled_only", tmp_path, mirror)


@pytest.mark.parametrize("name", ["flower", "llff:flower"])
@pytest.mark.parametrize("fault", ["wrong hash", "missing"])
def test_a_server_with_other_files_is_an_error_and_never_replaced(
    tmp_path: Path, mirror: Mirror, name: str, fault: str
) -> None:
    poses = mirror.folder / "poses_bounds.npy"
    if fault == "missing":
        poses.unlink()
    else:
        poses.write_bytes(b"something else")
    message = refusal(name, tmp_path, mirror)
    assert "poses_bounds.npy" in message
    assert ("procedural:flower" in message) == (name == "flower")


@pytest.mark.usefixtures("forbidden_network")
def test_the_bundled_scene_can_be_asked_for(tmp_path: Path, mirror: Mirror) -> None:
    write_scene(tmp_path / "photos" / "flower")
    found = load("procedural:flower@5x4", tmp_path, mirror)
    assert (found.scene.source, found.folder) == ("procedural", None)
    assert found.scene.images.stack().shape == (NUM_VIEWS, 4, 5, 3)
    # A depth of 1 where the nearest bound, which becomes 4/3, is 4.
    np.testing.assert_allclose(found.scene.depth, np.full((NUM_VIEWS, 4, 5), 1 / 3), rtol=1e-6)
    assert found.notes == ()


def test_a_scene_that_is_only_bundled_needs_no_network(
    tmp_path: Path, mirror: Mirror, nowhere: str
) -> None:
    found = load("bundled_only", tmp_path, mirror, base_url=nowhere)
    assert found.scene.source == "procedural"
    assert "bundled_only" in found.notes[0]


@pytest.mark.parametrize("name", ["fern", "blender:lego"])
def test_unknown_names_list_the_known_ones_and_the_place(
    tmp_path: Path, mirror: Mirror, name: str
) -> None:
    write_scene(tmp_path / "photos" / "my_garden")
    message = refusal(name, tmp_path, mirror)
    assert "bundled_only, flower, my_garden, room" in message
    assert str(tmp_path / "photos" / name) in message


def test_unknown_bundled_names_list_the_bundled_ones(tmp_path: Path, mirror: Mirror) -> None:
    assert "flower, room, bundled_only" in refusal("procedural:fern", tmp_path, mirror)


@pytest.mark.usefixtures("forbidden_network")
@pytest.mark.parametrize(
    ("name", "known_as", "shape"),
    [
        ("flower", "flower", (94, 126)),
        ("flower@126x94", "flower", (94, 126)),
        ("flower@7x5", "flower@7x5", (5, 7)),
        ("room@94X126", "room@94x126", (126, 94)),
    ],
)
def test_a_bundled_name_says_the_size_where_it_is_not_the_default(
    tmp_path: Path, mirror: Mirror, name: str, known_as: str, shape: tuple[int, int]
) -> None:
    scene = load(f"procedural:{name}", tmp_path, mirror).scene
    assert scene.name == known_as
    assert scene.images.stack().shape == (NUM_VIEWS, *shape, 3)
    assert (scene.cameras.height, scene.cameras.width) == shape
    assert scene.depth is not None
    assert scene.depth.shape == (NUM_VIEWS, *shape)
    folder = run_folder.default_name(scene.name, scene.source, "flax", "mlp")
    assert folder == f"{known_as}-procedural-flax-mlp"


BAD_SIZES = (
    "",
    "big",
    "7",
    "7x",
    "x5",
    "0x5",
    "7x0",
    "-7x5",
    "7x5x",
    "7x5x3x3",
    "7.5x5",
    "7x5 ",
    "4096x4096",
)


@pytest.mark.parametrize("size", BAD_SIZES)
def test_a_bad_size_is_refused_in_one_sentence(tmp_path: Path, mirror: Mirror, size: str) -> None:
    message = refusal(f"procedural:flower@{size}", tmp_path, mirror)
    assert message == (
        f"procedural:flower@{size} has no valid size: write WIDTHxHEIGHT, e.g. "
        "procedural:flower@252x188, with at most 4,194,304 pixels"
    )


def test_the_largest_size_is_accepted() -> None:
    assert bundled.parse_name("room@2048x2048") == ("room", 2048, 2048, None)


@pytest.mark.parametrize("num_views", [1, 1001])
def test_a_bad_number_of_views_is_refused_in_one_sentence(
    tmp_path: Path, mirror: Mirror, num_views: int
) -> None:
    message = refusal(f"procedural:flower@7x5x{num_views}", tmp_path, mirror)
    assert message == (
        f"procedural:flower@7x5x{num_views} has no valid number of views: write "
        "WIDTHxHEIGHTxVIEWS, e.g. procedural:flower@7x5x100, with 2 to 1,000 views"
    )


def test_the_pretrained_parameters_fit_the_scene_s_own_views_alone() -> None:
    own = names.pretrained_folder("flower", "procedural", None)
    assert own is not None
    assert names.pretrained_folder("flower@7x5", "procedural", None) == own
    assert names.pretrained_folder("flower@7x5x9", "procedural", None) is None


@pytest.mark.parametrize("prefix", ["", "llff:"])
def test_photographs_take_no_size(tmp_path: Path, mirror: Mirror, prefix: str) -> None:
    message = refusal(f"{prefix}flower@7x5", tmp_path, mirror)
    assert "procedural:flower@7x5" in message
    assert "`max_size`" in message
    write_scene(tmp_path / "photos" / "flower@7x5")  # unless that is what the folder is called
    assert load(f"{prefix}flower@7x5", tmp_path, mirror).scene.source == "photographs"


@pytest.mark.parametrize("name", ["", "llff:", "procedural:"])
def test_an_empty_name_is_refused(tmp_path: Path, mirror: Mirror, name: str) -> None:
    assert "names no scene" in refusal(name, tmp_path, mirror)


# Parameters.


def test_parameters_are_found_beside_the_photographs_or_in_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene_params = tmp_path / "flower" / "params"
    packaged = tmp_path / "assets" / "flower" / "params"
    monkeypatch.setattr(names, "_ASSETS", tmp_path / "assets")
    assert pretrained_folder("flower", "photographs", tmp_path / "flower") is None
    assert pretrained_folder("flower", "procedural", None) is None
    scene_params.mkdir(parents=True)
    packaged.mkdir(parents=True)
    assert pretrained_folder("flower", "photographs", tmp_path / "flower") == scene_params
    assert pretrained_folder("flower", "procedural", None) == packaged
    assert pretrained_folder("flower@252x188", "procedural", None) == packaged
    assert pretrained_folder("room", "procedural", None) is None
