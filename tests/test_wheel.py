"""The distributions: what is in them, and that the wheel renders in a clean environment."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_SOURCES = {".git", ".venv", "build", "dist", "site", "runs", "demo", "data"}

pytestmark = pytest.mark.slow


def not_sources(folder, names):
    """What `copytree` leaves out: what the program or its tools made."""
    made = {name for name in names if name.endswith((".egg-info", "_cache", "__pycache__"))}
    return made | (NOT_SOURCES & set(names) if Path(folder) == ROOT else set())


def run(*command, cwd):
    """Runs a program, without this process's import path; returns what it printed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def make_environment(folder):
    """An environment with nothing in it; returns its Python."""
    venv.create(folder, with_pip=False)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def pip_install(python, *arguments):
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The source distribution, and the wheel that is built from it."""
    tmp_path = tmp_path_factory.mktemp("dist")
    builder = make_environment(tmp_path / "builder")
    with (ROOT / "pyproject.toml").open("rb") as file:
        requires = tomllib.load(file)["build-system"]["requires"]
    installed = pip_install(builder, "--retries=0", "--timeout=5", "build", *requires)
    if installed.returncode != 0:
        pytest.skip(f"pip cannot install the build tools: {installed.stderr.splitlines()[-1]}")
    sources = shutil.copytree(ROOT, tmp_path / "sources", ignore=not_sources)
    run(builder, "-m", "build", "--no-isolation", f"--outdir={tmp_path}", cwd=sources)
    (sdist,), (wheel,) = tmp_path.glob("*.tar.gz"), tmp_path.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def programs(distributions, tmp_path_factory):
    """The folder of the console scripts of the installed wheel, whose dependencies are ours."""
    folder = tmp_path_factory.mktemp("clean")
    python = make_environment(folder)
    installed = pip_install(python, "--no-deps", "--no-index", distributions[1])
    assert installed.returncode == 0, installed.stderr
    purelib = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    )
    # The .pth files of a folder that a .pth file names are ignored, and so is our editable install.
    Path(purelib.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    where = run(python, "-c", "import nerf; print(nerf.__file__)", cwd=folder)
    assert Path(where.strip()).is_relative_to(folder)
    return python.parent


def test_the_wheel_holds_the_package_and_its_data_alone(distributions):
    names = zipfile.ZipFile(distributions[1]).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"nerf", "nerf_haiku_flax"}
    expected = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "nerf").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert sorted(name for name in names if name.startswith("nerf/")) == sorted(expected)
    assert {"nerf/py.typed", "nerf/scenes/manifest.tsv"} < set(expected)


def test_the_source_distribution_can_be_tested_and_documented(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        *("README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md"),
        *("Makefile", "constraints-oldest.txt", "mkdocs.yml", ".ci/run", "tools/__init__.py"),
        *("docs/index.md", "docs/flower.png", "benchmarks/README.md"),
        *("tests/test_wheel.py", "tests/data/version_0_1_0/README.md"),
    } <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_program_renders_the_bundled_flower(programs, tmp_path):
    """And scores it: the pretrained parameters of the wheel are those of the scene."""
    flags = ["--backend=haiku", "--scene=procedural:flower@32x24", "--video_frames=0"]
    out = run(programs / "nerf", *flags, "--renderer=exact", cwd=tmp_path)
    assert "source: procedural" in out
    (scores,) = tmp_path.glob("runs/*/eval.json")
    assert json.loads(scores.read_text())["psnr"] > 20


@pytest.mark.parametrize("name", ["nerf", "nerf-inspect", "nerf-pose"])
def test_a_console_script_has_the_help_of_its_module(programs, name, tmp_path):
    module = {"nerf": "nerf.main", "nerf-inspect": "nerf.inspect", "nerf-pose": "nerf.pose"}[name]
    shown = run(programs / name, "--help", cwd=tmp_path)
    of_module = run(programs / "python", "-m", module, "--help", cwd=tmp_path)
    assert "--out" in shown
    lines = [text.splitlines() for text in (shown, of_module)]
    assert [line for line in lines[0] if line != f"{module}:"] == [
        line for line in lines[1] if not line.endswith(f"{module.replace('.', os.sep)}.py:")
    ]
