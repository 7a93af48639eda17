"""The examples run: the notebooks and the script, on a small scene and for a few seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = {
    "procedural:flower": "procedural:flower@32x24",
    "seconds=60": "seconds=4",
    "size=(378, 282)": "size=(42, 31)",
}
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


@pytest.fixture
def environment(monkeypatch):
    """That of a user: promotion is not strict, and the package is that of this folder."""
    for name in [name for name in os.environ if name.startswith("JAX_NUMPY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # few steps need no fast code


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_shows_images(name, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    book = nbformat.read(EXAMPLES / name, as_version=4)
    for cell in book.cells:
        for text, short in SHORT.items():
            cell.source = cell.source.replace(text, short)
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    images = [output for output in outputs if "image/png" in output.get("data", {})]
    assert images
    assert not [output for output in outputs if output.output_type == "error"]


def test_the_notebooks_that_are_committed_show_what_they_made():
    nbformat = pytest.importorskip("nbformat")
    for name in NOTEBOOKS:
        cells = [
            cell
            for cell in nbformat.read(EXAMPLES / name, as_version=4).cells
            if cell.cell_type == "code"
        ]
        assert all(cell.execution_count for cell in cells)
        assert any("image/png" in out.get("data", {}) for cell in cells for out in cell.outputs)
        assert "nerf-haiku-flax" in cells[0].source  # in Colab, the first cell installs


INSTALL = """
import importlib.util, sys
from IPython.core.interactiveshell import InteractiveShell

importlib.util.find_spec = lambda name: None
shell = InteractiveShell()
shell.register_magic_function(print, magic_name="pip")
shell.run_cell(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("nerf_haiku_flax-1.0-py3-none-any.whl", "nerf_haiku_flax-1.0-py3-none-any.whl"),
        ("other.whl", "nerf-haiku-flax"),
    ],
)
def test_without_the_package_the_first_cell_installs_it(name, file, package, tmp_path, monkeypatch):
    """In Colab: the wheel that was uploaded, else what PyPI has."""
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("IPython")
    (tmp_path / file).touch()
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    cell = next(c for c in nbformat.read(EXAMPLES / name, 4).cells if c.cell_type == "code")
    install = "\n\n".join(cell.source.split("\n\n")[:2])  # imports, and what is done without
    printed = subprocess.run(
        [sys.executable, "-c", INSTALL, install],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == f"install --quiet {package}\n"


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_the_script_trains_scores_and_writes_everything(tmp_path):
    ended = subprocess.run(
        [
            *(sys.executable, str(EXAMPLES / "train_and_render.py"), "procedural:flower@32x24"),
            *("--seconds=4", "--frames=2", f"--out={tmp_path}"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "held-out views: PSNR" in ended.stdout
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"params.safetensors", "video.mp4", "view.png"}
