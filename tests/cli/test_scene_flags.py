"""Every flag that says how a scene is read reaches `nerf.load_scene`."""

import inspect

import nerf
from nerf import main
from nerf.cli import modes, run
from nerf.cli.console import Console

GIVEN = {
    "data_dir": "data",
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
    "shard_images": "off",
    "follow_links": True,
    "offline": True,
    "download_url": None,
}


def test_every_flag_of_a_scene_is_given_to_the_library(monkeypatch):
    """A flag that is left out would do nothing, and nobody would say so."""
    assert {"name", "callback", *GIVEN} == set(inspect.signature(nerf.load_scene).parameters)
    received = {}
    monkeypatch.setattr(run, "load_scene", lambda name, **given: received.update(given))
    main.FLAGS.unparse_flags()
    flags = [f"--{name}={value}".lower() for name, value in GIVEN.items() if value is not None]
    modes.parse_flags(["nerf", "--scene=meadow", *flags])
    run.load_scene_of_flags(Console())
    assert {name: received[name] for name in GIVEN} == GIVEN
