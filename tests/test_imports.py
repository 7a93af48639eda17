"""Which backend is loaded when: none by the package, and only the one that is asked for."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import nerf
from nerf.config import text as config_text
from nerf.config.presets import NOTEBOOK
from nerf.field import make_field
from nerf.runs import parameters
from nerf.runs.parameters import Header
from tests.conftest import BACKENDS
from tests.support.command_line import TINY, TINY_FIELD, TINY_RENDERED, write_scene
from tests.support.fields import other

pytestmark = pytest.mark.slow

PACKAGE = Path(nerf.__file__).parent
ROOT = PACKAGE.parent
MAY_NAME_A_BACKEND = {"field.py"}
LIBRARIES = {"haiku": "haiku", "flax": "flax.linen", "nnx": "flax.nnx"}  # by backend
IMPLEMENTATIONS = {
    (backend, name): f"nerf.backends.{backend}_{name}"
    for backend in BACKENDS
    for name in ("mlp", "planes")
}
ADAPTERS = {backend: f"nerf.backends.{backend}_functions" for backend in BACKENDS}


def run_python(code, *arguments, cwd):
    """Runs `code` in a process of its own; returns the last line that it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


WATCHED = ("haiku", "flax", "flax.linen", "flax.nnx", *IMPLEMENTATIONS.values())
LOADED = f"print('loaded:', *[name for name in {WATCHED} if name in sys.modules])"


@pytest.fixture(scope="module")
def loaded_by(tmp_path_factory):
    """What a process that uses one implementation may have loaded, which is the last.

    dm-haiku itself imports Flax where that is installed, for `haiku.experimental.flax`, and Flax's
    two interfaces may import each other; so they can be there, but nothing of ours uses them.
    """
    cwd = tmp_path_factory.mktemp("cwd")
    alone = {
        backend: run_python(f"import sys, {library}; {LOADED}", cwd=cwd)
        for backend, library in LIBRARIES.items()
    }
    assert "haiku" not in alone["flax"] + alone["nnx"]
    return {made: f"{alone[made[0]]} {module}" for made, module in IMPLEMENTATIONS.items()}


def modules():
    """The names of all modules of the package apart from those that import a library."""
    names = (
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
    )
    of_a_library = {*IMPLEMENTATIONS.values(), *ADAPTERS.values()}
    return [name for name in names if name not in of_a_library]


def test_importing_the_package_loads_no_backend(tmp_path):
    assert run_python(f"import sys, nerf; {LOADED}", cwd=tmp_path) == "loaded:"


def test_importing_every_other_module_loads_no_backend(tmp_path):
    assert {"nerf", "nerf.main", "nerf.backends.convert", "nerf.training.loop"} <= set(modules())
    assert run_python(f"import sys, {', '.join(modules())}; {LOADED}", cwd=tmp_path) == "loaded:"


@pytest.mark.parametrize("made", IMPLEMENTATIONS, ids="-".join)
def test_making_a_field_loads_its_implementation_alone(made, loaded_by, tmp_path):
    backend, name = made
    code = (
        "import sys; from nerf import field; from nerf.config import presets; "
        f"field.make_field({backend!r}, {name!r}, presets.preset_of({name!r}).field); {LOADED}"
    )
    assert run_python(code, cwd=tmp_path) == loaded_by[made]


# `python -m nerf.main`, then a look at what was loaded.
DRIVER = f"""
import runpy, sys
sys.argv[0] = "nerf.main"
try:
    runpy.run_module("nerf.main", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
{LOADED}
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scenes") / "meadow", num_views=3)


def write_parameters_of(backend, path):
    config = NOTEBOOK
    for flag in TINY_FIELD:
        config = config_text.override(config, flag.removeprefix("--set="))
    field = make_field(backend, "mlp", config.field)
    params = {"shared": jax.device_get(field.init(jax.random.key(0)))}
    if backend == "haiku":
        parameters.save_published(path, params, "mlp", backend)
        return path
    path = path.with_suffix(".safetensors")
    header = Header("mlp", backend, config, "meadow", "photographs", 0, "fresh")
    parameters.save(path, params, header)
    return path


@pytest.mark.parametrize("mode", ["evaluate", "train"])
def test_a_whole_run_on_one_backend_never_loads_another(backend, mode, scene, loaded_by, tmp_path):
    """Even where the parameters come from another one; train ends with evaluate."""
    start = write_parameters_of(other(backend), tmp_path / "start")
    flags = (f"--backend={backend}", f"--mode={mode}", f"--scene={scene}", "--video_frames=1")
    paths = (f"--init_from={start}", f"--run_dir={tmp_path / 'run'}")
    settings = ["--steps=1", *TINY] if mode == "train" else TINY_RENDERED
    last_line = run_python(DRIVER, *flags, *paths, *settings, cwd=tmp_path)
    assert last_line == loaded_by[backend, "mlp"]
    assert (tmp_path / "run" / "eval.json").is_file()
    assert (tmp_path / "run" / "checkpoints").is_dir() == (mode == "train")


# The text of the package.


def named_in(path):
    """What a module imports, every name in it, and every string but docstrings, lower case."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.name for alias in node.names)
            yield getattr(node, "module", None) or ""
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield str(node.value)


# Packages, whose versions a run records, and the distribution, by whose name its cache is called.
INSTALLED = {
    "export/marching.py": {
        "a mesh needs the packages scikit-image and trimesh: pip install 'nerf-haiku-flax[export]'"
    },
    "posing/process.py": {
        "finding poses needs the package pycolmap: pip install 'nerf-haiku-flax[colmap]'"
    },
    "runs/run_folder.py": {"flax", "dm-haiku"},
    "runtime/cache_dir.py": {"nerf-haiku-flax"},
    "viewer/server.py": {
        "the viewer needs the package viser: pip install 'nerf-haiku-flax[viewer]'"
    },
}


def test_no_module_but_the_registry_and_the_backends_names_a_backend():
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[0] == "backends" or str(relative) in MAY_NAME_A_BACKEND:
            continue
        names = [name for name in named_in(path) if any(word in name.lower() for word in BACKENDS)]
        assert set(names) == INSTALLED.get(str(relative), set()), relative


def test_only_the_implementations_import_their_library():
    importing = {
        str(path.relative_to(PACKAGE)): library
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [*(alias.name for alias in node.names), getattr(node, "module", None) or ""]
        for library in ("haiku", "flax")
        if name.split(".")[0] == library
    }
    assert importing == {
        f"backends/{backend}_{name}.py": LIBRARIES[backend].split(".")[0]
        for backend in BACKENDS
        for name in ("functions", "mlp", "planes")
    }
