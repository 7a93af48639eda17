"""Compiled programs are kept, for this kind of processor, where the user's caches are."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from nerf.runtime import compile_cache

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """A cache of the test's own; JAX forgets it afterwards."""
    monkeypatch.setenv("NERF_CACHE_DIR", str(tmp_path))
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_cache_lies_in_the_users_cache_folder(tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    compile_cache.enable()
    assert jax.config.jax_compilation_cache_dir == str(compile_cache.folder())
    assert compile_cache.folder().is_relative_to(tmp_path)


def test_a_chosen_folder_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    compile_cache.enable()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")


def test_another_processor_has_another_folder(monkeypatch):
    here = compile_cache.folder()
    assert compile_cache.folder() == here
    monkeypatch.setattr(compile_cache, "_processor_features", lambda: "flags: other")
    assert compile_cache.folder() != here


def test_the_second_start_finds_what_the_first_has_compiled(tmp_path):
    code = (
        "import jax; from nerf.runtime import compile_cache; compile_cache.enable();"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0);"
        "jax.jit(lambda x: x * 3 + 1)(2.0)"
    )
    environment = {**os.environ, "JAX_LOGGING_LEVEL": "DEBUG", "PYTHONPATH": str(REPOSITORY)}
    del environment["JAX_COMPILATION_CACHE_DIR"]  # that of the tests
    errors = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stderr
        for _ in range(2)
    ]
    assert [child.name for child in tmp_path.iterdir()] == ["compiled"]
    assert ["cache hit" in error for error in errors] == [False, True]
