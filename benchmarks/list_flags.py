"""Flags that take several values, e.g. `--rays=1024,4096`; absl's parsers read each value."""

from collections.abc import Sequence
from typing import Any

from absl import flags


class _ListParser(flags.ArgumentParser[tuple[Any, ...]]):
    """Values with commas in between. A value that is given twice counts once."""

    def __init__(self, element: flags.ArgumentParser[Any], each: str):
        super().__init__()
        self._element = element
        self._each = each
        self.syntactic_help = f"values with commas in between, each {each}"

    def parse(self, argument: str | Sequence[Any]) -> tuple[Any, ...]:
        values = argument.split(",") if isinstance(argument, str) else argument
        return tuple(dict.fromkeys(self._parse_one(value) for value in values))

    def _parse_one(self, text: Any) -> Any:
        text = text.strip() if isinstance(text, str) else text
        try:
            value = None if text == "" else self._element.parse(text)
        except (TypeError, ValueError):
            value = None
        if value is None or value != value:  # NaN passes absl's bounds
            raise ValueError(f"{text!r} is not {self._each}")
        return value

    def flag_type(self) -> str:
        return "comma separated list"


def define_names(defined: flags.FlagValues, name: str, default: str | None, help: str) -> None:
    """A flag for texts that the library checks, such as names of scenes."""
    _define(defined, name, default, help, flags.ArgumentParser(), "a name")


def define_choices(
    defined: flags.FlagValues, name: str, default: str | None, choices: Sequence[str], help: str
) -> None:
    """A flag for some of the choices."""
    parser = flags.EnumParser(list(choices))
    _define(defined, name, default, help, parser, f"one of {', '.join(choices)}")


def define_integers(
    defined: flags.FlagValues, name: str, default: str | None, help: str, *, low: int, high: int
) -> None:
    """A flag for whole numbers from `low` to `high`."""
    parser = flags.IntegerParser(low, high)
    _define(defined, name, default, help, parser, parser.syntactic_help)


def define_numbers(
    defined: flags.FlagValues, name: str, default: str | None, help: str, *, low: float, high: float
) -> None:
    """A flag for numbers from `low` to `high`."""
    parser = flags.FloatParser(low, high)
    _define(defined, name, default, help, parser, parser.syntactic_help)


def _define(
    defined: flags.FlagValues,
    name: str,
    default: str | None,
    help: str,
    element: flags.ArgumentParser[Any],
    each: str,
) -> None:
    parser = _ListParser(element, each)
    serializer: Any = flags.ListSerializer(",")
    flag: flags.Flag[tuple[Any, ...]] = flags.Flag(parser, serializer, name, default, help)
    flags.DEFINE_flag(flag, defined)
