"""Hypothesis strategies for settings: every field of every part, within its range."""

import dataclasses
import typing

from hypothesis import strategies as st

from nerf.config import Config, EncodingConfig, FieldConfig, RenderConfig, TrainConfig

_INTEGERS = {
    "num_frequencies": (0, 12),
    "num_layers": (2, 12),
    "skip_layer": (1, 1),
    "num_coarse": (4, 256),
    "holdout": (2, 64),
}
_REALS = {"pixel_offset": (0.0, 1.0)}


def _values(cls, name, hint):
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if dataclasses.is_dataclass(hint):
        return parts(hint)
    return {
        bool: st.booleans(),
        int: st.integers(*_INTEGERS.get(name, (1, 2**31 - 1))),
        float: st.floats(*_REALS.get(name, (1e-12, 1e12))),
        str: st.sampled_from(["notebook", "paper"]),
    }[hint]


def parts(cls):
    """Instances of one part of the settings."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{name: _values(cls, name, hint) for name, hint in hints.items()})


PARTS = (EncodingConfig, FieldConfig, RenderConfig, TrainConfig)
CONFIGS = parts(Config)
