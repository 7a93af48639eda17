"""The options of reading a capture are one list, which the library and the flags follow."""

import dataclasses
import inspect
import re

import pytest

import nerf
from nerf import main
from nerf.cli import modes, run
from nerf.cli.console import Console
from nerf.cli.options import capture_options
from nerf.errors import UserError
from nerf.scenes.options import DEFAULT, NAMES, UNUSED_BY_BUNDLED, CaptureOptions

CAPTURE = {
    "format": "colmap",
    "factor": 2,
    "max_size": 77,
    "space": "world",
    "near": 0.5,
    "far": 9.0,
    "background": "black",
    "alpha": "mask",
    "masks": "ignore",
    "up": "z",
    "image_memory": 0.25,
    "follow_links": True,
    "shard_images": "off",
}
GIVEN = CAPTURE | {"data_dir": "data", "offline": True, "download_url": None}


def parse(given, *more):
    main.FLAGS.unparse_flags()
    flags = [f"--{name}={value}".lower() for name, value in given.items() if value is not None]
    modes.parse_flags(["nerf", *more, *flags])


def test_the_parameters_of_the_library_and_the_flags_are_the_options():
    options = dataclasses.asdict(DEFAULT)
    parameters = inspect.signature(nerf.load_scene).parameters
    others = {"name", "data_dir", "offline", "download_url", "callback"}
    found = {name: given.default for name, given in parameters.items() if name not in others}
    assert found == options
    assert {name: main.FLAGS[name].default for name in NAMES} == options
    assert set(NAMES) <= set().union(*modes.USED_BY.values())


def documented(text, heading):
    """What a docstring says of each name below a heading; `near, far` is one entry."""
    section = text.partition(f"{heading}:\n")[2].partition("\n\n")[0]
    entries = re.findall(
        r"^ *(\w+(?:, \w+)*): (.*?)(?=^ *\w+(?:, \w+)*: |\Z)", section, re.M | re.S
    )
    return {names: " ".join(texts.split()) for names, texts in entries}


def test_an_option_and_the_parameter_are_documented_alike():
    options = documented(inspect.getdoc(CaptureOptions), "Attributes")
    assert set(", ".join(options).split(", ")) == set(NAMES)
    parameters = documented(inspect.getdoc(nerf.load_scene), "Args")
    assert {names: parameters.get(names) for names in options} == options


def test_every_flag_of_a_scene_is_given_to_the_library(monkeypatch):
    """A flag that is left out would do nothing, and nobody would say so."""
    assert {"name", "callback", *GIVEN} == set(inspect.signature(nerf.load_scene).parameters)
    received = {}
    monkeypatch.setattr(run, "load_scene", lambda name, **given: received.update(given))
    parse(GIVEN, "--scene=meadow")
    run.load_scene_of_flags(Console())
    assert {name: received[name] for name in GIVEN} == GIVEN
    assert capture_options() == CaptureOptions(**CAPTURE)


@pytest.mark.parametrize("name", UNUSED_BY_BUNDLED)
def test_an_option_that_bundled_scenes_do_not_use_is_refused(name):
    given = {name: CAPTURE[name]}
    with pytest.raises(UserError, match=f"the bundled scenes do not use `{name}`: leave it out"):
        nerf.load_scene("procedural:flower", **given)
    with pytest.raises(SystemExit):
        parse(given, "--scene=procedural:flower", "--mode=train")
