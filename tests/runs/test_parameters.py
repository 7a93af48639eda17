"""The parameter file: its header, what is refused, and that a failed save leaves the old one."""

import dataclasses
import json
import struct
import zlib

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from nerf.backends import published
from nerf.config import text as config_text
from nerf.config.presets import PAPER, PRESETS
from nerf.errors import UserError
from nerf.field import name_of
from nerf.runs import parameters
from nerf.runs.parameters import Header
from tests.support.full_disk import full_disk

ONE = {"shared": {"linear": {"w": np.float32([[1, 2], [3, 4]]), "b": np.float32([5, -0.0])}}}
TWO = {"coarse": ONE["shared"], "fine": {"linear": {"w": -ONE["shared"]["linear"]["w"]}}}
FLAX = {"shared": {"params": {"density": {"kernel": np.float32([[7.0]])}}}}
NNX = {"fine": {"planes": np.float32([[1.0]]), "density": {"kernel": np.float32([[7.0]])}}}
TABLE = {"fine": {"~": {"planes": np.float32([[1.0]])}, "density": {"w": np.float32([[7.0]])}}}

HEADER = Header(
    field="mlp",
    layout="haiku",
    config=config_text.override(PAPER, "field.width=32"),
    scene="mälarenö",
    source="procedural",
    step=1234,
    provenance="trained with pixels at their centres",
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "meadow.safetensors"
    parameters.save(path, ONE, HEADER)
    return path


def refusal(path, layout="haiku"):
    with pytest.raises(UserError) as caught:
        parameters.load(path, layout)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith((str(path), f"no parameters at {path}", f"no parameters in {path}"))
    return message


def header_json(path):
    with safetensors.safe_open(path, framework="numpy") as opened:
        return json.loads(opened.metadata()["nerf"])


def write_with_header(path, text, arrays=None):
    arrays = {"shared/linear/w": np.zeros((2, 2), np.float32)} if arrays is None else arrays
    path.write_bytes(safetensors.numpy.save(arrays, metadata={"nerf": text}))


def assert_equal_trees(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_equal_trees(found[name], value)
        else:
            assert found[name].dtype == value.dtype
            assert found[name].tobytes() == value.tobytes()


# Round trips.


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("step", [0, 1234, None])
@pytest.mark.parametrize("source", ["photographs", "procedural"])
def test_a_header_is_read_as_it_was_written(tmp_path, preset, step, source):
    config = PRESETS[preset]
    header = dataclasses.replace(
        HEADER, field=name_of(config.field), config=config, step=step, source=source
    )
    parameters.save(tmp_path / "a.safetensors", ONE, header)
    assert parameters.load(tmp_path / "a.safetensors", "haiku").header == header


@pytest.mark.parametrize(
    ("tree", "layout"),
    [(ONE, "haiku"), (TWO, "haiku"), (FLAX, "flax"), (NNX, "nnx"), (TABLE, "haiku")],
    ids=["1", "2", "flax", "nnx", "table"],
)
def test_a_tree_is_read_as_it_was_written(tmp_path, tree, layout):
    path = tmp_path / "new" / "folder" / "a.safetensors"
    parameters.save(path, tree, dataclasses.replace(HEADER, layout=layout))
    assert_equal_trees(parameters.load(path, layout).params, tree)


def test_haiku_names_with_slashes_stay_whole(tmp_path):
    tree = {"shared": {"linear_relu_block/~/linear": {"w": np.float32([[1.0]])}}}
    parameters.save(tmp_path / "a.safetensors", tree, HEADER)
    assert_equal_trees(parameters.load(tmp_path / "a.safetensors", "haiku").params, tree)


def test_the_file_is_what_any_safetensors_reader_reads(file):
    arrays = safetensors.numpy.load_file(file)
    assert sorted(arrays) == ["shared/linear/b", "shared/linear/w"]
    np.testing.assert_array_equal(arrays["shared/linear/w"], [[1, 2], [3, 4]])
    values = header_json(file)
    assert (values["format"], values["field"], values["layout"]) == (1, "mlp", "haiku")
    assert values["config"]["preset"] == "paper"
    assert values["config"]["field"]["width"] == 32
    assert (values["scene"], values["source"], values["step"]) == ("mälarenö", "procedural", 1234)
    assert values["provenance"] == "trained with pixels at their centres"


# Where parameters are looked for.


def test_a_run_folder_is_read_by_its_parameter_file(tmp_path):
    parameters.save(tmp_path / parameters.FILE_NAME, ONE, HEADER)
    published.write(tmp_path, {"linear": {"w": np.zeros((1, 1), np.float32)}})
    loaded = parameters.load(tmp_path, "haiku")
    assert loaded.header == HEADER
    assert_equal_trees(loaded.params, ONE)


@pytest.mark.parametrize("tree", [ONE, TWO], ids=["one network", "two networks"])
def test_a_published_folder_has_no_header(tmp_path, tree):
    parameters.save_published(tmp_path, tree, "mlp", "haiku")
    loaded = parameters.load(tmp_path, "haiku")
    assert loaded.header is None
    assert_equal_trees(loaded.params, tree)


def test_one_published_network_stands_at_the_top(tmp_path):
    parameters.save_published(tmp_path, ONE, "mlp", "haiku")
    assert_equal_trees(published.read(tmp_path), ONE["shared"])


def test_nothing_is_found_where_nothing_is(tmp_path):
    assert "expected a run folder, a folder with arrays.npy and tree.pkl" in refusal(
        tmp_path / "nowhere"
    )
    assert "looked for params.safetensors" in refusal(tmp_path)
    assert "no parameters at" in refusal(tmp_path / "nowhere.safetensors")


# Damage.


def test_a_file_cut_anywhere_is_refused(file):
    content = file.read_bytes()
    for size in {0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 24, len(content) - 1}:
        file.write_bytes(content[:size])
        assert "damaged or not a safetensors file" in refusal(file), size
    file.write_bytes(content + b"\0")
    assert "damaged or not a safetensors file" in refusal(file)


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(100), b"\xff" * 200, b"PK\x03\x04" + bytes(60), b"{}"],
    ids=["image", "ones", "archive", "JSON"],
)
def test_a_file_of_another_kind_is_refused(file, content):
    file.write_bytes(content)
    assert "damaged or not a safetensors file" in refusal(file)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_a_foreign_safetensors_file_is_refused(file, metadata):
    file.write_bytes(safetensors.numpy.save({"w": np.zeros(3, np.float32)}, metadata=metadata))
    assert "has no header 'nerf'" in refusal(file)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F\n32", "nonsense"])
def test_numbers_of_an_unknown_type_are_refused(file, dtype):
    entry = {"dtype": dtype, "shape": [2, 2], "data_offsets": [0, 4]}
    text = json.dumps({"__metadata__": {"nerf": "{}"}, "shared/linear/w": entry}).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    assert "damaged or not a safetensors file" in refusal(file)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_arrays_that_are_not_finite_are_refused(file, value):
    arrays = {"shared/a\nb/w": np.float32([0.0, value]), "shared/a/w": np.zeros(2, np.float32)}
    write_with_header(file, json.dumps(header_json(file)), arrays)
    assert "array 'shared/a\\nb/w' holds NaN or infinity" in refusal(file)


@pytest.mark.parametrize("layout", ["haiku", "flax", "nnx"])
@pytest.mark.parametrize("names", [("shared/x", "shared/x/leaf"), ("shared/x/leaf", "shared/x")])
def test_names_that_contradict_each_other_are_refused(file, layout, names):
    header = json.dumps(header_json(file) | {"layout": layout})
    write_with_header(file, header, {name: np.zeros(3, np.float32) for name in names})
    assert "'x' is an array as well as a group of arrays" in refusal(file, layout)


# Headers that this version cannot read.


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_header_of_another_format_is_refused(file, version):
    write_with_header(file, json.dumps(header_json(file) | {"format": version}))
    assert "written in a format that this version does not know" in refusal(file)


NEEDED = [f.name for f in dataclasses.fields(Header) if f.default is dataclasses.MISSING]


@pytest.mark.parametrize("name", [*NEEDED, "format"])
def test_a_header_that_lacks_a_field_is_refused(file, name):
    values = header_json(file)
    del values[name]
    write_with_header(file, json.dumps(values))
    message = refusal(file)
    assert "its header cannot be read" in message
    assert name in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("field", 5),
        ("layout", ["haiku"]),
        ("scene", None),
        ("source", {}),
        ("provenance", 1.5),
        ("step", "1234"),
        ("step", True),
        ("another\nfield", 1),
    ],
)
def test_a_header_with_a_value_of_another_type_is_refused(file, name, value):
    write_with_header(file, json.dumps(header_json(file) | {name: value}))
    message = refusal(file)
    assert "its header cannot be read" in message
    assert name.split()[0] in message


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", "null", "[" * 100_000, "{}", "not JSON\nat all"],
    ids=["empty", "open", "list", "number", "null", "deep", "without anything", "text"],
)
def test_a_header_that_is_no_json_object_is_refused(file, text):
    write_with_header(file, text)
    assert "its header cannot be read" in refusal(file)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("field", "width"), "wide", "expected int, found 'wide'"),
        (("field", "width"), 0, "width must be >= 1, not 0"),
        (("render", "networks"), "three", "'three' is not one of shared, separate"),
        (("field", "density_noise"), 10**400, "density_noise: expected float"),
        (("train", "colour"), 1, "expected the fields"),
    ],
    ids=["text", "zero", "choice", "overflow", "unknown"],
)
def test_settings_out_of_range_are_refused(file, path, value, reason):
    values = header_json(file)
    part, name = path
    values["config"][part][name] = value
    write_with_header(file, json.dumps(values))
    with pytest.raises(UserError, match=reason) as caught:
        parameters.load(file, "haiku")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{file} has settings that this version does not know")
    assert "train anew" in str(caught.value)


def test_an_unknown_layout_is_refused(file):
    write_with_header(file, json.dumps(header_json(file) | {"layout": "torch"}))
    with pytest.raises(
        UserError,
        match="unknown parameter layout 'torch' of the field 'mlp': there are flax, haiku, nnx",
    ):
        parameters.load(file, "flax")


# Saving.


def test_a_save_onto_a_full_disk_leaves_the_old_file(file):
    before = file.read_bytes()
    with pytest.raises(OSError, match="large"), full_disk():
        parameters.save(file, TWO, dataclasses.replace(HEADER, step=5))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_save_that_cannot_replace_leaves_no_rest(tmp_path):
    (tmp_path / "a.safetensors" / "folder").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        parameters.save(tmp_path / "a.safetensors", ONE, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_save_replaces_the_whole_file(file):
    parameters.save(file, TWO, dataclasses.replace(HEADER, step=5))
    loaded = parameters.load(file, "haiku")
    assert loaded.header.step == 5
    assert_equal_trees(loaded.params, TWO)
    assert list(file.parent.iterdir()) == [file]


# Sums.


def test_count_is_the_number_of_scalars():
    assert parameters.count(ONE) == 6
    assert parameters.count(TWO) == 10
    assert parameters.count({}) == 0


def test_the_checksum_is_the_crc_of_all_bytes_in_order():
    layer = ONE["shared"]["linear"]
    assert parameters.checksum(ONE) == zlib.crc32(layer["b"].tobytes() + layer["w"].tobytes())
    strided = {"shared": {"linear": {"b": layer["b"], "w": np.asfortranarray(layer["w"])}}}
    assert parameters.checksum(strided) == parameters.checksum(ONE)


def test_the_checksum_changes_with_a_single_bit():
    changed = ONE["shared"]["linear"]["b"].copy()
    changed.view(np.uint32)[1] ^= 1 << 31  # -0.0 becomes 0.0
    other = {"shared": {"linear": {**ONE["shared"]["linear"], "b": changed}}}
    assert parameters.checksum(other) != parameters.checksum(ONE)
