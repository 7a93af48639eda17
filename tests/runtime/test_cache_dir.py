"""The user's folders: a home that is missing or cannot be written is a sentence or a note."""

from pathlib import Path

import jax
import pytest

from nerf.errors import UserError
from nerf.runtime import compile_cache
from nerf.runtime.cache_dir import default_cache_dir, unwritable, with_home


def test_a_cache_that_cannot_be_written_is_a_note_and_nothing_is_cached(monkeypatch, tmp_path):
    (tmp_path / "home").write_text("a file, not a folder")
    monkeypatch.setenv("NERF_CACHE_DIR", str(tmp_path / "home" / "cache"))
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        note = compile_cache.enable()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    assert note is not None
    assert f"{tmp_path / 'home' / 'cache'} cannot be written (Not a directory)" in note
    assert "NERF_CACHE_DIR" in note


def test_a_missing_folder_is_made(tmp_path):
    assert unwritable(tmp_path / "a" / "b") is None
    assert (tmp_path / "a" / "b").is_dir()


def test_an_unknown_home_is_a_sentence(monkeypatch):
    with pytest.raises(UserError, match="the home folder in ~no-such-user/x is not known"):
        with_home("~no-such-user/x")
    monkeypatch.setenv("NERF_CACHE_DIR", "~no-such-user/x")
    with pytest.raises(UserError, match="not known"):
        default_cache_dir()
    monkeypatch.delenv("NERF_CACHE_DIR")
    monkeypatch.setattr("pooch.os_cache", lambda name: Path("~") / name)
    with pytest.raises(UserError, match="set NERF_CACHE_DIR"):
        default_cache_dir()
