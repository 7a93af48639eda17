"""Laws of the warnings about the device: one where an accelerator is not used, else none."""

import os
import subprocess
import sys
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


# A platform that JAX does not have.


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("cuda", ["JAX_PLATFORMS=cuda names a device", "it has cpu", "pip install 'jax[cuda12]'"]),
        ("gpu", ["JAX_PLATFORMS=gpu names a device", "unset it", "pip install 'jax[cuda12]'"]),
        ("tpu", ["JAX_PLATFORMS=tpu names a device", "pip install 'jax[tpu]'"]),
        ("foo,cpu", ["JAX_PLATFORMS=foo,cpu names a device", "set it to cpu"]),
        ("CPU", ["lower case", "JAX_PLATFORMS=cpu"]),
        ("cpu,", ["separated by commas alone", "JAX_PLATFORMS=cpu"]),
        (" cpu", ["separated by commas alone", "JAX_PLATFORMS=cpu"]),
        (",", ["names a device", "set it to cpu"]),
    ],
)
def test_each_kind_of_wrong_platform_has_its_sentence(machine, chosen, words):
    machine()
    message = devices._platform_message(chosen, ["cpu"], "")
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_what_jax_says_of_a_plugin_that_does_not_start_is_passed_on(machine):
    machine(packages=["jax-cuda12-plugin", "libtpu"])
    message = devices._platform_message("cuda", ["cpu"], "no driver\nwas found")
    assert "jax-cuda12-plugin is installed" in message
    assert "no driver was found" in message
    assert "libtpu" not in message


@pytest.mark.parametrize("command", ["main", "inspect"])
def test_a_command_under_a_platform_that_is_not_there_ends_with_one_sentence(command, tmp_path):
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            f"nerf.{command}",
            *([str(tmp_path)] if command == "inspect" else []),
        ],
        env=os.environ | {"JAX_PLATFORMS": "rocm"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "JAX_PLATFORMS=rocm names a device that this JAX does not have" in ended.stderr
    assert "Traceback" not in ended.stderr
