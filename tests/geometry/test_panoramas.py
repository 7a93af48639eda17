"""Laws of equirectangular panoramas: where their pixels look, and that depth is distance."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerf.captures.lenses.models import make_lens, panorama_intrinsics
from nerf.geometry.cameras import pinhole_rays
from nerf.geometry.contraction import Contracted
from nerf.geometry.lenses import Lens, directions, panorama_pixels
from nerf.geometry.rays import positions, scene_rays
from tests.support.cameras import cameras_at_origin, space_of

HEIGHT, WIDTH = 40, 80
RIGHT, UP, BACK = np.eye(3)


def panoramas(num, height=HEIGHT, width=WIDTH):
    rows = [panorama_intrinsics(width, height)] * num
    lens = make_lens(rows, [False] * num, [True] * num)
    return Lens(*(np.asarray(x, np.float32) for x in lens[:3]), *lens[3:])


@pytest.mark.parametrize(
    ("column", "row", "expected"),
    [
        (0.5, 0.5, -BACK),
        (0.75, 0.5, RIGHT),
        (0.25, 0.5, -RIGHT),
        (0.0, 0.5, BACK),
        (1.0, 0.5, BACK),
        (0.5, 0.0, UP),
        (0.5, 1.0, -UP),
        (0.75, 0.25, (RIGHT + UP) / np.sqrt(2)),
    ],
)
def test_the_cardinal_points(column, row, expected):
    """The middle is ahead, the right half to the right, the top up, the border behind."""
    # The corner of the first pixel is at -1/2.
    place = [jnp.float32([column * WIDTH - 0.5]), jnp.float32([row * HEIGHT - 0.5])]
    np.testing.assert_allclose(directions(*place, panoramas(1))[0], expected, atol=1e-6)


def oracle(column, row, width, height):
    """nerfstudio's rays, by its polar angles from straight up and from ahead to the left."""
    across = (column + 0.5 - width / 2) / (width / 2)
    down = (row + 0.5 - height / 2) / height
    left, from_up = -np.pi * across, np.pi * (0.5 + down)
    return [
        -np.sin(left) * np.sin(from_up),
        np.cos(from_up),
        -np.cos(left) * np.sin(from_up),
    ]


def test_every_pixel_looks_where_nerfstudio_and_instant_ngp_do():
    rows, columns = (x.ravel() for x in np.mgrid[0:HEIGHT, 0:WIDTH])
    found = directions(jnp.asarray(columns), jnp.asarray(rows), panoramas(len(columns)))
    expected = [oracle(i, j, WIDTH, HEIGHT) for i, j in zip(columns, rows, strict=True)]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_every_pixel_looks_where_colmap_does():
    pycolmap = pytest.importorskip("pycolmap")
    if not hasattr(pycolmap.CameraModelId, "EQUIRECTANGULAR"):
        pytest.skip("this version of COLMAP has no panoramas")
    params = [WIDTH, HEIGHT]
    camera = pycolmap.Camera(
        model="EQUIRECTANGULAR", width=WIDTH, height=HEIGHT, params=params, camera_id=1
    )
    rows, columns = (x.ravel() for x in np.mgrid[0:HEIGHT:3, 0:WIDTH:3])
    found = directions(jnp.asarray(columns), jnp.asarray(rows), panoramas(len(columns)))
    for direction, i, j in zip(np.asarray(found), columns, rows, strict=True):
        right, down, forward = camera.cam_ray_from_img(np.array([i + 0.5, j + 0.5]))
        np.testing.assert_allclose(direction, [right, -down, -forward], atol=2e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 60), st.integers(8, 100), st.floats(0.2, 1.0))
def test_a_ray_is_seen_at_its_pixel(height, width, share):
    """Also in panoramas of a part of the sphere."""
    ticks = (np.linspace(0, side - 1, 9).round() for side in (height, width))  # one shape for all
    rows, columns = (np.float32(x.ravel()) for x in np.meshgrid(*ticks, indexing="ij"))
    lens = panoramas(len(rows), height, width)
    lens = lens._replace(focal=lens.focal / np.float32(share))
    found = panorama_pixels(3.0 * directions(jnp.asarray(columns), jnp.asarray(rows), lens), lens)
    np.testing.assert_allclose(found, np.stack([columns, rows], -1), atol=2e-3 * width)


def test_depth_is_distance():
    """At parameter t a ray of a panorama is t from its camera, whatever the pixel."""
    num = 32
    rng = np.random.default_rng(0)
    columns, rows = (
        jnp.asarray(rng.integers(0, WIDTH, num)),
        jnp.asarray(rng.integers(0, HEIGHT, num)),
    )
    cameras = cameras_at_origin(num, HEIGHT, WIDTH, near=0.5, far=4.0)
    cameras = dataclasses.replace(cameras, lens=panoramas(num))
    space = space_of("world", cameras)
    rays = scene_rays(columns, rows, cameras, space, viewdir_space="world", pixel_offset=0.0)
    depths = jnp.array([0.5, 1.0, 4.0])
    points = positions(rays, jnp.broadcast_to(depths, (num, 3)))
    expected = np.broadcast_to(depths, (num, 3))
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), expected, rtol=1e-5)
    bent = scene_rays(columns, rows, cameras, Contracted(), viewdir_space="world", pixel_offset=0.0)
    near = positions(bent, jnp.zeros((num, 1)))[:, 0]  # within 1 of the origin space is halved
    np.testing.assert_allclose(np.linalg.norm(near, axis=-1), np.full(num, 0.25), rtol=1e-5)


def test_a_pinhole_beside_a_panorama_keeps_its_rays():
    columns, rows = jnp.array([3, 3]), jnp.array([5, 5])
    pinhole = Lens(np.full((2, 2), 20.0, np.float32), np.full((2, 2), 8.0, np.float32))
    both = pinhole._replace(
        distortion=np.zeros((2, 6), np.float32),
        fisheye=np.zeros(2, bool),
        panorama=np.array([True, False]),
    )
    cameras = cameras_at_origin(2, 16, 16)
    _, found = pinhole_rays(columns, rows, dataclasses.replace(cameras, lens=both))
    _, expected = pinhole_rays(columns, rows, dataclasses.replace(cameras, lens=pinhole))
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found[0]), 1.0, rtol=1e-6)
