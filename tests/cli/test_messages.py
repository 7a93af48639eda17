"""The library names parameters; the command line shows its users flags."""

import ast
import functools
import re
from pathlib import Path

import pytest
from absl import flags

import nerf
import nerf.pose  # whose flags are in the table as well
from nerf import main
from nerf.cli.messages import FLAG_OF, as_flags
from nerf.config import text
from nerf.config.presets import NOTEBOOK
from nerf.errors import UserError
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import write_nerfstudio

PACKAGE = Path(nerf.__file__).parent
OF_THE_COMMAND_LINE = ("cli", "main.py", "inspect.py", "pose.py", "compare.py", "view.py")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("give `near` and `far`", "give --near and --far"),
        ("`near=0.5` is not", "--near=0.5 is not"),
        ('`space="ndc"` is not possible', "--space=ndc is not possible"),
        ("`space='ndc'`", "--space=ndc"),
        ("`init_from=/a b/run`: no", "--init_from=/a b/run: no"),
        ("`resume=False` begins anew", "--noresume begins anew"),
        ("`tensorboard=True` needs", "--tensorboard needs"),
        ("`offline` or NERF_OFFLINE", "--offline or NERF_OFFLINE"),
        ("train with `nerf.train`", "train with --mode=train"),
        ("`num_frames=0`", "--video_frames=0"),
        ("`train.clip_norm=1`", "--set=train.clip_norm=1"),
        ("`field.density_activation=softplus`", "--set=field.density_activation=softplus"),
        ("a smaller `train.learning_rate`", "a smaller --lr"),
        ("`assignments=nonsense`: write", "--set=nonsense: write"),
        ("`assignments=train.clip_norm=x`: no", "--set=train.clip_norm=x: no"),
    ],
)
def test_parameters_become_flags(message, shown):
    assert as_flags(message) == shown


@pytest.mark.parametrize(
    "message",
    [
        "no parameter at all",
        "`nothing` that a flag sets",
        "`nothing=3`",
        "a setting `train.clip_norm` without a value",
        "pip install 'jax[cuda12]'",
        "`pip install tensorboardX`",
        "an odd ` in a name, near the end",
        "no image /scan/view`near`1.png, `near`.png or a`near`: copy it",
        "``",
    ],
)
def test_everything_else_stays_as_it_is(message):
    assert as_flags(message) == message


def test_only_the_flags_of_the_running_program_are_shown():
    defined = flags.FlagValues()
    flags.DEFINE_integer("seconds", 1, "a benchmark's own", flag_values=defined)
    message = "give `seconds` and `near`, or `train.clip_norm=1`"
    assert as_flags(message, defined) == "give --seconds and `near`, or `train.clip_norm=1`"


def test_every_flag_of_the_table_exists():
    assert {flag.partition("=")[0] for flag in FLAG_OF.values()} <= set(main.FLAGS)


@pytest.mark.parametrize(
    ("fail", "parameter", "flag"),
    [
        (
            lambda folder: load_folder(folder, CaptureOptions(space="ndc")),
            '`space="ndc"` is not possible',
            "--space=ndc is not possible",
        ),
        (
            lambda _: text.override(NOTEBOOK, "render.nonsense=1"),
            "`render.nonsense=1`: ",
            "--set=render.nonsense=1: ",
        ),
    ],
)
def test_an_error_of_the_library_names_the_parameter(fail, parameter, flag, tmp_path):
    with pytest.raises(UserError) as caught:
        fail(write_nerfstudio(tmp_path))
    assert parameter in str(caught.value)
    assert flag in as_flags(str(caught.value))


# The text of the library.


def library_modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in OF_THE_COMMAND_LINE:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def strings(tree):
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def messages(tree):
    """The strings of a module but its docstrings; parts of f-strings are put together with {}."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@functools.cache
def parameters():
    """Every name of an argument or of a dataclass's field in the package."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


def test_no_string_of_the_library_names_a_flag():
    for path, tree in library_modules():
        named = [
            string for string in strings(tree) if re.search(r"(?<![{:])--[a-z]", string)
        ]  # not of CSS
        assert not named, f"{path}: name the parameter in backticks, see nerf/cli/messages.py"


def test_what_a_message_of_the_library_names_in_backticks_exists():
    found = set()
    for path, tree in library_modules():
        for message in messages(tree):
            for name in re.findall(r"`([a-z_][\w.]*)(?:=[^`]*)?`", message):
                leaf = name.rpartition(".")[2]
                known = (
                    leaf in parameters()
                    or leaf in main.FLAGS
                    or name.removeprefix("nerf.") in nerf.__all__
                )
                assert known, f"{path} names {name}, which is no parameter, setting or flag"
                found.add(name)
    assert {"near", "far", "run_dir", "resume", "train.clip_norm"} <= found
