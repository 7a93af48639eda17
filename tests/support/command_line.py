"""What the tests of the command line share: a tiny scene, and `main` called as a stranger would."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from nerf import inspect, main
from nerf.cli import modes
from nerf.runs import metrics, parameters

HEIGHT, WIDTH, NUM_VIEWS = 12, 16, 5
TINY_FIELD = (
    "--set=field.width=16",
    "--set=field.rgb_width=8",
    "--set=field.skip_layer=1",
    "--set=field.num_layers=3",
)
TINY_RENDERED = (*TINY_FIELD, "--set=render.num_coarse=8", "--set=render.num_fine=8")
TINY = (*TINY_RENDERED, "--set=train.num_rays=32")

SMALL_PLANES = (
    "--field=planes",
    "--set=train.num_rays=64",
    "--set=field.resolution=[8, 6, 4]",
    "--set=field.num_features=4",
    "--set=field.width=8",
    "--set=field.proposal.resolution=[6, 6, 8]",
)

# A field as smooth as the images, and samples enough for the exact renderer to show it.
SMOOTH_RENDERED = (
    *TINY_FIELD,
    "--set=field.point_encoding.num_frequencies=2",
    "--set=render.num_coarse=32",
    "--set=render.num_fine=64",
)
SMOOTH = (*SMOOTH_RENDERED, "--set=train.num_rays=32")

# Most of the time of these tests would go to the compiler, and a tiny field needs no fast code.
_FAST_COMPILATION = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


class CommandResult(NamedTuple):
    """How a run of the command line ended."""

    status: int
    out: str
    err: str


def write_scene(folder, num_views=NUM_VIEWS):
    """A smooth image seen by cameras in a row, in LLFF layout."""
    (folder / "images").mkdir(parents=True)
    v, u = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    rows = []
    for index in range(num_views):
        x = 0.1 * (index - (num_views - 1) / 2)
        pose = np.zeros((3, 5))
        pose[:, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]  # down, right, back
        pose[:, 3] = x, 0.05 * (index % 2), 0
        pose[:, 4] = HEIGHT, WIDTH, WIDTH
        rows.append([*pose.ravel(), 2.0, 8.0])
        rgb = np.stack([0.5 + 0.4 * np.sin(3 * u + x), 0.5 + 0.4 * np.cos(3 * v), u * v], axis=-1)
        image = Image.fromarray(np.round(rgb * 255).astype(np.uint8))
        image.save(folder / "images" / f"image{index:03d}.png")
    np.save(folder / "poses_bounds.npy", np.array(rows))
    return folder


def call(*arguments):
    """Runs `main` in this process, with flags that no call before has touched."""
    main.FLAGS.unparse_flags()
    return _run_to_exit(lambda: main.main(modes.parse_flags(["nerf", *map(str, arguments)])))


def _run_to_exit(run):
    """How a call ended that may exit; JAX's settings are afterwards as before."""
    precision = jax.config.jax_default_matmul_precision
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run()
        except SystemExit as end:
            status = end.code
        finally:
            jax.config.update("jax_default_matmul_precision", precision)
    return CommandResult(status, out.getvalue(), err.getvalue())


def call_benchmark(module, *arguments):
    """Runs a benchmark's `main` in this process, with flags that no call before has touched."""
    module.FLAGS.unparse_flags()
    return _run_to_exit(lambda: module.main(["benchmark", *map(str, arguments)]))


def call_command(module, parse, *arguments):
    """Runs a command beside `nerf.main` in this process; `parse` reads its flags."""
    module.FLAGS.unparse_flags()
    return _run_to_exit(lambda: module.main(parse([module.__name__, *map(str, arguments)])))


def call_inspect(*arguments):
    """Runs `nerf.inspect.main` in this process, with flags that no call before has touched."""
    main.FLAGS.unparse_flags()
    flags = ["nerf.inspect", *map(str, arguments)]
    return _run_to_exit(lambda: inspect.main(modes.parser_of("nerf.inspect")(flags)))


def call_tool(module, *arguments):
    """Runs the `main` of a module of tools in this process."""
    return _run_to_exit(lambda: module.main(list(map(str, arguments))))


def assert_is_one_sentence(ended, reason):
    """What a user's mistake ends with."""
    assert ended.status == 1
    assert re.fullmatch(r"error: \S.*\S\n", ended.err), ended.err
    assert reason in ended.err


def call_successfully(*arguments):
    """`call`, which must succeed; returns what it printed."""
    ended = call(*arguments)
    assert ended.status == 0, ended.err
    return ended.out


def start(*arguments, cwd, writes_cache=True):
    """Starts `python -m nerf.main` in a separate process.

    One that will be killed must not write to the tests' cache of compiled programs: it could leave
    half an entry.
    """
    return _start([sys.executable, "-m", "nerf.main", *map(str, arguments)], cwd, writes_cache)


def start_shell(command, cwd):
    """Starts a line of bash, which may limit the size of files."""
    return _start(["bash", "-c", command], cwd, writes_cache=False)


def _start(command, cwd, writes_cache):
    caching = {} if writes_cache else {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    root = Path(main.__file__).parents[1]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ
        | {"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
        | _FAST_COMPILATION
        | caching,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_process(*arguments, cwd):
    """Runs `python -m nerf.main` to its end."""
    return run_python("-m", "nerf.main", *arguments, cwd=cwd)


def run_python(*arguments, cwd):
    """Runs Python to its end."""
    process = _start([sys.executable, *map(str, arguments)], cwd, writes_cache=True)
    out, err = process.communicate(timeout=120)
    return CommandResult(process.returncode, out, err)


def contents(folder):
    """The bytes of every file in a folder, by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def train_flags(scene, backend, *more):
    return (
        "--mode=train",
        f"--backend={backend}",
        f"--scene={scene}",
        "--video_frames=2",
        "--steps=4",
        *TINY,
        *more,
    )


def scores(folder):
    return json.loads((folder / "eval.json").read_text())


def readings(folder):
    return metrics.read(folder)


def leaves(path, layout):
    params = parameters.load(path, layout).params
    return parameters.checksum(params), parameters.count(params)
