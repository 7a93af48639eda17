"""Which package imports which: the way of the data, and no way back."""

import ast
from pathlib import Path

import pytest

import nerf

PACKAGE = Path(nerf.__file__).parent
COMMANDS = {"main", "inspect", "pose", "view", "compare"}

# What each package must not import, with the reason in CONTRIBUTING's map of the code.
ABOVE_FIELDS = {"render", "training", "runs", "output", "jobs", "cli", "captures", "scenes"}
FORBIDDEN = {
    "config": ABOVE_FIELDS | {"geometry"},
    "corrections": ABOVE_FIELDS | {"backends", "field"},
    "geometry": ABOVE_FIELDS | {"backends", "field"},
    "captures": {
        "scenes",
        "backends",
        "render",
        "training",
        "runs",
        "output",
        "jobs",
        "cli",
        "posing",
    },
    "posing": {"scenes", "backends", "render", "training", "runs", "output", "jobs", "cli"},
    "scenes": {"backends", "render", "training", "runs", "output", "jobs", "cli"},
    "procedural": {"captures", "scenes", *ABOVE_FIELDS, "backends"},
    "backends": ABOVE_FIELDS,
    "render": {"captures", "scenes", "training", "runs", "output", "jobs", "cli", "backends"},
    "export": ABOVE_FIELDS | {"backends"},
    "training": {"captures", "scenes", "runs", "output", "jobs", "cli", "backends"},
    "runs": {"captures", "jobs", "cli"},
    "output": {"captures", "scenes", "training", "runs", "jobs", "cli", "backends", "render"},
    "runtime": {path.stem for path in PACKAGE.iterdir()} - {"errors", "runtime"},
    "jobs": {"cli", "viewer"},
    "viewer": {"cli"},
    "field": ABOVE_FIELDS,
    "encoding": ABOVE_FIELDS,
    "errors": {path.stem for path in PACKAGE.iterdir()} - {"errors"},
    "cli": COMMANDS,
}


def imports_of(package):
    """The parts of the project that the modules of a package import, with where they do."""
    paths = [PACKAGE / f"{package}.py", *sorted((PACKAGE / package).rglob("*.py"))]
    for path in paths:
        if path.is_file():
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                elif isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                for name in names:
                    parts = name.split(".")
                    if parts[0] == "nerf" and len(parts) > 1:
                        yield parts[1], f"{path.relative_to(PACKAGE)}:{node.lineno}"


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_a_package_imports_nothing_that_comes_after_it(package):
    found = [where for part, where in imports_of(package) if part in FORBIDDEN[package]]
    assert found == []


def test_every_package_has_its_rule():
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__pycache__", "assets", "__init__"} - COMMANDS == set(FORBIDDEN)
