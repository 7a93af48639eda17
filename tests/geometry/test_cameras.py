"""Laws of cameras: rays through pixels, other sizes and places, and what JAX may do with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.geometry.cameras import (
    Cameras,
    common_size,
    pinhole_rays,
    pixel_cameras,
    stack_cameras,
)
from nerf.geometry.lenses import Lens
from tests.support.cameras import (
    FOCAL,
    HEIGHT,
    WIDTH,
    cameras_at_origin,
    forward_cameras,
    forward_facing,
    random_pixels,
    world_rays,
)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
def test_pinhole_rays_equal_a_loop(pixel_offset):
    (columns, rows), poses = random_pixels(20), forward_facing(20)
    focal = np.linspace(3.0, 9.0, 20)
    cameras = Cameras.pinhole(poses, focal=focal, height=HEIGHT, width=WIDTH, near=1.0, far=9.0)
    origins, directions = pinhole_rays(columns, rows, cameras, pixel_offset=pixel_offset)
    for n in range(20):
        right, up, back, _ = poses[n].astype(np.float64).T
        x = (int(columns[n]) + pixel_offset - WIDTH / 2) / focal[n]
        y = (int(rows[n]) + pixel_offset - HEIGHT / 2) / focal[n]
        np.testing.assert_allclose(directions[n], x * right - y * up - back, atol=1e-6)
        np.testing.assert_array_equal(origins[n], poses[n][:, 3], strict=True)


def test_the_ray_parameter_is_depth_along_the_viewing_axis():
    _, directions = world_rays()
    back = forward_facing(20)[:, :, 2]
    np.testing.assert_allclose(np.sum(directions * back, axis=-1), -1.0, atol=1e-6)


def test_without_offset_the_middle_pixel_looks_along_the_axis():
    camera = cameras_at_origin(1, HEIGHT, WIDTH)[0]
    _, direction = pinhole_rays(jnp.array(WIDTH // 2), jnp.array(HEIGHT // 2), camera)
    np.testing.assert_array_equal(direction, [0, 0, -1])


def test_with_half_an_offset_opposite_corners_look_opposite_ways():
    columns, rows = jnp.array([0, WIDTH - 1]), jnp.array([0, HEIGHT - 1])
    cameras = cameras_at_origin(2, HEIGHT, WIDTH)
    _, (first, last) = pinhole_rays(columns, rows, cameras, pixel_offset=0.5)
    np.testing.assert_allclose(first[:2], -last[:2], atol=1e-7)
    assert first[0] < 0 < first[1]  # the first pixel is on the upper left


@pytest.mark.parametrize(("height", "width"), [(12, 16), (3, 4), (18, 24), (6, 2)])
def test_resized_cameras_keep_the_field_of_view(height, width):
    cameras = forward_cameras(2)
    resized = cameras.resized(height, width)
    assert (resized.height, resized.width) == (height, width)
    np.testing.assert_allclose(resized.width / resized.focal, WIDTH / FOCAL, rtol=1e-6)
    np.testing.assert_array_equal(resized.camtoworlds, cameras.camtoworlds)
    np.testing.assert_array_equal(resized.bounds, cameras.bounds)
    upright = cameras_at_origin(1, HEIGHT, WIDTH, focal=FOCAL)[0]
    edges = [
        pinhole_rays(jnp.array(0), jnp.array(0), some)[1][0]
        for some in (upright, upright.resized(height, width))
    ]
    np.testing.assert_allclose(edges[0], edges[1], rtol=1e-6)


def test_cameras_of_a_path_have_the_mean_focal_length_and_see_all_depths():
    given = Cameras.pinhole(
        forward_facing(3), focal=[4, 5, 9], height=6, width=8, near=[1, 2, 3], far=[7, 9, 8]
    )
    path = given.at(forward_facing(5, seed=3))
    np.testing.assert_array_equal(path.camtoworlds, forward_facing(5, seed=3))
    np.testing.assert_array_equal(path.focal, np.full(5, 6.0, np.float32), strict=True)
    np.testing.assert_array_equal(path.bounds, np.tile(np.float32([1, 9]), (5, 1)), strict=True)
    assert (path.height, path.width, path.lens) == (6, 8, None)


# As a pytree.


def with_lenses(cameras):
    num = len(cameras.focal)
    lens = Lens(np.float32(np.random.default_rng(0).random((num, 2))), np.ones((num, 2)))
    return Cameras(
        cameras.camtoworlds, cameras.focal, cameras.bounds, cameras.height, cameras.width, lens
    )


@pytest.mark.parametrize("cameras", [forward_cameras(4), with_lenses(forward_cameras(4))])
def test_a_camera_is_picked_with_all_that_it_has(cameras):
    for chosen in (cameras[2], pixel_cameras(cameras, jnp.array([0, 2]))[1]):
        assert chosen.camtoworlds.shape == (3, 4)
        assert chosen.focal.shape == ()
        for found, every in zip(jax.tree.leaves(chosen), jax.tree.leaves(cameras), strict=True):
            np.testing.assert_array_equal(found, every[2])
    assert_same(cameras[1:3][1], cameras[2])
    assert_same(cameras[None][0], cameras)


def test_repeated_cameras_are_the_same_camera():
    cameras = with_lenses(forward_cameras(3))
    repeated = cameras[:, None].broadcast_to((3, 5))
    assert repeated.lens.focal.shape == (3, 5, 2)
    for number in range(5):
        assert_same(repeated[:, number], cameras)
    assert_same(cameras[1].broadcast_to((2, 4))[1, 3], cameras[1])


def test_only_the_size_is_static():
    """Another focal length compiles nothing; another size does."""
    traces = []

    @jax.jit
    def trace(cameras):
        traces.append(cameras.height)
        return cameras

    trace(cameras_at_origin(2, 3, 4, focal=4.0))
    trace(cameras_at_origin(2, 3, 4, focal=5.0, near=0.1))
    assert traces == [3]
    assert trace(cameras_at_origin(2, 5, 4)).height == 5
    assert traces == [3, 5]


# Several sizes.


SIZES = np.array([[6, 8], [8, 6], [3, 4], [6, 8]], np.int32)


def several_sizes():
    return with_lenses(forward_cameras(4)).with_sizes(SIZES)


def test_one_camera_of_several_sizes_has_its_own():
    cameras = several_sizes()
    for index, size in enumerate(SIZES.tolist()):
        camera = cameras[index]
        assert [camera.height, camera.width] == size
        assert camera.sizes is None
        np.testing.assert_array_equal(camera.lens.focal, cameras.lens.focal[index])
    np.testing.assert_array_equal(cameras.image_sizes, SIZES)
    np.testing.assert_array_equal(cameras[np.array([2, 0])].sizes, SIZES[[2, 0]])
    assert (cameras[1:][1].height, cameras[1:][1].width) == (3, 4)


def test_cameras_of_one_size_do_not_carry_it():
    for cameras in (forward_cameras(4), with_lenses(forward_cameras(4))):
        np.testing.assert_array_equal(cameras.image_sizes, [[HEIGHT, WIDTH]] * 4)
        assert_same(cameras.with_sizes([[HEIGHT, WIDTH]] * 4), cameras)
        other = cameras.with_sizes([[3, 4]] * 4)
        assert (other.height, other.width, other.sizes) == (3, 4, None)


def test_without_a_lens_sizes_must_not_differ():
    with pytest.raises(ValueError, match="must have a lens"):
        forward_cameras(4).with_sizes(SIZES)


def test_rays_through_pixels_do_not_depend_on_the_sizes():
    cameras, views = several_sizes(), jnp.array([3, 0, 2, 1, 1])
    plain = with_lenses(forward_cameras(4))
    columns, rows = jnp.array([7, 0, 3, 5, 2]), jnp.array([5, 1, 2, 7, 0])
    found = pinhole_rays(columns, rows, pixel_cameras(cameras, views))
    for ours, theirs in zip(found, pinhole_rays(columns, rows, plain[views]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([[6, 8], [8, 6], [3, 4], [6, 8]], (6, 8)),  # the most common
        ([[8, 6], [6, 8]], (6, 8)),  # of portrait and landscape, landscape
        ([[30, 40], [3, 4], [6, 8]], (6, 8)),  # the middle one
        ([[5, 5]], (5, 5)),
    ],
)
def test_the_common_size_is_that_of_most_images_or_the_middle_one(sizes, expected):
    for order in (sizes, sizes[::-1]):
        assert common_size(np.array(order)) == expected


def test_single_cameras_are_stacked_whatever_their_sizes():
    cameras = several_sizes()
    assert_same(stack_cameras([cameras[index] for index in range(4)]), cameras)
    plain = forward_cameras(4)
    assert_same(stack_cameras([plain[index] for index in range(4)]), plain)


def test_a_path_sees_as_much_as_the_cameras_along_the_longer_side():
    """Images of one camera, portrait, landscape, and scaled down."""
    focal = np.array([5.0, 5.0, 2.5, 5.0], np.float32)
    lens = Lens(np.stack([focal, focal], axis=-1), np.ones((4, 2), np.float32))
    poses = forward_facing(4)
    cameras = Cameras(poses, focal, forward_cameras(4).bounds, 0, 0, lens).with_sizes(SIZES)
    path = cameras.at(forward_facing(2, seed=3))
    assert (path.height, path.width, path.sizes) == (6, 8, None)
    np.testing.assert_array_equal(path.focal, np.full(2, 5.0, np.float32))


def test_cameras_of_several_sizes_are_resized_as_each_of_them_is():
    cameras = several_sizes()
    for change in (
        lambda some: some.resized(3, 5),
        lambda some: some.shrunk(3, 2, pixel_offset=0.5),
    ):
        together = change(cameras)
        for index in range(4):
            assert_same(together[index], change(cameras[index]))
