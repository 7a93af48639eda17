"""Checks that all processes of a job have the same code, settings and images."""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import nerf
from nerf.errors import UserError, listed
from nerf.runs import run_folder
from nerf.runtime import exchange, processes
from nerf.scenes.scene import Scene

_DIGITS = 12  # of a digest, in messages


def check_processes_agree(record: Mapping[str, Any], scene: Scene | None = None) -> None:
    """Compares this process with the others; all call it.

    Args:
      record: what `config.json` would hold.
      scene: with its images; None compares none.

    Raises:
      UserError: in all processes, with what differs in which.
    """
    if processes.count() == 1:
        return
    facts = {**_code(), **_flat("", record), **({} if scene is None else image_facts(scene))}
    combined = _digest(json.dumps(facts, sort_keys=True, default=str).encode())
    if len(set(exchange.gather_texts(combined))) == 1:
        return
    everyones = [json.loads(text) for text in exchange.gather_texts(json.dumps(facts, default=str))]
    first = everyones[0]
    for number, facts in enumerate(everyones):
        names = [n for n in dict.fromkeys([*first, *facts]) if first.get(n) != facts.get(n)]
        if names:
            texts = [f"{n} is {facts.get(n)!r}, and {first.get(n)!r} in process 0" for n in names]
            raise UserError(
                f"process {number} differs from process 0: {listed(texts)}; give all processes the "
                "same code, settings and images"
            )


def image_facts(scene: Scene) -> dict[str, str]:
    """The size of each view, a digest of its pixels as they are trained on, and one of the cameras.

    Images that are not read yet, since each process reads its own, have no digest.
    """
    images = scene.images
    facts = {"number of images": str(len(images)), "cameras": _digest(*_arrays(scene.cameras))}
    if images.mask is not None:
        facts["masks"] = _digest(*_arrays((images.mask.starts, images.mask.ends)))
    if scene.depth_samples is not None:
        facts["known depths"] = _digest(*_arrays(vars(scene.depth_samples)))
    facts["images"] = "all are read" if images.read is None else "each process reads its own"
    sizes = zip(images.heights, images.widths, images.offsets, scene.image_names, strict=True)
    for height, width, offset, name in sizes:
        facts[f"image {name}"] = f"{width}x{height}"
        if images.read is None:
            pixels = images.pixels[offset : offset + height * width]
            facts[f"image {name}"] += f", digest {_digest(pixels.tobytes())}"
    return facts


def _arrays(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@functools.cache
def _code_digest() -> str:
    """The digest of all source files of the package."""
    folder = Path(nerf.__file__).parent
    parts = [
        part
        for path in sorted(folder.rglob("*.py"))
        for part in (str(path.relative_to(folder)).encode(), path.read_bytes())
    ]
    return _digest(*parts)


def _code() -> dict[str, str]:
    versions = {f"version of {name}": text for name, text in run_folder.versions().items()}
    code = {
        "version of nerf": nerf.__version__,
        "digest of the code of nerf": _code_digest(),
        processes.THREADS: os.environ.get(processes.THREADS, ""),
    }
    return code | versions


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Settings by their dotted names; those that may differ between machines are left out."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if not prefix and name in ("machine", "device", "versions", "notes"):
            continue
        if isinstance(value, Mapping):
            found |= _flat(f"{prefix}{name}.", value)
        else:
            found[f"{prefix}{name}"] = json.dumps(value, default=str)
    return found


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()[:_DIGITS]
