"""The presets row by row, overriding one field, and the JSON form."""

import dataclasses
import json

import pytest

from nerf.config.presets import (
    NOTEBOOK,
    PAPER,
    PLANES,
    PRESETS,
    QUICK,
    fit,
    fit_few_views,
    preset,
    preset_of,
)
from nerf.config.text import from_json, override, to_json
from nerf.errors import UserError
from nerf.field import SceneFacts
from tests.support.settings_table import TABLE, leaf

# What depends on another setting and cannot be set alone.
NEEDED_WITH = {
    "proposal": ("render.networks=proposal", "render.fine_t=intervals", "render.coarse_t=bins"),
}


def flatten(values, prefix=""):
    """`{"a.b": value}` of a nested dictionary, without the preset's name."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        elif name != "preset":
            flat[prefix + name] = tuple(value) if isinstance(value, list) else value
    return flat


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
    together = NEEDED_WITH["proposal"]
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


@pytest.mark.parametrize(
    ("side", "levels", "octaves"),
    [(12, (2, 2.7), 7), (126, (2, 2.7), 7), (178, (2, 2.7), 7), (179, (3, 2.0), 8),
     (504, (3, 2.0), 9), (505, (4, 2.0), 9), (1008, (4, 2.0), 10)],
)  # fmt: skip
def test_larger_images_take_finer_planes_and_more_octaves(side, levels, octaves):
    facts = SceneFacts(side, "black", is_360=False, is_bounded=False, box=None)
    planes = fit(PLANES, facts).field
    assert (planes.num_levels, planes.growth) == levels
    assert fit(QUICK, facts).field.point_encoding.num_frequencies == octaves
    for published in (NOTEBOOK, PAPER):
        assert fit(published, facts) == published


@pytest.mark.parametrize(("num_views", "few"), [(1, "on"), (8, "on"), (9, "off"), (None, "off")])
def test_few_views_are_those_of_eight_or_less(num_views, few):
    facts = SceneFacts(126, "black", is_360=False, is_bounded=False, box=None, num_views=num_views)
    for config in (PLANES, NOTEBOOK):
        assert fit(config, facts).train.few_views == few


def test_planes_are_smoother_with_few_views_the_mlp_is_as_ever():
    few = override(PLANES, "train.few_views=on")
    weights = [fit_few_views(few, n).field.total_variation_weight for n in (2, 3, 6, 8, 30)]
    usual = PLANES.field.total_variation_weight
    assert [weight / usual for weight in weights] == pytest.approx([100, 100, 10, 2.15, 2.15], 1e-2)
    assert fit_few_views(PLANES, 3) == PLANES
    few_for_mlp = override(NOTEBOOK, "train.few_views=on")
    assert fit_few_views(few_for_mlp, 3) == few_for_mlp


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
