"""Laws of the warnings about the device: one where an accelerator is not used, else none."""

import types
from importlib import metadata

import jax
import pytest

from nerf.runtime import devices


@pytest.fixture
def machine(monkeypatch):
    """A function that gives the warnings on a machine with the given devices and packages."""

    def make(backend="cpu", packages=(), platforms="", gpu=False):
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        distributions = [types.SimpleNamespace(name=name) for name in ("jax", "numpy", *packages)]
        monkeypatch.setattr(metadata, "distributions", lambda: iter(distributions))
        monkeypatch.setattr(
            devices, "jax", types.SimpleNamespace(default_backend=lambda: backend, config=None)
        )
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
        monkeypatch.setattr(devices.os.path, "exists", lambda path: gpu and path == "/dev/nvidia0")
        monkeypatch.setattr(devices.shutil, "which", lambda name: None)
        return devices.notes()

    return make


PLUGINS = ["jax-cuda12-plugin", "jax_cuda13_plugin", "jax-rocm7-plugin", "libtpu", "jax-metal"]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_that_is_not_used_gives_a_warning(machine, plugin):
    (note,) = machine(packages=[plugin])
    assert note.startswith("!!! RUNNING ON THE CPU although")
    assert plugin in note
    assert "JAX_PLATFORMS" in note
    assert "\n" not in note


def test_a_gpu_without_a_plugin_gives_a_warning(machine):
    (note,) = machine(gpu=True)
    assert note.startswith("!!! RUNNING ON THE CPU although")
    assert "pip install 'jax[cuda12]'" in note


def test_a_machine_without_an_accelerator_gives_no_warning(machine):
    assert machine() == ()


@pytest.mark.parametrize("platforms", ["cuda,cpu", "cuda"])
def test_a_user_who_chose_the_gpu_first_is_warned(machine, platforms):
    assert len(machine(packages=PLUGINS, platforms=platforms)) == 1


@pytest.mark.parametrize("platforms", ["cpu", "cpu,cuda"])
def test_a_user_who_chose_the_cpu_is_not_warned(machine, platforms):
    assert machine(packages=PLUGINS, gpu=True, platforms=platforms) == ()


def test_a_gpu_that_is_used_gives_no_warning(machine):
    assert machine(backend="gpu", packages=PLUGINS, gpu=True) == ()
