"""Views of the bundled scenes are cached, and files of the cache are checked."""

import numpy as np
import pytest

from nerf.procedural import view_cache

pytestmark = pytest.mark.slow

SIZE = {"height": 4, "width": 6}


@pytest.fixture
def traced(tmp_path):
    return view_cache.cached_views(tmp_path, "flower", **SIZE)


@pytest.fixture
def no_tracing(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("traced again")

    monkeypatch.setattr(view_cache, "render_views", refuse)


def assert_same(some, others):
    for one, other in zip(some, others, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_views_are_traced_once(traced, tmp_path, no_tracing):
    assert_same(view_cache.cached_views(tmp_path, "flower", **SIZE), traced)


@pytest.mark.parametrize(
    "change", [{"height": 5}, {"width": 7}, {"name": "room"}, {"num_views": 9}]
)
def test_other_views_are_traced(traced, tmp_path, no_tracing, change):
    with pytest.raises(AssertionError, match="traced again"):
        view_cache.cached_views(tmp_path, **{"name": "flower", **SIZE, **change})


def test_other_code_traces_anew(traced, tmp_path, no_tracing, monkeypatch):
    monkeypatch.setattr(view_cache, "_version", lambda: "another")
    with pytest.raises(AssertionError, match="traced again"):
        view_cache.cached_views(tmp_path, "flower", **SIZE)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    path.write_bytes(data)


def exchange(path):
    np.savez(path, images=np.zeros((1, 2, 2, 3)), depth=np.zeros(1), poses_bounds=np.zeros(3))


def hide(path):
    np.savez(path, images=np.array([{}]), depth=np.zeros(1), poses_bounds=np.zeros(3))


@pytest.mark.parametrize("damage", [cut, flip, exchange, hide])
def test_a_damaged_file_is_traced_anew_and_replaced(traced, tmp_path, damage):
    (path,) = tmp_path.glob("*.npz")
    damage(path)
    assert_same(view_cache.cached_views(tmp_path, "flower", **SIZE), traced)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["images"], traced.images)


def test_a_folder_that_cannot_be_written_is_passed_over(traced, tmp_path):
    (tmp_path / "file").touch()
    assert_same(view_cache.cached_views(tmp_path / "file" / "deeper", "flower", **SIZE), traced)
