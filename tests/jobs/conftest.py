"""The scene that tests of jobs share."""

import pytest

import nerf


@pytest.fixture(scope="session")
def meadow(scene):
    """The tiny scene, loaded; tests do not change it."""
    return nerf.load_scene(scene)
