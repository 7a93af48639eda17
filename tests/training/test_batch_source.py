"""Images go to the devices once; after the first step nothing crosses but the batch."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.runtime import parallel
from nerf.training import batch_source
from nerf.training.batch import (
    PixelLayout,
    PixelRuns,
    TrainingViews,
    draw_batch,
    draw_pixels,
    in_strata,
    pixels_of_strata,
)
from nerf.training.state import init_state, state_shardings
from nerf.training.step import make_step
from tests.support.cameras import cameras_at_origin, ndc_of, training_views
from tests.training.test_step import MIST, tiny

NUM_VIEWS, HEIGHT, WIDTH, NUM_RAYS = 5, 30, 40, 12


@pytest.fixture
def views(request):
    channels = getattr(request, "param", 3)
    images = np.random.default_rng(0).random((NUM_VIEWS, HEIGHT, WIDTH, channels))
    return training_views(
        images, cameras_at_origin(NUM_VIEWS, HEIGHT, WIDTH), has_opacity=channels == 4
    )


def step_of(views, **options):
    return make_step(MIST, tiny("notebook"), views, space=ndc_of(views.cameras), **options)


def fresh(key):
    return init_state(MIST, tiny("notebook"), key)


def bits(state):
    leaves = jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    return [np.asarray(leaf) for leaf in leaves]


# What is drawn.


def test_pixels_are_those_of_an_array_of_equal_images(views, key):
    """The same random numbers as ever: runs of earlier versions go on as they would have."""
    drawn = draw_pixels(key, views.layout, 200)
    pixel_key, ray_key = jax.random.split(key)
    shape = (NUM_VIEWS, HEIGHT, WIDTH)
    number = jax.random.randint(pixel_key, (200,), 0, NUM_VIEWS * HEIGHT * WIDTH)
    expected = jnp.unravel_index(number, shape)
    for ours, theirs in zip((drawn.view, drawn.row, drawn.column), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    keys = jax.random.key_data(jax.random.split(ray_key, 200))
    np.testing.assert_array_equal(jax.random.key_data(drawn.ray_keys), keys)


def test_views_of_any_size_and_order_are_drawn_pixel_by_pixel(key):
    """Two of four views, of 2x3 and 4x5 pixels: each of their pixels, and no other."""
    layout = PixelLayout(*(np.array(x, np.int32) for x in ([30, 4], [2, 4], [3, 5])))
    drawn = draw_pixels(key, layout, 3000)
    view, row, column = (np.asarray(x) for x in (drawn.view, drawn.row, drawn.column))
    assert (row < layout.heights[view]).all()
    assert (column < layout.widths[view]).all()
    position = layout.offsets[view] + row * layout.widths[view] + column
    np.testing.assert_array_equal(drawn.position, position)
    assert set(position.tolist()) == {*range(30, 36), *range(4, 24)}
    counts = np.bincount(view)
    np.testing.assert_allclose(counts / 3000, [6 / 26, 20 / 26], atol=0.05)


def test_only_pixels_of_the_mask_are_drawn_and_each_of_them(key):
    """Two views of 3x4 and 2x5 pixels at 4 and 30, of which a mask leaves runs of pixels."""
    layout = PixelLayout(*(np.array(x, np.int32) for x in ([4, 30], [3, 2], [4, 5])))
    runs = [(5, 8), (9, 10), (15, 16), (32, 40)]
    totals = np.cumsum([end - start for start, end in runs])
    mask = PixelRuns(np.array([start for start, _ in runs], np.int32), totals.astype(np.int32))
    drawn = draw_pixels(key, layout, 3000, mask)
    position = np.asarray(drawn.position)
    expected = [pixel for start, end in runs for pixel in range(start, end)]
    assert sorted(set(position.tolist())) == expected
    before = draw_pixels(key, layout, 3000).position
    is_kept = np.isin(before, expected)
    np.testing.assert_array_equal(position[is_kept], before[is_kept])
    counts = np.unique(position, return_counts=True)[1]
    np.testing.assert_allclose(counts / 3000, 1 / len(expected), atol=0.02)
    view = (position >= 30).astype(int)
    np.testing.assert_array_equal(drawn.view, view)
    within = position - np.array([4, 30])[view]
    width = np.array([4, 5])[view]
    np.testing.assert_array_equal(drawn.row, within // width)
    np.testing.assert_array_equal(drawn.column, within % width)


@pytest.mark.parametrize("num_strata", [2, 3, 8])
@pytest.mark.parametrize("total", [8, 13, 30])
def test_each_pixel_has_the_same_share_of_all_strata(num_strata, total):
    """Of all numbers that can be drawn, in all strata; so every mean is that of a uniform draw."""
    numbers = jnp.tile(jnp.arange(total), num_strata)
    found = np.asarray(in_strata(numbers, jnp.int32(total), num_strata))
    np.testing.assert_array_equal(np.bincount(found, minlength=total), num_strata)
    for stratum, own in enumerate(found.reshape(num_strata, total)):
        first, end = pixels_of_strata(stratum, stratum + 1, num_strata, total)
        assert (own.min(), own.max()) == (first, end - 1)


def test_numbers_near_the_largest_do_not_overflow():
    total = 2**31 - 70
    numbers = jnp.full(8, total - 1, jnp.int32)
    found = np.asarray(in_strata(numbers, jnp.int32(total), 8)).tolist()
    assert found == [(stratum * total + total - 1) // 8 for stratum in range(8)]


def test_strata_change_neither_keys_nor_what_a_pixel_is(views, key):
    plain, drawn = (draw_pixels(key, views.layout, 240, num_strata=n) for n in (1, 4))
    keys, same = (jax.random.key_data(x.ray_keys) for x in (drawn, plain))
    np.testing.assert_array_equal(keys, same)
    position = (np.asarray(drawn.view) * HEIGHT + drawn.row) * WIDTH + drawn.column
    np.testing.assert_array_equal(drawn.position, position)
    total, parts = NUM_VIEWS * HEIGHT * WIDTH, position.reshape(4, -1)
    assert all((part * 4 // total == n).all() for n, part in enumerate(parts))


def test_a_mask_that_keeps_all_draws_the_same_pixels_as_none(views, key):
    whole = np.array([NUM_VIEWS * HEIGHT * WIDTH], np.int32)
    mask = PixelRuns(np.zeros(1, np.int32), whole)
    for ours, theirs in zip(
        draw_pixels(key, views.layout, 200, mask), draw_pixels(key, views.layout, 200), strict=True
    ):
        if jnp.issubdtype(ours.dtype, jax.dtypes.prng_key):
            ours, theirs = jax.random.key_data(ours), jax.random.key_data(theirs)
        np.testing.assert_array_equal(ours, theirs)


def test_masked_images_on_the_host_give_the_same_batches(views, key):
    mask = PixelRuns(np.array([7, 1300], np.int32), np.array([40, 200], np.int32))
    masked = dataclasses.replace(views, mask=mask)
    mesh = parallel.make_mesh(NUM_RAYS)
    step = jax.device_put(np.int32(3))
    on_device = batch_source.draw_on_devices(mesh, masked, NUM_RAYS)(key, step)
    on_host = batch_source.HostDraw(mesh, masked, NUM_RAYS)(key, step)
    for ours, theirs in ((on_device.pixels, on_host.pixels), (on_device.column, on_host.column)):
        np.testing.assert_array_equal(ours, theirs)
    assert masked.num_rays == 200


def test_colours_are_the_stored_ones(views, key):
    batch = draw_batch(key, views, 100)
    images = views.pixels.reshape(NUM_VIEWS, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(batch.pixels, images[batch.view, batch.row, batch.column])


# Where images are.


def test_all_devices_of_a_cpu_use_the_memory_that_the_images_are_in(views):
    pixels = np.empty(views.pixels.size + 64, np.uint8)
    start = -pixels.ctypes.data % 64
    aligned = pixels[start : start + views.pixels.size].reshape(views.pixels.shape)
    placed = parallel.replicate(parallel.make_mesh(2), aligned, may_alias=True)
    shards = [shard.data for shard in placed.addressable_shards]
    assert [shard.unsafe_buffer_pointer() for shard in shards] == [aligned.ctypes.data] * 2


@pytest.mark.parametrize("views", [3, 4], indirect=True)
@pytest.mark.parametrize("calls", [[1, 1, 1, 1], [1, 3]])
def test_images_on_the_host_give_the_same_training_to_the_bit(views, key, calls):
    states = []
    for image_memory in (1.0, 0.0):
        state, step = fresh(key), step_of(views, image_memory=image_memory)
        for num_steps in calls:
            state, _ = step(state, num_steps)
        states.append(bits(state))
    for ours, theirs in zip(*states, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_batch_of_another_step_or_key_is_not_the_one_drawn_ahead(views, key):
    mesh = parallel.make_mesh(NUM_RAYS)
    host = batch_source.HostDraw(mesh, views, NUM_RAYS)
    devices = batch_source.draw_on_devices(mesh, views, NUM_RAYS)
    other = jax.random.key(7)
    for run_key, number in ((key, 0), (key, 1), (key, 5), (other, 6), (other, 7), (other, 7)):
        arguments = parallel.replicate(mesh, (run_key, jnp.int32(number)))
        for ours, theirs in zip(
            *(jax.tree.leaves(draw(*arguments)) for draw in (host, devices)), strict=True
        ):
            if jnp.issubdtype(ours.dtype, jax.dtypes.prng_key):
                ours, theirs = jax.random.key_data(ours), jax.random.key_data(theirs)
            np.testing.assert_array_equal(ours, theirs)


def test_only_images_beyond_their_memory_stay_on_the_host(views, monkeypatch):
    mesh = parallel.make_mesh(NUM_RAYS)
    num_bytes = views.pixels.nbytes
    for memory, is_host in ((2 * num_bytes, False), (2 * num_bytes - 2, True)):
        monkeypatch.setattr(batch_source.devices, "device_memory", lambda _, n=memory: n)
        draw = batch_source.make_draw(mesh, views, NUM_RAYS, 0.5)
        assert isinstance(draw, batch_source.HostDraw) == is_host


# What crosses.


class Crossings:
    """Bytes that `jax.device_put` and `jax.device_get` are given, of arrays not yet in place."""

    def __init__(self, monkeypatch):
        self.calls, self.num_bytes = 0, 0
        for name in ("device_put", "device_get"):
            monkeypatch.setattr(jax, name, self._counted(getattr(jax, name)))

    def _counted(self, function):
        def counted(tree, *arguments, **keywords):
            self.calls += 1
            self.num_bytes += sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
            return function(tree, *arguments, **keywords)

        return counted


def guarded():
    """Explicit transfers are errors, too; on a CPU the guards see only some of them."""
    stack = contextlib.ExitStack()
    stack.enter_context(jax.transfer_guard("disallow_explicit"))
    stack.enter_context(jax.transfer_guard_device_to_device("disallow_explicit"))
    return stack


def crossings_after_the_first_step(views, key, monkeypatch, num_steps=4, **options):
    step = step_of(views, **options)
    state, _ = step(fresh(key))
    crossings = Crossings(monkeypatch)
    with guarded() if not options else contextlib.nullcontext():
        for _ in range(num_steps):
            state, _ = step(state)
    return crossings


def test_nothing_crosses_after_the_first_step(views, key, monkeypatch):
    crossings = crossings_after_the_first_step(views, key, monkeypatch)
    assert (crossings.calls, crossings.num_bytes) == (0, 0)


def test_of_images_on_the_host_only_the_batch_crosses(views, key, monkeypatch):
    batch = jax.eval_shape(lambda: draw_batch(key, views, NUM_RAYS))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(batch))
    crossings = crossings_after_the_first_step(views, key, monkeypatch, image_memory=0.0)
    assert 0 < crossings.num_bytes <= (size + 4) * 6  # one drawn ahead, and the number of each step
    assert size * 6 < views.pixels.nbytes


def test_the_state_stays_where_the_step_has_put_it(views, key):
    step = step_of(views)
    state, _ = step(fresh(key))
    mesh = parallel.make_mesh(NUM_RAYS)
    assert parallel.is_placed(state_shardings(mesh, state), state)
    assert not parallel.is_placed(state_shardings(mesh, state), fresh(key))


@pytest.mark.parametrize("num_rays", [NUM_RAYS, 1], ids=["all_devices", "one_device"])
def test_only_the_first_step_compiles(views, key, num_rays, caplog):
    step = make_step(MIST, tiny("notebook", num_rays=num_rays), views, space=ndc_of(views.cameras))
    compiled = []
    state = fresh(key)
    for _ in range(3):
        caplog.clear()
        with jax.log_compiles():
            state, _ = step(state)
        compiled.append([text for text in caplog.messages if text.startswith("Compiling")])
    assert any("step" in text for text in compiled[0])
    assert compiled[1:] == [[], []]


def test_a_step_that_places_its_images_again_would_be_seen(views, key, monkeypatch):
    """Else the laws above would hold for anything."""
    place = batch_source.draw_on_devices

    def forgetful(mesh, views, num_rays):
        return lambda key, step: place(mesh, views, num_rays)(key, step)

    monkeypatch.setattr(batch_source, "draw_on_devices", forgetful)
    step = step_of(views)
    state, _ = step(fresh(key))
    crossings = Crossings(monkeypatch)
    step(state)
    assert crossings.num_bytes > views.pixels.nbytes


def test_views_know_how_many_pixels_there_are_to_draw_from():
    layout = PixelLayout(*(np.array(x, np.int32) for x in ([0, 6], [2, 4], [3, 5])))
    assert TrainingViews(np.zeros((26, 3), np.uint8), layout, None).num_rays == 26
