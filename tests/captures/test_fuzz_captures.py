"""Every broken capture gives one sentence; tools/fuzz_captures.py tries many more of them."""

import os
import subprocess
import sys

import pytest

from tools import capture_seeds, fuzz_captures

pytestmark = pytest.mark.slow


def test_whatever_is_broken_is_refused_in_one_sentence():
    """In a process of its own, which is watched for the files that it opens."""
    command = [sys.executable, "-m", "tools.fuzz_captures", "--num=1500", "--seed=7"]
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}  # whose files it opens
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" in done.stdout
    assert "scene" in done.stdout


def test_seeds_are_captures_in_every_format(tmp_path):
    """Else all would be refused, and nothing tried."""
    from nerf.captures.formats import FORMATS
    from nerf.scenes.loading import load_folder

    seeds = capture_seeds.make_seeds(tmp_path / "seeds")
    formats = []
    for number, files in enumerate(seeds):
        fuzz_captures.write(tmp_path / str(number), files, fuzz_captures.Links())
        formats.append(load_folder(tmp_path / str(number)).capture.format)
    assert set(formats) == set(FORMATS)


def test_an_input_follows_from_its_number(tmp_path):
    import numpy as np

    seed = capture_seeds.make_seeds(tmp_path / "seeds")[0]
    one, again, other = (
        fuzz_captures.break_files(np.random.default_rng([0, number]), seed) for number in (3, 3, 4)
    )
    assert one == again
    assert one != other


def test_anything_but_a_sentence_is_a_fault(tmp_path, monkeypatch):
    guard = fuzz_captures._Guard([tmp_path])

    def fails(folder, options, *, cache_dir):
        raise KeyError("frames")

    def tells_nothing(folder, options, *, cache_dir):
        from nerf.errors import UserError

        raise UserError("")

    def opens_another(folder, options, *, cache_dir):
        from nerf.errors import UserError

        with open(__file__):
            raise UserError("one")

    for function, expected in ((fails, "KeyError"), (tells_nothing, "not one clear sentence"),
                           (opens_another, "opened")):  # fmt: skip
        monkeypatch.setattr(fuzz_captures, "load_folder", function)
        outcome = fuzz_captures.try_one(tmp_path, tmp_path, guard)
        assert outcome.startswith("FAULT")
        assert expected in outcome
