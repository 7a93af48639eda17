"""Laws of atomic writes: a file is the old one or the new one, and no partial file stays."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nerf.runtime import atomic
from tests.support.full_disk import full_disk


def write_half(path):
    """Writes half a file, then fails."""
    with atomic.replacing(path) as partial:
        partial.write_text("ne")
        raise ZeroDivisionError


def interrupt(path):
    with atomic.replacing(path) as partial:
        partial.write_text("ne")
        raise KeyboardInterrupt


def write_nothing(path):
    with atomic.replacing(path):
        raise ZeroDivisionError


def fill_disk(path):
    with full_disk(64):
        atomic.write_bytes(path, b"new" * 100)


FAILURES = [
    (write_half, ZeroDivisionError),
    (interrupt, KeyboardInterrupt),
    (write_nothing, ZeroDivisionError),
    (fill_disk, OSError),
]


@pytest.mark.parametrize("old", ["old", None])
@pytest.mark.parametrize(("fail", "error"), FAILURES)
def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path, fail, error, old):
    path = tmp_path / "file.json"
    if old is not None:
        path.write_text(old)
    with pytest.raises(error):
        fail(path)
    assert [file.name for file in tmp_path.iterdir()] == ([path.name] if old else [])
    assert old is None or path.read_text() == old


@pytest.mark.parametrize("old", ["old", None])
def test_a_write_replaces_the_whole_file_and_leaves_no_other(tmp_path, old):
    path = tmp_path / "file.json"
    if old is not None:
        path.write_text(old * 100)
    atomic.write_text(path, "ä new one\n")
    assert path.read_bytes() == "ä new one\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_can_be_read_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")
    with atomic.replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.parent == path.parent
        assert partial.suffix == path.suffix  # encoders choose the format by it
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("missing/file", lambda path: None, "No such file"),
        ("folder", lambda path: (path / "inside").mkdir(parents=True), "directory"),
    ],
)
def test_an_error_names_the_file_and_leaves_nothing(tmp_path, name, make, reason):
    path = tmp_path / name
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match=reason) as caught:
        atomic.write_text(path, "new")
    assert caught.value.filename == str(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_error_of_another_file_keeps_its_name(tmp_path):
    other = tmp_path / "other"
    with pytest.raises(FileNotFoundError) as caught, atomic.replacing(tmp_path / "file"):
        other.read_text()
    assert caught.value.filename == str(other)


def test_processes_that_share_a_file_do_not_share_the_partial_file(tmp_path):
    path = tmp_path / "file.npz"
    script = (
        "import sys, pathlib; from nerf.runtime import atomic\n"
        "with atomic.replacing(pathlib.Path(sys.argv[1]), shared=True) as partial:\n"
        "    print(partial.name)"
        "; partial.touch()"
    )
    with atomic.replacing(path, shared=True) as partial:
        partial.write_text("this process")
        command = [sys.executable, "-c", script, str(path)]
        other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        assert other != partial.name
        assert path.read_text() == ""
    assert path.read_text() == "this process"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_the_old_file_and_the_next_write_cleans_up(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")
    script = (
        "import os, sys, pathlib, signal; from nerf.runtime import atomic\n"
        "with atomic.replacing(pathlib.Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('ne'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    atomic.write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_else_replaces_files():
    root = Path(atomic.__file__).parents[2]
    sources = [
        path for part in ("nerf", "benchmarks", "tools") for path in root.glob(f"{part}/**/*.py")
    ]
    assert len(sources) > 100
    others = [
        str(path.relative_to(root))
        for path in sources
        if re.search(r"os\.replace|\.partial['\"{]", path.read_text(encoding="utf-8"))
    ]
    assert others == ["nerf/runtime/atomic.py"]
