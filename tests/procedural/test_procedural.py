"""Laws of the bundled scenes."""

import numpy as np
import pytest

from nerf import procedural
from nerf.procedural import tracing, views
from nerf.procedural.rig import PHOTO_FOCAL, PHOTO_WIDTH, camera_poses, view_order
from nerf.procedural.surfaces import distance, intersect
from nerf.procedural.views import find_scene

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 35, 47


@pytest.fixture(scope="module", params=["flower", "room"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def rendered(name):
    return procedural.render_views(name, HEIGHT, WIDTH, supersample=2)


def camera_rays(row, height, width, columns, rows):
    """Origin `[3]` and directions `[..., 3]`, written out from LLFF's convention."""
    matrix = row[:15].reshape(3, 5)
    right, up, back = matrix[:, 1], -matrix[:, 0], matrix[:, 2]
    focal = matrix[2, 4] * width / matrix[1, 4]
    x, y = (columns - width / 2) / focal, -(rows - height / 2) / focal
    return matrix[:, 3], x[..., None] * right + y[..., None] * up - back


def all_rays(row):
    rows, columns = np.indices((HEIGHT, WIDTH)).astype(float)
    return camera_rays(row, HEIGHT, WIDTH, columns, rows)


def project(row, points, height, width):
    """Pixel positions (column, row) and depth `[N]` of world points `[N, 3]`."""
    matrix = row[:15].reshape(3, 5)
    offset = points - matrix[:, 3]
    depth = -(offset @ matrix[:, 2])
    focal = matrix[2, 4] * width / matrix[1, 4]
    column = offset @ matrix[:, 1] / depth * focal + width / 2
    row_position = offset @ matrix[:, 0] / depth * focal + height / 2
    return column, row_position, depth


def test_views_have_the_promised_number_shape_and_type(name, rendered):
    count = {"flower": 34, "room": 41}[name]
    assert rendered.images.shape == (count, HEIGHT, WIDTH, 3)
    assert rendered.images.dtype == np.uint8
    assert rendered.depth.shape == (count, HEIGHT, WIDTH)
    assert rendered.depth.dtype == np.float32
    assert rendered.poses_bounds.shape == (count, 17)
    assert rendered.poses_bounds.dtype == np.float64


def test_a_scene_made_again_gives_the_same_pixels(name, rendered):
    views._scene.cache_clear()
    views._bounds.cache_clear()
    again = procedural.render_views(name, HEIGHT, WIDTH, [0, 5], supersample=2)
    np.testing.assert_array_equal(again.images, rendered.images[[0, 5]])
    np.testing.assert_array_equal(again.depth, rendered.depth[[0, 5]])
    np.testing.assert_array_equal(again.poses_bounds, rendered.poses_bounds[[0, 5]])


def test_depth_ends_on_a_surface_and_nothing_lies_in_front(name, rendered):
    surfaces = views._scene(name)[0].surfaces
    for view in (0, 20):
        origin, directions = all_rays(rendered.poses_bounds[view])
        directions = directions.reshape(-1, 3)[::7]
        depth = rendered.depth[view].reshape(-1)[::7]
        hit = procedural.trace(name, origin, directions)
        np.testing.assert_allclose(hit.t, depth, rtol=1e-6)
        at = origin + hit.t[:, None] * directions
        for index in np.unique(hit.surface):
            chosen = hit.surface == index
            assert distance(surfaces[index], at[chosen]).max() < 1e-9
        # Every surface, without the bounding spheres.
        nearest = np.min([intersect(s, origin[None], directions, 1e-6) for s in surfaces], axis=0)
        np.testing.assert_array_equal(nearest, hit.t)


def test_depth_is_along_the_viewing_axis(name, rendered):
    row = rendered.poses_bounds[3]
    origin, directions = all_rays(row)
    back = row[:15].reshape(3, 5)[:, 2]
    np.testing.assert_allclose(-(directions @ back), 1.0, atol=1e-12)
    length = np.linalg.norm(directions, axis=-1)
    hit = procedural.trace(name, origin, directions / length[..., None])
    np.testing.assert_allclose(hit.t / length, rendered.depth[3], rtol=1e-6)


def test_bounds_contain_every_depth_and_are_at_most_tenfold(rendered):
    near, far = rendered.poses_bounds[:, 15], rendered.poses_bounds[:, 16]
    assert np.isfinite(rendered.depth).all()
    assert (rendered.depth.min(axis=(1, 2)) > near).all()
    assert (rendered.depth.max(axis=(1, 2)) < far).all()
    assert near.min() > 0
    assert far.max() / near.min() < 10


def test_bounds_do_not_depend_on_the_resolution(name, rendered):
    small = procedural.render_views(name, 5, 7, [2]).poses_bounds
    np.testing.assert_array_equal(small, rendered.poses_bounds[[2]])


def test_two_views_agree_where_they_see_the_same_point(name, rendered):
    """A point of view a, projected into view b and visible there, has nearly the same colour."""
    a, b = rendered.poses_bounds[0], rendered.poses_bounds[12]
    origin, directions = all_rays(a)
    at = (origin + rendered.depth[0][..., None] * directions).reshape(-1, 3)
    column, row, depth = project(b, at, HEIGHT, WIDTH)
    inside = (column > 0) & (column < WIDTH - 1) & (row > 0) & (row < HEIGHT - 1)
    towards_b = procedural.trace(name, *camera_rays(b, HEIGHT, WIDTH, column, row))
    visible = inside & (np.abs(towards_b.t - depth) < 1e-4)
    assert visible.mean() > 0.5
    towards_a = procedural.trace(name, origin, directions.reshape(-1, 3))
    difference = np.abs(towards_a.rgb - towards_b.rgb)[visible].max(axis=-1)
    assert np.median(difference) < 0.01
    assert np.quantile(difference, 0.99) < 0.06
    # Gloss depends on the view.
    assert np.mean(difference > 0.004) > 0.02


def test_a_pixel_is_the_mean_of_the_boxes_that_fill_its_own(name):
    """Pixel i covers (i - 1/2, i + 1/2). At three times the size, pixels 3i - 1 to 3i + 1 fill it.

    An odd factor is needed: a finer pixel is centred on its ray too, so with an even one the boxes
    of the two grids do not nest. The focal length follows the width, so the width must be exact;
    the centre's row, H/2, scales with the height.
    """
    coarse = procedural.render_views(name, 24, 30, [7], supersample=6)
    fine = procedural.render_views(name, 72, 90, [7], supersample=2)
    linear = _to_linear(fine.images[0])
    expected = _to_linear(coarse.images[0])[1:, 1:]
    boxes = linear[2:-1, 2:-1].reshape(23, 3, 29, 3, 3).mean(axis=(1, 3))
    error = np.abs(boxes - expected)
    assert error.mean() < 0.004
    assert np.quantile(error, 0.99) < 0.05
    np.testing.assert_allclose(fine.depth[0, ::3, ::3], coarse.depth[0], rtol=1e-5)


def _to_linear(image):
    value = image / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2), (9, 5), (2, 31)])
def test_any_size_is_rendered(name, height, width):
    made = procedural.render_views(name, height, width, [1, -1])
    assert made.images.shape == (2, height, width, 3)
    assert np.isfinite(made.depth).all()


def test_indices_select_views(name, rendered):
    some = procedural.render_views(name, HEIGHT, WIDTH, [9, 4], supersample=2)
    np.testing.assert_array_equal(some.images, rendered.images[[9, 4]])
    assert procedural.render_views(name, 4, 4, []).images.shape == (0, 4, 4, 3)


def test_rotations_are_right_handed_and_face_forward(rendered):
    matrices = rendered.poses_bounds[:, :15].reshape(-1, 3, 5)
    rotations = np.stack([matrices[:, :, 1], -matrices[:, :, 0], matrices[:, :, 2]], axis=-1)
    identity = np.broadcast_to(np.eye(3), rotations.shape)
    np.testing.assert_allclose(rotations.swapaxes(1, 2) @ rotations, identity, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-12)
    assert (rotations[:, 2, 2] > 0.95).all()
    assert (rotations[:, 1, 1] > 0.95).all()
    np.testing.assert_array_equal(matrices[0, :, 4], [3024, 4032, 3575])


def test_parallax_is_that_of_a_forward_facing_capture(rendered):
    """With the nearest bound at 4/3, as the loader scales it, centres spread about a third."""
    near = rendered.poses_bounds[:, 15].min()
    centres = rendered.poses_bounds[:, :15].reshape(-1, 3, 5)[:, :, 3] / (0.75 * near)
    extent = np.ptp(centres, axis=0)
    assert 0.4 < extent[0] < 0.9
    assert 0.4 < extent[1] < 0.9
    assert extent[2] < 0.1


@pytest.mark.parametrize("every", [8, 16])
def test_held_out_views_lie_inside_the_others(name, every):
    rig = find_scene(name).rig
    centres = camera_poses(rig)[:, :2, 3]
    centres = (centres - centres.mean(axis=0)) / np.asarray(rig.spread[:2])
    held_out = np.arange(len(centres)) % every == 0
    directions = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    normals = np.stack([np.cos(directions), np.sin(directions)], axis=-1)
    support = (centres[~held_out] @ normals.T).max(axis=0)
    assert ((support - centres[held_out] @ normals.T) > 0.05).all()


@pytest.mark.parametrize("num_views", [1, 7, 34, 41])
def test_view_order_is_a_permutation(num_views):
    assert sorted(view_order(num_views)) == list(range(num_views))


def test_pixels_follow_the_notebook_convention(name):
    """No half-pixel offset: the optical axis is at column W/2, row H/2."""
    made = procedural.render_views(name, 8, 10, [0])
    matrix = made.poses_bounds[0, :15].reshape(3, 5)
    axis = procedural.trace(name, matrix[:, 3], -matrix[:, 2])
    np.testing.assert_allclose(made.depth[0, 4, 5], axis.t, rtol=1e-6)
    focal = PHOTO_FOCAL * 10 / PHOTO_WIDTH
    corner = -matrix[:, 2] - 5 / focal * matrix[:, 1] - 4 / focal * matrix[:, 0]
    np.testing.assert_allclose(
        made.depth[0, 0, 0], procedural.trace(name, matrix[:, 3], corner).t, rtol=1e-6
    )


def test_blocks_do_not_change_hits(name, monkeypatch):
    surfaces = views._scene(name)[0].surfaces
    rng = np.random.default_rng(0)
    origins = rng.uniform(-0.4, 0.4, (500, 3))
    directions = np.concatenate([rng.uniform(-0.6, 0.6, (500, 2)), -np.ones((500, 1))], axis=-1)
    whole = tracing.first_hit(surfaces, origins, directions)
    monkeypatch.setattr(tracing, "_BLOCK", 64)
    monkeypatch.setattr(tracing, "_RAYS_PER_CULLING", 7)
    parts = tracing.first_hit(surfaces, origins, directions)
    np.testing.assert_array_equal(parts[0], whole[0])
    np.testing.assert_array_equal(parts[1], whole[1])


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="flower, room"):
        procedural.render_views("fern")
    with pytest.raises(ValueError, match="flower, room"):
        procedural.trace("fern", np.zeros(3), np.ones(3))


def test_a_scene_may_have_another_number_of_views():
    """The cameras around an object follow each other by a fixed step, those of a disc fill it."""
    for name, scene in (("table", find_scene("table")), ("flower", find_scene("flower"))):
        more = find_scene(name, 100)
        poses = camera_poses(more.rig)
        made = procedural.render_views(name, 4, 5, [99], supersample=1, num_views=100)
        assert made.images.shape[0] == 1
        np.testing.assert_array_equal(
            made.poses_bounds[0, :15].reshape(3, 5)[:, 3], poses[99, :, 3]
        )
        own = camera_poses(scene.rig)
        if name == "table":
            np.testing.assert_array_equal(poses[: len(own)], own)
        else:
            assert (np.abs(poses[..., 3].mean(0) - own[..., 3].mean(0)) < 0.05).all()
            assert (poses[..., 3].std(0) > 0.8 * own[..., 3].std(0)).all()


@pytest.mark.parametrize("size", [{"height": 0}, {"width": 0}, {"supersample": 0}])
def test_sizes_below_one_are_refused(size):
    with pytest.raises(ValueError, match="at least 1"):
        procedural.render_views("room", **size)
    with pytest.raises(ValueError, match="at least one view"):
        procedural.render_views("room", num_views=0)


# 360 captures.


@pytest.fixture(scope="module", params=["table", "courtyard"])
def around(request):
    return request.param, procedural.render_views(request.param, 20, 27, supersample=2)


def test_cameras_of_a_360_capture_surround_one_point_and_look_at_it(around):
    _, views = around
    matrices = views.poses_bounds[:, :15].reshape(-1, 3, 5)
    back, positions = matrices[:, :, 2], matrices[:, :, 3]
    rig = find_scene(around[0]).rig
    focus = positions - rig.distance * back
    np.testing.assert_allclose(focus, np.broadcast_to(rig.focus, focus.shape), atol=1e-9)
    angles = np.sort(np.degrees(np.arctan2(back[:, 0], back[:, 2])))
    assert np.diff(np.append(angles, angles[0] + 360)).max() < 25


def test_the_table_has_a_transparent_background_and_the_courtyard_a_sky(around):
    name, views = around
    if name == "courtyard":
        assert views.images.shape[-1] == 3
        assert np.isfinite(views.depth).all()
        assert views.poses_bounds[:, 16].max() / views.poses_bounds[:, 15].min() > 20
        return
    alpha = views.images[..., 3]
    assert views.images.shape[-1] == 4
    assert ((alpha == 0) | (alpha == 255)).mean() > 0.8  # in between at edges alone
    assert 0.1 < (alpha == 255).mean() < 0.6
    assert np.isfinite(views.depth[alpha == 255]).mean() > 0.99
    assert (
        np.isinf(views.depth[alpha == 0]).mean() > 0.99
    )  # a central ray may miss what other samples hit


def test_the_table_is_the_same_alone_and_in_the_courtyard():
    """Compares the depth of its pixels, seen from the cameras of `table`."""
    alone = procedural.render_views("table", 20, 27, [3], supersample=1)
    origin, directions = camera_rays(
        alone.poses_bounds[0], 20, 27, *np.indices((20, 27)).astype(float)[::-1]
    )
    amid = procedural.trace("courtyard", origin, directions)
    seen = np.isfinite(alone.depth[0])
    assert np.mean(np.abs(amid.t[seen] - alone.depth[0][seen]) < 1e-5) > 0.99
