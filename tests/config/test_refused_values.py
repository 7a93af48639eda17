"""Values of settings out of range or of another type are refused; those at the edge are not."""

import typing

import pytest

from nerf.config.presets import NOTEBOOK, PAPER, PLANES
from nerf.config.text import from_json, override, to_json
from nerf.errors import UserError
from tests.support.settings_table import TABLE, leaf

OUT_OF_RANGE = [
    "field.point_encoding.num_frequencies=-1",
    "field.viewdir_encoding.num_frequencies=-1",
    "field.density_noise=-0.1",
    "field.num_layers=0",
    "field.width=0",
    "field.rgb_width=0",
    "field.skip_layer=0",
    "field.skip_layer=8",
    "render.num_coarse=3",
    "render.num_fine=0",
    "render.fine_weight_floor=0",
    "render.last_interval=-1",
    "render.pixel_offset=-0.5",
    "render.pixel_offset=1.5",
    "train.learning_rate=0",
    "train.learning_rate=" + 400 * "9",
    "train.final_learning_rate=0",
    "train.clip_norm=-1",
    "train.num_rays=0",
    "train.num_steps=-1",
    "train.holdout=1",
    "train.warmup_steps=-1",
    "train.adam_b1=-0.1",
    "train.adam_b1=1",
    "train.adam_b2=1",
    "train.adam_eps=0",
    "train.distortion_loss_weight=-1",
    "train.opacity_loss_weight=-1",
    "train.exposure=auto",
    "train.depth=auto",
    "train.depth_loss_weight=0",
    "train.depth_loss_decay=1.5",
    "train.num_depth_rays=0",
    "train.robust_loss=huber",
    "train.robust_scale=0",
    "train.robust_start=0.5",
    "train.robust_anneal=0",
    "render.fine_t=intervals",
]
OUT_OF_RANGE_OF_PLANES = [
    "field.resolution=[1, 4, 4]",
    "field.proposal.resolution=[4, 4, 1]",
    "field.num_levels=0",
    "field.growth=0.5",
    "field.num_features=0",
    "field.width=0",
    "field.num_geometry_features=0",
    "field.total_variation_weight=-1",
    "field.plane_lr_factor=0",
    "field.proposal.lr_factor=0",
    "field.high=[1, -1, 1]",
    "field.low=[NaN, 0, 0]",
    "field.low=[0, 0]",
    "field.low=0",
    "field.resolution=[4.5, 4, 4]",
    "render.coarse_t=linspace",
]

AT_THE_EDGE = [
    "field.point_encoding.num_frequencies=0",
    "field.density_noise=0",
    "field.width=1",
    "field.rgb_width=1",
    "field.skip_layer=1",
    "field.skip_layer=7",
    "render.num_coarse=4",
    "render.num_fine=1",
    "render.last_interval=0",
    "render.pixel_offset=0",
    "render.pixel_offset=1",
    "train.clip_norm=0",
    "train.num_rays=1",
    "train.num_steps=0",
    "train.holdout=2",
]


def hint_of(path):
    *parents, name = path.split(".")
    node = leaf(NOTEBOOK, ".".join(parents))
    return typing.get_type_hints(type(node))[name]


def wrong_values(path):
    """What does not belong in a field, judged by its type alone."""
    hint = hint_of(path)
    if typing.get_origin(hint) is typing.Literal:
        return ["nonsense", "3", "null", "[]"]
    if hint == tuple[str, ...]:
        return ["null", "true", "[1]", "1.5", "{}"]
    if typing.get_origin(hint) is tuple:
        return ["3", "[1, 2]", "[1, 2, true]", "null", "many"]
    return {
        bool: ["1", "yes", "null"],
        int: ["1.5", "many", "true", "NaN", "[1]"],
        float: ["many", "true", "NaN", "Infinity", "-Infinity", "1e999", "null"],
    }[hint]


@pytest.mark.parametrize("assignment", OUT_OF_RANGE_OF_PLANES)
def test_values_of_planes_out_of_range_are_refused_by_name(assignment):
    name = assignment.partition("=")[0].rpartition(".")[2]
    with pytest.raises(UserError, match=rf"\b{name}\b"):
        override(PLANES, assignment)


@pytest.mark.parametrize("assignment", AT_THE_EDGE)
def test_the_edges_of_each_range_are_allowed(assignment):
    name, _, text = assignment.partition("=")
    assert leaf(override(NOTEBOOK, assignment), name) == float(text)


@pytest.mark.parametrize("assignment", OUT_OF_RANGE)
def test_values_out_of_range_are_refused_by_name(assignment):
    name = assignment.partition("=")[0].rpartition(".")[2]
    with pytest.raises(UserError, match=rf"\b{name}\b"):
        override(NOTEBOOK, assignment)


@pytest.mark.parametrize("path", TABLE)
def test_values_of_another_type_are_refused_by_name(path):
    name = path.rpartition(".")[2]
    for text in wrong_values(path):
        with pytest.raises(UserError, match=rf"\b{name}\b"):
            override(NOTEBOOK, f"{path}={text}")


@pytest.mark.parametrize("path", TABLE)
def test_json_with_a_value_of_another_type_is_refused_by_name(path):
    *parents, name = path.split(".")
    for value in [None, [1], {"a": 1}, float("nan")]:
        values = to_json(PAPER)
        node = values
        for parent in parents:
            node = node[parent]
        node[name] = value
        with pytest.raises(UserError, match=rf"\b{name}\b"):
            from_json(values)
