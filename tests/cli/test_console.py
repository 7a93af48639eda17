"""What is printed: every name, whatever the encoding of the terminal or file lacks."""

import io
import os
import subprocess
import sys

import pytest

from nerf.cli.console import print_anything
from tests.support.captures import write_images, write_nerfstudio

NAMES = ("caf\udce9.png", "写真.png", "a\nb.png", "🙂.png")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_names_that_cannot_be_encoded_are_escaped(monkeypatch, encoding):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    print_anything()
    for stream in streams:
        print(*NAMES, file=stream, flush=True)
        assert b"caf\\udce9.png" in stream.buffer.getvalue()


def test_a_stream_of_another_program_stays(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    print_anything()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii:strict", "cp1252", "utf-8:strict"])
@pytest.mark.parametrize("module", ["nerf.inspect", "nerf.main"])
def test_commands_print_every_name(tmp_path, encoding, module):
    folder = write_nerfstudio(tmp_path / "scène_写_\udce9$x$")
    write_images(folder, [f"images/{name}" for name in NAMES])
    arguments = {
        "nerf.inspect": [folder, f"--plot={tmp_path / 'plot.png'}"],
        "nerf.main": [f"--scene={folder}", "--init_from=pretrained"],  # there is none
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments[module]],
        env={**os.environ, "PYTHONIOENCODING": encoding, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert b"Traceback" not in done.stderr, done.stderr
    assert done.returncode == (module == "nerf.main")
    assert b"4 images have no pose and are not used: " in done.stdout
    assert b"caf\\udce9.png" in done.stdout
    assert b"a\\nb.png" in done.stdout
