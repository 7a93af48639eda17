"""Laws of checkpoints: going on is exact, the last few stay, damage and misfits are refused."""

import asyncio
import contextlib
import dataclasses
import functools
import gc
import logging
import shutil
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config import presets
from nerf.errors import UserError
from nerf.field import make_field
from nerf.runs import checkpoints
from nerf.runs.checkpoints import Checkpoints, read_state
from nerf.runs.metrics import MetricsLog
from nerf.training import health, loop
from nerf.training.state import TrainState, init_state
from nerf.training.step import make_step
from tests.support.cameras import cameras_at_origin, ndc_of, views_from_origin
from tests.support.full_disk import full_disk

pytestmark = pytest.mark.slow

PRESETS = ["notebook", "paper"]
HEIGHT, WIDTH = 3, 4


def tiny(preset, width=8):
    base = presets.preset(preset)
    encoding = dataclasses.replace(base.field.point_encoding, num_frequencies=2)
    return dataclasses.replace(
        base,
        field=dataclasses.replace(
            base.field, point_encoding=encoding, num_layers=2, skip_layer=1, width=width
        ),
        render=dataclasses.replace(base.render, num_coarse=4, num_fine=4),
        train=dataclasses.replace(base.train, num_rays=8, num_steps=6),
    )


def fresh(backend, preset, seed=0, width=8):
    settings = tiny(preset, width)
    field = make_field(backend, "mlp", settings.field)
    state = init_state(field, settings, jax.random.key(seed))
    return jax.device_put(state, jax.devices()[0])  # as Orbax returns it: one compilation for both


def bits(state):
    """Every array of a state, the key as its bits."""
    key = np.asarray(jax.random.key_data(state.key))
    return jax.tree.map(np.asarray, state._replace(key=key))


def assert_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, bits(first), bits(second))
    assert str(jax.random.key_impl(first.key)) == str(jax.random.key_impl(second.key))


def saved(folder, states):
    with Checkpoints(folder) as opened:
        for state in states:
            opened.save(state)


def restored(folder, like):
    with Checkpoints(folder) as opened:
        return opened.restore(like).state


def small(step, value=0.0):
    """A state of a few numbers; it depends on its step."""
    params = {"shared": {"w": jnp.arange(6.0).reshape(2, 3) + step, "b": jnp.full(3, value)}}
    return TrainState(params, (jnp.int32(7),), jnp.int32(step), jax.random.key(step), health.init())


def steps_on_disk(folder, kind="checkpoints"):
    return sorted(path.name for path in (folder / kind).iterdir())


# Exactness.


@functools.cache
def step_of(backend, preset):
    settings = tiny(preset)
    field = make_field(backend, "mlp", settings.field)
    space = ndc_of(cameras_at_origin(1, HEIGHT, WIDTH))
    views = views_from_origin(jax.random.uniform(jax.random.key(5), (1, HEIGHT, WIDTH, 3)))
    return make_step(field, settings, views, space=space, rays_per_microbatch=4)


def train(backend, preset, folder, num_steps, state):
    """Resumes what the folder holds, as a new process would."""
    folder.mkdir(exist_ok=True)
    with Checkpoints(folder) as opened:
        if opened.latest_step is not None:
            state = opened.restore(state).state
        with MetricsLog(folder) as log:
            return loop.train(
                step_of(backend, preset),
                state,
                num_rays=8,
                log=log,
                config=loop.LoopConfig(num_steps),
                hooks=loop.Hooks(save=opened.save),
            )


@pytest.mark.parametrize("preset", PRESETS)
def test_three_steps_and_three_more_equal_six(tmp_path, backend, preset):
    whole = train(backend, preset, tmp_path / "whole", 6, fresh(backend, preset))
    train(backend, preset, tmp_path / "halves", 3, fresh(backend, preset))
    shutil.move(tmp_path / "halves", tmp_path / "moved")
    other_seed = fresh(backend, preset, seed=1)
    halves = train(backend, preset, tmp_path / "moved", 6, other_seed)
    assert halves.step == 6
    assert_equal(halves, whole)
    assert_equal(restored(tmp_path / "moved", fresh(backend, preset)), whole)
    before = fresh(backend, preset)
    for old, new in zip(jax.tree.leaves(before.params), jax.tree.leaves(whole.params), strict=True):
        assert not np.array_equal(old, new)


def test_every_bit_comes_back(tmp_path):
    odd = jnp.array([-0.0, 1e-45, 3.4e38], jnp.float32)
    state = small(5)._replace(params={"shared": {"w": odd}})
    saved(tmp_path, [state])
    like = small(0)._replace(params={"shared": {"w": jnp.zeros(3)}})
    back = restored(tmp_path, like)
    assert_equal(back, state)
    assert np.signbit(np.asarray(back.params["shared"]["w"])[0])


# What is kept.


def test_the_newest_three_are_kept(tmp_path):
    with Checkpoints(tmp_path) as opened:
        assert opened.latest_step is None
        for step in (1, 2, 5, 8, 9):
            opened.save(small(step))
        assert opened.latest_step == 9
    assert steps_on_disk(tmp_path) == ["5", "8", "9"]
    assert_equal(restored(tmp_path, small(0)), small(9))


def test_the_best_two_are_kept_beside_the_newest(tmp_path):
    with Checkpoints(tmp_path) as opened:
        for step, score in {1: 20.0, 2: 25.0, 3: None, 5: 24.0, 8: 21.0, 9: None}.items():
            opened.save(small(step), score)
    assert steps_on_disk(tmp_path) == ["5", "8", "9"]
    assert steps_on_disk(tmp_path, "best") == ["2", "5"]
    with Checkpoints(tmp_path) as opened:  # what was best before counts after a pause
        opened.save(small(12), 22.0)
        opened.save(small(15), 24.5)
    assert steps_on_disk(tmp_path, "best") == ["15", "2"]


def test_without_scores_there_is_no_folder_of_the_best(tmp_path):
    saved(tmp_path, [small(1)])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_step_saved_before_is_left_alone(tmp_path):
    saved(tmp_path, [small(2, value=1.0)])
    saved(tmp_path, [small(2, value=5.0)])
    assert_equal(restored(tmp_path, small(0)), small(2, value=1.0))


def test_the_state_may_change_as_soon_as_save_returns(tmp_path):
    """The step takes over the state's buffers while it is being written."""
    consume = jax.jit(lambda state: jax.tree.map(lambda x: x, state), donate_argnums=0)
    state = small(4)
    with Checkpoints(tmp_path) as opened:
        opened.save(state)
        consume((state.params, state.opt_state, state.step))
    assert_equal(restored(tmp_path, small(0)), small(4))


# Damage.


def cut_to_nothing(path):
    path.write_bytes(b"")


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bits(path):
    content = bytearray(path.read_bytes())
    for position in range(len(content) // 8, len(content), max(len(content) // 4, 1)):
        content[position] ^= 0x10
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [cut_to_nothing, cut_in_half, flip_bits, Path.unlink])
def test_a_damaged_state_is_put_aside_and_the_one_before_it_serves(tmp_path, harm):
    """Never a state that was not saved."""
    whole = tmp_path / "whole"
    saved(whole, [small(3), small(6)])
    inside = [path for path in sorted((whole / "checkpoints" / "6").rglob("*")) if path.is_file()]
    notices = []
    for number, path in enumerate(inside):
        run_dir = shutil.copytree(whole, tmp_path / str(number))
        harm(run_dir / path.relative_to(whole))
        with Checkpoints(run_dir) as opened:
            state, notice = opened.restore(small(0))
            if notice is None:
                assert_equal(state, small(6))
                continue
            notices.append(notice)
            assert_equal(state, small(3))
            opened.save(small(6, value=1.0))  # the run comes by there again
        assert steps_on_disk(run_dir) == ["3", "6"]
        assert steps_on_disk(run_dir, "damaged") == ["6"]
        assert_equal(restored(run_dir, small(0)), small(6, value=1.0))
    assert len(notices) >= 3
    for notice in notices:
        assert notice.startswith("the state of step 6 is damaged (")
        assert notice.endswith("the state of step 3 is used")
        assert "\n" not in notice


def num_coroutines_of_orbax():
    coroutines = [each for each in gc.get_objects() if isinstance(each, types.CoroutineType)]
    return sum("orbax" in each.cr_code.co_filename for each in coroutines)


@pytest.mark.parametrize("harm", [cut_to_nothing, flip_bits])
def test_reads_that_were_given_up_are_gone_when_the_checkpoints_are_closed(tmp_path, harm):
    """Later they would complain when they are collected, which can be at any time."""
    saved(tmp_path, [small(3), small(6)])
    for path in (tmp_path / "checkpoints" / "6").rglob("*"):
        if path.is_file() and path.stat().st_size > 0:
            harm(path)
    gc.collect()
    before = num_coroutines_of_orbax()
    gc.disable()  # or they might be collected by chance
    try:
        with Checkpoints(tmp_path) as opened:
            assert opened.restore(small(0)).notice is not None
        assert num_coroutines_of_orbax() <= before
    finally:
        gc.enable()


def test_a_value_that_was_changed_unnoticed_by_the_format_is_noticed(tmp_path, monkeypatch):
    """As a flipped bit in a file without checksums of its own would be."""
    saved(tmp_path, [small(3), small(6)])
    true_checksum = checkpoints.parameters.checksum
    monkeypatch.setattr(
        checkpoints.parameters,
        "checksum",
        lambda tree: true_checksum(tree) ^ int(tree["step"] == 6),
    )
    with Checkpoints(tmp_path) as opened:
        state, notice = opened.restore(small(0))
    assert_equal(state, small(3))
    assert "its checksum is another" in notice


def test_where_every_state_is_damaged_nothing_is_moved(tmp_path):
    saved(tmp_path, [small(3), small(6)])
    for step in ("3", "6"):
        cut_in_half(
            next(path for path in (tmp_path / "checkpoints" / step).rglob("manifest.ocdbt"))
        )
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(
        UserError, match=r"no training state .*\(step 6: .*; step 3: .*`resume=False`"
    ):
        restored(tmp_path, small(0))
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_an_unfinished_save_is_not_the_newest(tmp_path):
    saved(tmp_path, [small(3)])
    unfinished = tmp_path / "checkpoints" / "6.orbax-checkpoint-tmp-1"
    shutil.copytree(tmp_path / "checkpoints" / "3", unfinished)
    (unfinished / "commit_success.txt").unlink(missing_ok=True)  # newer Orbax writes it
    with Checkpoints(tmp_path) as opened:
        assert opened.latest_step == 3
    assert_equal(restored(tmp_path, small(0)), small(3))


def test_an_empty_state_is_passed_over(tmp_path):
    saved(tmp_path, [small(3)])
    (tmp_path / "checkpoints" / "6").mkdir()
    assert_equal(restored(tmp_path, small(0)), small(3))
    assert steps_on_disk(tmp_path, "damaged") == ["6"]


def large(step):
    """A state whose file is larger than the disk of `SMALL_DISK` bytes."""
    noise = jax.random.normal(jax.random.key(0), (300, 300))
    return small(step)._replace(params={"shared": {"w": noise}})


SMALL_DISK = 1 << 16


def test_a_full_disk_is_explained_and_leaves_the_state_before(tmp_path):
    saved(tmp_path, [small(3)])
    expected = pytest.raises(UserError, match=r"step 6 could not be saved .*make room")
    with expected as caught, full_disk(SMALL_DISK):
        saved(tmp_path, [large(6)])
    assert "\n" not in str(caught.value)
    assert steps_on_disk(tmp_path) == ["3"]
    assert_equal(restored(tmp_path, small(0)), small(3))


def test_a_full_disk_does_not_hide_what_went_wrong_before(tmp_path):
    def fail():
        with Checkpoints(tmp_path) as opened:
            opened.save(large(6))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), full_disk(SMALL_DISK):
        fail()


def test_of_several_writes_that_fail_at_once_one_is_enough(tmp_path, caplog):
    """The exceptions of the others are nobody's, and asyncio tells of each with a traceback."""

    async def fail():
        raise ZeroDivisionError

    async def give_up():
        write = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        del write
        gc.collect()

    with Checkpoints(tmp_path) as opened:
        opened.save(small(3))
        asyncio.run(give_up())
    assert "ZeroDivisionError" not in caplog.text
    asyncio.run(give_up())  # and afterwards nobody's complaints are hidden
    assert "ZeroDivisionError" in caplog.text


# Reading alone.


def test_the_state_of_another_run_is_read_and_its_folder_left_alone(tmp_path):
    saved(tmp_path, [small(3), small(6)])
    cut_in_half(next(path for path in (tmp_path / "checkpoints" / "6").rglob("manifest.ocdbt")))
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    assert_equal(read_state(tmp_path, small(0)), small(3))
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


# Misfits.


@pytest.mark.parametrize(
    "other",
    [
        {"preset": "notebook"},  # one network where there were two
        {"width": 16},
        {"backend": "haiku"},
    ],
)
def test_a_state_of_another_structure_is_refused_and_left_alone(tmp_path, other):
    state = fresh("flax", "paper")
    saved(tmp_path, [state])
    like = fresh(**{"backend": "flax", "preset": "paper", **other})
    with pytest.raises(UserError, match=r"no training state .*\(step 0: ") as caught:
        restored(tmp_path, like)
    assert "\n" not in str(caught.value)
    assert_equal(restored(tmp_path, fresh("flax", "paper", seed=1)), state)


def test_nothing_of_the_process_is_changed_for_good(tmp_path):
    """Hook, filters and levels are afterwards what they were, also after a failure."""

    def globals_of_the_process():
        loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
        return sys.unraisablehook, [(x.level, list(x.filters)) for x in loggers]

    before = globals_of_the_process()
    with Checkpoints(tmp_path) as opened:
        opened.save(small(3))
    assert globals_of_the_process() == before
    with contextlib.suppress(ZeroDivisionError), Checkpoints(tmp_path) as opened:
        opened.save(small(6))
        raise ZeroDivisionError
    assert globals_of_the_process() == before
