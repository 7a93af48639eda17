"""Laws of the visual hull: it holds the object, thin parts too, and little else."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from nerf.geometry import lenses
from nerf.geometry.cameras import Cameras, pinhole_rays
from nerf.geometry.lenses import Lens
from nerf.geometry.occupancy import Occupancy, clip_rays, is_empty
from nerf.geometry.world import World
from nerf.scenes import visual_hull as visual_hull_module
from nerf.scenes.image_store import ImageStore
from nerf.scenes.pixel_mask import PixelMask
from nerf.scenes.visual_hull import hull_box, visual_hull
from tests.support.captures import orbit_poses

SIDE, FOCAL, DISTANCE = 64, 90.0, 4.0
BOX = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
NUM_VIEWS = 12


def orbit(lens=False):
    poses = np.asarray(orbit_poses(NUM_VIEWS, DISTANCE))[:, :3]
    cameras = Cameras.pinhole(poses, focal=FOCAL, height=SIDE, width=SIDE, near=1.0, far=9.0)
    if not lens:
        return cameras
    whole = Lens(
        np.full((NUM_VIEWS, 2), FOCAL, np.float32),
        np.full((NUM_VIEWS, 2), 0.5 * SIDE - 2.5, np.float32),
        np.tile(np.array([-0.2, 0.03, 0, 0, 1e-3, -2e-3], np.float32), (NUM_VIEWS, 1)),
        np.zeros(NUM_VIEWS, bool),
    )
    return dataclasses.replace(cameras, lens=whole)


def project(cameras, view, points):
    """Column and row of points `[num, 3]`, by the definition of the camera."""
    camera = cameras[view]
    local = (points - camera.camtoworlds[:, 3]) @ camera.camtoworlds[:, :3]
    slopes = local[:, :2] * [1, -1] / -local[:, 2:]
    if camera.lens is None:
        return slopes * FOCAL + 0.5 * SIDE
    return np.asarray(
        lenses.pixels(jnp.asarray(slopes, jnp.float32), camera.broadcast_to((len(points),)).lens)
    )


def images_of_points(cameras, points, alpha=255):
    """Each point in the pixel that it falls into, and nothing else."""
    images = np.zeros((NUM_VIEWS, SIDE, SIDE, 4), np.uint8)
    for view in range(NUM_VIEWS):
        columns, rows = np.round(project(cameras, view, points)).astype(int).T
        seen = (columns >= 0) & (rows >= 0) & (columns < SIDE) & (rows < SIDE)
        images[view, rows[seen], columns[seen]] = alpha
    return images


def store(images):
    sides = np.full(len(images), SIDE, np.int64)
    return ImageStore(images.reshape(-1, 4), sides, sides, "white", is_transparent=True)


def ball(radius, centre=(0.2, -0.1, 0.1), num=20_000):
    outward = np.random.default_rng(0).normal(size=(num, 3))
    return np.array(centre) + radius * outward / np.linalg.norm(outward, axis=1, keepdims=True)


def wire(num=4000):
    """A line through the box, which leaves one pixel in each image at most."""
    return np.linspace([-0.7, -0.6, 0.5], [0.8, 0.7, -0.6], num)


def cells_of(points, resolution):
    position = (points - np.array(BOX[0])) / 2.0 * np.array(resolution)
    return tuple(np.clip(np.floor(position).astype(int), 0, np.array(resolution) - 1).T)


@pytest.mark.parametrize("lens", [False, True])
@pytest.mark.parametrize("points", [ball(0.4), wire()], ids=["ball", "wire"])
@pytest.mark.parametrize("resolution", [(8, 8, 8), (40, 30, 20)])
def test_it_holds_the_object_even_a_wire_that_is_hardly_opaque(points, lens, resolution):
    cameras = orbit(lens)
    images = store(images_of_points(cameras, points, alpha=1))
    hull = visual_hull(cameras, images, range(NUM_VIEWS), BOX, resolution)
    assert hull[cells_of(points, resolution)].all()


def test_poses_that_are_a_little_wrong_take_nothing_away_where_that_is_said():
    cameras, resolution = orbit(), (40, 30, 20)
    images = store(images_of_points(cameras, wire(), alpha=1))
    positions = cameras.camtoworlds[..., 3] + 0.1 * np.random.default_rng(1).normal(
        size=(NUM_VIEWS, 3)
    )
    moved = np.concatenate([cameras.camtoworlds[..., :3], positions[..., None]], axis=-1)
    wrong = dataclasses.replace(cameras, camtoworlds=moved.astype(np.float32))
    exact, loose = (
        visual_hull(wrong, images, range(NUM_VIEWS), BOX, resolution, are_exact=are_exact)
        for are_exact in (True, False)
    )
    where = cells_of(wire(), resolution)
    assert exact[where].mean() < 0.5
    assert loose[where].all()
    assert loose[exact].all()
    assert loose.mean() < 0.3


def test_the_rays_of_a_wires_pixels_meet_it():
    cameras, resolution = orbit(), (39, 39, 39)
    images = images_of_points(cameras, wire(), alpha=1)
    hull = visual_hull(cameras, store(images), range(NUM_VIEWS), BOX, resolution)
    occupancy = Occupancy(jnp.asarray(hull), *map(jnp.array, BOX))
    views, rows, columns = np.nonzero(images[..., 3])
    some = cameras[views]
    origins, directions = pinhole_rays(jnp.asarray(columns), jnp.asarray(rows), some)
    near, far = jnp.moveaxis(jnp.asarray(some.bounds), -1, 0)
    rays = World.cube(1.0).warp(origins, directions, near, far)
    assert not np.any(is_empty(clip_rays(rays, occupancy)))


def test_it_holds_little_else():
    """Of a ball in many views, little more than the ball and the cells at its border."""
    cameras, resolution, radius = orbit(), (40, 40, 40), 0.4
    points = np.concatenate([ball(r) for r in np.linspace(0.02, radius, 12)])
    images = store(images_of_points(cameras, points))
    hull = visual_hull(cameras, images, range(NUM_VIEWS), BOX, resolution)
    volume = 4 / 3 * np.pi * (radius + 0.15) ** 3
    assert hull.sum() * 0.05**3 < 1.3 * volume
    (x0, y0, z0), (x1, y1, z1) = hull_box(cameras, images, range(NUM_VIEWS), BOX)
    for low, high, centre in ((x0, x1, 0.2), (y0, y1, -0.1), (z0, z1, 0.1)):
        assert centre - radius - 0.3 < low <= centre - radius
        assert centre + radius <= high < centre + radius + 0.3


def test_one_faulty_image_takes_nothing_away():
    cameras, resolution = orbit(), (20, 20, 20)
    images = images_of_points(cameras, ball(0.4))
    images[5] = 0
    hull = visual_hull(cameras, store(images), range(NUM_VIEWS), BOX, resolution)
    assert hull[cells_of(ball(0.4), resolution)].all()


def test_what_only_views_that_were_not_looked_at_may_show_stays(monkeypatch):
    close = dataclasses.replace(orbit(), focal=np.full(NUM_VIEWS, 3 * FOCAL, np.float32))
    nothing = store(np.zeros((NUM_VIEWS, SIDE, SIDE, 4), np.uint8))
    assert not visual_hull(close, nothing, range(1), BOX, (20, 20, 20)).any()
    monkeypatch.setattr("nerf.scenes.visual_hull._MAX_VIEWS", 1)
    occupied = visual_hull(close, nothing, range(NUM_VIEWS), BOX, (20, 20, 20))
    assert 0.1 < occupied.mean() < 0.95


def test_views_that_are_held_out_are_not_looked_at():
    cameras = orbit()
    images = images_of_points(cameras, ball(0.4))
    expected = visual_hull(cameras, store(images), range(6), BOX, (9, 9, 9))
    images[6:] = 0
    np.testing.assert_array_equal(
        visual_hull(cameras, store(images), range(6), BOX, (9, 9, 9)), expected
    )


def test_transparent_images_leave_no_occupied_cell():
    cameras = orbit()
    nothing = store(np.zeros((NUM_VIEWS, SIDE, SIDE, 4), np.uint8))
    assert not visual_hull(cameras, nothing, range(NUM_VIEWS), BOX, (9, 9, 9)).any()
    assert hull_box(cameras, nothing, range(NUM_VIEWS), BOX) is None


def test_views_may_differ_in_size():
    """Parts of images, some of which lack a part of the ball. One program serves all."""
    whole, resolution = orbit(lens=True), (30, 30, 30)
    images = images_of_points(whole, ball(0.3))
    expected = visual_hull(whole, store(images), range(NUM_VIEWS), BOX, resolution)
    sizes = np.array([[SIDE - 7 * (i % 5), SIDE - 10 * (i % 4)] for i in range(NUM_VIEWS)])
    parts = [image[:h, :w] for image, (h, w) in zip(images, sizes.tolist(), strict=True)]
    pixels = np.concatenate([part.reshape(-1, 4) for part in parts])
    mixed = ImageStore(pixels, *sizes.T, "white", is_transparent=True)
    before = visual_hull_module._classify_cells._cache_size()
    cameras = whole.with_sizes(sizes)
    hull = visual_hull(cameras, mixed, range(NUM_VIEWS), BOX, resolution)
    assert visual_hull_module._classify_cells._cache_size() == before
    assert hull[cells_of(ball(0.3), resolution)].all()
    assert expected.sum() <= hull.sum() < 1.2 * expected.sum()
    for view in (1, 7, 11):  # one view shows what it shows without the others
        alone = ImageStore.of(parts[view][None], transparent=True)
        expected = visual_hull(cameras[view][None], alone, [0], BOX, resolution)
        found = visual_hull(cameras, mixed, [view], BOX, resolution)
        np.testing.assert_array_equal(found, expected)


def test_what_a_mask_leaves_out_shows_nothing_and_carves_nothing():
    cameras, resolution = orbit(), (20, 20, 20)
    images = images_of_points(cameras, wire())
    masks = images[..., 3] == 0  # someone stood where the wire is seen
    masked = images * masks[..., None]
    without = dataclasses.replace(store(masked), mask=PixelMask.of(masks))
    hull = visual_hull(cameras, without, range(NUM_VIEWS), BOX, resolution)
    assert hull[cells_of(wire(), resolution)].all()
    carved = visual_hull(cameras, store(masked), range(NUM_VIEWS), BOX, resolution)
    assert not carved[cells_of(wire(), resolution)].any()
