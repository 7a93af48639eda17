"""Hypothesis strategies for settings: every field of every part, within its range."""

import dataclasses
import typing

from hypothesis import strategies as st

from nerf import field as field_lib
from nerf.backends.mlp import MLPConfig
from nerf.backends.planes import PlanesConfig
from nerf.config.settings import (
    Config,
    EncodingConfig,
    FieldConfig,
    GridConfig,
    RenderConfig,
    TrainConfig,
)

_INTEGERS = {
    "num_frequencies": (0, 12),
    "num_layers": (2, 12),
    "skip_layer": (1, 1),
    "num_coarse": (4, 256),
    "holdout": (2, 64),
    "num_levels": (1, 3),
}
_REALS = {
    "pixel_offset": (0.0, 1.0),
    "adam_b1": (0.0, 0.99),
    "adam_b2": (0.0, 0.99),
    "growth": (1.0, 4.0),
    "robust_start": (1.0, 100.0),
    "depth_loss_decay": (1e-12, 1.0),
}
_TUPLES = {
    "low": st.tuples(*[st.floats(-100, -1)] * 3),
    "high": st.tuples(*[st.floats(1, 100)] * 3),
    "holdout_views": st.lists(st.text("abc/_1", min_size=1), max_size=3).map(tuple),
    "resolution": st.tuples(*[st.integers(2, 64)] * 3),
}


def _values(cls, name, hint):
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if dataclasses.is_dataclass(hint):
        return parts(hint)
    if hint is FieldConfig:
        return st.one_of(*(parts(spec.config) for spec in field_lib.specs().values()))
    if name in _TUPLES:
        return _TUPLES[name]
    return {
        bool: st.booleans(),
        int: st.integers(*_INTEGERS.get(name, (1, 2**31 - 1))),
        float: st.floats(*_REALS.get(name, (1e-12, 1e12))),
        str: st.sampled_from(["notebook", "paper"]),
    }[hint]


def parts(cls):
    """Instances of one part of the settings."""
    hints = typing.get_type_hints(cls)
    values = st.fixed_dictionaries({name: _values(cls, name, hint) for name, hint in hints.items()})
    return values.map(lambda values: cls(**_fitting(cls, values)))


def _fitting(cls, values):
    """A proposal goes with rules of its own for samples, and other networks with others."""
    if cls is not RenderConfig:
        return values
    if values["networks"] == "proposal":
        return {**values, "fine_t": "intervals", "coarse_t": "bins"}
    return {**values, "fine_t": values["fine_t"].replace("intervals", "around_samples")}


PARTS = (EncodingConfig, GridConfig, MLPConfig, PlanesConfig, RenderConfig, TrainConfig)
CONFIGS = parts(Config)
