"""Settings as text: their JSON form, and one field by its dotted name."""

import contextlib
import dataclasses
import json
import types
import typing
from typing import Any, Literal, TypeVar

from nerf.config.settings import Config, FieldConfig
from nerf.errors import UserError

T = TypeVar("T")

# Settings of version 0.1.0 that have other names now; run folders and parameter files keep loading.
_OLD_NAMES: dict[str, dict[str, str]] = {
    "GridConfig": {"beyond": "outside", "rate": "lr_factor"},
    "PlanesConfig": {
        "beyond": "outside",
        "num_handed_on": "num_geometry_features",
        "smoothness": "total_variation_weight",
        "plane_rate": "plane_lr_factor",
    },
    "TrainConfig": {
        "distortion": "distortion_loss_weight",
        "coverage": "opacity_loss_weight",
    },
}


def override(config: Config, *assignments: str) -> Config:
    """Sets fields by their dotted names; ranges are checked when all are set.

    Args:
      config: the settings to start from.
      *assignments: `part.field=value`, for instance `render.num_fine=64`.

    Raises:
      UserError: if there is no such field, or a value is not of its type or range.

    >>> from nerf.config.presets import NOTEBOOK
    >>> override(NOTEBOOK, "render.num_fine=64").render.num_fine
    64
    """
    values = to_json(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(
                f"`assignments={assignment}`: write it as name=value, e.g. render.num_fine=64"
            )
        _assign(Config, values, path.strip().split("."), text.strip(), assignment)
    return from_json(values)


def to_json(config: Config) -> dict[str, Any]:
    """The nested dictionary of plain values, as JSON has them, that `from_json` reads."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def from_json(values: dict[str, Any]) -> Config:
    """The inverse of `to_json`; a field that an older version did not have takes its default.

    Raises:
      UserError: if a field is unknown, has a value out of its range, or is missing and has no
        default.
    """
    return _build(Config, values, "config")


def field_from_json(values: dict[str, Any]) -> FieldConfig:
    """The `field` part alone, as the header of a parameter file holds it."""
    return typing.cast(FieldConfig, _build(_chosen(FieldConfig, values), values, "field"))


def _build(cls: type[T], values: Any, where: str) -> T:
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = _with_current_names(cls, values)
    needed = {name for name, f in fields.items() if f.default is dataclasses.MISSING}
    if not isinstance(values, dict) or not needed <= set(values) <= set(fields):
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise UserError(f"{where}: expected the fields {sorted(fields)}, found {found}")
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, value in values.items():
        hint = _chosen(hints[name], value)
        if dataclasses.is_dataclass(hint):
            arguments[name] = _build(typing.cast(type[Any], hint), value, f"{where}.{name}")
        else:
            arguments[name] = _coerce(value, hint, f"{where}.{name}")
    return cls(**arguments)


def _with_current_names(cls: type, values: Any) -> Any:
    """The same settings under the names that they have now."""
    names = _OLD_NAMES.get(cls.__name__, {})
    if not isinstance(values, dict):
        return values
    return {names.get(name, name): value for name, value in values.items()}


def _chosen(hint: Any, values: Any) -> Any:
    """Of several classes of settings, the one that has the fields which `values` names."""
    classes = typing.get_args(hint) if typing.get_origin(hint) is types.UnionType else (hint,)
    if len(classes) == 1 or not isinstance(values, dict):
        return classes[0]

    def num_known(cls: Any) -> int:
        names = {field.name for field in dataclasses.fields(cls)}
        return len(names & set(_with_current_names(cls, values)))

    return max(classes, key=num_known)


def _assign(cls: Any, values: Any, path: list[str], text: str, assignment: str) -> None:
    """Writes one value into the JSON form of a `cls`."""
    name, *rest = path
    hints = typing.get_type_hints(cls)
    settable = [field for field in hints if field != "preset"]
    if name not in settable:
        new_name = _OLD_NAMES.get(getattr(cls, "__name__", ""), {}).get(name)
        if new_name:
            raise UserError(f"`assignments={assignment}`: {name} is called {new_name} now")
        raise UserError(
            f"`assignments={assignment}`: no field {name!r}; there are {', '.join(settable)}"
        )
    hint = _chosen(hints[name], values.get(name))
    if dataclasses.is_dataclass(hint) != bool(rest):
        raise UserError(f"`assignments={assignment}`: name one field, e.g. render.num_fine=64")
    if rest:
        _assign(hint, values[name], rest, text, assignment)
    else:
        values[name] = _parse(text)


def _parse(text: str) -> Any:
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        return text


def _coerce(value: Any, hint: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if typing.get_origin(hint) is Literal:
        return value
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        if not isinstance(value, (list, tuple)) or len(value) != len(inner):
            raise UserError(f"{where}: expected {len(inner)} numbers in brackets, found {value!r}")
        return tuple(_coerce(v, h, where) for v, h in zip(value, inner, strict=True))
    if type(value) is not hint:
        raise UserError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value
