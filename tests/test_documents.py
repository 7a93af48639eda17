"""What the documents say of the code is true: commands, flags, settings, paths, names.

tests/captures/test_advice.py is about the messages that docs/captures.md explains.
"""

import ast
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import nerf
from nerf import main
from nerf.cli import modes, options
from nerf.config import presets, text
from nerf.errors import UserError

ROOT = Path(nerf.__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
# Lines of code that are for other programs.
OTHER_PROGRAMS = (
    *("colmap ", "ffmpeg ", "pip ", "mkdir ", "    --ImageReader", "make "),
    *("sbatch ", "srun ", "mpirun ", "kubectl ", "#SBATCH "),
)

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


def code_in(path):
    """Each piece of code of a page, on one line: blocks of code, and code within sentences."""
    content = re.sub(r"\\\n\s+", " ", path.read_text(encoding="utf-8"))
    blocks = re.findall(r"^ {4,}(\S.*)$", content, re.MULTILINE)
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", content, flags=re.S | re.M))
    return [" ".join(re.sub(r"(^|\s)#.*$", "", line).split()) for line in (*blocks, *inline)]


def commands_in(path):
    """Each `python -m MODULE ...` of a page as its module and its arguments."""
    for line in code_in(path):
        if match := re.match(
            r"(?:\S*/)?python -m ((?:nerf|benchmarks|tools|tests)\.\S+)(.*)", line
        ):
            yield match[1], shlex.split(match[2])


def defined_flags(module_name):
    """The names of a program's flags, whether absl or argparse reads them."""
    module = importlib.import_module(module_name)
    if hasattr(module, "FLAGS"):
        return set(module.FLAGS)
    return set(re.findall(r'"--(\w+)"', Path(module.__file__).read_text(encoding="utf-8")))


def programs():
    return [
        "nerf.main",
        "nerf.inspect",
        "nerf.compare",
        "nerf.pose",
        "nerf.view",
        "tests.support.kill_harness",
        *(f"benchmarks.{m.name}" for m in pkgutil.iter_modules([ROOT / "benchmarks"])),
        *(f"tools.{m.name}" for m in pkgutil.iter_modules([ROOT / "tools"])),
    ]


@page
def test_every_flag_of_a_command_is_one_of_its_program(page):
    for module, arguments in commands_in(page):
        names = [a[2:].partition("=")[0] for a in arguments if a.startswith("--")]
        known = defined_flags(module)
        unknown = [name for name in names if name not in known and name[2:] not in known]
        assert not unknown, f"{module} has no flag {unknown}"


@page
def test_every_command_of_the_program_has_values_that_are_accepted(page):
    for module, arguments in commands_in(page):
        if module == "nerf.main" and "|" not in str(arguments):
            main.FLAGS.unparse_flags()
            modes.parse_flags(["nerf", *arguments])
            options.check_names()


@page
def test_every_flag_exists(page):
    known = {"help", "flagfile", "cov"}.union(*map(defined_flags, programs()))
    for line in code_in(page):
        if not line.startswith(OTHER_PROGRAMS):
            names = re.findall(r"(?<![\w-])--(?:no(?=[a-z]))?(\w+)", line)
            whole = re.findall(r"(?<![\w-])--(\w+)", line)
            assert {w for n, w in zip(names, whole, strict=True) if not {n, w} & known} == set()


def is_setting(name, value):
    for preset in presets.PRESETS:
        try:
            text.override(presets.preset(preset), f"{name}={value}")
        except UserError:
            continue
        return True
    return False


@page
def test_every_setting_exists(page):
    for line in code_in(page):
        for name, value in re.findall(r"--set=([\w.]+)=([\w.-]+)", line):
            if name != "part.field":
                assert is_setting(name, value), f"{name}={value}"


@page
def test_every_path_exists(page):
    for code in code_in(page):
        if re.fullmatch(r"(nerf|tests|benchmarks|docs|tools|examples)/[\w./-]*", code):
            assert (ROOT / code).exists(), code
        if re.fullmatch(r"[\w-]+-\d{4}-\d\d-\d\d\.json", code):
            assert (ROOT / "benchmarks" / "results" / code).exists(), code


FULL_NAME = re.compile(r"nerf(\.\w+)+")


def exists(name):
    """Whether a module, a member of one, or a field of a class has this full name."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        owner, _, field = name.rpartition(".")
        return field in getattr(pkgutil.resolve_name(owner), "__annotations__", {})
    return True


@page
def test_every_full_name_exists(page):
    names = [code for code in code_in(page) if FULL_NAME.fullmatch(code)]
    assert [name for name in names if not exists(name)] == []


def test_every_full_name_in_a_docstring_exists():
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    for path in (ROOT / "nerf").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        docstrings = [ast.get_docstring(n) or "" for n in nodes if isinstance(n, documented)]
        names = re.findall(r"(?<!`)`(nerf\.[\w.]+)`", "\n".join(docstrings))
        assert [name for name in names if not exists(name)] == [], path


def test_every_package_has_a_page_in_the_api_reference():
    shown = {
        name
        for path in (ROOT / "docs" / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)", path.read_text(encoding="utf-8"), re.M)
    }
    packages = {
        f"nerf.{path.name}".removesuffix(".py").removesuffix(".__init__")
        for path in (ROOT / "nerf").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert packages | {"nerf"} <= shown
    assert all(map(exists, shown))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_citation_names_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall("^version: (.*)$", citation, re.M) == [nerf.__version__]
