"""The machine that measures, as JAX and the operating system describe it."""

import os
import platform
import re
import sys
from typing import Any

import jax

import nerf
from nerf.runs import run_folder
from nerf.runtime import devices, parallel


def describe() -> dict[str, Any]:
    """Device, processor, cores, load and versions, for the file of results."""
    device = jax.devices()[0]
    return {
        "device": run_folder.device_name(),
        "platform": device.platform,
        "num_devices": jax.device_count(),
        "processor": processor(),
        "cores": parallel.usable_cores(),
        "load_average": load_average(),
        "versions": {"nerf": nerf.__version__, **run_folder.versions()},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def processor() -> str:
    """The CPU's model, or its architecture if the model is unknown."""
    text = "\n".join(devices.processor_info())
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()


def load_average() -> float | None:
    """Mean number of processes that were ready to run in the last minute; None if unknown."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def process_peak_bytes() -> int | None:
    """The most memory in bytes that this process has used so far; None if unknown."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def file_name(device: str, date: str) -> str:
    """The name of a file of results.

    >>> file_name("NVIDIA H200", "2030-01-31")
    'nvidia-h200-2030-01-31.json'
    """
    return f"{re.sub('[^a-z0-9]+', '-', device.lower()).strip('-')}-{date}.json"
