"""Parameters on disk: their header, where they are read from, and the backend to convert them to.

A `.safetensors` file holds the arrays of one backend's layout under names such as
`shared/params/density/kernel`, and a JSON header that says what they are. The published layout
(`nerf.backends.published`) has no header; what it holds is known by its names and shapes.
"""

import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
import safetensors.numpy

from nerf.backends import convert, published
from nerf.config import text as config_text
from nerf.config.settings import NETWORKS, PROPOSAL, Config
from nerf.errors import UserError
from nerf.field import Params, RadianceField
from nerf.geometry import spaces
from nerf.geometry.spaces import Space
from nerf.render.rays import abstract_networks
from nerf.runtime import atomic

FILE_NAME = "params.safetensors"
_HEADER_KEY = "nerf"
_FORMAT = 1
_PLAIN = ("field", "layout", "scene", "source", "step", "provenance")


@dataclasses.dataclass(frozen=True)
class Header:
    """What a parameter file says about itself.

    Attributes:
      field: name of the field, e.g. `mlp`.
      layout: name of the backend whose tree the arrays form.
      config: the settings that the parameters were trained with.
      scene: name of the scene they show.
      source: `photographs` or `procedural`.
      step: number of training steps behind them; None where it is not known.
      provenance: one sentence on where they come from.
      space: that the field lives in; None where the file does not say it (version 0.1.0).
    """

    field: str
    layout: str
    config: Config
    scene: str
    source: str
    step: int | None
    provenance: str
    space: Space | None = None

    def at_step(self, step: int) -> "Header":
        """The same with another number of steps."""
        return dataclasses.replace(self, step=step)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        values = {name: getattr(self, name) for name in _PLAIN}
        space = {} if self.space is None else {"space": spaces.to_json(self.space)}
        return {**values, "config": config_text.to_json(self.config), **space}


class LoadedParams(NamedTuple):
    """Parameters in the layout that was asked for, and their header where they have one."""

    params: Params
    header: Header | None


def load(path: Path, layout: str) -> LoadedParams:
    """Reads parameters from a file or a folder.

    Args:
      path: a run folder, a folder in the published layout, or a `.safetensors` file.
      layout: the backend they are wanted for.

    Raises:
      UserError: if nothing is there, or what is there is damaged or hostile.
    """
    if path.is_dir() and (path / FILE_NAME).is_file():
        path = path / FILE_NAME
    if path.is_dir():
        if not published.is_published(path):
            if any((path / "checkpoints").glob("[0-9]*")):
                raise UserError(
                    f"{path} has checkpoints but no {FILE_NAME}, since its run was stopped early: "
                    "the command that trained it resumes it and writes the file"
                )
            raise UserError(
                f"no parameters in {path}: looked for {FILE_NAME} (a run folder) and for "
                f"{published.ARRAYS_FILE} with {published.TREE_FILE} (the published layout)"
            )
        tree = published.read(path)
        separate = set(tree) == set(NETWORKS["separate"])
        params = tree if separate else {"shared": tree}
        params = convert.convert(params, convert.PUBLISHED_FIELD, convert.PUBLISHED_LAYOUT, layout)
        return LoadedParams(params, None)
    if not path.is_file():
        raise UserError(
            f"no parameters at {path}: expected a run folder, a folder with "
            f"{published.ARRAYS_FILE} and {published.TREE_FILE}, or a .safetensors file"
        )
    params, header = _read_safetensors(path)
    return LoadedParams(convert.convert(params, header.field, header.layout, layout), header)


def is_complete(path: Path) -> bool:
    """Whether a whole `.safetensors` file of this program is there; its arrays are not read."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:  # which checks the length
            _parse_header((file.metadata() or {})[_HEADER_KEY], path)
    except Exception:  # see `_read_safetensors`
        return False
    return True


def save(path: Path, params: Params, header: Header) -> None:
    """Writes a `.safetensors` file, atomically."""
    arrays = {
        jax.tree_util.keystr(key, simple=True, separator="/"): np.asarray(leaf)
        for key, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    values = header.to_json() | {"format": _FORMAT}
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {_HEADER_KEY: json.dumps(values)}
    atomic.write_bytes(path, safetensors.numpy.save(arrays, metadata=metadata))


def save_published(folder: Path, params: Params, field: str, layout: str) -> None:
    """Writes the published layout; the only network stands at the top, two stand under names.

    Raises:
      UserError: if it is not the MLP, or has a proposal, which that layout does not know.
    """
    if field != convert.PUBLISHED_FIELD:
        raise UserError(
            f"the published layout holds the field {convert.PUBLISHED_FIELD!r} alone, and these "
            f"parameters are of the field {field!r}: name a .safetensors file"
        )
    if PROPOSAL in params:
        raise UserError(
            "the published layout has no place for a proposal of where to look, which these "
            "parameters have: name a .safetensors file"
        )
    tree = convert.convert(params, field, layout, convert.PUBLISHED_LAYOUT)
    published.write(folder, tree.get("shared", tree))


def check(params: Params, field: RadianceField, config: Config, origin: str) -> None:
    """Refuses parameters that are not those of `field`.

    Raises:
      UserError: with a list of what differs.
    """
    names = NETWORKS[config.render.networks]
    if set(params) != set(names):
        raise UserError(
            f"found the networks {', '.join(sorted(params))} in {origin}, but preset "
            f"{config.preset!r} with networks={config.render.networks} needs {', '.join(names)}"
        )
    expected = abstract_networks(field, config.render)
    for name in names:
        lines = convert.differences(params[name], expected[name])
        if lines:
            raise UserError(
                f"not what the field of preset {config.preset!r} needs, in {origin}: "
                + "; ".join(lines)
            )


def count(params: Params) -> int:
    """The number of scalars."""
    return sum(leaf.size for leaf in jax.tree_util.tree_leaves(params))


def checksum(params: Params) -> int:
    """The CRC-32 of all arrays of a tree, in their order."""
    total = 0
    for leaf in jax.tree_util.tree_leaves(params):
        total = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), total)
    return total


def _read_safetensors(path: Path) -> tuple[Params, Header]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # besides its own, for types of number that NumPy lacks
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} is damaged or not a safetensors file ({reason}): bring it back from a copy, "
            "or train anew"
        ) from error
    if _HEADER_KEY not in metadata:
        raise UserError(
            f"{path} has no header {_HEADER_KEY!r}: it was not written by this program, so what "
            "its arrays mean is not known"
        )
    header = _parse_header(metadata[_HEADER_KEY], path)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise UserError(f"{path}: array {name!r} holds NaN or infinity")
    try:
        return _unflatten(arrays, header.layout), header
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _parse_header(text: str, path: Path) -> Header:
    try:
        values = json.loads(text)
        if values.pop("format") != _FORMAT:
            raise UserError(f"{path} was written in a format that this version does not know")
        try:
            values["config"] = config_text.from_json(values["config"], values.get("field"))
        except UserError as error:
            raise UserError(
                f"{path} has settings that this version does not know ({error}): use it with the "
                "version that wrote it, or train anew"
            ) from error
        if values.get("space") is not None:
            values["space"] = spaces.from_json(values["space"])
        header = Header(**values)
        for name in ("field", "layout", "scene", "source", "provenance"):
            if not isinstance(getattr(header, name), str):
                raise TypeError(f"{name} is not a string")
        if header.step is not None and type(header.step) is not int:
            raise TypeError("step is not a whole number")
        return header
    except UserError:
        raise
    except Exception as error:  # JSON, and what it says, can be wrong in nearly any way
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: its header cannot be read ({reason})") from error


def _unflatten(arrays: dict[str, Any], layout: str) -> Params:
    """`network/module/leaf` to nested dictionaries.

    Haiku's module names contain slashes, so there the first part is the network, the last the leaf,
    and all between them the module.
    """
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *parents, leaf = name.split("/")
        if layout == convert.PUBLISHED_LAYOUT and len(parents) > 1:
            parents = [parents[0], "/".join(parents[1:])]
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ValueError(f"{parent!r} is an array as well as a group of arrays")
        if leaf in node:
            raise ValueError(f"{leaf!r} is an array as well as a group of arrays")
        node[leaf] = array
    return tree
