"""The presets row by row, overriding one field, the JSON form, and every value refused."""

import dataclasses
import json
import typing

import pytest

from nerf.config.presets import (
    NOTEBOOK,
    PAPER,
    PLANES,
    PRESETS,
    QUICK,
    fit,
    preset,
    preset_of,
)
from nerf.config.text import from_json, override, to_json
from nerf.errors import UserError
from nerf.field import SceneFacts

TABLE = {  # field: (notebook, paper)
    "field.point_encoding.num_frequencies": (10, 10),
    "field.point_encoding.identity": (False, True),
    "field.point_encoding.multiply_by_pi": (True, False),
    "field.point_encoding.order": ("coordinate", "frequency"),
    "field.viewdir_encoding.num_frequencies": (4, 4),
    "field.viewdir_encoding.identity": (False, True),
    "field.viewdir_encoding.multiply_by_pi": (True, False),
    "field.viewdir_encoding.order": ("coordinate", "frequency"),
    "field.density_from": ("bottleneck", "trunk"),
    "field.density_noise": (0.0, 1.0),
    "field.density_activation": ("relu", "relu"),
    "field.num_layers": (8, 8),
    "field.width": (256, 256),
    "field.skip_layer": (5, 5),
    "field.rgb_width": (128, 128),
    "field.compute_dtype": ("float32", "float32"),
    "field.proposal.low": ((-1.0,) * 3, (-1.0,) * 3),
    "field.proposal.high": ((1.0,) * 3, (1.0,) * 3),
    "field.proposal.outside": ("border", "border"),
    "field.proposal.resolution": ((48, 36, 48), (48, 36, 48)),
    "field.proposal.lr_factor": (10.0, 10.0),
    "render.networks": ("shared", "separate"),
    "render.coarse_t": ("linspace", "bins"),
    "render.fine_t": ("around_samples", "between_samples"),
    "render.fine_weight_floor": (1e-7, 1e-5),
    "render.fine_gradient": (True, False),
    "render.last_interval": (0.0, 1e10),
    "render.viewdir_space": ("ndc", "world"),
    "render.background": ("black", "black"),
    "render.pixel_offset": (0.0, 0.0),
    "render.num_coarse": (64, 64),
    "render.num_fine": (128, 128),
    "train.loss": ("sum", "mean"),
    "train.learning_rate": (2e-4, 5e-4),
    "train.final_learning_rate": (2e-5, 5e-5),
    "train.clip_norm": (1.0, 0.0),
    "train.num_rays": (1024, 4096),
    "train.num_steps": (150_000, 200_000),
    "train.holdout": (16, 8),
    "train.warmup_steps": (0, 0),
    "train.holdout_views": ((), ()),
    "train.use_file_split": (True, True),
    "train.adam_b1": (0.9, 0.9),
    "train.adam_b2": (0.999, 0.999),
    "train.adam_eps": (1e-8, 1e-8),
    "train.distortion_loss_weight": (0.0, 0.0),
    "train.opacity_loss_weight": (0.0, 0.0),
    "train.exposure": ("off", "off"),
}
# What depends on another setting and cannot be set alone.
TOGETHER = {
    "proposal": ("render.networks=proposal", "render.fine_t=intervals", "render.coarse_t=bins"),
}

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


def flatten(values, prefix=""):
    """`{"a.b": value}` of a nested dictionary, without the preset's name."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        elif name != "preset":
            flat[prefix + name] = tuple(value) if isinstance(value, list) else value
    return flat


def leaf(config, path):
    for name in path.split("."):
        config = getattr(config, name)
    return config


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


@pytest.mark.parametrize("column", [0, 1], ids=["notebook", "paper"])
def test_presets_hold_the_table_and_nothing_else(column):
    config = preset(["notebook", "paper"][column])
    assert flatten(to_json(config)) == {name: row[column] for name, row in TABLE.items()}


def test_presets_carry_their_names():
    assert {name: config.preset for name, config in PRESETS.items()} == {
        "notebook": "notebook",
        "paper": "paper",
        "quick": "quick",
        "planes": "planes",
    }


@pytest.mark.parametrize(
    ("field", "name", "expected"),
    [
        ("mlp", None, "notebook"),
        ("mlp", "paper", "paper"),
        ("mlp", "quick", "quick"),
        ("planes", None, "planes"),
        ("planes", "planes", "planes"),
        ("fog", None, "notebook"),  # of somebody else
        ("fog", "planes", "planes"),
    ],
)
def test_each_field_has_its_presets(field, name, expected):
    assert preset_of(field, name).preset == expected


@pytest.mark.parametrize(
    ("field", "name", "owner"),
    [("planes", "paper", "mlp"), ("planes", "quick", "mlp"), ("mlp", "planes", "planes")],
)
def test_a_preset_of_another_field_is_refused_with_the_way_out(field, name, owner):
    message = f"preset '{name}' is for the field '{owner}', not '{field}': .*`field=\"{owner}\"`"
    with pytest.raises(UserError, match=message):
        preset_of(field, name)


def test_a_proposal_is_chosen_with_all_that_goes_with_it():
    together = TOGETHER["proposal"]
    render = override(NOTEBOOK, *together).render
    assert (render.networks, render.evaluations_per_ray) == ("proposal", render.num_fine)
    for missing in together[:2]:
        with pytest.raises(UserError, match="fine_t must be intervals where networks is proposal"):
            override(NOTEBOOK, *(assignment for assignment in together if assignment != missing))


def test_three_numbers_are_given_in_brackets():
    changed = override(PLANES, "field.low=[-2, -3.5, -4]", "field.resolution=[4, 5, 6]").field
    assert (changed.low, changed.resolution) == ((-2.0, -3.5, -4.0), (4, 5, 6))
    assert [changed.level(number) for number in (0, 1, -1)] == [
        (4, 5, 6),
        (11, 14, 16),
        (11, 14, 16),
    ]


def test_more_levels_than_memory_holds_are_refused():
    with pytest.raises(UserError, match="resolution must be smaller"):
        override(PLANES, "field.num_levels=20")


@pytest.mark.parametrize("assignment", OUT_OF_RANGE_OF_PLANES)
def test_values_of_planes_out_of_range_are_refused_by_name(assignment):
    name = assignment.partition("=")[0].rpartition(".")[2]
    with pytest.raises(UserError, match=rf"\b{name}\b"):
        override(PLANES, assignment)


@pytest.mark.parametrize(
    ("side", "levels", "octaves"),
    [(12, (2, 2.7), 7), (126, (2, 2.7), 7), (178, (2, 2.7), 7), (179, (3, 2.0), 8),
     (504, (3, 2.0), 9), (505, (4, 2.0), 9), (1008, (4, 2.0), 10)],
)  # fmt: skip
def test_larger_pictures_take_finer_planes_and_more_octaves(side, levels, octaves):
    facts = SceneFacts(side, "black", is_360=False, is_bounded=False, box=None)
    planes = fit(PLANES, facts).field
    assert (planes.num_levels, planes.growth) == levels
    assert fit(QUICK, facts).field.point_encoding.num_frequencies == octaves
    for published in (NOTEBOOK, PAPER):
        assert fit(published, facts) == published


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"'novel'.*notebook, paper, planes"):
        preset("novel")


@pytest.mark.parametrize("name", TABLE)
def test_each_field_of_one_preset_can_be_set_in_the_other(name):
    notebook, paper = TABLE[name]
    changed = override(NOTEBOOK, f"{name}={json.dumps(paper).strip(chr(34))}")
    assert leaf(changed, name) == paper
    assert type(leaf(changed, name)) is type(paper)
    assert {n: v for n, v in flatten(to_json(changed)).items() if n != name} == {
        n: row[0] for n, row in TABLE.items() if n != name
    }
    assert leaf(NOTEBOOK, name) == notebook


def test_override_reads_whole_numbers_as_floats_where_a_float_is_meant():
    rate = override(NOTEBOOK, "train.learning_rate=1").train.learning_rate
    assert (rate, type(rate)) == (1.0, float)


def test_settings_that_only_fit_together_can_be_given_in_any_order():
    few_layers = ["field.num_layers=3", "field.skip_layer=2"]
    for assignments in (few_layers, few_layers[::-1]):
        changed = override(NOTEBOOK, *assignments)
        assert (changed.field.num_layers, changed.field.skip_layer) == (3, 2)
    with pytest.raises(UserError, match="skip_layer must be from 1 to num_layers - 1 = 2, not 5"):
        override(NOTEBOOK, few_layers[0])


def test_override_forgives_spaces_and_capital_booleans():
    changed = override(NOTEBOOK, " field.point_encoding.identity = True ")
    assert changed.field.point_encoding.identity is True
    assert changed.field.point_encoding.num_features == 63


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


def test_a_choice_that_does_not_exist_is_answered_with_the_choices():
    with pytest.raises(
        UserError, match="networks: 'three' is not one of shared, separate, proposal"
    ):
        override(NOTEBOOK, "render.networks=three")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("render.num_fine", "name=value"),
        ("render.num_find=64", "'num_find'.*num_coarse, num_fine"),
        ("renderer.num_fine=64", "'renderer'.*field, render, train"),
        ("=64", "no setting ''"),
        ("preset=paper", "no setting 'preset'"),
        ("render=64", "name one setting"),
        ("field.point_encoding=64", "name one setting"),
        ("render.num_fine.much=64", "name one setting"),
    ],
)
def test_what_is_not_an_assignment_to_a_field_is_refused(assignment, message):
    with pytest.raises(UserError, match=message):
        override(NOTEBOOK, assignment)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_json_round_trip(config):
    changed = override(config, "render.num_fine=7", "field.compute_dtype=bfloat16")
    assert changed.field.compute_dtype == "bfloat16"
    text = json.dumps(to_json(changed))
    assert from_json(json.loads(text)) == changed


@pytest.mark.parametrize("part", [None, "field", "render", "train"])
def test_json_with_a_field_too_few_or_too_many_is_refused(part):
    for spoil in (lambda node: node.pop(next(iter(node))), lambda node: node.update(colour="blue")):
        values = to_json(NOTEBOOK)
        spoil(values[part] if part else values)
        with pytest.raises(UserError, match=f"{part or 'config'}: expected the fields"):
            from_json(values)


@pytest.mark.parametrize("values", [[], "notebook", None, {"preset": "notebook"}])
def test_json_that_is_no_config_is_refused(values):
    with pytest.raises(UserError, match="config: expected the fields"):
        from_json(values)


def test_configs_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NOTEBOOK.render.num_fine = 1


def test_names_are_a_list_or_separated_by_commas():
    for text in ("a, b/c", '["a", "b/c"]'):
        assert override(NOTEBOOK, f"train.holdout_views={text}").train.holdout_views == ("a", "b/c")
    assert override(NOTEBOOK, "train.holdout_views=1001").train.holdout_views == ("1001",)
    for text in ("a,,b", "true", "[1]", ""):
        with pytest.raises(UserError, match="expected names, separated by commas"):
            override(NOTEBOOK, f"train.holdout_views={text}")
