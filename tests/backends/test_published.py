"""The published layout: what is written is read back to the bit, and nothing hostile is run."""

import contextlib
import io
import os
import pickle

import jax
import numpy as np
import pytest

from nerf.backends import published
from nerf.errors import UserError

TREE = {
    "linear": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3, np.float32)},
    "block/~/linear": {"w": np.full((3, 1), 1e-42, np.float32), "b": np.float32([-0.0])},
}


@pytest.fixture
def folder(tmp_path):
    published.write(tmp_path / "params", TREE)
    return tmp_path / "params"


def refusal(folder):
    with pytest.raises(UserError) as caught:
        published.read(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400 + len(str(folder))
    return message


def assert_same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())


# Round trips.


@pytest.mark.parametrize("tree", [TREE, {"coarse": TREE, "fine": TREE}], ids=["one", "two"])
def test_what_is_written_is_read_back_to_the_bit(tree, tmp_path):
    published.write(tmp_path, tree)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays.npy", "tree.pkl"]
    assert published.is_published(tmp_path)
    assert_same_bits(published.read(tmp_path), tree)


def test_the_files_are_what_the_published_code_reads(folder):
    """It unpickles a tree of zeros and calls `np.load` once for each of its leaves."""
    structure = pickle.loads((folder / "tree.pkl").read_bytes())
    assert structure == {"linear": {"w": 0, "b": 0}, "block/~/linear": {"w": 0, "b": 0}}
    leaves, treedef = jax.tree.flatten(structure)
    with (folder / "arrays.npy").open("rb") as file:
        arrays = [np.load(file) for _ in leaves]
    assert_same_bits(jax.tree.unflatten(treedef, arrays), TREE)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_trees_of_every_binary_protocol_are_read(folder, protocol):
    structure = jax.tree.map(lambda _: 0, TREE)
    (folder / "tree.pkl").write_bytes(pickle.dumps(structure, protocol=protocol))
    assert_same_bits(published.read(folder), TREE)


def test_the_published_flower_is_written_as_it_was_read(flower_dir, tmp_path):
    tree = published.read(flower_dir / "params")
    published.write(tmp_path, tree)
    assert_same_bits(published.read(tmp_path), tree)
    for name in ("arrays.npy", "tree.pkl"):
        assert (tmp_path / name).read_bytes() == (flower_dir / "params" / name).read_bytes()


def test_writing_over_older_parameters_leaves_nothing_of_them(folder):
    smaller = {"linear": {"w": np.ones((1, 1), np.float32)}}
    published.write(folder, smaller)
    assert_same_bits(published.read(folder), smaller)
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.npy", "tree.pkl"]


# Hostile trees.


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Persistent(pickle.Pickler):
    def persistent_id(self, obj):
        return "something" if isinstance(obj, np.ndarray) else None


def touching(marker):
    """Every pickle here makes the file `marker` when it is loaded without care."""
    command = f"touch {marker}"
    text = command.encode()
    expression = f"open({str(marker)!r}, 'w').close()"
    return {
        "a call of os.system": pickle.dumps(Calls(os.system, command)),
        "a call in protocol 0": pickle.dumps(Calls(os.system, command), protocol=0),
        "a call as a leaf": pickle.dumps({"linear": {"w": Calls(os.system, command)}}),
        "builtins.eval": pickle.dumps(Calls(eval, expression)),
        "builtins.exec": pickle.dumps(Calls(exec, expression)),
        "GLOBAL": b"cposix\nsystem\n(S'" + text + b"'\ntR.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93"
        + b"\x8c" + bytes([len(text)]) + text + b"\x85R.",
        "INST": b"(S'" + text + b"'\niposix\nsystem\n.",
        "OBJ": b"(cposix\nsystem\nS'" + text + b"'\no.",
        "BUILD": b"\x80\x02cposix\nsystem\n(S'" + text + b"'\ntR}b.",
        "behind a good tree": b"\x80\x04}\x8c\x01aK\x00s0cposix\nsystem\n(S'" + text + b"'\ntR.",
    }  # fmt: skip


HOSTILE = sorted(touching("marker"))


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tree_is_refused_and_never_run(folder, tmp_path, kind):
    marker = tmp_path / "run"
    content = touching(marker)[kind]
    (folder / "tree.pkl").write_bytes(content)
    assert "tree.pkl was refused: it must hold nothing but dictionaries" in refusal(folder)
    assert not marker.exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_each_hostile_tree_would_have_run(tmp_path, kind):
    """What the test above proves is worth something only if this holds."""
    with contextlib.suppress(AttributeError, ValueError):  # some fail, after the call
        pickle.loads(touching(tmp_path / "run")[kind])
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_unpickler_alone_would_have_refused_it_too(tmp_path, kind):
    """Two locks: the list of instructions, and the look-up of names."""
    content = touching(tmp_path / "run")[kind]
    with pytest.raises(pickle.UnpicklingError, match=r"it asks for \w+\.\w+"):
        published._NothingUnpickler(io.BytesIO(content)).load()
    assert not (tmp_path / "run").exists()


def test_the_unpickler_alone_would_have_refused_persistent_objects():
    with pytest.raises(pickle.UnpicklingError, match="persistent object"):
        published._NothingUnpickler(io.BytesIO(persistent())).load()


def nested(depth):
    tree = 0
    for _ in range(depth):
        tree = {"a": tree}
    return tree


def laughing(num_levels=8, num_entries=8):
    """A few hundred bytes that stand for 8**7 zeros: each level holds the one before 8 times."""
    node = {"a": 0}
    for _ in range(num_levels - 1):
        node = {str(i): node for i in range(num_entries)}
    return node


def cyclic():
    node = {"a": 0}
    node["b"] = node
    return node


def persistent():
    stream = io.BytesIO()
    Persistent(stream).dump({"linear": np.zeros(1)})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "refused"),
        (b"not a pickle at all", "refused"),
        (b"\x89PNG\r\n\x1a\n", "refused"),
        (b"\x93NUMPY\x01\x00", "refused"),
        (pickle.dumps(TREE), "refused"),
        (pickle.dumps({"a": 0})[:-1], "refused"),
        (pickle.dumps({"a": 0})[:5], "refused"),
        (pickle.dumps({"a": 0.0}), "refused"),
        (pickle.dumps({"a": None}), "refused"),
        (pickle.dumps({"a": False}), "refused"),
        (pickle.dumps({"a": [0]}), "refused"),
        (pickle.dumps({"a": 10**400}), "refused"),
        (pickle.dumps({b"a": 0}), "refused"),
        (pickle.dumps({("a",): 0}), "refused"),
        (pickle.dumps({"a": 7}), "must hold a nested dictionary of zeros"),
        (pickle.dumps({1: 0}), "must hold a nested dictionary of zeros"),
        (pickle.dumps(0), "must hold a nested dictionary of zeros"),
        (pickle.dumps("linear"), "must hold a nested dictionary of zeros"),
        (pickle.dumps(nested(9)), "must hold a nested dictionary of zeros"),
        (pickle.dumps(nested(300)), "must hold a nested dictionary of zeros"),
        (b"\x80\x04" + b"}\x8c\x01a" * 200_000 + b"K\x00" + b"s" * 200_000 + b".", "must hold"),
        (b"\x80\x04}(" + b"}" * 900_000 + b".", "holds more than the 0 arrays"),
        (b"\x80\x04}(K\x00" + b"\x85" * 1_000_000 + b"K\x00u.", "refused"),
        (pickle.dumps(laughing()), "must hold a nested dictionary of zeros"),
        (pickle.dumps(cyclic()), "must hold a nested dictionary of zeros"),
        (b"\x80\x02\x82\x01.", "refused"),
        (b"\x80\x02\x83\x01\x00.", "refused"),
        (b"\x80\x02\x84\x01\x00\x00\x00.", "refused"),
        (persistent(), "refused"),
        (b"Psomething\n.", "refused"),
        (b"\x80\x04\x8c\x04os\nx\x8c\x03a\nb\x93.", "refused"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "refused"),
        (b"\x80\x04}\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "refused"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "refused"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.", "refused"),
        (b"\x80\xff}.", "refused"),
        (pickle.dumps({"a": 0}) + b"\0" * (1 << 20), "too large"),
    ],
    ids=[
        "empty", "text", "image", "array file", "arrays inside", "no stop", "cut short", "float",
        "none", "bool", "list", "huge integer", "bytes as key", "tuple as key", "not zero",
        "integer as key", "an integer", "a string", "nine levels", "300 levels", "200000 levels",
        "never filled", "deep tuple as key", "billion laughs", "cycle", "EXT1", "EXT2", "EXT4",
        "BINPERSID", "PERSID", "line breaks in names", "huge memo", "huge string", "huge bytes",
        "huge frame", "unknown protocol", "huge file",
    ],
)  # fmt: skip
def test_what_is_no_tree_of_zeros_is_refused(folder, content, reason):
    (folder / "tree.pkl").write_bytes(content)
    assert reason in refusal(folder)


# Broken arrays.


def records(*arrays, **save):
    stream = io.BytesIO()
    for array in arrays:
        np.save(stream, array, **save)
    return stream.getvalue()


def test_arrays_cut_at_any_byte_are_refused(folder):
    content = (folder / "arrays.npy").read_bytes()
    places = {0, 1, 5, 6, 7, 8, 9, 10, 64, 127, 128, 131, 132, 133, 200, 260, 300}
    for size in places | set(range(len(content) - 140, len(content), 7)) | {len(content) - 1}:
        (folder / "arrays.npy").write_bytes(content[:size])
        assert "arrays.npy breaks off or is damaged at array" in refusal(folder), size


def test_the_array_that_breaks_off_is_named(folder):
    whole = [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves(TREE)]
    (folder / "arrays.npy").write_bytes(records(*whole[:3]))
    assert "at array 4 of 4" in refusal(folder)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_object_arrays_are_refused_and_never_unpickled(folder, tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    (folder / "arrays.npy").write_bytes(records(trap, allow_pickle=True))
    assert "damaged at array 1 of 4" in refusal(folder)
    assert not (tmp_path / "sprung").exists()
    np.load(folder / "arrays.npy", allow_pickle=True)[0].close()
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "bool", ">f4", "complex64", "U3"])
def test_arrays_of_another_dtype_are_refused(folder, dtype):
    leaves = jax.tree.leaves(TREE)
    leaves[1] = leaves[1].astype(dtype)
    (folder / "arrays.npy").write_bytes(records(*leaves))
    assert f"array 2 is {leaves[1].dtype}, expected float32" in refusal(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_arrays_that_are_not_finite_are_refused(folder, value):
    leaves = [leaf.copy() for leaf in jax.tree.leaves(TREE)]
    leaves[3][0, 0] = value
    (folder / "arrays.npy").write_bytes(records(*leaves))
    assert "array 4 holds NaN or infinity" in refusal(folder)


@pytest.mark.parametrize("extra", [b"\0", records(np.zeros(1, np.float32))], ids=["byte", "array"])
def test_more_than_the_tree_names_is_refused(folder, extra):
    with (folder / "arrays.npy").open("ab") as file:
        file.write(extra)
    assert "holds more than the 4 arrays" in refusal(folder)


def test_an_archive_instead_of_arrays_is_refused(folder):
    np.savez(folder / "a.npz", *jax.tree.leaves(TREE))
    os.replace(folder / "a.npz", folder / "arrays.npy")
    assert "damaged at array 1 of 4" in refusal(folder)


def test_an_array_that_announces_more_than_any_machine_holds_is_refused(folder):
    content = records(np.zeros((1000, 1000), np.float32))[:128]
    huge = content.replace(b"(1000, 1000), }    ", b"(1000000000, 1000000000), }")
    assert huge != content
    (folder / "arrays.npy").write_bytes(huge)
    assert "damaged at array 1 of 4" in refusal(folder)


@pytest.mark.parametrize("name", ["arrays.npy", "tree.pkl"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert published.is_published(folder)
    assert f"no file {folder / name}" in refusal(folder)
    (folder / name).mkdir()
    assert f"no file {folder / name}" in refusal(folder)


def test_an_empty_folder_is_not_published(tmp_path):
    assert not published.is_published(tmp_path)
