"""Settings as text: their JSON form, and one field by its dotted name."""

import contextlib
import dataclasses
import json
import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from nerf import field as field_lib
from nerf.config.settings import OLD_NAME, Config, Dataclass, FieldConfig
from nerf.errors import UserError

T = TypeVar("T", bound=Dataclass)
# Settings that a run keeps when it resumes: what follows from the images, and what came after
# version 0.1.0.
SETTINGS_OF_RUN = (
    "field.low",
    "field.high",
    "field.proposal.low",
    "field.proposal.high",
    "field.total_variation_every",
    "field.total_variation_weight",
    "train.exposure",
    "train.depth",
    "train.poses",
    "train.few_views",
)
# What a user who sets one field sets besides.
_IMPLIED = {"train.holdout": "train.use_file_split=false"}


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
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(
                f"{_assignment_text(assignment)}: write it as name=value, e.g. render.num_fine=64"
            )
        path = name.strip().split(".")
        _assign(Config, values, path, text.strip(), assignment, type(config.field))
    return _build(Config, values, "config", type(config.field))


def with_implied(assignments: Sequence[str]) -> tuple[str, ...]:
    """A user's settings, as `override` takes them, after those that follow from them.

    >>> with_implied(["train.holdout=8"])
    ('train.use_file_split=false', 'train.holdout=8')
    """
    names = [assignment.partition("=")[0].strip() for assignment in assignments]
    implied = (implied for name, implied in _IMPLIED.items() if name in names)
    return (*implied, *assignments)


def to_json(config: Config) -> dict[str, Any]:
    """The nested dictionary of plain values, as JSON has them, that `from_json` reads."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def from_json(values: dict[str, Any], field: str | None = None) -> Config:
    """The inverse of `to_json`; a setting that an older version did not have takes its default.

    Args:
      values: what `to_json` returned, here or in an older version.
      field: the name of the field, whose settings are then expected; without one,
        `field` has the settings of the registered field that has most of the names.

    Raises:
      UserError: if a field is unknown, has a value out of its range, or is missing and has no
        default.
    """
    part = values.get("field") if isinstance(values, dict) else None
    return _build(Config, values, "config", _field_class(part, field))


def with_run_settings(
    config: Config, values: dict[str, Any], field: str | None
) -> tuple[Config, list[str]]:
    """Settings for resuming a run.

    Args:
      config: the settings that are asked for.
      values: those of the run, which `from_json` takes.
      field: see `from_json`.

    Returns:
      `config` with the run's own values of `SETTINGS_OF_RUN`, and those of them that differ, as
      `name=value`.
    """
    before, now = (flatten(to_json(each)) for each in (from_json(values, field), config))
    kept_settings = [
        f"{name}={json.dumps(before[name])}"
        for name in SETTINGS_OF_RUN
        if name in before and name in now and before[name] != now[name]
    ]
    return override(config, *kept_settings), kept_settings


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names.

    >>> flatten({"train": {"num_rays": 4}, "preset": "paper"})
    {'train.num_rays': 4, 'preset': 'paper'}
    """
    if not isinstance(values, dict):
        return {prefix.rstrip("."): values}
    return {k: v for name, x in values.items() for k, v in flatten(x, f"{prefix}{name}.").items()}


def _build(cls: type[T], values: Any, where: str, field_class: type[FieldConfig]) -> T:
    """An instance of a class of settings; `field_class` is that of the part `field`."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values = _with_current_names(cls, values)
    missing = dataclasses.MISSING
    needed = {n for n, f in fields.items() if f.default is missing is f.default_factory}
    if not isinstance(values, dict) or not needed <= set(values) <= set(fields):
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise UserError(f"{where}: expected the fields {sorted(fields)}, found {found}")
    hints = _hints(cls, field_class)
    arguments = {}
    for name, value in values.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            part = typing.cast(type[Any], hint)
            arguments[name] = _build(part, value, f"{where}.{name}", field_class)
        else:
            arguments[name] = _coerce(value, hint, f"{where}.{name}")
    try:
        return cls(**arguments)
    except UserError as error:  # which names the setting alone
        prefix = where.partition(".")[2]
        raise UserError(f"{prefix}.{error}" if prefix else str(error)) from None


def _hints(cls: Any, field_class: type[FieldConfig]) -> dict[str, Any]:
    """The types of the settings of a class."""
    hints = typing.get_type_hints(cls)
    return {name: field_class if hint is FieldConfig else hint for name, hint in hints.items()}


def _new_names(cls: Any) -> dict[str, str]:
    """The settings of a class that were called otherwise in version 0.1.0, by their old names."""
    fields = dataclasses.fields(cls)
    return {f.metadata[OLD_NAME]: f.name for f in fields if OLD_NAME in f.metadata}


def _with_current_names(cls: type, values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    names = _new_names(cls)
    return {names.get(name, name): value for name, value in values.items()}


def _field_class(values: Any, name: str | None) -> type[FieldConfig]:
    """The class of a field's settings: by the field's name, else the one that fits best."""
    specs = field_lib.specs()
    if name in specs:
        return specs[name].config
    if not isinstance(values, dict):
        values = {}

    def num_known(cls: Any) -> int:
        known = {f.name for f in dataclasses.fields(cls)}
        return len(known & set(_with_current_names(cls, values)))

    return max((spec.config for spec in specs.values()), key=num_known)


def _assign(
    cls: Any,
    values: Any,
    path: list[str],
    text: str,
    assignment: str,
    field_class: type[FieldConfig],
) -> None:
    """Writes one value into the JSON form of a `cls`."""
    name, *rest = path
    hints = _hints(cls, field_class)
    settable = [field for field in hints if field != "preset"]
    if name not in settable:
        new_name = _new_names(cls).get(name)
        if new_name:
            raise UserError(f"{_assignment_text(assignment)}: {name} is called {new_name} now")
        known = ", ".join(settable)
        raise UserError(f"{_assignment_text(assignment)}: no setting {name!r}; there are {known}")
    hint = hints[name]
    if dataclasses.is_dataclass(hint) != bool(rest):
        raise UserError(
            f"{_assignment_text(assignment)}: name one setting, e.g. render.num_fine=64"
        )
    if rest:
        _assign(hint, values[name], rest, text, assignment, field_class)
    else:
        values[name] = _parse(text)


def _assignment_text(assignment: str) -> str:
    """An assignment in a message, with the parameter's name unless it is a dotted setting."""
    name, equals, _ = assignment.partition("=")
    return f"`{assignment}`" if equals and "." in name else f"`assignments={assignment}`"


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
    if hint == tuple[str, ...]:
        return _names(value, where)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        if not isinstance(value, (list, tuple)) or len(value) != len(inner):
            raise UserError(f"{where}: expected {len(inner)} numbers in brackets, found {value!r}")
        return tuple(_coerce(v, h, where) for v, h in zip(value, inner, strict=True))
    if type(value) is not hint:
        raise UserError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value


def _names(value: Any, where: str) -> tuple[str, ...]:
    """Names from a list, or from a text in which commas separate them."""
    if isinstance(value, bool) or not isinstance(value, str | int | list | tuple):
        raise UserError(f"{where}: expected names, separated by commas, found {value!r}")
    given = value if isinstance(value, list | tuple) else str(value).split(",")
    names = tuple(name.strip() for name in given if isinstance(name, str) and name.strip())
    if len(names) < len(given):
        raise UserError(f"{where}: expected names, separated by commas, found {value!r}")
    return names
